"""What is stored on the server: a snapshot; and, while a journal is open, a note of where that journal is.

A snapshot is stored as it is. With a note, the body is one JSON object, whose first line is its head::

    {"hythe_journal_note":{"id":...,"host":...,...},"serial":8,"size":512,"snapshot":
    <the snapshot of that many bytes, or null where there is none yet>}

Servers that keep versions take the top-level ``serial`` for their number, so it grows with each write, and one that was
used up by a note is not used again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import orjson

_START = b'{"hythe_journal_note":'
_SERIAL = re.compile(rb'"serial":\s*(\d{1,18})\b')
_HEAD = 1024


@dataclass(frozen=True, slots=True)
class Note:
    """Where the journal is of an apply that has begun and not ended. ``id`` names it, ``root`` is its folder.

    ``since`` is an ISO 8601 time.
    """

    id: str
    host: str
    pid: int
    who: str
    since: str
    root: str
    journal: str


@dataclass(frozen=True, slots=True)
class Stored:
    """What is on the server. ``serial`` is the number of that write, 0 where nothing was written."""

    snapshot: bytes | None = None
    note: Note | None = None
    serial: int = 0


def decode(body: bytes) -> Stored:
    """What a body holds. One that begins with a note and then makes no sense is given as a snapshot: it is damaged."""
    if not body.strip():
        return Stored()
    if not body.startswith(_START):
        return Stored(body, None, serial_of(body))
    head, newline, rest = body.partition(b"\n")
    try:
        told = orjson.loads(head + b"null}")
        note = _note(told["hythe_journal_note"])
        serial, size = int(told["serial"]), int(told["size"])
    except (ValueError, KeyError, TypeError):
        return Stored(body, None, 0)
    snapshot = rest[:-1]
    if not newline or not rest.endswith(b"}") or len(snapshot) != size:
        return Stored(body, None, serial)
    return Stored(None if snapshot == b"null" else snapshot, note, serial)


def encode(snapshot: bytes | None, note: Note | None, serial: int) -> bytes:
    """The body for a write whose number is ``serial``: the snapshot itself where it has that number and no note."""
    if note is None and snapshot is not None and serial_of(snapshot) in (serial, 0):
        return snapshot
    content = b"null" if snapshot is None else snapshot
    told = asdict(note) if note is not None else None
    head = orjson.dumps({"hythe_journal_note": told, "serial": serial, "size": len(content)})
    return b'%s,"snapshot":\n%s}' % (head[:-1], content)


def serial_of(snapshot: bytes) -> int:
    """The serial that a snapshot tells near its beginning, 0 where it tells none."""
    found = _SERIAL.search(snapshot, 0, _HEAD)
    return int(found[1]) if found else 0


def _note(told: Mapping[str, Any] | None) -> Note | None:
    if told is None:
        return None
    texts = {f.name: str(told[f.name]) for f in fields(Note) if f.name != "pid"}
    return Note(pid=int(told["pid"]), **texts)
