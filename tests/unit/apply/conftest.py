"""A configuration, a state on disk and a world in memory, planned and applied as the command does it."""

from __future__ import annotations

import errno
import re
import textwrap
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hythe.diagnostic import Diagnostic
from hythe.event import Event, IntentSettled, OperationFinished, OperationSkipped, OperationStarted
from hythe.modules import loader, variables
from hythe.planner.apply import ApplyResult, apply
from hythe.planner.build import PlanOptions
from hythe.planner.edge import Outcome, Session, make_evaluator, make_plan, project_of
from hythe.planner.explain import explain
from hythe.planner.plan import Plan
from hythe.provider.memory import MemoryHosts, MemoryWorld
from hythe.provider.memory_kinds import memory_kinds
from hythe.provider.protocol import Kind
from hythe.provider.registry import Registry
from hythe.state.backends.disk import Disk
from hythe.state.backends.local import LocalBackend
from hythe.state.backends.memory import MemoryDisk
from hythe.state.check import check_state
from hythe.state.model import State
from hythe.state.settle import Settled, settle
from hythe.state.store import Loaded, StateStore
from hythe.state.upgrade import upgrade_instances


@dataclass
class Stop:
    """What Ctrl-C sets."""

    soft: threading.Event = field(default_factory=threading.Event)
    hard: threading.Event = field(default_factory=threading.Event)


def texts(text: str) -> dict[str, str]:
    """The files of a configuration; a line "#> name" begins another one than main.hcl."""
    first, *others = re.split(r"^\s*#> (\S+)\n", textwrap.dedent(text), flags=re.MULTILINE)
    return {"main.hcl": first, **dict(zip(others[::2], others[1::2], strict=True))}


class House:
    """Everything that one user has."""

    def __init__(self, folder: Path, world: MemoryWorld | None = None, disk: Disk | None = None) -> None:
        self.folder = folder
        self.world = world or MemoryWorld()
        self.files = LocalBackend(str(folder / "hythe.state.json"), disk=disk)
        self.store = StateStore(self.files)
        self.stop = Stop()
        self.kinds: dict[str, Kind] = {}
        self.events: list[Event] = []
        self.parallelism = 10
        self.diagnostics: list[Diagnostic] = []
        self.disk: Any = disk

    # -- as commands do it ----------------------------------------------------------------------

    def session(self, text: str) -> Session:
        config, found = loader.load_texts("/nowhere/shop", texts(text))
        assert not found, found
        values, found = variables.resolve(config, {}, lambda *_: [])
        assert not found, found
        hosts: Any = MemoryHosts(self.world)
        return Session(
            config, values, Registry({**memory_kinds(self.world), **self.kinds}), hosts, parallelism=self.parallelism
        )

    def settled(self, session: Session, loaded: Loaded) -> Settled:
        upgrade_instances(loaded, session.registry)
        return settle(
            loaded.state,
            loaded.pending,
            session.registry,
            session.hosts,
            project=project_of(session.config),
            base_dir=session.config.root,
            sink=self.events.append,
        )

    def outcome(self, session: Session, state: State, **options: Any) -> Outcome:
        outcome = make_plan(session, state, PlanOptions(**options))
        self.diagnostics = outcome.diagnostics
        assert outcome.plan is not None, outcome.diagnostics
        return outcome

    def plan(self, text: str, **options: Any) -> str:
        """The plan's lines."""
        session = self.session(text)
        settled = self.settled(session, self.store.read())
        plan = self.outcome(session, settled.state, **options).plan
        assert plan is not None
        return explain(plan)

    def apply(self, text: str, **options: Any) -> ApplyResult:
        """Settle, plan, apply."""
        session = self.session(text)
        loaded = self.store.read()
        settled = self.settled(session, loaded)
        outcome = self.outcome(session, settled.state, **options)
        assert outcome.plan is not None
        return self.apply_plan(session, outcome.plan, loaded, settled, outcome)

    def apply_plan(
        self,
        session: Session,
        plan: Plan,
        loaded: Loaded,
        settled: Settled | None = None,
        outcome: Outcome | None = None,
    ) -> ApplyResult:
        writing = self.store.begin(loaded)
        if settled is not None:
            settled.record(writing)
        return apply(
            plan,
            writing,
            session.registry,
            session.hosts,
            make_evaluator(session, plan, outcome),
            project=project_of(session.config),
            parallelism=self.parallelism,
            stop=self.stop,
            sink=self.events.append,
        )

    def done(self, text: str, **options: Any) -> ApplyResult:
        """Apply, without anything wrong, and with an empty plan afterwards."""
        result = self.apply(text, **options)
        assert result.diagnostics == []
        self.sound()
        if options.get("mode") is None:
            assert self.plan(text) == ""
        return result

    # -- what is there --------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self.store.load()

    def log(self) -> list[str]:
        """The changing calls, in order, as ``create thing.a``."""
        return [f"{c.op} {c.address}" for c in self.world.calls if c.op != "read"]

    def told(self) -> list[str]:
        """What the user was told of operations."""
        out = []
        for event in self.events:
            if isinstance(event, OperationStarted):
                out.append(f"started {event.action} {event.address}")
            elif isinstance(event, OperationFinished):
                out.append(f"finished {event.action} {event.address}")
            elif isinstance(event, OperationSkipped):
                out.append(f"skipped {event.action} {event.address} because {event.because}")
            elif isinstance(event, IntentSettled):
                out.append(f"settled {event.address}: {event.outcome}")
        return out

    def check(self) -> None:
        """Nothing is in the world that the state does not know, nothing twice, and nothing is missing."""
        state = self.state
        ours = sorted(o.mark.id for o in self.world.objects.values() if o.mark is not None)
        known = sorted(i.id for i in (*state.instances.values(), *state.deposed.values()) if i.kind != "note")
        assert ours == known
        self.sound()

    def sound(self) -> None:
        """The state passes its integrity check."""
        found = check_state(self.store.read(), Registry({**memory_kinds(self.world), **self.kinds}))
        assert found == [], found


def in_memory(world: MemoryWorld | None = None, disk: MemoryDisk | None = None) -> House:
    """A house whose state is on a disk in memory."""
    if disk is None:
        disk = MemoryDisk()
        disk.make_folder("/house")
    return House(Path("/house"), world, disk)


class Doom:
    """Kills whoever works in a house at its n-th boundary: an operation of the disk, or a phase of a call.

    ``left`` is the world and the disk as they were then; what is done afterwards nobody sees. ``fault`` is what goes
    wrong with the disk, for some operations from ``fault_at`` on.
    """

    def __init__(self, house: House, at: int, fault_at: int = 0, fault_for: int = 1, fault: Any = None) -> None:
        self.house, self.at, self.count = house, at, 0
        self.faults = range(fault_at, fault_at + fault_for) if fault is not None else range(0)
        self.fault = fault
        self.left: tuple[MemoryWorld, MemoryDisk] | None = None
        self.label = ""
        house.disk.on_step = self.disk
        house.world.on_step = self.call

    def disk(self, op: str, path: str) -> OSError | int | None:
        self.step(f"{op} {Path(path).name}")
        if self.left is not None:
            return OSError(errno.EIO, "this process is dead")
        return self.fault if self.count in self.faults and (op == "write" or isinstance(self.fault, OSError)) else None

    def call(self, op: str, address: str, phase: str) -> None:
        self.step(f"{op} {address} {phase}")

    def step(self, label: str) -> None:
        world, disk = self.house.world, self.house.disk
        with world.mutex, disk.mutex:
            self.count += 1
            if self.count == self.at and self.left is None:
                self.label = label
                self.left = (world.fork(), disk.fork())
                self.house.stop.soft.set()

    def lift(self) -> House | None:
        """The house as the next process finds it; None when nobody was killed."""
        self.house.disk.on_step = self.house.world.on_step = None
        return None if self.left is None else in_memory(*self.left)


@pytest.fixture
def memory_house() -> Callable[..., House]:
    """Makes a house whose state is on a disk in memory."""
    return in_memory


@pytest.fixture
def doom() -> type[Doom]:
    return Doom


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture
def new_house() -> type[House]:
    return House
