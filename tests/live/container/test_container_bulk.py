"""Reading many containers at once."""

from __future__ import annotations

import time
from typing import Any

from hythe.provider.protocol import Presence, ReadRequest

COUNT = 30


def test_a_refresh_costs_no_more_than_one_docker_inspect_over_all(docker_yard: Any) -> None:
    yard = docker_yard
    requests = []
    for _ in range(COUNT):
        identity, attributes = yard.create(yard.desired({"running": False, "memory": "16MiB"}))
        requests.append(ReadRequest(identity.id, identity.address, attributes))
    ours, theirs = [], []
    for _ in range(5):
        began = time.perf_counter()
        found = yard.kind.read_many(yard.bench.reading(), requests)
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        yard.bench.cli("inspect", *(str(r.attributes["id"]) for r in requests))
        theirs.append(time.perf_counter() - began)
    assert Presence.ABSENT not in found.values()
    assert len(found) == COUNT
    assert min(ours) <= 1.5 * min(theirs), (ours, theirs)
