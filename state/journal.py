"""The journal: an append-only file of what was intended and what came of it.

The file is a row of frames. A frame is a head line and the records, one JSON object a line::

    #<bytes of records> <crc32 of records> <crc32 of the head before it>
    {...}
    {...}

The checksum of records goes on from that of the frame before, so a lost or moved frame shows. All
records that wait when a write begins become one frame: it is written, then made durable with one
fsync. The next frame is only written after that; so whatever is cut short by a crash is the last
frame, of which nobody was told that it is durable.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

_HEAD = re.compile(rb"#(\d{1,12}) ([0-9a-f]{8}) ([0-9a-f]{8})\n")
_LONGEST_HEAD = 40

Record = Mapping[str, Any]
"""A JSON object."""


class JournalDamaged(ValueError):
    """Bytes in the middle of a journal are not what was written. ``offset`` is where, in bytes."""

    def __init__(self, offset: int, text: str) -> None:
        super().__init__(text)
        self.offset = offset


class JournalFailed(Exception):
    """Records could not be made durable; ``cause`` is the OSError."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


@dataclass(slots=True)
class Content:
    """What is in a journal. ``end`` is where the last whole frame ends, ``crc`` its checksum."""

    records: list[dict[str, Any]] = field(default_factory=list)
    end: int = 0
    crc: int = 0


def encode_frame(records: Sequence[bytes], crc: int) -> tuple[bytes, int]:
    """A frame of encoded records after one whose checksum is ``crc``; also its own checksum."""
    body = b"\n".join(records) + b"\n"
    crc = zlib.crc32(body, crc)
    head = b"#%d %08x" % (len(body), crc)
    return b"%s %08x\n%s" % (head, zlib.crc32(head), body), crc


def decode_journal(data: bytes) -> Content:
    """The whole frames in ``data``; a last one that was cut short is left out.

    Raises :class:`JournalDamaged` when it cannot be that a write was merely cut short.
    """
    content = Content()
    while content.end < len(data):
        at = content.end
        head = _HEAD.match(data, at)
        if head is None:
            if _cut_short(data, at, at + _LONGEST_HEAD) and b"\n" not in data[at:].rstrip(b"\0"):
                return content
            raise JournalDamaged(at, "a record's head is not readable")
        if int(head[3], 16) != zlib.crc32(data[at : head.end(2)]):
            raise JournalDamaged(at, "a record's head does not match its checksum")
        end = head.end() + int(head[1])
        body = data[head.end() : end]
        crc = zlib.crc32(body, content.crc)
        if len(body) < int(head[1]) or crc != int(head[2], 16):
            if _cut_short(data, head.end(), end):
                return content
            raise JournalDamaged(at, "a record does not match its checksum")
        try:
            content.records += map(orjson.loads, body.splitlines())
        except ValueError as failure:
            raise JournalDamaged(at, f"a record makes no sense ({failure})") from failure
        content.end, content.crc = end, crc
    return content


def _cut_short(data: bytes, start: int, end: int) -> bool:
    """Whether bytes from ``start`` look like a write that did not end: nothing behind, or not filled in.

    After a power failure a file may have its length but not its content, which then reads as zeros.
    """
    return len(data) < end or (len(data) == end and b"\0" in data[start:])


class Journal:
    """A journal open for appending. Safe for any number of threads.

    A thread of its own writes; it is started with the first record. ``notify`` is called by it after
    each write that succeeded or failed, and must not block.
    """

    def __init__(
        self,
        path: str,
        header: Record,
        content: Content | None = None,
        *,
        notify: Callable[[], None] | None = None,
        fsync: Callable[[int], None] = os.fdatasync,
    ) -> None:
        """``content``: what is in the file already (see :func:`decode_journal`), to go on after it.

        Without it, the file is made anew. Raises OSError.
        """
        self.path = path
        self.notify = notify
        self._fsync = fsync
        self._changed = threading.Condition()
        self._waiting: list[bytes] = []
        self._appended = 0
        self._durable = 0
        self._failure: OSError | None = None
        self._closing = False
        self._thread: threading.Thread | None = None
        fresh = content is None or content.end == 0
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if fresh else 0)
        self._file = os.open(path, flags, 0o600)
        self._end, self._crc = (0, 0) if content is None else (content.end, content.crc)
        try:
            os.ftruncate(self._file, self._end)
            if fresh:
                self._write([orjson.dumps(header)])
                sync_folder(path)
        except OSError:
            os.close(self._file)
            raise

    # -- appending ------------------------------------------------------------------------------

    def append(self, *records: Record) -> int:
        """Hand over records to be written in this order; gives the ticket to wait for them with."""
        encoded = [orjson.dumps(r) for r in records]
        with self._changed:
            self._waiting += encoded
            self._appended += len(encoded)
            if self._thread is None and self._failure is None and not self._closing:
                self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
                self._thread.start()
            self._changed.notify_all()
            return self._appended

    @property
    def durable(self) -> int:
        """Tickets up to this one are durable."""
        return self._durable

    @property
    def failure(self) -> OSError | None:
        """Why nothing more can be written, None while all is well."""
        return self._failure

    def wait(self, ticket: int | None = None) -> None:
        """Block until the ticket (all that was appended, when None) is durable.

        Raises :class:`JournalFailed`.
        """
        with self._changed:
            wanted = self._appended if ticket is None else ticket
            while self._durable < wanted:
                if self._failure is not None:
                    raise JournalFailed(self._failure)
                self._changed.wait()

    def retry(self) -> None:
        """Write once more what could not be written; for when there may be room again.

        Raises :class:`JournalFailed`.
        """
        with self._changed:
            if self._failure is None:
                return
            try:
                if self._waiting:
                    self._commit(self._waiting)
            except OSError as failure:
                raise JournalFailed(failure) from failure
            self._durable = self._appended
            self._waiting.clear()
            self._failure = None
            self._thread = None

    def close(self) -> None:
        """Write what waits, where that is possible, and close the file; :meth:`wait` still tells the truth."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None:
            thread.join()
        os.close(self._file)

    # -- the writer -----------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if not self._waiting:
                    return
                batch, self._waiting = self._waiting, []
            failure: OSError | None = None
            try:
                self._commit(batch)
            except OSError as caught:
                failure = caught
            except Exception as caught:
                # whoever waits must never wait in vain
                failure = OSError(errno.EIO, f"{type(caught).__name__}: {caught}")
            with self._changed:
                if failure is None:
                    self._durable += len(batch)
                else:
                    self._failure = failure
                    self._waiting[:0] = batch
                self._changed.notify_all()
            if self.notify is not None:
                self.notify()
            if failure is not None:
                return

    def _commit(self, batch: Sequence[bytes]) -> None:
        try:
            self._write(batch)
        except OSError:
            # a frame that is there in part must not be followed by others
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._end)
            raise

    def _write(self, batch: Sequence[bytes]) -> None:
        frame, crc = encode_frame(batch, self._crc)
        left = memoryview(frame)
        at = self._end
        while left:
            written = os.pwrite(self._file, left, at)
            left, at = left[written:], at + written
        self._fsync(self._file)
        self._end, self._crc = at, crc


def sync_folder(path: str) -> None:
    """Make the entry of ``path`` in its folder durable. Raises OSError."""
    folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
