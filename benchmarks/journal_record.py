"""The cost of one journal record beside a small and a large state, fsync left out. Prints JSON."""

from __future__ import annotations

import gc
import json
import statistics
import tempfile
import time
from pathlib import Path

from hythe.state.backends.local import LocalBackend
from hythe.state.model import InstanceState, Result
from hythe.state.session import Session
from hythe.state.store import StateStore

RECORDS = 1_000
ROUNDS = 41
SMALL, LARGE = 100, 20_000


def _instance(at: int) -> InstanceState:
    return InstanceState(f'value.v["{at}"]', f"{at:032x}", "value", {"input": {"name": f"item-{at}"}})


def _open(folder: Path, size: int) -> Session:
    """A session on a state with ``size`` instances."""
    store = StateStore(LocalBackend(str(folder / f"{size}.json")))
    session = store.begin(store.read(), "bench")
    for at in range(size):
        session.record(Result(put=_instance(at)))
    session.finish()
    return store.begin(store.read(), "bench")


def _microseconds(session: Session) -> float:
    """Of one record, as updates of instances make them: intent and result in turns."""
    # the same instances again and again, so that the state does not grow while it is measured
    instances = [_instance(at % SMALL) for at in range(RECORDS // 2)]
    began = time.perf_counter()
    for instance in instances:
        intent, _ticket = session.intend("update", instance)
        session.record(Result(seq=intent.seq, put=instance))
    took = time.perf_counter() - began
    session.wait()
    return took / RECORDS * 1e6


def main() -> None:
    """Measure both in turns, so that whatever else the machine does falls on both."""
    with tempfile.TemporaryDirectory(prefix="hythe-bench-") as name:
        sessions = [_open(Path(name), size) for size in (SMALL, LARGE)]
        # a pass of the garbage collector would cost whichever happens to be measured
        gc.disable()
        rounds = [[_microseconds(s) for s in sessions] for _ in range(ROUNDS + 1)][1:]
        for session in sessions:
            session.close()
    small, large = (statistics.median(r[which] for r in rounds) for which in (0, 1))
    figures = {"small": SMALL, "large": LARGE, "small_us": small, "large_us": large, "ratio": large / small}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
