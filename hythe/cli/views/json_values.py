"""Values, types and addresses as OpenTofu's JSON forms write them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hythe.address import Address, format_path
from hythe.cli.views.sensitive import MASK, Hidden, below, hides
from hythe.value import Marked, Null, Reference, Type, Unknown

_MAX_INT = 1 << 53


class _Dropped:
    __slots__ = ()


_DROPPED = _Dropped()


def dumps(value: Any, *, indent: bool = False) -> str:
    """JSON text of what :func:`plain` and the other functions here give; numbers stay exact."""
    import orjson

    return orjson.dumps(value, default=_exact, option=orjson.OPT_INDENT_2 if indent else 0).decode()


def _exact(value: Any) -> Any:
    import orjson

    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _number(value: int) -> Any:
    return value if -_MAX_INT < value < _MAX_INT else Decimal(value)


def plain(value: Any, hidden: Hidden = False, *, show: bool = False) -> Any:
    """The value for JSON: unknown parts left out of objects (null in lists), hidden ones masked.

    ``show``: hidden ones are given as they are.
    """
    found = _plain(value, hidden, show)
    return None if found is _DROPPED else found


def _plain(value: Any, hidden: Hidden, show: bool) -> Any:
    if type(value) is Unknown:
        return _DROPPED
    if hides(hidden, value) and not show:
        return None if value is None else MASK
    if isinstance(value, Marked):
        return _plain(value.value, False, show)
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        return _number(value)
    if isinstance(value, dict):
        pairs = ((k, _plain(v, below(hidden, k), show)) for k, v in value.items())
        return {k: v for k, v in pairs if v is not _DROPPED}
    if isinstance(value, (list, tuple)):
        items = (_plain(v, below(hidden, at), show) for at, v in enumerate(value))
        return [None if v is _DROPPED else v for v in items]
    if isinstance(value, Reference):
        return value.address
    if isinstance(value, Null):
        return None
    return value if isinstance(value, Decimal) else str(value)


def unknown_parts(value: Any) -> Any:
    """The value's shape with true where it is unknown; what is known is left out of objects."""
    if type(value) is Unknown:
        return True
    if isinstance(value, Marked):
        return unknown_parts(value.value)
    if isinstance(value, dict):
        return {k: found for k, v in value.items() if (found := unknown_parts(v)) is not False}
    if isinstance(value, (list, tuple)):
        return [unknown_parts(v) for v in value]
    return False


def sensitive_parts(value: Any, hidden: Hidden) -> Any:
    """The value's shape with true where it is sensitive; the rest is left out of objects."""
    if hides(hidden, value):
        return True
    if isinstance(value, dict):
        pairs = ((k, sensitive_parts(v, below(hidden, k))) for k, v in value.items())
        return {k: v for k, v in pairs if v is not False}
    if isinstance(value, (list, tuple)):
        return [sensitive_parts(v, below(hidden, at)) for at, v in enumerate(value)]
    return False


def type_json(kind: Type) -> Any:
    """A type as OpenTofu writes it: ``"string"``, ``["list", "string"]``, ``["object", {...}]``."""
    if kind.name == "any":
        return "dynamic"
    if kind.element is not None:
        return [kind.name, type_json(kind.element)]
    if kind.name == "tuple":
        return ["tuple", [type_json(t) for t in kind.elements]]
    if kind.name == "object":
        return ["object", {k: type_json(t) for k, t in kind.attributes.items()}]
    return kind.name


def resource_json(address: Address) -> dict[str, Any]:
    """A resource as UI events name it."""
    module = format_path(address.module)
    text = str(address)
    return {
        "addr": text,
        "module": module,
        "resource": text[len(module) + 1 :] if module else text,
        "implied_provider": address.kind.partition("_")[0],
        "resource_type": address.kind,
        "resource_name": address.name,
        "resource_key": address.key,
    }


def resource_facts(address: Address) -> dict[str, Any]:
    """A resource as plan and state representations name it."""
    facts: dict[str, Any] = {"address": str(address)}
    if address.module:
        facts["module_address"] = format_path(address.module)
    facts |= {"mode": address.mode, "type": address.kind, "name": address.name}
    if address.key is not None:
        facts["index"] = address.key
    facts["provider_name"] = PROVIDER
    return facts


PROVIDER = "hythe"
"""What ``provider_name`` says in the JSON forms: every kind is Hythe's."""
