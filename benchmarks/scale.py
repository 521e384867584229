"""Rows on many instances: in one block, in many blocks, in modules, one behind the other; and what is shown of them."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Iterator
from pathlib import Path

from harness import HYTHE, Row, folder, measure, run, timed

from hythe.cli.planfile import read_plan
from hythe.cli.views.human import PlanStyle, render_plan

_VALUE = '  input = { name = "item-${each.key}" }'
_START = "`plan`, ten resources, no engine"


def _keys(count: int) -> str:
    # range() gives 1,024 numbers at most, as in OpenTofu
    return f"flatten([for i in range({count // 100}) : [for j in range(100) : tostring(i * 100 + j)]])"


def _one_block(count: int) -> str:
    return f'resource "value" "v" {{\n  for_each = toset({_keys(count)})\n{_VALUE}\n}}\n'


def _blocks(count: int, each: int) -> str:
    keys = f"toset([for i in range({each}) : tostring(i)])"
    return "".join(f'resource "value" "v{b}" {{\n  for_each = {keys}\n{_VALUE}\n}}\n' for b in range(count))


def _chain(count: int) -> str:
    rest = (f'resource "value" "v{n}" {{\n  input = value.v{n - 1}.output\n}}\n' for n in range(1, count))
    return "".join(['resource "value" "v0" {\n  input = "x"\n}\n', *rest])


def rows(before: list[Row], *, quick: bool) -> Iterator[Row]:
    """All of them; ``before`` holds the start-up rows. ``quick``: no 100,000 instances."""
    few = list(_many(1_000, 0.6, 120, None, 3))
    yield from few
    some = list(_many(10_000, 1.2, 200, 3.0, 5))
    yield from some
    if not quick:
        many = list(_many(100_000, 10.0, 1200, None, 3))
        yield from many
        yield from _growth([*before, *few, *some, *many])
    yield from _shape("1,000 blocks with 10 `value` instances each", _blocks(1_000, 10), 1.2, 3)
    if not quick:
        yield from _shape("1,000 blocks with 100 `value` instances each", _blocks(1_000, 100), 10.0, 1)
        yield from _target(100_000)
    yield from _modules(3)
    yield from _shape("a chain of 5,000 `value` blocks", _chain(5_000), None, 3)
    yield from _shown(10_000)


def _forget(path: Path) -> None:
    for file in path.glob("hythe.state.json*"):
        file.unlink()


def _many(count: int, plan: float, memory: float, apply: float | None, runs: int) -> Iterator[Row]:
    """Apply and no-op plan of many ``value`` instances in one block."""
    with folder(_one_block(count)) as path:
        found = measure([*HYTHE, "apply", "--auto-approve"], path, runs, lambda: _forget(path))
        what = f"apply of {count:,} `value` creations, durable journal"
        yield Row(what, found.wall, apply, "s", found.note)
        found = measure([*HYTHE, "plan"], path, runs)
        yield Row(_noop(count), found.wall, plan, "s", found.note)
        yield Row(f"its peak memory, {count:,} instances", found.peak, memory, "MB")


def _noop(count: int) -> str:
    return f"no-op plan of {count:,} `value` instances"


def _growth(found: list[Row]) -> Iterator[Row]:
    """How a plan's time grows with the number of instances, start-up left out."""
    value = {r.what: r.value for r in found}
    start = value[_START]
    spent = {n: value[_noop(n)] - start for n in (1_000, 10_000, 100_000)}
    ratio = spent[100_000] / spent[10_000] / 10
    note = " and ".join(f"{spent[n] / n * 1e6:.0f}" for n in (10_000, 100_000)) + " microseconds an instance"
    yield Row("an instance among 100,000 against 10,000", ratio, 1.5, "x", note)
    points = [(math.log(n), math.log(max(s, 1e-3))) for n, s in spent.items()]
    slope = statistics.linear_regression(*zip(*points, strict=True)).slope
    note = "time grows with the number of instances to this power; fitted over 1,000, 10,000 and 100,000"
    yield Row("growth of a no-op plan", slope, 1.15, "", note)


def _shape(what: str, text: str, plan: float | None, runs: int) -> Iterator[Row]:
    with folder(text) as path:
        found = measure([*HYTHE, "apply", "--auto-approve"], path, 1, lambda: _forget(path))
        yield Row(f"apply of {what}", found.wall, None, "s", found.note)
        found = measure([*HYTHE, "plan"], path, runs)
        yield Row(f"no-op plan of {what}", found.wall, plan, "s", f"{found.note}, {found.peak:.0f} MB")


def _modules(runs: int) -> Iterator[Row]:
    call = 'module "m" {\n  source   = "./m"\n  for_each = toset([for i in range(100) : tostring(i)])\n}\n'
    with folder(call) as path:
        os.mkdir(path / "m")
        (path / "m" / "main.hcl").write_text(_blocks(1, 100))
        run([*HYTHE, "apply", "--auto-approve"], path)
        found = measure([*HYTHE, "plan"], path, runs)
        yield Row("no-op plan of 100 modules with 100 `value` instances each", found.wall, 1.2, "s", found.note)


def _target(count: int) -> Iterator[Row]:
    with folder(_one_block(count)) as path:
        run([*HYTHE, "apply", "--auto-approve"], path)
        whole = measure([*HYTHE, "plan"], path, 1)
        found = measure([*HYTHE, "plan", '--target=value.v["777"]'], path, 3)
        note = f"{found.wall:.2f} s: the state is read and the keys are told, the other instances are not evaluated"
        yield Row(f"`plan --target` of one in {count:,} against the whole", found.wall / whole.wall, 0.6, "x", note)


def _shown(count: int) -> Iterator[Row]:
    """Showing a plan in which every instance changes in another way, and one with as many blocks."""
    one_by_one = "".join(f'resource "value" "v{n}" {{\n  input = "x{n * 7919 % 1000}"\n}}\n' for n in range(count))
    different = _one_block(count).replace('"item-${each.key}"', "md5(each.key)")
    for what, text in (("different instances", different), ("blocks", one_by_one)):
        with folder(text) as path:
            run([*HYTHE, "plan", "--out=p.plan"], path)
            plan = read_plan(str(path / "p.plan"))
            for full in (False, True):
                style = PlanStyle(full=full)
                lines = render_plan(plan, style).count("\n") + 1
                seconds = statistics.median(timed(lambda: render_plan(plan, style)) for _ in range(3))  # noqa: B023
                name = f"showing a plan of {count:,} {what}{', --full' if full else ''}"
                yield Row(name, seconds, 1.0, "s", f"{lines:,} lines")
