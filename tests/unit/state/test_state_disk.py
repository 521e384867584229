"""The state on a disk that fails and forgets: what was acknowledged is there again, and nothing that never was.

Random programs work on a :class:`MemoryDisk`: killed at any operation, without power, full, failing, or writing less
than it was asked to. ``make test`` runs a sample, ``make soak`` (HYTHE_SOAK) tens of thousands; HYTHE_SEED sets where
the seeds begin.
"""

from __future__ import annotations

import errno
import os
import random
from dataclasses import replace
from typing import Any

import pytest

from hythe.diagnostic import has_errors
from hythe.provider.memory import MemoryWorld
from hythe.provider.memory_kinds import memory_kinds
from hythe.provider.registry import Registry
from hythe.state.backends.local import LocalBackend
from hythe.state.backends.memory import BROKEN, FULL, MemoryDisk
from hythe.state.check import check_backup, check_state
from hythe.state.journal import JournalFailed
from hythe.state.model import InstanceState, Result, State
from hythe.state.session import Loaded, Session
from hythe.state.store import StateStore

SEED = int(os.environ.get("HYTHE_SEED") or 20261128)
PROGRAMS = 20_000 if os.environ.get("HYTHE_SOAK") else 600
PATH = "/work/hythe.state.json"
REGISTRY = Registry(memory_kinds(MemoryWorld()))


def disk_with_folder() -> MemoryDisk:
    disk = MemoryDisk()
    disk.make_folder("/work")
    return disk


def content(state: State, pending: Any) -> Any:
    """What must come back."""
    open_ones = sorted((i.seq, i.op, i.instance.id) for i in pending)
    return (dict(state.instances), dict(state.deposed), dict(state.outputs), open_ones)


class Program:
    """One history: sessions and edits, one after the other, each of them possibly the last of its process.

    ``past`` is what the state was after each record, in order; what comes first in it is empty. Everything up to
    ``sure`` was acknowledged.
    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.disk = disk_with_folder()
        self.past: list[Any] = [content(State("l"), ())]
        self.sure = 0
        self.serial = 0
        self.made = 0
        self.steps: list[str] = []
        self.stop_at = 0
        self.left: tuple[MemoryDisk, int] | None = None

    # -- the process ----------------------------------------------------------------------------

    def run(self) -> None:
        for _ in range(self.chance.randint(2, 7)):
            self.stop_at = self.chance.choice([0, 0, self.chance.randint(1, 60)])
            self.fault_at = self.chance.choice([0, 0, self.chance.randint(1, 40)])
            self.fault_for = self.chance.choice([1, 1, 3, 1000])
            self.fault = self.chance.choice([OSError(*FULL), OSError(*BROKEN), 1, 7])
            self.left = None
            self.disk.room = self.chance.choice([None, None, self.chance.randint(300, 9000)])
            self.count = 0
            self.disk.on_step = self.step
            self.process()
            self.disk.on_step = None
            if self.left is not None:
                self.disk, self.sure = self.left
            if self.chance.random() < 0.4:
                self.steps.append("power failure")
                self.disk = self.disk.power_failure(self.chance)
            self.disk.room = None
            self.compare()

    def step(self, op: str, path: str) -> OSError | int | None:
        if self.left is not None:
            return OSError(errno.EIO, "this process is dead")
        self.count += 1
        self.steps.append(f"{op} {os.path.basename(path)}")
        if self.count == self.stop_at:
            self.kill()
            return OSError(errno.EIO, "this process is dead")
        fails = self.fault_at and self.fault_at <= self.count < self.fault_at + self.fault_for
        # only writes can be short
        if fails and (isinstance(self.fault, OSError) or op == "write"):
            self.steps.append(f"fails: {self.fault}")
            return self.fault
        return None

    def kill(self) -> None:
        """What happens from here on is not seen any more."""
        if self.left is None:
            self.left = (self.disk.fork(), self.sure)
            self.steps.append("kill")

    def store(self) -> StateStore:
        return StateStore(LocalBackend(PATH, disk=self.disk))

    def process(self) -> None:
        store = self.store()
        loaded = store.read("l")
        if self.chance.random() < 0.2 and not loaded.pending:
            self.edit(store, loaded)
            return
        session, before = store.begin(loaded), len(self.past)
        try:
            for _ in range(self.chance.choice([0, 1, 3, 12])):
                self.operate(session)
            if self.chance.random() < 0.2:
                self.kill()
        except JournalFailed:
            self.steps.append("told that nothing can be recorded")
        found = session.finish()
        # a session without a change writes nothing, and says nothing of what it read
        if not has_errors(found) and len(self.past) > before:
            self.acknowledge(len(self.past) - 1, session.state.serial)
        session.close()

    def acknowledge(self, index: int, serial: int) -> None:
        if self.left is None:
            self.sure, self.serial = index, serial

    def edit(self, store: StateStore, loaded: Loaded) -> None:
        """As ``hythe state rm`` does it."""
        state = loaded.state.copy()
        if state.instances:
            del state.instances[self.chance.choice(sorted(state.instances))]
        self.past.append(content(state, loaded.pending))
        if not store.write(loaded, state, "state mv"):
            self.acknowledge(len(self.past) - 1, state.serial)

    def operate(self, session: Session) -> None:
        """One operation: its intent, which is waited for as apply does, and what came of it."""
        chance, state = self.chance, session.state
        if session.pending and chance.random() < 0.5:
            seq = chance.choice(sorted(session.pending))
            self.answer(session, seq)
            return
        sort = chance.choice(["create", "update", "delete", "create"])
        if sort != "create" and not state.instances:
            sort = "create"
        if sort == "create":
            self.made += 1
            long = "x" * chance.choice([0, 0, 30, 600, 3000])
            attributes = {"name": f"n{self.made}", "color": long}
            instance = InstanceState(f"thing.t{self.made}", f"id-{self.made}", "thing", attributes)
        else:
            instance = state.instances[chance.choice(sorted(state.instances))]
        self.past.append(content(state, [*session.pending.values(), _Like(session, sort, instance)]))
        _, ticket = session.intend(sort, instance)
        if chance.random() < 0.8:
            self.wait(session, ticket)
            self.answer(session, max(session.pending))

    def answer(self, session: Session, seq: int) -> None:
        chance, state = self.chance, session.state
        intent = session.pending[seq]
        instance = intent.instance
        if chance.random() < 0.1:
            result = Result(seq)
        elif intent.op == "delete":
            result = Result(seq, drop=instance.address)
        elif intent.op == "update" and chance.random() < 0.2 and instance.address in state.instances:
            # the address gets a new object, and the old one is kept beside it
            self.made += 1
            result = Result(seq, put=replace(instance, id=f"id-{self.made}"), depose=(instance,))
        else:
            result = Result(seq, put=replace(instance, attributes={**instance.attributes, "size": chance.randrange(9)}))
        after = state.copy()
        result.apply(after)
        self.past.append(content(after, [i for i in session.pending.values() if i.seq != seq]))
        ticket = session.record(result)
        if chance.random() < 0.5:
            self.wait(session, ticket)

    def wait(self, session: Session, ticket: int) -> None:
        index = len(self.past) - 1
        session.wait(ticket)
        self.acknowledge(index, 0)

    # -- what is found --------------------------------------------------------------------------

    def compare(self) -> None:
        """The state is sound, and one that was, none older than what was acknowledged; what came later is void."""
        store = self.store()
        loaded = store.read("l")
        now = content(loaded.state, loaded.pending)
        found = [at for at in range(len(self.past) - 1, self.sure - 1, -1) if self.past[at] == now]
        assert found, "what is read is not what was acknowledged, nor anything later"
        del self.past[found[0] + 1 :]
        assert loaded.state.serial >= self.serial
        assert loaded.state.lineage == "l"
        problems = [d for d in check_state(loaded, REGISTRY) if "recorded more than once" not in d.detail]
        assert not problems, problems
        assert not check_backup(store.backend, loaded.state)
        known = {"", ".journal", ".backup", ".backup.journal", ".new", ".backup.new"}
        assert {p.removeprefix(PATH) for p in self.disk.files()} <= known


class _Like:
    """The intent that the session is about to make."""

    def __init__(self, session: Session, op: str, instance: InstanceState) -> None:
        self.seq, self.op, self.instance = session._seq, op, instance


@pytest.mark.timeout(3600)
def test_what_was_acknowledged_is_there_again() -> None:
    for number in range(PROGRAMS):
        program = Program(SEED + number)
        try:
            program.run()
        except BaseException as failure:
            failure.add_note(f"HYTHE_SEED={SEED + number}: {', '.join(program.steps[-80:])}")
            raise


# -- what this found, each by itself --------------------------------------------------------------


def thing(name: str) -> InstanceState:
    return InstanceState(f"thing.{name}", f"id-{name}", "thing", {"name": name})


def killed_at(disk: MemoryDisk, op: str, end: str, *names: str, times: int = 1) -> MemoryDisk:
    """The disk after a session that was killed before that operation on a file whose name ends so."""
    left: list[MemoryDisk] = []
    seen: list[str] = []

    def step(now: str, path: str) -> OSError | None:
        if (now, path.removeprefix(PATH)) == (op, end):
            seen.append(path)
            if len(seen) == times:
                left.append(disk.fork())
        return OSError(errno.EIO, "this process is dead") if left else None

    disk.on_step = step
    store = StateStore(LocalBackend(PATH, disk=disk))
    session = store.begin(store.read("l"))
    for name in names:
        session.record(Result(put=thing(name)))
    session.finish()
    session.close()
    return left[0]


def test_a_journal_that_was_taken_in_outlives_no_second_snapshot() -> None:
    """Two kills, each just before the journal would be removed: the second snapshot knows nothing of that journal."""
    disk = killed_at(disk_with_folder(), "replace", ".backup.journal", "a", "b")
    store = StateStore(LocalBackend(PATH, disk=disk))
    loaded = store.read()
    assert loaded.left_over
    state = loaded.state.copy()
    del state.instances["thing.a"]
    left: list[MemoryDisk] = []

    def step(op: str, path: str) -> None:
        if op == "remove" and path == PATH + ".journal":
            left.append(disk.fork())

    disk.on_step = step
    assert store.write(loaded, state, "state mv") == []
    for each in left:
        assert list(StateStore(LocalBackend(PATH, disk=each)).load().instances) == ["thing.b"]
    assert left


def test_a_journal_that_is_taken_over_gets_a_durable_name() -> None:
    """Its first writer was killed before the folder was synced."""
    for seed in range(20):
        disk = killed_at(disk_with_folder(), "sync_folder", "/work", "a", times=2)
        assert disk.files().keys() == {PATH + ".journal"}
        disk = killed_at(disk, "write", ".new", "a")
        journal = disk.files()[PATH + ".journal"]
        again = disk.power_failure(random.Random(seed))
        assert again.files().get(PATH + ".journal") == journal
        assert list(StateStore(LocalBackend(PATH, disk=again)).load().instances) == ["thing.a"]


def test_a_folder_that_the_backend_makes_is_durable() -> None:
    path = "/work/other/deep/hythe.state.json"
    disk = disk_with_folder()
    store = StateStore(LocalBackend(path, disk=disk))
    session = store.begin(store.read())
    session.wait(session.record(Result(put=thing("a"))))
    session.close()
    for seed in range(20):
        again = StateStore(LocalBackend(path, disk=disk.power_failure(random.Random(seed))))
        assert list(again.load().instances) == ["thing.a"]


def test_a_disk_that_is_full_for_a_while_loses_nothing() -> None:
    disk = disk_with_folder()
    store = StateStore(LocalBackend(PATH, disk=disk))
    session = store.begin(store.read())
    session.wait(session.record(Result(put=thing("a"))))
    disk.room = sum(map(len, disk.files().values())) + 10
    session.record(Result(put=thing("b")))
    (told,) = session.finish()
    assert told.is_error
    assert "thing.b" in told.detail
    disk.room = None
    loaded = store.read()
    assert list(loaded.state.instances) == ["thing.a"]
    session = store.begin(loaded)
    session.record(Result(put=thing("b")))
    assert session.finish() == []
    assert list(store.load().instances) == ["thing.a", "thing.b"]
