"""Functions on lists, tuples, maps and objects: taking them apart."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from hythe.modules.language import conversions, types
from hythe.modules.language.functions import text
from hythe.modules.language.functions.arguments import same, whole
from hythe.modules.language.functions.registry import FunctionError, Param, function
from hythe.value import (
    ANY,
    BOOL,
    NUMBER,
    STRING,
    List,
    Map,
    Null,
    Set,
    Type,
    Unknown,
    Value,
    is_known,
    is_null,
    list_of,
    mark,
    tuple_of,
    unmark,
)


def _kind(value: Value) -> Type:
    return types.type_of(value)


@function(
    "length",
    [Param("value", ANY, allow_unknown=True, allow_marked=True, dynamic=True)],
    returns=NUMBER,
    description="How many elements, or characters, the value has.",
    examples=['length(["a", "b"]) == 2', 'length("hello") == 5'],
)
def length(value: Value) -> Value:
    plain, marks = unmark(value)
    if type(plain) is tuple or type(plain) is dict:
        return mark(len(plain), marks)
    kind = _kind(plain)
    if kind.name == "tuple":
        return mark(len(kind.elements), marks)
    if kind.name == "object":
        return mark(len(kind.attributes), marks)
    if type(plain) is Unknown:
        if kind.name not in ("any", "string", "list", "set", "map"):
            raise FunctionError("argument must be a string, a collection type, or a structural type", 0)
        return mark(Unknown(NUMBER), marks)
    if isinstance(plain, str):
        return mark(text.length(plain), marks)
    if isinstance(plain, Set) and len(plain) > 1 and not is_known(plain):
        return mark(Unknown(NUMBER), marks)
    if isinstance(plain, (List, Set, Map)):
        return mark(len(plain), marks)
    raise FunctionError("argument must be a string, a collection type, or a structural type", 0)


@function(
    "compact",
    [Param("list", list_of(STRING))],
    returns=list_of(STRING),
    description="The list without null and empty strings.",
    examples=['compact(["a", "", null]) == tolist(["a"])'],
)
def compact(items: List) -> Value:
    if not is_known(items):
        return Unknown(list_of(STRING))
    return List([item for item in items if not is_null(item) and item], STRING)


@function(
    "contains",
    [Param("list", ANY), Param("value", ANY, allow_null=True)],
    returns=BOOL,
    description="Tells whether the list, tuple or set has an element equal to the value.",
    examples=['contains(["a", "b"], "a") == true'],
)
def contains(items: Value, value: Value) -> Value:
    if isinstance(items, dict) or not isinstance(items, (list, tuple)):
        raise FunctionError("argument must be list, tuple, or set", 0)
    undecided = False
    for item in items:
        equal = same(item, value)
        if equal:
            return True
        undecided = undecided or equal is None
    return Unknown(BOOL) if undecided else False


@function(
    "index",
    [Param("list", ANY), Param("value", ANY)],
    returns=NUMBER,
    description="The index of the first element equal to the value.",
    examples=['index(["a", "b"], "b") == 1'],
)
def index(items: Value, value: Value) -> Value:
    if isinstance(items, (dict, Set)) or not isinstance(items, (list, tuple)):
        raise FunctionError("argument must be a list or tuple", 0)
    if not items:
        raise FunctionError("cannot search an empty list", 0)
    for position, item in enumerate(items):
        equal = same(item, value)
        if equal is None:
            return Unknown(NUMBER)
        if equal:
            return position
    raise FunctionError("item not found", 1)


@function(
    "distinct",
    [Param("list", list_of(ANY))],
    returns=lambda args: _kind(args[0]),
    description="The list with only the first of equal elements.",
    examples=['distinct(["a", "b", "a"]) == tolist(["a", "b"])'],
)
def distinct(items: List) -> Value:
    from hythe.modules.language.sets import identity

    if not is_known(items):
        return Unknown(_kind(items))
    first: dict[object, Value] = {}
    for item in items:
        first.setdefault(identity(item), item)
    return List(first.values(), items.element)


@function(
    "chunklist",
    [Param("list", list_of(ANY), allow_marked=True), Param("size", NUMBER)],
    returns=lambda args: list_of(_kind(args[0])),
    description="The list in pieces of at most the given size; size 0 gives one piece.",
    examples=['length(chunklist(["a", "b", "c"], 2)) == 2'],
)
def chunklist(items: Value, size: int | Decimal) -> Value:
    plain, marks = unmark(items)
    step = whole(size, 1)
    if step < 0:
        raise FunctionError("the size argument must be positive", 1)
    step = step or max(1, len(plain))
    chunks = [List(plain[start : start + step], plain.element) for start in range(0, len(plain), step)]
    return mark(List(chunks, _kind(plain)), marks)


def _element_type(args: Sequence[Value]) -> Type:
    items, position = unmark(args[0])[0], args[1]
    kind = _kind(items)
    if kind.name == "list":
        return kind.element or ANY
    if kind.name != "tuple":
        raise FunctionError(f"cannot read elements from {types.describe(kind)}", 0)
    if type(position) is Unknown:
        return ANY
    if not kind.elements:
        raise FunctionError("cannot use element function with an empty list", 0)
    return kind.elements[whole(position, 1) % len(kind.elements)]


@function(
    "element",
    [Param("list", ANY, allow_marked=True), Param("index", NUMBER)],
    returns=_element_type,
    description="The element at the index, counted round and round.",
    examples=['element(["a", "b", "c"], 4) == "b"'],
)
def element(items: Value, position: int | Decimal) -> Value:
    plain, marks = unmark(items)
    if not plain:
        raise FunctionError("cannot use element function with an empty list", 0)
    return mark(plain[whole(position, 1) % len(plain)], marks)


def _slice_bounds(items: Value, start: Value, end: Value) -> tuple[int | None, int | None]:
    kind = _kind(items)
    if kind.name == "set":
        raise FunctionError(
            "cannot slice a set, because its elements do not have indices; explicitly convert to a list first", 0
        )
    if kind.name not in ("list", "tuple"):
        raise FunctionError("must be a list or tuple value", 0)
    size = len(kind.elements) if kind.name == "tuple" else None if type(items) is Unknown else len(items)
    first = None if type(start) is Unknown else whole(start, 1)
    last = None if type(end) is Unknown else whole(end, 2)
    if first is not None and first < 0:
        raise FunctionError("start index must not be less than zero", 1)
    for position, given in ((1, first), (2, last)):
        if given is not None and size is not None and given > size:
            raise FunctionError("the index must not be greater than the length of the list", position)
    if first is not None and last is not None and first > last:
        raise FunctionError("start index must not be greater than end index", 1)
    return first, last


def _slice_type(args: Sequence[Value]) -> Type:
    items = unmark(args[0])[0]
    start, end = _slice_bounds(items, args[1], args[2])
    kind = _kind(items)
    if kind.name == "list":
        return kind
    return ANY if start is None or end is None else tuple_of(kind.elements[start:end])


@function(
    "slice",
    [Param("list", ANY, allow_marked=True), Param("start_index", NUMBER), Param("end_index", NUMBER)],
    returns=_slice_type,
    description="The elements from the start index up to, not including, the end index.",
    examples=['length(slice(["a", "b", "c", "d"], 1, 3)) == 2'],
)
def slice_(items: Value, start: int | Decimal, end: int | Decimal) -> Value:
    plain, marks = unmark(items)
    part = plain[whole(start, 1) : whole(end, 2)]
    return mark(List(part, plain.element) if isinstance(plain, List) else tuple(part), marks)


def _reverse_type(args: Sequence[Value]) -> Type:
    kind = _kind(args[0])
    if kind.name == "tuple":
        return tuple_of(reversed(kind.elements))
    if kind.name not in ("list", "set"):
        raise FunctionError("can only reverse list, set or tuple values", 0)
    return list_of(kind.element or ANY)


@function(
    "reverse",
    [Param("list", ANY, allow_marked=True)],
    returns=_reverse_type,
    description="The elements in reverse order.",
    examples=["reverse([1, 2, 3])[0] == 3"],
)
def reverse(items: Value, *, returns: Type) -> Value:
    plain, marks = unmark(items)
    if isinstance(plain, Set) and len(plain) > 1 and not is_known(plain):
        return mark(Unknown(returns), marks)
    turned = reversed(plain)
    return mark(List(turned, returns.element or ANY) if returns.name == "list" else tuple(turned), marks)


@function(
    "sort",
    [Param("list", list_of(STRING), allow_unknown=True)],
    returns=list_of(STRING),
    description="The strings sorted by code point.",
    examples=['sort(["b", "a"]) == tolist(["a", "b"])'],
)
def sort(items: List | Unknown) -> Value:
    if isinstance(items, Unknown):
        return Unknown(list_of(STRING))
    if not is_known(items):
        # in which order is open; how many is not
        return List([Unknown(STRING)] * len(items), STRING)
    for position, item in enumerate(items):
        if is_null(item):
            raise FunctionError(f"given list element {position} is null; a null string cannot be sorted", 0)
    return List(sorted(items), STRING)


def _one_type(args: Sequence[Value]) -> Type:
    kind = _kind(args[0])
    if kind.name in ("list", "set"):
        return kind.element or ANY
    if kind.name == "tuple" and len(kind.elements) < 2:
        return kind.elements[0] if kind.elements else ANY
    raise FunctionError("must be a list, set, or tuple value with either zero or one elements", 0)


@function(
    "one",
    [Param("list", ANY, allow_marked=True)],
    returns=_one_type,
    description="The only element, or null when there is none.",
    examples=['one(["a"]) == "a"', "one([]) == null"],
)
def one(items: Value, *, returns: Type) -> Value:
    plain, marks = unmark(items)
    if isinstance(plain, Set) and len(plain) > 1 and not is_known(plain):
        return mark(Unknown(returns), marks)
    if len(plain) > 1:
        raise FunctionError("must be a list, set, or tuple value with either zero or one elements", 0)
    if plain:
        return mark(plain[0], marks)
    return mark(None if returns is ANY else Null(returns), marks)


def _keys_type(args: Sequence[Value]) -> Type:
    if type(args[0]) is dict:
        return ANY  # nobody asks for the type of the keys of what is known
    kind = _kind(args[0])
    if kind.name == "map":
        return list_of(STRING)
    if kind.name != "object":
        raise FunctionError("must have map or object type", 0)
    return tuple_of([STRING] * len(kind.attributes))


@function(
    "keys",
    [Param("map", ANY, allow_unknown=True, allow_marked=True)],
    returns=_keys_type,
    description="The keys of the map, sorted.",
    examples=['keys({ b = 1, a = 2 })[0] == "a"'],
)
def keys(mapping: Value) -> Value:
    plain, marks = unmark(mapping)
    if type(plain) is dict:
        return mark(tuple(sorted(plain)), marks)
    kind = _kind(plain)
    if kind.name == "object":
        return mark(tuple(sorted(kind.attributes)), marks)
    return mark(Unknown(list_of(STRING)) if type(plain) is Unknown else List(sorted(plain), STRING), marks)


def _values_type(args: Sequence[Value]) -> Type:
    if type(args[0]) is dict:
        return ANY  # as with keys()
    kind = _kind(args[0])
    if kind.name == "map":
        return list_of(kind.element or ANY)
    if kind.name != "object":
        raise FunctionError("values() requires a map as the first argument", 0)
    return tuple_of(kind.attributes[name] for name in sorted(kind.attributes))


@function(
    "values",
    [Param("mapping", ANY, allow_marked=True)],
    returns=_values_type,
    description="The values of the map, in the order of its keys.",
    examples=["values({ b = 1, a = 2 })[0] == 2"],
)
def values(mapping: Value) -> Value:
    plain, marks = unmark(mapping)
    items = [plain[key] for key in sorted(plain)]
    return mark(List(items, plain.element) if isinstance(plain, Map) else tuple(items), marks)


_ATOMS = frozenset({str, int, bool, Decimal})


def _lookup_type(args: Sequence[Value]) -> Type:
    if len(args) > 3:
        raise FunctionError(f"lookup() takes two or three arguments, got {len(args)}", 3)
    mapping, key = unmark(args[0])[0], unmark(args[1])[0]
    if type(mapping) is dict and type(key) is str:
        # the type of the whole is not needed, and it takes long to find in a large object
        if key in mapping:
            return _kind(mapping[key])
        if len(args) == 3:
            return _kind(args[2])
        raise FunctionError("the given object has no attribute {}", 0, shown=(key,))
    kind = _kind(mapping)
    if kind.name == "map":
        element = kind.element or ANY
        if len(args) == 3:
            try:
                conversions.convert(args[2], element)
            except conversions.ConversionError:
                raise FunctionError("the default value must have the same type as the map elements", 2) from None
        return element
    if kind.name != "object":
        raise FunctionError("lookup() requires a map as the first argument", 0)
    if type(key) is Unknown:
        return ANY
    if key in kind.attributes:
        return kind.attributes[key]
    if len(args) == 3:
        return _kind(args[2])
    raise FunctionError("the given object has no attribute {}", 0, shown=(key,))


@function(
    "lookup",
    [Param("inputMap", ANY, allow_marked=True), Param("key", STRING, allow_marked=True)],
    variadic=Param("default", ANY, allow_null=True, allow_unknown=True, allow_marked=True, dynamic=True),
    returns=_lookup_type,
    description="The element of the map with the key, or the default.",
    examples=['lookup({ a = "x" }, "b", "none") == "none"'],
    checking=True,
)
def lookup(mapping: Value, key: Value, *default: Value) -> Value:
    if type(mapping) is dict and type(key) is str and len(default) == 1:
        if key in mapping:
            return mapping[key]
        if type(default[0]) in _ATOMS:
            return default[0]
    returns = _lookup_type((mapping, key, *default))
    plain, marks = unmark(mapping)
    name, more = unmark(key)
    if name in plain:
        return mark(plain[name], marks | more)
    if not default:
        raise FunctionError("lookup failed to find key {}", 1, shown=(name,))
    return mark(conversions.convert(default[0], returns), marks | more)


@function(
    "matchkeys",
    [Param("values", list_of(ANY)), Param("keys", list_of(ANY)), Param("searchset", list_of(ANY))],
    returns=lambda args: _kind(args[0]),
    description="The values whose keys are in the search set.",
    examples=['matchkeys(["a", "b"], [1, 2], [2]) == tolist(["b"])'],
)
def matchkeys(items: List, names: List, wanted: List) -> Value:
    if len(items) != len(names):
        raise FunctionError("length of keys and values should be equal", 1)
    kind = types.unify([_kind(names), _kind(wanted)])
    if kind is None:
        raise FunctionError("keys and searchset must be of the same type", 2)
    if not wanted:
        return List([], items.element)
    if not (is_known(items) and is_known(names) and is_known(wanted)):
        return Unknown(_kind(items))
    searched = conversions.convert(wanted, kind)
    matching = [
        item
        for item, name in zip(items, conversions.convert(names, kind), strict=True)
        if any(same(name, other) for other in searched)
    ]
    return List(matching, items.element)


@function(
    "flatten",
    [Param("list", ANY, allow_unknown=True, allow_marked=True)],
    returns=ANY,
    description="A tuple with the elements of all lists, sets and tuples inside, however deep.",
    examples=['length(flatten([["a"], [], [["b"]]])) == 2'],
)
def flatten(items: Value) -> Value:
    plain, marks = unmark(items)
    if type(plain) is Unknown:
        kind = plain.type.name
        if kind not in ("list", "set", "tuple"):
            raise FunctionError("can only flatten lists, sets and tuples", 0)
        return mark(Unknown(ANY), marks)
    if isinstance(plain, dict) or not isinstance(plain, (list, tuple)):
        raise FunctionError("can only flatten lists, sets and tuples", 0)
    found: list[Value] = []
    known, more = _flatten_into(found, items)
    return mark(tuple(found) if known else Unknown(ANY), marks | more)


def _flatten_into(found: list[Value], items: Value) -> tuple[bool, frozenset[str]]:
    """Adds the elements; tells whether their number is known, and the marks of all sequences."""
    plain, marks = unmark(items)
    known = not (isinstance(plain, Set) and len(plain) > 1 and not is_known(plain))
    for item in plain:
        inner, inner_marks = unmark(item)
        if type(inner) is Unknown and inner.type.name in ("any", "list", "set", "tuple"):
            known = False
            marks |= inner_marks
        elif isinstance(inner, (list, tuple)) and not isinstance(inner, dict):
            inner_known, more = _flatten_into(found, item)
            known = known and inner_known
            marks |= more
        else:
            found.append(item)
    return known, marks
