"""Objects that get new addresses: nothing happens to them but that."""

from __future__ import annotations

from typing import Any

import pytest

ONE = """
resource "thing" "a" {
  name  = "first"
}
resource "thing" "user" {
  name  = "user"
  peer  = thing.a
}
"""


def _moved(*pairs: tuple[str, str]) -> str:
    return "".join(f"moved {{\n  from = {old}\n  to = {new}\n}}\n" for old, new in pairs)


def _ids(house: Any) -> dict[str, str]:
    return {a: i.id for a, i in house.state.instances.items()}


def test_a_move_changes_the_address_alone(house: Any) -> None:
    house.apply(ONE)
    before = _ids(house)
    text = ONE.replace('"thing" "a"', '"thing" "b"').replace("= thing.a", "= thing.b")
    text += _moved(("thing.a", "thing.b"))
    assert house.plan(text) == "move         thing.a -> thing.b"
    log = house.log()
    assert house.apply(text).complete
    assert _ids(house) == {"thing.b": before["thing.a"], "thing.user": before["thing.user"]}
    assert house.state.instances["thing.user"].dependencies == ("thing.b",)
    assert house.log() == log
    assert house.plan(text) == ""


def test_chains_end_where_they_lead(house: Any) -> None:
    house.apply('resource "thing" "a" {\n  name = "first"\n}')
    before = _ids(house)["thing.a"]
    chain = _moved(("thing.b", "thing.c"), ("thing.a", "thing.b"), ("thing.c", 'thing.d["k"]'))
    text = 'resource "thing" "d" {\n  for_each = toset(["k"])\n  name = "first"\n}\n' + chain
    assert house.plan(text) == 'move         thing.a -> thing.d["k"]'
    house.apply(text)
    assert _ids(house) == {'thing.d["k"]': before}


def test_a_circle_is_refused(house: Any) -> None:
    from hythe.planner.build import PlanOptions
    from hythe.planner.edge import make_plan

    text = _moved(("thing.a", "thing.b"), ("thing.b", "thing.a"))
    outcome = make_plan(house.session(text), house.store.read().state, PlanOptions())
    assert [d.summary for d in outcome.diagnostics if d.is_error] == ["Cyclic moves"]
    assert outcome.plan is None


def test_a_place_that_is_taken_is_left_alone(house: Any) -> None:
    house.apply(ONE)
    text = 'resource "thing" "user" {\n  name  = "user"\n}\n'
    plan = house.plan(text + _moved(("thing.a", "thing.user")))
    assert "delete       thing.a" in plan
    assert "move" not in plan.replace("removed", "")
    assert [d.summary for d in house.diagnostics] == ["Object not moved"]


@pytest.mark.parametrize("forth", [True, False])
def test_count_keeps_the_object(house: Any, forth: bool) -> None:
    single = 'resource "thing" "a" {\n  name = "first"\n}'
    counted = single.replace("name", "count = 1\n  name")
    first, second = (single, counted) if forth else (counted, single)
    house.apply(first)
    before = list(_ids(house).values())
    old, new = ("thing.a", "thing.a[0]") if forth else ("thing.a[0]", "thing.a")
    assert house.plan(second) == f"move         {old} -> {new}"
    house.apply(second)
    assert list(_ids(house).values()) == before
    assert house.plan(second) == ""


def test_a_move_that_is_killed_is_there_or_not(memory_house: Any, doom: Any) -> None:
    """Killed at every boundary: whoever mentions the object has its new address just when it has it."""
    text = ONE.replace('"thing" "a"', '"thing" "b"').replace("= thing.a", "= thing.b")
    text += _moved(("thing.a", "thing.b"))
    seen = set()
    for at in range(1, 40):
        house = memory_house()
        house.apply(ONE)
        before = sorted(_ids(house).values())
        fate = doom(house, at)
        house.apply(text)
        left = fate.lift()
        if left is None:
            break
        left.sound()
        seen.add(tuple(_ids(left)))
        assert left.apply(text).complete
        assert sorted(_ids(left).values()) == before
        assert left.plan(text) == ""
        assert left.state.instances["thing.user"].dependencies == ("thing.b",)
    assert at > 10
    assert seen == {("thing.a", "thing.user"), ("thing.user", "thing.b")}


VESSEL = """
resource "vessel" "v" { name = "v" }
resource "thing" "in" {
  name = "in"
  host = vessel.v
}
"""


def _killed_after(memory_house: Any, doom: Any, op: str) -> Any:
    """What is left of a run that was killed right after that was done to the thing."""
    at = 0
    for _ in range(500):
        at += 1
        house = memory_house()
        if op == "delete":
            house.done(VESSEL)
        fate = doom(house, at)
        house.apply(VESSEL if op == "create" else VESSEL.partition('resource "thing"')[0])
        left = fate.lift()
        if left is None:
            # threads take turns in another way each time, so the place may have been passed over
            at = 0
        elif fate.label == f"{op} thing.in after":
            return left
    raise AssertionError("it was never killed there")


def test_what_was_left_open_moves_along(memory_house: Any, doom: Any) -> None:
    """A machine that gets another address while nobody knows what became of an operation on it."""
    for op in ("create", "delete"):
        left = _killed_after(memory_house, doom, op)
        assert [i.op for i in left.store.read().pending] == [op]
        moved = VESSEL.replace('"vessel" "v"', '"vessel" "w"').replace("= vessel.v", "= vessel.w")
        moved = moved.replace('"thing" "in"', '"thing" "inside"')
        moved += _moved(("vessel.v", "vessel.w"), ("thing.in", "thing.inside"))
        left.world.unreachable |= {"vessel.v", "vessel.w"}
        left.apply(moved)
        assert [i.instance.host for i in left.store.read().pending] == ["vessel.w"]
        left.world.unreachable.clear()
        left.done(moved)
        left.check()
        assert sorted(left.world.summary()) == ["in", "v"]


MODULE = """
#> m/main.hcl
resource "thing" "x" { name = "x" }
"""


def test_into_a_module_and_on_from_there(house: Any) -> None:
    house.apply('resource "thing" "x" { name = "x" }')
    made = house.state.instances["thing.x"].id
    call = 'module "m" {\n source = "./m"\n %s\n}\n'
    moved = "moved {\n from = %s\n to = %s\n}\n"
    into = moved % ("thing.x", "module.m.thing.x")
    house.apply(call % "" + into + MODULE)
    assert {a: i.id for a, i in house.state.instances.items()} == {"module.m.thing.x": made}
    keyed = into + moved % ("module.m", 'module.m["a"]')
    house.apply(call % 'for_each = toset(["a"])' + keyed + MODULE)
    assert {a: i.id for a, i in house.state.instances.items()} == {'module.m["a"].thing.x': made}
    renamed = keyed + moved % ('module.m["a"]', 'module.n["a"]')
    house.apply('module "n" {\n source = "./m"\n for_each = toset(["a"])\n}\n' + renamed + MODULE)
    assert {a: i.id for a, i in house.state.instances.items()} == {'module.n["a"].thing.x': made}


def test_inside_a_module_that_is_there_twice(house: Any) -> None:
    call = 'module "m" {\n source = "./m"\n count = 2\n}\n#> m/main.hcl\n'
    house.apply(call + 'resource "thing" "x" { }')
    ids = [house.state.instances[f"module.m[{n}].thing.x"].id for n in range(2)]
    house.apply(call + 'resource "thing" "y" {\n count = 1\n}\nmoved {\n from = thing.x\n to = thing.y[0]\n}\n')
    assert [house.state.instances[f"module.m[{n}].thing.y[0]"].id for n in range(2)] == ids


def test_a_removed_module_is_let_go_of(house: Any) -> None:
    house.apply('module "m" {\n source = "./m"\n}\n' + MODULE)
    house.apply("removed {\n from = module.m\n}\n")
    assert not house.state.instances
    assert len(house.world.objects) == 1
