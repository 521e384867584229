"""What --target and --exclude take along and leave alone."""

from __future__ import annotations

from typing import Any

from hythe.planner.plan import Mode

CHAIN = """
resource "part" "base" {
  size = 2
}
resource "part" "web" {
  uses = part.base
  size = 2
}
"""


def chain_state(planner: Any) -> Any:
    from hythe.value import Reference

    base = Reference("part", "part.base", "id-base")
    return planner.state(base={"size": 1}, web={"size": 1, "uses": base, "_": {"dependencies": ("part.base",)}})


def test_a_target_leaves_its_users_alone(planner: Any) -> None:
    assert planner.plan(CHAIN, chain_state(planner), targets=("part.base",)) == [
        "update       part.base - size changes"
    ]


def test_a_target_brings_along_what_it_uses(planner: Any) -> None:
    assert len(planner.plan(CHAIN, chain_state(planner), targets=("part.web",))) == 2


def test_destroying_a_target_takes_its_users_along_but_not_what_it_uses(planner: Any) -> None:
    state = chain_state(planner)
    assert len(planner.plan(CHAIN, state, mode=Mode.DESTROY, targets=("part.base",))) == 2
    assert planner.plan(CHAIN, state, mode=Mode.DESTROY, targets=("part.web",)) == [
        "delete       part.web - everything is destroyed"
    ]


def test_destroying_all_but_one_keeps_what_it_uses(planner: Any) -> None:
    state = chain_state(planner)
    assert planner.plan(CHAIN, state, mode=Mode.DESTROY, excludes=("part.web",)) == []
    assert planner.plan(CHAIN, state, mode=Mode.DESTROY, excludes=("part.base",)) == [
        "delete       part.web - everything is destroyed"
    ]


def test_what_is_removed_waits_for_a_target_of_its_own(planner: Any) -> None:
    state = chain_state(planner)
    state.instances.update(planner.state(old={"_": {"dependencies": ("part.base",)}}).instances)
    assert planner.plan(CHAIN, state, targets=("part.base",)) == ["update       part.base - size changes"]
    assert planner.plan(CHAIN, state, targets=("part.old",)) == [
        "delete       part.old - it is no longer in the configuration"
    ]


KEYED = """
resource "part" "base" {
  for_each = toset(["x", "y"])
  size     = 2
}
resource "part" "web" {
  for_each = part.base
  labels   = { base = each.value.id }
}
output "ids" {
  value = [for b in part.base : b.id]
}
"""


def keyed_state(planner: Any, *keys: str) -> Any:
    made = {k: {"size": 1, "_": {"address": f'part.base["{k}"]'}} for k in keys}
    return planner.state(**made)


def test_excluding_one_instance_excludes_its_users_only(planner: Any) -> None:
    state = keyed_state(planner, "x", "y")
    assert planner.plan(KEYED, state, excludes=('part.base["x"]',)) == [
        'update       part.base["y"] - size changes',
        'create       part.web["y"]',
    ]
    assert planner.result.outputs[0].after == ["x", "y"]


def test_outputs_that_rest_on_what_is_left_out_stay_as_they_are(planner: Any) -> None:
    planner.build(KEYED, excludes=('part.base["x"]',))
    assert planner.result.outputs == []
    planner.build(KEYED, targets=('part.base["x"]',))
    assert planner.result.outputs == []


def test_targeting_one_instance_shows_the_others_as_they_are(planner: Any) -> None:
    text = KEYED + 'resource "part" "sum" {\n  labels = { ids = join(",", [for b in part.base : b.id]) }\n}\n'
    state = keyed_state(planner, "x", "y")
    state.instances.update(planner.state(sum={"labels": {"ids": "x,y"}}).instances)
    assert planner.plan(text, state, targets=('part.base["x"]', "part.sum")) == [
        'update       part.base["x"] - size changes'
    ]


def test_a_target_among_many_leaves_the_others_unevaluated(planner: Any) -> None:
    text = """
    resource "part" "base" {
      for_each = toset([for n in range(500) : tostring(n)])
      size     = each.key == "77" ? 1 : tonumber("not to be evaluated")
    }
    """
    assert planner.plan(text, targets=('part.base["77"]',)) == ['create       part.base["77"]']
