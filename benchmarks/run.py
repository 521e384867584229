"""``make bench``: measures each budget of the design and writes docs/benchmarks.md.

Every row runs its command as a user would: once to warm up, then several times, and quotes the median.
Rows against an engine measure the bare engine in the same run, turn and turn about, and quote the ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import containers
import language
import scale
import vms
from harness import HYTHE, Row, folder, measure

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
NOTES = ROOT / "benchmarks" / "notes.md"


def start_up() -> Iterator[Row]:
    """Start-up time."""
    ten = "".join(f'resource "value" "v{i}" {{\n  input = "x{i}"\n}}\n' for i in range(10))
    with folder(ten) as path:
        bare = measure([sys.executable, "-c", "pass"], path, 9)
        found = measure([*HYTHE, "version"], path, 9)
        yield Row("`hythe version`", found.wall, 0.100, "s", f"{found.note}; the interpreter alone {bare.wall:.3f} s")
        found = measure([*HYTHE, "plan"], path, 9)
        yield Row("`plan`, ten resources, no engine", found.wall, 0.350, "s", found.note)


def journal() -> Iterator[Row]:
    """The cost of one journal record on a small and on a large state."""
    program = ROOT / "benchmarks" / "journal_record.py"
    out = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True)
    figures = json.loads(out.stdout)
    note = f"{figures['small_us']:.0f} and {figures['large_us']:.0f} microseconds a record, fsync left out"
    what = f"a journal record beside {figures['large']:,} instances against {figures['small']:,}"
    yield Row(what, figures["ratio"], 1.5, "x", note)


def _priority() -> str:
    """On a machine that others use too, ``chrt --rr 1 python benchmarks/run.py`` measures this one alone."""
    return "" if os.sched_getscheduler(0) == os.SCHED_OTHER else ", with real-time priority on a shared machine"


def report(rows: list[Row]) -> str:
    """The page."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; medians of whole commands. Times of other machines differ, ratios less so.",
        "",
        f"Measured on {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}{_priority()}.",
        "",
        "| what | measured | budget | | note |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        budget = "" if row.budget is None else f"{row.budget:g} {row.unit}"
        lines.append(f"| {row.what} | {row.value:.3g} {row.unit} | {budget} | {row.verdict} | {row.note} |")
    return "\n".join(lines) + "\n\n" + NOTES.read_text()


def main() -> int:
    """Run the rows; 1 when one is over its budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs, no 100,000 instances; writes nothing")
    parser.add_argument("--containers", type=int, default=100)
    given = parser.parse_args()
    rows: list[Row] = []

    def take(source: Iterator[Row]) -> None:
        for row in source:
            print(f"{row.what}: {row.value:.3g} {row.unit} {row.verdict} {row.note}", flush=True)
            rows.append(row)

    take(start_up())
    take(scale.rows(rows, quick=given.quick))
    take(language.rows(3))
    take(journal())
    if shutil.which("docker"):
        take(containers.rows(20 if given.quick else given.containers, 1 if given.quick else 3))
    if shutil.which("virsh"):
        take(vms.rows(50 if given.quick else 1_000))
    if not given.quick:
        PAGE.write_text(report(rows))
    return int(any(row.verdict == "over" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
