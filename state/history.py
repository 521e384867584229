"""Versions of a state from before: what there is, and what one of them would bring back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hythe.diagnostic import Diagnostic, DiagnosticError, did_you_mean, error
from hythe.state.codec import BadSnapshot, Snapshot, Summary, decode_snapshot, summarise_snapshot
from hythe.state.model import InstanceState
from hythe.state.session import Loaded
from hythe.state.store import StateStore


@dataclass(frozen=True, slots=True)
class Entry:
    """A version that is kept; ``id`` is "" for the state as it is now.

    ``written`` is in seconds since the epoch, None where nobody knows. ``summary`` is None for one that cannot be
    used, and ``flaw`` then says why.
    """

    id: str
    serial: int
    written: float | None
    size: int
    summary: Summary | None
    flaw: str = ""


def entries(store: StateStore) -> list[Entry]:
    """The state as it is, then the versions that are kept, the latest first. Raises DiagnosticError."""
    try:
        current = store.backend.read()
        found = [] if current is None else [_entry("", 0, store.backend.last_written(), current)]
        for version in store.backend.versions():
            try:
                data = store.backend.read_version(version.id)
            except DiagnosticError as failure:
                # it needs another key: that is no reason not to tell of the others
                flaw = failure.diagnostics[0].summary
                found.append(
                    Entry(version.id, version.serial, version.written, 0, None, f"{flaw[0].lower()}{flaw[1:]}")
                )
                continue
            if data is not None:
                found.append(_entry(version.id, version.serial, version.written, data))
    except OSError as failure:
        text = f"What is kept of {store.where} cannot be read: {failure.strerror or failure}."
        raise DiagnosticError(error("Versions not readable", text)) from failure
    return found


def _entry(id: str, serial: int, written: float | None, data: bytes) -> Entry:
    try:
        summary = summarise_snapshot(data)
    except BadSnapshot as failure:
        return Entry(id, serial, written, len(data), None, failure.flaw.text)
    told = summary.origin.written
    return Entry(id, summary.serial, written if told is None else told, len(data), summary)


def version(store: StateStore, id: str) -> Snapshot:
    """The version of that id. Raises DiagnosticError when there is none that can be used."""
    try:
        data = store.backend.read_version(id)
        known = [v.id for v in store.backend.versions()] if data is None else []
    except OSError as failure:
        text = f"Version {id} of {store.where} cannot be read: {failure.strerror or failure}."
        raise DiagnosticError(error("Version not readable", text)) from failure
    if data is None:
        hint = did_you_mean(id, known)
        kept = f"There are {', '.join(known)}." if known else "None is kept yet."
        text = f"There is no version {id} of {store.where}.{hint} {kept} `hythe state history` tells more of them."
        raise DiagnosticError(error("No such version", text))
    try:
        return decode_snapshot(data)
    except BadSnapshot as failure:
        text = f"Version {id} of {store.where} cannot be used: {failure.flaw.text}."
        raise DiagnosticError(error("Version damaged", text)) from failure


@dataclass(slots=True)
class Restoration:
    """What restoring a version would do.

    ``base`` is what it replaces and ``target`` what is there then. ``gone`` are addresses that the state would no
    longer know, ``back`` those that it would know again, ``other`` those at which it would have another object than
    now. ``unreadable``: why what is there now cannot be read; then nobody knows what is gone.
    """

    base: Loaded
    target: Loaded
    gone: list[str] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    unreadable: tuple[Diagnostic, ...] = ()


def restoration(store: StateStore, id: str, *, force: bool) -> Restoration:
    """What restoring the version would do. The caller holds the lock. Raises DiagnosticError when it is refused.

    ``force``: even over another lineage, and over a journal that goes on from another version.
    """
    snapshot = version(store, id)
    try:
        base = store.read()
    except DiagnosticError as failure:
        return _over_damage(store, id, snapshot, failure.diagnostics, force=force)
    if base.pending:
        names = ", ".join(sorted({i.instance.address for i in base.pending}))
        text = (
            f"An interrupted run left operations on {names} open. Run `hythe apply` or `hythe refresh` first, which "
            "settles them; then restore the version."
        )
        raise DiagnosticError(error("Operation left open", text))
    if not base.fresh and base.state.lineage != snapshot.state.lineage and not force:
        text = (
            f"The state has lineage {base.state.lineage}, and version {id} has {snapshot.state.lineage}: they are "
            "different states. --force restores it all the same."
        )
        raise DiagnosticError(error("Version of another state", text))
    target = store.recovered(snapshot) if base.fresh else Loaded(snapshot.state, snapshot.pending)
    now, then = base.state.instances, target.state.instances
    made = Restoration(base, target)
    made.gone = sorted(now.keys() - then.keys())
    made.back = sorted(then.keys() - now.keys())
    made.other = _others(now, then)
    return made


def _others(now: Mapping[str, InstanceState], then: Mapping[str, InstanceState]) -> list[str]:
    return sorted(a for a in now.keys() & then.keys() if now[a].id != then[a].id)


def _over_damage(
    store: StateStore, id: str, snapshot: Snapshot, why: tuple[Diagnostic, ...], *, force: bool
) -> Restoration:
    """For a state that cannot be read: what was done since the version is taken in where a journal says it."""
    base = Loaded(snapshot.state.copy())
    versions = store.backend.versions()
    # one more than any that could have been: a plan made from the lost one must not fit
    base.state.serial = 1 + max([snapshot.state.serial, *(v.serial for v in versions)])
    if force:
        try:
            target = store.recovered(snapshot)
        except DiagnosticError:
            target = Loaded(snapshot.state, snapshot.pending)
        return Restoration(base, target, unreadable=why)
    journal = store.journal_base()
    if journal is not None and journal != snapshot.digest:
        fitting = [e.id for e in entries(store) if e.summary is not None and e.summary.digest == journal and e.id]
        use = f"That is version {fitting[0]}: restore that one" if fitting else "No version that is kept is that one"
        text = (
            f"{store.backend.journal_where} holds what an interrupted run did after another version of the state than "
            f"{id}. {use}; or --force restores {id}, and what the journal says is forgotten."
        )
        raise DiagnosticError(error("Journal of another version", text))
    target = store.recovered(snapshot)
    if target.recorded:
        # were writing cut short, the journal would be known to be taken in
        base.digest = target.digest
    return Restoration(base, target, unreadable=why)
