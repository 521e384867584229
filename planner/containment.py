"""Machines that take along what is on them, as VMs do. Pure.

Destroying or replacing such a machine ends everything on it without a call of its own. What is on it is planned
all the same, so that protection is seen, and everything that goes is shown; it is told by ``with_host`` of its
change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace as with_fields
from typing import TYPE_CHECKING

from hythe.planner.plan import Action, Cause
from hythe.provider.protocol import Observed, Presence
from hythe.provider.registry import takes_along
from hythe.state.model import InstanceState
from hythe.value import Unknown

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
