"""Diagnostics: what is wrong, where, why, and what to do about it.

Diagnostics are values. Code that finds a user's mistake collects them and goes on, so that one run
reports everything; exceptions are for bugs and for IO failures, and the edge turns those into
diagnostics. ``summary`` is a constant phrase per kind of problem (tools group by it); ``detail`` is
full sentences: what was found, why it is wrong, what to do.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace


class Severity(enum.Enum):
    """How bad it is: an error stops the command, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Range:
    """A stretch of a source file.

    Lines and columns count from 1; columns count characters. ``start`` and ``end`` are offsets in
    characters from 0, ``end`` exclusive.
    """

    filename: str
    line: int
    column: int
    start: int
    end_line: int
    end_column: int
    end: int

    def __str__(self) -> str:
        return f"{self.filename}:{self.line}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. ``related`` points at other places that matter, each with a short label."""

    severity: Severity
    summary: str
    detail: str = ""
    range: Range | None = None
    address: str | None = None
    related: tuple[tuple[str, Range], ...] = ()

    @property
    def is_error(self) -> bool:
        """Whether this stops the command."""
        return self.severity is Severity.ERROR

    def at(self, range: Range | None = None, address: str | None = None) -> Diagnostic:
        """This diagnostic with a place filled in where it has none yet."""
        return replace(self, range=self.range or range, address=self.address or address)


def error(
    summary: str,
    detail: str = "",
    range: Range | None = None,
    *,
    address: str | None = None,
    related: tuple[tuple[str, Range], ...] = (),
) -> Diagnostic:
    """An error diagnostic."""
    return Diagnostic(Severity.ERROR, summary, detail, range, address, related)


def warning(
    summary: str,
    detail: str = "",
    range: Range | None = None,
    *,
    address: str | None = None,
    related: tuple[tuple[str, Range], ...] = (),
) -> Diagnostic:
    """A warning diagnostic."""
    return Diagnostic(Severity.WARNING, summary, detail, range, address, related)


def as_warning(diagnostic: Diagnostic) -> Diagnostic:
    """The same, told as a warning."""
    return replace(diagnostic, severity=Severity.WARNING)


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """Whether any of them is an error."""
    return any(d.severity is Severity.ERROR for d in diagnostics)


class DiagnosticError(Exception):
    """Carries diagnostics out of a place that cannot return them (IO at the edge).

    Never crosses a room's public functions except where their docstring says so.
    """

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("; ".join(f"{d.summary}: {d.detail}" if d.detail else d.summary for d in diagnostics))
        self.diagnostics = diagnostics


_COMPARED = 2_000


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence `` Did you mean "x"?`` (with a leading space) for the nearest known word, or ''."""
    import difflib
    import heapq
    from posixpath import commonprefix

    words = list(known)
    if len(words) > _COMPARED:
        # comparing each of a hundred thousand takes many seconds; what is meant begins alike
        words = heapq.nlargest(_COMPARED, words, key=lambda w: (len(commonprefix((w, word))), -len(w)))
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f' Did you mean "{near[0]}"?' if near else ""
