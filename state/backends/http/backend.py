"""One state on a server: whole-state reads and writes, and a journal of our own beside them."""

from __future__ import annotations

import base64
import contextlib
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import md5, sha256
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from hythe.diagnostic import Diagnostic, DiagnosticError, error
from hythe.state.backends.base import Backend, LeaseLost, Records, ServerFailed
from hythe.state.backends.http.client import MAX_STATE, Answer, HttpClient, HttpFailure
from hythe.state.backends.http.files import LocalFiles
from hythe.state.backends.http.locking import HttpLock, ServerHolder, ServerLock
from hythe.state.backends.http.note import Note, Stored, decode, encode
from hythe.state.backends.http.settings import Endpoints, shown
from hythe.state.frames import JournalFile, decode_journal
from hythe.state.lock import Holder, acquire, describe_process

_NOTE = "journal-"
_LOST = (409, 412, 423)


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class NoteHolder(ServerHolder):
    """Whose journal is open elsewhere, nobody holding the lock."""

    journal: str = ""

    def __str__(self) -> str:
        return (
            f"`hythe {self.operation}` of {self.who} on {self.host}, process {self.pid}, since {self.since}, which did "
            f"not end: what it made is recorded in {self.journal} there, and forgotten with it"
        )


class HttpBackend(Backend):
    """The state at one address. ``on_used`` and ``on_deleted`` are called when it is locked, and when it is deleted."""

    name = "http"
    can_break = True
    rescue = (
        "Bring an earlier version back on the server, where it keeps them; or remove the state there, and put a copy "
        "in its place with `hythe state push`."
    )
    serial_step = 2
    """A session writes twice: that a journal is open, and at the end the snapshot."""

    def __init__(
        self,
        endpoints: Endpoints,
        files: LocalFiles,
        client: HttpClient,
        lock: ServerLock,
        *,
        on_used: Callable[[], None] = _nothing,
        on_deleted: Callable[[], None] = _nothing,
    ) -> None:
        self.where, self.journal_where = shown(endpoints.address), files.journal
        self._endpoints, self._files, self._client, self._server_lock = endpoints, files, client, lock
        self._on_used, self._on_deleted = on_used, on_deleted
        self._lock: HttpLock | None = None
        self._stored: Stored | None = None
        self.remark = self._remark()

    def _remark(self) -> str:
        locked = ""
        if not self._server_lock.exists:
            locked = " Nothing locks it there: lock_address and unlock_address are not set."
        folder = os.path.relpath(os.path.dirname(self.journal_where), self._files.root)
        return (
            f"{self.where} keeps whole states and has no leases: what an apply does is recorded in {folder} until it "
            f"ends. After an apply that was killed, run hythe apply again here, not on another machine.{locked}"
        )

    # -- reading --------------------------------------------------------------------------------

    def read(self) -> bytes | None:
        """The snapshot. Under a lock it is refused while an apply elsewhere has an open journal (DiagnosticError)."""
        try:
            self._stored = self._fetch()
        except HttpFailure as failure:
            raise DiagnosticError(error(failure.summary, f"The state cannot be read: {failure.strerror}.")) from None
        if self._lock is not None and self._is_foreign(self._stored.note):
            assert self._stored.note is not None
            raise DiagnosticError(self._elsewhere(self._stored.note))
        return self._stored.snapshot

    def read_journal(self) -> Records:
        """The journal of this folder. Raises DiagnosticError where the state went on without it."""
        try:
            with open(self._files.journal, "rb") as file:
                content = decode_journal(file.read())
        except FileNotFoundError:
            return Records()
        if not content.end:
            return Records()
        if self._stored is not None:
            # the snapshot after the journal's own may be anybody's, once its note was taken away by force
            ended = self._files.has_ended(_digest(self._stored.snapshot))
            if ended is None:
                raise DiagnosticError(self._left_behind())
            if ended:
                # only its removal is missing
                if self._lock is not None:
                    self._remove_journal()
                return Records()
        return Records(content.records, content)

    def last_written(self) -> float | None:
        """When the journal was last written; when the server wrote is not known."""
        try:
            return os.stat(self._files.journal).st_mtime
        except OSError:
            return None

    # -- the lock -------------------------------------------------------------------------------

    def lock(self, operation: str, timeout: float) -> HttpLock:
        """Take the lock of this folder, then the server's. Raises DiagnosticError when another holds one of them."""
        try:
            self._files.prepare()
        except OSError as failure:
            text = (
                f"{self._files.folder} cannot be made: {failure.strerror}. Hythe keeps its lock and its journal there."
            )
            raise DiagnosticError(error("State cannot be locked", text)) from None
        clock = self._server_lock.clock
        began = clock()
        local = acquire(self._files.lock, operation, timeout)
        try:
            self._server_lock.acquire(local.holder, max(timeout - (clock() - began), 0.0))
        except BaseException:
            local.release()
            raise
        self._lock = HttpLock(local, self._server_lock, self._unlocked)
        self._on_used()
        return self._lock

    def holder(self) -> Holder | None:
        """Who holds the lock; else who has an open journal elsewhere, its note's ID in place of the lock's.

        Raises DiagnosticError.
        """
        try:
            taken = self._server_lock.probe(describe_process("force-unlock"))
            if taken is not None and not self._server_lock.is_over(taken):
                return taken.holder
            note = self._fetch().note
        except HttpFailure as failure:
            raise DiagnosticError(error(failure.summary, f"{failure.strerror}.")) from None
        if note is None or not self._is_foreign(note):
            return None
        return NoteHolder(note.host, note.pid, note.who, note.since, "apply", note.id, note.journal)

    def break_lock(self, lock_id: str) -> None:
        """Take the lock away; or, for a note's ID, forget that journal. Raises DiagnosticError."""
        if lock_id.startswith(_NOTE):
            self._drop_note(lock_id)
            return
        try:
            taken = self._server_lock.probe(describe_process("force-unlock"))
            if taken is None:
                raise DiagnosticError(error("State is not locked", f"Nobody holds the lock of {self.where}."))
            if taken.holder.id and taken.holder.id != lock_id:
                text = f"{lock_id} is not the lock that is held now: that is {taken.holder}. Nothing was done."
                raise DiagnosticError(error("Another lock", text))
            self._server_lock.unlock(lock_id, taken.told)
            if taken.holder.id or self._server_lock.probe(describe_process("force-unlock")) is None:
                return
        except HttpFailure as failure:
            raise DiagnosticError(error(failure.summary, f"The lock stays: {failure.strerror}.")) from None
        text = f"The server did not give up the lock for the ID {lock_id}. It does not tell who holds it."
        raise DiagnosticError(error("Another lock", text))

    # -- writing --------------------------------------------------------------------------------

    def open_journal(self, header: bytes, position: Any) -> JournalFile:
        """The journal's file; the server is told of it first, unless it knows. Raises OSError."""
        self._refuse_foreign()
        stored = self._stored if self._stored is not None else self._fetch()
        self._files.prepare()
        known = stored.note is not None and stored.note.id == self._files.note()
        if position is not None and known:
            return JournalFile(self._files.journal, header, position)
        me = describe_process("apply")
        note = Note(_NOTE + str(uuid.uuid4()), me.host, me.pid, me.who, me.since, self._files.root, self._files.journal)
        # in this order: a note on the server is only ever of a journal that is there
        self._files.remember_journal(note.id, _digest(stored.snapshot))
        journal = JournalFile(self._files.journal, header, position)
        try:
            self._store(stored.snapshot, note, stored.serial + 1)
        except BaseException:
            journal.close()
            raise
        return journal

    def write(self, data: bytes, *, serial: int, keep_journal: bool) -> None:
        """Replace the state on the server, note and all. Raises OSError; :class:`LeaseLost` among them."""
        self._refuse_foreign()
        last = self._stored.serial if self._stored is not None else 0
        if os.path.exists(self._files.journal):
            self._files.remember_end(_digest(data))
        self._store(data, None, max(serial, last + 1))
        self._on_used()
        self._remove_journal()

    def _remove_journal(self) -> None:
        """What it holds is in the snapshot: one that stays is known for that."""
        with contextlib.suppress(OSError):
            os.unlink(self._files.journal)

    def delete(self) -> None:
        """Remove the state from the server and what is kept of it here. Raises OSError."""
        self._refuse_foreign()
        answer = self._client.request("DELETE", self._address())
        if answer.status in (*_LOST, 422) and self._lock is not None:
            # some servers delete nothing that is locked, whoever holds the lock
            with contextlib.suppress(HttpFailure):
                self._server_lock.unlock(self._lock.holder.id)
            answer = self._client.request("DELETE", self._endpoints.address)
        if not answer.is_fine and answer.status not in (404, 410):
            raise self._client.refusal(answer, "DELETE", self._endpoints.address, "the server")
        self._stored = Stored()
        self._files.delete()
        self._on_deleted()

    # -- the server -----------------------------------------------------------------------------

    def _fetch(self, *, retries: int | None = None) -> Stored:
        """What the server has. Raises :class:`HttpFailure`."""
        url = self._endpoints.address
        answer = self._client.request("GET", url, limit=MAX_STATE, retries=retries)
        if answer.status in (204, 404):
            return Stored()
        if answer.status != 200:
            raise self._client.refusal(answer, "GET", url, "the server")
        self._check_sum(answer)
        return decode(answer.body)

    def _check_sum(self, answer: Answer) -> None:
        told = answer.headers.get("content-md5")
        if not told or not answer.body:
            return
        if base64.b64encode(md5(answer.body, usedforsecurity=False).digest()).decode() != told.strip():
            text = (
                f"What came from {self.where} does not match its Content-MD5: it was damaged on the way or is damaged"
            )
            raise HttpFailure("State damaged on the way", text)

    def _store(self, snapshot: bytes | None, note: Note | None, serial: int) -> None:
        """Replace what is on the server. Raises OSError."""
        body, url, method = encode(snapshot, note, serial), self._address(), self._endpoints.update_method
        try:
            answer = self._client.request(method, url, body)
        except HttpFailure as failure:
            if not failure.doubtful or not self._has(body):
                raise
        else:
            # a server that keeps versions refuses the second of two equal ones
            if not answer.is_fine and not (answer.doubtful and self._has(body)):
                raise self._refused(answer, method, url)
        self._stored = Stored(snapshot, note, serial)

    def _refused(self, answer: Answer, method: str, url: str) -> OSError:
        refusal = self._client.refusal(answer, method, url, "update_method")
        if answer.status in _LOST and self._server_lock.exists and self._lock is not None:
            return LeaseLost(
                f"the server says that the lock is not held any more: somebody took it away. {refusal.strerror}"
            )
        return refusal

    def _has(self, body: bytes) -> bool:
        """Whether the server has exactly this: a write whose answer was lost."""
        try:
            answer = self._client.request("GET", self._endpoints.address, limit=MAX_STATE)
        except HttpFailure:
            return False
        return answer.status == 200 and answer.body == body

    def _address(self) -> str:
        """The address, with the lock's ID for the server to check."""
        if self._lock is None or not self._server_lock.exists:
            return self._endpoints.address
        parts = urlsplit(self._endpoints.address)
        query = [(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if k != "ID"]
        return urlunsplit(parts._replace(query=urlencode([*query, ("ID", self._lock.holder.id)])))

    def _unlocked(self, lock: HttpLock) -> None:
        if self._lock is lock:
            self._lock = None

    # -- the note -------------------------------------------------------------------------------

    def _is_foreign(self, note: Note | None) -> bool:
        """Whether the note is of a journal that is not to be had here."""
        return note is not None and not (note.id == self._files.note() and os.path.exists(self._files.journal))

    def _refuse_foreign(self) -> None:
        """For whoever writes without a lock. Raises OSError."""
        note = self._stored.note if self._stored is not None else None
        if note is not None and self._is_foreign(note):
            raise ServerFailed(self._elsewhere(note).detail.rstrip("."), "Go on there")

    def _elsewhere(self, note: Note) -> Diagnostic:
        me = describe_process("apply")
        began = f"An apply of {note.who} on {note.host} (process {note.pid}) that began at {note.since}"
        forget = (
            f"`hythe force-unlock {note.id}` goes on without it; look then for what that apply made (`hythe import`)."
        )
        if note.host == me.host and note.journal == self._files.journal:
            text = (
                f"{began} did not end, and the record of what it did, {note.journal}, is not there any more. Put it "
                "back from a copy and run `hythe apply`. Without it, objects may be made twice. Only if it is lost for "
                f"good: {forget}"
            )
            return error("Journal missing", text)
        other = "in another folder" if note.host == me.host else "on another machine"
        text = (
            f"{began} was interrupted, or still runs. The record of what it did is {note.journal} there. Without it, "
            f"objects could be made twice: run `hythe apply` on {note.host} in {note.root}, which goes on from it. "
            f"Only if that record is lost for good: {forget}"
        )
        return error(f"Journal {other}", text)

    def _left_behind(self) -> Diagnostic:
        return error(
            "Journal of another state",
            f"{self.journal_where} holds what an interrupted run did after a version of the state that {self.where} "
            "does not have any more: others went on without it. Put that version back on the server; or move the "
            "journal away, if what it records is to be forgotten, and look for what that run made (`hythe import`).",
        )

    def _drop_note(self, note_id: str) -> None:
        """Forget a journal that is elsewhere or lost. Raises DiagnosticError."""
        with self.lock("force-unlock", 0.0):
            try:
                stored = self._fetch()
                if stored.note is None or stored.note.id != note_id:
                    now = f"the note there is {stored.note.id}" if stored.note is not None else "there is none"
                    text = f"{self.where} has no note of the journal {note_id}: {now}. Nothing was done."
                    raise DiagnosticError(error("Another journal", text))
                self._store(stored.snapshot, None, stored.serial + 1)
            except OSError as failure:
                text = f"The note stays: {failure.strerror or failure}."
                raise DiagnosticError(error("State not written", text)) from None


def _digest(snapshot: bytes | None) -> str:
    return sha256(snapshot or b"").hexdigest()
