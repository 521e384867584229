"""Between language values and plain Python or JSON ones."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from hythe.modules.language import types
from hythe.value import (
    EPHEMERAL,
    SENSITIVE,
    Instance,
    Lazy,
    List,
    Map,
    Marked,
    Null,
    Reference,
    Set,
    Unknown,
    Value,
    normalized,
    number,
)

_OWN = (Lazy, List, Map, Set, Unknown, Null, Reference, Instance)


def from_python(value: object) -> Value:
    """A language value from plain Python: dicts become objects, lists and tuples tuples, sets sets.

    A float means the number that it prints as. What is a language value already stays as it is.
    Raises TypeError for anything else.
    """
    if isinstance(value, str):
        return normalized(value)
    if value is None or isinstance(value, (bool, int, *_OWN)):
        return value
    if isinstance(value, float):
        return number(Decimal(repr(value)))
    if isinstance(value, Decimal):
        return number(value)
    if isinstance(value, Marked):
        return Marked(from_python(value.value), value.marks)
    if isinstance(value, Mapping):
        return {normalized(str(key)): from_python(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(from_python(item) for item in value)
    if isinstance(value, (set, frozenset)):
        items = [from_python(item) for item in value]
        element = types.unify([types.type_of(item) for item in items])
        if element is None:
            raise TypeError("the elements of a set must have one type")
        return types.make_set(items, element)
    raise TypeError(f"no value of the language: {type(value).__name__}")


def to_json(value: Value) -> object:
    """The plain JSON form of a value: dicts, lists, str, int, Decimal, bool and None.

    Unknown is ``{"$unknown": type}``, a sensitive value ``{"$sensitive": value}``, an ephemeral one
    ``{"$ephemeral": value}``; sets are sorted lists, references their address.
    """
    if isinstance(value, Marked):
        plain = to_json(value.value)
        for name in (EPHEMERAL, SENSITIVE):
            if name in value.marks:
                plain = {f"${name}": plain}
        return plain
    if isinstance(value, Unknown):
        return {"$unknown": str(value.type)}
    if isinstance(value, Null):
        return None
    if isinstance(value, Reference):
        return value.address
    if isinstance(value, Lazy):
        return to_json(value.force(set()))
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value
