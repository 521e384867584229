"""What older versions of Hythe wrote, brought to the format of this one. Pure.

There is one function for each step from a version to the next, on decoded JSON, and a file of each old version
under tests/golden/state, written by the code of its time. A newer format is refused where it is read.

Attributes are the business of their kinds, which count versions of their own (see
:meth:`hythe.provider.protocol.Kind.upgrade`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hythe.diagnostic import Diagnostic, DiagnosticError, error

if TYPE_CHECKING:
    from hythe.provider.registry import Registry
    from hythe.state.model import InstanceState
    from hythe.state.session import Loaded

Json = dict[str, Any]
Step = Callable[[Json], Json]


def _snapshot_1(body: Json) -> Json:
    """Version 2 says who wrote a snapshot; of older ones nobody knows."""
    return {**body, "written": None, "hythe": "", "operation": ""}


def _header_1(header: Json) -> Json:
    """Version 2 says which Hythe began a journal."""
    return {**header, "hythe": ""}


SNAPSHOT_STEPS: Mapping[int, Step] = {1: _snapshot_1}
"""Steps by the version that they begin from."""
HEADER_STEPS: Mapping[int, Step] = {1: _header_1}
"""Steps of a journal's first record."""
RECORD_STEPS: Mapping[int, Step] = {}
"""Steps of a journal's other records, where they differ."""


def upgrade_snapshot(body: Json, version: int) -> Json:
    """The content of a snapshot of that version, in today's format. Raises what damaged content makes it raise."""
    return _upgraded(body, version, SNAPSHOT_STEPS)


def upgrade_journal(records: list[Json], version: int) -> list[Json]:
    """The records of a journal of that version, the header first."""
    if not records or version >= 1 + max(HEADER_STEPS, default=0):
        return records
    header, *rest = records
    return [_upgraded(header, version, HEADER_STEPS), *(_upgraded(r, version, RECORD_STEPS) for r in rest)]


def _upgraded(data: Json, version: int, steps: Mapping[int, Step]) -> Json:
    for at in sorted(steps):
        if at >= version:
            data = steps[at](data)
    return data


# -- what kinds changed ---------------------------------------------------------------------------


def upgrade_instances(loaded: Loaded, registry: Registry) -> None:
    """Bring all attributes to what today's kinds expect, in place. Nothing is written.

    Raises DiagnosticError for objects of newer kinds, and where a kind cannot make sense of what is there.
    """
    found: list[Diagnostic] = []
    versions: dict[str, int | None] = {}

    def upgraded(instance: InstanceState) -> InstanceState:
        name = instance.kind
        if name not in versions:
            versions[name] = registry.kind(name).version if name in registry else None
        if versions[name] in (instance.schema_version, None):
            return instance
        return _upgrade_instance(instance, registry, found)

    state = loaded.state
    for objects in (state.instances, state.deposed):
        objects.update({key: made for key, old in objects.items() if (made := upgraded(old)) is not old})
    loaded.pending = tuple(replace(i, instance=upgraded(i.instance)) for i in loaded.pending)
    if found:
        raise DiagnosticError(*dict.fromkeys(found))


def _upgrade_instance(instance: InstanceState, registry: Registry, found: list[Diagnostic]) -> InstanceState:
    from hythe.provider.guard import diagnostics_of

    kind = registry.kind(instance.kind)
    if instance.schema_version > kind.version:
        text = (
            f"{instance.address} was recorded by a newer version of the kind {kind.name} (its schema has version "
            f"{instance.schema_version}, and this one {kind.version}). Use the Hythe, or the plug-in, that wrote it."
        )
        found.append(error("State from a newer version", text, address=instance.address))
        return instance
    try:
        attributes = kind.upgrade(dict(instance.attributes), instance.schema_version)
    except Exception as failure:
        found += diagnostics_of(failure, kind.name, "upgrade", instance.address)
        return instance
    sensitive = tuple(dict.fromkeys((*instance.sensitive, *kind.schema.sensitive_paths(attributes))))
    return replace(instance, attributes=attributes, sensitive=sensitive, schema_version=kind.version)
