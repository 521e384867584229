"""Between the planner's canonical attributes and the language's values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Any

from hythe.provider.schema import Attribute, Path, Schema
from hythe.value import (
    ANY,
    SENSITIVE,
    Instance,
    List,
    Map,
    Marked,
    Null,
    Reference,
    Sensitive,
    Type,
    Unknown,
    Value,
    object_of,
)

_ATOMS = frozenset({str, int, bool, Decimal})


def plain(value: Value, path: Path, sensitive: list[Path], marks: set[str], *, reference: bool = True) -> Any:
    """A language value as a canonical one; sensitive paths and all marks met are noted.

    Instances become references where ``reference`` is set.
    """
    kind = type(value)
    if value is None or kind in _ATOMS or kind is Unknown:
        return value
    if kind is Marked:
        marks |= value.marks
        if SENSITIVE in value.marks:
            sensitive.append(path)
        return plain(value.value, path, sensitive, marks, reference=reference)
    if kind is Instance:
        if reference:
            return value.reference()
        return {k: plain(v, (*path, k), sensitive, marks, reference=False) for k, v in value.items()}
    if isinstance(value, dict):
        items = dict(value)
        for key, item in value.items():
            if type(item) not in _ATOMS:
                items[key] = plain(item, (*path, key), sensitive, marks, reference=reference)
        return items
    if isinstance(value, (tuple, list)):
        elements = list(value)
        if not _ATOMS.issuperset(map(type, elements)):
            for at, item in enumerate(value):
                if type(item) not in _ATOMS:
                    elements[at] = plain(item, (*path, at), sensitive, marks, reference=reference)
        return elements
    if kind is Null:
        return None
    return value


Resolve = Callable[[Reference], Value]


def address_of(reference: Reference) -> Value:
    """A :data:`Resolve` that does not look behind the reference."""
    return reference.address


def expose(
    schema: Schema, attributes: Mapping[str, Any], sensitive: Collection[Path], resolve: Resolve
) -> dict[str, Value]:
    """The language's view of an instance's attributes: every argument is there, null when not set."""
    out: dict[str, Value] = {}
    hidden = {p for p in sensitive if p}
    for name, spec in schema.attributes.items():
        value = attributes.get(name)
        below = {p[1:] for p in hidden if p[0] == name}
        out[name] = _expose(spec, value, below, resolve)
    return out


def _expose(spec: Attribute, value: Any, sensitive: set[Path], resolve: Resolve) -> Value:
    if () in sensitive:
        return Sensitive(_expose(spec, value, sensitive - {()}, resolve))
    if spec.nested is not None:
        return _expose_block(spec, spec.nested, value, sensitive, resolve)
    if value is None:
        return None
    if spec.type is ANY:
        return _untyped(value, sensitive, resolve)
    return _typed(spec.type, value, sensitive, resolve)


def _expose_block(spec: Attribute, schema: Schema, value: Any, sensitive: set[Path], resolve: Resolve) -> Value:
    if isinstance(value, Unknown):
        return value
    if not spec.repeated:
        return None if value is None else expose(schema, value, sensitive, resolve)
    # blocks of one sort differ in the types of their untyped arguments, so the list is a tuple
    return tuple(
        item
        if isinstance(item, Unknown)
        else expose(schema, item, {p[1:] for p in sensitive if p and p[0] == at}, resolve)
        for at, item in enumerate(value or ())
    )


def _below(sensitive: set[Path], step: str | int) -> set[Path]:
    return {p[1:] for p in sensitive if p and p[0] == step} if sensitive else sensitive


def _typed(kind: Type, value: Any, sensitive: set[Path], resolve: Resolve) -> Value:
    if () in sensitive:
        return Sensitive(_typed(kind, value, sensitive - {()}, resolve))
    if kind.element is not None and isinstance(value, list):
        items = [_typed(kind.element, v, _below(sensitive, i), resolve) for i, v in enumerate(value)]
        return List(items, kind.element)
    if kind.element is not None and isinstance(value, dict):
        return Map({k: _typed(kind.element, v, _below(sensitive, k), resolve) for k, v in value.items()}, kind.element)
    return _untyped(value, sensitive, resolve)


def _untyped(value: Any, sensitive: set[Path], resolve: Resolve) -> Value:
    if () in sensitive:
        return Sensitive(_untyped(value, sensitive - {()}, resolve))
    if isinstance(value, Reference):
        return resolve(value)
    if isinstance(value, dict):
        return {k: _untyped(v, _below(sensitive, k), resolve) for k, v in value.items()}
    if isinstance(value, list):
        return tuple(_untyped(v, _below(sensitive, i), resolve) for i, v in enumerate(value))
    return value


def value_type(schema: Schema) -> Type:
    """The type of an instance of the schema, as far as it is the same for all."""
    return object_of({n: a.type if a.nested is None else ANY for n, a in schema.attributes.items()})


def references_in(value: Any, found: list[tuple[Path, Reference]], path: Path = ()) -> None:
    """Collect every reference in canonical attributes, with its path."""
    if isinstance(value, Reference):
        found.append((path, value))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if type(item) not in _ATOMS:
                references_in(item, found, (*path, key))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            if type(item) not in _ATOMS:
                references_in(item, found, (*path, at))
