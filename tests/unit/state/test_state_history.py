"""Versions that are kept of a local state: which, how cheaply, and going back to one."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from hythe.cli import main
from hythe.diagnostic import DiagnosticError
from hythe.state.backends import versions
from hythe.state.backends.local import LocalBackend
from hythe.state.codec import decode_snapshot, encode_snapshot
from hythe.state.history import entries, restoration
from hythe.state.model import InstanceState, Result, State
from hythe.state.store import StateStore


def instance(name: str, id: str | None = None) -> InstanceState:
    return InstanceState(f"value.{name}", id or f"id-{name}", "value", {"input": name, "output": name})


def store_at(folder: Path, **more: Any) -> StateStore:
    return StateStore(LocalBackend(str(folder / "hythe.state.json"), **more))


def put(store: StateStore, *names: str) -> None:
    session = store.begin(store.read(), "apply")
    for name in names:
        intent, _ = session.intend("create", instance(name))
        session.record(Result(intent.seq, instance(name)))
    assert session.finish() == []


def restore(store: StateStore, id: str, *, force: bool = False) -> State:
    found = restoration(store, id, force=force)
    found.base.pending = found.target.pending
    assert store.write(found.base, found.target.state, "state history") == []
    return store.load()


def refusal(store: StateStore, id: str) -> str:
    with pytest.raises(DiagnosticError) as caught:
        restoration(store, id, force=False)
    return caught.value.diagnostics[0].summary


# -- what is kept ---------------------------------------------------------------------------------


def test_each_snapshot_becomes_a_version_and_the_oldest_go(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    for number in range(14):
        put(store, f"n{number}")
    kept = store.backend.versions()
    assert [v.serial for v in kept] == list(range(13, 3, -1))
    assert [v.id for v in kept] == [str(n) for n in range(13, 3, -1)]
    data = store.backend.read_version("7")
    assert data is not None
    assert sorted(decode_snapshot(data).state.instances) == sorted(f"value.n{n}" for n in range(7))
    assert store.backend.read_version("3") is None


def test_keeping_a_version_writes_no_data(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    put(store, "a")
    before = os.stat(store.where).st_ino
    put(store, "b")
    assert os.stat(tmp_path / "hythe.state.json.history" / "000001.json").st_ino == before


def test_all_versions_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_at(tmp_path)
    put(store, "a")
    monkeypatch.setattr(versions, "KEPT_BYTES", 3 * os.path.getsize(store.where))
    for name in "bcdefg":
        put(store, name)
    sizes = [v.size for v in store.backend.versions()]
    assert 1 <= len(sizes) <= 3
    assert sum(sizes) <= versions.KEPT_BYTES
    monkeypatch.setattr(versions, "KEPT_BYTES", 1)
    put(store, "h")
    assert [v.serial for v in store.backend.versions()] == [7], "the last one stays, however large it is"


def test_without_hard_links_versions_are_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*paths: str) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    store = store_at(tmp_path)
    for name in "abc":
        put(store, name)
    assert [v.serial for v in store.backend.versions()] == [2, 1]
    for path in (tmp_path / "hythe.state.json.history").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        decode_snapshot(path.read_bytes())


def test_a_state_is_written_though_no_version_can_be_kept(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    put(store, "a")
    (tmp_path / "hythe.state.json.history").write_text("no folder")
    put(store, "b")
    assert sorted(store.load().instances) == ["value.a", "value.b"]


def test_another_state_of_the_same_serial_is_kept_too(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    for name in "ab":
        put(store, name)
    Path(store.where).write_bytes(encode_snapshot(State("other", 1, {"value.z": instance("z")}))[0])
    put(store, "c")
    assert sorted(v.id for v in store.backend.versions()) == ["1", "1.1"]
    data = store.backend.read_version("1.1")
    assert data is not None
    assert list(decode_snapshot(data).state.instances) == ["value.z"]


def test_a_crash_at_any_step_keeps_versions_whole(tmp_path: Path) -> None:
    copies: list[Path] = []
    live = tmp_path / "live"
    live.mkdir()

    def copy(step: str) -> None:
        if armed:
            copies.append(Path(shutil.copytree(live, tmp_path / f"copy-{len(copies)}")))

    armed = False
    store = store_at(live, on_step=copy)
    for number in range(11):
        put(store, f"n{number}")
    armed = True
    put(store, "last")
    for path in copies:
        again = store_at(path)
        put(again, "more")
        kept = again.backend.versions()
        assert len(kept) == 10, path
        assert len({v.serial for v in kept}) == 10, "none twice"
        for version in kept:
            data = again.backend.read_version(version.id)
            assert data is not None
            assert decode_snapshot(data).state.serial == version.serial


def test_deleting_a_workspace_takes_its_versions_along(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    folder.mkdir()
    store = store_at(folder)
    for name in "abc":
        put(store, name)
    store.backend.delete()
    assert not folder.exists()


# -- going back -----------------------------------------------------------------------------------


def test_restoring_is_a_new_serial_and_keeps_what_was(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    for name in "abc":
        put(store, name)
    found = restoration(store, "1", force=False)
    assert (found.gone, found.back, found.other) == (["value.b", "value.c"], [], [])
    state = restore(store, "1")
    assert (list(state.instances), state.serial) == (["value.a"], 4)
    assert sorted(restore(store, "3").instances) == ["value.a", "value.b", "value.c"]
    assert [e.id for e in entries(store)] == ["", "4", "3", "2", "1"]


def test_restoring_with_operations_left_open_is_refused(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    for name in "ab":
        put(store, name)
    session = store.begin(store.read())
    session.wait(session.intend("create", instance("c"))[1])
    session.close()
    assert refusal(store, "1") == "Operation left open"


def test_restoring_another_lineage_is_refused(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    for name in "ab":
        put(store, name)
    Path(store.where).write_bytes(encode_snapshot(State("other", 5))[0])
    assert refusal(store, "1") == "Version of another state"
    assert list(restore(store, "1", force=True).instances) == ["value.a"]


@pytest.mark.parametrize("lost", ["damaged", "removed"])
def test_a_lost_state_is_restored_with_what_was_done_since(tmp_path: Path, lost: str) -> None:
    store = store_at(tmp_path)
    for name in "abc":
        put(store, name)
    if lost == "damaged":
        Path(store.where).write_bytes(Path(store.where).read_bytes()[:-20])
    else:
        os.unlink(store.where)
    state = restore(store, "2")
    # the journal that the backup had beside it tells of c
    assert sorted(state.instances) == ["value.a", "value.b", "value.c"]
    assert state.serial > 3, "a plan that was made of the lost state must not fit"


def test_an_older_version_of_a_damaged_state_comes_without_what_was_done_since(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    for name in "abc":
        put(store, name)
    Path(store.where).write_bytes(b"")
    state = restore(store, "1")
    assert (list(state.instances), state.serial > 3) == (["value.a"], True)


def test_a_journal_of_another_version_is_not_thrown_away(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    for name in "abc":
        put(store, name)
    session = store.begin(store.read())
    session.wait(session.intend("create", instance("d"))[1])
    session.close()
    os.unlink(store.where)
    assert refusal(store, "2") == "Journal of another version"
    assert sorted(restore(store, "2", force=True).instances) == ["value.a", "value.b", "value.c"]
    assert not os.path.exists(store.backend.journal)


# -- the command ----------------------------------------------------------------------------------


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "main.hcl").write_text('resource "value" "a" {\n  input = "one"\n}\n')

    def run(*words: str) -> tuple[int, str, str]:
        code = main.run(words)
        return code, *capsys.readouterr()

    return run


def test_history_tells_who_wrote_what(shell: Any, tmp_path: Path) -> None:
    assert shell("state", "history")[1] == "There is no state yet, and no version of one.\n"
    shell("apply", "-auto-approve")
    shell("state", "mv", "value.a", "value.b")
    _, out, _ = shell("state", "history", "-json")
    now, first = json.loads(out)["versions"]
    assert (now["id"], now["current"], now["serial"], now["operation"]) == (None, True, 2, "state mv")
    assert (first["id"], first["current"], first["serial"], first["operation"]) == ("1", False, 1, "apply")
    assert (first["objects"], first["hythe_version"]) == (1, now["hythe_version"])
    _, out, _ = shell("state", "history")
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [["(now)", "2"], ["1", "1"]]
    assert shell("state", "history", "-show=1")[1].startswith("# value.a:")
    code, _, err = shell("state", "history", "-show=7")
    assert (code, "There is no version 7" in err) == (1, True)


def test_restoring_asks(shell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    shell("apply", "-auto-approve")
    shell("state", "rm", "value.a")
    before = (tmp_path / "hythe.state.json").read_bytes()
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    code, out, err = shell("state", "history", "-restore=1")
    assert code == 1
    assert "know again" in out
    assert "value.a" in out
    assert "--auto-approve" in err
    monkeypatch.setattr("sys.stdin", io.StringIO("no\n"))
    assert shell("state", "history", "-restore=1")[0] == 1
    assert (tmp_path / "hythe.state.json").read_bytes() == before
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    assert shell("state", "history", "-restore=1")[0] == 0
    assert shell("plan")[1].startswith("No changes")


def test_a_damaged_state_shows_in_the_history_and_is_mended(shell: Any, tmp_path: Path) -> None:
    shell("apply", "-auto-approve")
    shell("apply", "-auto-approve", "-replace=value.a")
    (tmp_path / "hythe.state.json").write_text("")
    _, out, _ = shell("state", "history")
    assert "cannot be used: it is empty" in out
    code, out, _ = shell("state", "history", "-restore=1", "-auto-approve")
    assert code == 0
    assert "brought up to what was recorded after it" in out
    assert shell("plan")[1].startswith("No changes")
