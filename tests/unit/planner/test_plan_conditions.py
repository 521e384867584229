"""Conditions that can be told while planning."""

from __future__ import annotations

from typing import Any

CHECKED = """
resource "part" "a" {
  size = 1
  lifecycle {
    postcondition {
      condition     = self.revision == 1 && self.size == 1
      error_message = "The ${self.name} must be the first."
    }
  }
}
"""


def test_a_postcondition_of_what_is_there_is_checked(planner: Any) -> None:
    state = planner.state(a={"size": 1, "name": "n", "revision": 3})
    assert planner.errors(CHECKED, state) == ["Resource postcondition failed"]
    assert planner.result.diagnostics[0].detail == "The n must be the first."
    assert planner.errors(CHECKED, planner.state(a={"size": 1, "name": "n", "revision": 1})) == []


def test_a_postcondition_of_what_is_not_there_waits(planner: Any) -> None:
    assert planner.errors(CHECKED) == []


def test_a_postcondition_of_data_is_checked(planner: Any) -> None:
    text = """
    data "part" "it" {
      label = "x"
      lifecycle {
        postcondition {
          condition     = length(self.found) > 1
          error_message = "Too few."
        }
      }
    }
    """
    assert planner.errors(text) == []
    assert planner.errors(text, data={"data.part.it": {"label": "x", "found": ["a"]}}) == [
        "Resource postcondition failed"
    ]


def test_a_number_is_no_condition(planner: Any) -> None:
    for number in ("1", "0"):
        assert planner.errors(CHECKED.replace("self.revision == 1 && self.size == 1", f"self.size - {number}")) == [
            "Invalid condition"
        ]


def test_what_follows_from_a_mistake_is_not_told_besides(planner: Any) -> None:
    text = """
    resource "part" "a" {
      for_each = toset(["x", nope("y")])
    }
    resource "part" "b" {
      for_each = part.a
    }
    resource "part" "c" {
      count = length(part.a)
    }
    """
    assert len(planner.errors(text)) == 1


def test_a_sensitive_name_that_is_used_twice_is_not_shown(planner: Any) -> None:
    found = planner.build('resource "part" "a" {\n  count = 2\n  name  = sensitive("hunter2")\n}\n').diagnostics
    assert [d.summary for d in found] == ["Name used twice"]
    assert "hunter2" not in found[0].detail
