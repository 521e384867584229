"""What goes wrong in real life: killed, interrupted, contended, broken, taken."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

FLEET = """
resource "network" "n" {
  count = 4
  name  = "PREFIX-n${count.index}"
}
resource "volume" "v" {
  count = 10
  name  = "PREFIX-v${count.index}"
}
resource "container" "c" {
  count   = CONTAINERS
  name    = "PREFIX-c${count.index}"
  image   = "IMAGE"
  command = ["sleep", "9000"]
  init    = true
  mount {
    volume = volume.v[count.index % 10]
    target = "/data"
  }
  network {
    network = network.n[count.index % 4]
  }
}
"""

KILLS = int(os.environ.get("HYTHE_SOAK_KILLS", "3"))
CONTAINERS = 40 if os.environ.get("HYTHE_SOAK") else 20
SEED = int(os.environ.get("HYTHE_SEED", "20261121"))


def fleet(containers: int = 40) -> str:
    return FLEET.replace("CONTAINERS", str(containers))


def expected(work: Any, containers: int = 40) -> dict[str, set[str]]:
    return {
        "containers": {f"{work.prefix}-c{i}" for i in range(containers)},
        "networks": {f"{work.prefix}-n{i}" for i in range(4)},
        "volumes": {f"{work.prefix}-v{i}" for i in range(10)},
    }


def duplicates(work: Any) -> list[str]:
    """Names of networks that exist twice: the engine allows that, Hythe must not cause it."""
    names = [n for n in work.bench.cli("network", "ls", "--format", "{{.Name}}").splitlines() if work.prefix in n]
    return sorted({n for n in names if names.count(n) > 1})


@pytest.mark.timeout(300 + 120 * KILLS)
def test_kill_at_random_moments_of_an_apply(workspace: Any) -> None:
    _kill_again_and_again(workspace, KILLS, CONTAINERS)


@pytest.mark.timeout(300 + 120 * KILLS)
def test_kill_at_random_moments_on_podman(podman_workspace: Any) -> None:
    _kill_again_and_again(podman_workspace, max(KILLS // 2, 1), 12)


def _kill_again_and_again(work: Any, kills: int, containers: int) -> None:
    work.write(fleet(containers))
    began = time.monotonic()
    work.apply()
    whole = time.monotonic() - began
    work.ok("destroy", "--auto-approve", "--parallelism=20")
    rng = random.Random(SEED)
    for round_ in range(kills):
        argv = ("apply", "--auto-approve") if round_ % 3 else ("apply", "--auto-approve", "--parallelism=30")
        killed = work.kill_after(rng.uniform(0.3, whole), *argv)
        ran = work.ok("apply", "--auto-approve")
        left_open = ran.text.count("that an earlier run left open")
        print(f"round {round_}, seed {SEED}: killed {killed}, {left_open} left open, {time.monotonic() - began:.0f} s")
        assert work.everything() == expected(work, containers), f"round {round_}, seed {SEED}"
        assert not duplicates(work)
        work.empty()
        if round_ % 2:
            work.kill_after(rng.uniform(0.3, whole), "destroy", "--auto-approve")
        work.ok("destroy", "--auto-approve", "--parallelism=20")
        assert not any(work.everything().values()), f"round {round_}, seed {SEED}"


def _slow(work: Any) -> None:
    # each container takes its health interval to become ready, and they wait for one another
    blocks = []
    for at in range(6):
        after = f"  depends_on = [container.c{at - 1}]\n" if at else ""
        blocks.append(
            f'resource "container" "c{at}" {{\n  name = "PREFIX-c{at}"\n  image = "IMAGE"\n'
            f'  command = ["sleep", "900"]\n  init = true\n  network_mode = "none"\n{after}'
            '  healthcheck {\n    test = ["CMD", "true"]\n    interval = "2s"\n  }\n}\n'
        )
    work.write("".join(blocks))


def test_one_interrupt_finishes_what_runs_and_stops(workspace: Any) -> None:
    work = workspace
    _slow(work)
    process = work.start("apply", "--auto-approve")
    work.eventually(lambda: len(work.listed("containers")) >= 1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, out + err
    assert "interrupt" in (out + err).lower()
    made = len(work.listed("containers"))
    assert 1 <= made < 6
    listed = work.ok("state", "list").out.split()
    assert len(listed) == made
    work.apply()
    assert len(work.listed("containers")) == 6
    work.ok("destroy", "--auto-approve")


def test_two_interrupts_stop_at_once_and_the_next_run_settles(workspace: Any) -> None:
    work = workspace
    _slow(work)
    process = work.start("apply", "--auto-approve")
    work.eventually(lambda: len(work.listed("containers")) >= 1)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 1
    work.apply()
    assert len(work.listed("containers")) == 6
    work.ok("destroy", "--auto-approve")


def test_two_applies_at_once(workspace: Any) -> None:
    work = workspace
    _slow(work)
    first = work.start("apply", "--auto-approve")
    work.eventually(lambda: len(work.listed("containers")) >= 1)
    second = work.run("apply", "--auto-approve")
    assert second.code == 1
    assert "lock" in second.text.lower()
    assert str(first.pid) in second.text, "the message names the holder"
    waiting = work.run("apply", "--auto-approve", "--lock-timeout=60s")
    out, err = first.communicate(timeout=60)
    assert first.returncode == 0, out + err
    assert waiting.code == 0, waiting.text
    work.empty()
    work.ok("destroy", "--auto-approve")


def test_port_taken(workspace: Any) -> None:
    work = workspace
    other = f"{work.prefix}-other"
    work.bench.cli("network", "create", other)
    publish = ("--network", other, "-p", "127.0.0.1:18491:80")
    work.bench.cli("run", "-d", "--name", other, *publish, work.bench.image, "sleep", "900")
    work.write(
        """
resource "volume" "independent" {
  name = "PREFIX-v"
}
resource "network" "n" {
  name = "PREFIX-n"
}
resource "container" "c" {
  name    = "PREFIX-c"
  image   = "IMAGE"
  command = ["sleep", "900"]
  port {
    container = 80
    host      = 18491
    ip        = "127.0.0.1"
  }
  network {
    network = network.n
  }
}
resource "container" "dependent" {
  name         = "PREFIX-d"
  network_mode = "none"
  image        = "IMAGE"
  command      = ["sleep", "900"]
  depends_on   = [container.c]
}
"""
    )
    ran = work.run("apply", "--auto-approve")
    assert ran.code == 1
    assert "18491" in ran.text
    assert f"container {other} holds it" in " ".join(ran.text.split())
    assert "container.dependent" in ran.text, "it is said what was skipped"
    assert work.listed("volumes") == {f"{work.prefix}-v"}, "independent work is done"
    assert f"{work.prefix}-c" not in work.listed("containers"), "nothing half-made is left"
    work.bench.cli("rm", "-f", other)
    work.apply()
    work.ok("destroy", "--auto-approve")


def test_name_taken_by_a_stranger(workspace: Any) -> None:
    work = workspace
    name = f"{work.prefix}-c"
    stranger = work.bench.cli("run", "-d", "--network", "none", "--name", name, work.bench.image, "sleep", "900")
    work.bench.cli("volume", "create", f"{work.prefix}-v")
    work.write(
        'resource "container" "c" {\n  name = "PREFIX-c"\n  image = "IMAGE"\n  command = ["sleep", "900"]\n}\n'
        'resource "volume" "v" {\n  name = "PREFIX-v"\n}\n'
    )
    ran = work.run("apply", "--auto-approve")
    assert ran.code == 1
    assert name in ran.text
    assert "import" in ran.text, "the message says how to take it over"
    assert work.bench.inspect(name)["Id"] == stranger
    work.run("destroy", "--auto-approve")
    assert work.bench.inspect(name)["State"]["Running"], "what is not ours is never touched"
    assert f"{work.prefix}-v" in work.listed("volumes")
    work.bench.cli("rm", "-f", name)


def test_image_missing(workspace: Any) -> None:
    work = workspace
    work.write('resource "container" "c" {\n  name = "PREFIX-c"\n  image = "nosuch.invalid/image:1"\n}\n')
    ran = work.run("apply", "--auto-approve")
    assert ran.code == 1
    assert "nosuch.invalid/image:1" in ran.text
    assert not work.listed("containers")


def _state(work: Any) -> Path:
    path: Path = work.folder / "hythe.state.json"
    return path


def _with_volume(work: Any) -> bytes:
    work.write('resource "volume" "v" {\n  name = "PREFIX-v"\n}\n')
    work.apply()
    return _state(work).read_bytes()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "newer"])
def test_damaged_state_is_told_and_never_overwritten(workspace: Any, damage: str) -> None:
    work = workspace
    good = _with_volume(work)
    if damage == "truncated":
        bad = good[: len(good) // 2]
    elif damage == "flipped":
        at = good.index(work.prefix.encode())
        bad = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
    elif damage == "empty":
        bad = b""
    else:
        loaded = json.loads(good)
        bad = json.dumps({**loaded, "version": 9999}).encode()
    _state(work).write_bytes(bad)
    for command in (("plan",), ("apply", "--auto-approve"), ("state", "list")):
        ran = work.run(*command)
        assert ran.code == 1, (command, ran.text)
        assert "hythe.state.json" in ran.text
    assert _state(work).read_bytes() == bad
    assert work.listed("volumes") == {f"{work.prefix}-v"}
    _state(work).write_bytes(good)
    work.empty()
    work.ok("destroy", "--auto-approve")


def test_damaged_journal(workspace: Any) -> None:
    work = workspace
    _slow(work)
    process = work.start("apply", "--auto-approve")
    work.eventually(lambda: len(work.listed("containers")) >= 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    journal = work.folder / "hythe.state.json.journal"
    good = journal.read_bytes()
    middle = good.index(b"\n") + 40
    journal.write_bytes(good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :])
    ran = work.run("plan")
    assert ran.code == 1
    assert "journal" in ran.text.lower()
    # a torn last record is what a crash leaves, and no damage
    journal.write_bytes(good + good[-30:-10])
    work.apply()
    assert len(work.listed("containers")) == 6
    work.ok("destroy", "--auto-approve")


def test_unreadable_state(workspace: Any) -> None:
    work = workspace
    good = _with_volume(work)
    _state(work).unlink()
    _state(work).mkdir()
    ran = work.run("plan")
    assert ran.code == 1
    assert "hythe.state.json" in ran.text
    _state(work).rmdir()
    _state(work).write_bytes(good)
    work.ok("destroy", "--auto-approve")


def test_full_disk_while_writing_state(workspace: Any, tmp_path: Path) -> None:
    work = workspace
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)], check=True)
    try:
        work.folder = small
        work.write(fleet())
        filler = small / "filler"
        free = shutil.disk_usage(small).free
        filler.write_bytes(b"x" * (free - 24 * 1024))
        ran = work.run("apply", "--auto-approve")
        assert ran.code == 1, ran.text
        assert "space" in ran.text.lower()
        filler.unlink()
        work.ok("apply", "--auto-approve")
        assert work.everything() == expected(work)
        work.empty()
        work.ok("destroy", "--auto-approve", "--parallelism=20")
        assert not any(work.everything().values())
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
