"""The store: what was recorded is there again, whatever happened in between."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from hythe.diagnostic import DiagnosticError
from hythe.state.backends.local import LocalBackend
from hythe.state.journal import JournalFailed
from hythe.state.lock import acquire
from hythe.state.model import InstanceState, OutputState, Result
from hythe.state.store import StateStore
from hythe.value import STRING


def instance(name: str, id: str | None = None, **more: Any) -> InstanceState:
    return InstanceState(f"thing.{name}", id or f"id-{name}", "thing", {"name": name}, **more)


def store_at(tmp_path: Path, **more: Any) -> StateStore:
    path = str(tmp_path / "hythe.state.json")
    return StateStore(LocalBackend(path, **more))


def put(store: StateStore, *names: str) -> None:
    session = store.begin(store.read())
    for name in names:
        intent, _ = session.intend("create", instance(name))
        session.record(Result(intent.seq, instance(name)))
    assert session.finish() == []


def summary_of(store: StateStore) -> str:
    with pytest.raises(DiagnosticError) as caught:
        store.read()
    (only,) = caught.value.diagnostics
    assert only.detail.endswith((".", ";"))
    return only.summary


def detail_of(store: StateStore) -> str:
    with pytest.raises(DiagnosticError) as caught:
        store.read()
    return caught.value.diagnostics[0].detail


def test_a_new_state_is_fresh_and_leaves_no_file(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    loaded = store.read("from-plan")
    assert loaded.fresh
    assert loaded.state.lineage == "from-plan"
    assert store.begin(loaded).finish() == []
    assert list(tmp_path.iterdir()) == []


def test_what_was_recorded_is_there_again(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    put(store, "a", "b")
    session = store.begin(store.read())
    session.record(Result(drop="thing.a", depose=(instance("a"),)))
    session.set_outputs({"o": OutputState("x", STRING)})
    session.finish()
    state = store.load()
    assert list(state.instances) == ["thing.b"]
    assert list(state.deposed) == ["id-a"]
    assert state.outputs["o"].value == "x"
    assert state.serial == 2
    assert not os.path.exists(store.backend.journal)
    for path in tmp_path.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_nothing_done_writes_nothing(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    put(store, "a")
    before = Path(store.where).read_bytes()
    assert store.begin(store.read()).finish() == []
    assert Path(store.where).read_bytes() == before


def test_a_session_left_alone_is_taken_in_by_the_next(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    put(store, "a")
    session = store.begin(store.read())
    done, _ = session.intend("create", instance("b"))
    session.record(Result(done.seq, instance("b")))
    session.intend("delete", instance("a"))
    session.wait()
    loaded = store.read()
    assert sorted(loaded.state.instances) == ["thing.a", "thing.b"]
    assert [(i.op, i.instance.address) for i in loaded.pending] == [("delete", "thing.a")]
    assert loaded.state.serial == 2, "a plan made before the crash must be seen to be old"
    session.close()

    second = store.begin(store.read())
    second.record(Result(loaded.pending[0].seq, drop="thing.a"))
    assert second.finish() == []
    assert list(store.load().instances) == ["thing.b"]
    assert store.load().serial == 3
    assert store.read().pending == ()


def test_open_operations_survive_a_snapshot(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    session = store.begin(store.read())
    session.intend("create", instance("a"))
    session.finish()
    loaded = store.read()
    assert [i.instance.id for i in loaded.pending] == ["id-a"]
    session = store.begin(loaded)
    intent, _ = session.intend("create", instance("b"))
    assert intent.seq > loaded.pending[0].seq
    session.close()


def test_a_crash_at_any_step_of_the_writing_loses_nothing(tmp_path: Path) -> None:
    copies: list[Path] = []

    def copy(step: str) -> None:
        if armed:
            target = tmp_path / f"copy-{len(copies)}-{step.replace(' ', '-')}"
            shutil.copytree(tmp_path / "live", target)
            copies.append(target)

    armed = False
    (tmp_path / "live").mkdir()
    store = store_at(tmp_path / "live", on_step=copy)
    put(store, "a")
    session = store.begin(store.read())
    intent, ticket = session.intend("create", instance("b"))
    session.wait(ticket)
    session.wait(session.record(Result(intent.seq, instance("b"))))
    armed = True
    session.finish()
    assert len(copies) == 7
    for path in copies:
        again = store_at(path)
        loaded = again.read()
        assert sorted(loaded.state.instances) == ["thing.a", "thing.b"], path
        assert not loaded.pending
        put(again, "c")
        assert sorted(again.load().instances) == ["thing.a", "thing.b", "thing.c"], path


def test_damage_is_told_apart_and_the_way_back_works(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    put(store, "a")
    put(store, "b")
    path = Path(store.where)
    good = path.read_bytes()
    for data, summary in (
        (b"", "State file empty"),
        (good[: len(good) // 2], "State file truncated"),
        (good.replace(b"id-b", b"id-x"), "State file damaged"),
        (b"hello", "Not a state file"),
    ):
        path.write_bytes(data)
        assert summary_of(store) == summary
    path.write_bytes(good[:100])
    assert "Nothing is lost" in detail_of(store)
    shutil.copy(store.backend.backup, store.where)
    shutil.copy(store.backend.old_journal, store.backend.journal)
    assert sorted(store.load().instances) == ["thing.a", "thing.b"]


def test_damage_without_the_old_journal_names_the_backup(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    put(store, "a")
    put(store, "b")
    old_journal = Path(store.backend.old_journal).read_bytes()
    os.unlink(store.backend.old_journal)
    Path(store.where).write_bytes(b"")
    assert f"cp {store.backend.backup} {store.where}" in detail_of(store)
    os.unlink(store.backend.backup)
    assert "no usable backup" in detail_of(store)
    Path(store.backend.old_journal).write_bytes(old_journal)
    assert "no usable backup" in detail_of(store), "it goes on from a backup that is not there"


def test_a_damaged_first_state_comes_back_from_its_journal(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    put(store, "a")
    Path(store.where).write_bytes(b"")
    detail = detail_of(store)
    command = detail.partition("`")[2].partition("`")[0]
    assert os.system(command) == 0
    assert list(store.load().instances) == ["thing.a"]


def test_an_unreadable_state_is_told(tmp_path: Path) -> None:
    os.mkdir(tmp_path / "hythe.state.json")
    assert summary_of(store_at(tmp_path)) == "State file not readable"


def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    session = store.begin(store.read())
    for name in "abc":
        session.wait(session.intend("create", instance(name))[1])
    session.close()
    path = Path(store.backend.journal)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    assert summary_of(store) == "Journal damaged"


def test_a_journal_of_another_state_is_told(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    put(store, "a")
    older = Path(store.where).read_bytes()
    put(store, "b")
    put(store, "c")
    session = store.begin(store.read())
    session.wait(session.intend("create", instance("d"))[1])
    session.close()
    Path(store.where).write_bytes(older)
    assert summary_of(store) == "Journal of another state"
    os.unlink(store.where)
    assert summary_of(store) == "State file missing"


def test_a_full_disk_at_the_snapshot_keeps_the_journal(tmp_path: Path) -> None:
    def full(step: str) -> None:
        if step == "write snapshot":
            raise OSError(errno.ENOSPC, "No space left on device")

    store = store_at(tmp_path, on_step=full)
    session = store.begin(store.read())
    intent, _ = session.intend("create", instance("a"))
    session.record(Result(intent.seq, instance("a")))
    (told,) = session.finish()
    assert told.summary == "State snapshot not written"
    assert not told.is_error
    assert list(store_at(tmp_path).load().instances) == ["thing.a"]


def test_a_full_disk_at_the_journal_still_writes_the_snapshot(tmp_path: Path) -> None:
    no_room = False

    def full(step: str) -> None:
        if no_room and step == "sync journal":
            raise OSError(errno.ENOSPC, "No space left on device")

    store = store_at(tmp_path, on_step=full)
    session = store.begin(store.read())
    intent, ticket = session.intend("create", instance("a"))
    session.wait(ticket)
    no_room = True
    with pytest.raises(JournalFailed):
        session.wait(session.record(Result(intent.seq, instance("a"))))
    assert session.failure is not None
    assert session.finish() == []
    again = store_at(tmp_path).read()
    assert list(again.state.instances) == ["thing.a"]
    assert not again.pending


def test_a_disk_full_for_good_says_what_is_recorded_nowhere(tmp_path: Path) -> None:
    no_room = False

    def full(step: str) -> None:
        if no_room:
            raise OSError(errno.ENOSPC, "No space left on device")

    store = store_at(tmp_path, on_step=full)
    session = store.begin(store.read())
    intent, ticket = session.intend("create", instance("a"))
    session.wait(ticket)
    no_room = True
    session.record(Result(intent.seq, instance("a")))
    (told,) = session.finish()
    assert told.is_error
    assert "thing.a" in told.detail
    assert [i.instance.id for i in store_at(tmp_path).read().pending] == ["id-a"]


def test_writing_replaces_at_once(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    put(store, "a", "b")
    loaded = store.read()
    state = loaded.state.copy()
    del state.instances["thing.b"]
    assert store.write(loaded, state, "state rm") == []
    assert list(store.load().instances) == ["thing.a"]
    assert store.load().serial == 2


def test_the_lock_names_its_holder(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    with store.lock("apply"):
        holder = store.holder()
        assert holder is not None
        assert holder.pid == os.getpid()
        with pytest.raises(DiagnosticError) as caught:
            store.lock("plan", timeout=0.2)
        (told,) = caught.value.diagnostics
        assert told.summary == "State is locked"
        assert f"process {os.getpid()}" in told.detail
        assert "hythe apply" in told.detail
    assert store.holder() is None
    store.lock("plan").release()


def test_a_dead_holder_is_no_obstacle(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    pid = os.fork()
    if pid == 0:
        store.lock("apply")
        os._exit(9)
    os.waitpid(pid, 0)
    assert Path(store.backend.lock_path).read_bytes(), "the dead one's note is still there"
    assert store.holder() is None
    with store.lock("plan") as lock:
        assert lock.holder.operation == "plan"


def test_waiting_for_the_lock(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    first = acquire(path, "apply")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            first.release()

    acquire(path, "plan", 60, sleep=sleep).release()
    assert len(slept) == 3


def test_a_lock_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError) as caught:
        acquire(str(tmp_path / "missing" / "lock"), "plan")
    assert caught.value.diagnostics[0].summary == "State cannot be locked"
