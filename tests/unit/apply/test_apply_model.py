"""Random histories of everything that a user, the machine and others do, checked against a model.

Each history has a seed, and is a row of commands: apply, saved plans, targets, replacement, refresh, destroy,
``state mv``, ``state rm``, moved blocks, import. Others change and remove objects meanwhile; machines cannot be
reached; calls and the disk fail; each command may be killed at any boundary, the command that goes on from there too,
and the power may fail after it.

Whatever happened: the state can be read and is sound, only what is Hythe's is touched, and after an apply that nothing
goes wrong with the world is as declared, nothing twice, nothing left over, and the next plan is empty.

``make test`` runs a sample, ``make soak`` (HYTHE_SOAK) thousands; HYTHE_SEED sets where the seeds begin.
"""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from hythe.cli.state_edits import forget, moves
from hythe.diagnostic import DiagnosticError, error, has_errors
from hythe.planner.plan import Mode
from hythe.provider.memory_kinds import memory_kinds
from hythe.provider.protocol import ProviderError
from hythe.provider.registry import Registry
from hythe.state.backends.memory import BROKEN, FULL
from hythe.state.check import check_state
from hythe.state.renaming import renamed, renamed_intents

SEED = int(os.environ.get("HYTHE_SEED") or 20261128)
HISTORIES = 5_000 if os.environ.get("HYTHE_SOAK") else 150
SHAPES = ("round", "square", "flat")
MACHINES = ("box", "vessel")


@dataclass(frozen=True)
class Block:
    """A resource block. ``title`` is its objects' name, ``label`` its own; references are titles of other blocks."""

    kind: str
    label: str
    title: str
    size: int = 0
    shape: str = "round"
    color: str = ""
    count: int | None = None
    uses: str = ""
    peer: str = ""
    host: str = ""
    secret: str = ""
    first: bool = False

    @property
    def address(self) -> str:
        return f"{self.kind}.{self.label}"

    @property
    def references(self) -> set[str]:
        return {self.uses, self.peer, self.host, self.secret} - {""}

    def names(self) -> list[str]:
        """What its objects are called."""
        # what is made before its old self is removed cannot have the same name
        stem = f"{self.title}-{self.shape}" if self.first and self.kind == "thing" else self.title
        return [stem] if self.count is None else [f"{stem}-{i}" for i in range(self.count)]

    def render(self, others: dict[str, Block]) -> str:
        """The block's text."""
        if self.kind == "note":
            source = f"{others[self.secret].address}.engine_id" if self.secret else f'"{self.size}"'
            return f'resource "note" "{self.label}" {{\n  text = {source}\n}}\n'
        name = self.names()[0] if self.count is None else f"{self.title}-${{count.index}}"
        lines = [f'name = "{name}"', f"size = {self.size}"]
        lines += [f'shape = "{self.shape}"'] if self.kind != "box" else []
        lines += [f'color = "{self.color}"'] if self.color and self.kind != "box" else []
        lines += [f"count = {self.count}"] if self.count is not None else []
        for argument in ("uses", "peer", "host"):
            title = getattr(self, argument)
            lines += [f"{argument} = {others[title].address}"] if title else []
        lines += [f"secret = {others[self.secret].address}.engine_id"] if self.secret else []
        lines += ["lifecycle {\n    create_before_destroy = true\n  }"] if self.first else []
        return f'resource "{self.kind}" "{self.label}" {{\n' + "".join(f"  {line}\n" for line in lines) + "}\n"


class History:
    """One history; ``told`` is what happened, for whoever has to find out what went wrong."""

    def __init__(self, seed: int, memory_house: Any, doom: Any) -> None:
        self.chance = random.Random(seed)
        self.house: Any = memory_house()
        self.doom = doom
        self.blocks: dict[str, Block] = {}
        self.moved = ""
        self.imports = ""
        self.numbers = self.commands = self.kills = 0
        self.told: list[str] = []
        self.foreign: dict[str, Any] = {}
        self.forgotten: set[str] = set()
        for _ in range(2):
            self.stranger()

    def run(self) -> None:
        for _ in range(self.chance.randint(1, 4)):
            self.add()
        for _ in range(self.chance.randint(3, 7)):
            rule = self.chance.choice(self.rules)
            self.told.append(rule.__name__)
            rule(self)
            self.unharmed()
            if self.chance.random() < 0.5:
                self.finish()
        self.finish()
        self.told.append("end")
        self.blocks.clear()
        self.finish()

    # -- a configuration ------------------------------------------------------------------------

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    @property
    def text(self) -> str:
        return "".join(b.render(self.blocks) for b in self.blocks.values()) + self.moved + self.imports

    def pick(self, *kinds: str) -> str:
        """The title of a block of one of these kinds, '' for none."""
        found = [b.title for b in self.blocks.values() if b.kind in kinds and b.count is None and not b.first]
        return self.chance.choice([*found, ""])

    def add(self) -> None:
        chance, number = self.chance, self.number()
        kind = chance.choice(["thing", "thing", "thing", "swing", "swing", "box", "vessel", "note"])
        made = Block(kind, f"l{number}", f"n{number}", chance.randrange(3), chance.choice(SHAPES))
        if kind == "note":
            made = replace(made, secret=self.pick("thing", "swing"))
        elif kind in ("thing", "swing"):
            made = replace(made, host=self.pick(*MACHINES), count=chance.choice([None, None, None, 0, 1, 3]))
            host = made.host
            others = [b.title for b in self.blocks.values() if b.host == host and b.kind in ("thing", "swing")]
            single = [t for t in others if self.blocks[t].count is None and not self.blocks[t].first]
            if made.count is None and not single and chance.random() < 0.5:
                made = replace(made, first=True, host="")
            elif single:
                uses, peer = chance.choice([*single, ""]), chance.choice([*single, ""])
                made = replace(made, uses=uses, peer=peer)
            if chance.random() < 0.2 and not made.first:
                made = replace(made, secret=self.pick("thing", "swing"))
        self.blocks[made.title] = made

    def drop(self) -> None:
        free = sorted(self.blocks.keys() - set().union(*(b.references for b in self.blocks.values())))
        if free:
            del self.blocks[self.chance.choice(free)]

    def alter(self) -> None:
        chance = self.chance
        if not self.blocks:
            return
        block = self.blocks[chance.choice(sorted(self.blocks))]
        change = chance.choice(
            [
                {"size": chance.randrange(5)},
                {"shape": chance.choice(SHAPES)},
                {"shape": chance.choice(SHAPES), "size": chance.randrange(5)},
                {"color": chance.choice(["red", "blue"])},
                {"count": chance.choice([0, 1, 2, 4])} if block.count is not None else {"size": 7},
            ]
        )
        self.blocks[block.title] = replace(block, **change)

    def edit(self) -> None:
        for _ in range(self.chance.choice([1, 1, 2, 4])):
            self.chance.choice([self.add, self.add, self.drop, self.alter, self.alter, self.alter])()

    def declared(self) -> list[str]:
        return sorted(n for b in self.blocks.values() if b.kind != "note" for n in b.names())

    # -- commands -------------------------------------------------------------------------------

    def command(self, work: Callable[[Any], None], *, power: bool = True) -> None:
        """Run one, which may meet with all that can go wrong; then those that go on from where it was killed."""
        chance = self.chance
        for _ in range(chance.choice([1, 1, 2, 3])):
            at = chance.choice([0, chance.randint(1, 25), chance.randint(1, 120)])
            fault = chance.choice([None, None, None, OSError(*FULL), OSError(*BROKEN), 9])
            fate = self.doom(self.house, at, chance.randint(1, 60), chance.choice([1, 2, 500]), fault)
            self.house.parallelism = chance.choice([1, 4])
            work(self.house)
            left = fate.lift()
            self.commands += 1
            self.kills += left is not None
            if fault is not None:
                self.told.append(f"disk: {fault} from {fate.faults.start}")
            if left is not None:
                self.told.append(f"killed at {fate.at}, {fate.label}")
                self.house = left
            self.house.world.faults.clear()
            self.house.world.unreachable.clear()
            if power and chance.random() < 0.2:
                self.told.append("power failure")
                self.house.disk = self.house.files._disk = self.house.disk.power_failure(chance)
            elif not power or chance.random() < 0.5:
                self.house.disk.write_back()
            self.readable()
            if left is None:
                return

    def apply(self) -> None:
        self.edit()
        self.wrong()
        self.command(lambda house: house.apply(self.text))

    def again(self) -> None:
        self.wrong()
        self.command(lambda house: house.apply(self.text))

    def opposite(self) -> None:
        """The run that goes on from a kill wants something else."""
        before = dict(self.blocks)
        self.edit()
        self.command(lambda house: house.apply(self.text))
        self.blocks = before
        self.command(lambda house: house.apply(self.text))

    def saved(self) -> None:
        self.edit()
        session = self.house.session(self.text)
        state = self.house.settled(session, self.house.store.read()).state
        plan = self.house.outcome(session, state).plan
        if self.chance.random() < 0.3:
            before = dict(self.blocks)
            self.apply()
            if self.chance.random() < 0.5:
                self.blocks = before

        def work(house: Any) -> None:
            session = house.session(self.text)
            loaded = house.store.read(plan.lineage)
            house.apply_plan(session, plan, loaded, house.settled(session, loaded))

        self.command(work)

    def targeted(self) -> None:
        self.edit()
        if not self.blocks:
            return
        wanted = (self.blocks[self.chance.choice(sorted(self.blocks))].address,)
        options = self.chance.choice([{"targets": wanted}, {"excludes": wanted}])
        self.command(lambda house: house.apply(self.text, **options))

    def replaced(self) -> None:
        def work(house: Any) -> None:
            session = house.session(self.text)
            there = house.settled(session, house.store.read()).state.instances
            known = [b.address for b in self.single() if b.address in there]
            house.apply(self.text, replace=tuple(self.chance.sample(known, min(len(known), 1))))

        self.command(work)

    def single(self) -> list[Block]:
        return [b for b in self.blocks.values() if b.count is None and b.kind in ("swing", "vessel")]

    def refreshed(self) -> None:
        self.drift()
        self.command(lambda house: house.apply(self.text, mode=Mode.REFRESH_ONLY))

    def destroyed(self) -> None:
        self.wrong()
        self.command(lambda house: house.apply(self.text, mode=Mode.DESTROY))

    def renamed(self) -> None:
        """A moved block."""
        if not self.blocks:
            return
        block = self.blocks[self.chance.choice(sorted(self.blocks))]
        new = replace(block, label=f"m{self.number()}")
        self.blocks[block.title] = new
        self.moved += f"moved {{\n  from = {block.address}\n  to = {new.address}\n}}\n"
        self.apply()

    def state_mv(self) -> None:
        if not self.blocks:
            return
        block = self.blocks[self.chance.choice(sorted(self.blocks))]
        new = replace(block, label=f"v{self.number()}")

        def work(house: Any) -> None:
            loaded = house.store.read()
            try:
                names = moves(loaded.state, loaded.pending, block.address, new.address)
            except DiagnosticError:
                return
            loaded.pending = renamed_intents(loaded.pending, names)
            house.store.write(loaded, renamed(loaded.state, names), "state mv")

        self.command(work, power=False)
        state = self.house.state
        pending = [i.instance for i in self.house.store.read().pending]
        known = [i.address.partition("[")[0] for i in (*state.instances.values(), *pending)]
        if new.address in known or block.address not in known:
            self.blocks[block.title] = new

    def state_rm(self) -> None:
        """What is forgotten stays where it is."""
        used = set().union(*(b.references for b in self.blocks.values()))
        free = [b for b in self.blocks.values() if not b.references and b.title not in used and b.kind == "thing"]
        known = self.house.state.instances
        free = [b for b in free if b.address in known]
        if not free:
            return
        block = self.chance.choice(free)
        there = self.engine_ids(block)

        def work(house: Any) -> None:
            loaded = house.store.read()
            if not any(i.instance.address == block.address for i in loaded.pending):
                house.store.write(loaded, forget(loaded.state, [block.address]), "state rm")

        self.command(work, power=False)
        if block.address not in self.house.state.instances:
            del self.blocks[block.title]
            self.forgotten |= there

    def engine_ids(self, block: Block) -> set[str]:
        """What the state knows of a block's objects."""
        instances = self.house.state.instances.values()
        return {i.attributes["engine_id"] for i in instances if i.address.partition("[")[0] == block.address}

    def let_go(self) -> None:
        """A removed block."""
        self.finish()
        used = set().union(*(b.references for b in self.blocks.values()))
        free = [b for b in self.blocks.values() if not b.references and b.title not in used and b.kind == "thing"]
        if not free:
            return
        block = self.chance.choice(free)
        self.forgotten |= self.engine_ids(block)
        del self.blocks[block.title]
        self.moved += f"removed {{\n  from = {block.address}\n}}\n"
        self.wrong()
        self.command(lambda house: house.apply(self.text))
        self.finish()

    def imported(self) -> None:
        taken = self.foreign.pop(self.chance.choice(sorted(self.foreign)))
        made = Block("thing", f"i{self.number()}", taken.name, self.chance.randrange(3))
        self.blocks[made.title] = made
        self.imports = f'import {{\n  to = {made.address}\n  id = "{taken.engine_id}"\n}}\n'
        self.command(lambda house: house.apply(self.text))
        self.finish()
        assert taken.engine_id in self.house.world.objects or taken.attributes.get("shape") != made.shape
        self.imports = ""
        self.stranger()

    # -- what goes wrong ------------------------------------------------------------------------

    def stranger(self) -> None:
        made = self.house.world.put("thing", f"stranger{self.number()}", size=1, shape="round")
        self.foreign[made.engine_id] = copy.deepcopy(made)

    def wrong(self) -> None:
        """Calls that fail, machines that do not answer."""
        chance, world = self.chance, self.house.world
        for _ in range(chance.choice([0, 0, 0, 1, 3])):
            block = chance.choice([*self.blocks.values(), None])
            if block is None:
                continue
            key = "" if block.count is None else "[0]"
            phase = chance.choice(["before", "middle", "after"])
            refusal = ProviderError(error("Refused", "The world refuses."))
            failure = refusal if phase == "before" else ConnectionError("the connection broke")
            op = chance.choice(["create", "update", "delete", "swap"])
            world.inject(op, block.address + key, phase=phase, failure=failure)
        if chance.random() < 0.15:
            machines = [b.address for b in self.blocks.values() if b.kind in MACHINES]
            world.unreachable.add(chance.choice([*machines, "local"]))

    def drift(self) -> None:
        """Others change and remove objects."""
        world = self.house.world
        for _ in range(self.chance.choice([1, 1, 2])):
            known = {i.id for i in self.house.state.instances.values() if i.kind not in (*MACHINES, "note")}
            ours = sorted((o for o in world.objects.values() if o.mark and o.mark.id in known), key=lambda o: o.name)
            if not ours:
                return
            victim = self.chance.choice(ours)
            if self.chance.random() < 0.5:
                victim.attributes["size"] = 99
            else:
                del world.objects[victim.engine_id]

    # -- what must hold -------------------------------------------------------------------------

    def unharmed(self) -> None:
        """What is not Hythe's is as it was."""
        for id, before in self.foreign.items():
            assert self.house.world.objects[id] == before
        assert self.forgotten <= self.house.world.objects.keys()

    def readable(self) -> None:
        """Whatever happened, the state can be read, and what is in it fits together."""
        found = check_state(self.house.store.read(), Registry(memory_kinds(self.house.world)))
        assert not has_errors(found), found

    def finish(self) -> None:
        """Apply with nothing going wrong."""
        self.told.append("finish")
        house = self.house
        house.parallelism = 4
        house.stop.soft.clear()
        result = house.apply(self.text)
        assert not result.diagnostics, result.diagnostics
        objects = house.world.objects.values()
        ours = [o for o in objects if o.engine_id not in self.foreign and o.engine_id not in self.forgotten]
        assert sorted(o.name for o in ours) == self.declared()
        assert all(o.complete for o in ours)
        state, loaded = house.state, house.store.read()
        assert not state.deposed
        assert not loaded.pending
        known = [i.attributes["engine_id"] for i in state.instances.values() if i.kind != "note"]
        assert sorted(known) == sorted(o.engine_id for o in ours)
        assert len(state.instances) == len(known) + sum(b.kind == "note" for b in self.blocks.values())
        house.sound()
        plan = house.plan(self.text)
        assert plan == "", plan
        self.unharmed()

    rules = (
        apply,
        apply,
        apply,
        again,
        opposite,
        saved,
        targeted,
        replaced,
        refreshed,
        destroyed,
        renamed,
        state_mv,
        state_rm,
        let_go,
        imported,
        drift,
    )


@pytest.mark.timeout(7200)
def test_every_history_ends_as_declared(memory_house: Any, doom: Any) -> None:
    commands = kills = 0
    for number in range(HISTORIES):
        history = History(SEED + number, memory_house, doom)
        try:
            history.run()
        except BaseException as failure:
            failure.add_note(f"HYTHE_SEED={SEED + number}: {'; '.join(history.told)}\n{history.text}")
            raise
        commands += history.commands
        kills += history.kills
        if number % 100 == 99:
            print(f"{number + 1} histories, {commands} commands, {kills} of them killed", flush=True)
    assert kills > HISTORIES // 2
