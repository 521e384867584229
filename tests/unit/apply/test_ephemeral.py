"""Ephemeral blocks: opened by each run, given to what keeps nothing, and written nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from hythe.cli.planfile import decode_plan, encode_plan
from hythe.planner.build import PlanOptions
from hythe.planner.edge import make_plan
from hythe.planner.plan import Mode
from hythe.provider.generated.random_kind import Random
from hythe.provider.memory_kinds import Thing

Wishes = dict[str, dict[str, Any]]


@pytest.fixture
def wished(monkeypatch: pytest.MonkeyPatch) -> Wishes:
    """What things were made of, by address."""
    found: Wishes = {}
    create = Thing.create

    def note(self: Thing, context: Any, desired: Any) -> Any:
        found[context.identity.address] = desired
        return create(self, context, desired)

    monkeypatch.setattr(Thing, "create", note)
    return found


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The random texts that were made, in order."""
    found: list[str] = []
    open_ = Random.open

    def note(self: Random, context: Any, desired: Any) -> Any:
        given = open_(self, context, desired)
        found.append(given.get("result") or given["password"])
        return given

    monkeypatch.setattr(Random, "open", note)
    return found


def errors(house: Any, text: str) -> list[str]:
    """What a plan finds wrong."""
    found = make_plan(house.session(text), house.state, PlanOptions()).diagnostics
    return [f"{d.summary}: {d.detail}" for d in found if d.is_error]


def test_a_value_is_given_and_kept_nowhere(house: Any, wished: Wishes, made: list[str]) -> None:
    text = """
    ephemeral "random" "pin" {
      type   = "password"
      length = 30
    }
    locals { pin = "<${ephemeral.random.pin.password}>" }
    resource "thing" "a" { token = local.pin }
    resource "thing" "b" {
      part {
        name = "p"
        key  = ephemeral.random.pin.password
      }
    }
    """
    session, loaded = house.session(text), house.store.read()
    plan = house.outcome(session, loaded.state).plan
    assert [c.address for c in plan.changes] == ["thing.a", "thing.b"]
    saved = decode_plan(encode_plan(plan))
    assert not house.apply_plan(session, saved, loaded).diagnostics
    planned, applied = made
    assert planned != applied  # each run has one of its own, the same for all of its readers
    assert wished["thing.a"]["token"] == f"<{applied}>"
    assert wished["thing.b"]["part"][0]["key"] == applied
    assert house.plan(text) == ""
    written = "".join(p.read_text() for p in house.folder.iterdir()) + encode_plan(plan).decode("latin-1")
    assert not [value for value in made if value in written]
    assert "ephemeral" not in "".join(p.read_text() for p in house.folder.iterdir())


def test_what_it_needs_comes_first(house: Any, wished: Wishes, made: list[str]) -> None:
    text = """
    resource "thing" "z" {}
    ephemeral "random" "x" {
      type   = "string"
      length = thing.z.revision + 4
    }
    ephemeral "random" "y" {
      type       = "pet"
      prefix     = ephemeral.random.x.result
      depends_on = [thing.z]
    }
    resource "thing" "a" { token = ephemeral.random.y.result }
    """
    assert house.plan(text)
    assert made == []  # its length is known only during apply
    house.done(text)
    assert house.log() == ["create thing.z", "create thing.a"]
    assert len(made[0]) == 5
    assert wished["thing.a"]["token"].startswith(f"{made[0]}-")
    assert house.state.instances["thing.a"].dependencies == ("thing.z",)


def test_several_and_through_modules(house: Any, wished: Wishes) -> None:
    text = """
    ephemeral "random" "n" {
      count  = 2
      type   = "string"
      length = 3 + count.index
    }
    ephemeral "random" "k" {
      for_each = toset(["a", "b"])
      type     = "string"
      length   = 8
      special  = false
    }
    module "m" {
      source = "./m"
      secret = ephemeral.random.n[1].result
    }
    resource "thing" "all" { token = join(",", ephemeral.random.n[*].result) }
    resource "thing" "each" {
      for_each = toset(["a", "b"])
      token    = ephemeral.random.k[each.key].result
    }
    resource "thing" "out" { token = module.m.longer }
    #> m/main.hcl
    variable "secret" { ephemeral = true }
    ephemeral "tls" "key" { type = "private_key" }
    resource "thing" "in" { token = var.secret }
    output "longer" {
      value     = "${var.secret}${ephemeral.tls.key.private_key_pem}"
      ephemeral = true
    }
    """
    house.done(text)
    assert [len(part) for part in wished["thing.all"]["token"].split(",")][-1] == 4
    assert wished['thing.each["a"]']["token"] != wished['thing.each["b"]']["token"]
    assert len(wished["module.m.thing.in"]["token"]) == 4
    assert "PRIVATE KEY" in wished["thing.out"]["token"]
    assert house.state.instances["module.m.thing.in"].dependencies == ()


def test_conditions(house: Any) -> None:
    text = """
    ephemeral "random" "x" {
      type   = "string"
      length = 5
      lifecycle {
        precondition {
          condition     = BEFORE
          error_message = "not before"
        }
        postcondition {
          condition     = length(self.result) AFTER
          error_message = "not after"
        }
      }
    }
    resource "thing" "a" { token = ephemeral.random.x.result }
    """
    house.done(text.replace("BEFORE", "true").replace("AFTER", "== 5"))
    assert errors(house, text.replace("BEFORE", "false").replace("AFTER", "== 5")) == [
        "Resource precondition failed: not before"
    ]
    assert errors(house, text.replace("BEFORE", "true").replace("AFTER", "== 6")) == [
        "Resource postcondition failed: not after"
    ]


def test_a_postcondition_that_only_apply_can_tell(house: Any) -> None:
    text = """
    resource "thing" "z" {}
    ephemeral "random" "x" {
      type   = "string"
      length = thing.z.revision + 4
      lifecycle {
        postcondition {
          condition     = length(self.result) > 5
          error_message = "only ${length(self.result)}"
        }
      }
    }
    resource "thing" "a" { token = ephemeral.random.x.result }
    """
    assert house.plan(text)
    result = house.apply(text)
    # how long it is could be the secret
    told = "The condition is false, and its message cannot be shown."
    assert [(d.summary, d.detail) for d in result.diagnostics] == [("Resource postcondition failed", told)]
    assert sorted(house.state.instances) == ["thing.z"]


def test_only_what_a_target_needs_is_opened(house: Any, made: list[str]) -> None:
    text = """
    ephemeral "random" "x" {
      type   = "string"
      length = 5
    }
    ephemeral "random" "y" {
      type   = "string"
      length = 6
    }
    resource "thing" "a" { token = ephemeral.random.x.result }
    resource "thing" "b" { token = ephemeral.random.y.result }
    """
    house.apply(text, targets=("thing.b",))
    assert {len(value) for value in made} == {6}
    assert sorted(house.state.instances) == ["thing.b"]
    house.apply(text, mode=Mode.DESTROY)
    assert house.state.instances == {}
