"""Locks and journals: killed holders, other folders and machines, force-unlock, and many at once."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.live.state.contest import contest

SOAK = bool(os.environ.get("HYTHE_SOAK"))
KILLS = 40 if SOAK else 5
SEED = int(os.environ.get("HYTHE_SEED", "20261128"))
MANY = 'resource "value" "many" {\n  count = 400\n  input = count.index\n}\n'
PATH = "/states/shop"
ELSEWHERE = ("unshare", "--uts", "sh", "-c", 'hostname other-machine; exec "$@"', "sh")
"""Runs a command as on another machine, as far as names tell."""


@pytest.fixture
def work(state_server: Callable[..., Any], folder: Callable[..., Any]) -> Any:
    """A folder on a plain server, nothing applied yet."""
    made = folder(state_server())
    made.write(MANY)
    return made


def killed(work: Any, *argv: str, prefix: tuple[str, ...] = ()) -> None:
    """Kill an apply once its journal holds something: the snapshot after it is stored never."""
    work.server.faults({"method": "POST", "sort": "hang", "seconds": 20, "after": 1})
    process = work.start("apply", "--auto-approve", *argv, prefix=prefix)
    end = time.monotonic() + 60
    while not any(p.stat().st_size > 2000 for p in work.path.glob(".hythe/http/*.journal")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    work.server.faults()


@pytest.mark.timeout(120 + 60 * KILLS)
def test_kill_at_random_moments(work: Any) -> None:
    """Before, while the server is told of the journal, at work, while the snapshot is stored, and after."""
    rng = random.Random(SEED)
    found = set()
    for at in range(KILLS):
        # the state is stored twice: with the journal's note, and at the end
        work.server.faults({"method": "POST", "sort": ("slow", "slow-after")[at % 2], "seconds": 1.0, "count": 99})
        process = work.start("apply", "--auto-approve")
        end = time.monotonic() + 60
        while at % 4 != 3 and not list(work.path.glob(".hythe/http/*.journal")) and process.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 2.6))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        work.server.faults()
        left = ["journal" for p in work.path.glob(".hythe/http/*.journal")]
        left += ["note"] * ("hythe_journal_note" in work.server.state()) + ["lock"] * bool(work.server.locks())
        ran = work.ok("apply", "--auto-approve")
        print(f"kill {at}, seed {SEED}: left {left}, {ran.out.splitlines()[-1]}")
        found.add(tuple(left))
        work.ok("plan", "--detailed-exitcode")
        assert len(work.listed()) == 400
        assert not work.server.locks()
        assert "hythe_journal_note" not in work.server.state()
        work.ok("destroy", "--auto-approve")
        assert not work.listed()
    assert len(found) > 1, "all were killed at the same moment"


def test_a_killed_apply_is_gone_on_with_here_and_refused_elsewhere(work: Any, folder: Callable[..., Any]) -> None:
    killed(work)
    lock = work.server.locks()[PATH]
    other = folder(work.server)
    other.write(MANY)
    # the lock's holder is known to have ended, on this machine; its journal is in another folder all the same
    for command in (["plan"], ["apply", "--auto-approve"], ["state", "rm", "value.many"]):
        said = other.fails(*command).words
        assert "Journal in another folder" in said
        assert str(work.path) in said
    assert work.server.locks() == {}
    assert json.loads(lock["Info"])["journal"].startswith(str(work.path))
    # reading needs no lock, and is refused to nobody
    other.ok("state", "pull")
    said = other.fails("apply", "--auto-approve", prefix=ELSEWHERE).words
    assert "Journal on another machine" in said
    assert f"run `hythe apply` on {os.uname().nodename} in {work.path}" in said
    work.apply()
    assert len(work.listed()) == 400
    other.ok("plan", "--detailed-exitcode")


def test_a_killed_holder_elsewhere_needs_force(work: Any, folder: Callable[..., Any]) -> None:
    killed(work, prefix=ELSEWHERE)
    lock_id = work.server.locks()[PATH]["ID"]
    other = folder(work.server)
    other.write(MANY)
    said = other.fails("plan", "--lock-timeout=1s").words
    assert "State is locked" in said
    assert "of root on other-machine, process" in said
    assert f"hythe force-unlock {lock_id}" in said
    assert lock_id in other.fails("force-unlock").words
    assert "Lock ID does not match" in other.fails("force-unlock", "--force", "0-0-0").words
    assert work.server.locks()[PATH]["ID"] == lock_id
    assert "Approval needed" in other.fails("force-unlock", lock_id).words
    other.ok("force-unlock", "--force", lock_id)
    assert not work.server.locks()
    said = other.fails("apply", "--auto-approve").words
    assert "Journal on another machine" in said
    # on its own machine it goes on
    work.ok("apply", "--auto-approve", prefix=ELSEWHERE)
    other.ok("plan", "--detailed-exitcode")


def test_a_journal_that_is_lost_for_good(work: Any, folder: Callable[..., Any]) -> None:
    killed(work)
    for path in work.path.glob(".hythe/http/*.journal"):
        path.unlink()
    said = work.fails("apply", "--auto-approve").words
    assert "Journal missing" in said
    note_id = json.loads(work.server.state().partition("\n")[0] + "null}")["hythe_journal_note"]["id"]
    assert f"`hythe force-unlock {note_id}`" in said
    assert note_id in work.fails("force-unlock").words
    work.ok("force-unlock", "--force", note_id)
    assert "Nobody holds the lock" in work.ok("force-unlock").words
    work.apply()


def test_a_journal_is_not_taken_for_that_of_another_state(work: Any, folder: Callable[..., Any]) -> None:
    work.apply()
    work.write(MANY.replace("400", "390"))
    killed(work)
    note_id = json.loads(work.server.state().partition("\n")[0] + "null}")["hythe_journal_note"]["id"]
    other = folder(work.server)
    other.write(MANY.replace("400", "380"))
    other.ok("force-unlock", "--force", note_id)
    other.apply()
    said = work.fails("apply", "--auto-approve").words
    assert "Journal of another state" in said
    assert "move the journal away" in said


def test_a_lost_lock_is_noticed_at_the_write(work: Any) -> None:
    work.apply()
    work.write(MANY.replace("400", "10"))
    # the second write is the snapshot: by then somebody else has the lock
    work.server.faults({"method": "POST", "sort": "slow", "seconds": 3, "after": 1})
    process = work.start("apply", "--auto-approve")
    end = time.monotonic() + 60
    while "hythe_journal_note" not in work.server.state():
        assert time.monotonic() < end
        time.sleep(0.02)
    theirs = {
        "ID": "theirs",
        "Operation": "OperationTypeApply",
        "Info": "",
        "Who": "eve@far",
        "Version": "1",
        "Path": "",
    }
    work.server.lock(PATH, {**theirs, "Created": "2026-01-01T00:00:00Z"})
    out, err = process.communicate(timeout=120)
    said = " ".join((out + err).split())
    assert "the lock is not held any more" in said
    assert "State lock lost" in said
    assert "nothing of another run was overwritten" in said
    assert work.server.locks()[PATH]["ID"] == "theirs"
    said = work.fails("plan").words
    assert "OperationTypeApply of eve on far, since 2026-01-01T00:00:00Z (lock ID theirs)" in said
    work.ok("force-unlock", "--force", "theirs")
    work.apply()
    assert len(work.listed()) == 10


@pytest.mark.parametrize("options", [{"mute": True}, {"echo": True}], ids=["mute", "echo"])
def test_servers_that_tell_less_of_the_holder(
    state_server: Callable[..., Any], folder: Callable[..., Any], options: dict[str, Any]
) -> None:
    server = state_server(**options)
    work, other = folder(server), folder(server)
    work.write(MANY)
    other.write(MANY)
    killed(work)
    lock_id = server.locks()[PATH]["ID"]
    # what the server says of the process is that of whoever asks, or nothing: so nobody is taken for dead
    said = other.fails("apply", "--auto-approve").words
    assert "State is locked" in said
    assert f"process {os.getpid()}" not in said
    if options.get("mute"):
        assert f"runs here that were killed had the IDs {lock_id}" in work.fails("plan").words
        assert "did not give up the lock" in other.fails("force-unlock", "--force", "0-0-0").words
        work.ok("force-unlock", "--force", lock_id)
    # a lock of this very folder is known by its ID
    work.apply()
    assert not server.locks()


def test_a_lock_that_cannot_be_given_up(work: Any) -> None:
    work.server.faults({"method": "UNLOCK", "sort": "status", "status": 500, "count": 99})
    said = work.ok("apply", "--auto-approve").words
    assert "State stays locked" in said
    assert work.server.locks()[PATH]["ID"] in said
    work.server.faults()
    work.ok("plan", "--detailed-exitcode")
    assert not work.server.locks()


def test_interrupted_while_waiting_for_the_lock(work: Any) -> None:
    work.server.lock(PATH, {"ID": "theirs", "Who": "eve@far"})
    process = work.start("apply", "--auto-approve", "--lock-timeout=60s")
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode != 0
    assert work.server.locks()[PATH]["ID"] == "theirs"
    work.server.lock(PATH, None)
    work.apply()


# -- many at once -------------------------------------------------------------------------------

CONTEST = 50 if SOAK else 12


def intervals(server: Any) -> list[tuple[float, float]]:
    """When the lock was held, from the server's own log."""
    taken: dict[str, float] = {}
    out = []
    for entry in server.log():
        if entry["status"] != 200 or entry["path"] != PATH:
            continue
        if entry["method"] == "LOCK":
            taken[entry["id"]] = entry["at"]
        elif entry["method"] == "UNLOCK":
            out.append((taken.pop(entry["id"]), entry["at"]))
    assert not taken
    return sorted(out)


@pytest.mark.timeout(60 + 30 * CONTEST)
def test_many_at_once_one_at_a_time(state_server: Callable[..., Any], tmp_path: Path) -> None:
    server = state_server()
    url = server.url()
    block = f'backend "http" {{\n  address = "{url}"\n  lock_address = "{url}"\n  unlock_address = "{url}"\n}}'
    came = contest(tmp_path, block, CONTEST, timeout=25 * CONTEST)
    # each apply stores two versions: that its journal is open, and the snapshot
    came.check(CONTEST, step=2)
    held = intervals(server)
    assert len(held) == CONTEST
    assert all(before[1] <= after[0] for before, after in pairwise(held))
    asked = sum(e["method"] == "LOCK" for e in server.log())
    longest = max(end - start for start, end in held)
    print(f"{CONTEST} applies in {came.seconds:.1f} s, lock asked for {asked} times, longest held for {longest:.2f} s")


@pytest.mark.timeout(300)
def test_many_in_one_folder(work: Any) -> None:
    """The folder's own lock is fought for, and the server is asked by one at a time."""
    count = CONTEST // 4
    work.write(MANY.replace("400", str(count)))
    applies = [
        work.start("apply", "--auto-approve", f"--target=value.many[{at}]", "--lock-timeout=5m") for at in range(count)
    ]
    for process in applies:
        out, err = process.communicate(timeout=280)
        assert process.returncode == 0, out + err
    assert len(work.listed()) == count
    assert not [e for e in work.server.log() if e["status"] == 423]


# -- workspaces ---------------------------------------------------------------------------------


def test_workspaces_have_addresses_of_their_own(state_server: Callable[..., Any], tmp_path: Path) -> None:
    from hythe.diagnostic import DiagnosticError
    from hythe.state.backends.http import Settings, open_storage
    from hythe.state.store import StateStore

    server = state_server()
    url = server.url("/states/{workspace}/main")
    storage = open_storage(Settings(address=url, lock_address=url, unlock_address=url), str(tmp_path), {})
    assert storage.workspaces() == ["default"]
    for name in ("default", "test", "a b"):
        store = StateStore(storage.backend(name))
        with store.lock("apply"):
            loaded = store.read()
            loaded.state.lineage = name
            assert not store.write(loaded, loaded.state, "state push")
    assert storage.workspaces() == ["a b", "default", "test"]
    assert server.ask("/_/log")["states"] == ["/states/a%20b/main", "/states/default/main", "/states/test/main"]
    backend = storage.backend("test")
    assert backend.where == server.url("/states/test/main")
    with backend.lock("workspace delete", 0):
        backend.delete()
    assert storage.workspaces() == ["a b", "default"]
    assert "/states/test/main" not in server.ask("/_/log")["states"]
    assert not server.locks()
    modes = {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / ".hythe" / "http").iterdir()}
    assert set(modes.values()) == {0o600}
    plain = open_storage(Settings(address=server.url()), str(tmp_path), {})
    with pytest.raises(DiagnosticError, match=r"\{workspace\}"):
        plain.backend("test")


def test_a_server_that_deletes_nothing_that_is_locked(state_server: Callable[..., Any], tmp_path: Path) -> None:
    from hythe.state.backends.http import Settings, open_storage
    from hythe.state.store import StateStore

    server = state_server(versions=True)
    url = server.url("/states/{workspace}")
    storage = open_storage(Settings(address=url, lock_address=url, unlock_address=url), str(tmp_path), {})
    store = StateStore(storage.backend("old"))
    with store.lock("workspace delete"):
        loaded = store.read()
        assert not store.write(loaded, loaded.state, "state push")
        store.backend.delete()
    assert server.ask("/_/log")["states"] == []
    assert not server.locks()
    shutil.rmtree(tmp_path)
