"""Killed at any instant, Hythe goes on from there: no orphan, no duplicate, nothing missing."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from hythe.provider.memory import MemoryWorld
from hythe.state.backends.memory import MemoryDisk

SEED = int(os.environ.get("HYTHE_SEED") or 20261128)

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
    """What a kill at each boundary of an apply would leave: each operation of the disk, each phase of a call.

    Every fourth is a power failure as well, which takes with it what was not synced.
    """

    def __init__(self, house: Any) -> None:
        self.house = house
        self.copies: list[tuple[str, MemoryDisk, MemoryWorld]] = []
        self._chance = random.Random(SEED)
        house.disk.on_step = lambda op, path: self._copy(f"{op} {Path(path).name}")
        house.world.on_step = lambda op, address, phase: self._copy(f"{op} {address} {phase}")

    def _copy(self, label: str) -> None:
        world, disk = self.house.world, self.house.disk
        with world.mutex, disk.mutex:
            there = world.fork()
            self.copies.append((label, disk.fork(), there))
            if len(self.copies) % 4 == 0:
                self.copies.append((f"{label}, power failure", disk.power_failure(self._chance), world.fork()))


def names(world: MemoryWorld) -> list[str]:
    return sorted(world.summary())


@pytest.mark.parametrize("parallelism", [1, 4])
@pytest.mark.parametrize(
    ("prior", "text"),
    [("", BEFORE), (BEFORE, AFTER), (AFTER, ""), ("", FLEET), (FLEET, OTHER), (OTHER, "")],
    ids=["create", "change", "destroy", "create machine", "replace machine", "destroy machine"],
)
def test_killed_at_every_boundary(memory_house: Any, prior: str, text: str, parallelism: int) -> None:
    house = memory_house()
    house.parallelism = parallelism
    if prior:
        house.done(prior)
    kills = Kills(house)
    result = house.apply(text)
    assert result.diagnostics == []
    expected = names(house.world)
    assert len(kills.copies) > 30
    for label, disk, world in kills.copies:
        again = memory_house(world, disk)
        result = again.apply(text)
        assert result.diagnostics == [], label
        assert names(world) == expected, label
        assert again.plan(text) == "", label
        again.check()
        assert not again.store.read().pending, label


def test_what_was_never_made_keeps_its_id(memory_house: Any) -> None:
    """So that what an engine makes late is known for what it is."""
    house = memory_house()
    kills = Kills(house)
    house.apply('resource "thing" "a" { name = "a" }')
    begun = [(disk, world) for _, disk, world in kills.copies if not world.objects]
    kept = 0
    for disk, world in begun:
        again = memory_house(world, disk)
        pending = [i.instance.id for i in again.store.read().pending]
        again.done('resource "thing" "a" { name = "a" }')
        if pending:
            kept += 1
            assert [again.state.instances["thing.a"].id] == pending
    assert kept


def test_killed_again_while_going_on(memory_house: Any) -> None:
    house = memory_house()
    house.parallelism = 1
    house.done(BEFORE)
    first = Kills(house)
    house.apply(AFTER)
    for label, disk, world in first.copies[::11]:
        again = memory_house(world, disk)
        again.parallelism = 1
        second = Kills(again)
        again.apply(AFTER)
        for other, disk_again, world_again in second.copies[::9]:
            last = memory_house(world_again, disk_again)
            assert last.apply(AFTER).diagnostics == [], (label, other)
            assert names(world_again) == names(house.world), (label, other)
            assert last.plan(AFTER) == "", (label, other)
            last.check()


def test_a_kill_and_then_the_opposite(memory_house: Any) -> None:
    """The next run wants something else than the one that was killed."""
    house = memory_house()
    house.parallelism = 1
    house.done(BEFORE)
    expected = names(house.world)
    kills = Kills(house)
    house.apply(AFTER)
    for label, disk, world in kills.copies[::4]:
        again = memory_house(world, disk)
        assert again.apply(BEFORE).diagnostics == [], label
        assert names(world) == expected, label
        assert again.plan(BEFORE) == "", label
        again.check()


def test_killed_at_every_boundary_with_a_sealed_state(memory_house: Any) -> None:
    from hythe.state.encryption.keys import FixedSource
    from hythe.state.encryption.sealed import SealedBackend
    from hythe.state.encryption.target import Method, Target
    from hythe.state.store import StateStore

    def sealed(*there: Any) -> Any:
        house = memory_house(*there)
        method = Method("method.aes_gcm.m", FixedSource("key_provider.file.k", "file", lambda: b"k" * 32))
        house.store = StateStore(SealedBackend(house.files, Target([method])))
        house.parallelism = 1
        return house

    house = sealed()
    house.done(BEFORE)
    kills = Kills(house)
    house.apply(AFTER)
    assert len(kills.copies) > 15
    for label, disk, world in kills.copies:
        again = sealed(world, disk)
        assert again.apply(AFTER).diagnostics == [], label
        assert names(world) == names(house.world), label
        assert again.plan(AFTER) == "", label
        again.check()
        for path, data in disk.files().items():
            assert b"thing." not in data, (label, path)
