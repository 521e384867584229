"""Equality of values, with the answer "not known yet"."""

from __future__ import annotations

from decimal import Decimal

from hythe.modules.language import types
from hythe.value import Instance, List, Map, Set, Unknown, Value, is_known, is_null

ATOMS = frozenset({str, int, bool, Decimal})
"""Classes of known values that hold nothing and have no marks; two of one class are equal where Python says so."""


def equals(a: Value, b: Value) -> bool | None:
    """Whether two values without marks are of one type and equal; None when it is not known yet.

    Nulls are equal to each other whatever their types. Instances compare by whose they are.
    """
    kind = type(a)
    if kind is type(b) and kind in ATOMS:
        return bool(a == b)
    if kind is Unknown or type(b) is Unknown:
        return _equals_unknown(a, b)
    if is_null(a) or is_null(b):
        return is_null(a) and is_null(b)
    if isinstance(a, Instance) and isinstance(b, Instance):
        return a.address == b.address
    if isinstance(a, dict) and isinstance(b, dict):
        return _equal_dicts(a, b)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return _equal_sequences(a, b)
    # bool is an int to Python, and no number to the language
    return isinstance(a, bool) is isinstance(b, bool) and bool(a == b)


def _equals_unknown(a: Value, b: Value) -> bool | None:
    if type(a) is Unknown and type(b) is Unknown:
        return None
    unknown, known = (a, b) if type(a) is Unknown else (b, a)
    if is_null(known) or types.has_dynamic(unknown.type):
        return None
    known_type = types.type_of(known)
    return None if types.has_dynamic(known_type) or known_type is unknown.type else False


def _different_elements(a: Map | List | Set, b: Map | List | Set) -> bool:
    first, second = a.element, b.element
    if first is second:
        return False
    # what nothing is in is of a settled type, even if nobody said of which
    return not (a and b and (types.has_dynamic(first) or types.has_dynamic(second)))


def _equal_dicts(a: dict[str, Value], b: dict[str, Value]) -> bool | None:
    if isinstance(a, Map) is not isinstance(b, Map):
        return False
    if isinstance(a, Map) and isinstance(b, Map) and _different_elements(a, b):
        return False
    if a.keys() != b.keys():
        return False
    result: bool | None = True
    for key, value in a.items():
        same = _equal_inside(value, b[key])
        if same is False:
            return False
        if same is None:
            result = None
    return result


def _equal_inside(a: Value, b: Value) -> bool | None:
    if is_null(a) and is_null(b) and types.type_of(a) is not types.type_of(b):
        return False  # part of the whole's type, which then differs
    return equals(a, b)


def _equal_sequences(a: list[Value] | tuple[Value, ...], b: list[Value] | tuple[Value, ...]) -> bool | None:
    for family in (List, Set):
        if isinstance(a, family) is not isinstance(b, family):
            return False
    if isinstance(a, (List, Set)) and isinstance(b, (List, Set)) and _different_elements(a, b):
        return False
    if isinstance(a, Set) and not (is_known(a) and is_known(b)):
        return None
    if len(a) != len(b):
        return False
    result: bool | None = True
    for first, second in zip(a, b, strict=True):
        same = _equal_inside(first, second)
        if same is False:
            return False
        if same is None:
            result = None
    return result
