"""Every call failing in every way: the state stays true, and the next apply goes on from there."""

from __future__ import annotations

from typing import Any

import pytest

from hythe.diagnostic import error
from hythe.planner.plan import Action, Cause, Change, ConfigSnapshot, Disruption, Mode, Plan
from hythe.provider.protocol import HostUnreachable, ProviderError
from hythe.provider.schema import Effect

BEFORE = """
resource "thing" "base" {
  name  = "base"
  shape = "round"
}
resource "thing" "user" {
  name = "user"
  uses = thing.base
}
resource "swing" "s" {
  name  = "s"
  shape = "round"
  lifecycle { create_before_destroy = true }
}
resource "thing" "first" {
  name = "one"
  lifecycle { create_before_destroy = true }
}
resource "thing" "friend" {
  name = "friend"
  peer = swing.s
  size = 1
}
resource "thing" "old" { name = "old" }
"""
AFTER = (
    BEFORE.replace("round", "square")
    .replace('"one"', '"two"')
    .replace("size = 1", "size = 2")
    .replace('"thing" "old" { name = "old" }', '"thing" "new" { name = "new" }')
)
CALLS = [
    ("delete", "thing.base"),
    ("create", "thing.base"),
    ("delete", "thing.user"),
    ("create", "thing.user"),
    ("swap", "swing.s"),
    ("create", "thing.first"),
    ("delete", "thing.first"),
    ("update", "thing.friend"),
    ("delete", "thing.old"),
    ("create", "thing.new"),
]
FAILURES = {
    "refused": ProviderError(error("Refused", "The world refuses.")),
    "lost": HostUnreachable(error("Lost", "The connection broke.")),
    "bug": ZeroDivisionError("bug"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_every_failure_is_survived(new_house: Any, tmp_path: Any, kind: str) -> None:
    for n, (op, address) in enumerate(CALLS):
        for phase in ("before", "middle", "after"):
            if phase == "after" and kind == "refused":
                continue  # a kind that says no has done nothing
            folder = tmp_path / f"{n}-{phase}"
            folder.mkdir()
            house = new_house(folder)
            house.done(BEFORE)
            house.world.inject(op, address, phase=phase, failure=FAILURES[kind])
            result = house.apply(AFTER)
            hit = house.world.faults[0].times == 0
            assert hit != result.complete, (op, address, phase)
            house.done(AFTER)
            house.check()
            assert sorted(house.world.summary()) == ["base", "friend", "new", "s", "two", "user"], (op, address, phase)


def plan_of(house: Any, *changes: Change, **more: Any) -> Plan:
    state = house.state
    empty = ConfigSnapshot("/nowhere/shop", {}, {}, {})
    return Plan("0", state.lineage, state.serial, Mode.NORMAL, "2026-01-01T00:00:00Z", empty, changes, **more)


def run(house: Any, plan: Plan, text: str = "") -> Any:
    loaded = house.store.read(plan.lineage)
    return house.apply_plan(house.session(text), plan, loaded)


def test_importing_takes_an_object_into_the_state(house: Any) -> None:
    made = house.world.put("thing", "web", size=1)
    text = 'resource "thing" "a" {\n name = "web"\n size = 2\n}'
    change = Change(
        "thing.a", "thing", Action.ADOPT, after={"name": "web", "size": 2}, changed=("size",), import_id=made.engine_id
    )
    result = run(house, plan_of(house, change), text)
    assert result.diagnostics == []
    assert result.counts == {"adopt": 1, "update": 1}
    assert house.world.objects[made.engine_id].attributes["size"] == 2
    assert house.plan(text) == ""
    house.done("")
    assert house.world.objects == {}


def test_importing_what_is_not_there_is_told(house: Any) -> None:
    change = Change("thing.a", "thing", Action.ADOPT, after={}, import_id="e99")
    result = run(house, plan_of(house, change), 'resource "thing" "a" {}')
    assert [d.summary for d in result.diagnostics] == ["Object not found"]
    assert house.state.instances == {}


def test_forgetting_leaves_the_object(house: Any) -> None:
    house.done('resource "thing" "a" { name = "a" }')
    id = house.state.instances["thing.a"].id
    result = run(house, plan_of(house, Change("thing.a", "thing", Action.FORGET, id=id)))
    assert result.diagnostics == []
    assert house.state.instances == {}
    assert house.world.summary() == {"a": "thing.a"}


def test_a_planned_value_that_changed_is_refused(house: Any) -> None:
    text = 'resource "thing" "a" {\n name = "a"\n shape = "square"\n}'
    change = Change("thing.a", "thing", Action.CREATE, after={"name": "a", "shape": "round"})
    result = run(house, plan_of(house, change), text)
    assert [d.summary for d in result.diagnostics] == ["Planned value changed"]
    assert "shape" in result.diagnostics[0].detail
    assert house.world.objects == {}


def test_an_update_that_turns_out_stronger_is_refused(house: Any) -> None:
    text = 'resource "thing" "a" {\n name = "a"\n color = "%s"\n}'
    house.done(text % "red")
    instance = house.state.instances["thing.a"]
    change = Change(
        "thing.a",
        "thing",
        Action.UPDATE,
        Disruption.NONE,
        before=instance.attributes,
        after={**instance.attributes, "color": "blue"},
        id=instance.id,
        changed=("color",),
        causes=(Cause("color changes", ("color",)),),
    )
    assert house.session("").registry.kind("thing").schema.attributes["color"].effect is Effect.RESTART
    result = run(house, plan_of(house, change), text % "blue")
    assert [d.summary for d in result.diagnostics] == ["Plan again"]
    assert house.world.at("thing.a").attributes["color"] == "red"


def test_operations_that_would_wait_for_each_other_are_told(house: Any) -> None:
    text = """
    resource "thing" "base" { name = "base" }
    resource "thing" "user" {
      name = "user"
      uses = thing.base
    }
    """
    house.done(text)
    base, user = (house.state.instances[a] for a in ("thing.base", "thing.user"))
    changes = (
        Change("thing.base", "thing", Action.REPLACE, before=base.attributes, after={"name": "b"}, id=base.id),
        Change(
            "thing.user",
            "thing",
            Action.REPLACE,
            before=user.attributes,
            after={"name": "u"},
            id=user.id,
            depends_on=("thing.base",),
            create_before_destroy=True,
        ),
    )
    result = run(house, plan_of(house, *changes), text)
    assert [d.summary for d in result.diagnostics] == ["Plan cannot be ordered"]
    assert "thing.user is to be created before" in result.diagnostics[0].detail
    assert sorted(house.world.summary()) == ["base", "user"]


def test_data_that_is_known_late_is_read_during_apply(house: Any) -> None:
    text = """
    resource "thing" "a" {
      name  = "a"
      shape = "round"
    }
    data "thing" "found" {
      name       = thing.a.name
      depends_on = [thing.a]
    }
    resource "thing" "copy" {
      name  = "copy"
      shape = data.thing.found.shape
    }
    """
    result = house.apply(text)
    assert result.diagnostics == []
    assert house.world.at("thing.copy").attributes["shape"] == "round"
    assert result.counts == {"create": 2, "read": 1}
    assert house.plan(text) == ""
    house.apply(text)
    assert "data.thing.found" not in house.state.instances


def test_data_that_waits_for_what_changes_is_read_during_apply(house: Any) -> None:
    text = """
    resource "thing" "a" {
      name = "a"
      size = 1
    }
    data "thing" "found" {
      name       = "a"
      depends_on = [thing.a]
    }
    output "size" { value = data.thing.found.size }
    """
    house.apply(text)
    assert house.plan(text) == ""
    larger = text.replace("size = 1", "size = 2")
    assert "read         data.thing.found - thing.a changes first" in house.plan(larger)
    house.apply(larger)
    assert house.state.outputs["size"].value == 2
    assert house.plan(larger) == ""


def test_an_end_is_told_before_the_begin_of_what_waited_for_it(house: Any) -> None:
    links = "".join(f'resource "thing" "t{i}" {{ uses = thing.t{i - 1} }}\n' for i in range(1, 9))
    house.apply('resource "thing" "t0" {}\n' + links)
    told = house.told()
    for i in range(1, 9):
        begin = next(n for n, line in enumerate(told) if line == f"started create thing.t{i}")
        assert any(f"thing.t{i - 1}" in line and not line.startswith("started") for line in told[:begin])


def test_postconditions_hold_back_what_depends(house: Any) -> None:
    text = """
    resource "thing" "a" {
      name = "a"
      lifecycle {
        postcondition {
          condition     = self.revision > 5
          error_message = "Too young."
        }
      }
    }
    resource "thing" "b" {
      name = "b"
      uses = thing.a
    }
    """
    result = house.apply(text)
    assert [d.summary for d in result.diagnostics] == ["Resource postcondition failed"]
    assert house.world.summary() == {"a": "thing.a"}
    assert "thing.a" in house.state.instances
    assert "skipped create thing.b because thing.a" in house.told()
