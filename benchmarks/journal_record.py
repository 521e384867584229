"""The cost of one journal record beside a small and a large state, fsync left out. Prints JSON."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

from hythe.state.model import InstanceState, Result
from hythe.state.store import StateStore

RECORDS = 2_000


def _instance(at: int) -> InstanceState:
    return InstanceState(f'value.v["{at}"]', f"{at:032x}", "value", {"input": {"name": f"item-{at}"}})


def measure(folder: Path, size: int) -> float:
    """Median microseconds of intent and result together, beside a state of ``size`` instances."""
    store = StateStore(str(folder / f"{size}.json"))
    session = store.begin(store.read(), "bench")
    for at in range(size):
        session.record(Result(put=_instance(at)))
    session.finish()
    session = store.begin(store.read(), "bench")
    rounds = []
    for _ in range(7):
        began = time.perf_counter()
        for at in range(RECORDS):
            intent, _ticket = session.intend("create", _instance(size + at))
            session.record(Result(seq=intent.seq, put=_instance(size + at)))
        rounds.append((time.perf_counter() - began) / RECORDS * 1e6)
    session.finish()
    return statistics.median(rounds)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        small, large = measure(Path(name), 100), measure(Path(name), 20_000)
    print(json.dumps({"small_us": small, "large_us": large, "ratio": large / small}))
