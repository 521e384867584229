"""A position in a text, and the lexical ground rules: blanks, comments, names, numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from hythe.diagnostic import Diagnostic, Range, error
from hythe.modules.syntax.tree import Source
from hythe.value import normalized

_NAME = re.compile(r"[^\W\d][\w-]*")
_BLANK = re.compile(r"(?:[ \t]+|\r(?=\n)|#[^\n]*|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)+")
_BLANK_LINES = re.compile(r"(?:[ \t\n]+|\r(?=\n)|#[^\n]*|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)+")
_PUNCTUATION = frozenset('\n{}[]()=:,.?*!+-/%<>&|"#~')
_NO_OPERATORS = {"&": "use && for logic", "|": "use || for logic", "~": "use ! for logic", "^": "there is none on bits"}

MAX_DEPTH = 200
"""How deep expressions and blocks may nest."""

MAX_STEPS = 500
"""How many steps a traversal may have."""


def name_at(text: str, at: int) -> str | None:
    """The identifier at a position: letters, digits, ``_`` and ``-`` as Unicode's annex 31 has it, no digit first."""
    match = _NAME.match(text, at)
    if match is None:
        return None
    name = match.group()
    end = match.end()
    if name.isascii() and text[end : end + 1].isascii():
        return name
    # the pattern knows no combining marks, and takes some numbers for letters
    end = at
    while end < len(text) and (text[end] == "-" or f"a{text[end]}".isidentifier()):
        end += 1
    return text[at:end] if text[at].isidentifier() else None


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
        found = name_at(self.text, self.pos)
        if found is None:
            return None
        self.pos += len(found)
        return found if found.isascii() else normalized(found)

    def next_name(self) -> str | None:
        """The identifier that is next, not taken."""
        found = name_at(self.text, self.pos)
        return found if found is None or found.isascii() else normalized(found)

    def describe(self) -> str:
        """What is next, for messages."""
        char = self.peek()
        if not char:
            return "the end of the file"
        if char == "\n":
            return "the end of the line"
        name = self.next_name()
        return f'"{name}"' if name else f'"{char}"' if char.isprintable() else f"the character U+{ord(char):04X}"

    def unexpected(self, summary: str, detail: str) -> SyntaxFailure:
        """As :meth:`fail`, of what is next; a character that no configuration has outside texts is the error itself."""
        return self.fail(self.pos, self.pos + 1, *(self._stray() or (summary, detail)))

    def _stray(self) -> tuple[str, str] | None:
        char = self.peek()
        if char in _NO_OPERATORS and char and self.peek(2) not in ("&&", "||", "~}"):
            return "Unsupported operator", f'There is no operator "{char}": {_NO_OPERATORS[char]}.'
        if not char or char in _PUNCTUATION or char.isdecimal() or self.next_name():
            return None
        hints = {"'": " Strings are put in double quotes.", ";": " A line end separates arguments."}
        shown = self.describe()
        return "Invalid character", f"{shown[0].upper()}{shown[1:]} is not used in this language.{hints.get(char, '')}"

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
