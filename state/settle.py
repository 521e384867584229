"""Settling: what became of operations that an earlier run left open.

Reads only. Each pending intent is looked up on its host by instance id, in bulk per host and kind, and
answered with a :class:`~hythe.state.model.Result`. Plan uses the settled state and forgets it; apply
records the results first. What cannot be looked up now (host not reachable) stays pending.

An engine goes on with what it was asked for when whoever asked is killed. So a creation of which nothing
is to be seen is looked up again until the run that was killed is some seconds past.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from hythe.diagnostic import Diagnostic, warning
from hythe.event import IntentProgress, IntentSettled, RefreshFinished, RefreshStarted, Sink, ignore
from hythe.provider.guard import diagnostics_of
from hythe.provider.protocol import (
    Attributes,
    Found,
    Host,
    HostSource,
    HostUnreachable,
    Project,
    ReadContext,
    ReadRequest,
)
from hythe.provider.registry import Registry, takes_along
from hythe.provider.schema import storable
from hythe.state.model import InstanceState, Intent, Result, State
from hythe.state.session import Session

DEPOSED_DELETE = "deposed-delete"
_PAUSE = 0.25


@dataclass(slots=True)
class Settled:
    """``state`` after settling, the ``results`` that made it so, and what is still open.

    ``tainted`` new objects among the deposed are leftovers of replacements that never became ready.
    """

    state: State
    results: list[Result] = field(default_factory=list)
    pending: tuple[Intent, ...] = ()
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def record(self, session: Session) -> None:
        """Make the results durable in a session that was begun from the same loaded state."""
        for result in self.results:
            session.record(result)


@dataclass(slots=True)
class _Seen:
    """What was found on one host of one kind: objects by instance id, and what is there of known ones."""

    found: dict[str, Found] = field(default_factory=dict)
    there: dict[str, Attributes] = field(default_factory=dict)
    problem: tuple[Diagnostic, ...] = ()


def settle(
    state: State,
    pending: Sequence[Intent],
    registry: Registry,
    hosts: HostSource,
    *,
    project: Project,
    base_dir: str,
    last_record: float | None = None,
    sink: Sink = ignore,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Settled:
    """Find out what became of the pending intents. Never raises for what hosts and kinds do.

    ``last_record`` is when the run that left them open was last known to be alive, in seconds since the
    epoch; None when that is long ago.
    """
    settled = Settled(state.copy())
    if not pending:
        return settled
    groups: dict[tuple[str | None, str, str], list[Intent]] = {}
    for intent in pending:
        made = intent.instance
        part = registry.kind(made.kind).part(made.attributes) if made.kind in registry else ""
        groups.setdefault((made.host, made.kind, part), []).append(intent)
    left: list[Intent] = []
    # machines first: what became of them decides what is still on them
    order = sorted(groups.items(), key=lambda item: state.depth(item[0][0]))

    def waits(address: str, text: str) -> None:
        sink(IntentProgress(clock(), address, text))

    for (host, kind, _), intents in order:

        def look(host: str | None = host, kind: str = kind, intents: list[Intent] = intents) -> _Seen:
            return _look(settled.state, host, kind, intents, registry, hosts, project, base_dir, waits)

        seen = look()
        lag = registry.kind(kind).lag if kind in registry else 0.0
        if last_record is not None and lag:
            left_to_wait = min(last_record + lag - clock(), lag)
            seen = _late(look, seen, intents, math.ceil(left_to_wait / _PAUSE), sink, clock, sleep)
        for intent in intents:
            address = intent.instance.address
            if seen.problem:
                left.append(intent)
                settled.diagnostics.append(_open(intent, seen.problem))
                continue
            result, outcome, detail = _judge(intent, settled.state, seen)
            result.apply(settled.state)
            settled.results.append(result)
            sink(IntentSettled(clock(), address, outcome, detail))
    settled.pending = tuple(sorted(left, key=lambda i: i.seq))
    return settled


def _open(intent: Intent, problem: tuple[Diagnostic, ...]) -> Diagnostic:
    why = " ".join(f"{d.summary}: {d.detail}" for d in problem)
    text = (
        f"An earlier run was stopped during the {intent.op} of {intent.instance.address}, and what became of it cannot "
        f"be found out now. {why} It is looked up again by the next run."
    )
    return warning("Interrupted operation not settled", text, address=intent.instance.address)


# -- looking --------------------------------------------------------------------------------------


def _late(
    look: Callable[[], _Seen],
    seen: _Seen,
    intents: list[Intent],
    times: int,
    sink: Sink,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> _Seen:
    """Look again for what was not there yet, so many times."""

    def missing() -> tuple[str, ...]:
        made = (i.instance for i in intents if i.op in ("create", "swap"))
        return () if seen.problem else tuple(i.address for i in made if i.id not in seen.found)

    waiting = missing()
    if times <= 0 or not waiting:
        return seen
    host, kind = intents[0].instance.host or "local", intents[0].instance.kind
    sink(RefreshStarted(clock(), host, kind, waiting))
    while times > 0 and missing():
        sleep(_PAUSE)
        seen = look()
        times -= 1
    sink(RefreshFinished(clock(), host, kind, waiting, None))
    return seen


def _look(
    state: State,
    host: str | None,
    kind_name: str,
    intents: list[Intent],
    registry: Registry,
    hosts: HostSource,
    project: Project,
    base_dir: str,
    waits: Callable[[str, str], None],
) -> _Seen:
    seen = _Seen()
    if kind_name not in registry:
        text = f"The kind {kind_name} is not there; install what brings it."
        seen.problem = (warning("Unknown kind", text),)
        return seen
    kind = registry.kind(kind_name)
    if not kind.observed or (host is not None and host not in state.instances and takes_along(registry, host)):
        # a machine that is gone took along what was on it
        return seen

    def at(address: str | None) -> Host:
        instance = state.instances.get(address) if address is not None else None
        return hosts.get(address, instance.attributes if instance is not None else None)

    try:
        context = ReadContext(at(host), hosts.local, state.lineage, base_dir, project, at, progress=waits)
        marks = [ReadRequest(i.instance.id, i.instance.address, i.instance.attributes) for i in intents]
        seen.found = kind.find(context, marks)
        known = [ReadRequest(i.id, i.address, i.attributes) for i in _known(intents, state)]
        observed = kind.read_many(context, known) if known else {}
        seen.there = {
            id: storable(kind.schema, attributes) for id, attributes in observed.items() if isinstance(attributes, dict)
        }
        seen.found = {id: replace(f, attributes=storable(kind.schema, f.attributes)) for id, f in seen.found.items()}
    except HostUnreachable as failure:
        seen.problem = failure.diagnostics
    except Exception as failure:
        seen.problem = diagnostics_of(failure, kind_name, "find")
    return seen


def _known(intents: list[Intent], state: State) -> list[InstanceState]:
    """The objects in state that the intents were about to change or remove."""
    out: dict[str, InstanceState] = {}
    for intent in intents:
        current = state.instances.get(intent.instance.address)
        for candidate in (current, state.deposed.get(intent.instance.id)):
            if candidate is None or candidate.host != intent.instance.host:
                continue
            if candidate.id in (intent.instance.id, intent.old_id):
                out[candidate.id] = candidate
    return list(out.values())


# -- judging --------------------------------------------------------------------------------------


def _judge(intent: Intent, state: State, seen: _Seen) -> tuple[Result, str, str]:
    """The result that answers an intent, with the outcome and its words for the event."""
    if intent.op in ("create", "swap"):
        return _made(intent, state, seen)
    if intent.op == "update":
        return _updated(intent, state, seen)
    return _deleted(intent, state, seen)


def _made(intent: Intent, state: State, seen: _Seen) -> tuple[Result, str, str]:
    """A creation, plain or in place of an old object (``old_id``)."""
    found = seen.found.get(intent.instance.id)
    if found is None:
        return Result(intent.seq), "dropped", "it was not made"
    made = replace(intent.instance, attributes=found.attributes, tainted=not found.complete)
    old = state.instances.get(made.address)
    if old is None or intent.old_id is None or old.id != intent.old_id or old.id == made.id:
        words = "it was made" if found.complete else "it was made in part and will be made anew"
        return Result(intent.seq, put=made), "adopted", words
    old_there = old.id in seen.there or old.host != made.host
    if not old_there:
        words = "it has taken the old one's place"
        return Result(intent.seq, put=made), "adopted", words
    if found.complete:
        words = "it is ready; the old one will be removed"
        return Result(intent.seq, put=made, depose=(old,)), "adopted", words
    words = "it was made in part and will be removed; the old one is still there"
    return Result(intent.seq, depose=(made,)), "finished", words


def _updated(intent: Intent, state: State, seen: _Seen) -> tuple[Result, str, str]:
    current = state.instances.get(intent.instance.address)
    attributes = seen.there.get(intent.instance.id)
    if current is None or current.id != intent.instance.id or attributes is None:
        return Result(intent.seq), "dropped", "it is as it was"
    words = "what it is now was read"
    return Result(intent.seq, put=replace(current, attributes=attributes)), "finished", words


def _deleted(intent: Intent, state: State, seen: _Seen) -> tuple[Result, str, str]:
    instance = intent.instance
    left = seen.found.get(instance.id)
    if instance.id in seen.there or (left is None and not _gone(intent, state, seen)):
        return Result(intent.seq), "dropped", "it is still there"
    if left is None:
        if intent.op == DEPOSED_DELETE:
            return Result(intent.seq, undepose=(instance.id,)), "finished", "it was removed"
        return Result(intent.seq, drop=instance.address), "finished", "it was removed"
    rest = replace(instance, attributes=left.attributes, tainted=True)
    if intent.op == DEPOSED_DELETE:
        return Result(intent.seq, depose=(rest,)), "dropped", "a part of it is still there"
    return Result(intent.seq, put=rest), "dropped", "a part of it is still there"


def _gone(intent: Intent, state: State, seen: _Seen) -> bool:
    """Whether a deletion may be taken as done: the object was looked for, and it is still this one."""
    instance = intent.instance
    if intent.op == DEPOSED_DELETE:
        return instance.id in state.deposed
    current = state.instances.get(instance.address)
    return current is not None and current.id == instance.id
