"""Machines that take along what is on them, as VMs do. Pure.

Destroying or replacing such a machine ends everything on it without a call of its own. What is on it is planned
all the same, so that protection is seen, and everything that goes is shown; it is told by ``with_host`` of its
change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace as with_fields
from typing import TYPE_CHECKING

from hythe.planner.deferral import is_deferred
from hythe.planner.diff import FieldChange
from hythe.planner.plan import Action, Cause, Plan
from hythe.provider.protocol import Observed, Presence
from hythe.provider.registry import Registry, takes_along
from hythe.state.model import InstanceState
from hythe.value import Reference, Unknown

if TYPE_CHECKING:
    from hythe.planner.build import Builder

_ENDS = (Action.DELETE, Action.REPLACE)


def remade(builder: Builder, host: str | None) -> str:
    """How a machine that takes its contents along is made anew: ``replaced``, ``made``, or ''."""
    planned = builder.planned.get(host) if host is not None else None
    if planned is None or host is None or not takes_along(builder.registry, host):
        return ""
    if planned.replaced:
        return "replaced"
    return "made" if isinstance(planned.id, Unknown) else ""


def follows_host(builder: Builder, change: FieldChange) -> bool:
    """Whether the change is that the machine, on which the object stays, is replaced: it takes along what is on it."""
    before, after = change.before, change.after
    if change.name != "host" or not isinstance(before, Reference) or not isinstance(after, Reference):
        return False
    return before.address == after.address and remade(builder, after.address) == "replaced"


def settled(builder: Builder, prior: InstanceState, host: str | None) -> Observed | None:
    """What may be taken as observed of an object that nobody can look at, because its machine ends with this plan.

    ``host`` is where it shall be. None when its machine stays.
    """
    fate = remade(builder, prior.host)
    left = prior.host is not None and prior.host != host and prior.host not in builder.planned
    if fate == "replaced" or (left and takes_along(builder.registry, prior.host or "")):
        return dict(prior.attributes)
    return Presence.ABSENT if fate else None


def mark(builder: Builder) -> None:
    """Tell of every object that ends with its machine that it does."""
    changes = builder.result.changes
    ending = (c.address for c in changes if c.action in _ENDS and not c.deposed)
    ends = {a for a in ending if takes_along(builder.registry, a)}
    if not ends:
        return
    hosts = {a: i.host for a, i in builder.state.instances.items()}
    for place, change in enumerate(changes):
        if change.action not in _ENDS:
            continue
        first = change.host if change.deposed else hosts.get(change.address)
        end = next((h for h in _chain(hosts, first) if h in ends), None)
        if end is None:
            continue
        causes = change.causes
        if change.action is Action.DELETE:
            causes = (Cause(f"it goes with {end}"), *(c for c in causes if c.path))
        changed = with_fields(change, with_host=True, unknown_host=False, causes=causes)
        changes[place] = changed
        if not change.deposed and change.address in builder.kept:
            builder.kept[change.address] = changed


def _chain(hosts: Mapping[str, str | None], first: str | None) -> Iterator[str]:
    """A machine, the machine that is on, and so on."""
    seen: set[str] = set()
    while first is not None and first not in seen:
        seen.add(first)
        yield first
        first = hosts.get(first)


def to_look_at_again(plan: Plan, registry: Registry) -> list[str]:
    """Machines on which things may be other than planned once the plan was carried out, sorted.

    Those that the plan starts, where nobody could look at what is on them, and those that it starts anew, with which
    what is on them is started anew too, or is not.
    """
    changes = {c.address: c for c in plan.changes if not c.deposed}
    hosts = {a: c.host for a, c in changes.items()}
    found: set[str] = set()
    for change in plan.changes:
        for machine in _chain(hosts, change.host):
            made = changes.get(machine)
            if made is None or made.action not in (Action.UPDATE, Action.UPDATE_RESTART):
                continue
            again = made.action is Action.UPDATE_RESTART or change.unknown_host
            if again and takes_along(registry, machine):
                found.add(machine)
    return sorted(found)


_MILD = frozenset({Action.CREATE, Action.UPDATE, Action.UPDATE_RESTART, Action.READ, Action.NOOP})


def is_announced(plan: Plan, machines: Collection[str], deferred: Collection[str] = ()) -> bool:
    """Whether a plan made after looking again does no more than to start and make what is on these machines.

    Or what is of ``deferred`` blocks, of which it was said that they are expanded during apply.
    """
    hosts = {c.address: c.host for c in plan.changes}
    return all(
        c.action in _MILD and (is_deferred(c.address, deferred) or any(h in machines for h in _chain(hosts, c.host)))
        for c in plan.actions
        if c.mode != "data"
    )
