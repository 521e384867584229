"""Machines that take along what is on them: made, looked at, replaced and removed together with it."""

from __future__ import annotations

from typing import Any

import pytest

from hythe.provider.protocol import ProviderError

FLEET = """\
resource "vessel" "node" {
  for_each = toset(["a", "b"])
  name     = "node-${each.key}"
  %s
}
resource "thing" "store" {
  for_each = vessel.node
  host     = each.value
  name     = "store"
}
resource "thing" "web" {
  for_each = vessel.node
  host     = each.value
  name     = "web"
  uses     = thing.store[each.key]
}
output "where" { value = { for k, v in vessel.node : k => v.engine_id } }
"""


def fleet(more: str = "") -> str:
    return FLEET % more


def test_everything_on_machines_that_are_not_there_is_planned_in_full(house: Any) -> None:
    lines = house.plan(fleet()).splitlines()
    assert len(lines) == 7
    assert [line.split() for line in lines[2:4]] == [["create", 'thing.web["a"]'], ["create", 'thing.web["b"]']]
    house.done(fleet())
    house.check()


def test_each_begins_when_its_own_machine_is_ready(house: Any) -> None:
    house.world.latency = 0.02
    house.world.inject("create", 'vessel.node["b"]')
    result = house.apply(fleet())
    assert [d.summary for d in result.diagnostics] == ["Injected failure"]
    assert 'create thing.web["a"]' in house.log()
    assert not [line for line in house.log() if 'thing.web["b"]' in line]
    house.done(fleet())


def test_destroying_a_machine_takes_along_what_is_on_it(house: Any) -> None:
    house.done(fleet())
    house.world.calls.clear()
    less = fleet().replace('["a", "b"]', '["a"]')
    text = house.plan(less)
    assert 'it goes with vessel.node["b"]' in text
    house.done(less)
    assert house.log() == ['delete vessel.node["b"]']
    house.check()


def test_removing_machines_and_what_is_on_them_at_once(house: Any) -> None:
    house.done(fleet())
    house.world.calls.clear()
    house.done("")
    assert sorted(house.log()) == ['delete vessel.node["a"]', 'delete vessel.node["b"]']
    assert house.world.objects == {}


def test_destroy_without_configuration(house: Any) -> None:
    from hythe.planner.plan import Mode

    house.done(fleet())
    house.world.unreachable.add('vessel.node["a"]')
    house.done(fleet(), mode=Mode.DESTROY)
    assert house.world.objects == {}
    assert house.state.instances == {}


def test_replacing_a_machine_makes_its_contents_again(house: Any) -> None:
    house.done(fleet())
    house.world.calls.clear()
    text = house.plan(fleet('shape = "round"'))
    assert 'replace      thing.web["a"] - host forces replacement, because vessel.node["a"] is replaced' in text
    house.done(fleet('shape = "round"'))
    assert house.log()[:2].count('delete thing.web["a"]') == 0
    assert not [line for line in house.log() if line.startswith("delete thing")]
    house.check()


def test_a_machine_removed_outside_takes_its_contents_with_it(house: Any) -> None:
    house.done(fleet())
    house.world.sink(house.world.at('vessel.node["a"]'))
    house.world.remove('vessel.node["a"]')
    house.world.unreachable.add('vessel.node["a"]')
    house.world.calls.clear()
    session = house.session(fleet())
    outcome = house.outcome(session, house.state)
    assert [d.summary for d in outcome.diagnostics] == []
    house.world.unreachable.clear()
    house.done(fleet())
    assert sorted(house.log()) == ['create thing.store["a"]', 'create thing.web["a"]', 'create vessel.node["a"]']


def test_what_is_on_a_machine_that_is_off_stays_and_blocks_nobody(house: Any) -> None:
    house.done(fleet())
    house.world.drift('vessel.node["a"]', running=False)
    session = house.session(fleet().replace('name     = "web"', 'name     = "web2"'))
    outcome = house.outcome(session, house.state)
    assert any("shut off" in d.detail for d in outcome.diagnostics)
    actions = {c.address: c.action.value for c in outcome.plan.changes}
    assert actions['thing.web["a"]'] == "no-op"
    assert actions['thing.web["b"]'] == "replace"
    assert actions['vessel.node["a"]'] == "update"


def test_a_protected_object_keeps_its_machine(house: Any) -> None:
    kept = fleet().replace("uses     = thing.store[each.key]\n", "lifecycle { prevent_destroy = true }\n")
    house.done(kept)
    session = house.session(
        kept.replace('["a", "b"]', '["a"]').replace('name     = "node-${', 'shape = "x"\n  name = "node-${')
    )
    from hythe.planner.build import PlanOptions
    from hythe.planner.edge import make_plan

    outcome = make_plan(session, house.state, PlanOptions())
    found = [d for d in outcome.diagnostics if d.summary == "Instance cannot be destroyed"]
    assert {d.address for d in found} == {'thing.web["a"]', 'thing.web["b"]'}


def test_an_object_that_is_to_stay_keeps_its_machine(house: Any) -> None:
    from hythe.planner.build import PlanOptions
    from hythe.planner.edge import make_plan

    kept = fleet().replace("uses     = thing.store[each.key]\n", "lifecycle { destroy = false }\n")
    house.done(kept)
    less = kept.replace('["a", "b"]', '["a"]')
    for text in (less, less.partition('resource "thing" "web"')[0]):
        outcome = make_plan(house.session(text), house.state, PlanOptions())
        found = [d for d in outcome.diagnostics if d.is_error]
        assert [(d.summary, d.address) for d in found] == [("Instance cannot stay", 'thing.web["b"]')]
        assert "hythe state rm 'thing.web[\"b\"]'" in found[0].detail
    # what is not there any more holds nobody up
    house.world.remove('thing.web["b"]')
    house.done(less)
    house.done(kept)
    # a machine that is made anew would take it along
    moved = kept.replace('name     = "node-${', 'shape = "x"\n  name = "node-${')
    outcome = make_plan(house.session(moved), house.state, PlanOptions())
    assert {d.summary for d in outcome.diagnostics if d.is_error} == {"Instance cannot be replaced"}
    # without the machine it goes its own way
    house.world.calls.clear()
    house.done(kept.partition('resource "thing" "web"')[0] + kept[kept.index('output "where"') :])
    assert [line for line in house.log() if line.startswith("delete")] == []


def test_moving_off_a_machine_that_goes(house: Any) -> None:
    before = """\
    resource "vessel" "a" { name = "a" }
    resource "thing" "web" {
      host = vessel.a
      name = "web"
    }
    """
    house.done(before)
    house.world.unreachable.add("vessel.a")
    house.done('resource "thing" "web" { name = "web" }')
    assert house.log()[-2:] in (["delete vessel.a", "create thing.web"], ["create thing.web", "delete vessel.a"])
    house.check()


def test_machines_on_machines(house: Any) -> None:
    text = """\
    resource "vessel" "outer" {
      name = "outer"
    }
    resource "vessel" "inner" {
      host = vessel.outer
      name = "inner"
    }
    resource "thing" "web" {
      host = vessel.inner
      name = "web"
    }
    """
    house.done(text)
    house.world.calls.clear()
    house.done(text.replace('name = "outer"', 'name = "outer"\n shape = "x"'))
    assert house.log() == ["delete vessel.outer", "create vessel.outer", "create vessel.inner", "create thing.web"]
    house.done("")
    assert house.world.objects == {}


@pytest.mark.parametrize("phase", ["before", "middle", "after"])
@pytest.mark.parametrize("what", ["delete", "create"])
def test_killed_while_a_machine_is_replaced(house: Any, what: str, phase: str) -> None:
    house.done(fleet())
    house.world.inject(what, 'vessel.node["a"]', phase=phase, failure=RuntimeError("killed"))
    house.apply(fleet('shape = "round"'))
    house.done(fleet('shape = "round"'))
    house.check()


def test_what_was_left_open_on_a_machine_that_is_replaced(house: Any) -> None:
    house.done(fleet())
    more = fleet() + 'resource "thing" "extra" {\n  host = vessel.node["a"]\n  name = "extra"\n}\n'
    house.world.inject("create", "thing.extra", phase="after", failure=RuntimeError("killed"))
    house.apply(more)
    house.world.unreachable.add('vessel.node["a"]')
    house.world.on_step = lambda op, address, phase: house.world.unreachable.clear() if op == "delete" else None
    result = house.apply(more.replace('name     = "node-${each.key}"', 'name     = "node-${each.key}"\n  shape = "x"'))
    assert [d.summary for d in result.diagnostics] == []
    house.world.on_step = None
    house.done(more.replace('name     = "node-${each.key}"', 'name     = "node-${each.key}"\n  shape = "x"'))
    house.check()


def test_data_on_a_machine_that_is_not_there_is_read_once_it_is(house: Any) -> None:
    text = """\
    resource "vessel" "a" { name = "a" }
    resource "thing" "web" {
      host = vessel.a
      name = "web"
    }
    data "thing" "seen" {
      host       = vessel.a
      name       = "web"
      depends_on = [thing.web]
    }
    output "seen" { value = data.thing.seen.engine_id }
    """
    house.done(text)
    assert house.state.outputs["seen"].value == house.world.at("thing.web").engine_id


def test_a_call_that_fails_on_one_machine_leaves_the_other_alone(house: Any) -> None:
    house.world.inject("create", 'thing.store["a"]', failure=ProviderError())
    house.apply(fleet())
    assert 'create thing.web["b"]' in house.log()
    house.done(fleet())


def test_what_is_on_a_machine_that_is_started_is_looked_at_again(house: Any) -> None:
    from hythe.planner.containment import is_announced, to_look_at_again

    house.done(fleet())
    house.world.drift('vessel.node["a"]', running=False)
    house.world.remove('thing.web["a"]')
    session = house.session(fleet())
    first = house.outcome(session, house.state).plan
    assert to_look_at_again(first, session.registry) == ['vessel.node["a"]']
    house.apply(fleet())
    second = house.outcome(session, house.state).plan
    assert [(c.action.value, c.address) for c in second.actions] == [("create", 'thing.web["a"]')]
    assert is_announced(second, ['vessel.node["a"]'])
    assert not is_announced(second, ['vessel.node["b"]'])
    assert to_look_at_again(second, session.registry) == []


def test_a_restart_is_a_reason_to_look_again_and_a_removal_is_not_announced(house: Any) -> None:
    from hythe.planner.containment import is_announced, to_look_at_again

    house.done(fleet())
    session = house.session(fleet('color = "red"'))
    plan = house.outcome(session, house.state).plan
    assert to_look_at_again(plan, session.registry) == ['vessel.node["a"]', 'vessel.node["b"]']
    less = house.session(fleet().replace('name     = "web"', 'name     = "other"'))
    assert not is_announced(house.outcome(less, house.state).plan, ['vessel.node["a"]', 'vessel.node["b"]'])


def test_what_is_lost_with_a_machine_is_told_and_needs_no_leave_of_its_own(house: Any, monkeypatch: Any) -> None:
    from hythe.provider.memory_kinds import Thing
    from hythe.provider.protocol import Hint
    from hythe.provider.schema import Effect

    def hint(self: Any, path: Any, before: Any, after: Any, old: Any, new: Any) -> Any:
        return Hint(Effect.REPLACE, "content does not move with it", data_loss=True) if path == ("host",) else None

    monkeypatch.setattr(Thing, "hint", hint)
    house.done(fleet())
    session = house.session(fleet('shape = "round"'))
    plan = house.outcome(session, house.state).plan
    lost = {c.address for c in plan.changes if c.disruption.name == "DATA_LOSS"}
    assert {'thing.store["a"]', 'thing.web["a"]'} <= lost
