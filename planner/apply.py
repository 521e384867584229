"""Apply: carries a plan out. It decides nothing; it orders, waits, records and tells.

The calling thread is the only one that evaluates, changes the state and hands out work; calls of kinds
run in worker threads, except for kinds that have no object outside the state.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from hythe.diagnostic import Diagnostic, as_warning, error, has_errors
from hythe.event import (
    ApplyStarted,
    OperationFailed,
    OperationFinished,
    OperationSkipped,
    Sink,
    ignore,
)
from hythe.planner import moves
from hythe.planner.apply_graph import Graph, Node, Op
from hythe.planner.apply_limits import Gate
from hythe.planner.apply_record import INTENT_OPS, instance_of, not_recorded, refreshed, result_of, stale
from hythe.planner.apply_values import Evaluator, Wish, wish_of
from hythe.planner.apply_work import Done, Surroundings, Task, Workers, ending_machines
from hythe.planner.plan import Action, Change, Mode, Plan
from hythe.planner.refresh import is_data
from hythe.provider.guard import diagnostics_of
from hythe.provider.protocol import HostSource, Interrupted, Project
from hythe.provider.registry import Registry, takes_along
from hythe.state.backends.base import LeaseLost
from hythe.state.journal import JournalFailed
from hythe.state.model import OutputState, Result, State
from hythe.state.session import Session

INTERRUPTED = "interrupted"
NOT_RECORDED = "the state cannot be written"
_PAUSE = 0.1
_GRACE = 1.0
_INLINE_BATCH = 256


class Flag(Protocol):
    """Something that may be set from a signal handler, like ``threading.Event``."""

    def is_set(self) -> bool:
        """Whether it is."""


class StopSignal(Protocol):
    """What the user wants. ``soft``: begin nothing new; ``hard``: do not wait for what runs either."""

    @property
    def soft(self) -> Flag:
        """Begin nothing new."""

    @property
    def hard(self) -> Flag:
        """Stop at once."""


@dataclass(slots=True)
class ApplyResult:
    """What came of it. ``counts`` is by operation (see :class:`~hythe.planner.apply_graph.Op` for names),
    with ``failed`` and ``skipped``. ``interrupted``: the user stopped it.
    """

    state: State
    diagnostics: list[Diagnostic] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    interrupted: bool = False

    @property
    def outputs(self) -> Mapping[str, OutputState]:
        """The root outputs."""
        return self.state.outputs

    @property
    def complete(self) -> bool:
        """Whether all of the plan was done."""
        return not has_errors(self.diagnostics) and not self.interrupted


def apply(
    plan: Plan,
    session: Session,
    registry: Registry,
    hosts: HostSource,
    evaluator: Evaluator,
    *,
    project: Project,
    base_dir: str | None = None,
    lock: Mapping[str, str] | None = None,
    remember_lock: Callable[[str, str], None] = lambda name, value: None,
    parallelism: int = 10,
    per_host: int | None = None,
    stop: StopSignal | None = None,
    sink: Sink = ignore,
    clock: Callable[[], float] = time.time,
    new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
) -> ApplyResult:
    """Carry out the plan and write the state; the session is finished afterwards.

    ``per_host`` limits the operations at once on one host (default: ``parallelism``), besides each kind's
    own limit. Nothing that hosts, kinds or disks do is raised: it is in the result's diagnostics.
    """
    problems = stale(plan, session)
    if problems:
        session.close()
        return ApplyResult(session.state, problems)

    def stop_now() -> bool:
        return stop is not None and stop.hard.is_set()

    root, ending = base_dir or plan.config.root, ending_machines(plan, registry)
    surroundings = Surroundings(
        session, hosts, project, root, lock or {}, remember_lock, stop_now, sink, clock, registry, ending
    )
    try:
        moves.record(session, dict(plan.moves))
        run = _Run(plan, registry, evaluator, surroundings, stop, new_id, parallelism, per_host or parallelism)
        return run.run()
    finally:
        session.close()


class _Run:
    """One apply under way."""

    def __init__(
        self,
        plan: Plan,
        registry: Registry,
        evaluator: Evaluator,
        surroundings: Surroundings,
        stop: StopSignal | None,
        new_id: Callable[[], str],
        parallelism: int,
        per_host: int,
    ) -> None:
        self.plan, self.registry, self.evaluator, self.stop, self.new_id = plan, registry, evaluator, stop, new_id
        self.around = surroundings
        self.session = surroundings.session
        self.sink, self.clock = surroundings.sink, surroundings.clock
        self.result = ApplyResult(self.session.state)
        # creations that an earlier run left open, and of which nothing could be found out; those on a machine that
        # is made anew came to nothing
        made = {c.address for c in plan.changes if c.action in (Action.CREATE, Action.REPLACE)}
        opened = (i.instance for i in self.session.pending.values() if i.op in ("create", "swap"))
        self.open = {i.address for i in opened if i.host not in made or not takes_along(registry, i.host or "")}
        self.graph = Graph(plan.changes, self.session.state, registry)
        self.gate = Gate(registry, parallelism, per_host)
        self.workers = Workers(self._carry_out, max(1, parallelism))
        self.inline: deque[Node] = deque()
        self.running: set[Node] = set()
        self.left = dict.fromkeys(self.graph.nodes)
        self.untold: deque[tuple[int, OperationFinished]] = deque()
        """Successes that are told when they are durable."""
        self.telling = threading.Lock()

    # -- the whole ------------------------------------------------------------------------------

    def run(self) -> ApplyResult:
        """Everything, from the refreshed values to the snapshot."""
        problems = self.graph.problems()
        if problems:
            self.result.diagnostics += problems
            return self.result
        self._take_over_refreshed()
        self.session.notify = lambda: self.workers.done.put(None)
        self.sink(ApplyStarted(self.clock(), len(self.graph.nodes)))
        for node in self.graph.nodes:
            if not node.waits:
                self._ready(node)
        try:
            self._loop()
        finally:
            self.workers.close()
            self.session.notify = None
        self._end()
        return self.result

    def _take_over_refreshed(self) -> None:
        """What refreshing found of instances that are left alone; it needs no journal."""
        state = self.session.state
        for change in self.plan.changes:
            if change.action is not Action.NOOP or change.before is None or change.unknown_host:
                continue
            prior = state.instances.get(change.address)
            if prior is None or prior.id != change.id or change.mode == "data" or change.kind not in self.registry:
                continue
            now = refreshed(prior, change, self.registry.kind(change.kind))
            if now != prior:
                self.session.refresh(now)
        if self.plan.mode is Mode.REFRESH_ONLY:
            self._forget_absent(self.plan.drift)
        reads = {c.address for c in self.plan.changes if c.action is Action.READ}
        if self.plan.complete:
            for address in [a for a in state.instances if is_data(a) and a not in reads]:
                self.session.forget_data(address)

    def _forget_absent(self, drift: tuple[Change, ...]) -> None:
        for change in drift:
            prior = self.session.state.instances.get(change.address)
            if change.action is Action.DELETE and prior is not None and prior.id == change.id:
                self.session.record(Result(drop=change.address))
                self.result.counts[Op.FORGET.value] += 1

    # -- the loop -------------------------------------------------------------------------------

    def _loop(self) -> None:
        abandon_at: float | None = None
        while True:
            halted = bool(self._halted())
            if not halted:
                self._start()
            if not self.running and (halted or not self.inline):
                return
            if self.stop is not None and self.stop.hard.is_set():
                abandon_at = abandon_at or time.monotonic() + _GRACE
                if time.monotonic() > abandon_at:
                    return
            self._collect(block=bool(self.running) and (halted or not self.inline))

    def _halted(self) -> str:
        """Why nothing new is begun, '' while all is well."""
        if self.stop is not None and (self.stop.soft.is_set() or self.stop.hard.is_set()):
            return INTERRUPTED
        return NOT_RECORDED if self.session.failure is not None else ""

    def _start(self) -> None:
        """Begin all that may begin; a batch of what is done right here in between."""
        self._launch()
        for _ in range(min(len(self.inline), _INLINE_BATCH)):
            task = self._prepare(self.inline.popleft())
            if task is not None:
                self._finish(self.around.carry_out(task))
        self._launch()

    def _launch(self) -> None:
        while (node := self.gate.take()) is not None:
            task = self._prepare(node)
            if task is None:
                self.gate.leave(node)
                continue
            self.running.add(node)
            self.workers.submit(task)

    def _collect(self, *, block: bool) -> None:
        """Take in what workers have done."""
        try:
            done = self.workers.done.get(timeout=_PAUSE) if block else self.workers.done.get_nowait()
            while True:
                if done is not None:
                    self.running.discard(done.task.node)
                    self.gate.leave(done.task.node)
                    self._finish(done)
                done = self.workers.done.get_nowait()
        except queue.Empty:
            pass
        self._tell_durable()

    def _ready(self, node: Node) -> None:
        if node.inline:
            self.inline.append(node)
        else:
            self.gate.add(node)

    # -- one operation --------------------------------------------------------------------------

    def _prepare(self, node: Node) -> Task | None:
        """All that a call needs, its intent appended; None when there is nothing to call for."""
        change, state = node.change, self.session.state
        if change.kind not in self.registry and node.op is not Op.FORGET:
            text = f"The kind {change.kind} of {node.address} is not there. Install what brings it."
            self._failed(node, (error("Unknown kind", text, address=node.address),), 0.0)
            return None
        if node.op in (Op.DELETE, Op.REMOVE, Op.FORGET):
            return self._prepare_removal(node)
        if node.address in self.open and node.op in (Op.CREATE, Op.SWAP):
            text = (
                f"An earlier run was stopped while it made {node.address}, and what became of that could not be found "
                "out, so it is not made again. Run again when its host can be reached."
            )
            self._failed(node, (error("Interrupted operation not settled", text, address=node.address),), 0.0)
            return None
        kind = self.registry.kind(change.kind)
        wish, found = wish_of(node, kind, self.evaluator, state)
        if wish is None:
            self._failed(node, tuple(d.at(change.range, node.address) for d in found), 0.0)
            return None
        self.result.diagnostics += found
        prior = state.instances.get(node.address)
        if wish.noop:
            if prior is not None and change.before is not None:
                self.session.refresh(instance_of(node, kind, prior.id, wish, dict(change.before)))
            self._passed(node)
            return None
        return self._task(node, wish)

    def _task(self, node: Node, wish: Wish) -> Task:
        change = node.change
        kind, prior = self.registry.kind(change.kind), self.session.state.instances.get(node.address)
        observed = prior.attributes if change.action is Action.ADOPT and prior is not None else change.before
        if node.op is Op.READ:
            id = node.address
        else:
            id = prior.id if node.op is Op.UPDATE and prior is not None else self._id_to_make(node)
        task = Task(node, kind, id, wish, dict(observed or {}), since=self.clock())
        if node.op in INTENT_OPS:
            old = node.old_id if node.op in (Op.CREATE, Op.SWAP) else None
            wanted = instance_of(node, kind, id, wish, wish.attributes)
            intent, task.ticket = self.session.intend(INTENT_OPS[node.op], wanted, old)
            task.seq = intent.seq
        return task

    def _id_to_make(self, node: Node) -> str:
        if node.op is Op.ADOPT and node.change.id is not None:
            return node.change.id
        unmade = self.session.unmade.get(node.address)
        if unmade is not None and (unmade.kind, unmade.host) == (node.change.kind, node.host):
            return unmade.id
        return self.new_id()

    def _prepare_removal(self, node: Node) -> Task | None:
        state, change = self.session.state, node.change
        if node.op is Op.REMOVE:
            there = state.deposed.get(node.old_id or "")
        else:
            there = state.instances.get(node.address)
            if there is not None and there.id != node.old_id:
                there = None
        if there is None:
            self._passed(node)
            return None
        if node.op is Op.FORGET or change.with_host:
            gone = Result(undepose=(there.id,)) if node.op is Op.REMOVE else Result(drop=node.address)
            self._told(node, self.session.record(gone), there.id, 0.0)
            return None
        before = there.attributes if node.op is Op.REMOVE or change.before is None else change.before
        task = Task(node, self.registry.kind(change.kind), there.id, None, dict(before), since=self.clock())
        intent, task.ticket = self.session.intend(INTENT_OPS[node.op], there)
        task.seq = intent.seq
        return task

    def _finish(self, done: Done) -> None:
        """An operation ended: record it, and let go or hold back what waits for it."""
        task = done.task
        node = task.node
        if node.op is Op.READ and done.attributes is not None:
            task.id = str(done.attributes.get("id", node.address))
        try:
            result = result_of(done, self.session.state)
        except Exception as failure:
            # what a kind returned cannot be recorded; its intent stays open, so nothing is lost
            result, done.failure = None, failure
        ticket = self.session.record(result) if result is not None else -1
        seconds = self.clock() - task.since
        if done.failure is None:
            problems = self._postconditions(node)
            self._told(node, ticket, task.id, seconds, problems)
            return
        if isinstance(done.failure, (Interrupted, JournalFailed)):
            because = INTERRUPTED if isinstance(done.failure, Interrupted) else NOT_RECORDED
            if done.begun:
                self._failed(node, (_cut_off(node),), seconds)
            else:
                self._skip(node, because)
            return
        found = diagnostics_of(done.failure, node.change.kind, node.op.value, node.address)
        if node.change.of_check:
            # what a check cannot look at is told, and stops nothing
            self.result.diagnostics += map(as_warning, found)
            self._passed(node)
            return
        self._failed(node, found, seconds)

    def _postconditions(self, node: Node) -> list[Diagnostic]:
        if node.op in (Op.DELETE, Op.REMOVE, Op.FORGET, Op.ADOPT):
            return []
        return self.evaluator.postconditions(node.address, self.session.state)

    def _told(self, node: Node, ticket: int, id: str, seconds: float, problems: list[Diagnostic] | None = None) -> None:
        event = OperationFinished(self.clock(), node.address, node.action, id, seconds)
        self.untold.append((ticket, event))
        self.result.counts[node.op.value] += 1
        self.result.diagnostics += problems or []
        if problems and has_errors(problems):
            self.left.pop(node, None)
            self._skip_users(node)
        else:
            self._passed(node)

    def _passed(self, node: Node) -> None:
        self.left.pop(node, None)
        for other in node.then:
            other.waits -= 1
            if not other.waits and other in self.left:
                self._ready(other)

    def _failed(self, node: Node, diagnostics: tuple[Diagnostic, ...], seconds: float) -> None:
        placed = tuple(d.at(node.change.range, node.address) for d in diagnostics)
        self.result.diagnostics += placed
        self.result.counts["failed"] += 1
        self.left.pop(node, None)
        self.sink(OperationFailed(self.clock(), node.address, node.action, seconds, placed))
        self._skip_users(node)

    def _skip_users(self, node: Node) -> None:
        """Nothing that waits for this, directly or not, can be done any more."""
        left = list(node.then)
        for other in left:
            if other in self.left and other not in self.running:
                self._skip(other, node.address)
                left += other.then

    def _skip(self, node: Node, because: str) -> None:
        self.left.pop(node, None)
        self.result.counts["skipped"] += 1
        self.sink(OperationSkipped(self.clock(), node.address, node.action, because))

    def _tell_durable(self, *, all: bool = False) -> None:
        with self.telling:
            while self.untold and (all or self.session.is_durable(self.untold[0][0])):
                self.sink(self.untold.popleft()[1])

    def _carry_out(self, task: Task) -> Done:
        """In a worker: what this operation waited for is told before its own begin is."""
        if task.ticket is not None:
            with contextlib.suppress(JournalFailed):
                self.session.wait(task.ticket)
            self._tell_durable()
        return self.around.carry_out(task)

    # -- the end --------------------------------------------------------------------------------

    def _end(self) -> None:
        halted = self._halted()
        abandoned = [n for n in self.left if n in self.running]
        for node in abandoned:
            self._failed(node, (_cut_off(node),), 0.0)
        waiting = len(self.left)
        for node in list(self.left):
            self._skip(node, halted or INTERRUPTED)
        if halted == INTERRUPTED:
            self.result.interrupted = True
        elif halted:
            self.result.diagnostics.append(not_recorded(self.session.failure, waiting))
        self._outputs()
        with contextlib.suppress(JournalFailed):
            self.session.wait()
        if halted != NOT_RECORDED and isinstance(self.session.failure, LeaseLost):
            # the last records were refused
            self.result.diagnostics.append(not_recorded(self.session.failure, waiting))
        self._tell_durable()
        written = self.session.finish()
        self.result.diagnostics += written
        if not has_errors(written):
            self._tell_durable(all=True)
        for _, event in self.untold:
            self.sink(OperationFailed(event.time, event.address, event.action, event.seconds, tuple(written)))

    def _outputs(self) -> None:
        """Evaluate the root outputs over what there is now."""
        found, problems = self.evaluator.outputs(self.session.state)
        if not self.result.counts["failed"] and not self.result.interrupted:
            self.result.diagnostics += problems
        removed = {o.name for o in self.plan.outputs if o.removed}
        kept = {n: o for n, o in self.session.state.outputs.items() if n not in removed}
        self.session.set_outputs({**kept, **{n: o for n, o in found.items() if n not in removed}})


def _cut_off(node: Node) -> Diagnostic:
    text = (
        f"The {node.action} of {node.address} was cut off, so it is not known how far it came. The next run finds out "
        "and goes on from there."
    )
    return error("Operation interrupted", text, address=node.address)
