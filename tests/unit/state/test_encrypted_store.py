"""A store whose backend is sealed: the same promises, and nothing in clear on the disk."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hythe.diagnostic import DiagnosticError
from hythe.state.backends.base import Backend, Records, Storage
from hythe.state.backends.local import LocalBackend, LocalStorage
from hythe.state.codec import decode_snapshot
from hythe.state.encryption.keys import FixedSource
from hythe.state.encryption.records import SealedMedium, begin
from hythe.state.encryption.sealed import SealedBackend, SealedStorage
from hythe.state.encryption.target import Method, Target
from hythe.state.frames import decode_journal, encode_frame
from hythe.state.journal import JournalFailed
from hythe.state.model import InstanceState, OutputState, Result, State
from hythe.state.store import StateStore
from hythe.value import STRING
from tests.unit.state.test_encryption_sealing import resealed

SECRET = "hunter2-hunter2-hunter2"
OLD, NEW = b"o" * 32, b"n" * 32
PLAIN = Method("method.unencrypted.migrate", None)


def method(key: bytes) -> Method:
    name = key[:1].decode()
    return Method(f"method.aes_gcm.{name}", FixedSource(f"key_provider.file.{name}", "file", lambda: key))


def store_at(folder: Path, *methods: Method, **more: Any) -> StateStore:
    local = LocalBackend(str(folder / "hythe.state.json"), **more)
    return StateStore(SealedBackend(local, Target(methods)) if methods else local)


def instance(name: str, **more: Any) -> InstanceState:
    return InstanceState(f"thing.{name}", f"id-{name}", "thing", {"name": name, "secret": SECRET}, **more)


def put(store: StateStore, *names: str) -> None:
    session = store.begin(store.read())
    for name in names:
        session.record(Result(put=instance(name)))
    assert session.finish() == []


def crash(store: StateStore, *names: str) -> None:
    """Record, and end without a snapshot."""
    session = store.begin(store.read())
    for name in names:
        intent, ticket = session.intend("create", instance(name))
        session.wait(ticket)
        session.wait(session.record(Result(intent.seq, instance(name))))
    session.close()


def names(store: StateStore) -> list[str]:
    return [a.removeprefix("thing.") for a in store.load().instances]


def refusal(store: StateStore) -> tuple[str, str]:
    with pytest.raises(DiagnosticError) as caught:
        store.read()
    (only,) = caught.value.diagnostics
    return only.summary, only.detail


def summary(store: StateStore) -> str:
    return refusal(store)[0]


def nothing_in_clear(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert SECRET.encode() not in data, path
            assert b"thing." not in data, path
            assert b'"snapshot"' not in data, path
            assert path.stat().st_mode & 0o777 == 0o600, path


def test_every_method_of_a_backend_is_passed_on() -> None:
    """A method that is added to backends must not silently be the default of the wrapper."""
    for base, wrapper in ((Backend, SealedBackend), (Storage, SealedStorage)):
        for name, member in vars(base).items():
            if not name.startswith("_") and (callable(member) or isinstance(member, property)):
                assert name in vars(wrapper), name
    inner = LocalBackend("/nowhere/s.json")
    told = [n for n in {*vars(Backend), *Backend.__annotations__} if not callable(getattr(inner, n))]
    told = [n for n in told if not n.startswith("_") and n != "outdated"]
    assert {"where", "paths", "can_break"} <= set(told)
    for name in told:
        setattr(inner, name, f"the inner {name}")
    wrapped = SealedBackend(inner, Target([method(OLD)]))
    assert [getattr(wrapped, n) for n in told] == [f"the inner {n}" for n in told]


def test_what_was_recorded_is_there_again_and_nowhere_in_clear(tmp_path: Path) -> None:
    store = store_at(tmp_path, method(OLD))
    put(store, "a")
    nothing_in_clear(tmp_path)
    crash(store, "b", "c")
    nothing_in_clear(tmp_path)
    assert names(store) == ["a", "b", "c"]
    put(store, "d")
    assert names(store_at(tmp_path, method(OLD))) == ["a", "b", "c", "d"]
    nothing_in_clear(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [
        "hythe.state.json",
        "hythe.state.json.backup",
        "hythe.state.json.backup.journal",
        "hythe.state.json.history",
    ]


def test_workspaces_are_sealed_too(tmp_path: Path) -> None:
    storage = SealedStorage(LocalStorage(str(tmp_path / "s.json")), Target([method(OLD)]))
    for name in ("default", "other"):
        put(StateStore(storage.backend(name)), name)
    assert storage.workspaces() == ["default", "other"]
    assert names(StateStore(storage.backend("other"))) == ["other"]
    nothing_in_clear(tmp_path)


# -- told apart -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [put, crash])
def test_wrong_and_missing_keys_are_told_apart_and_change_nothing(tmp_path: Path, how: Any) -> None:
    how(store_at(tmp_path, method(OLD)), "a")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert summary(store_at(tmp_path, method(NEW))) == "Wrong encryption key"
    said, detail = refusal(store_at(tmp_path))
    assert said == "State is encrypted"
    assert "HYTHE_ENCRYPTION" in detail
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("how", [put, crash])
def test_plain_state_is_taken_only_where_a_method_says_so(tmp_path: Path, how: Any) -> None:
    how(store_at(tmp_path), "a")
    said, detail = refusal(store_at(tmp_path, method(OLD)))
    assert said == ("State is not encrypted" if how is put else "Journal is not encrypted")
    assert 'method "unencrypted"' in detail
    migrating = store_at(tmp_path, method(OLD), PLAIN)
    assert names(migrating) == ["a"]
    put(migrating, "b")
    assert names(store_at(tmp_path, method(OLD))) == ["a", "b"]


def test_and_back_to_plain(tmp_path: Path) -> None:
    put(store_at(tmp_path, method(OLD)), "a")
    put(store_at(tmp_path, PLAIN, method(OLD)), "b")
    assert names(store_at(tmp_path)) == ["a", "b"]


def test_tampering_and_damage_are_told_apart(tmp_path: Path) -> None:
    store = store_at(tmp_path, method(OLD))
    put(store, "a")
    path = Path(store.where)
    data = path.read_bytes()
    path.write_bytes(resealed(data.replace(b'"serial":1', b'"serial":9').removesuffix(b"\n")) + b"\n")
    said, detail = refusal(store)
    assert said == "Encrypted state tampered with"
    assert "Nothing is lost" in detail, "the journal beside the backup has it all"
    wrong = bytearray(data)
    wrong[-20] ^= 1
    path.write_bytes(wrong)
    assert summary(store) == "State file damaged"
    path.write_bytes(data[:-20])
    assert summary(store) == "State file truncated"
    path.write_bytes(b"")
    assert summary(store) == "State file empty"
    path.write_bytes(resealed(data.replace(b'"hythe_encrypted":1', b'"hythe_encrypted":7').removesuffix(b"\n")))
    assert summary(store) == "State from a newer version"


def test_the_way_back_from_damage_works(tmp_path: Path) -> None:
    store = store_at(tmp_path, method(OLD))
    put(store, "a")
    put(store, "b")
    path = Path(store.where)
    path.write_bytes(path.read_bytes()[:-50])
    command = refusal(store)[1].split("`")[1]
    assert os.system(command) == 0
    assert names(store) == ["a", "b"]
    nothing_in_clear(tmp_path)


def test_a_state_put_back_beside_its_journal_is_named(tmp_path: Path) -> None:
    store = store_at(tmp_path, method(OLD))
    put(store, "a")
    put(store, "b")
    crash(store, "c")
    shutil.copy(store.backend.paths.backup, store.where)
    assert summary(store) == "Journal of another state"


# -- the journal ------------------------------------------------------------------------------------


def journal_of(store: StateStore) -> tuple[Path, list[bytes]]:
    assert store.backend.paths is not None
    path = Path(store.backend.paths.journal)
    return path, decode_journal(path.read_bytes()).records


def write_journal(path: Path, records: Sequence[bytes]) -> None:
    path.write_bytes(encode_frame(records, 0)[0])


def test_every_flipped_bit_of_a_journal_is_noticed(tmp_path: Path) -> None:
    store = store_at(tmp_path, method(OLD))
    crash(store, "a")
    path, records = journal_of(store)
    assert len(records) == 4
    whole = [b"\n".join(records[:n]) for n in range(len(records) + 1)]
    for number, record in enumerate(records):
        for at in range(len(record)):
            wrong = bytearray(record)
            wrong[at] ^= 1 << at % 7
            write_journal(path, [*records[:number], bytes(wrong), *records[number + 1 :]])
            with pytest.raises(DiagnosticError):
                store.read()
    assert whole


def test_records_cannot_be_moved_left_out_repeated_or_brought_in(tmp_path: Path) -> None:
    store = store_at(tmp_path, method(OLD))
    put(store, "a")
    crash(store, "b", "c")
    (tmp_path / "copy").mkdir()
    for name in ("hythe.state.json", "hythe.state.json.journal"):
        shutil.copy(tmp_path / name, tmp_path / "copy" / name)
    twin = store_at(tmp_path / "copy", method(OLD))
    Path(journal_of(twin)[0]).unlink()
    crash(twin, "b", "c")
    path, records = journal_of(store)
    others = journal_of(twin)[1]
    assert len(records) == len(others) == 6
    head, *rest = records
    for wrong in (
        [head, rest[1], rest[0], *rest[2:]],
        [head, *rest[1:]],
        [head, rest[0], *rest[2:]],
        [head, rest[0], *rest],
        [*records, rest[-1]],
        [head, *others[1:]],
        [head, *rest[:2], *others[3:]],
        rest,
        [head, head, *rest],
        [head, *rest, head],
        [head, *rest, orjson.dumps({"result": {"drop": "thing.a"}})],
    ):
        write_journal(path, wrong)
        assert summary(store) == "Encrypted journal tampered with", wrong
    write_journal(path, [orjson.dumps({"hythe_journal": 1, "lineage": "l", "serial": 1, "snapshot": ""}), *rest])
    assert summary(store) == "Journal is not encrypted"
    # what is cut off at the end cannot be told from what was never written
    write_journal(path, records[:-1])
    assert [i.instance.address for i in store.read().pending] == ["thing.c"]


def test_a_plain_journal_beside_a_sealed_state_is_refused(tmp_path: Path) -> None:
    store = store_at(tmp_path, method(OLD))
    put(store, "a")
    digest = store.read().digest
    path = Path(store.where + ".journal")
    header = {"hythe_journal": 1, "lineage": store.load().lineage, "serial": 1, "snapshot": digest}
    write_journal(path, [orjson.dumps(header), orjson.dumps({"result": {"drop": "thing.a"}})])
    assert summary(store) == "Journal is not encrypted"


def test_a_torn_last_record_is_left_out(tmp_path: Path) -> None:
    store = store_at(tmp_path, method(OLD))
    crash(store, "a", "b")
    path, _ = journal_of(store)
    data = path.read_bytes()
    path.write_bytes(data[:-30])
    loaded = store.read()
    assert list(loaded.state.instances) == ["thing.a"]
    assert [i.instance.address for i in loaded.pending] == ["thing.b"]
    put(store, "c")
    assert names(store_at(tmp_path, method(OLD))) == ["a", "c"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=6))
def test_runs_with_whatever_method_are_read_together(tmp_path: Path, runs: list[tuple[int, int]]) -> None:
    """Each run writes some records with its method and is killed; whoever knows all keys reads them all."""
    folder = tmp_path / os.urandom(4).hex()
    folder.mkdir()
    ways = [
        [method(OLD), method(NEW), PLAIN],
        [method(NEW), method(OLD), PLAIN],
        [PLAIN, method(OLD), method(NEW)],
        [method(OLD), PLAIN, method(NEW)],
    ]
    expected = []
    sealed = False
    for number, (way, count) in enumerate(runs):
        store = store_at(folder, *ways[way])
        made = [f"r{number}-{n}" for n in range(count)]
        crash(store, *made)
        expected += made
        sealed = sealed or (way != 2 and count > 0)
    for way in ways:
        assert names(store_at(folder, *way)) == expected
    if sealed:
        # once sealed, a journal stays so to its end
        records = journal_of(store_at(folder, *ways[0]))[1]
        first = next(n for n, r in enumerate(records) if r.startswith(b'{"hythe_encrypted"'))
        assert all(r.startswith((b'"', b'{"hythe_encrypted"')) for r in records[first:])
    put(store_at(folder, *ways[1]), "last")
    assert names(store_at(folder, method(NEW))) == [*expected, "last"]


def test_the_plain_beginning_of_a_journal_that_is_sealed_on_cannot_be_changed_afterwards(tmp_path: Path) -> None:
    crash(store_at(tmp_path), "a", "b")
    store = store_at(tmp_path, method(OLD), PLAIN)
    crash(store, "c")
    assert names(store) == ["a", "b", "c"]
    path, records = journal_of(store)
    for wrong in ([*records[:3], *records[4:]], [*records[:2], records[2].replace(b"id-a", b"id-x"), *records[3:]]):
        write_journal(path, wrong)
        assert summary(store) == "Encrypted journal tampered with"


class FailingMedium:
    """Keeps what it is given; fails when told to, after or before keeping it."""

    def __init__(self) -> None:
        self.writes: list[list[bytes]] = []
        self.fail = 0

    def write(self, records: Sequence[bytes]) -> None:
        self.writes.append(list(records))
        if self.fail:
            self.fail -= 1
            raise OSError(errno.EIO, "no answer")

    def close(self) -> None:
        pass


def test_records_that_are_written_again_are_the_same_bytes() -> None:
    """A backend that got them although it did not seem so can tell."""
    target = Target([method(OLD)])
    header = b'{"hythe_journal":1,"lineage":"l","serial":0,"snapshot":""}'
    first, section = begin(target, header)
    inner = FailingMedium()
    medium = SealedMedium(inner, section)
    medium.write([b"one"])
    inner.fail = 2
    for _ in range(2):
        with pytest.raises(OSError):
            medium.write([b"two", b"three"])
    medium.write([b"two", b"three", b"four"])
    assert inner.writes[1] == inner.writes[2] == inner.writes[3][:2]
    from hythe.state.encryption.records import open_records

    kept = [first, *inner.writes[0], *inner.writes[3]]
    assert open_records(target, Records(kept, 1), "it").records == [header, b"one", b"two", b"three", b"four"]


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_at(tmp_path, method(OLD))
    put(store, "a")
    session = store.begin(store.read())
    session.wait(session.record(Result(put=instance("b"))))
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda *unused: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
    ticket = session.record(Result(put=instance("c")))
    with pytest.raises(JournalFailed):
        session.wait(ticket)
    monkeypatch.setattr(os, "pwrite", real)
    assert session.finish() == []
    assert names(store) == ["a", "b", "c"]


# -- rotation ---------------------------------------------------------------------------------------


def test_a_new_key_holds_from_the_next_write_even_if_nothing_else_changes(tmp_path: Path) -> None:
    put(store_at(tmp_path, method(OLD)), "a")
    rotating = store_at(tmp_path, method(NEW), method(OLD))
    assert names(rotating) == ["a"]
    before = Path(rotating.where).read_bytes()
    assert rotating.begin(rotating.read()).finish() == []
    assert Path(rotating.where).read_bytes() != before
    assert names(store_at(tmp_path, method(NEW))) == ["a"]
    # and then there is nothing to do any more
    again = store_at(tmp_path, method(NEW), method(OLD))
    before = Path(again.where).read_bytes()
    assert again.begin(again.read()).finish() == []
    assert Path(again.where).read_bytes() == before
    # the backup is what it was
    assert store_at(tmp_path, method(NEW), method(OLD)).backend.read_backup() is not None
    with pytest.raises(DiagnosticError, match="Wrong encryption key"):
        store_at(tmp_path, method(NEW)).backend.read_backup()


def test_a_backup_that_does_not_open_does_not_hide_what_is_wrong(tmp_path: Path) -> None:
    put(store_at(tmp_path, method(OLD)), "a")
    rotating = store_at(tmp_path, method(NEW), method(OLD))
    put(rotating, "b")
    path = Path(rotating.where)
    path.write_bytes(path.read_bytes()[:-9])
    assert summary(store_at(tmp_path, method(NEW))) == "State file truncated"
    assert "Nothing is lost" in refusal(store_at(tmp_path, method(NEW), method(OLD)))[1]


def test_a_key_that_cannot_be_had_is_told_before_anything_is_done(tmp_path: Path) -> None:
    put(store_at(tmp_path, method(OLD)), "a")

    def load() -> bytes:
        from hythe.diagnostic import error

        raise DiagnosticError(error("Key file not readable", "It is not there."))

    broken = Method("method.aes_gcm.b", FixedSource("key_provider.file.b", "file", load))
    local = LocalBackend(str(tmp_path / "hythe.state.json"))
    source = FixedSource("key_provider.file.o", "external", lambda: OLD)
    assert source.provider == "external"
    store = StateStore(SealedBackend(local, Target([broken, method(OLD)])))
    with store.lock("apply"), pytest.raises(DiagnosticError, match="Key file not readable"):
        store.read()


def test_ten_thousand_records_add_little(tmp_path: Path) -> None:
    import time

    def spend(folder: Path, *methods: Method) -> float:
        folder.mkdir()
        store = store_at(folder, *methods)
        session = store.begin(store.read())
        results = [Result(put=instance(f"n{n}")) for n in range(10_000)]
        started = time.process_time()
        for result in results:
            session.record(result)
        session.wait()
        spent = time.process_time() - started
        session.close()
        started = time.process_time()
        assert len(store.load().instances) == 10_000
        return spent + time.process_time() - started

    plain = min(spend(tmp_path / f"p{n}") for n in range(2))
    sealed = min(spend(tmp_path / f"s{n}", method(OLD)) for n in range(2))
    print(f"10,000 records written and read: {plain:.3f} s plain, {sealed:.3f} s sealed (CPU)")
    assert sealed < plain + 1.0


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(max_size=20), st.text(max_size=50) | st.integers() | st.lists(st.booleans())), st.text())
def test_any_state_survives(tmp_path: Path, attributes: dict[str, Any], output: str) -> None:
    folder = tmp_path / os.urandom(4).hex()
    folder.mkdir()
    store = store_at(folder, method(OLD))
    state = State("lineage \"'\\é\n", 3, {}, {}, {"o": OutputState(output, STRING)})
    state.instances["thing.a"] = InstanceState("thing.a", "id", "thing", attributes)
    assert store.write(store.read(), state, "test") == []
    again = store.load()
    assert again.instances == state.instances
    assert again.outputs == state.outputs
    assert (again.lineage, again.serial) == (state.lineage, 4)
    clear = orjson.loads(Path(store.where).read_bytes())
    assert (clear["lineage"], clear["serial"]) == (again.lineage, 4)
    inner = store.backend.read()
    assert inner is not None
    assert decode_snapshot(inner).state.lineage == again.lineage
