"""Settling: each pending operation is answered by what is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hythe.diagnostic import Diagnostic
from hythe.event import IntentProgress, IntentSettled
from hythe.provider.memory import MemoryHosts, MemoryObject, MemoryWorld
from hythe.provider.memory_kinds import MemoryKind, memory_kinds
from hythe.provider.protocol import Identity, Project
from hythe.provider.registry import Registry
from hythe.state.model import InstanceState, Intent, State
from hythe.state.settle import Settled, settle


class Scene:
    """A world, a state and what is open."""

    def __init__(self) -> None:
        self.world = MemoryWorld()
        self.state = State("line")
        self.events: list[Any] = []

    def object(self, id: str, address: str = "thing.a", *, complete: bool = True, **attributes: Any) -> InstanceState:
        """An object in the world; gives what the state would hold of it."""
        made = self.world.put("thing", f"n-{id}", **attributes)
        made.mark, made.complete = Identity("line", address, id), complete
        return InstanceState(address, id, "thing", dict(made.attributes))

    def settle(self, *pending: Intent, **more: Any) -> Settled:
        hosts: Any = MemoryHosts(self.world)
        registry = Registry(memory_kinds(self.world))
        project = Project("p", "s", "/")
        more = {"sink": self.events.append, **more}
        return settle(self.state, pending, registry, hosts, project=project, base_dir="/", **more)

    @property
    def outcomes(self) -> list[str]:
        return [e.outcome for e in self.events if isinstance(e, IntentSettled)]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def wanted(id: str = "new", address: str = "thing.a", **more: Any) -> InstanceState:
    return InstanceState(
        address, id, "thing", {"name": "x"}, sensitive=(("secret",),), dependencies=("thing.z",), **more
    )


def test_a_finished_creation_is_adopted(scene: Scene) -> None:
    there = scene.object("new", size=3)
    settled = scene.settle(Intent(1, "create", wanted()))
    made = settled.state.instances["thing.a"]
    assert made.attributes == there.attributes
    assert (made.tainted, made.dependencies, made.sensitive) == (False, ("thing.z",), (("secret",),))
    assert scene.outcomes == ["adopted"]
    assert not settled.pending
    assert scene.state.instances == {}, "only the result is changed"


def test_a_creation_cut_short_is_adopted_to_be_made_anew(scene: Scene) -> None:
    scene.object("new", complete=False)
    assert scene.settle(Intent(1, "create", wanted())).state.instances["thing.a"].tainted


def test_a_creation_that_never_happened_is_dropped(scene: Scene) -> None:
    settled = scene.settle(Intent(1, "create", wanted()))
    assert settled.state.instances == {}
    assert [r.seq for r in settled.results] == [1]
    assert scene.outcomes == ["dropped"]


def test_an_update_takes_what_is_there(scene: Scene) -> None:
    there = scene.object("a", size=5)
    scene.state.instances["thing.a"] = replace(there, attributes={"name": "x", "size": 4})
    settled = scene.settle(Intent(1, "update", replace(there, attributes={"size": 6})))
    assert settled.state.instances["thing.a"].attributes["size"] == 5


@pytest.mark.parametrize("op", ["delete", "deposed-delete"])
@pytest.mark.parametrize("there", [True, False])
def test_a_deletion(scene: Scene, op: str, there: bool) -> None:
    instance = scene.object("a")
    if op == "delete":
        scene.state.instances["thing.a"] = instance
    else:
        scene.state.deposed["a"] = instance
    if not there:
        scene.world.objects.clear()
    settled = scene.settle(Intent(1, op, instance))
    assert settled.state.is_empty is not there
    assert scene.outcomes == ["dropped" if there else "finished"]


@pytest.mark.parametrize("op", ["create", "swap"])
@pytest.mark.parametrize(
    ("new", "old", "current", "deposed"),
    [
        (None, True, "old", []),
        ("complete", True, "new", ["old"]),
        ("complete", False, "new", []),
        ("half", True, "old", ["new"]),
        ("half", False, "new", []),
        (None, False, "old", []),
    ],
)
def test_a_replacement(scene: Scene, op: str, new: str | None, old: bool, current: str, deposed: list[str]) -> None:
    before = scene.object("old")
    scene.state.instances["thing.a"] = before
    if not old:
        scene.world.objects.clear()
    if new:
        scene.object("new", complete=new == "complete")
    settled = scene.settle(Intent(1, op, wanted(), "old"))
    assert settled.state.instances["thing.a"].id == current
    assert sorted(settled.state.deposed) == deposed
    if new == "half":
        held = settled.state.deposed.get("new") or settled.state.instances["thing.a"]
        assert held.tainted


def test_what_cannot_be_looked_up_stays_open(scene: Scene) -> None:
    scene.world.unreachable.add("local")
    settled = scene.settle(Intent(1, "create", wanted()), Intent(2, "create", wanted("x", "gone.b")))
    assert [i.seq for i in settled.pending] == [1, 2]
    assert settled.results == []
    assert all(isinstance(d, Diagnostic) and not d.is_error for d in settled.diagnostics)
    assert {d.summary for d in settled.diagnostics} == {"Interrupted operation not settled"}


def test_a_missing_kind_keeps_it_open(scene: Scene) -> None:
    settled = scene.settle(Intent(1, "create", replace(wanted(), kind="elsewhere")))
    assert len(settled.pending) == 1
    assert "elsewhere" in settled.diagnostics[0].detail


def test_values_leave_nothing_open(scene: Scene) -> None:
    note = InstanceState("note.n", "n", "note", {"text": 1})
    scene.state.instances["note.n"] = note
    settled = scene.settle(Intent(1, "create", replace(note, id="m", address="note.m")), Intent(2, "delete", note))
    assert settled.state.instances == {}
    assert not settled.pending


def test_an_object_of_somebody_else_is_never_adopted(scene: Scene) -> None:
    scene.world.objects["e"] = MemoryObject("e", "thing", "local", "x", None, {"name": "x"}, True)
    assert scene.settle(Intent(1, "create", wanted())).state.instances == {}


class Late:
    """A clock that stands still but for sleeps; an object turns up after so many of them."""

    def __init__(self, scene: Scene, appears_after: int) -> None:
        self.scene, self.appears_after = scene, appears_after
        self.now, self.sleeps = 1000.0, 0

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.sleeps += 1
        if self.sleeps == self.appears_after:
            self.scene.object("new")

    def settle(self, intent: Intent, last_record: float | None) -> Settled:
        return self.scene.settle(intent, last_record=last_record, clock=lambda: self.now, sleep=self.sleep)


@pytest.fixture
def lagging(monkeypatch: pytest.MonkeyPatch) -> None:
    from hythe.provider.memory_kinds import Thing

    monkeypatch.setattr(Thing, "lag", 10.0)


@pytest.mark.usefixtures("lagging")
def test_what_the_engine_makes_after_the_kill_is_waited_for(scene: Scene) -> None:
    late = Late(scene, appears_after=3)
    settled = late.settle(Intent(1, "create", wanted()), last_record=late.now - 1)
    assert settled.state.instances["thing.a"].id == "new"
    assert late.sleeps == 3, "no longer than needed"


@pytest.mark.usefixtures("lagging")
@pytest.mark.parametrize(("op", "age", "waited"), [("create", 4, 6), ("create", -500, 10), ("delete", 1, 0)])
def test_the_wait_for_it_ends(scene: Scene, op: str, age: float, waited: float) -> None:
    late = Late(scene, appears_after=-1)
    began = late.now
    assert late.settle(Intent(1, op, wanted()), last_record=began - age).state.instances == {}
    assert late.now - began == waited


@pytest.mark.usefixtures("lagging")
@pytest.mark.parametrize("last_record", [None, 100.0])
def test_an_old_crash_needs_no_wait(scene: Scene, last_record: float | None) -> None:
    late = Late(scene, appears_after=1)
    assert late.settle(Intent(1, "create", wanted()), last_record).state.instances == {}
    assert not late.sleeps


def test_what_is_waited_for_is_told(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that still boots takes minutes to settle."""
    scene.object("new")
    find = MemoryKind.find

    def slow(self: Any, context: Any, requests: Any) -> Any:
        context.progress("thing.a", "waiting for it to boot")
        return find(self, context, requests)

    monkeypatch.setattr(MemoryKind, "find", slow)
    scene.settle(Intent(1, "create", wanted()))
    told = [e for e in scene.events if isinstance(e, (IntentProgress, IntentSettled))]
    assert [type(e) for e in told] == [IntentProgress, IntentSettled]
    assert told[0].text == "waiting for it to boot"
