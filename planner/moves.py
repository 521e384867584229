"""Objects that get new addresses: by ``moved`` blocks, and where ``count`` is added or taken away. Pure.

The rules are those of OpenTofu: moves that follow one another make a chain, a place that is taken is left alone
(with a warning), and a resource that gets ``count`` keeps its object as instance 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from hythe.address import Address, AddressError, ModulePath, parse_address
from hythe.diagnostic import Diagnostic, error, warning
from hythe.modules.config import Module, MovedBlock
from hythe.modules.standing import shown
from hythe.state.model import Result, State
from hythe.state.renaming import renamed, renamed_intents
from hythe.state.session import Session


@dataclass(frozen=True, slots=True)
class Moved:
    """``state`` has the new addresses; ``names`` gives them by the old ones."""

    state: State
    names: Mapping[str, str]
    diagnostics: tuple[Diagnostic, ...] = ()


def moved(root: Module, state: State) -> Moved:
    """The state with every object where the configuration says that it moved to."""
    moves = [_Move(path, block) for path, module in root.walk() for block in module.moved]
    try:
        moves = _ordered(moves)
    except CycleError as failure:
        cycle: list[int] = failure.args[1]
        names = " -> ".join(shown(moves[i].block.source) for i in reversed(cycle))
        text = f"These moves lead back to where they begin: {names}. Delete one of the blocks."
        return Moved(state, {}, (error("Cyclic moves", text, moves[cycle[0]].block.range),))
    # where each object is now, and where it was
    origin = {a: a for a in state.instances}
    found: list[Diagnostic] = []
    for move in moves:
        for old, new in list(move.pairs(origin)):
            if new in origin:
                text = (
                    f"{old} moves to {new} by this block, and the state has another object there already, so both stay "
                    "where they are. Forget or destroy one of them, or delete the block."
                )
                found.append(warning("Object not moved", text, move.block.range))
            else:
                origin[new] = origin.pop(old)
    for old, new in _implied(root, origin):
        origin[new] = origin.pop(old)
    names_ = {old: new for new, old in origin.items() if old != new}
    return Moved(renamed(state, names_) if names_ else state, names_, tuple(found))


def record(session: Session, names: Mapping[str, str]) -> None:
    """Make the moves in the state that is open for writing, all at once.

    What an earlier run left open is told, too: it is looked up by its address, and by the machine that it is on.
    """
    before = session.state
    names = {old: new for old, new in names.items() if old in before.instances}
    if not names:
        return
    after = renamed(before, names)
    mentions = [a for a, i in before.instances.items() if a not in names and after.instances[a] != i]
    deposed = [id for id, i in before.deposed.items() if after.deposed[id] != i]
    results = [Result(put=after.instances[a]) for a in mentions]
    results += [Result(undepose=(id,), depose=(after.deposed[id],)) for id in deposed]
    results += [Result(drop=old, put=after.instances[new]) for old, new in names.items()]
    pending = renamed_intents(session.pending.values(), names)
    session.record_together(results, [i for i in pending if i != session.pending[i.seq]])


@dataclass(frozen=True, slots=True)
class _Move:
    """A ``moved`` block in a module; ``path`` are the calls that lead to the module."""

    path: tuple[str, ...]
    block: MovedBlock

    def pairs(self, there: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Old and new addresses of the objects that move, of those that are there."""
        depth = len(self.path)
        for text in there:
            at = _address(text)
            if at is None or tuple(name for name, _ in at.module[:depth]) != self.path:
                continue
            new = self._moved(at._replace(module=at.module[depth:]))
            if new is not None:
                yield text, str(new._replace(module=at.module[:depth] + new.module))

    def _moved(self, at: Address) -> Address | None:
        """Where an object goes, as seen from the module; None when it stays."""
        source, destination, whole = self.block.source, self.block.destination, self.block.whole
        if isinstance(source, Address) and isinstance(destination, Address):
            if not (at.block == source.block if whole else at == source):
                return None
            return destination.block.instance(at.key) if whole else destination
        if isinstance(source, Address) or isinstance(destination, Address):
            return None
        depth = len(source)
        begin, (name, key) = at.module[: depth - 1], (at.module[depth - 1] if len(at.module) >= depth else ("", None))
        if begin != source[:-1] or name != source[-1][0] or not (whole or key == source[-1][1]):
            return None
        last = (destination[-1][0], key) if whole else destination[-1]
        return at._replace(module=(*destination[:-1], last, *at.module[depth:]))


def _ordered(moves: Sequence[_Move]) -> list[_Move]:
    """Each block after those that lead to where it begins. Raises CycleError."""
    ends = [(_steps(m, m.block.source), _steps(m, m.block.destination)) for m in moves]
    before = {
        i: [j for j, (_, to) in enumerate(ends) if j != i and _overlap(to, source)]
        for i, (source, _) in enumerate(ends)
    }
    return [moves[i] for i in TopologicalSorter(before).static_order()]


_Steps = list[tuple[str, object]]
_EVERY = object()


def _steps(move: _Move, end: Address | ModulePath) -> _Steps:
    """The steps of an address from the root, each with its key or what stands for every key."""
    steps: _Steps = [(name, _EVERY) for name in move.path]
    steps += end.module if isinstance(end, Address) else end
    if isinstance(end, Address):
        steps.append((f"{end.kind}.{end.name}", end.key))
    if move.block.whole:
        steps[-1] = (steps[-1][0], _EVERY)
    return steps


def _overlap(one: _Steps, other: _Steps) -> bool:
    """Whether one of the two is the other, or holds it."""
    for (name, key), (other_name, other_key) in zip(one, other, strict=False):
        if name != other_name or (key is not _EVERY and other_key is not _EVERY and key != other_key):
            return False
    return True


def _address(text: str) -> Address | None:
    try:
        return parse_address(text)
    except AddressError:
        return None


def _implied(root: Module, there: Mapping[str, str]) -> list[tuple[str, str]]:
    """Where ``count`` was added, the object becomes instance 0; where it was taken away, the other way round."""
    by_path: dict[tuple[str, ...], set[ModulePath]] = {(): {()}}
    for text in there:
        # reading every address of a large state takes its time
        at = _address(text) if text.startswith("module.") else None
        if at is not None:
            by_path.setdefault(tuple(name for name, _ in at.module), set()).add(at.module)
    out = []
    for path, module in root.walk():
        for (mode, kind, name), block in module.resources.items():
            if mode != "managed" or block.for_each is not None:
                continue
            for instance in by_path.get(path, ()):
                single, first = (str(Address(instance, mode, kind, name, key)) for key in (None, 0))
                old, new = (single, first) if block.count is not None else (first, single)
                if old in there and new not in there:
                    out.append((old, new))
    return out
