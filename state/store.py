"""The state store: where commands read the state, and open it for writing."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from hythe import __version__
from hythe.address import parse_address
from hythe.diagnostic import Diagnostic, DiagnosticError, error
from hythe.state.backends.base import Backend, Held, LeaseLost, Records
from hythe.state.codec import (
    SEALED,
    BadSnapshot,
    Flaw,
    Snapshot,
    decode_intent,
    decode_result,
    decode_snapshot,
    encode_snapshot,
)
from hythe.state.journal import JOURNAL_VERSION, JournalDamaged
from hythe.state.lock import Holder
from hythe.state.model import Intent, Origin, State
from hythe.state.rescue import put_back, put_back_lost, read_backup_snapshot, rescue
from hythe.state.session import Loaded, Session
from hythe.state.upgrade import upgrade_journal

__all__ = ["Loaded", "Session", "StateStore"]


def _nothing() -> None:
    pass


def new_lineage() -> str:
    """A name for a new state."""
    return str(uuid.uuid4())


class StateStore:
    """The state in a backend. Every method raises DiagnosticError for what a user can mend."""

    def __init__(self, backend: Backend, *, clock: Callable[[], float] = time.time) -> None:
        self.backend = backend
        self.clock = clock
        self.where = backend.where
        self.on_read: Callable[[], None] = _nothing
        """Called when the backend has answered."""

    def lock(self, operation: str, timeout: float = 0.0) -> Held:
        """Take the lock, waiting up to ``timeout`` seconds; a context manager."""
        return self.backend.lock(operation, timeout)

    def holder(self) -> Holder | None:
        """Who holds the lock now."""
        return self.backend.holder()

    def load(self) -> State:
        """The state as recorded; operations that were left open are not settled in it."""
        return self.read().state

    def read(self, lineage: str | None = None, *, lost_is_fresh: bool = False) -> Loaded:
        """Snapshot and journal together. ``lineage`` is for a state that does not exist yet (from a plan).

        One whose file is gone, though what is beside it shows that it held objects, is refused (see :meth:`lost`);
        unless ``lost_is_fresh``.
        """
        data = self._snapshot()
        journal, records, version = self._journal()
        header = records[0] if records else None
        if data is None:
            if not (records or lost_is_fresh) and (lost := self.lost()) is not None:
                raise DiagnosticError(error("State file missing", lost))
            return self._first(journal, records, version, lineage)
        try:
            snapshot = decode_snapshot(data)
        except BadSnapshot as failure:
            raise DiagnosticError(self._bad(failure.flaw)) from failure
        state = snapshot.state
        loaded = Loaded(
            state, snapshot.pending, digest=snapshot.digest, base_serial=state.serial, next_seq=_after(snapshot.pending)
        )
        if header is not None and header["snapshot"] == snapshot.digest:
            self._replay(loaded, journal, records, version)
        elif header is not None and (header["lineage"], header["snapshot"]) != (state.lineage, snapshot.previous):
            raise DiagnosticError(self._strange_journal(snapshot, header))
        else:
            # the journal was taken in by this very snapshot, and only its removal is missing
            loaded.left_over = header is not None
        self._date(loaded)
        return loaded

    def recovered(self, snapshot: Snapshot) -> Loaded:
        """A snapshot from before, and what a journal that goes on from it says was done since.

        For a state whose own snapshot cannot be read. Raises DiagnosticError.
        """
        loaded = Loaded(snapshot.state, snapshot.pending, digest=snapshot.digest, next_seq=_after(snapshot.pending))
        for read in (self.backend.read_journal, self.backend.read_old_journal):
            journal, records, version = self._journal(read)
            if records and records[0]["snapshot"] == snapshot.digest:
                self._replay(loaded, journal, records, version)
                break
        return loaded

    def journal_base(self) -> str | None:
        """The digest of the snapshot that the journal goes on from; None without a journal. Raises DiagnosticError."""
        _, records, _ = self._journal()
        return str(records[0]["snapshot"]) if records else None

    def begin(self, loaded: Loaded, operation: str = "apply") -> Session:
        """Open what was read for writing. The caller holds the lock since before reading.

        Raises DiagnosticError when the journal is of an older format and cannot be taken in.
        """
        if loaded.journal is not None and loaded.journal_version < JOURNAL_VERSION:
            loaded = self._take_in(loaded)
        return Session(self.backend, loaded, operation, clock=self.clock)

    def write(self, loaded: Loaded, state: State, operation: str, *, keep_serial: bool = False) -> list[Diagnostic]:
        """Replace what was read by ``state`` in one step (``state mv``, ``rm``, ``push``).

        ``keep_serial``: it is the very state that is elsewhere, and must be known as that.
        """
        if not keep_serial:
            state.serial = max(state.serial, loaded.state.serial) + 1
        data, _ = encode_snapshot(state, loaded.pending, loaded.digest, self._origin(operation))
        try:
            if loaded.left_over:
                # nothing could tell what a journal belongs to that outlives two snapshots
                loaded.open_journal(self.backend).close()
            self.backend.write(data, serial=state.serial, keep_journal=False)
        except OSError as failure:
            return [self._not_written(failure)]
        return []

    def _take_in(self, loaded: Loaded) -> Loaded:
        """Make a snapshot of what is in snapshot and journal: records of two formats must not be in one journal."""
        state, pending = loaded.state, loaded.pending
        data, digest = encode_snapshot(state, pending, loaded.digest, self._origin("upgrade"))
        try:
            self.backend.write(data, serial=state.serial, keep_journal=True)
        except OSError as failure:
            raise DiagnosticError(self._not_written(failure)) from failure
        return Loaded(state, pending, digest=digest, base_serial=state.serial, next_seq=loaded.next_seq)

    def _origin(self, operation: str) -> Origin:
        return Origin(self.clock(), __version__, operation)

    def _not_written(self, failure: OSError) -> Diagnostic:
        if isinstance(failure, LeaseLost):
            text = f"{self.where} was not written: {failure.strerror}. Nothing of another run was overwritten."
            return error("State lock lost", text)
        text = f"{self.where} could not be written: {failure.strerror or failure}. It is as it was before."
        return error("State not written", text)

    def close(self) -> None:
        """Give up connections; the store may be used again afterwards."""
        self.backend.close()

    # -- reading --------------------------------------------------------------------------------

    def _snapshot(self) -> bytes | None:
        try:
            data = self.backend.read()
        except OSError as failure:
            raise DiagnosticError(_unreadable(self.where, failure)) from failure
        self.on_read()
        return data

    def _journal(self, read: Callable[[], Records] | None = None) -> tuple[Records, list[dict[str, Any]], int]:
        """The journal as the backend has it, its records in today's format, the header first, and its version."""
        version = JOURNAL_VERSION
        try:
            journal = (read or self.backend.read_journal)()
            records = list(map(orjson.loads, journal.records))
            if any(record.startswith(SEALED) for record in journal.records):
                raise DiagnosticError(no_key(self.backend.journal_where))
            version = records[0]["hythe_journal"] if records else version
            if version > JOURNAL_VERSION:
                text = f"{self.backend.journal_where} was written by a newer Hythe. Use that version to go on."
                raise DiagnosticError(error("Journal from a newer version", text))
        except OSError as failure:
            raise DiagnosticError(_unreadable(self.backend.journal_where, failure)) from failure
        except JournalDamaged as failure:
            where = f"at {failure.unit} {failure.offset} {failure}"
            raise DiagnosticError(self._damaged_journal(where)) from failure
        except orjson.JSONDecodeError as failure:
            raise DiagnosticError(self._damaged_journal(f"a record makes no sense ({failure})")) from failure
        except (KeyError, TypeError) as failure:
            raise DiagnosticError(self._damaged_journal("its first record is no header")) from failure
        return journal, upgrade_journal(records, version), version

    def _first(
        self, journal: Records, records: Sequence[Mapping[str, Any]], version: int, lineage: str | None
    ) -> Loaded:
        if not records:
            return Loaded(State(lineage or new_lineage()), fresh=True)
        header = records[0]
        if header["snapshot"]:
            text = (
                f"{self.where} is not there, but {self.backend.journal_where} holds records of what an interrupted "
                f"run did after it was written. Put the state back{put_back(self.backend, header['snapshot'])}; or "
                "remove the journal too, if this state is really to be forgotten."
            )
            raise DiagnosticError(error("State file missing", text))
        loaded = Loaded(State(header["lineage"]))
        self._replay(loaded, journal, records, version)
        self._date(loaded)
        return loaded

    def lost(self) -> str | None:
        """How to bring a state back that held objects, and whose file alone is gone; None when that is not so.

        Going on without it would make them once more. One that held nothing but values may go: these come back as the
        configuration has them.
        """
        if self.backend.paths is None:
            return None
        try:
            backup = read_backup_snapshot(self.backend)
            last = self.recovered(backup or Snapshot(State("")))
        except (OSError, BadSnapshot, DiagnosticError):
            held = "objects"
        else:
            addresses = last.state.instances.keys() | {i.instance.address for i in last.pending}
            if not last.state.deposed and all(parse_address(a).kind == "value" for a in addresses):
                return None
            count = len(addresses) + len(last.state.deposed)
            held = "1 object" if count == 1 else f"{count:,} objects"
        advice = put_back_lost(self.backend)
        if advice is None:
            return None
        left = self.backend.paths.backup
        return (
            f"{self.where} is not there, and what is left beside it shows that it held {held}: going on without it "
            f"would make them once more. {advice} If it is really to be forgotten, move what is left of it away too "
            f"({left}, {left}.journal)."
        )

    def _date(self, loaded: Loaded) -> None:
        if loaded.pending:
            loaded.last_record = self.backend.last_written()

    def _replay(self, loaded: Loaded, journal: Records, records: Sequence[Mapping[str, Any]], version: int) -> None:
        pending = {i.seq: i for i in loaded.pending}
        state = loaded.state
        try:
            for record in records[1:]:
                if "intent" in record:
                    intent = decode_intent(record["intent"])
                    pending[intent.seq] = intent
                    loaded.next_seq = max(loaded.next_seq, intent.seq + 1)
                elif "result" in record:
                    result = decode_result(record["result"])
                    if result.seq is not None:
                        pending.pop(result.seq, None)
                    result.apply(state)
                elif "begin" in record:
                    state.serial += record["begin"].get("serials", 1)
                else:
                    raise ValueError(f"{', '.join(record)} is not known")
        except (ValueError, KeyError, TypeError, AttributeError) as failure:
            raise DiagnosticError(self._damaged_journal(f"a record makes no sense ({failure})")) from failure
        loaded.pending = tuple(pending.values())
        loaded.journal, loaded.journal_version = journal, version
        loaded.recorded = len(records) - 1

    # -- words ----------------------------------------------------------------------------------

    def _bad(self, flaw: Flaw) -> Diagnostic:
        if flaw.sort == "newer":
            text = f"{self.where} was written by a newer Hythe: {flaw.text}. Use that version, or a newer one."
            return error("State from a newer version", text)
        if flaw.sort == "foreign":
            text = f"{self.where} is no state of Hythe: {flaw.text}."
            if put_back_lost(self.backend) is not None:
                # it was one before
                return error("Not a state file", f"{text} {rescue(self.backend)}")
            return error("Not a state file", f"{text} Name another file with --state, or move it away.")
        if flaw.sort == "sealed":
            return no_key(self.where)
        summaries = {"empty": "State file empty", "truncated": "State file truncated"}
        summary = summaries.get(flaw.sort, "State file damaged")
        return error(summary, f"{self.where} cannot be used: {flaw.text}. {rescue(self.backend)}")

    def _damaged_journal(self, what: str) -> Diagnostic:
        return error(
            "Journal damaged",
            f"{self.backend.journal_where}, the record of what an interrupted run did, is damaged: {what}. What it "
            "says after that place is lost, so going on might make objects twice. Restore it from a copy; or move it "
            "away to go on from the last snapshot, and look for objects that Hythe made (they carry the label "
            "`dev.hythe.lineage`) with `hythe import` for those that the plan wants to create.",
        )

    def _strange_journal(self, snapshot: Snapshot, header: Mapping[str, Any]) -> Diagnostic:
        hint = put_back(self.backend, header["snapshot"])
        return error(
            "Journal of another state",
            f"{self.backend.journal_where} holds what an interrupted run did after serial {header['serial']} of the "
            f"state, but {self.where} is another version (serial {snapshot.state.serial}): the file was replaced "
            f"meanwhile. Put back the state that it belongs to{hint}; or move the journal away, if what it records is "
            "to be forgotten.",
        )


def no_key(where: str) -> Diagnostic:
    """What to say of encrypted data when no encryption is configured."""
    text = (
        f"{where} is encrypted, and no encryption is configured here. Put the encryption block that it was written "
        "with into the hythe block of this folder's configuration, or its inside into the environment variable "
        "HYTHE_ENCRYPTION."
    )
    return error("State is encrypted", text)


def _after(pending: tuple[Intent, ...]) -> int:
    return max((i.seq for i in pending), default=0) + 1


def _unreadable(where: str, failure: OSError) -> Diagnostic:
    text = f"{where} cannot be read: {failure.strerror or failure}. Check its permissions and the disk."
    return error("State file not readable", text)
