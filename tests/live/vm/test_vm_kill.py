"""Hythe killed at any moment: the next apply gives what is declared, and nothing else."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import Lab, free_cidr, virsh

CONFIG = """\
variable "memory" { default = "64MiB" }
resource "network" "lan" {
  name = "PREFIX-lan"
  mode = "isolated"
  cidr = "CIDR"
}
resource "vm" "x" {
  count            = 2
  name             = "PREFIX-${count.index}"
  memory           = var.memory
  cloud_init       = false
  shutdown_timeout = "1s"
  disk { size = "16MiB" }
  disk { size = "8MiB" }
  interface { network = network.lan }
}
"""


def hythe(folder: Path, *argv: str, kill_after: float | None = None) -> tuple[int, str]:
    """Run the command, or kill it after so many seconds; gives its exit code and what it said."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hythe", *argv],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if kill_after is not None:
        time.sleep(kill_after)
        process.send_signal(signal.SIGKILL)
    return process.wait(300), process.communicate()[0]


def world(prefix: str) -> tuple[int, int, int]:
    """How many VMs run, volumes there are, and networks."""
    pools = virsh("pool-list", "--name").split()
    volumes = {v for p in pools for v in virsh("vol-list", p).split() if v.startswith(prefix)}
    running = virsh("list", "--name").split()
    networks = virsh("net-list", "--all", "--name").split()
    return (*(sum(n.startswith(prefix) for n in names) for names in (running, volumes, networks)),)  # type: ignore[return-value]


@pytest.mark.parametrize("seed", [1])
def test_killed_and_applied_again(lab: Lab, tmp_path: Path, seed: int) -> None:
    prefix = f"{lab.prefix}-k"
    (tmp_path / "main.hcl").write_text(CONFIG.replace("PREFIX", prefix).replace("CIDR", free_cidr()))
    assert hythe(tmp_path, "init")[0] == 0
    dice = random.Random(seed)
    try:
        for _ in range(4):
            command = dice.choice(["apply", "apply", "destroy"])
            wanted = ["--var", f"memory={dice.choice(['64MiB', '96MiB'])}"]
            moment = dice.uniform(0.3, 2.5)
            hythe(tmp_path, command, "--auto-approve", *wanted, kill_after=moment)
            code, said = hythe(tmp_path, "apply", "--auto-approve", *wanted)
            assert code == 0, said
            code, said = hythe(tmp_path, "plan", "--detailed-exitcode", *wanted)
            assert code == 0, said
            assert world(prefix) == (2, 4, 1), (command, moment)
    finally:
        code, said = hythe(tmp_path, "destroy", "--auto-approve")
    assert code == 0, said
    assert world(prefix) == (0, 0, 0)
