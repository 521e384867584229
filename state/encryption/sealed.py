"""Any backend, its content sealed."""

from __future__ import annotations

import re
from typing import Any

from hythe.diagnostic import DiagnosticError, error
from hythe.state.backends.base import Backend, Held, Medium, Records, Storage, Version
from hythe.state.codec import begins_like_snapshot
from hythe.state.encryption.records import Place, SealedMedium, begin, go_on, method_of, open_records
from hythe.state.encryption.sealing import BadSeal, is_sealed
from hythe.state.encryption.target import Target
from hythe.state.lock import Holder
from hythe.state.rescue import rescue

_NAMES = re.compile(rb'"size":\d+,"lineage":("(?:[^"\\]|\\.)*"),"serial":(\d+)[,}]')

_FACTS = sorted(
    name
    for name in {*vars(Backend), *Backend.__annotations__}
    if not name.startswith("_") and not callable(getattr(Backend, name, None))
)
"""What a backend tells of itself."""


class SealedBackend(Backend):
    """A backend whose snapshots and journal records are sealed.

    What is read is opened, what is written is sealed; everything else is the inner backend's. Methods raise
    DiagnosticError for what cannot be opened. ``outdated``: what was read would be sealed in another way now.
    """

    def __init__(self, inner: Backend, target: Target) -> None:
        self.inner, self.target = inner, target
        for name in _FACTS:
            setattr(self, name, getattr(inner, name))
        self.outdated = False
        self._locked = False

    # -- reading --------------------------------------------------------------------------------

    def read(self) -> bytes | None:
        """The snapshot, opened."""
        self.outdated = False
        plain, self.outdated = self._open(self.inner.read(), self.where)
        if self._locked:
            self.target.prepare()
        return plain

    def read_backup(self) -> bytes | None:
        """The snapshot before, opened."""
        where = self.paths.backup if self.paths is not None else f"the version before that in {self.where}"
        return self._open(self.inner.read_backup(), where, rescued=False)[0]

    def read_version(self, version: str) -> bytes | None:
        """A snapshot from before, opened."""
        where = f"version {version} of {self.where}"
        return self._open(self.inner.read_version(version), where, rescued=False)[0]

    def read_journal(self) -> Records:
        """The journal, opened."""
        return open_records(self.target, self.inner.read_journal(), self.journal_where)

    def read_old_journal(self) -> Records:
        """What was done between the backup and the snapshot, opened."""
        where = self.paths.old_journal if self.paths is not None else self.journal_where
        return open_records(self.target, self.inner.read_old_journal(), where)

    def last_written(self) -> float | None:
        """When anything was last recorded."""
        return self.inner.last_written()

    def versions(self) -> list[Version]:
        """The snapshots from before that are kept."""
        return self.inner.versions()

    def _open(self, data: bytes | None, where: str, *, rescued: bool = True) -> tuple[bytes | None, bool]:
        """What was sealed, and whether it would be sealed in another way now."""
        if data is None:
            return None, False
        if not is_sealed(data):
            # what is no snapshot at all is told by whoever decodes it
            if begins_like_snapshot(data):
                self.target.refuse_plain("State", where)
            return data, self.target.seals
        try:
            opened = self.target.open(self.target.read(data, "state", where), where)
        except BadSeal as failure:
            raise DiagnosticError(self._bad(failure, where, rescue(self) if rescued else "")) from failure
        return opened.plain, opened.outdated or not self.target.seals

    def _bad(self, failure: BadSeal, where: str, help: str) -> Any:
        if failure.sort == "newer":
            text = f"{where} was written by a newer Hythe: {failure}. Use that version, or a newer one."
            return error("State from a newer version", text)
        if failure.sort == "tampered":
            text = (
                f"{where} was encrypted with this key, but not as it is now: it was tampered with or damaged, so "
                f"nothing in it is used. {help}"
            )
            return error("Encrypted state tampered with", text.strip())
        summary = "State file truncated" if failure.sort == "truncated" else "State file damaged"
        return error(summary, f"{where} cannot be used: {failure}. {help}".strip())

    # -- the lock -------------------------------------------------------------------------------

    def lock(self, operation: str, timeout: float) -> Held:
        """Take the inner backend's lock."""
        held = self.inner.lock(operation, timeout)
        # whoever locks may write, and must not learn afterwards that there is no key for it
        self._locked = True
        return held

    def holder(self) -> Holder | None:
        """Who holds the lock now."""
        return self.inner.holder()

    def break_lock(self, lock_id: str) -> None:
        """Take the lock away from its holder."""
        self.inner.break_lock(lock_id)

    # -- writing --------------------------------------------------------------------------------

    def open_journal(self, header: bytes, position: Any) -> Medium:
        """The journal, sealed. One that goes on stays sealed, with the key that is now configured."""
        if not isinstance(position, Place):
            if not self.target.seals:
                return self.inner.open_journal(header, position)
            first, section = begin(self.target, header)
            return SealedMedium(self.inner.open_journal(first, None), section)
        target = self.target
        if not target.seals:
            opened = position.opened
            if opened is None:
                return self.inner.open_journal(header, position.position)
            target = Target([method_of(opened, opened.provider)])
        head, section = go_on(target, position)
        return SealedMedium(self.inner.open_journal(header, position.position), section, head)

    def write(self, data: bytes, *, serial: int, keep_journal: bool) -> None:
        """Seal a snapshot, then replace the one there is."""
        if self.target.seals:
            names = _NAMES.search(data, 0, 1000)
            lineage, number = (_text(names[1]), int(names[2])) if names else ("", serial)
            sealed, _ = self.target.close(data, "state", [("lineage", lineage), ("serial", number)])
            data = sealed + b"\n"
        self.inner.write(data, serial=serial, keep_journal=keep_journal)
        self.outdated = False

    def delete(self) -> None:
        """Remove the state and all that belongs to it."""
        self.inner.delete()

    def close(self) -> None:
        """Give up the inner backend's connections."""
        self.inner.close()


def _text(encoded: bytes) -> str:
    import orjson

    return str(orjson.loads(encoded))


class SealedStorage(Storage):
    """Any storage, the states in it sealed."""

    def __init__(self, inner: Storage, target: Target) -> None:
        self.inner, self.target = inner, target
        self.name = inner.name

    def backend(self, workspace: str) -> SealedBackend:
        """Where the state of that workspace is kept."""
        return SealedBackend(self.inner.backend(workspace), self.target)

    def workspaces(self) -> list[str]:
        """The workspaces that have a state."""
        return self.inner.workspaces()

    @property
    def where(self) -> str:
        """Where that is, for users."""
        return self.inner.where
