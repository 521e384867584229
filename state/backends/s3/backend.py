"""One state, and all states, in a bucket.

============================  ==========================================================================
``KEY``                       the snapshot, and a last line that says what goes with it (:mod:`.head`)
``KEY.hythelock``             the lock
``KEY.hythejournal/ID/N``     what was done since, an object for each batch of records (:mod:`.journal`)
``KEY.hytheversions/...``     snapshots from before
============================  ==========================================================================
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn

from hythe.diagnostic import DiagnosticError, error
from hythe.state.backends.base import DEFAULT_WORKSPACE, Backend, LeaseLost, Records, ServerFailed, Storage, Version
from hythe.state.backends.s3 import journal as journals
from hythe.state.backends.s3 import lease as leases
from hythe.state.backends.s3.failures import failures, reading, writing
from hythe.state.backends.s3.head import TAIL, Head, Seen, join, split
from hythe.state.backends.s3.link import Link, Listed, Refused
from hythe.state.backends.s3.settings import Settings, Target, resolve
from hythe.state.backends.waiting import Waiting
from hythe.state.journal import JournalDamaged
from hythe.state.lock import Holder

_LOCK = "Leave out --lock=false"
_OTHERS = "See who writes there without Hythe's lock"
_TRIES = 50


class S3Backend(Backend):
    """The state of one workspace.

    Every write names what it goes on from, and the server refuses it when that is no longer there. Whoever takes the
    lock over from one who did not give it up first changes all that the other would go on from.
    """

    name = "s3"
    can_break = True

    def __init__(self, target: Target, workspace: str) -> None:
        self.target, self.workspace = target, workspace
        self.key = target.key_of(workspace)
        self.where = f"{self.key} in {target.server}"
        self.journal_where = f"the journal of {self.where}"
        self.waiting = Waiting()
        self._link = Link(target, self.waiting)
        self._lease: leases.Lease | None = None
        self._seen: Seen | None = None
        self._looked = False
        self._journal_seen: Records | JournalDamaged | None = None

    # -- reading --------------------------------------------------------------------------------

    def read(self) -> bytes | None:
        """The snapshot's bytes, None when there is none."""
        with reading(self.target):
            for _ in range(_TRIES):
                found = self._link.get(self.key, patience=self._patience)
                self._looked, self._seen, data, head = True, None, b"", None
                if found is not None:
                    data, head = split(found.body, self.where)
                    self._seen = Seen(found.etag, head)
                self._journal_seen = self._records(head.journal if head is not None else None)
                if self._grip is not None or head is None or found is None:
                    break
                # one that writes meanwhile must not show half of what it did
                again = self._link.get(self.key, tail=1)
                if again is not None and again.etag == found.etag:
                    break
            else:
                text = f"{self.where} was written {_TRIES} times while it was read. Try again when that has ended."
                raise DiagnosticError(error("State changes all the time", text))
        return data or None

    def read_journal(self) -> Records:
        """The journal, as it was when the snapshot was read."""
        if self._journal_seen is None:
            self.read()
        found, self._journal_seen = self._journal_seen, None
        if isinstance(found, JournalDamaged):
            raise found
        return found or Records()

    def read_backup(self) -> bytes | None:
        """The latest of the snapshots before."""
        head = self._head()
        return self._version(head.before) if head is not None and head.before is not None else None

    def read_old_journal(self) -> Records:
        """What was done between the two."""
        head = self._head()
        found = self._records(head.journal_before) if head is not None else Records()
        if isinstance(found, JournalDamaged):
            raise found
        return found

    def last_written(self) -> float | None:
        """When the snapshot or the journal was last written, by our clock: the server's may be another."""
        with reading(self.target):
            found = self._link.get(self.key, tail=TAIL, patience=self._patience)
            if found is None:
                return None
            head = split(found.body, self.where)[1]
            listed = self._link.keys(journals.prefix(self.key, head.journal)) if head is not None else []
        latest = max([found.modified, *(each.modified for each in listed)])
        return time.time() - max(found.modified + found.age - latest, 0.0)

    def versions(self) -> list[Version]:
        """The snapshots before, the latest first."""
        with reading(self.target):
            listed = self._link.keys(self._folder, self._patience)
        found = [_version(each.key[len(self._folder) :]) for each in listed]
        return [version for version in reversed(found) if version is not None]

    def read_version(self, version: str) -> bytes | None:
        """The snapshot of that id."""
        if not version.isdecimal():
            return None
        with reading(self.target):
            listed = self._link.keys(f"{self._folder}{int(version):010d}-", self._patience)
        return self._version(listed[0].key) if listed else None

    # -- the lock -------------------------------------------------------------------------------

    def lock(self, operation: str, timeout: float) -> leases.Lease:
        """Take the lock. Raises DiagnosticError when another holds it, or the server cannot lock."""
        self._forget()
        self._lease = leases.acquire(self._link, self._lock_key, self.where, operation, timeout, self._fence)
        return self._lease

    def holder(self) -> Holder | None:
        """Who holds the lock now."""
        with reading(self.target):
            return leases.holder_of(self._link, self._lock_key, self._patience)

    def break_lock(self, lock_id: str) -> None:
        """Take the lock away from its holder, whose writes are refused as soon as another takes it."""
        leases.break_it(self._link, self._lock_key, self.where, lock_id)

    def _fence(self, was_locked: bool) -> None:
        """Have all refused that others would still write. Raises what the library raises."""
        patience = self._patience
        for _ in range(_TRIES):
            found = self._link.get(self.key, patience=patience)
            if found is None and not was_locked:
                return
            data, head = split(found.body, self.where) if found is not None else (b"", None)
            new = replace(head, write=uuid.uuid4().hex) if head is not None else Head(size=len(data))
            try:
                self._put(data, new, found.etag if found is not None else None)
            except Refused:
                # that was the other's last word
                continue
            journals.seal(self._link, self.key, new.journal, patience)
            self._forget()
            return
        text = f"{self.where} is written by somebody else all the time, without the lock. {_OTHERS}."
        raise DiagnosticError(error("State cannot be locked", text))

    # -- writing --------------------------------------------------------------------------------

    def open_journal(self, header: bytes, position: Any) -> journals.S3Journal:
        """The journal's objects."""
        self._journal_seen = None
        with writing(self.target):
            head = self._head_for_journal()
            if position is None:
                position = self._begin(head, header)
            elif position[0] != head.journal:
                self._refuse()
        return journals.S3Journal(self._link, self.key, position, self._still_ours, self._refuse)

    def write(self, data: bytes, *, serial: int, keep_journal: bool) -> None:
        """Make this the current snapshot; the one before becomes a version, and the journal goes with it."""
        self._journal_seen = None
        patience = self._patience
        with writing(self.target):
            self._still_ours()
            old = self._current()
            # what is there before this write, and is not what it goes on from, is of no use to anybody any more
            listed = self._link.keys(f"{self.key}.hythe", patience)
            head = Head(size=1, serial=0) if old is None or old.head is None else old.head
            before = None
            try:
                if old is not None and head.size and self.target.versions:
                    before = f"{self._folder}{head.number:010d}-{head.serial}-{head.size}-{head.at}"
                    self._link.copy(self.key, old.etag, before, patience)
                keep = head.journal if keep_journal and before is not None else None
                new = Head(head.number + 1, serial, len(data), int(time.time()), before=before, journal_before=keep)
                self._put(data, new, old.etag if old is not None else None)
            except Refused:
                self._refuse()
        # from here on all is well, so nothing below may fail the write
        with contextlib.suppress(*failures()):
            self._link.delete(self._outdated(listed, keep, before), 0.0)

    def delete(self) -> None:
        """Remove the state with all versions, and its lock."""
        self._journal_seen = None
        with writing(self.target):
            old = self._current()
            listed = self._link.keys(f"{self.key}.hythe", self._patience)
            if old is not None:
                try:
                    # nobody else goes on from it any more
                    self._put(b"", Head(), old.etag)
                except Refused:
                    self._refuse()
            self._still_ours()
            gone = [each.key for each in listed if each.key != self._lock_key]
            self._link.delete([*gone, self.key], self._patience)
        self._forget()
        if self._lease is not None:
            self._lease.vanish = True

    def close(self) -> None:
        """Give the connections up; they are made again when they are needed."""
        self._link.close()

    # -- inside ---------------------------------------------------------------------------------

    @property
    def _grip(self) -> leases.Lease | None:
        """What writes are checked against. A lease that was lost still counts; one that was given up does not."""
        return None if self._lease is None or self._lease.given_up else self._lease

    @property
    def _patience(self) -> float:
        """One who holds the lock waits for the server."""
        return self.target.retry_for if self._grip is not None else 0.0

    @property
    def _lock_key(self) -> str:
        return f"{self.key}.hythelock"

    @property
    def _folder(self) -> str:
        return f"{self.key}.hytheversions/"

    def _forget(self) -> None:
        self._looked, self._seen, self._journal_seen = False, None, None

    def _current(self) -> Seen | None:
        """The object that a write goes on from, as it was read or written last. Raises what the library raises."""
        if not self._looked:
            found = self._link.get(self.key, tail=TAIL, patience=self._patience)
            self._seen = Seen(found.etag, split(found.body, self.where)[1]) if found is not None else None
            self._looked = True
        return self._seen

    def _head(self) -> Head | None:
        with reading(self.target):
            seen = self._current()
        return seen.head if seen is not None else None

    def _records(self, journal: str | None) -> Records | JournalDamaged:
        if journal is None:
            return Records()
        with reading(self.target):
            try:
                return journals.read(self._link, self.key, journal, self._patience)
            except JournalDamaged as failure:
                return failure

    def _version(self, key: str) -> bytes | None:
        with reading(self.target):
            found = self._link.get(key, patience=self._patience)
        return split(found.body, self.where)[0] if found is not None else None

    def _put(self, data: bytes, head: Head, etag: str | None) -> None:
        """Write the state's object in place of that one. Raises Refused, and what the library raises."""
        body, patience = join(data, head), self._patience
        try:
            if etag is None:
                made = self._link.create(self.key, body, patience)
            else:
                made = self._link.replace(self.key, body, etag, patience)
        except Refused:
            found = self._link.get(self.key, tail=TAIL, patience=patience)
            told = split(found.body, self.where)[1] if found is not None else None
            if found is None or told is None or told.write != head.write:
                raise
            # the answer of the try before was lost
            made = found.etag
        self._looked, self._seen = True, Seen(made, head)

    def _head_for_journal(self) -> Head:
        """What names the journal, written where it is not there yet. Raises OSError, and what the library raises."""
        seen = self._current()
        if seen is not None and seen.head is not None:
            return seen.head
        try:
            data = self._rest(seen)
            self._put(data, Head(size=len(data)), seen.etag if seen is not None else None)
        except Refused:
            self._refuse()
        assert self._seen is not None
        assert self._seen.head is not None
        return self._seen.head

    def _rest(self, seen: Seen | None) -> bytes:
        """The snapshot of the object that was seen."""
        if seen is None:
            return b""
        found = self._link.get(self.key, patience=self._patience)
        if found is None or found.etag != seen.etag:
            raise Refused
        return split(found.body, self.where)[0]

    def _begin(self, head: Head, header: bytes) -> tuple[str, int]:
        """A new journal in place of the one that is there; where its records go on. Raises OSError."""
        if journals.begin(self._link, self.key, head.journal, 0, header):
            return head.journal, 1
        listed = self._link.keys(journals.prefix(self.key, head.journal), self._patience)
        number = len(listed)
        if not all(map(journals.is_seal, listed)):
            # its records were taken in
            head, number = replace(head, journal=uuid.uuid4().hex, write=uuid.uuid4().hex), 0
            try:
                seen = self._current()
                self._put(self._rest(seen), head, seen.etag if seen is not None else None)
            except Refused:
                self._refuse()
            with contextlib.suppress(*failures()):
                self._link.delete([each.key for each in listed if not journals.is_seal(each)])
        if not journals.begin(self._link, self.key, head.journal, number, header):
            self._refuse()
        return head.journal, number + 1

    def _outdated(self, listed: list[Listed], kept: str | None, before: str | None) -> list[str]:
        """Of what was there: journals that nothing goes on with, and versions that are too many."""
        journal, folder, gone = f"{self.key}.hythejournal/", self._folder, []
        for each in listed:
            if each.key.startswith(journal) and each.key[len(journal) :].partition("/")[0] != kept:
                recent = time.time() - each.modified < journals.KEPT_SEALS
                if not (journals.is_seal(each) and recent):
                    gone.append(each.key)
        versions = sorted({e.key for e in listed if e.key.startswith(folder)} | ({before} if before else set()))
        return gone + versions[: max(len(versions) - self.target.versions, 0)]

    def _still_ours(self) -> None:
        if self._grip is not None:
            self._grip.still_ours()

    def _refuse(self) -> NoReturn:
        """Say why a write was not accepted. Raises OSError, and what the library raises."""
        grip = self._grip
        if grip is None:
            raise journals.lost_without_lock(_LOCK)
        seen = leases.look(self._link, self._lock_key, self._patience)
        if seen is not None and seen[0].is_of(grip.holder):
            raise ServerFailed("another process wrote it without taking the lock", _OTHERS)
        grip.lost = True
        how = leases.how_lost(seen[0] if seen is not None else None)
        raise LeaseLost(f"the lock on {self.where} was lost: {how}")


def _version(name: str) -> Version | None:
    """The version of that name, None where no version has it."""
    parts = name.split("-")
    if len(parts) != 4 or not all(part.isdecimal() for part in parts):
        return None
    number, serial, size, at = map(int, parts)
    return Version(str(number), serial, float(at), size)


class S3Storage(Storage):
    """The states of all workspaces below one key. ``secrets`` are never to be shown or logged."""

    name = "s3"

    def __init__(self, target: Target) -> None:
        self.target, self.secrets = target, target.secrets

    def backend(self, workspace: str) -> S3Backend:
        """The state of that workspace."""
        return S3Backend(self.target, workspace)

    def workspaces(self) -> list[str]:
        """Those whose object is there."""
        link = Link(self.target)
        try:
            with reading(self.target):
                names = link.folders(f"{self.target.prefix}/")
                found = link.get_all([self.target.key_of(name) for name in names if name != DEFAULT_WORKSPACE])
        finally:
            link.close()
        others = [name for name in names if name != DEFAULT_WORKSPACE]
        return sorted({DEFAULT_WORKSPACE, *(n for n, there in zip(others, found, strict=True) if there is not None)})

    @property
    def where(self) -> str:
        """Server, bucket and key."""
        return f"{self.target.key} in {self.target.server}"


def open_storage(settings: Settings, root: str, environment: Mapping[str, str]) -> S3Storage:
    """The states in the bucket that settings and environment name. Raises DiagnosticError.

    ``root`` is the configuration's folder, which paths in the arguments are relative to; nothing is kept in it. No
    connection is made before it is needed.
    """
    return S3Storage(resolve(settings, environment, root))
