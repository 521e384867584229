"""Data sources inside check blocks: read for the check alone, and never in anyone's way."""

from __future__ import annotations

from typing import Any

from hythe.planner.build import PlanOptions
from hythe.planner.edge import make_plan

TEXT = """
resource "thing" "a" { name = "web" }
check "size" {
  data "thing" "seen" { name = NAME }
  assert {
    condition     = data.thing.seen.size == 3
    error_message = "The size is ${coalesce(data.thing.seen.size, "not set")}."
  }
}
"""


def told(house: Any, text: str) -> list[tuple[str, str, str]]:
    outcome = make_plan(house.session(text), house.store.read().state, PlanOptions())
    return [(d.severity.value, d.summary, d.detail) for d in outcome.diagnostics]


def test_it_is_read_and_told_as_a_warning(house: Any) -> None:
    house.world.put("thing", "other", size=2)
    text = TEXT.replace("NAME", '"other"')
    assert told(house, text) == [("warning", "Check block assertion failed", "The size is 2.")]
    assert told(house, text.replace("== 3", "== 2")) == []


def test_what_cannot_be_read_stops_nothing(house: Any) -> None:
    text = TEXT.replace("NAME", '"nowhere"')
    assert [t[:2] for t in told(house, text)] == [("warning", "Object not found")]
    result = house.apply(text)
    assert [d.severity.value for d in result.diagnostics] == []
    assert list(house.state.instances) == ["thing.a"]


def test_what_is_made_first_is_looked_at_during_apply(house: Any) -> None:
    result = house.apply(TEXT.replace("NAME", "thing.a.name"))
    assert [(d.severity.value, d.detail) for d in result.diagnostics] == [("warning", "The size is not set.")]
    late = TEXT.replace("NAME", 'thing.a.engine_id == "" ? "x" : "nowhere"')
    house.done("")
    result = house.apply(late)
    assert [(d.severity.value, d.summary) for d in result.diagnostics] == [("warning", "Object not found")]
    assert result.complete


def test_it_is_nobody_elses(house: Any) -> None:
    found = told(house, TEXT.replace("NAME", '"web"') + 'output "o" { value = data.thing.seen.size }')
    assert [t[:2] for t in found] == [("error", "Reference to a check's own data source")]
