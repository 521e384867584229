"""A position in a text, and the lexical ground rules: blanks, comments, names, numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from hythe.diagnostic import Diagnostic, Range, error
from hythe.modules.syntax.tree import Source

NAME = re.compile(r"[^\W\d][\w-]*")
_BLANK = re.compile(r"(?:[ \t\r]+|#[^\n]*|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)+")
_BLANK_LINES = re.compile(r"(?:[ \t\r\n]+|#[^\n]*|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)+")

MAX_DEPTH = 200
"""How deep expressions and blocks may nest."""

MAX_STEPS = 500
"""How many steps a traversal may have."""


class SyntaxFailure(Exception):
    """Parsing cannot go on here; the diagnostic is noted already."""


class Cursor:
    """Reads a source from a position. ``newlines`` tells, innermost last, whether they matter."""

    def __init__(self, source: Source, found: list[Diagnostic]) -> None:
        self.source = source
        self.text = source.text
        self.pos = 1 if source.text.startswith("\ufeff") else 0
        self.end = len(source.text)
        self.found = found
        self.newlines = [True]
        self.depth = 0

    def fail(
        self, start: int, end: int, summary: str, detail: str, related: tuple[tuple[str, Range], ...] = ()
    ) -> SyntaxFailure:
        """Note an error, and give the exception that ends the item it is in."""
        end = max(end, min(start + 1, self.end))
        place = self.source.range(min(start, self.end), end)
        self.found.append(error(summary, detail, place, related=related))
        return SyntaxFailure(summary)

    def skip(self) -> None:
        """Pass over blanks and comments, and over line ends where they do not matter."""
        match = (_BLANK if self.newlines[-1] else _BLANK_LINES).match(self.text, self.pos)
        if match is not None:
            self.pos = match.end()
        if self.text.startswith("/*", self.pos):
            raise self.fail(self.pos, self.pos + 2, "Unterminated comment", "This comment is never closed with */.")

    def skip_lines(self) -> None:
        """Pass over blanks, comments and line ends."""
        self.newlines.append(False)
        self.skip()
        self.newlines.pop()

    def peek(self, count: int = 1) -> str:
        """The next characters, '' at the end."""
        return self.text[self.pos : self.pos + count]

    def accept(self, token: str) -> bool:
        """Take a token if it is next."""
        if self.text.startswith(token, self.pos):
            self.pos += len(token)
            return True
        return False

    def name(self) -> str | None:
        """Take an identifier if one is next."""
        match = NAME.match(self.text, self.pos)
        if match is None:
            return None
        self.pos = match.end()
        return match.group()

    def next_name(self) -> str | None:
        """The identifier that is next, not taken."""
        match = NAME.match(self.text, self.pos)
        return match.group() if match is not None else None

    def describe(self) -> str:
        """What is next, for messages."""
        char = self.peek()
        if not char:
            return "the end of the file"
        if char == "\n":
            return "the end of the line"
        name = self.next_name()
        return f'"{name}"' if name else f'"{char}"' if char.isprintable() else f"the character U+{ord(char):04X}"

    @contextmanager
    def within(self, *, newlines: bool) -> Iterator[None]:
        """Parse something in which line ends do or do not matter."""
        self.newlines.append(newlines)
        try:
            yield
        finally:
            self.newlines.pop()

    @contextmanager
    def nested(self, start: int) -> Iterator[None]:
        """One level deeper; too deep is an error, never an exhausted stack."""
        self.depth += 1
        try:
            if self.depth > MAX_DEPTH:
                text = f"Expressions and blocks can be nested {MAX_DEPTH} levels deep. Use local values for parts."
                raise self.fail(start, start + 1, "Nested too deeply", text)
            yield
        finally:
            self.depth -= 1
