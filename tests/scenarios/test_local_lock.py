"""Many processes on one local state: one at a time, none lost; what becomes of the lock when its holder is no more.

HYTHE_SOAK lets 50 of them apply at the same time, else 12; HYTHE_SEED sets who is killed, and when.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.state.contest import CONFIGURATION, contest

PROCESSES = 50 if os.environ.get("HYTHE_SOAK") else 12
SEED = int(os.environ.get("HYTHE_SEED") or 20261128)


def start(folder: Path, *argv: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hythe", *argv],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ran(folder: Path, *argv: str) -> tuple[int, str]:
    process = start(folder, *argv)
    said, _ = process.communicate(timeout=300)
    return process.returncode, " ".join(said.split())


def block(folder: Path) -> str:
    return f'backend "local" {{\n    path = "{folder}/shared.state.json"\n  }}'


def slot(folder: Path, number: int) -> Path:
    """A folder as on a machine of its own, all with one state."""
    made = folder / f"machine-{number}"
    made.mkdir()
    (made / "main.hcl").write_text(CONFIGURATION.replace("BACKEND", block(folder)))
    return made


def arguments(number: int, seconds: int) -> tuple[str, ...]:
    target = f'--target=value.slot["{number}"]'
    return "apply", "--auto-approve", f"--lock-timeout={seconds}s", f"--var=slot={number}", target


@pytest.mark.timeout(1800)
def test_many_apply_at_once(tmp_path: Path) -> None:
    result = contest(tmp_path, block(tmp_path), PROCESSES)
    print(f"{PROCESSES} processes took {result.seconds:.1f} s")
    result.check(PROCESSES)
    code, said = ran(tmp_path / "machine-0", "state", "check")
    assert code == 0, said
    assert f"{PROCESSES} objects, serial {PROCESSES}" in said


@pytest.mark.timeout(1800)
def test_many_apply_at_once_and_some_are_killed(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    count = PROCESSES // 2
    folders = [slot(tmp_path, n) for n in range(count)]
    state = tmp_path / "shared.state.json"
    began = time.monotonic()
    running = {n: start(at, *arguments(n, 1200)) for n, at in enumerate(folders)}
    doomed = chance.sample(sorted(running), count // 3)
    while doomed and any(p.poll() is None for p in running.values()):
        # as often as not while somebody is writing
        journal = state.with_name(state.name + ".journal")
        if journal.exists() or chance.random() < 0.02:
            running[doomed.pop()].send_signal(signal.SIGKILL)
            time.sleep(chance.uniform(0, 0.5))
        time.sleep(0.001)
    told = {n: process.communicate(timeout=1200)[0] for n, process in running.items()}
    ended = {n: process.returncode for n, process in running.items()}
    print(f"{count} processes, exit codes {sorted(ended.values())}, {time.monotonic() - began:.1f} s")
    assert all(code in (0, -signal.SIGKILL) for code in ended.values()), told
    done = {n for n, code in ended.items() if code == 0}
    assert len(done) >= count - count // 3
    code, said = ran(folders[0], "state", "check")
    assert code == 0, said
    # a run that was killed may have left something open; whoever comes next settles it
    last = slot(tmp_path, count)
    code, said = ran(last, *arguments(count, 0))
    assert code == 0, said
    pulled = start(last, "state", "pull")
    instances = json.loads(pulled.communicate(timeout=120)[0])["instances"]
    there = [str(i["attributes"]["input"]) for i in instances]
    assert len(there) == len(set(there))
    assert {f"from {n}" for n in (*done, count)} <= set(there)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """An apply that has the lock and waits for an answer."""
    process = start(slot(tmp_path, 0), "apply", "--var=slot=0", stdin=subprocess.PIPE)
    try:
        assert process.stdout is not None
        while "Only 'yes'" not in process.stdout.readline():
            assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_killed_holder_is_no_obstacle(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    code, said = ran(slot(tmp_path, 1), *arguments(1, 0))
    assert code == 1
    assert f"process {holder.pid}" in said
    holder.send_signal(signal.SIGKILL)
    holder.wait(30)
    # its note is still in the lock's file
    assert str(holder.pid) in (tmp_path / "shared.state.json.lock").read_text()
    code, said = ran(tmp_path / "machine-1", *arguments(1, 0))
    assert code == 0, said


def test_a_stopped_holder_keeps_its_lock(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGSTOP)
    other = slot(tmp_path, 1)
    began = time.monotonic()
    code, said = ran(other, *arguments(1, 2))
    assert code == 1
    assert time.monotonic() - began >= 2
    assert "State is locked" in said
    assert f"process {holder.pid}" in said
    assert "2 seconds of waiting did not change that" in said
    code, said = ran(other, "force-unlock", "no-such-lock")
    assert code == 1
    assert str(holder.pid) in said
    waiting = start(other, *arguments(1, 120))
    time.sleep(1)
    assert waiting.poll() is None
    holder.send_signal(signal.SIGCONT)
    assert holder.stdin is not None
    holder.stdin.write("yes\n")
    holder.stdin.flush()
    assert holder.wait(60) == 0
    said, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, said
    pulled, _ = start(other, "state", "pull").communicate(timeout=60)
    assert sorted(i["attributes"]["input"] for i in json.loads(pulled)["instances"]) == ["from 0", "from 1"]
