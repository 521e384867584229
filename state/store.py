"""The state store: where commands read the state, and open it for writing."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from hythe.diagnostic import Diagnostic, DiagnosticError, error
from hythe.state.backends.local import LocalFiles
from hythe.state.codec import (
    BadSnapshot,
    Flaw,
    Snapshot,
    decode_intent,
    decode_result,
    decode_snapshot,
    encode_snapshot,
)
from hythe.state.journal import Content, JournalDamaged, decode_journal
from hythe.state.lock import Holder, Lock
from hythe.state.model import Intent, State
from hythe.state.session import Loaded, Session

__all__ = ["Loaded", "Session", "StateStore"]

JOURNAL_VERSION = 1


def new_lineage() -> str:
    """A name for a new state."""
    return str(uuid.uuid4())


class StateStore:
    """The state at a path. Every method raises DiagnosticError for what a user can mend."""

    def __init__(self, path: str, *, files: LocalFiles | None = None) -> None:
        self.files = files or LocalFiles(path)
        self.path = self.files.path

    def lock(self, operation: str, timeout: float = 0.0) -> Lock:
        """Take the lock, waiting up to ``timeout`` seconds; a context manager."""
        return self.files.lock(operation, timeout)

    def holder(self) -> Holder | None:
        """Who holds the lock now."""
        return self.files.holder()

    def load(self) -> State:
        """The state as recorded; operations that were left open are not settled in it."""
        return self.read().state

    def read(self, lineage: str | None = None) -> Loaded:
        """Snapshot and journal together. ``lineage`` is for a state that does not exist yet (from a plan)."""
        data = self._bytes(self.files.read, self.files.path)
        content, header = self._journal()
        if data is None:
            return self._first(content, header, lineage)
        try:
            snapshot = decode_snapshot(data)
        except BadSnapshot as failure:
            raise DiagnosticError(self._bad(failure.flaw)) from failure
        state = snapshot.state
        loaded = Loaded(
            state, snapshot.pending, digest=snapshot.digest, base_serial=state.serial, next_seq=_after(snapshot.pending)
        )
        if header is not None and header["snapshot"] == snapshot.digest:
            self._replay(loaded, content)
        elif header is not None and (header["lineage"], header["snapshot"]) != (state.lineage, snapshot.previous):
            raise DiagnosticError(self._strange_journal(snapshot, header))
        # else the journal was taken in by this very snapshot, and only its removal is missing
        self._date(loaded)
        return loaded

    def begin(self, loaded: Loaded, operation: str = "apply") -> Session:
        """Open what was read for writing. The caller holds the lock since before reading."""
        return Session(self.files, loaded, operation)

    def write(self, loaded: Loaded, state: State) -> list[Diagnostic]:
        """Replace what was read by ``state`` in one step (``state mv``, ``rm``, ``push``)."""
        state.serial = max(state.serial, loaded.state.serial) + 1
        data, _ = encode_snapshot(state, loaded.pending, loaded.digest)
        try:
            self.files.write(data, keep_journal=False)
        except OSError as failure:
            text = f"{self.path} could not be written: {failure.strerror or failure}. It is as it was before."
            return [error("State not written", text)]
        return []

    # -- reading --------------------------------------------------------------------------------

    @staticmethod
    def _bytes(read: Callable[[], bytes | None], path: str) -> bytes | None:
        try:
            return read()
        except OSError as failure:
            text = f"{path} cannot be read: {failure.strerror or failure}. Check its permissions and the disk."
            raise DiagnosticError(error("State file not readable", text)) from failure

    def _journal(self) -> tuple[Content, dict[str, Any] | None]:
        data = self._bytes(self.files.read_journal, self.files.journal)
        try:
            content = decode_journal(data or b"")
            header = content.records[0] if content.records else None
            if header is not None and header["hythe_journal"] > JOURNAL_VERSION:
                text = f"{self.files.journal} was written by a newer Hythe. Use that version to go on."
                raise DiagnosticError(error("Journal from a newer version", text))
        except JournalDamaged as failure:
            raise DiagnosticError(self._damaged_journal(f"at byte {failure.offset} {failure}")) from failure
        except (KeyError, TypeError) as failure:
            raise DiagnosticError(self._damaged_journal("its first record is no header")) from failure
        return content, header

    def _first(self, content: Content, header: dict[str, Any] | None, lineage: str | None) -> Loaded:
        if header is None:
            return Loaded(State(lineage or new_lineage()), fresh=True)
        if header["snapshot"]:
            text = (
                f"{self.path} is not there, but {self.files.journal} holds records of what an interrupted run did "
                f"after it was written. Put the file back{self._from_backup(header['snapshot'])}; or remove the "
                "journal too, if this state is really to be forgotten."
            )
            raise DiagnosticError(error("State file missing", text))
        loaded = Loaded(State(header["lineage"]))
        self._replay(loaded, content)
        self._date(loaded)
        return loaded

    def _date(self, loaded: Loaded) -> None:
        if loaded.pending:
            loaded.last_record = self.files.last_written()

    def _from_backup(self, digest: str) -> str:
        try:
            backup = decode_snapshot(self.files.read_backup() or b"")
        except (OSError, BadSnapshot):
            return ""
        if backup.digest != digest:
            return ""
        return f" (`cp {self.files.backup} {self.path}`: the backup is the file that the journal goes on from)"

    def _replay(self, loaded: Loaded, content: Content) -> None:
        pending = {i.seq: i for i in loaded.pending}
        state = loaded.state
        try:
            for record in content.records[1:]:
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
                    state.serial += 1
                else:
                    raise ValueError(f"{', '.join(record)} is not known")
        except (ValueError, KeyError, TypeError, AttributeError) as failure:
            raise DiagnosticError(self._damaged_journal(f"a record makes no sense ({failure})")) from failure
        loaded.pending = tuple(pending.values())
        loaded.content = content
        loaded.recorded = len(content.records) - 1

    # -- words ----------------------------------------------------------------------------------

    def _bad(self, flaw: Flaw) -> Diagnostic:
        if flaw.sort == "newer":
            text = f"{self.path} was written by a newer Hythe: {flaw.text}. Use that version, or a newer one."
            return error("State from a newer version", text)
        if flaw.sort == "foreign":
            text = f"{self.path} is no state of Hythe: {flaw.text}. Name another file with --state, or move it away."
            return error("Not a state file", text)
        summaries = {"empty": "State file empty", "truncated": "State file truncated"}
        summary = summaries.get(flaw.sort, "State file damaged")
        return error(summary, f"{self.path} cannot be used: {flaw.text}. {self._rescue()}")

    def _rescue(self) -> str:
        """What to do about a snapshot that cannot be used."""
        files = self.files
        try:
            data = files.read_backup()
            backup = decode_snapshot(data) if data is not None else None
            digest = backup.digest if backup is not None else ""
        except (OSError, BadSnapshot):
            backup, digest = None, None
        back = f"mv {self.path} {self.path}.bad" if backup is None else f"cp {files.backup} {self.path}"
        for path, read in ((files.journal, files.read_journal), (files.old_journal, files.read_old_journal)):
            try:
                header = decode_journal(read() or b"").records[0]
            except (OSError, JournalDamaged, IndexError):
                continue
            if digest is not None and header.get("snapshot") == digest:
                move = "" if path == files.journal else f" && cp {path} {files.journal}"
                return (
                    f"Nothing is lost: `{back}{move}` brings back the state before, with the record of what was done "
                    "since; then run the command again."
                )
        if backup is None:
            return (
                "There is no usable backup beside it. Restore the file from a copy; or move it away, and take the "
                "objects back into a new state with `hythe import`."
            )
        return (
            f"The state before is in {files.backup} (serial {backup.state.serial}, {len(backup.state.instances)} "
            f"instances): `{back}` brings it back. What was made since is not in it; `hythe plan` shows the "
            "difference, and `hythe import` takes objects in."
        )

    def _damaged_journal(self, what: str) -> Diagnostic:
        return error(
            "Journal damaged",
            f"{self.files.journal}, the record of what an interrupted run did, is damaged: {what}. What it says after "
            "that place is lost, so going on might make objects twice. Restore the file from a copy; or move it away "
            "to go on from the last snapshot, and look for objects that Hythe made (they carry the label "
            "`dev.hythe.lineage`) with `hythe import` for those that the plan wants to create.",
        )

    def _strange_journal(self, snapshot: Snapshot, header: Mapping[str, Any]) -> Diagnostic:
        hint = self._from_backup(header["snapshot"])
        put_back = f"Put back the state that it belongs to{hint}" if hint else "Put back the state that it belongs to"
        return error(
            "Journal of another state",
            f"{self.files.journal} holds what an interrupted run did after serial {header['serial']} of the state, but "
            f"{self.path} is another version (serial {snapshot.state.serial}): the file was replaced meanwhile. "
            f"{put_back}; or move the journal away, if what it records is to be forgotten.",
        )


def _after(pending: tuple[Intent, ...]) -> int:
    return max((i.seq for i in pending), default=0) + 1
