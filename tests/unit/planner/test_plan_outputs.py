"""Root outputs in plans."""

from __future__ import annotations

from typing import Any

from hythe.planner.plan import Mode
from hythe.state.model import OutputState, State
from hythe.value import NUMBER, STRING


def test_becoming_sensitive_is_a_change(planner: Any) -> None:
    state = State("lineage", outputs={"o": OutputState("x", STRING)})
    text = 'output "o" {\n  value = "x"\n}\n'
    assert not planner.build(text, state).outputs[0].changed
    assert planner.build(text.replace("}", "  sensitive = true\n}"), state).outputs[0].changed


def test_a_number_that_becomes_a_bool_is_a_change(planner: Any) -> None:
    state = State("lineage", outputs={"o": OutputState(1, NUMBER)})
    assert not planner.build('output "o" {\n  value = 1\n}\n', state).outputs[0].changed
    assert planner.build('output "o" {\n  value = true\n}\n', state).outputs[0].changed


def test_refreshing_only_leaves_outputs_of_what_is_not_made_yet(planner: Any) -> None:
    text = 'resource "part" "a" {\n}\noutput "o" {\n  value = part.a.id\n}\n'
    assert planner.build(text, mode=Mode.REFRESH_ONLY).outputs == []
    assert planner.build(text, planner.state(a={}), mode=Mode.REFRESH_ONLY).outputs[0].after == "a"
