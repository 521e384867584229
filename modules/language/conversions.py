"""Conversion of values to a type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from hythe.modules.language import numbers, types
from hythe.modules.language.numbers import number_to_string
from hythe.modules.language.sets import make_set
from hythe.value import (
    ANY,
    BOOL,
    NUMBER,
    STRING,
    Instance,
    List,
    Map,
    Marked,
    Null,
    Set,
    Type,
    Unknown,
    Value,
    is_known,
    is_null,
    list_of,
    mark,
    unmark,
    unmark_deep,
)

__all__ = ["ConversionError", "Path", "convert", "mismatch", "number_to_string", "set_value"]

Path = tuple[str | int, ...]
"""Steps from the converted value to a part of it: attribute names, map keys and list indices."""


class ConversionError(Exception):
    """A value does not fit a type. ``message`` says what is required, ``path`` where."""

    def __init__(self, message: str, path: Path = ()) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


def convert(value: Value, type: Type) -> Value:
    """``value`` as a value of ``type``, in which any stands for whatever the value has there.

    Attributes declared ``optional()`` are filled with their defaults where they are missing or
    null. Unknown values and nulls become those of the type. Marks stay where they are, except
    that marks inside a set belong to the whole set. Raises ConversionError.
    """
    return _convert(value, type, ())


def _convert(value: Value, target: Type, path: Path) -> Value:
    kind = type(value)
    if target is ANY:
        return value
    if target is STRING:
        if kind is str:
            return value
    elif target is NUMBER:
        if kind is int or kind is Decimal:
            return value
    elif target is BOOL and kind is bool:
        return value
    if kind is Marked:
        return mark(_convert(value.value, target, path), value.marks)
    if kind is Unknown:
        return Unknown(_type_of_absent(value.type, target, path))
    if value is None or kind is Null:
        return Null(_type_of_absent(types.type_of(value), target, path))
    return _CONVERTERS[target.name](value, target, path)


def _type_of_absent(source: Type, target: Type, path: Path) -> Type:
    """The type of a null or an unknown value after conversion."""
    if not types.convertible(source, target):
        raise ConversionError(mismatch(source, target), path)
    return types.fill_dynamic(source, types.without_optional(target))


def _to_string(value: Value, target: Type, path: Path) -> Value:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return number_to_string(value)
    raise ConversionError("a string is required", path)


def _to_number(value: Value, target: Type, path: Path) -> Value:
    if isinstance(value, str):
        try:
            return numbers.parse_number(value)
        except (ValueError, OverflowError):
            pass
    raise ConversionError("a number is required", path)


def _to_bool(value: Value, target: Type, path: Path) -> Value:
    if isinstance(value, str):
        if value in ("true", "1"):
            return True
        if value in ("false", "0"):
            return False
        if value.lower() in ("true", "false"):
            raise ConversionError(f'a bool is required; to convert from string, use lowercase "{value.lower()}"', path)
    raise ConversionError("a bool is required", path)


def _to_list(value: Value, target: Type, path: Path) -> Value:
    element = target.element or ANY
    if isinstance(value, List) and (value.element is element or element is ANY) and not _has_optional(element):
        return value
    if isinstance(value, Set) and len(value) > 1 and not is_known(value):
        # unknown elements may turn out to be the same, so there is no telling how many there are
        return Unknown(list_of(_type_of_absent(value.element, element, path)))
    items, found = _elements(value, target, path)
    return List(items, found)


def _to_set(value: Value, target: Type, path: Path) -> Value:
    element = target.element or ANY
    if isinstance(value, Set) and (value.element is element or element is ANY) and not _has_optional(element):
        return value
    items, found = _elements(value, target, path)
    return set_value(items, found)


def set_value(items: Iterable[Value], element: Type) -> Value:
    """The set of ``items``; what marks they have go to the whole set."""
    marks: frozenset[str] = frozenset()
    plain = []
    for item in items:
        if type(item) is str:
            plain.append(item)
            continue
        stripped, more = unmark_deep(item)
        plain.append(stripped if more else item)
        marks |= more
    return mark(make_set(plain, element), marks)


def _elements(value: Value, target: Type, path: Path) -> tuple[list[Value], Type]:
    """The elements of a list, set or tuple converted to the element type, and their common type."""
    if isinstance(value, dict) or not isinstance(value, (list, tuple)):
        raise ConversionError(mismatch(types.type_of(value), target), path)
    wanted = target.element or ANY
    if isinstance(value, (List, Set)):
        if not types.convertible(value.element, wanted):
            raise ConversionError(mismatch(types.type_of(value), target), path)
        if wanted is ANY:
            return list(value), value.element
        if not value:
            return [], types.without_optional(wanted)
    elif (primitive := types.primitive_of(value)) is not None and (wanted is ANY or wanted is primitive):
        return list(value), primitive  # nothing in it needs to be converted
    items = [_convert(item, wanted, (*path, index)) for index, item in enumerate(value)]
    common = _settle(items, wanted, target.name, path)
    return [_conform(item, common, (*path, index)) for index, item in enumerate(items)], common


def _to_map(value: Value, target: Type, path: Path) -> Value:
    element = target.element or ANY
    if isinstance(value, Map) and (value.element is element or element is ANY) and not _has_optional(element):
        return value
    if not isinstance(value, dict):
        raise ConversionError(mismatch(types.type_of(value), target), path)
    if isinstance(value, Map):
        if not types.convertible(value.element, element):
            raise ConversionError(mismatch(types.type_of(value), target), path)
        if not value:
            return Map({}, types.without_optional(element))
    items = {key: _convert(value[key], element, (*path, key)) for key in sorted(value)}
    common = _settle(items.values(), element, "map", path)
    return Map({key: _conform(item, common, (*path, key)) for key, item in items.items()}, common)


def _settle(items: Iterable[Value], wanted: Type, name: str, path: Path) -> Type:
    """The element type of a collection of ``items``, of which ``wanted`` may leave something open."""
    plain = types.without_optional(wanted)
    if not types.has_dynamic(wanted):
        return plain
    found = dict.fromkeys(map(types.type_of, items))
    if not found:
        return plain
    common = types.unify(found)
    if common is None:
        raise ConversionError(f"all {name} elements must have the same type", path)
    return common


def _conform(item: Value, element: Type, path: Path) -> Value:
    """``item`` as an element of a collection of ``element``."""
    plain, marks = unmark(item)
    if is_null(plain):
        return mark(Null(element), marks)
    if types.type_of(plain) is element or (element is not ANY and not types.has_dynamic(element)):
        return item if isinstance(plain, Instance) else _convert(item, element, path)
    if element is ANY:
        return mark(Unknown(ANY), marks)
    return _convert(item, element, path)


def _to_tuple(value: Value, target: Type, path: Path) -> Value:
    if isinstance(value, (List, Set, dict)) or not isinstance(value, (list, tuple)):
        raise ConversionError(mismatch(types.type_of(value), target), path)
    if len(value) != len(target.elements):
        raise ConversionError(mismatch(types.type_of(value), target), path)
    return tuple(
        _convert(item, wanted, (*path, index))
        for index, (item, wanted) in enumerate(zip(value, target.elements, strict=True))
    )


def _to_object(value: Value, target: Type, path: Path) -> Value:
    if not isinstance(value, dict):
        raise ConversionError(mismatch(types.type_of(value), target), path)
    missing = [name for name in target.attributes if name not in value and name not in target.optional]
    if missing:
        raise ConversionError(_missing(missing, is_map=isinstance(value, Map)), path)
    return {name: _attribute(value, name, target, path) for name in target.attributes}


def _attribute(value: Mapping[str, Value], name: str, target: Type, path: Path) -> Value:
    wanted = target.attributes[name]
    default = target.optional.get(name)
    plain, marks = unmark(value.get(name))
    if is_null(plain) and default is not None:
        return mark(_convert(default, wanted, (*path, name)), marks)
    if name not in value:
        return Null(types.without_optional(wanted))
    return _convert(value[name], wanted, (*path, name))


def _has_optional(kind: Type) -> bool:
    return types.without_optional(kind) is not kind


_CONVERTERS = {
    "string": _to_string,
    "number": _to_number,
    "bool": _to_bool,
    "list": _to_list,
    "set": _to_set,
    "map": _to_map,
    "tuple": _to_tuple,
    "object": _to_object,
}


def _missing(names: list[str], *, is_map: bool = False) -> str:
    if is_map:
        return f'map has no element for required attribute "{names[0]}"'
    quoted = [f'"{name}"' for name in names]
    if len(quoted) == 1:
        return f"attribute {quoted[0]} is required"
    return f"attributes {', '.join(quoted[:-1])} and {quoted[-1]} are required"


def mismatch(source: Type, target: Type) -> str:
    """What to say when no value of ``source`` converts to ``target``."""
    if source.name == target.name == "object":
        missing = [name for name in target.attributes if name not in source.attributes and name not in target.optional]
        if missing:
            return _missing(missing)
        for name, wanted in target.attributes.items():
            got = source.attributes.get(name)
            if got is not None and not types.convertible(got, wanted):
                return f'attribute "{name}": {mismatch(got, wanted)}'
    if source.name == target.name == "tuple" and len(source.elements) != len(target.elements):
        return f"a tuple of length {len(target.elements)} is required, but this one has length {len(source.elements)}"
    if target.element is ANY and source.name in ("tuple", "object"):
        return f"all {target.name} elements must have the same type"
    alike = source.name == target.name or {source.name, target.name} <= {"list", "set"}
    if alike and target.element is not None and source.element is not None:
        return f"incorrect {target.name} element type: {mismatch(source.element, target.element)}"
    return f"{types.describe_with_article(target)} is required"
