"""Many VMs are read with few calls."""

from __future__ import annotations

import subprocess
import time
from typing import Any

import pytest

from hythe.planner.diff import compare
from hythe.provider.protocol import ReadRequest

from .conftest import KIND, Lab


def defined(lab: Lab, uri: str, count: int) -> list[tuple[dict[str, Any], ReadRequest]]:
    out = []
    for number in range(count):
        identity = lab.identity(f"vm.x[{number}]")
        wish = lab.wish(
            name=f"{lab.prefix}-{number}", memory="64MiB", cloud_init=False, running=False, uri=uri,
            interface=[{"user": True}], disk=[{"path": f"/nowhere/{number}"}],
        )  # fmt: skip
        made = KIND.create(lab.context(identity), wish)
        lab.made.append((KIND, identity, made))
        out.append((wish, ReadRequest(identity.id, identity.address, made)))
    return out


def test_a_thousand(lab: Lab) -> None:
    made = defined(lab, "test:///default", 1000)
    begun = time.perf_counter()
    found: dict[str, Any] = KIND.read_many(lab.reading(), [r for _, r in made])
    assert time.perf_counter() - begun < 3
    assert all(compare(KIND, found[r.id], w) == [] for w, r in made)


@pytest.mark.parametrize("count", [60])
def test_against_virsh_in_a_loop(lab: Lab, count: int) -> None:
    made = defined(lab, "qemu:///system", count)
    begun = time.perf_counter()
    KIND.read_many(lab.reading(), [r for _, r in made])
    ours = time.perf_counter() - begun
    begun = time.perf_counter()
    for wish, _ in made:
        subprocess.run(["virsh", "-c", "qemu:///system", "dumpxml", wish["name"]], check=True, capture_output=True)
    theirs = time.perf_counter() - begun
    print(f"{count} VMs: {ours:.3f} s, virsh dumpxml in a loop {theirs:.3f} s")
    assert ours < theirs / 3
