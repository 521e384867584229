"""A sealed journal: how its records are sealed one by one, and opened again.

Each run that appends begins a section. Its first record is a sealed document (see
:mod:`hythe.state.encryption.sealing`) that says where in the journal it starts and what came before; the first
section's holds the journal's own header. Every record after it is a string of base64, sealed with the section's keys
together with the section's name and the record's place in the journal. So a record that was changed, moved, left
out, repeated or taken from another journal does not open; only what is cut off at the end cannot be told from what
was never written.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson

from hythe.diagnostic import DiagnosticError, error
from hythe.state.backends.base import Medium, Records
from hythe.state.encryption.sealing import BadSeal, Seal, is_sealed
from hythe.state.encryption.target import Method, Opened, Target


@dataclass(slots=True)
class Section:
    """A section of a journal. ``next`` is the place of the next record; the journal's header has place 0."""

    name: str
    seal: Seal
    next: int

    def close(self, record: bytes, at: int) -> bytes:
        """A record as it is written at a place."""
        return b'"%s"' % self.seal.close(record, self._bound(at))

    def open(self, text: bytes, at: int) -> bytes:
        """What was written at a place. Raises :class:`BadSeal`."""
        if len(text) < 2 or text[:1] != b'"' or text[-1:] != b'"':
            raise BadSeal("tampered", "it is not sealed")
        return self.seal.open(text[1:-1], self._bound(at))

    def _bound(self, at: int) -> bytes:
        return b"hythe journal record 1\n%s\n%d" % (self.name.encode(), at)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a journal goes on: the backend's own ``position``, and what is known of the journal so far.

    ``after`` names what is there; ``opened`` is how its last section was, None where nothing is sealed.
    """

    position: Any
    lineage: str
    serial: int
    count: int
    after: str
    opened: Opened | None


def begin(target: Target, header: bytes) -> tuple[bytes, Section]:
    """The first record of a new journal, and the section that it begins."""
    said = orjson.loads(header)
    return _head(target, header, str(said.get("lineage", "")), said.get("serial", 0), 0, "")


def go_on(target: Target, place: Place) -> tuple[bytes, Section]:
    """The record that begins a further section."""
    return _head(target, b"", place.lineage, place.serial, place.count, place.after)


def _head(target: Target, plain: bytes, lineage: str, serial: int, start: int, after: str) -> tuple[bytes, Section]:
    name = secrets.token_hex(16)
    about = [("lineage", lineage), ("serial", serial), ("id", name), ("start", start), ("after", after)]
    data, seal = target.close(plain, "journal", about)
    return data, Section(name, seal, start + (start == 0))


@dataclass(slots=True)
class _Reader:
    target: Target
    where: str
    plain: list[bytes] = field(default_factory=list)
    section: Section | None = None
    opened: Opened | None = None

    def head(self, record: bytes) -> None:
        """Take in the record that begins a section."""
        document = self.target.read(record, "journal", self.where)
        opened = self.target.open(document, self.where)
        about, start = document.about, len(self.plain)
        if (about.get("start"), about.get("after")) != (start, self.after):
            raise BadSeal("tampered", "it does not belong at this place")
        if start == 0:
            self.plain.append(opened.plain)
        self.opened = opened
        self.section = Section(str(about.get("id")), opened.seal, len(self.plain))

    @property
    def after(self) -> str:
        """What names all that was read so far."""
        if self.section is not None:
            return self.section.name
        return sha256(b"\n".join(self.plain)).hexdigest() if self.plain else ""

    def body(self, record: bytes) -> None:
        """Take in any other record."""
        if self.section is None:
            if not self.plain and not record.startswith(b'{"hythe_journal":'):
                raise BadSeal("tampered", "it is no header")
            self.target.refuse_plain("Journal", self.where)
            self.plain.append(record)
            return
        self.plain.append(self.section.open(record, len(self.plain)))


def open_records(target: Target, records: Records, where: str) -> Records:
    """A journal's records, opened; their position is a :class:`Place`. Raises DiagnosticError."""
    reader = _Reader(target, where)
    for number, record in enumerate(records.records):
        try:
            (reader.head if is_sealed(record) else reader.body)(record)
        except BadSeal as failure:
            raise DiagnosticError(_bad(failure, number, where)) from failure
    if records.position is None and not records.records:
        return Records()
    lineage, serial = _named(reader.plain)
    place = Place(records.position, lineage, serial, len(reader.plain), reader.after, reader.opened)
    return Records(reader.plain, place)


def _named(plain: list[bytes]) -> tuple[str, int]:
    try:
        said = orjson.loads(plain[0])
        return str(said["lineage"]), int(said["serial"])
    except (IndexError, ValueError, KeyError, TypeError):
        return "", 0


def _bad(failure: BadSeal, number: int, where: str) -> Any:
    if failure.sort == "newer":
        text = f"{where} was written by a newer Hythe: {failure}. Use that version to go on."
        return error("Journal from a newer version", text)
    text = (
        f"{where}, the record of what an interrupted run did, was changed: record {number + 1} does not open ({failure}"
        "), although the key is the right one. It was tampered with, moved, or damaged, and what follows it cannot be "
        "trusted, so going on might make objects twice. Restore it from a copy; or move it away to go on from the last "
        "snapshot, and look for objects that Hythe made (they carry the label `dev.hythe.lineage`) with `hythe import` "
        "for those that the plan wants to create."
    )
    return error("Encrypted journal tampered with", text)


class SealedMedium:
    """A journal open for writing whose records are sealed."""

    def __init__(self, inner: Medium, section: Section, head: bytes | None = None) -> None:
        """``head`` is the record that begins the section, where it is not written yet."""
        self._inner, self._section, self._head = inner, section, head
        self._failed: list[tuple[bytes, bytes]] = []

    def write(self, records: Sequence[bytes]) -> None:
        """Append records, durable when this returns. Raises OSError."""
        sealed = list(self._again(records))
        section = self._section
        for at, record in enumerate(records[len(sealed) :], section.next + len(sealed)):
            sealed.append(section.close(record, at))
        try:
            self._inner.write(sealed if self._head is None else [self._head, *sealed])
        except BaseException:
            self._failed = list(zip(records, sealed, strict=True))
            raise
        self._head, self._failed = None, []
        section.next += len(sealed)

    def _again(self, records: Sequence[bytes]) -> list[bytes]:
        """What records that failed were sealed as: the backend may know these bytes already."""
        out = []
        for record, (before, sealed) in zip(records, self._failed, strict=False):
            if record != before:
                break
            out.append(sealed)
        return out

    def close(self) -> None:
        """Close the journal."""
        self._inner.close()


def method_of(opened: Opened, provider: str) -> Method:
    """A method that seals with the very key that something was opened with."""
    return Method("the journal's own", _Same(opened.key, provider))


class _Same:
    name = "the journal's own key"

    def __init__(self, key: Any, provider: str) -> None:
        self._key, self.provider = key, provider

    def writing(self) -> Any:
        return self._key

    def reading(self, parameters: Any) -> Any:
        return self._key

    def confirm(self, key: Any) -> bool:
        return True
