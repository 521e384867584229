"""The journal: an object for each batch of records, numbered from 0, each written only where there is none.

Whoever takes the lock over from one who did not give it up puts a seal where that one would write next. So a holder
that was stopped, whenever it goes on, is refused what it wants to write, and all that it wrote before is read.
"""

from __future__ import annotations

import json
import uuid
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from hythe.state.backends.base import Records, ServerFailed
from hythe.state.backends.s3.failures import writing
from hythe.state.journal import JournalDamaged

if TYPE_CHECKING:
    from hythe.state.backends.s3.link import Link, Listed

SEAL = b"sealed\n"
"""All of a seal. It is known in a list by its size, which is less than that of any batch."""
KEPT_SEALS = 7 * 86400.0
"""How long seals stay when their journal is gone, in seconds: one who was stopped may still want to write there."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one object of a journal holds."""

    writer: str
    records: list[bytes]


def encode(writer: str, records: Sequence[bytes]) -> bytes:
    """The bytes of a batch."""
    data = b"".join(records)
    line = {"hythe_s3_journal": 1, "writer": writer, "sizes": [len(r) for r in records], "crc": zlib.crc32(data)}
    return json.dumps(line, separators=(",", ":")).encode() + b"\n" + data


def decode(body: bytes) -> Batch:
    """The batch in those bytes. Raises ValueError."""
    line, _, data = body.partition(b"\n")
    told = json.loads(line)
    try:
        sizes = [int(size) for size in told["sizes"]]
        if zlib.crc32(data) != told["crc"] or sum(sizes) != len(data):
            raise ValueError("is not what was written")
        records, at = [], 0
        for size in sizes:
            records.append(data[at : at + size])
            at += size
        return Batch(str(told["writer"]), records)
    except (KeyError, TypeError) as failure:
        raise ValueError("is not what was written") from failure


def prefix(base: str, journal: str) -> str:
    """What the keys of a journal's objects begin with."""
    return f"{base}.hythejournal/{journal}/"


def key(base: str, journal: str, number: int) -> str:
    """The key of one of its objects."""
    return f"{prefix(base, journal)}{number:08d}"


def is_seal(listed: Listed) -> bool:
    """Whether an object of a journal is a seal."""
    return listed.size == len(SEAL)


def read(link: Link, base: str, journal: str, patience: float) -> Records:
    """The records of a journal. Raises JournalDamaged when one is missing or is not what was written."""
    listed = link.keys(prefix(base, journal), patience)
    if not listed:
        return Records()
    for number, each in enumerate(listed):
        if each.key != key(base, journal, number):
            raise JournalDamaged(number, "is missing", "object")
    wanted = [(n, each.key) for n, each in enumerate(listed) if not is_seal(each)]
    records: list[bytes] = []
    for (number, _), found in zip(wanted, link.get_all([k for _, k in wanted], patience), strict=True):
        try:
            if found is None:
                raise ValueError("is missing")
            records += decode(found.body).records
        except ValueError as failure:
            raise JournalDamaged(number, str(failure), "object") from failure
    return Records(records, (journal, len(listed)) if records else None)


def seal(link: Link, base: str, journal: str, patience: float) -> None:
    """Let nobody go on with a journal who was at it. Raises what the library raises."""
    from hythe.state.backends.s3.link import Refused

    number = len(link.keys(prefix(base, journal), patience))
    while True:
        try:
            link.create(key(base, journal, number), SEAL, patience)
            return
        except Refused:
            # by a holder that is still at it, or by us, whose answer was lost: a second seal does no harm
            number += 1


class S3Journal:
    """A journal open for appending. ``place`` is its name, and the number that its next object has.

    ``still_ours`` raises LeaseLost when the lock may be another's by now; ``refuse`` raises why a write was not
    accepted.
    """

    def __init__(
        self,
        link: Link,
        base: str,
        place: tuple[str, int],
        still_ours: Callable[[], None],
        refuse: Callable[[], NoReturn],
    ) -> None:
        self._link, self._base = link, base
        self._journal, self._number = place
        self._still_ours, self._refuse = still_ours, refuse
        self._written: list[bytes] = []
        self._writer = uuid.uuid4().hex

    def write(self, records: Sequence[bytes]) -> None:
        """Append records, durable when this returns. Raises OSError; the same may then be written again."""
        from hythe.state.backends.s3.link import Refused

        target, left = self._link.target, list(records)
        if left[: len(self._written)] == self._written:
            # they were written before something else failed
            left = left[len(self._written) :]
        with writing(target):
            self._still_ours()
            while left:
                at = key(self._base, self._journal, self._number)
                try:
                    self._link.create(at, encode(self._writer, left), target.retry_for)
                    done = len(left)
                except Refused:
                    done = self._written_before(at, left)
                self._number += 1
                self._written += left[:done]
                left = left[done:]
            self._still_ours()
        self._written = []

    def close(self) -> None:
        """Nothing to close: the connections are the backend's."""

    def _written_before(self, at: str, records: list[bytes]) -> int:
        """How many of the records are there by a try before, whose answer was lost. Raises OSError when none are."""
        found = self._link.get(at, patience=self._link.target.retry_for)
        try:
            batch = decode(found.body) if found is not None else None
        except ValueError:
            batch = None
        if batch is None or batch.writer != self._writer or batch.records != records[: len(batch.records)]:
            self._refuse()
        return len(batch.records)


def begin(link: Link, base: str, journal: str, number: int, header: bytes) -> bool:
    """Write the header of a journal; False when somebody has begun it. Raises what the library raises."""
    from hythe.state.backends.s3.link import Refused

    body, at = encode(uuid.uuid4().hex, [header]), key(base, journal, number)
    try:
        link.create(at, body, link.target.retry_for)
        return True
    except Refused:
        found = link.get(at, patience=link.target.retry_for)
        return found is not None and found.body == body


def lost_without_lock(advice: str) -> ServerFailed:
    """What is said to one who has no lock when another wrote."""
    return ServerFailed("another process wrote it while this one was at work without a lock", advice)
