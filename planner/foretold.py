"""What hosts tell of objects before they are made: read when the plan is there, and only shown in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from hythe.planner.plan import Action, Change
from hythe.provider.hosts import Hosts
from hythe.provider.registry import Registry
from hythe.state.model import State
from hythe.value import Unknown

_MADE = (Action.CREATE, Action.REPLACE)


def foretold(changes: Sequence[Change], state: State, registry: Registry, hosts: Hosts) -> list[Change]:
    """The changes, with computed values that the host of each knows already.

    A host that cannot be asked, or is to be made itself, leaves them unknown.
    """
    out = list(changes)
    made = {c.address for c in changes if c.action in _MADE}
    asked: dict[tuple[str, str | None], list[int]] = defaultdict(list)
    for at, change in enumerate(changes):
        if change.action in _MADE and change.after is not None and registry.kind(change.kind).foretells:
            asked[change.kind, change.host].append(at)
    for (name, address), places in asked.items():
        owner = state.instances.get(address) if address is not None else None
        if address in made or (address is not None and owner is None):
            continue
        wanted = [dict(out[at].after or {}) for at in places]
        try:
            host = hosts.get(address, owner.attributes if owner is not None else None)
            told = registry.kind(name).foretell(host, wanted)
        except Exception:  # noqa: S112 - whoever makes the objects says what is wrong, and how to mend it
            continue
        for at, before, more in zip(places, wanted, told, strict=True):
            known = {n: v for n, v in more.items() if isinstance(before.get(n), Unknown)}
            if known:
                out[at] = replace(out[at], after={**before, **known})
    return out
