"""Killed at random moments of an apply that makes a machine and what is inside it; the next apply converges.

HYTHE_SOAK_FLEET sets the number of rounds, HYTHE_SEED the random moments.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from typing import Any

import pytest

ROUNDS = int(os.environ.get("HYTHE_SOAK_FLEET") or 1)
LONGEST = float(os.environ.get("HYTHE_SOAK_SECONDS") or 90)


@pytest.mark.timeout(1800 * ROUNDS)
def test_killed_at_random_moments(small_fleet: Any) -> None:
    fleet = small_fleet
    chance = random.Random(int(os.environ.get("HYTHE_SEED") or 3))
    for round_ in range(ROUNDS):
        after = chance.uniform(0.5, LONGEST)
        process = fleet.start("apply", "--auto-approve")
        try:
            process.wait(after)
            how = "it had ended"
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            how = "killed"
        process.communicate()
        print(f"round {round_ + 1}: {how} after {after:.1f} s", flush=True)
        fleet.apply()
        there = fleet.there()
        assert len(there["domains"]) == 1, there
        assert len(there["networks"]) == 1, there
        # disk image with kernel, initrd and its mark; the machine's disk and seed
        assert len(there["volumes"]) == 6, there
        assert fleet.visit("a").startswith("Hello from a container on a")
        inside = fleet.ok("ssh", 'vm.node["a"]', "docker", "ps", "-a", "--format", "{{.Names}}").out.split()
        assert inside == ["watch", "web"]
        fleet.ok("destroy", "--auto-approve")
        assert not any(fleet.there().values())
