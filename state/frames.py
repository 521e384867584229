"""The journal's file: frames of records, appended.

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
import os
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hythe.state.journal import JournalDamaged

_HEAD = re.compile(rb"#(\d{1,12}) ([0-9a-f]{8}) ([0-9a-f]{8})\n")
_LONGEST_HEAD = 40


@dataclass(slots=True)
class Content:
    """What is in a journal file. ``end`` is where the last whole frame ends, ``crc`` its checksum."""

    records: list[bytes] = field(default_factory=list)
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
        content.records += body.splitlines()
        content.end, content.crc = end, crc
    return content


def _cut_short(data: bytes, start: int, end: int) -> bool:
    """Whether bytes from ``start`` look like a write that did not end: nothing behind, or not filled in.

    After a power failure a file may have its length but not its content, which then reads as zeros.
    """
    return len(data) < end or (len(data) == end and b"\0" in data[start:])


class JournalFile:
    """A journal as a file. Methods raise OSError."""

    def __init__(
        self,
        path: str,
        header: bytes,
        content: Content | None = None,
        *,
        fsync: Callable[[int], None] = os.fdatasync,
    ) -> None:
        """``content``: what is in the file already (see :func:`decode_journal`), to go on after it.

        Without it, the file is made anew.
        """
        self.path = path
        self._fsync = fsync
        fresh = content is None or content.end == 0
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if fresh else 0)
        self._file = os.open(path, flags, 0o600)
        self._end, self._crc = (0, 0) if content is None else (content.end, content.crc)
        try:
            os.ftruncate(self._file, self._end)
            if fresh:
                self._write([header])
                sync_folder(path)
        except OSError:
            os.close(self._file)
            raise

    def write(self, records: Sequence[bytes]) -> None:
        """Append a frame, durable when this returns. A frame that failed leaves nothing."""
        try:
            self._write(records)
        except OSError:
            # a frame that is there in part must not be followed by others
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._end)
            raise

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

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
