"""Comparing what is wished with what is there, argument by argument. Pure.

Both sides are canonical attributes (see :mod:`hythe.provider.schema`): what is not set is missing. The
schema says what a change does; the kind may say more (:meth:`~hythe.provider.protocol.Kind.hint`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hythe.provider.protocol import Kind
from hythe.provider.schema import Attribute, Effect, Schema
from hythe.value import ANY, Reference, Type, Unknown, is_known, list_of

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One top-level argument that differs. ``before`` or ``after`` is None where it is not set."""

    name: str
    before: Any
    after: Any
    effect: Effect
    reason: str = ""
    data_loss: bool = False


def compare(
    kind: Kind, observed: Mapping[str, Any], desired: Mapping[str, Any], ignore: Sequence[Path] = ()
) -> list[FieldChange]:
    """The arguments in which ``desired`` differs from ``observed``.

    Arguments that the configuration leaves to the engine, and what the provider computes, are not
    compared. ``ignore`` holds paths that changes are not looked for in.
    """
    schema = kind.schema
    wanted = apply_ignored(observed, desired, ignore) if ignore else desired
    changes: list[FieldChange] = []
    for name, spec in schema.attributes.items():
        after = wanted.get(name)
        before = observed.get(name)
        if before is after or spec.write_only:
            continue
        if after is None and (spec.engine_default or spec.computed):
            continue
        if same(spec, before, after):
            continue
        if is_known(after) and kind.equal((name,), before, after, dict(observed), dict(wanted)):
            continue
        hint = kind.hint((name,), before, after, dict(observed), dict(wanted))
        if hint is None:
            changes.append(FieldChange(name, before, after, spec.effect, "", spec.data_loss))
        else:
            changes.append(FieldChange(name, before, after, hint.effect, hint.reason, hint.data_loss))
    return changes


def same(spec: Attribute, before: Any, after: Any) -> bool:
    """Whether two canonical values of an argument are equal."""
    if before is None or after is None:
        if spec.nested is not None or isinstance(after if before is None else before, (list, dict)):
            return not before and not after and (before is None or after is None)
        return before is after
    if isinstance(after, Unknown) or isinstance(before, Unknown):
        return False
    if spec.nested is not None:
        return _same_blocks(spec, before, after)
    if spec.unordered and isinstance(before, list) and isinstance(after, list):
        return _same_multiset(before, after)
    return equal_values(before, after)


_MISSING = object()


def equal_values(a: Any, b: Any) -> bool:
    """Deep equality that tells true from 1, and compares references by identity."""
    kind = type(a)
    if kind is str:
        return bool(a == b)
    if kind is dict and type(b) is dict:
        if len(a) != len(b):
            return False
        for key, value in a.items():  # noqa: SIM110 - a generator takes twice as long
            if not equal_values(value, b.get(key, _MISSING)):
                return False
        return True
    if kind is list and type(b) is list:
        return len(a) == len(b) and all(map(equal_values, a, b))
    if isinstance(a, Reference) or isinstance(b, Reference):
        return _same_reference(a, b)
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def _same_reference(a: Any, b: Any) -> bool:
    if not (isinstance(a, Reference) and isinstance(b, Reference)):
        return False
    if isinstance(a.id, Unknown) or isinstance(b.id, Unknown):
        return False
    # the address is only a hint (it goes stale when a block is moved); the id is the identity
    return a.id == b.id


def _same_multiset(before: list[Any], after: list[Any]) -> bool:
    if len(before) != len(after):
        return False
    left = list(before)
    for item in after:
        for at, other in enumerate(left):
            if equal_values(other, item):
                del left[at]
                break
        else:
            return False
    return True


def _same_blocks(spec: Attribute, before: Any, after: Any) -> bool:
    assert spec.nested is not None
    schema = spec.nested
    if not isinstance(after, list) or not isinstance(before, list):
        if isinstance(after, list) or isinstance(before, list):
            return False
        return _same_block(schema, before, after)
    if len(before) != len(after):
        return False
    if not spec.unordered:
        return all(_same_block(schema, b, a) for b, a in zip(before, after, strict=True))
    left = list(before)
    for item in after:
        for at, other in enumerate(left):
            if _same_block(schema, other, item):
                del left[at]
                break
        else:
            return False
    return True


def _same_block(schema: Schema, before: Any, after: Any) -> bool:
    if isinstance(after, Unknown) or isinstance(before, Unknown):
        return False
    for name, spec in schema.attributes.items():
        b, a = before.get(name), after.get(name)
        if spec.write_only or (a is None and (spec.engine_default or spec.computed)):
            continue
        if not same(spec, b, a):
            return False
    return True


def apply_ignored(observed: Mapping[str, Any], desired: Mapping[str, Any], ignore: Sequence[Path]) -> Mapping[str, Any]:
    """``desired`` with what the ignored paths hold taken from ``observed``."""
    out = dict(desired)
    for path in ignore:
        _graft(observed, out, path)
    return out


def _graft(observed: Any, out: Any, path: Path) -> None:
    head, rest = path[0], path[1:]
    if isinstance(out, dict):
        there = isinstance(observed, Mapping) and head in observed
        if not rest:
            if there:
                out[head] = observed[head]
            else:
                out.pop(head, None)
        elif there and isinstance(out.get(head, {}), (dict, list)):
            inner = out.get(head)
            out[head] = dict(inner) if isinstance(inner, dict) else list(inner) if isinstance(inner, list) else {}
            _graft(observed[head], out[head], rest)
        elif head in out and isinstance(out[head], dict):
            out[head] = dict(out[head])
            _graft({}, out[head], rest)
    elif isinstance(out, list) and isinstance(head, int) and head < len(out):
        if not isinstance(observed, list) or head >= len(observed):
            return
        if not rest:
            out[head] = observed[head]
        elif isinstance(out[head], dict):
            out[head] = dict(out[head])
            _graft(observed[head], out[head], rest)


def unknown_type(spec: Attribute) -> Type:
    """The type of a value of this argument that is not known yet."""
    if spec.nested is not None:
        return list_of(ANY) if spec.repeated else ANY
    return spec.type


def planned_new(schema: Schema, desired: Mapping[str, Any]) -> dict[str, Any]:
    """What is known beforehand of an object to be made."""
    out = dict(desired)
    for name in schema.engine_defaults:
        if name not in out and schema.gives(name, out):
            out[name] = Unknown(unknown_type(schema.attributes[name]))
    return out


def planned_update(
    schema: Schema, observed: Mapping[str, Any], desired: Mapping[str, Any], changes: Sequence[FieldChange]
) -> dict[str, Any]:
    """What is known beforehand of an object to be changed in place."""
    changed = {c.name for c in changes}
    out = dict(observed)
    for name, spec in schema.attributes.items():
        if name in changed:
            if desired.get(name) is None:
                out.pop(name, None)
            else:
                out[name] = desired[name]
        elif spec.computed and spec.volatile and changes:
            out[name] = Unknown(unknown_type(spec))
    # in the order of the schema, whatever order the engine tells things in
    return {name: out[name] for name in schema.attributes if name in out} if changes else out


def describe(change: FieldChange, *, drift: bool) -> str:
    """The cause of a change as a phrase: ``image forces replacement``."""
    reason = f" ({change.reason})" if change.reason else ""
    if change.effect is Effect.REPLACE:
        return f"{change.name} forces replacement{reason}"
    if drift:
        return f"{change.name} was changed outside Hythe{reason}"
    if change.before is None:
        return f"{change.name} is added{reason}"
    if change.after is None:
        return f"{change.name} is removed{reason}"
    return f"{change.name} changes{reason}"
