"""What changed in the world since the last apply."""

from __future__ import annotations

from typing import Any

from hythe.planner.diff import same
from hythe.planner.plan import Action, Cause, Change
from hythe.planner.refresh import Unreachable
from hythe.provider.protocol import Kind, Observed, Presence
from hythe.provider.schema import Attribute
from hythe.state.model import InstanceState


def _same(spec: Attribute, before: Any, now: Any) -> bool:
    return before is now or spec.volatile or spec.write_only or same(spec, before, now)


def drift_of(prior: InstanceState, observed: Observed | Unreachable, kind: Kind | None) -> Change | None:
    """The difference between state and reality as a change, None when there is none.

    Values that change by themselves (volatile ones) do not count.
    """
    if kind is None or isinstance(observed, Unreachable):
        return None
    if observed is Presence.ABSENT:
        return Change(
            address=prior.address,
            kind=prior.kind,
            action=Action.DELETE,
            before=prior.attributes,
            before_sensitive=prior.sensitive,
            id=prior.id,
            causes=(Cause("it was removed outside Hythe", drift=True),),
            host=prior.host,
        )
    assert isinstance(observed, dict)
    changed = tuple(
        name
        for name, spec in kind.schema.attributes.items()
        if not _same(spec, prior.attributes.get(name), observed.get(name))
    )
    if not changed:
        return None
    return Change(
        address=prior.address,
        kind=prior.kind,
        action=Action.UPDATE,
        before=prior.attributes,
        after=observed,
        before_sensitive=prior.sensitive,
        after_sensitive=prior.sensitive,
        id=prior.id,
        changed=changed,
        causes=tuple(Cause(f"{name} was changed outside Hythe", (name,), drift=True) for name in changed),
        host=prior.host,
    )
