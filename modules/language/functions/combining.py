"""Functions that make collections, or choose between them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import chain

from hythe.modules.language import conversions, types
from hythe.modules.language.functions.registry import FunctionError, Param, function
from hythe.modules.language.numbers import WIDE, canonical
from hythe.value import (
    ANY,
    NUMBER,
    STRING,
    List,
    Map,
    Type,
    Unknown,
    Value,
    is_known,
    is_marked,
    is_null,
    list_of,
    map_of,
    mark,
    object_of,
    tuple_of,
    unmark,
    unmark_deep,
)

MAX_RANGE = 1024
"""Numbers that ``range`` may give."""


def _coalesce_type(args: Sequence[Value]) -> Type:
    if not args:
        raise FunctionError("at least one argument is required")
    common = types.unify(map(types.type_of, args))
    if common is None:
        raise FunctionError("all arguments must have the same type")
    return common


@function(
    "coalesce",
    [],
    variadic=Param("vals", ANY, allow_null=True, allow_unknown=True, dynamic=True),
    returns=_coalesce_type,
    description="The first argument that is neither null nor an empty string.",
    examples=['coalesce(null, "", "b") == "b"'],
)
def coalesce(*args: Value, returns: Type) -> Value:
    for index, arg in enumerate(args):
        try:
            value = conversions.convert(arg, returns)
        except conversions.ConversionError as exc:
            raise FunctionError(exc.message, index) from None
        if type(value) is Unknown:
            return Unknown(returns)
        if not is_null(value) and not (returns is STRING and value == ""):
            return value
    raise FunctionError("no non-null, non-empty-string arguments")


def _coalescelist_type(args: Sequence[Value]) -> Type:
    if not args:
        raise FunctionError("at least one argument is required")
    kinds = set()
    for index, arg in enumerate(args):
        if type(arg) is Unknown:
            return ANY
        kind = types.type_of(arg)
        if kind.name not in ("list", "tuple"):
            raise FunctionError("coalescelist arguments must be lists or tuples", index)
        kinds.add(kind)
    return kinds.pop() if len(kinds) == 1 else ANY


@function(
    "coalescelist",
    [],
    variadic=Param("vals", ANY, allow_null=True, allow_unknown=True, dynamic=True),
    returns=_coalescelist_type,
    description="The first list that is not empty.",
    examples=['coalescelist([], ["b"])[0] == "b"'],
)
def coalescelist(*args: Value, returns: Type) -> Value:
    for arg in args:
        if type(arg) is Unknown:
            return Unknown(returns)
        if not is_null(arg) and arg:
            return arg
    raise FunctionError("no non-null arguments")


_TUPLE_ONLY = frozenset({tuple})


def _concat_type(args: Sequence[Value]) -> Type:
    if not args:
        raise FunctionError("at least one argument is required")
    kinds = [types.type_of(arg) for arg in args]
    if all(kind.name == "list" for kind in kinds):
        common = types.unify(kinds)
        if common is not None:
            return common
    elements: list[Type] = []
    for index, (arg, kind) in enumerate(zip(args, kinds, strict=True)):
        plain = unmark(arg)[0]
        if kind.name == "tuple":
            elements.extend(kind.elements)
        elif kind.name != "list":
            raise FunctionError(f"all arguments must be lists or tuples; got {types.describe(kind)}", index)
        elif type(plain) is Unknown:
            return ANY
        else:
            elements.extend([kind.element or ANY] * len(plain))
    return tuple_of(elements)


@function(
    "concat",
    [],
    variadic=Param("seqs", ANY, allow_marked=True),
    returns=_concat_type,
    description="One list with the elements of all lists.",
    examples=['length(concat(["a"], ["b", "c"])) == 3'],
    checking=True,
)
def concat(*args: Value) -> Value:
    if args and _TUPLE_ONLY.issuperset(map(type, args)):
        return tuple(chain.from_iterable(args))
    returns = _concat_type(args)
    marks: frozenset[str] = frozenset()
    items: list[Value] = []
    as_list = returns.name == "list"
    for arg in args:
        plain, more = unmark(arg)
        marks |= more
        items += conversions.convert(plain, returns) if as_list else plain
    return mark(List(items, returns.element or ANY) if as_list else tuple(items), marks)


_OBJECT_ONLY = frozenset({dict})
_SOME_OBJECT = object_of({})
"""Stands for the type of known objects merged, of which it only matters that it is no map."""


def _merge_type(args: Sequence[Value]) -> Type:
    if _OBJECT_ONLY.issuperset(map(type, args)):
        return _SOME_OBJECT
    kinds = [types.type_of(arg) for arg in args]
    if ANY in kinds:
        return ANY
    attributes: dict[str, Type] = {}
    complete = True
    for index, (arg, kind) in enumerate(zip(args, kinds, strict=True)):
        plain = unmark(arg)[0]
        if kind.name not in ("map", "object"):
            raise FunctionError(f"arguments must be maps or objects, got {types.describe(kind)}", index)
        if is_null(plain):
            continue
        if kind.name == "object":
            attributes.update(kind.attributes)
        elif type(plain) is Unknown:
            complete = False
        else:
            attributes.update(dict.fromkeys(plain, kind.element or ANY))
    if len(set(kinds)) == 1:
        return kinds[0]
    return object_of(attributes) if complete else ANY


@function(
    "merge",
    [],
    variadic=Param("maps", ANY, allow_null=True, allow_marked=True, dynamic=True),
    returns=_merge_type,
    description="One map or object with the elements of all; later ones win.",
    examples=["merge({ a = 1 }, { a = 2 }).a == 2"],
)
def merge(*args: Value, returns: Type) -> Value:
    marks: frozenset[str] = frozenset()
    merged: dict[str, Value] = {}
    for index, arg in enumerate(args):
        plain, more = unmark(arg)
        if is_null(plain):
            continue
        if not isinstance(plain, dict):
            kind = types.type_of(plain)
            raise FunctionError(f"arguments must be maps or objects, got {types.describe(kind)}", index)
        marks |= more
        merged.update(plain)
    ordered = {key: merged[key] for key in sorted(merged)}
    return mark(Map(ordered, returns.element or ANY) if returns.name == "map" else ordered, marks)


@function(
    "range",
    [],
    variadic=Param("params", NUMBER),
    returns=list_of(NUMBER),
    description="Numbers from a start (0) up to, not including, a limit, by a step (1).",
    examples=["range(3) == tolist([0, 1, 2])", "range(1, 8, 2) == tolist([1, 3, 5, 7])"],
)
def range_(*args: int | Decimal) -> Value:
    if not 1 <= len(args) <= 3:
        raise FunctionError("must have one, two, or three arguments")
    start = Decimal(args[0]) if len(args) > 1 else Decimal(0)
    end = Decimal(args[1]) if len(args) > 1 else Decimal(args[0])
    step = Decimal(args[2]) if len(args) == 3 else Decimal(-1 if end < start else 1)
    if not step:
        raise FunctionError("step must not be zero", 2)
    if step < 0 and end > start:
        raise FunctionError("end must be less than start when step is negative", 2)
    if step > 0 and end < start:
        raise FunctionError("end must be greater than start when step is positive", 2)
    numbers: list[Value] = []
    while (start > end) if step < 0 else (start < end):
        if len(numbers) >= MAX_RANGE:
            raise FunctionError(
                f"more than {MAX_RANGE} values were generated; "
                "either decrease the difference between start and end or use a smaller step"
            )
        numbers.append(canonical(start))
        start = WIDE.add(start, step)
    return List(numbers, NUMBER)


def _count_mismatch(names: int, items: int) -> FunctionError:
    return FunctionError(f"number of keys ({names}) does not match number of values ({items})", 1)


def _zipmap_type(args: Sequence[Value]) -> Type:
    names = unmark_deep(args[0])[0] if is_marked(args[0]) else args[0]
    items = types.type_of(args[1])
    if items.name == "list":
        return map_of(items.element or ANY)
    if items.name != "tuple":
        raise FunctionError("values argument must be a list or tuple value", 1)
    if not is_known(names):
        return ANY
    if len(names) != len(items.elements):
        raise _count_mismatch(len(names), len(items.elements))
    if any(map(is_null, names)):
        raise FunctionError("keys must not be null", 0)
    return object_of(dict(zip(names, items.elements, strict=True)))


@function(
    "zipmap",
    [Param("keys", list_of(STRING), allow_marked=True), Param("values", ANY, allow_marked=True)],
    returns=_zipmap_type,
    description="A map of keys from one list and values from another.",
    examples=['zipmap(["a", "b"], [1, 2]).b == 2'],
)
def zipmap(names: Value, items: Value, *, returns: Type) -> Value:
    keys, marks = unmark_deep(names) if is_marked(names) else (names, frozenset())
    plain, more = unmark(items)
    marks |= more
    if not is_known(keys):
        return mark(Unknown(returns), marks)
    if len(keys) != len(plain):
        raise _count_mismatch(len(keys), len(plain))
    if any(map(is_null, keys)):
        raise FunctionError("keys must not be null", 0)
    zipped = dict(sorted(dict(zip(keys, plain, strict=True)).items(), key=lambda pair: pair[0]))
    return mark(Map(zipped, returns.element or ANY) if returns.name == "map" else zipped, marks)
