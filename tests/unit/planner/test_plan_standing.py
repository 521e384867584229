"""Blocks that stand for no object: ``removed`` and ``check``."""

from __future__ import annotations

from typing import Any

import pytest

from hythe.diagnostic import Severity
from hythe.planner.plan import Mode

CHECK = """
resource "part" "a" { size = 1 }
check "small" {
  assert {
    condition     = part.a.size > 1
    error_message = "a has ${part.a.size}."
  }
  assert {
    condition     = part.a.id == "x"
    error_message = "Not told before there is one."
  }
}
"""


@pytest.mark.parametrize("mode", [Mode.NORMAL, Mode.DESTROY])
def test_what_is_removed_is_let_go_of(planner: Any, mode: Mode) -> None:
    state = planner.state(a={"size": 1, "name": "n", "protected": True})
    [line] = planner.plan("removed {\n from = part.a\n}", state, mode=mode)
    assert line == "forget       part.a - a removed block lets go of it"


def test_what_is_removed_may_be_destroyed(planner: Any) -> None:
    text = "removed {\n from = part.a\n lifecycle {\n destroy = true\n }\n}"
    assert planner.plan(text, planner.state(a={"size": 1, "name": "n"}))[0].startswith("delete       part.a")


def test_what_was_never_there_needs_nothing(planner: Any) -> None:
    assert planner.plan("removed {\n from = part.b\n}") == []


def test_a_check_that_does_not_hold_is_a_warning(planner: Any) -> None:
    assert planner.plan(CHECK) == ["create       part.a"]
    told = [(d.severity, d.summary, d.detail, d.address) for d in planner.result.diagnostics]
    assert told == [(Severity.WARNING, "Check block assertion failed", "a has 1.", "check.small")]


def test_a_check_is_left_out_with_what_it_is_about(planner: Any) -> None:
    planner.plan(CHECK, targets=("part.a",))
    assert planner.result.diagnostics == []
    planner.plan(CHECK, planner.state(a={"size": 1, "name": "n"}), mode=Mode.DESTROY)
    assert planner.result.diagnostics == []
