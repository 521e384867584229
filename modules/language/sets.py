"""Sets: their order, and which elements are the same."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from hythe.modules.language.quote import quoted
from hythe.value import ANY, Map, Null, Set, Type, Unknown, Value, is_known


def make_set(items: Iterable[Value], element: Type = ANY) -> Set:
    """The set of ``items``, which have no marks: in the order in which sets are gone through.

    Numbers are ordered by value, strings by code point, false comes before true; other values
    have an order that depends on nothing but themselves. Unknown elements are all kept, as
    nobody knows yet whether they are the same; a null comes last.
    """
    listed = list(items)
    if all(type(item) is str for item in listed):
        return Set(sorted(set(listed)), element)
    distinct: dict[Any, Value] = {}
    unknown: list[Value] = []
    for item in listed:
        if is_known(item):
            distinct.setdefault(identity(item), item)
        else:
            unknown.append(item)
    return Set(sorted([*distinct.values(), *unknown], key=_order), element)


def identity(value: Value) -> tuple[Any, ...]:
    """A hashable stand-in for a value without marks; equal values of one type have equal ones."""
    if value is None or isinstance(value, Null):
        return ("null",)
    if isinstance(value, Unknown):
        return ("unknown", value.type)
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, dict):
        return ("dict", tuple((name, identity(value[name])) for name in sorted(value)))
    if isinstance(value, (list, tuple)):
        return ("list", tuple(map(identity, value)))
    return ("", value)


def _order(value: Value) -> tuple[int, Any]:
    if value is None or isinstance(value, Null):
        return (5, 0)
    if isinstance(value, Unknown):
        return (4, str(value.type))
    if isinstance(value, str):
        return (0, value)
    if isinstance(value, (int, Decimal)):
        return (1, value)
    return (2, _spell(value))


def _spell(value: Value) -> str:
    """Text that orders structures as the field does: by what they would look like written down."""
    if value is None or isinstance(value, Null):
        return "~"
    if isinstance(value, Unknown):
        return "?"
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, (int, Decimal)):
        return format(Decimal(value), ".10g")
    if isinstance(value, Map):
        return "{" + "".join(f"{quoted(key)}:{_spell(value[key])};" for key in sorted(value)) + "}"
    if isinstance(value, dict):
        return "<" + "".join(f"{_spell(value[key])};" for key in sorted(value)) + ">"
    if isinstance(value, tuple):
        return "<" + "".join(f"{_spell(item)};" for item in value) + ">"
    if isinstance(value, list):
        return "[" + "".join(f"{_spell(item)};" for item in value) + "]"
    return repr(value)
