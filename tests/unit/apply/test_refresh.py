"""Refreshing: in bulk per host and kind, nothing asked twice, nothing dropped."""

from __future__ import annotations

from typing import Any

from hythe.event import RefreshFinished
from hythe.planner.edge import project_of
from hythe.planner.refresh import Refreshed, Unreachable, refresh
from hythe.provider.protocol import Presence
from hythe.state.model import InstanceState

TEXT = """
resource "box" "b" { name = "b" }
resource "thing" "near" {
  count = 20
  name  = "near-${count.index}"
}
resource "thing" "far" {
  count = 5
  host  = box.b
  name  = "far-${count.index}"
}
resource "note" "n" { text = 1 }
"""


def read(house: Any, events: list[Any] | None = None, **more: Any) -> Refreshed:
    session = house.session(TEXT)
    house.world.calls.clear()
    return refresh(
        house.state,
        session.registry,
        session.hosts,
        project=project_of(session.config),
        base_dir="/nowhere/shop",
        sink=(events if events is not None else []).append,
        **more,
    )


def test_one_read_for_each_host_and_kind(house: Any) -> None:
    house.done(TEXT)
    events: list[Any] = []
    found = read(house, events)
    assert len(house.world.calls) == 3
    assert len(found.found) == 26
    assert sorted((e.host, e.kind, len(e.addresses)) for e in events if isinstance(e, RefreshFinished)) == [
        ("box.b", "thing", 5),
        ("local", "box", 1),
        ("local", "thing", 20),
    ]


def test_three_answers(house: Any) -> None:
    house.done(TEXT)
    house.world.remove("thing.near[0]")
    house.world.drift("thing.near[1]", size=3)
    house.world.unreachable.add("box.b")
    found = read(house)
    state = house.state

    def of(address: str) -> Any:
        return found.get(state.instances[address].id)

    assert of("thing.near[0]") is Presence.ABSENT
    assert of("thing.near[1]")["size"] == 3
    assert isinstance(of("thing.far[0]"), Unreachable)
    assert of("note.n") is None
    (lost,) = found.unreachable()
    assert lost.host == "box.b"
    assert lost.diagnostics[0].summary == "Host not reachable"


def test_targets_limit_what_is_read(house: Any) -> None:
    house.done(TEXT)
    assert len(read(house, targets={"thing.near[0]", "thing.far[1]"}).found) == 2


def test_a_bug_in_a_kind_leaves_its_objects_as_they_are(house: Any, monkeypatch: Any) -> None:
    from hythe.provider.memory_kinds import Thing

    house.done(TEXT)
    monkeypatch.setattr(Thing, "read_many", lambda *_: 1 / 0)
    found = read(house)
    assert isinstance(found.get(house.state.instances["thing.near[0]"].id), Unreachable)
    assert {d.summary for d in found.diagnostics} == {"Bug in a kind"}
    monkeypatch.setattr(Thing, "read_many", lambda *_: {})
    assert isinstance(read(house).get(house.state.instances["thing.near[0]"].id), Unreachable)


def test_objects_of_unknown_kinds_are_kept(house: Any) -> None:
    house.done(TEXT)
    loaded = house.store.read()
    loaded.state.instances["gone.x"] = InstanceState("gone.x", "id-x", "gone", {})
    house.store.write(loaded, loaded.state, "test")
    found = read(house)
    assert isinstance(found.get("id-x"), Unreachable)
    assert [d.summary for d in found.diagnostics] == ["Unknown kind in state"]
