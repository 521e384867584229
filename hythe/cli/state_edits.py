"""Changes of a state by hand: new addresses, forgetting, replacing it by another. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hythe.address import Address, AddressError, ModulePath, parse_address, parse_target
from hythe.cli.context import fail, raise_errors
from hythe.diagnostic import DiagnosticError, did_you_mean
from hythe.state.model import Intent, State

if TYPE_CHECKING:
    from hythe.provider.registry import Registry
    from hythe.state.codec import Snapshot
    from hythe.state.store import Loaded, StateStore


def refuse_pending(pending: Sequence[Intent], names: Collection[str]) -> None:
    """Refuse to touch what an interrupted run left open. Raises DiagnosticError."""
    open_ones = sorted({i.instance.address for i in pending} & set(names))
    if open_ones:
        raise fail(
            "Operation left open",
            f"An interrupted run left operations on {', '.join(open_ones)} open. Run hythe apply or hythe refresh "
            "first, which settles them.",
        )


def _target(text: str) -> ModulePath | Address:
    try:
        return parse_target(text)
    except AddressError as failure:
        raise fail("Invalid address", f"{failure}.") from None


def moves(state: State, pending: Sequence[Intent], source: str, destination: str) -> dict[str, str]:
    """New addresses by old ones. Raises DiagnosticError when the move cannot be made."""
    old, new = _target(source), _target(destination)
    if isinstance(old, Address) != isinstance(new, Address):
        raise fail("Invalid move", f"{source} and {destination} must both be resources or both be modules.")
    if isinstance(old, Address) and isinstance(new, Address):
        if (old.mode, old.kind) != (new.mode, new.kind):
            raise fail("Invalid move", f"{source} is a {old.kind} and cannot become a {new.kind}.")
        names = _resource_moves(state, old, new)
    else:
        assert not isinstance(old, Address)
        assert not isinstance(new, Address)
        names = _module_moves(state, old, new)
    if not names:
        raise fail("No such object in the state", f"The state has nothing at {source}.{_meant(state, source, old)}")
    taken = sorted(set(names.values()) & (state.instances.keys() - names.keys()))
    if taken:
        raise fail("Address taken", f"The state has {', '.join(taken)} already. Forget it first with hythe state rm.")
    refuse_pending(pending, [*names, *names.values()])
    return names


def _meant(state: State, source: str, old: ModulePath | Address) -> str:
    """What may be meant by what the state has not, as a sentence with a leading space, or ''."""
    if isinstance(old, Address) and old.key is None:
        there = [text for text in state.instances if parse_address(text).block == old.block]
        if there:
            more = f" and {len(there) - 5:,} more" if len(there) > 5 else ""
            return f" It has {', '.join(there[:5])}{more}: name one of them."
    return did_you_mean(source, state.instances)


def _resource_moves(state: State, old: Address, new: Address) -> dict[str, str]:
    if str(old) in state.instances:
        return {str(old): str(new)}
    if old.key is not None or new.key is not None:
        return {}
    names: dict[str, str] = {}
    for text in state.instances:
        at = parse_address(text)
        if at.block == old.block:
            names[text] = str(new.block.instance(at.key))
    return names


def _module_moves(state: State, old: ModulePath, new: ModulePath) -> dict[str, str]:
    names: dict[str, str] = {}
    for text in state.instances:
        at = parse_address(text)
        if at.module[: len(old)] == old:
            names[text] = str(at._replace(module=new + at.module[len(old) :]))
    return names


def forget(state: State, names: Collection[str]) -> State:
    """The state without these objects."""
    gone = set(names)
    made = state.copy()
    made.instances = {
        a: replace(i, dependencies=tuple(d for d in i.dependencies if d not in gone))
        for a, i in state.instances.items()
        if a not in gone
    }
    return made


def read_snapshot(data: bytes, path: str) -> Snapshot:
    """The snapshot in a file's bytes. Raises DiagnosticError."""
    from hythe.state.codec import BadSnapshot, decode_snapshot

    try:
        return decode_snapshot(data)
    except BadSnapshot as failure:
        if failure.flaw.sort == "sealed":
            text = (
                f"{path} is encrypted, and what is stored is encrypted anew: give it as `hythe state pull` prints it."
            )
            raise fail("State is encrypted", text) from None
        raise fail("Not a state file", f"{path} cannot be stored: {failure.flaw.text}.") from None


def read_pushed(data: bytes, path: str, registry: Registry, *, force: bool) -> Snapshot:
    """The snapshot that is to be stored. ``force``: even one that was edited, if it is sound.

    Raises DiagnosticError.
    """
    from hythe.state.check import check_state
    from hythe.state.codec import BadSnapshot, decode_edited
    from hythe.state.session import Loaded

    try:
        return read_snapshot(data, path)
    except DiagnosticError:
        try:
            edited = decode_edited(data)
        except BadSnapshot as failure:
            if failure.flaw.sort == "foreign":
                edited = None
            else:
                raise fail("Not a state file", f"{path} cannot be stored: {failure.flaw.text}.") from None
        if edited is None:
            raise
    if not force:
        text = (
            f"{path} is whole, but its checksum does not fit: it was edited or formatted anew. If that was meant, "
            "--force stores it, after a look whether it is sound. It also replaces a newer state, or another one."
        )
        raise fail("State was edited", text)
    raise_errors(check_state(Loaded(edited.state, edited.pending), registry))
    return edited


def current_or_lost(store: StateStore, *, force: bool) -> Loaded:
    """What is to be replaced; one whose file is gone counts as empty. With ``force`` even what cannot be read does.

    Raises DiagnosticError, which says how to bring back what cannot be read.
    """
    from hythe.state.model import State
    from hythe.state.session import Loaded

    try:
        return store.read(lost_is_fresh=True)
    except DiagnosticError:
        if not force:
            raise
        # later than any that is known
        return Loaded(State("", 1 + max((v.serial for v in store.backend.versions()), default=0)))


def check_push(loaded: Loaded, snapshot: Snapshot) -> None:
    """Refuse to replace another or a newer state, or one with operations left open. Raises DiagnosticError."""
    if loaded.fresh:
        return
    mine, theirs = loaded.state, snapshot.state
    if mine.lineage != theirs.lineage:
        text = f"The state here has lineage {mine.lineage}, the given one {theirs.lineage}: they are different states."
        raise fail("State of another lineage", f"{text} --force replaces it all the same.")
    if theirs.serial < mine.serial:
        text = f"The state here is newer (serial {mine.serial}) than the given one (serial {theirs.serial})."
        raise fail("State is newer", f"{text} --force replaces it all the same.")
    if loaded.pending:
        refuse_pending(loaded.pending, [i.instance.address for i in loaded.pending])
