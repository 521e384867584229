"""A state that was lost, made anew from what is in the world."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hythe.diagnostic import DiagnosticError, error
from hythe.planner.explain import explain
from hythe.planner.rebuild import Rebuilt, rebuild
from hythe.planner.survey import survey
from hythe.provider.memory_kinds import memory_kinds
from hythe.provider.protocol import HostUnreachable, Identity
from hythe.state.model import InstanceState, State
from hythe.value import Reference

TEXT = """
resource "box" "b" { name = "b" }
resource "vessel" "v" {
  name = "v"
  host = box.b
}
resource "thing" "base" {
  name   = "base"
  host   = vessel.v
  secret = "hunter2"
  tags   = ["x", "y"]
}
resource "thing" "user" {
  for_each = toset(["1", "2"])
  name     = "user-${each.key}"
  host     = vessel.v
  uses     = thing.base
  color    = thing.base.engine_id
  lifecycle { create_before_destroy = true }
}
resource "swing" "s" {
  name = "s"
  part {
    name = "p"
    key  = "write-only"
  }
  lifecycle { prevent_destroy = true }
}
resource "note" "n" { text = thing.user["1"].engine_id }
output "id" {
  value     = thing.base.engine_id
  sensitive = true
}
"""


def lose(house: Any) -> State:
    """Drop the files of the state; gives what was in them."""
    state: State = house.state
    house.files.delete()
    house.folder.mkdir(exist_ok=True)
    return state


def session_of(house: Any, text: str) -> Any:
    """With the kinds of the world in memory alone: others have nowhere to look."""
    session = house.session(text)
    session.registry.names = lambda: sorted(memory_kinds(house.world))
    return session


def rebuilt(house: Any, text: str, lineage: str) -> Rebuilt:
    session = session_of(house, text)
    calls = len(house.log())
    found = rebuild(session, lineage, survey(session))
    assert len(house.log()) == calls, "nothing may be touched"
    assert found.state.lineage == lineage
    return found


def keep(house: Any, found: Rebuilt) -> None:
    assert house.store.write(house.store.read(), found.state, "state rebuild") == []


def comparable(instance: InstanceState) -> InstanceState:
    return replace(instance, dependencies=tuple(sorted(instance.dependencies)))


def test_everything_with_a_mark_comes_back_as_it_was(house: Any) -> None:
    house.done(TEXT)
    before = lose(house)
    found = rebuilt(house, TEXT, before.lineage)
    assert found.missing == ["note.n"], "it was in the state alone"
    marked = {a: comparable(i) for a, i in before.instances.items() if a != "note.n"}
    assert {a: comparable(i) for a, i in found.state.instances.items()} == marked
    assert found.state.outputs == before.outputs
    assert (found.stray, found.stale, found.state.deposed) == ([], [], {})
    assert found.recovered == sorted(marked)
    assert [c.address for c in found.plan.actions] == ["note.n"]
    keep(house, found)
    assert house.plan(TEXT) == explain(found.plan), "the plan that was announced"
    house.done(TEXT)
    house.check()
    house.done("")
    assert house.world.objects == {}


def test_what_is_on_machines_on_machines_is_found(house: Any) -> None:
    text = """
resource "vessel" "a" { name = "a" }
resource "vessel" "b" {
  name = "b"
  host = vessel.a
}
resource "thing" "deep" {
  name = "deep"
  host = vessel.b
}
"""
    house.done(text)
    before = lose(house)
    found = rebuilt(house, text, before.lineage)
    assert found.state.instances == before.instances
    assert found.survey.looked == [None, "vessel.a", "vessel.b"]
    assert found.plan.is_empty


def test_addresses_in_marks_are_hints(house: Any) -> None:
    first = 'resource "thing" "a" { name = "one" }\nresource "thing" "b" { name = "two" }\n'
    moved = first.replace('"a"', '"c"') + "moved {\n  from = thing.a\n  to   = thing.c\n}\n"
    house.done(first)
    house.done(moved)
    lineage = lose(house).lineage
    found = rebuilt(house, moved, lineage)
    assert sorted(found.state.instances) == ["thing.b", "thing.c"]
    assert found.stale == [("thing.a", "thing.c")]
    assert found.plan.is_empty
    # the moved block is gone too: the name tells
    text = 'resource "thing" "d" { name = "one" }\nresource "thing" "b" { name = "two" }\n'
    found = rebuilt(house, text, lineage)
    assert sorted(found.state.instances) == ["thing.b", "thing.d"]
    assert found.stale == [("thing.a", "thing.d")]
    assert found.plan.is_empty


def test_what_the_configuration_no_longer_has_stays_in_the_state(house: Any) -> None:
    house.done('resource "thing" "a" { name = "one" }\nresource "thing" "b" { name = "two" }\n')
    before = lose(house)
    text = 'resource "thing" "a" { name = "one" }\n'
    found = rebuilt(house, text, before.lineage)
    assert found.stray == ["thing.b"]
    assert found.state.instances["thing.b"].attributes["name"] == "two"
    assert explain(found.plan).split()[:2] == ["delete", "thing.b"]
    keep(house, found)
    house.done(text)
    assert [o.name for o in house.world.objects.values()] == ["one"]


def test_of_two_objects_with_one_address_the_better_one_is_it(house: Any) -> None:
    text = 'resource "thing" "a" {\n  name = "one"\n  size = 2\n}\n'
    house.done(text)
    before = lose(house)
    mark = Identity(before.lineage, "thing.a", "00000000-older")
    kind = house.session(text).registry.kind("thing")
    house.world.make(kind, "local", "older", mark, {"name": "older", "size": 1})
    found = rebuilt(house, text, before.lineage)
    assert found.state.instances == before.instances
    assert list(found.state.deposed) == ["00000000-older"]
    keep(house, found)
    house.done(text)
    assert [o.name for o in house.world.objects.values()] == ["one"]


def test_objects_of_others_are_left_out(house: Any) -> None:
    text = 'resource "thing" "a" { name = "one" }\n'
    house.done(text)
    before = lose(house)
    kind = house.session(text).registry.kind("thing")
    house.world.make(kind, "local", "theirs", Identity("other-lineage", "thing.a", "x"), {"name": "theirs"})
    house.world.make(kind, "local", "nobody's", None, {"name": "nobody's"})
    house.world.make(kind, "local", "odd", Identity(before.lineage, "no address!", "y"), {"name": "odd"})
    house.world.make(kind, "local", "wrong", Identity(before.lineage, "box.a", "z"), {"name": "wrong"})
    seen = survey(session_of(house, text))
    assert {name: len(objects) for name, objects in seen.lineages().items()} == {before.lineage: 3, "other-lineage": 1}
    assert seen.likely == before.lineage
    assert survey(session_of(house, text.replace("one", "two"))).likely is None
    found = rebuilt(house, text, before.lineage)
    assert found.state.instances == before.instances
    assert not found.state.deposed


def test_a_machine_out_of_reach_is_told_and_its_objects_are_not_made_twice(house: Any) -> None:
    house.done(TEXT)
    before = lose(house)
    reach = house.world.reach

    def broken(host: Any) -> str:
        if host.name == "vessel.v":
            raise HostUnreachable(error("No answer", "vessel.v does not answer."))
        return str(reach(host))

    house.world.reach = broken
    found = rebuilt(house, TEXT, before.lineage)
    assert [(u.host, u.kind) for u in found.unseen] == [("vessel.v", None)]
    assert "thing.base" in found.missing
    assert "vessel.v" in found.recovered
    keep(house, found)
    house.world.reach = reach
    result = house.apply(TEXT)
    assert any("taken" in d.summary.lower() for d in result.diagnostics), result.diagnostics
    names = sorted(o.name for o in house.world.objects.values())
    assert names == sorted(set(names)), "nothing is there twice"
    # now that it answers, all comes back
    found = rebuilt(house, TEXT, before.lineage)
    assert before.instances.keys() - found.state.instances.keys() <= {"note.n"}


def test_a_change_that_is_not_allowed_stands_in_nobodys_way(house: Any) -> None:
    text = """
resource "thing" "a" {
  name  = "one"
  shape = "round"
  lifecycle { max_disruption = "live" }
}
resource "swing" "s" {
  name  = "s"
  shape = "round"
  lifecycle { prevent_destroy = true }
}
"""
    house.done(text)
    before = lose(house)
    changed = text.replace("round", "square")
    found = rebuilt(house, changed, before.lineage)
    assert found.state.instances == before.instances
    assert sorted(d.summary for d in found.refusals) == ["Disruption not allowed", "Instance cannot be destroyed"]
    keep(house, found)
    house.done(text)


def test_a_configuration_that_is_wrong_is_told(house: Any) -> None:
    house.done('resource "thing" "a" { name = "one" }\n')
    lose(house)
    with pytest.raises(DiagnosticError):
        survey(session_of(house, 'resource "thing" "a" { name = nothing.there }\n'))


def test_references_follow_what_was_found(house: Any, tmp_path: Path) -> None:
    house.done(TEXT)
    before = lose(house)
    found = rebuilt(house, TEXT, before.lineage)
    user = found.state.instances['thing.user["1"]']
    assert user.attributes["uses"] == Reference("thing", "thing.base", before.instances["thing.base"].id)
    assert user.attributes["host"] == Reference("vessel", "vessel.v", before.instances["vessel.v"].id)
    assert found.state.instances["thing.base"].sensitive == before.instances["thing.base"].sensitive
    assert "key" not in found.state.instances["swing.s"].attributes["part"][0]
