"""Functions on sets, on lists of bools, and products."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from hythe.modules.language import conversions, types
from hythe.modules.language.functions.registry import FunctionError, Param, function
from hythe.modules.language.sets import identity, make_set
from hythe.value import (
    ANY,
    BOOL,
    STRING,
    List,
    Map,
    Set,
    Type,
    Unknown,
    Value,
    is_known,
    is_null,
    list_of,
    map_of,
    mark,
    set_of,
    tuple_of,
    unmark,
)

MAX_PRODUCT = 1_000_000
"""Combinations that ``setproduct`` may give."""


@function(
    "alltrue",
    [Param("list", list_of(BOOL))],
    returns=BOOL,
    description="Tells whether all elements are true; those of an empty list are.",
    examples=["alltrue([true, true]) == true"],
)
def alltrue(items: List) -> Value:
    undecided = False
    for item in items:
        if type(item) is Unknown:
            undecided = True
        elif item is not True:
            return False
    return Unknown(BOOL) if undecided else True


@function(
    "anytrue",
    [Param("list", list_of(BOOL))],
    returns=BOOL,
    description="Tells whether any element is true.",
    examples=["anytrue([false, true]) == true"],
)
def anytrue(items: List) -> Value:
    undecided = False
    for item in items:
        if item is True:
            return True
        undecided = undecided or type(item) is Unknown
    return Unknown(BOOL) if undecided else False


def _common_set(args: Sequence[Value]) -> Type:
    elements = [
        types.type_of(arg).element or ANY
        for arg in args
        # what an empty set of nothing in particular could hold does not matter
        if type(arg) is Unknown or arg or types.type_of(arg).element is not ANY
    ]
    if not elements:
        return set_of(ANY)
    common = types.unify(elements)
    if common is None:
        raise FunctionError("given sets must all have compatible element types")
    return set_of(common)


_FIRST = Param("first_set", set_of(ANY), dynamic=True)
_OTHERS = Param("other_sets", set_of(ANY), dynamic=True)

Keyed = dict[Any, Value]


def _operate(args: Sequence[Value], kind: Type, operate: Callable[[Keyed, Keyed], Keyed]) -> Value:
    converted = [conversions.convert(arg, kind) for arg in args]
    if not all(map(is_known, converted)):
        return Unknown(kind)
    keyed = [{identity(item): item for item in items} for items in converted]
    result = keyed[0]
    for other in keyed[1:]:
        result = operate(result, other)
    return make_set(result.values(), kind.element or ANY)


@function(
    "setunion",
    [_FIRST],
    variadic=_OTHERS,
    returns=_common_set,
    description="The elements of any of the sets.",
    examples=['length(setunion(["a"], ["a", "b"])) == 2'],
)
def setunion(*args: Value, returns: Type) -> Value:
    items = itertools.chain.from_iterable(conversions.convert(arg, returns) for arg in args)
    return make_set(items, returns.element or ANY)


@function(
    "setintersection",
    [_FIRST],
    variadic=_OTHERS,
    returns=_common_set,
    description="The elements of all of the sets.",
    examples=['setintersection(["a", "b"], ["b", "c"]) == toset(["b"])'],
)
def setintersection(*args: Value, returns: Type) -> Value:
    return _operate(args, returns, lambda a, b: {key: item for key, item in a.items() if key in b})


@function(
    "setsubtract",
    [Param("a", set_of(ANY), dynamic=True), Param("b", set_of(ANY), dynamic=True)],
    returns=_common_set,
    description="The elements of the first set that are not in the second.",
    examples=['setsubtract(["a", "b"], ["b"]) == toset(["a"])'],
)
def setsubtract(*args: Value, returns: Type) -> Value:
    return _operate(args, returns, lambda a, b: {key: item for key, item in a.items() if key not in b})


def _product_type(args: Sequence[Value]) -> Type:
    if len(args) < 2:
        raise FunctionError("at least two arguments are required")
    elements: list[Type] = []
    ordered = True
    for index, arg in enumerate(args):
        kind = types.type_of(arg)
        if kind.name not in ("list", "set", "tuple"):
            raise FunctionError("a set or a list is required", index)
        ordered = ordered and kind.name != "set"
        if kind.element is not None:
            elements.append(kind.element)
            continue
        common = types.unify(kind.elements) if kind.elements else ANY
        if common is None:
            raise FunctionError("all elements must be of the same type", index)
        elements.append(common)
    return (list_of if ordered else set_of)(tuple_of(elements))


@function(
    "setproduct",
    [],
    variadic=Param("sets", ANY, allow_marked=True),
    returns=_product_type,
    description="All combinations of one element of each.",
    examples=['length(setproduct(["a", "b"], [1, 2])) == 4'],
)
def setproduct(*args: Value, returns: Type) -> Value:
    marks: frozenset[str] = frozenset()
    total = 1
    undecided = False
    combined = returns.element or ANY
    columns: list[list[Value]] = []
    for arg, element in zip(args, combined.elements, strict=True):
        plain, more = unmark(arg)
        marks |= more
        undecided = undecided or (isinstance(plain, Set) and len(plain) > 1 and not is_known(plain))
        total *= len(plain)
        columns.append([conversions.convert(item, element) for item in plain])
    if undecided:
        return mark(Unknown(returns), marks)
    if total > MAX_PRODUCT:
        raise FunctionError(f"the product would have {total} elements, more than the {MAX_PRODUCT:,} allowed")
    rows = itertools.product(*columns)
    if returns.name == "list":
        return mark(List(rows, combined), marks)
    return mark(conversions.set_value(rows, combined), marks)


@function(
    "transpose",
    [Param("values", map_of(list_of(STRING)))],
    returns=map_of(list_of(STRING)),
    description="Swaps the keys and values of a map of lists of strings.",
    examples=['transpose({ a = ["x"], b = ["x"] }).x == tolist(["a", "b"])'],
)
def transpose(mapping: Map) -> Value:
    if not is_known(mapping):
        return Unknown(map_of(list_of(STRING)))
    turned: dict[str, list[Value]] = {}
    for key in sorted(mapping):
        if is_null(mapping[key]):
            raise FunctionError("input must not contain null values", 0)
        for item in mapping[key]:
            if is_null(item):
                raise FunctionError("input must not contain null values", 0)
            turned.setdefault(item, []).append(key)
    return Map({key: List(sorted(turned[key]), STRING) for key in sorted(turned)}, list_of(STRING))
