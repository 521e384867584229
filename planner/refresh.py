"""Refreshing: what is there, read per host and kind in bulk."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from hythe.address import parse_address
from hythe.diagnostic import Diagnostic, error
from hythe.event import RefreshFinished, RefreshStarted, Sink, ignore
from hythe.provider.guard import diagnostics_of
from hythe.provider.protocol import (
    Host,
    HostSource,
    Observed,
    Presence,
    Project,
    ProviderError,
    ReadContext,
    ReadRequest,
)
from hythe.provider.registry import Registry, takes_along
from hythe.state.model import InstanceState, State


@dataclass(frozen=True, slots=True)
class Unreachable:
    """An object of which nothing is known now. ``host`` is what could not be read, for messages."""

    host: str
    diagnostics: tuple[Diagnostic, ...]


@dataclass(slots=True)
class Refreshed:
    """What was found of each object, by instance id. What was not read (not observable) is not in it.

    ``diagnostics`` are what the reads had to say besides.
    """

    found: dict[str, Observed | Unreachable] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def get(self, id: str) -> Observed | Unreachable | None:
        """What was found of the object with that instance id, None when it was not read."""
        return self.found.get(id)

    def unreachable(self) -> list[Unreachable]:
        """What could not be read, each failure once."""
        return list({id(f): f for f in self.found.values() if isinstance(f, Unreachable)}.values())


@dataclass(frozen=True, slots=True)
class _Group:
    host: str | None
    kind: str
    instances: list[InstanceState]


def refresh(
    state: State,
    registry: Registry,
    hosts: HostSource,
    *,
    project: Project,
    base_dir: str,
    parallelism: int = 10,
    targets: Collection[str] | None = None,
    sink: Sink = ignore,
    clock: Callable[[], float] = time.time,
) -> Refreshed:
    """Read every observable object of the state, deposed ones too.

    ``targets``: only instances at these addresses. Never raises for what a host or a kind does: such
    objects are :class:`Unreachable`.
    """
    result = Refreshed()
    groups = _groups(state, registry, targets, result)

    def read(group: _Group) -> tuple[dict[str, Observed | Unreachable], list[Diagnostic]]:
        name = group.host or "local"
        addresses = tuple(i.address for i in group.instances)
        sink(RefreshStarted(clock(), name, group.kind, addresses))
        found, notices, failed = _read(group, state, registry, hosts, project, base_dir, result)
        sink(RefreshFinished(clock(), name, group.kind, addresses, failed))
        return found, notices

    for level in _levels(groups, state):
        there = [g for g in level if not _ended(g, state, registry, result)]
        for found, notices in _each(read, there, parallelism):
            result.found.update(found)
            result.diagnostics += notices
    return result


def _levels(groups: list[_Group], state: State) -> list[list[_Group]]:
    """Groups in the order to read them: what is on a machine after the machine."""
    levels: dict[int, list[_Group]] = {}
    for group in groups:
        levels.setdefault(state.depth(group.host), []).append(group)
    return [levels[n] for n in sorted(levels)]


def _ended(group: _Group, state: State, registry: Registry, result: Refreshed) -> bool:
    """Whether the machine is gone, and everything on it with it, which is then noted."""
    if group.host is None or not takes_along(registry, group.host):
        return False
    machine = state.instances.get(group.host)
    if machine is not None and result.found.get(machine.id) is not Presence.ABSENT:
        return False
    result.found.update({i.id: Presence.ABSENT for i in group.instances})
    return True


def _each(
    read: Callable[[_Group], tuple[dict[str, Observed | Unreachable], list[Diagnostic]]],
    groups: list[_Group],
    parallelism: int,
) -> Iterable[tuple[dict[str, Observed | Unreachable], list[Diagnostic]]]:
    if len(groups) < 2 or parallelism < 2:
        return [read(g) for g in groups]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(parallelism, len(groups)), thread_name_prefix="refresh") as pool:
        return list(pool.map(read, groups))


def _groups(state: State, registry: Registry, targets: Collection[str] | None, result: Refreshed) -> list[_Group]:
    groups: dict[tuple[str | None, str, str], _Group] = {}
    skipped: dict[str, bool] = {}
    for instance in (*state.instances.values(), *state.deposed.values()):
        name = instance.kind
        skip = skipped.get(name)
        if skip is None:
            known = name in registry
            skip = skipped[name] = known and not registry.kind(name).observed
            if not known:
                result.diagnostics.append(unknown_kind(name, instance.address))
        if skip or is_data(instance.address) or (targets is not None and instance.address not in targets):
            continue
        if name not in registry:
            result.found[instance.id] = Unreachable(name, (unknown_kind(name, instance.address),))
            continue
        key = (instance.host, name, registry.kind(name).part(instance.attributes))
        group = groups.get(key)
        if group is None:
            group = groups[key] = _Group(instance.host, name, [])
        group.instances.append(instance)
    return [groups[k] for k in sorted(groups, key=lambda k: (k[0] or "", *k[1:]))]


def is_data(address: str) -> bool:
    """Whether the address is a data source's."""
    if address.startswith("data."):
        return True
    return ".data." in address and parse_address(address).mode == "data"


def unknown_kind(name: str, address: str) -> Diagnostic:
    """What to say of an object in state whose kind is not there."""
    text = (
        f"{address} in the state is of kind {name}, which this Hythe does not have. Install what brings it, or drop "
        f"the object from the state with `hythe state rm {address}`."
    )
    return error("Unknown kind in state", text, address=address)


def host_of(hosts: HostSource, state: State, address: str | None, refreshed: Refreshed | None = None) -> Host:
    """The host at an address as it was refreshed, or else as the state has it. Raises ProviderError."""
    if address is None:
        return hosts.local
    instance = state.instances.get(address)
    attributes: Mapping[str, object] | None = instance.attributes if instance is not None else None
    if instance is not None and refreshed is not None:
        found = refreshed.found.get(instance.id)
        attributes = found if isinstance(found, dict) else attributes
    return hosts.get(address, attributes)


def _read(
    group: _Group,
    state: State,
    registry: Registry,
    hosts: HostSource,
    project: Project,
    base_dir: str,
    refreshed: Refreshed,
) -> tuple[dict[str, Observed | Unreachable], list[Diagnostic], str | None]:
    name = group.host or "the local machine"
    try:
        host = host_of(hosts, state, group.host, refreshed)
        context = ReadContext(
            host, hosts.local, state.lineage, base_dir, project, lambda a: host_of(hosts, state, a, refreshed)
        )
        requests = [ReadRequest(i.id, i.address, i.attributes) for i in group.instances]
        observed = registry.kind(group.kind).read_many(context, requests)
    except Exception as failure:
        said = diagnostics_of(failure, group.kind, "read")
        lost = Unreachable(name, said)
        notices = [] if isinstance(failure, ProviderError) else list(said)
        return {i.id: lost for i in group.instances}, notices, said[0].detail if said else str(failure)
    missing = {i.id: i.address for i in group.instances if i.id not in observed}
    found: dict[str, Observed | Unreachable] = {i.id: observed[i.id] for i in group.instances if i.id not in missing}
    for id, address in missing.items():
        text = f"The kind {group.kind} did not say what became of {address}; it is kept as recorded. Please report it."
        found[id] = Unreachable(name, (error("Bug in a kind", text, address=address),))
    return found, list(context.notices), None
