"""A provider whose world is in memory, with failures on order: for tests of planner, apply and state.

:class:`MemoryWorld` holds the objects; :func:`hythe.provider.memory_kinds.memory_kinds` gives the kinds
that work on it, to be put into a ``Registry(extra=...)``; :class:`MemoryHosts` gives hosts in it. The
world is as strict as an engine: a name is given once per host, and what is used cannot be removed.
"""

from __future__ import annotations

import copy
import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hythe.diagnostic import Diagnostic, error
from hythe.provider.protocol import Attributes, Completed, Context, Host, HostUnreachable, Identity, Kind, ProviderError
from hythe.value import Reference


@dataclass(slots=True)
class MemoryObject:
    """An object in the world. ``uses`` are the instance ids of what it cannot do without."""

    engine_id: str
    kind: str
    host: str
    name: str
    mark: Identity | None
    attributes: Attributes
    complete: bool = False
    uses: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a kind got: what (create, read, ...), for which instance."""

    op: str
    kind: str
    address: str
    id: str


@dataclass(slots=True)
class Fault:
    """What goes wrong at one phase of a call: see :meth:`MemoryWorld.inject`."""

    op: str
    address: str
    phase: str
    failure: BaseException | None
    hang: threading.Event | None
    times: int
    deaf: bool = False


PHASES = ("before", "middle", "after")
"""Phases of a call: nothing done yet, half done (the object is there, incomplete), all done."""


class MemoryWorld:
    """All objects, and what is to go wrong. Safe for several threads.

    ``on_step`` is called at each phase of each changing call, with no effect of another call half way;
    ``latency`` is what each changing call takes at least, in seconds. ``peak`` is the largest number of
    changing calls that ran at once, by (host, kind).
    """

    def __init__(self) -> None:
        self.mutex = threading.RLock()
        self.objects: dict[str, MemoryObject] = {}
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.unreachable: set[str] = set()
        self.latency = 0.0
        self.on_step: Callable[[str, str, str], None] | None = None
        self.peak: dict[tuple[str, str], int] = {}
        self._running: dict[tuple[str, str], int] = {}
        self._numbers = itertools.count(1)

    # -- what tests do to it --------------------------------------------------------------------

    def inject(
        self,
        op: str,
        address: str,
        *,
        phase: str = "before",
        failure: BaseException | None = None,
        hang: threading.Event | None = None,
        deaf: bool = False,
        times: int = 1,
    ) -> None:
        """Let the next ``times`` calls of ``op`` for ``address`` go wrong at ``phase``.

        ``failure`` is raised (default: a ProviderError); with ``hang`` the call waits for the event
        instead, asking meanwhile whether it shall stop, unless it is ``deaf``.
        """
        if failure is None and hang is None:
            failure = ProviderError(error("Injected failure", f"{op} of {address} failed at phase {phase}."))
        self.faults.append(Fault(op, address, phase, failure, hang, times, deaf))

    def drift(self, address: str, **attributes: Any) -> None:
        """Change attributes of the object behind Hythe's back; None removes one."""
        for name, value in attributes.items():
            if value is None:
                self.at(address).attributes.pop(name, None)
            else:
                self.at(address).attributes[name] = value

    def remove(self, address: str) -> None:
        """Remove the object behind Hythe's back."""
        del self.objects[self.at(address).engine_id]

    def put(self, kind: str, name: str, host: str = "local", **attributes: Any) -> MemoryObject:
        """An object that is not Hythe's."""
        number = f"e{next(self._numbers)}"
        known = {"name": name, "engine_id": number, "revision": 1, **attributes}
        made = MemoryObject(number, kind, host, name, None, known, True)
        self.objects[made.engine_id] = made
        return made

    def at(self, address: str) -> MemoryObject:
        """The only object marked with that address. Raises KeyError."""
        found = [o for o in self.objects.values() if o.mark is not None and o.mark.address == address]
        if len(found) != 1:
            raise KeyError(f"{len(found)} objects are marked {address}")
        return found[0]

    def summary(self) -> dict[str, str]:
        """The name of every object with the address in its mark ('' for those that are not Hythe's)."""
        return {o.name: o.mark.address if o.mark is not None else "" for o in self.objects.values()}

    def fork(self) -> MemoryWorld:
        """A world with the same objects and nothing going wrong: what is found after a crash."""
        with self.mutex:
            other = MemoryWorld()
            other.objects = copy.deepcopy(self.objects)
            other._numbers = itertools.count(next(self._numbers) + 1000)
            return other

    # -- what kinds do in it --------------------------------------------------------------------

    def step(self, context: Context, op: str, kind: str, phase: str) -> None:
        """A phase of a changing call: the place where things go wrong."""
        with self.mutex:
            self._count(op, kind, phase, context)
            if self.on_step is not None:
                self.on_step(op, context.identity.address, phase)
            fault = self._fault(op, context.identity.address, phase)
        if phase == "before" and self.latency:
            time.sleep(self.latency)
        if fault is None:
            return
        if fault.hang is not None:
            while not fault.hang.wait(0.005):
                if not fault.deaf:
                    context.check()
        if fault.failure is not None:
            raise fault.failure

    def _count(self, op: str, kind: str, phase: str, context: Context) -> None:
        if phase == "before":
            self.calls.append(Call(op, kind, context.identity.address, context.identity.id))
            key = (place(context.host), kind)
            self._running[key] = self._running.get(key, 0) + 1
            self.peak[key] = max(self.peak.get(key, 0), self._running[key])

    def leave(self, host: str, kind: str) -> None:
        """A changing call ended."""
        with self.mutex:
            self._running[host, kind] -= 1

    def _fault(self, op: str, address: str, phase: str) -> Fault | None:
        for fault in self.faults:
            if (fault.op, fault.address, fault.phase) == (op, address, phase) and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def reach(self, host: Host) -> str:
        """The host's place (see :func:`place`). Raises HostUnreachable when it is to be so."""
        if host.name in self.unreachable:
            raise HostUnreachable(error("Host not reachable", f"{host.name} does not answer."))
        return place(host)

    def marked(self, id: str) -> MemoryObject | None:
        """The object that carries the instance id."""
        return next((o for o in self.objects.values() if o.mark is not None and o.mark.id == id), None)

    def ours(self, id: str, attributes: Mapping[str, Any]) -> MemoryObject | None:
        """The object with that instance id in its mark, or with the engine id that state knows."""
        return self.marked(id) or self.objects.get(attributes.get("engine_id", ""))

    def make(self, kind: Kind, host: str, name: str, mark: Identity, attributes: Attributes) -> MemoryObject:
        """A new, incomplete object. Raises ProviderError when the name is taken."""
        if kind.unique_name:
            for other in self.objects.values():
                if (other.kind, other.host, other.name) == (kind.name, host, name):
                    raise ProviderError(error("Name already taken", f'There is a {kind.name} "{name}" on {host}.'))
        number = f"e{next(self._numbers)}"
        made = MemoryObject(number, kind.name, host, name, mark, attributes, uses=used(attributes))
        self.objects[number] = made
        return made

    def sink(self, machine: MemoryObject) -> None:
        """Everything on a machine ends with it."""
        with self.mutex:
            gone = [o for o in self.objects.values() if o.host == machine.engine_id]
            for lost in gone:
                self.objects.pop(lost.engine_id, None)
                self.sink(lost)

    def destroy(self, target: MemoryObject) -> None:
        """Remove an object. Raises ProviderError while another uses it."""
        id = target.mark.id if target.mark is not None else ""
        users = [o.name for o in self.objects.values() if id in o.uses]
        if users:
            raise ProviderError(error("Object in use", f"{target.name} is used by {', '.join(sorted(users))}."))
        del self.objects[target.engine_id]


def place(host: Host) -> str:
    """What a host is to the world, which does not know addresses: ``local``, or the engine id of a machine in it."""
    return getattr(host, "place", host.name)


def _down(address: str) -> Diagnostic:
    return error("Host not reachable", f"{address} is shut off.")


def used(value: Any) -> frozenset[str]:
    """The instance ids that attributes are built on.

    A ``peer`` does not count: it is let go when it is removed, as networks let go of their containers.
    """
    if isinstance(value, Reference):
        return frozenset({value.id}) if isinstance(value.id, str) else frozenset()
    if isinstance(value, dict):
        return frozenset().union(*(used(v) for name, v in value.items() if name != "peer"))
    return frozenset().union(*map(used, value)) if isinstance(value, list) else frozenset()


class MemoryHost:
    """A host in the world."""

    def __init__(self, name: str, world: MemoryWorld, place: str | None = None) -> None:
        self.name = name
        self.place = place or name
        self._world = world

    def engine(self) -> MemoryWorld:
        """The world. Raises HostUnreachable when the host is to be so."""
        self._world.reach(self)
        return self._world

    def hypervisor(self, uri: str | None = None) -> MemoryWorld:
        """The world. Raises HostUnreachable when the host is to be so."""
        return self.engine()

    def files(self) -> Any:
        """None: the world has no files."""
        raise HostUnreachable(error("No files", f"{self.name} is a host in memory and has no files."))

    def run(self, argv: Sequence[str], *, stdin: bytes | None = None, timeout: float | None = None) -> Completed:
        """A program that does nothing and succeeds."""
        self._world.reach(self)
        return Completed(tuple(argv), 0, b"", b"")

    def close(self) -> None:
        """Nothing to give up."""


class MemoryHosts:
    """Hosts by address; those whose instance is not in state cannot be reached."""

    def __init__(self, world: MemoryWorld) -> None:
        self._world = world
        self.local: Host = MemoryHost("local", world)

    def get(self, address: str | None, attributes: Mapping[str, Any] | None = None) -> Host:
        """The host. Raises HostUnreachable."""
        if address is None:
            return self.local
        host = MemoryHost(address, self._world, (attributes or {}).get("engine_id"))
        if attributes is None:
            raise HostUnreachable(error("Host not known", f"{address} is not in the state."))
        if attributes.get("running") is False:
            raise HostUnreachable(_down(address))
        self._world.reach(host)
        return host
