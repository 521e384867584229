"""Running commands and timing them."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

HYTHE = [sys.executable, "-m", "hythe"]


@dataclass(frozen=True)
class Row:
    """One line of the table. ``value`` and ``budget`` in ``unit`` (s, MB or x)."""

    what: str
    value: float
    budget: float | None
    unit: str
    note: str = ""

    @property
    def verdict(self) -> str:
        """Whether the value keeps to the budget, empty when there is none."""
        if self.budget is None:
            return ""
        return "within" if self.value <= self.budget else "over"


@dataclass(frozen=True)
class Measured:
    """Medians of several runs: seconds of wall clock and of processor time, and the highest peak in MB."""

    wall: float
    processor: float
    peak: float

    @property
    def note(self) -> str:
        """Processor time, which tells a slow command from a busy machine."""
        return f"{self.processor:.2f} s of processor time"


def run(argv: list[str], folder: Path) -> Measured:
    """Run a command that must succeed. Raises SystemExit with what it said when it does not."""
    output = folder / "output"
    with open(output, "wb") as out:
        began = time.perf_counter()
        process = subprocess.Popen(argv, cwd=folder, stdout=out, stderr=out, env=_environment())
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(argv)} failed: {output.read_text()[-3000:]}")
    return Measured(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def measure(argv: list[str], folder: Path, runs: int, before: Callable[[], object] = lambda: None) -> Measured:
    """Run a command once to warm up, then ``runs`` times; ``before`` is called ahead of each, untimed."""
    found = []
    for _ in range(runs + 1):
        before()
        found.append(run(argv, folder))
    del found[0]
    return Measured(
        statistics.median(m.wall for m in found),
        statistics.median(m.processor for m in found),
        max(m.peak for m in found),
    )


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HYTHE_") and k != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "NO_COLOR": "1"}


@contextlib.contextmanager
def folder(text: str) -> Iterator[Path]:
    """A temporary folder with a configuration."""
    with tempfile.TemporaryDirectory(prefix="hythe-bench-") as name:
        path = Path(name)
        (path / "main.hcl").write_text(text)
        yield path


def timed(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
