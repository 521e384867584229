"""Values that become known, or are given again, while a plan is applied."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hythe.cli.planfile import decode_plan, encode_plan
from hythe.planner.build import PlanOptions
from hythe.planner.edge import make_plan
from hythe.provider.memory_kinds import Thing

SECRET = """
resource "thing" "a" {
  token = "s3cret"
  part {
    name = "p"
    key  = "s3cret"
  }
}
"""


def test_write_only_values_reach_the_provider_from_a_saved_plan(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    wished: list[dict[str, Any]] = []
    create = Thing.create

    def note(self: Thing, context: Any, desired: Any) -> Any:
        wished.append(desired)
        return create(self, context, desired)

    monkeypatch.setattr(Thing, "create", note)
    session = house.session(SECRET)
    loaded = house.store.read()
    plan = house.outcome(session, loaded.state).plan
    assert plan is not None
    saved = decode_plan(encode_plan(plan))
    assert "s3cret" not in repr(saved.changes)
    assert not house.apply_plan(session, saved, loaded).diagnostics
    assert (wished[0]["token"], wished[0]["part"][0]["key"]) == ("s3cret", "s3cret")
    assert "s3cret" not in repr(house.state)
    assert house.plan(SECRET) == ""


def test_nested_values_of_an_updated_instance_are_known_to_its_users(house: Any) -> None:
    first = """
    resource "note" "source" {
      text = "one"
    }
    resource "note" "middle" {
      text = { inner = note.source.copied }
    }
    resource "note" "user" {
      text = note.middle.text.inner
    }
    """
    house.done(first)
    house.done(first.replace('"one"', '"two"'))
    assert house.state.instances["note.user"].attributes["text"] == "two"


LATE = """
resource "thing" "a" {
}
resource "note" "b" {
  text = 1
  lifecycle {
    precondition {
      condition     = thing.a.revision == 7
      error_message = "It must be the seventh."
    }
  }
}
"""


def test_a_condition_that_becomes_known_is_checked(house: Any) -> None:
    result = house.apply(LATE)
    assert [d.detail for d in result.diagnostics] == ["It must be the seventh."]
    assert house.log() == ["create thing.a"]
    house.done(LATE.replace("7", "1"))


def test_an_output_whose_precondition_fails_is_not_stored(house: Any) -> None:
    text = """
    resource "thing" "a" {
    }
    output "o" {
      value = thing.a.name
      precondition {
        condition     = thing.a.revision == 7
        error_message = "It must be the seventh."
      }
    }
    """
    result = house.apply(text)
    assert [d.summary for d in result.diagnostics] == ["Output precondition failed"]
    assert "o" not in house.state.outputs


def test_what_turns_out_sensitive_is_not_put_into_a_plain_output(house: Any) -> None:
    text = """
    data "thing" "there" {
      name = thing.a.engine_id == "" ? "x" : "there"
    }
    resource "thing" "a" {
    }
    output "o" {
      value = data.thing.there.secret
    }
    """
    house.world.put("thing", "there", secret="s3cret")
    session = house.session(text)
    outcome = make_plan(session, house.store.read().state, PlanOptions())
    assert [d.summary for d in outcome.diagnostics] == ["Output refers to sensitive values"]


def test_what_is_of_an_unknown_kind_is_told_and_kept(house: Any) -> None:
    house.done('resource "thing" "a" {\n}\n')
    session = house.session('resource "note" "n" {\n}\n')
    loaded = house.store.read()
    made = loaded.state.instances.pop("thing.a")
    loaded.state.instances["gone.a"] = replace(made, address="gone.a", kind="gone")
    outcome = house.outcome(session, loaded.state)
    assert [(d.summary, d.is_error) for d in outcome.diagnostics] == [("Unknown kind in state", False)]
    result = house.apply_plan(session, outcome.plan, loaded, outcome=outcome)
    assert not result.diagnostics
    assert sorted(house.state.instances) == ["gone.a", "note.n"]
