"""Objects that get new addresses: by ``moved`` blocks, and where ``count`` is added or taken away. Pure.

The rules are those of OpenTofu: moves that follow one another make a chain, a place that is taken is left alone
(with a warning), and a resource that gets ``count`` keeps its object as instance 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from hythe.address import Address, AddressError, parse_address
from hythe.diagnostic import Diagnostic, error, warning
from hythe.modules.config import Module, MovedBlock
from hythe.state.model import Result, State
from hythe.state.renaming import renamed
from hythe.state.session import Session


@dataclass(frozen=True, slots=True)
class Moved:
    """``state`` has the new addresses; ``names`` gives them by the old ones."""

    state: State
    names: Mapping[str, str]
    diagnostics: tuple[Diagnostic, ...] = ()


def moved(module: Module, state: State) -> Moved:
    """The state with every object where the configuration says that it moved to."""
    try:
        blocks = _ordered(module.moved)
    except CycleError as failure:
        cycle: list[int] = failure.args[1]
        names = " -> ".join(str(module.moved[i].source) for i in reversed(cycle))
        text = f"These moves lead back to where they begin: {names}. Delete one of the blocks."
        return Moved(state, {}, (error("Cyclic moves", text, module.moved[cycle[0]].range),))
    # where each object is now, and where it was
    origin = {a: a for a in state.instances}
    found: list[Diagnostic] = []
    for block in blocks:
        for old, new in list(_pairs(block, origin)):
            if new in origin:
                text = (
                    f"{old} moves to {new} by this block, and the state has another object there already, so both stay "
                    "where they are. Forget or destroy one of them, or delete the block."
                )
                found.append(warning("Object not moved", text, block.range))
            else:
                origin[new] = origin.pop(old)
    for old, new in _implied(module, origin):
        origin[new] = origin.pop(old)
    names_ = {old: new for new, old in origin.items() if old != new}
    return Moved(renamed(state, names_) if names_ else state, names_, tuple(found))


def record(session: Session, names: Mapping[str, str]) -> None:
    """Make the moves in the state that is open for writing.

    Who mentions an object is told its new address before it gets it: a run that is killed in between leaves a move
    that the next run makes.
    """
    before = session.state.copy()
    names = {old: new for old, new in names.items() if old in before.instances}
    if not names:
        return
    after = renamed(before, names)
    for address, instance in before.instances.items():
        if address not in names and after.instances[address] != instance:
            session.record(Result(put=after.instances[address]))
    for id, instance in before.deposed.items():
        if after.deposed[id] != instance:
            session.record(Result(undepose=(id,), depose=(after.deposed[id],)))
    for old, new in names.items():
        session.record(Result(drop=old, put=after.instances[new]))


def _ordered(blocks: Sequence[MovedBlock]) -> list[MovedBlock]:
    """Each block after those that lead to where it begins. Raises CycleError."""
    before = {i: [j for j, other in enumerate(blocks) if _leads_to(other, block)] for i, block in enumerate(blocks)}
    return [blocks[i] for i in TopologicalSorter(before).static_order()]


def _leads_to(first: MovedBlock, then: MovedBlock) -> bool:
    if first.whole or then.whole:
        return first.destination.block == then.source.block
    return first.destination == then.source


def _pairs(block: MovedBlock, there: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    source, destination = block.source, block.destination
    if not block.whole:
        if str(source) in there:
            yield str(source), str(destination)
        return
    for text in there:
        at = _address(text)
        if at is not None and at.block == source.block:
            yield text, str(destination.block.instance(at.key))


def _address(text: str) -> Address | None:
    try:
        return parse_address(text)
    except AddressError:
        return None


def _implied(module: Module, there: Mapping[str, str]) -> list[tuple[str, str]]:
    """Where ``count`` was added, the object becomes instance 0; where it was taken away, the other way round."""
    out = []
    for (mode, kind, name), block in module.resources.items():
        if mode != "managed" or block.for_each is not None:
            continue
        single, first = (str(Address((), mode, kind, name, key)) for key in (None, 0))
        old, new = (single, first) if block.count is not None else (first, single)
        if old in there and new not in there:
            out.append((old, new))
    return out
