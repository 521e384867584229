"""Killed runs, servers that come and go, and many runs at once.

HYTHE_SOAK runs the full counts, HYTHE_SEED sets the random moments.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.live.state.contest import contest
from tests.live.state.pg.conftest import Database, Project

SOAK = bool(os.environ.get("HYTHE_SOAK"))
SEED = int(os.environ.get("HYTHE_SEED") or 7)
KILLS = 25 if SOAK else 4
PROCESSES = 50 if SOAK else 12
FILES = 6
WORLD = (
    "".join(
        f"""
resource "random" "r{n}" {{
  type        = "id"
  byte_length = 4
}}
resource "file" "f{n}" {{
  path    = "FOLDER/made/{n}"
  content = "${{random.r{n}.result}} ${{value.last.output}}"
}}
"""
        for n in range(FILES)
    )
    + 'variable "round" { default = 0 }\nresource "value" "last" { input = var.round }\n'
)
KILLED = """
import os, signal, sys
from hythe.state.backends.pg.journal import PgJournal
left, write = int(os.environ["KILL_AFTER"]), PgJournal.write
def fatal(self, records):
    global left
    if left < len(records):
        if left:
            write(self, records[:left])
        os.kill(os.getpid(), signal.SIGKILL)
    left -= len(records)
    write(self, records)
PgJournal.write = fatal
from hythe.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


def _as_declared(project: Project, round: int) -> None:
    variable = f"--var=round={round}"
    ran = project.run("plan", "--detailed-exitcode", variable)
    assert ran.code == 0, ran.text
    made = project.folder / "made"
    assert sorted(p.name for p in made.iterdir()) == [str(n) for n in range(FILES)]
    assert all(p.read_text().endswith(f" {round}") for p in made.iterdir())
    state = project.state()
    assert len(state["instances"]) == 2 * FILES + 1
    assert not state.get("pending")


def test_killed_after_any_record(project: Project) -> None:
    """Each round changes everything and is killed when a random number of records is durable."""
    project.settings = '    lease = "1h"'
    project.write(WORLD)
    moments = random.Random(SEED)
    for round in range(KILLS):
        after = moments.randrange(2 * FILES + 3) if round else 5
        argv = ("apply", "--auto-approve", f"--var=round={round}")
        killed = project.end(project.start(*argv, program=("-c", KILLED), KILL_AFTER=str(after)))
        assert killed.code == -signal.SIGKILL, killed.text
        if round == 0:
            assert project.database.sql("SELECT count(*) FROM hythe_state.journal") == [(6,)]
        project.ok(*argv)
        _as_declared(project, round)


def _chain(count: int, seconds: float) -> str:
    """Commands one after the other; each writes one line."""
    return "".join(
        f'resource "command" "s{n}" {{\n  create = "sleep {seconds}; echo {n} >> FOLDER/log"\n'
        f"  depends_on = [{f'command.s{n - 1}' if n else ''}]\n}}\n"
        for n in range(count)
    )


def test_killed_at_any_moment(project: Project) -> None:
    """By the clock, while commands run: none that was recorded is run again."""
    project.settings = '    lease = "1h"'
    moments = random.Random(SEED)
    for round in range(1 + KILLS // 4):
        (project.folder / "log").unlink(missing_ok=True)
        project.write(_chain(6, 0.2).replace("sleep", f": {round}; sleep"))
        apply = project.start("apply", "--auto-approve")
        reached = moments.randrange(1, 6)
        project.wait_for(lambda: len(project.lines()) >= reached)  # noqa: B023 - called right here
        time.sleep(moments.random() * 0.2)
        apply.kill()
        apply.communicate()
        project.ok("apply", "--auto-approve")
        project.empty()
        lines = project.lines()
        assert sorted(set(lines)) == [str(n) for n in range(6)]
        # only the one that was cut off may have run twice
        assert len(lines) <= 7


def test_the_server_is_restarted_in_the_middle(project: Project) -> None:
    project.write(_chain(8, 0.3))
    apply = project.start("apply", "--auto-approve")
    cluster = project.database.cluster
    for reached, mode, pause in ((2, "fast", 1), (5, "immediate", 60 if SOAK else 4)):
        project.wait_for(lambda: len(project.lines()) >= reached)  # noqa: B023 - called right here
        cluster.stop(mode)
        try:
            time.sleep(pause)
        finally:
            cluster.start()
    ran = project.end(apply, 200)
    assert ran.code == 0, ran.text
    assert project.lines() == [str(n) for n in range(8)]
    project.empty()
    assert project.database.backend().holder() is None


def test_connections_are_cut_all_the_time(project: Project) -> None:
    project.settings = '    lease = "2s"'
    project.write(_chain(8, 0.3))
    apply = project.start("apply", "--auto-approve")
    project.wait_for(lambda: len(project.lines()) >= 1)
    cut = 0
    while apply.poll() is None:
        cut += project.database.cut()
        time.sleep(0.15)
    ran = project.end(apply)
    assert ran.code == 0, ran.text
    assert cut > 5
    assert project.lines() == [str(n) for n in range(8)]
    project.empty()


def test_waiting_for_the_server_is_told_and_can_be_ended(project: Project) -> None:
    project.write(_chain(6, 0.3))
    cluster = project.database.cluster
    apply = project.start("apply", "--auto-approve")
    project.wait_for(lambda: len(project.lines()) >= 1)
    cluster.stop()
    try:
        time.sleep(6)
        began = time.monotonic()
        for _ in range(2):
            apply.send_signal(signal.SIGINT)
            time.sleep(0.5)
        ran = project.end(apply, 30)
        assert time.monotonic() - began < 15, "it would go on for 90 s"
    finally:
        cluster.start()
    assert ran.code == 1
    said = " ".join(ran.text.split())
    assert f"127.0.0.1:{cluster.port}" in said
    assert "does not answer" in said
    assert "Ctrl-C twice ends the wait" in said
    project.ok("apply", "--auto-approve")
    project.empty()
    assert sorted(set(project.lines())) == [str(n) for n in range(6)]


def test_the_server_stays_away(project: Project) -> None:
    project.settings = '    retry_for = "2s"'
    project.write(_chain(6, 0.3))
    apply = project.start("apply", "--auto-approve")
    project.wait_for(lambda: len(project.lines()) >= 2)
    cluster = project.database.cluster
    cluster.stop()
    try:
        ran = project.end(apply)
        assert ran.code == 1
        said = " ".join(ran.text.split())
        assert "State cannot be written" in said
        assert "State not written" in said
        assert f"See that 127.0.0.1:{cluster.port} can be reached again" in said
        assert "Make room" not in said
        stopped_at = project.lines()
        assert len(stopped_at) < 6
        assert "State server not reachable" in project.fails("plan")
    finally:
        cluster.start()
    project.ok("apply", "--auto-approve")
    project.empty()
    lines = project.lines()
    assert sorted(set(lines)) == [str(n) for n in range(6)]
    # what was acknowledged was journalled: only what was begun last may have run twice
    assert len(lines) <= 7


@pytest.mark.timeout(1800)
def test_many_at_once(database: Database, tmp_path: Path) -> None:
    block = f'backend "pg" {{ conn_str = "{database.address}" }}'
    result = contest(tmp_path, block, PROCESSES)
    print(f"{PROCESSES} processes took {result.seconds:.1f} s")
    result.check(PROCESSES)
    serials = [v.serial for v in database.backend().versions()]
    assert serials == list(range(PROCESSES - 1, max(PROCESSES - 21, 0), -1))
