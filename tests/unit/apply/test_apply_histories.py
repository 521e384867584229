"""Random histories: whatever is configured, breaks, drifts and is retried, it ends as declared.

``make soak`` runs thousands of histories (HYTHE_SOAK), ``make test`` a sample.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

COUNT = 3_000 if os.environ.get("HYTHE_SOAK") else 60

sizes = st.none() | st.integers(0, 3)
shapes = st.none() | st.sampled_from(["round", "square"])


@dataclass(frozen=True)
class Thing:
    """One block of a random configuration; ``uses`` and ``peer`` name earlier ones."""

    size: int | None
    shape: str | None
    uses: int | None
    peer: int | None
    kind: str
    first: bool
    count: int


@st.composite
def configurations(draw: st.DrawFn) -> tuple[Thing | None, ...]:
    """Up to five blocks that may be there or not, referring to earlier ones that are."""
    made: list[Thing | None] = []
    for _ in range(draw(st.integers(1, 5))):
        if draw(st.integers(0, 4)) == 0:
            made.append(None)
            continue
        earlier = [i for i, t in enumerate(made) if t is not None and t.count == 0]
        pick = st.none() | st.sampled_from(earlier) if earlier else st.none()
        kind = draw(st.sampled_from(["thing", "thing", "swing"]))
        made.append(
            Thing(
                size=draw(sizes),
                shape=draw(shapes),
                uses=draw(pick) if kind == "thing" else None,
                peer=draw(pick) if kind == "thing" else None,
                kind=kind,
                first=kind == "swing" and draw(st.booleans()),
                count=draw(st.sampled_from([0, 0, 1, 3])),
            )
        )
    return tuple(made)


def render(things: tuple[Thing | None, ...]) -> str:
    """The configuration's text."""
    out = []
    for at, thing in enumerate(things):
        if thing is None:
            continue
        index = "-${count.index}" if thing.count else ""
        lines = [f'  name = "{thing.kind}-{at}{index}"']
        if thing.count:
            lines.append(f"  count = {thing.count}")
        if thing.size is not None:
            lines.append(f"  size = {thing.size}")
        if thing.shape is not None:
            lines.append(f'  shape = "{thing.shape}"')
        for argument, target in (("uses", thing.uses), ("peer", thing.peer)):
            other = things[target] if target is not None else None
            if other is not None:
                lines.append(f"  {argument} = {other.kind}.t{target}")
        if thing.first:
            lines.append("  lifecycle {\n    create_before_destroy = true\n  }")
        out.append(f'resource "{thing.kind}" "t{at}" {{\n' + "\n".join(lines) + "\n}\n")
    return "".join(out)


def declared(things: tuple[Thing | None, ...]) -> set[str]:
    """The names that shall exist."""
    out: set[str] = set()
    for at, thing in enumerate(things):
        if thing is not None:
            names = [f"-{i}" for i in range(thing.count)] if thing.count else [""]
            out |= {f"{thing.kind}-{at}{suffix}" for suffix in names}
    return out


faults = st.lists(
    st.tuples(
        st.sampled_from(["create", "update", "delete", "swap"]),
        st.integers(0, 4),
        st.sampled_from(["before", "middle", "after"]),
    ),
    max_size=3,
)
steps = st.lists(st.tuples(configurations(), faults, st.lists(st.integers(0, 30), max_size=2)), min_size=1, max_size=3)


@given(history=steps)
@settings(
    max_examples=COUNT,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
def test_every_history_ends_as_declared(history: list[Any], new_house: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        house = new_house(Path(folder))
        stranger = house.world.put("thing", "stranger")
        for things, wrong, damage in history:
            for op, at, phase in wrong:
                for kind in ("thing", "swing"):
                    # a ProviderError says that nothing was left behind, so half-done calls fail otherwise
                    failure = None if phase == "before" else ConnectionError("the connection broke")
                    house.world.inject(op, f"{kind}.t{at}", phase=phase, failure=failure)
            _drift(house, damage)
            house.apply(render(things))
            house.world.faults.clear()
            result = house.apply(render(things))
            assert not result.diagnostics, result.diagnostics
            ours = {o.name for o in house.world.objects.values() if o.mark is not None}
            assert ours == declared(things)
            house.check()
            assert house.plan(render(things)) == ""
        house.done("")
        assert list(house.world.objects.values()) == [stranger]


def _drift(house: Any, damage: list[int]) -> None:
    """Remove or change objects behind Hythe's back."""
    for number in damage:
        ours = sorted((o for o in house.world.objects.values() if o.mark is not None), key=lambda o: o.name)
        if not ours:
            return
        victim = ours[number % len(ours)]
        if number % 2:
            victim.attributes["size"] = 99
        else:
            del house.world.objects[victim.engine_id]
