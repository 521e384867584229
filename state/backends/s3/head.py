"""The object of a state: its snapshot, and a last line that says what goes with it.

That line makes each write of it differ from all others, so that its ETag does too; ETags of equal bytes are equal.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, field

from hythe.diagnostic import DiagnosticError, error

FORMAT = 1
TAIL = 2048
"""More bytes than a last line has."""
_MARK = b'\n{"hythe_s3":'


@dataclass(frozen=True, slots=True)
class Head:
    """The last line.

    ``number`` counts snapshots, ``serial`` and ``size`` are the current one's, ``at`` is when its writer's clock says
    that it was written. ``journal`` names the journal that goes
    on from it. ``before`` is the key of the snapshot before, ``journal_before`` what led from that to the current one.
    ``write`` is another one with each write.
    """

    number: int = 0
    serial: int = 0
    size: int = 0
    at: int = 0
    journal: str = field(default_factory=lambda: uuid.uuid4().hex)
    before: str | None = None
    journal_before: str | None = None
    write: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True, slots=True)
class Seen:
    """A head as it was read or written. ``head`` is None for a file that somebody else put there."""

    etag: str
    head: Head | None


def join(snapshot: bytes, head: Head) -> bytes:
    """The object's bytes."""
    line = json.dumps({"hythe_s3": FORMAT, **asdict(head)}, separators=(",", ":"))
    return snapshot + b"\n" + line.encode() + b"\n"


def split(data: bytes, where: str) -> tuple[bytes, Head | None]:
    """Snapshot and last line; the snapshot is cut short where ``data`` is only the end of it.

    Raises DiagnosticError when a newer Hythe wrote it.
    """
    at = data.rfind(_MARK, max(0, len(data) - TAIL))
    if at < 0:
        return data, None
    try:
        told = json.loads(data[at:])
        version = told.pop("hythe_s3")
        if version > FORMAT:
            text = f"{where} is of format {version}, and this Hythe knows up to {FORMAT}. Use a newer version."
            raise DiagnosticError(error("State from a newer version", text))
        return data[:at], Head(**told)
    except (ValueError, TypeError):
        return data, None
