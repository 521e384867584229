"""Carrying out one operation: the call of the kind, in a thread of its own."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hythe.diagnostic import error
from hythe.event import OperationProgress, OperationStarted, Sink
from hythe.planner.apply_graph import Node, Op
from hythe.planner.apply_values import Wish
from hythe.planner.imports import taken_in
from hythe.planner.plan import Action, Plan
from hythe.planner.refresh import host_of
from hythe.provider.protocol import (
    Attributes,
    Context,
    Host,
    HostSource,
    HostUnreachable,
    Identity,
    Interrupted,
    Kind,
    Project,
    ProviderError,
    ReadContext,
    Referent,
)
from hythe.provider.registry import Registry
from hythe.state.journal import JournalFailed
from hythe.state.session import Session
from hythe.value import Reference


@dataclass(slots=True)
class Task:
    """An operation with all that it needs. ``ticket`` is its intent's, None where it needs none.

    ``id`` is the instance id that the object has or gets; ``before`` what is there now.
    """

    node: Node
    kind: Kind
    id: str
    wish: Wish | None
    before: Attributes
    seq: int | None = None
    ticket: int | None = None
    since: float = 0.0


@dataclass(slots=True)
class Done:
    """What came of a task. ``begun``: the kind was called. ``failure`` is what was raised."""

    task: Task
    attributes: Attributes | None = None
    failure: BaseException | None = None
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What calls are given besides attributes. ``stop_now`` tells whether the user wants to stop at once.

    ``ending`` are the addresses of machines that go, and take along what they hold.
    """

    session: Session
    hosts: HostSource
    project: Project
    base_dir: str
    lock: Mapping[str, str]
    remember_lock: Callable[[str, str], None]
    stop_now: Callable[[], bool]
    sink: Sink
    clock: Callable[[], float]
    registry: Registry
    ending: Collection[str]

    def carry_out(self, task: Task) -> Done:
        """Wait until the intent is durable, then call the kind. Never raises."""
        done = Done(task)
        node = task.node
        try:
            if task.ticket is not None and not node.inline:
                self.session.wait(task.ticket)
            self._check()
            self.sink(OperationStarted(self.clock(), node.address, node.action, _shown_id(task)))
            host = self._host(node)
            done.begun = True
            done.attributes = self._call(task, host)
        except BaseException as failure:
            if node.inline and not isinstance(failure, Exception):
                raise
            done.failure = failure
        return done

    def _host(self, node: Node) -> Host:
        return host_of(self.hosts, self.session.state, node.host)

    def _call(self, task: Task, host: Host) -> Attributes | None:
        node, kind = task.node, task.kind
        desired = dict(task.wish.attributes) if task.wish is not None else {}
        if node.op is Op.READ:
            state = self.session.state
            reading = ReadContext(
                host, self.hosts.local, state.lineage, self.base_dir, self.project, address=node.address
            )
            return kind.read_data(reading, desired)
        context = self._context(task, host)
        if node.op is Op.CREATE:
            return kind.create(context, desired)
        if node.op is Op.UPDATE:
            assert task.wish is not None
            return kind.update(context, task.before, desired, task.wish.changed)
        if node.op is Op.SWAP:
            old = Identity(context.identity.lineage, node.address, node.old_id or "")
            return kind.swap(context, old, task.before, desired)
        if node.op is Op.ADOPT:
            seen = kind.import_object(context, node.change.import_id or "")
            return taken_in(kind, seen, desired, self._named)
        kind.delete(context, task.before)
        return None

    def _context(self, task: Task, host: Host) -> Context:
        node = task.node

        def progress(text: str) -> None:
            self.sink(OperationProgress(self.clock(), node.address, node.action, text))

        return Context(
            host=host,
            local=self.hosts.local,
            identity=Identity(self.session.state.lineage, node.address, task.id),
            resolve=self._resolve,
            progress=progress,
            check=self._check,
            base_dir=self.base_dir,
            project=self.project,
            lock=self.lock,
            remember_lock=self.remember_lock,
            others=self._others,
        )

    def _others(self) -> Iterator[Host]:
        """The machines of the state, but for those that end in this run with everything on them."""
        state = self.session.state
        for instance in list(state.instances.values()):
            if instance.address not in self.ending and self._is_machine(instance.kind):
                with contextlib.suppress(HostUnreachable):
                    yield host_of(self.hosts, state, instance.address)

    def _is_machine(self, kind: str) -> bool:
        return kind in self.registry and self.registry.kind(kind).is_machine

    def _check(self) -> None:
        if self.stop_now():
            raise Interrupted

    def _named(self, reference: Reference) -> tuple[Mapping[str, Any], str]:
        found = self._resolve(reference)
        return found.attributes, found.id

    def _resolve(self, reference: Reference) -> Referent:
        state = self.session.state
        found = state.instances.get(reference.address)
        if found is None or (isinstance(reference.id, str) and found.id != reference.id):
            # the address is only a hint; list() because the state changes meanwhile
            others = (*list(state.instances.values()), *list(state.deposed.values()))
            found = next((i for i in others if i.id == reference.id), None)
        if found is None:
            text = f"{reference.address} is referred to, but it is not in the state."
            raise ProviderError(error("Reference to nothing", text, address=reference.address))
        return Referent(found.kind, found.address, found.id, found.attributes, found.host)


def _shown_id(task: Task) -> str | None:
    return None if task.node.op in (Op.CREATE, Op.READ, Op.ADOPT) else task.id


def ending_machines(plan: Plan, registry: Registry) -> frozenset[str]:
    """Addresses of machines that end in a plan with everything on them."""
    kinds = {k for k in {c.kind for c in plan.changes} if k in registry and registry.kind(k).takes_along}
    ends = (Action.DELETE, Action.REPLACE)
    return frozenset(c.address for c in plan.changes if c.kind in kinds and c.action in ends)


def is_unstarted(done: Done) -> bool:
    """Whether nothing can have happened to the world."""
    return not done.begun or isinstance(done.failure, JournalFailed)


class Workers:
    """Threads that carry out tasks; started when needed, never waited for when the process ends."""

    def __init__(self, carry_out: Callable[[Task], Done], size: int) -> None:
        self._carry_out = carry_out
        self._size = size
        self._threads = 0
        self._idle = threading.Semaphore(0)
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self.done: queue.SimpleQueue[Done | None] = queue.SimpleQueue()
        """What was carried out; None only wakes up whoever waits."""

    def submit(self, task: Task) -> None:
        """Have a task carried out."""
        self._tasks.put(task)
        if not self._idle.acquire(blocking=False) and self._threads < self._size:
            self._threads += 1
            threading.Thread(target=self._run, name=f"apply-{self._threads}", daemon=True).start()

    def close(self) -> None:
        """Let the threads end when they are through."""
        for _ in range(self._threads):
            self._tasks.put(None)

    def _run(self) -> None:
        while True:
            task = self._tasks.get()
            if task is None:
                return
            self.done.put(self._carry_out(task))
            self._idle.release()
