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
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hythe.state.backends.disk import Disk, write_all
from hythe.state.journal import JournalDamaged

_HEAD = re.compile(rb"#(\d{1,12}) ([0-9a-f]{8}) ([0-9a-f]{8})\n")
_LONGEST_HEAD = 40
_ZEROS = re.compile(rb"\0+")
_SECTOR = 512


@dataclass(slots=True)
class Content:
    """What is in a journal file. ``last`` is the last whole frame, ``end`` where it ends, ``crc`` its checksum."""

    records: list[bytes] = field(default_factory=list)
    end: int = 0
    crc: int = 0
    last: bytes = b""


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
        try:
            head, end = _head(data, at)
            body = data[head.end() : end]
            crc = zlib.crc32(body, content.crc)
            if len(body) < int(head[1]) or crc != int(head[2], 16):
                raise JournalDamaged(at, "a record does not match its checksum")
        except JournalDamaged:
            if _cut_short(data, at):
                return content
            raise
        content.records += body.splitlines()
        content.end, content.crc, content.last = end, crc, data[at:end]
    return content


def _head(data: bytes, at: int) -> tuple[re.Match[bytes], int]:
    """The head of the frame at that place, and where the frame ends. Raises :class:`JournalDamaged`."""
    head = _HEAD.match(data, at)
    if head is None:
        raise JournalDamaged(at, "a record's head is not readable")
    if int(head[3], 16) != zlib.crc32(data[at : head.end(2)]):
        raise JournalDamaged(at, "a record's head does not match its checksum")
    return head, head.end() + int(head[1])


def _cut_short(data: bytes, at: int) -> bool:
    """Whether what begins at ``at`` looks like the last write, which did not end.

    Then nothing was written behind it, and it ends too early or has gaps: after a power failure a file may have its
    length but not all of its content, and reads as zeros where the disk's sectors were not filled in.
    """
    try:
        head, end = _head(data, at)
    except JournalDamaged:
        # of what is shorter than a head, nothing else can be said
        ends_early = len(data) - at < _LONGEST_HEAD and b"\n" not in data[at:].rstrip(b"\0")
        behind = at + 1
    else:
        ends_early, behind = len(data) < end, head.end()
        if len(data) > end:
            return False
    return ends_early or (_has_gap(data, at) and not _has_head(data, behind))


def _has_gap(data: bytes, at: int) -> bool:
    """Whether zeros fill a sector, the part of one that belongs to what begins at ``at``, or the end of the file."""

    def is_edge(place: int) -> bool:
        return place == at or place % _SECTOR == 0

    for gap in _ZEROS.finditer(data, at):
        start, end = gap.span()
        if end == len(data) or end - start >= _SECTOR or (is_edge(start) and is_edge(end)):
            return True
    return False


def _has_head(data: bytes, at: int) -> bool:
    """Whether a frame begins anywhere behind ``at``."""
    return any(int(head[3], 16) == zlib.crc32(data[head.start() : head.end(2)]) for head in _HEAD.finditer(data, at))


class JournalFile:
    """A journal as a file. Methods raise OSError."""

    def __init__(
        self,
        path: str,
        header: bytes,
        content: Content | None = None,
        *,
        disk: Disk | None = None,
        fsync: Callable[[int], None] | None = None,
    ) -> None:
        """``content``: what is in the file already (see :func:`decode_journal`), to go on after it.

        Without it, the file is made anew.
        """
        self.path = path
        self._disk = disk or Disk()
        self._fsync = fsync or self._disk.sync
        fresh = content is None or content.end == 0
        if fresh:
            # what was done to the folder before must not be lost when the old file, which may record it, is gone
            self._disk.sync_folder(path)
        self._file = self._disk.make(path) if fresh else self._disk.open(path)
        self._end, self._crc = (0, 0) if content is None else (content.end, content.crc)
        try:
            if fresh:
                self._write([header])
                self._disk.sync_folder(path)
            elif content is not None:
                self._take_over(content)
        except OSError:
            self._disk.close(self._file)
            raise

    def write(self, records: Sequence[bytes]) -> None:
        """Append a frame, durable when this returns. A frame that failed leaves nothing."""
        try:
            self._write(records)
        except OSError:
            # a frame that is there in part must not be followed by others
            with contextlib.suppress(OSError):
                self._disk.truncate(self._file, self._end)
                self._disk.sync(self._file)
            raise

    def close(self) -> None:
        """Close the file."""
        self._disk.close(self._file)

    def _write(self, batch: Sequence[bytes]) -> None:
        frame, crc = encode_frame(batch, self._crc)
        at = write_all(self._disk, self._file, frame, self._end)
        self._fsync(self._file)
        self._end, self._crc = at, crc

    def _take_over(self, content: Content) -> None:
        """Cut off what is no whole frame, and make durable what is.

        The last frame may never have reached the disk: its writer was killed before the sync, or was told that it
        failed, after which the system takes the file to be as it should be. So it is written once more. Nor may the
        file's name.
        """
        self._disk.truncate(self._file, self._end)
        write_all(self._disk, self._file, content.last, self._end - len(content.last))
        self._disk.sync(self._file)
        self._disk.sync_folder(self.path)
