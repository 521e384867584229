"""What is protected, whose kind is not there, or whose host is not told."""

from __future__ import annotations

from typing import Any

from hythe.planner.plan import Action, Mode
from hythe.provider.protocol import Presence
from hythe.value import Reference

PROTECTED = """
resource "part" "a" {
  color = "red"
  lifecycle {
    prevent_destroy = true
  }
}
"""


def test_the_configuration_decides_on_prevent_destroy(planner: Any) -> None:
    made_before_it_was_said = planner.state(a={"color": "red"})
    assert planner.errors(PROTECTED, made_before_it_was_said, mode=Mode.DESTROY) == ["Instance cannot be destroyed"]
    protected = planner.state(a={"color": "red", "_": {"prevent_destroy": True}})
    assert planner.plan(PROTECTED.replace("true", "false"), protected, mode=Mode.DESTROY) == [
        "delete       part.a - everything is destroyed"
    ]


def test_what_a_skipped_object_uses_stays_too(planner: Any) -> None:
    state = planner.state(
        far={"_": {"kind": "site"}},
        base={},
        a={"color": "red", "_": {"dependencies": ("part.base",), "host": "site.far"}},
        user={"_": {"dependencies": ("part.a",)}},
    )
    assert planner.plan(PROTECTED, state, mode=Mode.DESTROY, skip_protected=True) == [
        "delete       part.user - everything is destroyed"
    ]
    warned = [d.detail for d in planner.result.diagnostics]
    assert warned[0].startswith("part.a would be destroyed")
    assert [w for w in warned if "part.a uses it" in w]


def test_users_of_a_skipped_replacement_stay(planner: Any) -> None:
    user = {"uses": Reference("part", "part.a", "id-a"), "_": {"dependencies": ("part.a",)}}
    state = planner.state(a={"color": "blue"}, user=user)
    text = PROTECTED + 'resource "part" "user" {\n  uses = part.a\n}\n'
    assert len(planner.build(text, state).changes) == 2
    assert planner.plan(text, state, skip_protected=True) == []


def test_objects_of_kinds_that_are_gone_are_kept(planner: Any) -> None:
    state = planner.state(a={"_": {"kind": "vanished"}})
    assert planner.plan("", state) == []
    assert planner.plan("", state, mode=Mode.DESTROY) == []
    assert planner.change("vanished.a").action is Action.NOOP


def test_a_host_that_is_not_told_yet_is_refused(planner: Any) -> None:
    text = """
    resource "site" "one" {
    }
    resource "site" "two" {
    }
    resource "part" "a" {
      host = site.one.id == "x" ? site.one : site.two
    }
    """
    assert planner.errors(text) == ["Host not known"]
    assert planner.errors(text.replace('site.one.id == "x"', "true")) == []


def test_a_host_waits_for_what_is_on_it(planner: Any) -> None:
    state = planner.state(far={"_": {"kind": "site"}}, a={"_": {"host": "site.far"}})
    planner.build("", state)
    assert planner.change("site.far").depends_on == ("part.a",)


TRIGGER = """
resource "part" "a" {
  for_each = toset(["size", "key"])
  size     = 2
  labels   = { x = "1" }
}
resource "unit" "b" {
  for_each = toset(["size", "key"])
  lifecycle {
    replace_triggered_by = [TRIGGER]
  }
}
"""


def test_triggers_look_at_the_argument_they_name(planner: Any) -> None:
    state = planner.state(
        s={"size": 1, "labels": {"x": "1"}, "_": {"address": 'part.a["size"]'}},
        k={"size": 2, "labels": {"x": "0"}, "_": {"address": 'part.a["key"]'}},
        us={"_": {"address": 'unit.b["size"]', "kind": "unit"}},
        uk={"_": {"address": 'unit.b["key"]', "kind": "unit"}},
    )

    def replaced(trigger: str) -> list[str]:
        planner.plan(TRIGGER.replace("TRIGGER", trigger), state)
        return [c.address for c in planner.result.changes if c.action is Action.REPLACE]

    assert replaced('part.a["key"]') == ['unit.b["key"]', 'unit.b["size"]']
    assert replaced('part.a["size"].labels') == []
    assert replaced("part.a[each.key].labels") == ['unit.b["key"]']
    assert replaced('part.a["size"].revision') == ['unit.b["key"]', 'unit.b["size"]']
    assert replaced("part.a") == ['unit.b["key"]', 'unit.b["size"]']


def test_unset_and_empty_lists_are_the_same_both_ways(planner: Any) -> None:
    assert planner.plan('resource "part" "a" {\n}\n', planner.state(a={"flags": []})) == []
    assert planner.plan('resource "part" "a" {\n  flags = []\n}\n', planner.state(a={})) == []


def test_parts_of_what_was_never_complete_are_removed_too(planner: Any) -> None:
    # a VM's disk without the VM: reading finds nothing, and removing does
    text = 'resource "part" "a" { name = "a" }'
    state = planner.state(a={"name": "a", "_": {"tainted": True}})
    gone = {"part.a": Presence.ABSENT}
    assert planner.plan(text, state, world=gone) == [
        "replace      part.a - its creation did not complete, so it is made anew"
    ]
    (line,) = planner.plan("", state, world=gone)
    assert line.startswith("delete       part.a")
