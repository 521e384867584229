"""Applying plans to a world in memory: every action, in the right order."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from hythe.event import OperationFailed
from hythe.planner.plan import Mode

TWO = """
resource "thing" "base" {
  name  = "base"
  shape = "round"
}
resource "thing" "top" {
  name = "top"
  uses = thing.base
  size = thing.base.revision
}
output "top" { value = thing.top.engine_id }
"""


def order(log: list[str], *wanted: str) -> None:
    assert [entry for entry in log if entry in wanted] == list(wanted)


def test_creation_follows_references(house: Any) -> None:
    result = house.done(TWO)
    assert house.log() == ["create thing.base", "create thing.top"]
    assert house.world.summary() == {"base": "thing.base", "top": "thing.top"}
    state = house.state
    assert state.instances["thing.top"].dependencies == ("thing.base",)
    assert state.instances["thing.top"].attributes["size"] == 1
    assert state.outputs["top"].value == state.instances["thing.top"].attributes["engine_id"]
    assert result.counts == {"create": 2}
    assert house.told()[-1] == "finished create thing.top"
    house.check()


def test_destroying_goes_backwards(house: Any) -> None:
    house.done(TWO)
    house.done(TWO, mode=Mode.DESTROY)
    assert house.log()[2:] == ["delete thing.top", "delete thing.base"]
    assert house.world.objects == {}
    assert house.state.is_empty


def test_replacement_deletes_users_first(house: Any) -> None:
    house.done(TWO)
    house.done(TWO.replace("round", "square"))
    assert house.log()[2:] == ["delete thing.top", "delete thing.base", "create thing.base", "create thing.top"]
    house.check()


def test_what_is_no_longer_declared_goes_after_its_users(house: Any) -> None:
    house.done(TWO)
    house.done('resource "thing" "top" {\n name = "top"\n size = 1\n}\noutput "top" { value = 1 }')
    order(house.log(), "delete thing.top", "delete thing.base")
    house.check()


def test_update_in_place_and_with_restart(house: Any) -> None:
    house.done('resource "thing" "a" { size = 1 }')
    house.done('resource "thing" "a" {\n size = 2.5\n color = "red"\n tags = ["b", "a"]\n}')
    assert house.log() == ["create thing.a", "update thing.a"]
    assert house.state.instances["thing.a"].attributes["tags"] == ["b", "a"]
    assert house.plan('resource "thing" "a" {\n size = 2.5\n color = "red"\n tags = ["a", "b"]\n}') == ""


def test_drift_is_mended(house: Any) -> None:
    text = 'resource "thing" "a" { size = 1 }'
    house.done(text)
    house.world.drift("thing.a", size=7)
    house.done(text)
    assert house.world.at("thing.a").attributes["size"] == 1
    house.world.remove("thing.a")
    house.done(text)
    assert house.log() == ["create thing.a", "update thing.a", "create thing.a"]
    house.check()


def test_refresh_only_takes_over_what_is_there(house: Any) -> None:
    text = 'resource "thing" "a" { size = 1 }\nresource "thing" "b" { size = 1 }'
    house.done(text)
    house.world.drift("thing.a", size=7)
    house.world.remove("thing.b")
    result = house.apply(text, mode=Mode.REFRESH_ONLY)
    assert result.complete
    assert house.state.instances["thing.a"].attributes["size"] == 7
    assert "thing.b" not in house.state.instances
    assert sorted(house.log()) == ["create thing.a", "create thing.b"]


def test_refreshed_values_are_kept_without_a_change(house: Any) -> None:
    text = 'resource "thing" "a" { size = 1 }'
    house.done(text)
    house.world.drift("thing.a", revision=9)
    house.apply(text)
    assert house.state.instances["thing.a"].attributes["revision"] == 9


def test_created_before_destroyed_by_swap(house: Any) -> None:
    text = """
    resource "swing" "a" {
      name  = "a"
      shape = "round"
      lifecycle { create_before_destroy = true }
    }
    resource "thing" "user" {
      name = "user"
      peer = swing.a
    }
    """
    house.done(text)
    house.done(text.replace("round", "square"))
    assert house.log()[2:] == ["swap swing.a", "update thing.user"]
    assert sorted(house.world.summary()) == ["a", "user"]
    house.check()


def test_created_before_destroyed_under_another_name(house: Any) -> None:
    text = """
    resource "thing" "a" {
      name = "one"
      lifecycle { create_before_destroy = true }
    }
    resource "thing" "user" { peer = thing.a }
    """
    house.done(text)
    house.done(text.replace("one", "two"))
    assert house.log()[2:] == ["create thing.a", "update thing.user", "delete thing.a"]
    assert house.state.deposed == {}
    house.check()


def test_an_old_object_that_could_not_be_removed_goes_next_time(house: Any) -> None:
    text = """
    resource "thing" "a" {
      name = "one"
      lifecycle { create_before_destroy = true }
    }
    """
    house.done(text)
    house.world.inject("delete", "thing.a")
    assert not house.apply(text.replace("one", "two")).complete
    assert len(house.state.deposed) == 1
    house.done(text.replace("one", "two"))
    assert house.state.deposed == {}
    house.check()


def test_an_object_takes_over_a_name_when_it_is_free(house: Any) -> None:
    house.done('resource "thing" "a" { name = "web" }')
    house.done('resource "thing" "b" { name = "web" }')
    assert house.log() == ["create thing.a", "delete thing.a", "create thing.b"]
    house.check()


def test_a_name_that_is_not_ours_is_left_alone(house: Any) -> None:
    house.world.put("thing", "web")
    result = house.apply('resource "thing" "a" { name = "web" }')
    assert [d.summary for d in result.diagnostics] == ["Name already taken"]
    assert house.world.summary() == {"web": ""}
    assert house.state.instances == {}


FAN = """
resource "thing" "a" { name = "a" }
resource "thing" "b" {
  name = "b"
  uses = thing.a
}
resource "thing" "c" {
  name = "c"
  uses = thing.b
}
resource "thing" "other" { name = "other" }
"""


def test_a_failure_lets_the_rest_finish_and_skips_what_needs_it(house: Any) -> None:
    house.world.inject("create", "thing.a")
    result = house.apply(FAN)
    assert [d.summary for d in result.diagnostics] == ["Injected failure"]
    assert result.diagnostics[0].address == "thing.a"
    assert house.world.summary() == {"other": "thing.other"}
    told = house.told()
    assert "skipped create thing.b because thing.a" in told
    assert any(t.startswith("skipped create thing.c because thing.") for t in told)
    assert result.counts == {"create": 1, "failed": 1, "skipped": 2}
    house.done(FAN)
    house.check()


def test_what_was_made_in_part_is_made_anew(house: Any) -> None:
    house.world.inject("create", "thing.a", phase="middle")
    house.apply(FAN)
    assert house.state.instances["thing.a"].tainted
    assert house.plan(FAN).startswith("replace")
    house.done(FAN)
    assert not house.state.instances["thing.a"].tainted
    house.check()


def test_a_bug_in_a_kind_is_a_diagnostic_and_settled_next_time(house: Any) -> None:
    house.world.inject("create", "thing.a", phase="after", failure=ZeroDivisionError("oops"))
    result = house.apply(FAN)
    (found,) = result.diagnostics
    assert found.summary == "Bug in a kind"
    assert "thing" in found.detail
    assert "oops" in found.detail
    assert len(house.store.read().pending) == 1
    house.done(FAN)
    assert "settled thing.a: adopted" in house.told()
    assert house.log().count("create thing.a") == 1
    house.check()


def test_an_unreachable_host_keeps_what_is_on_it(house: Any) -> None:
    text = """
    resource "box" "far" { name = "far" }
    resource "thing" "there" {
      host = box.far
      name = "there"
      size = %d
    }
    resource "thing" "here" {
      name = "here"
      size = %d
    }
    """
    house.done(text % (1, 1))
    house.world.unreachable.add("box.far")
    result = house.apply(text % (2, 2))
    assert result.complete
    assert any(d.summary == "Host not reachable" for d in house.diagnostics)
    assert house.state.instances["thing.there"].attributes["size"] == 1
    assert house.world.at("thing.here").attributes["size"] == 2
    house.world.unreachable.clear()
    house.done(text % (2, 2))
    assert house.world.at("thing.there").attributes["size"] == 2
    house.check()


def test_what_is_on_a_host_goes_before_it(house: Any) -> None:
    text = 'resource "box" "b" { name = "b" }\nresource "thing" "t" { host = box.b }'
    house.done(text)
    house.done("")
    assert house.log() == ["create box.b", "create thing.t", "delete thing.t", "delete box.b"]


def test_a_host_lost_during_a_call_leaves_the_operation_open(house: Any) -> None:
    from hythe.diagnostic import error
    from hythe.provider.protocol import HostUnreachable

    lost = HostUnreachable(error("Connection lost", "It broke."))
    house.world.inject("create", "thing.a", phase="after", failure=lost)
    house.apply(FAN)
    assert [i.instance.address for i in house.store.read().pending] == ["thing.a"]
    house.done(FAN)
    assert house.log().count("create thing.a") == 1
    house.check()


def test_an_open_creation_that_cannot_be_settled_is_not_repeated(house: Any) -> None:
    text = 'resource "box" "b" { name = "b" }\nresource "thing" "t" { host = box.b }'
    house.done('resource "box" "b" { name = "b" }')
    house.world.inject("create", "thing.t", phase="after", failure=ZeroDivisionError())
    house.apply(text)
    house.world.unreachable.add("box.b")
    result = house.apply(text)
    assert [d.summary for d in result.diagnostics] == ["Interrupted operation not settled"]
    house.world.unreachable.clear()
    house.done(text)
    assert house.log().count("create thing.t") == 1
    house.check()


def test_limits_hold(house: Any) -> None:
    house.world.latency = 0.01
    house.done('resource "thing" "many" {\n count = 30\n name = "n${count.index}"\n}')
    assert house.world.peak["local", "thing"] == 4, "the kind allows four"
    house.parallelism = 2
    house.done("")
    assert house.world.peak["local", "thing"] == 4
    house.world.peak.clear()
    house.done('resource "thing" "many" {\n count = 10\n name = "n${count.index}"\n}')
    assert house.world.peak["local", "thing"] == 2


def test_secrets_that_must_not_be_stored_are_not(house: Any) -> None:
    house.done('resource "thing" "a" {\n token = "t0ken"\n secret = "s3cret"\n}')
    instance = house.state.instances["thing.a"]
    assert "token" not in instance.attributes
    assert ("secret",) in instance.sensitive
    for path in house.folder.iterdir():
        assert b"t0ken" not in path.read_bytes()


def test_notes_need_no_call_and_keep_order(house: Any) -> None:
    text = 'resource "note" "n" {\n count = 300\n text = count.index\n}\noutput "n" { value = note.n[299].copied }'
    result = house.done(text)
    assert result.counts == {"create": 300}
    assert house.state.outputs["n"].value == 299
    house.done("")
    assert house.state.is_empty


def press(house: Any, *flags: threading.Event) -> None:
    """Ctrl-C while thing.a is being made."""

    def step(op: str, address: str, phase: str) -> None:
        if (op, address, phase) == ("create", "thing.a", "after"):
            for flag in flags:
                flag.set()

    house.world.on_step = step


def test_interrupted_once_finishes_what_runs(house: Any) -> None:
    press(house, house.stop.soft)
    result = house.apply(FAN)
    assert result.interrupted
    assert not result.complete
    assert "thing.a" in house.state.instances
    assert "skipped create thing.b because interrupted" in house.told()
    house.world.on_step = None
    house.stop.soft.clear()
    house.done(FAN)
    house.check()


@pytest.mark.parametrize("deaf", [False, True])
def test_interrupted_twice_stops_at_once_and_settles_later(house: Any, deaf: bool) -> None:
    gate = threading.Event()
    house.world.inject("create", "thing.a", phase="after", hang=gate, deaf=deaf)
    press(house, house.stop.soft, house.stop.hard)
    result = house.apply(FAN)
    gate.set()
    assert result.interrupted
    assert [i.instance.address for i in house.store.read().pending] == ["thing.a"]
    assert any(isinstance(e, OperationFailed) for e in house.events)
    house.world.on_step = None
    house.stop.soft.clear()
    house.stop.hard.clear()
    house.done(FAN)
    assert house.log().count("create thing.a") == 1
    house.check()


def test_a_plan_that_is_out_of_date_is_refused(house: Any) -> None:
    session = house.session(FAN)
    loaded = house.store.read()
    plan = house.outcome(session, loaded.state).plan
    house.done('resource "thing" "x" { name = "x" }')
    result = house.apply_plan(session, plan, house.store.read())
    assert [d.summary for d in result.diagnostics] == ["Plan is for another state"]
    loaded = house.store.read()
    plan = house.outcome(session, loaded.state).plan
    house.done('resource "thing" "y" { name = "y" }')
    result = house.apply_plan(session, plan, house.store.read())
    assert [d.summary for d in result.diagnostics] == ["Plan is out of date"]
    assert "thing.a" not in house.state.instances


def test_an_unknown_that_comes_out_the_same_changes_nothing(house: Any) -> None:
    text = """
    resource "thing" "a" {
      name = "a"
      size = %d
    }
    resource "note" "n" { text = thing.a.revision > 0 ? "yes" : "no" }
    """
    house.done(text % 1)
    result = house.apply(text % 2)
    assert result.diagnostics == []
    assert result.counts == {"update": 1}
    assert house.plan(text % 2) == ""


def test_a_full_disk_stops_what_is_not_begun(house: Any) -> None:
    import errno

    full = threading.Event()

    def step(name: str) -> None:
        if full.is_set() and name in ("sync journal", "write snapshot"):
            raise OSError(errno.ENOSPC, "No space left on device")

    house.files._on_step = step
    house.world.on_step = lambda op, address, phase: full.set() if (address, phase) == ("thing.a", "after") else None
    house.parallelism = 1
    result = house.apply(FAN)
    assert {d.summary for d in result.diagnostics} >= {"State cannot be written", "State not written"}
    assert "thing.b" not in {o.mark.address for o in house.world.objects.values()}
    full.clear()
    house.world.on_step = None
    house.done(FAN)
    assert house.log().count("create thing.a") == 1
    house.check()
