"""Killed at any instant, Hythe goes on from there: no orphan, no duplicate, nothing missing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from hythe.provider.memory import MemoryWorld

BEFORE = """
resource "box" "b" { name = "b" }
resource "thing" "base" {
  name  = "base"
  host  = box.b
  shape = "round"
}
resource "thing" "user" {
  name = "user"
  host = box.b
  uses = thing.base
  size = 1
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
resource "note" "n" { text = thing.user.engine_id }
"""
AFTER = (
    BEFORE.replace("round", "square")
    .replace('"one"', '"two"')
    .replace("size = 1", "size = 2")
    .replace('"thing" "old" { name = "old" }', '"thing" "new" { name = "new" }')
)


FLEET = """
resource "vessel" "v" {
  name  = "v"
  shape = "round"
}
resource "thing" "in" {
  name = "in"
  host = vessel.v
}
resource "swing" "by" {
  name = "by"
  host = vessel.v
  lifecycle { create_before_destroy = true }
}
resource "thing" "outside" {
  name   = "outside"
  secret = thing.in.engine_id
}
"""
OTHER = FLEET.replace("round", "square").replace("host = vessel.v\n  lifecycle", "lifecycle")


class Kills:
    """Copies of disk and world at every boundary of an apply: what a kill there would leave."""

    def __init__(self, house: Any, target: Path) -> None:
        self.house, self.target = house, target
        self.copies: list[tuple[str, Path, MemoryWorld]] = []
        self._synced = 0
        house.files._on_step = self._disk
        house.world.on_step = lambda op, address, phase: self._copy(f"{op} {address} {phase}")

    def _disk(self, step: str) -> None:
        with self.house.world.mutex:
            self._copy(step)
            journal = Path(self.house.files.journal)
            size = journal.stat().st_size if journal.exists() else 0
            if step == "sync journal" and size > self._synced:
                # power fails before the sync: some of the write is there
                copy = self._copy(f"{step}, torn")
                with open(copy / journal.name, "r+b") as file:
                    file.truncate((self._synced + size) // 2)
            if step == "journal synced":
                self._synced = size
            elif step == "open journal":
                self._synced = 0

    def _copy(self, label: str) -> Path:
        folder = self.target / f"kill-{len(self.copies)}"
        shutil.copytree(self.house.folder, folder)
        self.copies.append((label, folder, self.house.world.fork()))
        return folder


def names(world: MemoryWorld) -> list[str]:
    return sorted(world.summary())


@pytest.mark.parametrize("parallelism", [1, 4])
@pytest.mark.parametrize(
    ("prior", "text"),
    [("", BEFORE), (BEFORE, AFTER), (AFTER, ""), ("", FLEET), (FLEET, OTHER), (OTHER, "")],
    ids=["create", "change", "destroy", "create machine", "replace machine", "destroy machine"],
)
def test_killed_at_every_boundary(tmp_path: Path, new_house: Any, prior: str, text: str, parallelism: int) -> None:
    live = tmp_path / "live"
    live.mkdir()
    house = new_house(live)
    house.parallelism = parallelism
    if prior:
        house.done(prior)
    kills = Kills(house, tmp_path)
    result = house.apply(text)
    assert result.diagnostics == []
    expected = names(house.world)
    assert len(kills.copies) > 15
    for label, folder, world in kills.copies:
        again = new_house(folder, world)
        result = again.apply(text)
        assert result.diagnostics == [], label
        assert names(world) == expected, label
        assert again.plan(text) == "", label
        again.check()
        assert not again.store.read().pending, label


def test_what_was_never_made_keeps_its_id(tmp_path: Path, new_house: Any) -> None:
    """So that what an engine makes late is known for what it is."""
    (tmp_path / "live").mkdir()
    house = new_house(tmp_path / "live")
    kills = Kills(house, tmp_path)
    house.apply('resource "thing" "a" { name = "a" }')
    begun = [(folder, world) for label, folder, world in kills.copies if "torn" not in label and not world.objects]
    kept = 0
    for folder, world in begun:
        again = new_house(folder, world)
        pending = [i.instance.id for i in again.store.read().pending]
        again.done('resource "thing" "a" { name = "a" }')
        if pending:
            kept += 1
            assert [again.state.instances["thing.a"].id] == pending
    assert kept


def test_killed_again_while_going_on(tmp_path: Path, new_house: Any) -> None:
    live = tmp_path / "live"
    live.mkdir()
    house = new_house(live)
    house.parallelism = 1
    house.done(BEFORE)
    first = Kills(house, tmp_path / "first")
    house.apply(AFTER)
    for n, (label, folder, world) in enumerate(first.copies):
        if n % 7:
            continue
        again = new_house(folder, world)
        again.parallelism = 1
        second = Kills(again, tmp_path / f"second-{n}")
        again.apply(AFTER)
        for other, folder_again, world_again in second.copies[::5]:
            last = new_house(folder_again, world_again)
            assert last.apply(AFTER).diagnostics == [], (label, other)
            assert names(world_again) == names(house.world), (label, other)
            assert last.plan(AFTER) == "", (label, other)
            last.check()


def test_a_kill_and_then_the_opposite(tmp_path: Path, new_house: Any) -> None:
    """The next run wants something else than the one that was killed."""
    live = tmp_path / "live"
    live.mkdir()
    house = new_house(live)
    house.parallelism = 1
    house.done(BEFORE)
    expected = names(house.world)
    kills = Kills(house, tmp_path)
    house.apply(AFTER)
    for label, folder, world in kills.copies[::3]:
        again = new_house(folder, world)
        assert again.apply(BEFORE).diagnostics == [], label
        assert names(world) == expected, label
        assert again.plan(BEFORE) == "", label
        again.check()


def test_killed_at_every_boundary_with_a_sealed_state(tmp_path: Path, new_house: Any) -> None:
    from hythe.state.encryption.keys import FixedSource
    from hythe.state.encryption.sealed import SealedBackend
    from hythe.state.encryption.target import Method, Target
    from hythe.state.store import StateStore

    def sealed(folder: Path, world: MemoryWorld | None = None) -> Any:
        house = new_house(folder, world)
        method = Method("method.aes_gcm.m", FixedSource("key_provider.file.k", "file", lambda: b"k" * 32))
        house.store = StateStore(SealedBackend(house.files, Target([method])))
        house.parallelism = 1
        return house

    live = tmp_path / "live"
    live.mkdir()
    house = sealed(live)
    house.done(BEFORE)
    kills = Kills(house, tmp_path)
    house.apply(AFTER)
    assert len(kills.copies) > 15
    for label, folder, world in kills.copies:
        again = sealed(folder, world)
        assert again.apply(AFTER).diagnostics == [], label
        assert names(world) == names(house.world), label
        assert again.plan(AFTER) == "", label
        again.check()
        for path in filter(Path.is_file, folder.rglob("*")):
            assert b"thing." not in path.read_bytes(), (label, path)
