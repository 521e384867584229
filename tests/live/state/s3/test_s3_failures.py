"""Killed runs, servers that come and go, and many runs at once.

HYTHE_SOAK runs the full counts, HYTHE_SEED sets the random moments.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from hythe.state.backends.s3.link import Link
from hythe.state.backends.waiting import SILENCE, Waiting
from tests.live.state.contest import contest
from tests.live.state.pg.test_pg_failures import FILES, WORLD, _as_declared, _chain
from tests.live.state.s3.conftest import KEY, Bucket, Project

SOAK = bool(os.environ.get("HYTHE_SOAK"))
SEED = int(os.environ.get("HYTHE_SEED") or 7)
KILLS = 25 if SOAK else 1
PROCESSES = 50 if SOAK else 6
KILLED = """
import os, signal, sys
from hythe.state.backends.s3.journal import S3Journal
left, write = int(os.environ["KILL_AFTER"]), S3Journal.write
def fatal(self, records):
    global left
    if left < len(records):
        if left:
            write(self, records[:left])
        os.kill(os.getpid(), signal.SIGKILL)
    left -= len(records)
    write(self, records)
S3Journal.write = fatal
from hythe.cli.main import run
sys.exit(run(sys.argv[1:]))
"""
# by the number of requests that the server has seen: between any two of the lock, the journal and the snapshot
KILLED_BETWEEN = """
import os, signal, sys
from hythe.state.backends.s3.link import Link
left, put = int(os.environ["KILL_AFTER"]), Link._refusable
def fatal(self, *given):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return put(self, *given)
Link._refusable = fatal
from hythe.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.parametrize("program", [KILLED, KILLED_BETWEEN], ids=["records", "requests"])
def test_killed_after_any(project: Project, program: str) -> None:
    """Each round changes everything and is killed at a random place."""
    project.settings = '    lease = "1h"'
    project.write(WORLD)
    moments = random.Random(SEED)
    for round in range(KILLS):
        after = moments.randrange(2 * FILES + 3)
        argv = ("apply", "--auto-approve", f"--var=round={round}")
        killed = project.end(project.start(*argv, program=("-c", program), KILL_AFTER=str(after)))
        if program == KILLED:
            assert killed.code == -signal.SIGKILL, killed.text
        else:
            assert killed.code in (0, -signal.SIGKILL), killed.text
        project.ok(*argv)
        _as_declared(project, round)


def test_the_server_is_restarted_in_the_middle(project: Project) -> None:
    project.write(_chain(7, 0.3))
    apply = project.start("apply", "--auto-approve")
    gateway = project.bucket.gateway
    project.wait_for(lambda: len(project.lines()) >= 1, 60)
    gateway.stop()
    try:
        time.sleep(60 if SOAK else 6)
    finally:
        gateway.start()
    project.wait_for(lambda: len(project.lines()) >= 4, 60)
    # what keeps the objects does not answer either
    with gateway.frozen("osd"):
        time.sleep(3)
    ran = project.end(apply, 200)
    assert ran.code == 0, ran.text
    said = " ".join(ran.text.split())
    assert "does not answer" in said
    assert "answers again" in said
    assert project.lines() == [str(n) for n in range(7)]
    project.empty()
    assert project.bucket.backend().holder() is None


def test_an_outage_is_over_when_the_server_refuses(bucket: Bucket) -> None:
    """What was written before came through, only its answer did not: the next try is refused."""
    waiting, told = Waiting(), list[str]()
    link = Link(bucket.storage().target, waiting)
    assert link.keys("") == []
    written, gone = threading.Event(), threading.Event()

    def work(client: Any) -> None:
        made = client.put_object(Bucket=bucket.name, Key="k", Body=b"", IfNoneMatch="*")
        written.set()
        assert gone.wait(30)
        raise ReadTimeoutError(endpoint_url=str(made))

    with waiting.watched(told.append, threading.Event()), ThreadPoolExecutor(1) as pool:
        running = pool.submit(link.run, work, 60)
        assert written.wait(30)
        bucket.gateway.stop()
        try:
            gone.set()
            time.sleep(SILENCE + 3)
        finally:
            bucket.gateway.start()
        with pytest.raises(ClientError, match="PreconditionFailed"):
            running.result(60)
    assert [("does not answer" in text, "answers again" in text) for text in told] == [(True, False), (False, True)]


def test_the_server_stays_away(project: Project) -> None:
    project.settings = '    retry_for = "2s"'
    project.write(_chain(6, 0.3))
    apply = project.start("apply", "--auto-approve")
    project.wait_for(lambda: len(project.lines()) >= 2, 60)
    gateway = project.bucket.gateway
    gateway.stop()
    try:
        ran = project.end(apply)
        assert ran.code == 1
        said = " ".join(ran.text.split())
        assert "State not written" in said
        assert f"See that 127.0.0.1:{gateway.port} can be reached again" in said
        assert len(project.lines()) < 6
        assert "State server not reachable" in project.fails("plan")
    finally:
        gateway.start()
    project.ok("apply", "--auto-approve")
    project.empty()
    lines = project.lines()
    assert sorted(set(lines)) == [str(n) for n in range(6)]
    # what was acknowledged was journalled: only what was begun last may have run twice
    assert len(lines) <= 7


@pytest.mark.timeout(1800)
def test_many_at_once(bucket: Bucket, tmp_path: Path) -> None:
    result = contest(tmp_path, bucket.block.strip(), PROCESSES, bucket.environment)
    print(f"{PROCESSES} processes took {result.seconds:.1f} s")
    result.check(PROCESSES)
    serials = [v.serial for v in bucket.backend().versions()]
    assert serials == list(range(PROCESSES - 1, max(PROCESSES - 21, 0), -1))
    assert bucket.listed(f"{KEY}.hythelock") == [f"{KEY}.hythelock"]
