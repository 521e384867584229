"""``hythe apply`` killed with SIGKILL when its journal has grown to so many records, on a real Docker.

Each round changes the configuration, starts an apply and kills it: at a boundary of the journal (the file is watched
from outside), while the snapshot is written, or at a random moment; sometimes the apply that goes on is killed too.
Then an apply must end well, with the engine as declared: nothing missing, left over or there twice, what is not Hythe's
untouched; ``hythe state check`` must find the state sound, and the next plan be empty.

HYTHE_SOAK_CRASHES sets how many are killed, HYTHE_SEED the moments.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

KILLS = int(os.environ.get("HYTHE_SOAK_CRASHES", "8"))
SEED = int(os.environ.get("HYTHE_SEED") or 20261128)


class Declared:
    """A configuration of a few objects, drawn at random."""

    def __init__(self, chance: random.Random) -> None:
        self.networks = chance.randint(0, 2)
        self.volumes = chance.randint(0, 2)
        self.containers = chance.randint(0, 4)
        self.versions = [chance.randint(1, 2) for _ in range(self.containers)]
        self.first = chance.random() < 0.5

    def render(self) -> str:
        """The text; a version that differs makes a container be replaced."""
        out = [f'resource "network" "n{i}" {{\n  name = "PREFIX-n{i}"\n}}\n' for i in range(self.networks)]
        out += [f'resource "volume" "v{i}" {{\n  name = "PREFIX-v{i}"\n}}\n' for i in range(self.volumes)]
        for i, version in enumerate(self.versions):
            lines = [f'name = "PREFIX-c{i}"', 'image = "IMAGE"', 'command = ["sleep", "9000"]', "init = true"]
            lines.append(f'env = {{ VERSION = "{version}" }}')
            if self.networks:
                lines.append(f"network {{\n    network = network.n{i % self.networks}\n  }}")
            else:
                lines.append('network_mode = "none"')
            if self.volumes:
                lines.append(f'mount {{\n    volume = volume.v{i % self.volumes}\n    target = "/data"\n  }}')
            if self.first and i % 2:
                lines.append("lifecycle {\n    create_before_destroy = true\n  }")
            out.append(f'resource "container" "c{i}" {{\n' + "".join(f"  {line}\n" for line in lines) + "}\n")
        return "".join(out)

    def names(self, prefix: str) -> dict[str, list[str]]:
        """What shall be there."""
        return {
            "containers": [f"{prefix}-c{i}" for i in range(self.containers)],
            "networks": [f"{prefix}-n{i}" for i in range(self.networks)],
            "volumes": [f"{prefix}-v{i}" for i in range(self.volumes)],
        }


def _records(state: Path) -> int:
    """How many records the journal has, the header not counted."""
    try:
        return state.with_name(state.name + ".journal").read_bytes().count(b"\n{") - 1
    except OSError:
        return -1


def _moment(chance: random.Random, state: Path) -> tuple[str, Callable[[], bool]]:
    """When to kill, in words and as a question that is asked again and again."""
    sort = chance.choice(["records", "records", "records", "snapshot", "time"])
    if sort == "records":
        number = chance.randint(0, 16)
        return f"at record {number}", lambda: _records(state) >= number
    if sort == "snapshot":
        fresh, backup = state.with_name(state.name + ".new"), state.with_name(state.name + ".backup.new")
        return "while the snapshot was written", lambda: fresh.exists() or backup.exists()
    seconds, began = chance.uniform(0.3, 3), time.monotonic()
    return f"after {seconds:.2f} s", lambda: time.monotonic() - began > seconds


def _kill(work: Any, chance: random.Random) -> str:
    """Start an apply and kill it; says when it was, '' when it had ended before."""
    words, reached = _moment(chance, work.folder / "hythe.state.json")
    process = work.start("apply", "--auto-approve", f"--parallelism={chance.choice([1, 4, 10])}")
    while process.poll() is None:
        if reached():
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.0005)
    process.communicate()
    return words if process.returncode == -signal.SIGKILL else ""


def _listed(work: Any) -> dict[str, list[str]]:
    """What is there, with names that are there twice."""
    argv = {
        "containers": ("ps", "--all", "--format", "{{.Names}}"),
        "networks": ("network", "ls", "--format", "{{.Name}}"),
        "volumes": ("volume", "ls", "--format", "{{.Name}}"),
    }
    found = {what: work.bench.cli(*words).splitlines() for what, words in argv.items()}
    return {what: sorted(n for n in names if n.startswith(f"{work.prefix}-")) for what, names in found.items()}


def _versions(work: Any, declared: Declared) -> list[str]:
    """The version of each container that runs."""
    found = []
    for i in range(declared.containers):
        seen = work.bench.inspect(f"{work.prefix}-c{i}")
        assert seen["State"]["Running"], f"c{i} does not run"
        found += [e.removeprefix("VERSION=") for e in seen["Config"]["Env"] if e.startswith("VERSION=")]
    return found


@pytest.mark.timeout(300 + 60 * KILLS)
def test_killed_at_boundaries_of_the_journal(workspace: Any) -> None:
    work = workspace
    stranger = f"stranger-{work.prefix}"
    work.bench.cli("run", "-d", "--network", "none", "--name", stranger, work.bench.image, "sleep", "9000")
    before = work.bench.inspect(stranger)
    kills, when, open_ones, round_ = 0, Counter[str](), 0, 0
    began = time.monotonic()
    while kills < KILLS:
        round_ += 1
        chance = random.Random(SEED * 100_000 + round_)
        declared = Declared(chance)
        work.write(declared.render())
        words = []
        while word := _kill(work, chance):
            kills += 1
            words.append(word)
            when[word.split()[0]] += 1
            report = json.loads(work.ok("state", "check", "--json").out)
            assert report["sound"], report
            open_ones += len(report["open"])
            if chance.random() < 0.7:
                break
        where = f"round {round_}, seed {SEED}, killed {' and '.join(words) or 'never'}"
        ran = work.run("apply", "--auto-approve")
        assert ran.code == 0, f"{where}: {ran.text}"
        assert _listed(work) == declared.names(work.prefix), where
        assert _versions(work, declared) == [str(v) for v in declared.versions], where
        report = json.loads(work.ok("state", "check", "--json").out)
        assert report["sound"], (where, report)
        assert not report["open"], (where, report)
        assert not report["deposed"], (where, report)
        assert not report["diagnostics"], (where, report)
        work.empty()
        after = work.bench.inspect(stranger)
        assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"]), where
        print(f"{where}: {kills} kills, {open_ones} operations left open, {time.monotonic() - began:.0f} s", flush=True)
    print(f"{kills} kills in {round_} rounds: {dict(when)}, {open_ones} operations left open")
    # at a boundary of the journal there is one, unless every kill came too late
    assert KILLS < 8 or when["at"]
    work.ok("destroy", "--auto-approve")
    assert not any(_listed(work).values())
    subprocess.run([*work.bench.command, "rm", "-f", stranger], check=True, capture_output=True)
