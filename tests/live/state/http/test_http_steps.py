"""A run that is killed at any step of an apply: here it is gone on with, elsewhere it is refused until then."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hythe.diagnostic import DiagnosticError
from hythe.state.backends.http import Settings, open_storage
from hythe.state.backends.http.client import HttpClient
from hythe.state.backends.http.files import LocalFiles
from hythe.state.frames import JournalFile
from hythe.state.model import InstanceState, Result
from hythe.state.store import StateStore

ENDED, BROKE = 9, 7


def store_at(url: str, folder: Path) -> StateStore:
    given = Settings(address=url, lock_address=url, unlock_address=url, retry_wait_min=0.0, retry_max=1)
    return StateStore(open_storage(given, str(folder), {}).backend("default"))


def instance(name: str) -> InstanceState:
    return InstanceState(f"thing.{name}", f"id-{name}", "thing", {"name": name})


def put(store: StateStore, name: str) -> None:
    """Create an object, as an apply does it."""
    with store.lock("apply"):
        session = store.begin(store.read())
        intent, ticket = session.intend("create", instance(name))
        session.wait(ticket)
        session.wait(session.record(Result(intent.seq, instance(name))))
        assert session.finish() == []


def killed_at(step: int, url: str, folder: Path) -> str | None:
    """Put ``second`` in a process that ends at that step; the step's name, None when it came to its end before."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        code = BROKE
        try:
            _watch(step, writes)
            put(store_at(url, folder), "second")
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writes)
    with os.fdopen(reads) as told:
        name = told.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, ENDED), f"step {step}: exit code {code}"
    return name if code == ENDED else None


def _watch(end: int, told: int) -> None:
    seen = 0
    request, save, write, unlink = HttpClient.request, LocalFiles._save, JournalFile.write, os.unlink

    def at(name: str) -> None:
        nonlocal seen
        seen += 1
        if seen == end:
            os.write(told, name.encode())
            os._exit(ENDED)

    def watched_request(self: HttpClient, method: str, *more: Any, **options: Any) -> Any:
        at(f"before {method}")
        answer = request(self, method, *more, **options)
        at(f"after {method}")
        return answer

    def watched_save(self: LocalFiles, **changed: Any) -> None:
        at(f"before marks {sorted(changed)}")
        save(self, **changed)
        at(f"after marks {sorted(changed)}")

    def watched_write(self: JournalFile, records: Any) -> None:
        write(self, records)
        # what comes before them may be written with them or not
        for sort in ("intent", "result"):
            if any(r.startswith(b'{"%s"' % sort.encode()) for r in records):
                at(f"after {sort}")

    def watched_unlink(path: str, **more: Any) -> None:
        at("before unlink")
        unlink(path, **more)

    HttpClient.request = watched_request  # type: ignore[method-assign]
    LocalFiles._save = watched_save  # type: ignore[method-assign]
    JournalFile.write = watched_write  # type: ignore[method-assign]
    os.unlink = watched_unlink


@pytest.mark.timeout(300)
def test_killed_at_every_step(state_server: Callable[..., Any], tmp_path: Path) -> None:
    # a server that keeps versions and refuses a number that was used before is the strictest
    server = state_server(versions=True)
    steps: list[str] = []
    while True:
        path = f"/states/at{len(steps)}"
        url, here, there = server.url(path), tmp_path / f"here{len(steps)}", tmp_path / f"there{len(steps)}"
        put(store_at(url, here), "first")
        step = killed_at(len(steps) + 1, url, here)
        if step is None:
            break
        steps.append(step)
        _check(server, path, here, there, step)
    print(f"{len(steps)} steps: {steps}")
    assert {
        "after LOCK",
        "before POST",
        "after POST",
        "after intent",
        "after result",
        "before unlink",
        "before UNLOCK",
    } <= set(steps)
    assert steps.count("after POST") == 2


def _check(server: Any, path: str, here: Path, there: Path, step: str) -> None:
    url, noted = server.url(path), "hythe_journal_note" in server.state(path)
    other = store_at(url, there)
    if noted:
        # the lock of a process that has ended is taken over; its journal cannot be
        with other.lock("apply"), pytest.raises(DiagnosticError, match="Journal in another folder"):
            other.read()
        assert other.read().state.instances.keys() == {"thing.first"}, step
    store = store_at(url, here)
    with store.lock("apply"):
        loaded = store.read()
        known = {*loaded.state.instances, *(i.instance.address for i in loaded.pending)}
        session = store.begin(loaded)
        if noted or "thing.second" in known:
            assert "thing.first" in known
        for intent in loaded.pending:
            session.record(Result(intent.seq, intent.instance))
        assert session.finish() == [], step
    after = server.state(path)
    assert "hythe_journal_note" not in after, step
    assert not (set(here.rglob("*.journal"))), step
    assert server.locks() == {}, step
    # nothing of it is in the way of anybody else
    put(other, "third")
    found = store.read()
    assert found.state.instances.keys() == known | {"thing.third"}, step
    assert not found.pending
