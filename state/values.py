"""Values as JSON without loss: exact numbers, references, unknowns, typed collections. Pure.

What JSON has no word for is an object with a single key that starts with ``$``:

=================================  ==========================================
``{"$number": "1.5"}``             a Decimal, or an int beyond 64 bits
``{"$ref": {...}}``                a Reference
``{"$unknown": "string"}``         an Unknown of that type
``{"$null": "string"}``            a typed null
``{"$list": ["string", [...]]}``   a List (also ``$set``, ``$map``)
``{"$object": {...}}``             a plain object one of whose keys starts with ``$``
=================================  ==========================================
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from hythe.value import List, Map, Null, Reference, Set, Type, Unknown, parse_type_text

_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_ATOMS = frozenset({str, bool, type(None)})


def encode_value(value: Any) -> Any:
    """What orjson can write and :func:`decode_value` reads back the same.

    Tuples come back as lists. Raises TypeError for what must not be stored: marked values (their secrecy
    would be lost) and objects that are no values.
    """
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is int:
        return value if _INT_MIN <= value <= _INT_MAX else {"$number": str(value)}
    if kind is dict:
        return _encode_dict(value)
    if kind is list or kind is tuple:
        return [encode_value(v) for v in value]
    if kind is Decimal:
        return {"$number": str(value)}
    if kind is Reference:
        return {"$ref": {"kind": value.kind, "address": value.address, "id": encode_value(value.id)}}
    return _encode_rare(value)


def _encode_dict(value: Mapping[str, Any]) -> Any:
    out: dict[str, Any] = {}
    escape = False
    for key, item in value.items():
        if key[:1] == "$":
            escape = True
        out[key] = item if type(item) in _ATOMS else encode_value(item)
    return {"$object": out} if escape else out


def _encode_rare(value: Any) -> Any:
    kind = type(value)
    if kind is Unknown:
        return {"$unknown": str(value.type)}
    if kind is Null:
        return {"$null": str(value.type)}
    if kind is List:
        return {"$list": [str(value.element), [encode_value(v) for v in value]]}
    if kind is Set:
        return {"$set": [str(value.element), [encode_value(v) for v in value]]}
    if kind is Map:
        return {"$map": [str(value.element), _encode_dict(value)]}
    if isinstance(value, bool):
        return bool(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return encode_value(int(value))
    if isinstance(value, Mapping):
        return _encode_dict(value)
    if isinstance(value, (list, tuple)):
        return [encode_value(v) for v in value]
    raise TypeError(f"a {kind.__name__} cannot be stored")


def decode_value(value: Any) -> Any:
    """The value that :func:`encode_value` was given. Raises ValueError for what it never makes."""
    kind = type(value)
    if kind is dict:
        if len(value) == 1:
            ((key, inner),) = value.items()
            if key[:1] == "$":
                return _decode_tagged(key, inner)
        return {k: v if type(v) in _ATOMS else decode_value(v) for k, v in value.items()}
    if kind is list:
        return [decode_value(v) for v in value]
    if kind is float:
        raise ValueError("a number is not stored exactly")
    return value


def _decode_tagged(tag: str, inner: Any) -> Any:
    try:
        if tag == "$object":
            return {k: decode_value(v) for k, v in inner.items()}
        if tag == "$number":
            return Decimal(inner) if any(c in ".eE" for c in inner) else int(inner)
        if tag == "$ref":
            return Reference(inner["kind"], inner["address"], decode_value(inner["id"]))
        if tag in ("$list", "$set", "$map"):
            element = parse_type_text(inner[0])
            items = decode_value(inner[1])
            return Map(items, element) if tag == "$map" else (List if tag == "$list" else Set)(items, element)
        if tag in ("$unknown", "$null"):
            of: Type = parse_type_text(inner)
            return Unknown(of) if tag == "$unknown" else Null(of)
    except (ArithmeticError, AttributeError, KeyError, IndexError, TypeError) as failure:
        raise ValueError(f"{tag} holds what it cannot: {failure}") from failure
    raise ValueError(f"{tag} is not known")
