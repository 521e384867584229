"""``make bench``: measures each budget of the design and writes docs/benchmarks.md.

Every row runs its command as a user would, several times, and quotes the median. Rows against an
engine measure the bare engine in the same run, turn and turn about, and quote the ratio.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HYTHE = [sys.executable, "-m", "hythe"]


@dataclass
class Row:
    """One line of the table. ``value`` and ``budget`` in ``unit`` (s, MB or x)."""

    what: str
    value: float
    budget: float | None
    unit: str
    note: str = ""

    @property
    def verdict(self) -> str:
        if self.budget is None:
            return ""
        return "within" if self.value <= self.budget else "over"


def measure(argv: list[str], folder: Path, runs: int = 5) -> tuple[float, float]:
    """Median wall seconds and peak MB of a command, after one warm-up."""
    seconds: list[float] = []
    peak = 0.0
    for at in range(runs + 1):
        began = time.perf_counter()
        with open(folder / "out", "wb") as out:
            process = subprocess.Popen(argv, cwd=folder, stdout=out, stderr=out, env=_environment())
            _, status, usage = os.wait4(process.pid, 0)
        if os.waitstatus_to_exitcode(status) not in (0, 2):
            raise SystemExit(f"{' '.join(argv)} failed: {(folder / 'out').read_text()[-2000:]}")
        if at:
            seconds.append(time.perf_counter() - began)
            peak = max(peak, usage.ru_maxrss / 1024)
    return statistics.median(seconds), peak


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HYTHE_")}
    return {**kept, "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": ""}


@contextlib.contextmanager
def folder(text: str) -> Iterator[Path]:
    """A temporary folder with a configuration."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        (path / "main.hcl").write_text(text)
        yield path


def start_up() -> Iterator[Row]:
    """Start-up time."""
    ten = "".join(f'resource "value" "v{i}" {{\n  input = "x{i}"\n}}\n' for i in range(10))
    with folder(ten) as path:
        bare, _ = measure([sys.executable, "-c", "pass"], path)
        seconds, _ = measure([*HYTHE, "version"], path)
        yield Row("`hythe version`", seconds, 0.100, "s", f"the interpreter alone: {bare:.3f} s")
        seconds, _ = measure([*HYTHE, "plan"], path)
        yield Row("`plan`, ten resources, no engine", seconds, 0.350, "s")


def scale(count: int, plan_budget: float, memory_budget: float, apply_budget: float | None, runs: int) -> Iterator[Row]:
    """Apply and plan of many ``value`` instances."""
    # range() gives 1,024 numbers at most, as in OpenTofu
    keys = f"flatten([for i in range({count // 100}) : [for j in range(100) : tostring(i * 100 + j)]])"
    text = f'resource "value" "v" {{\n  for_each = toset({keys})\n  input = {{ name = "item-${{each.key}}" }}\n}}\n'
    with folder(text) as path:
        began = time.perf_counter()
        measure_once([*HYTHE, "apply", "--auto-approve"], path)
        applied = time.perf_counter() - began
        yield Row(f"apply of {count:,} `value` creations, durable journal", applied, apply_budget, "s", "one run")
        seconds, peak = measure([*HYTHE, "plan"], path, runs)
        yield Row(f"no-op plan of {count:,} `value` instances", seconds, plan_budget, "s")
        yield Row(f"its peak memory, {count:,} instances", peak, memory_budget, "MB")


def measure_once(argv: list[str], path: Path) -> None:
    """Run a command that must succeed."""
    done = subprocess.run(argv, cwd=path, capture_output=True, text=True, env=_environment(), check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)} failed: {done.stdout[-1000:]}{done.stderr[-2000:]}")


def timed(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def containers(count: int, rounds: int) -> Iterator[Row]:
    """Apply and refresh of containers against the bare engine."""
    import docker

    client = docker.from_env()
    prefix = f"hythebench{secrets.token_hex(4)}"
    image = _image(client, prefix)
    text = (
        f'resource "container" "c" {{\n  count = {count}\n  name = "{prefix}-${{count.index}}"\n  image = "{image}"\n'
        '  command = ["sleep", "9000"]\n  init = true\n  network_mode = "none"\n}\n'
    )
    create: list[float] = []
    refresh: list[float] = []
    names = [f"{prefix}-{i}" for i in range(count)]
    try:
        with folder(text) as path:
            for _ in range(rounds):
                bare = timed(lambda: _bare_create(client, prefix, image, count))
                _bare_remove(client, prefix)
                ours = timed(lambda: measure_once([*HYTHE, "apply", "--auto-approve"], path))
                create.append(ours / bare)
                for _ in range(3):
                    inspect = timed(
                        lambda: subprocess.run(["docker", "inspect", *names], capture_output=True, check=True)
                    )
                    plan = timed(lambda: measure_once([*HYTHE, "plan"], path))
                    without = timed(lambda: measure_once([*HYTHE, "plan", "--refresh=false"], path))
                    refresh.append(max(plan - without, 0.0) / inspect)
                measure_once([*HYTHE, "destroy", "--auto-approve", "--parallelism=20"], path)
    finally:
        _bare_remove(client, prefix)
        client.images.remove(image, force=True)
    note = "against `docker create` and `start` through the bare SDK, ten at once"
    yield Row(f"apply of {count} containers", statistics.median(create), 1.2, "x", note)
    note = f"against one `docker inspect` of all {count}"
    yield Row(f"refresh of {count} containers", statistics.median(refresh), 1.5, "x", note)


def _inspect(names: list[str]) -> None:
    subprocess.run(["docker", "inspect", *names], capture_output=True, check=True)


def _image(client: object, prefix: str) -> str:
    import io
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add("/bin/busybox", "bin/busybox")
        link = tarfile.TarInfo("bin/sleep")
        link.type, link.linkname = tarfile.SYMTYPE, "busybox"
        tar.addfile(link)
    client.api.import_image_from_data(out.getvalue(), repository=f"{prefix}/busybox", tag="1")  # type: ignore[attr-defined]
    return f"{prefix}/busybox:1"


def _bare_create(client: object, prefix: str, image: str, count: int) -> None:
    import docker

    api = client.api  # type: ignore[attr-defined]
    assert isinstance(api, docker.APIClient)

    def one(at: int) -> None:
        config = api.create_host_config(init=True, network_mode="none")
        made = api.create_container(image, ["sleep", "9000"], name=f"{prefix}-{at}", host_config=config)
        api.start(made["Id"])

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(one, range(count)))


def _bare_remove(client: object, prefix: str) -> None:
    api = client.api  # type: ignore[attr-defined]
    mine = api.containers(all=True, filters={"name": prefix})
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda c: api.remove_container(c["Id"], force=True), mine))


def journal() -> Iterator[Row]:
    """The cost of one journal record on a small and on a large state."""
    program = ROOT / "benchmarks" / "journal_record.py"
    out = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True)
    figures = json.loads(out.stdout)
    note = f"{figures['small_us']:.0f} and {figures['large_us']:.0f} microseconds a record, fsync left out"
    yield Row("a journal record, state of 20,000 against 100", figures["ratio"], 1.5, "x", note)


def report(rows: list[Row]) -> str:
    """The page."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; medians of whole commands. Times of other machines differ, ratios less so.",
        "",
        f"Measured on {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}.",
        "",
        "| what | measured | budget | | note |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        budget = "" if row.budget is None else f"{row.budget:g} {row.unit}"
        lines.append(f"| {row.what} | {row.value:.3g} {row.unit} | {budget} | {row.verdict} | {row.note} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the rows asked for."""
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
    take(scale(1_000, 0.6, 120, None, 3))
    take(scale(10_000, 1.2, 200, 3.0, 3))
    if not given.quick:
        take(scale(100_000, 10.0, 1200, None, 1))
    take(journal())
    if shutil.which("docker"):
        take(containers(20 if given.quick else given.containers, 1 if given.quick else 3))
    if not given.quick:
        (ROOT / "docs" / "benchmarks.md").write_text(report(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
