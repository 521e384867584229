"""A text as the tokens of HCL's native syntax, nothing left out but blanks: for what works on the text.

The parser needs none of this. Any text has tokens, also one that does not parse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hythe.modules.syntax.lexical import name_at

_BLANKS = re.compile(r"[ \t\r]+(?!\n)|[ \t]+|\ufeff")
_COMMENT = re.compile(r"(?:#|//)[^\n]*\n?|/\*(?:[^*]|\*(?!/))*(?:\*/)?")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_OPERATOR = re.compile(r"\.\.\.|::|==|!=|>=|<=|=>|&&|\|\||.", re.DOTALL)
_HEREDOC = re.compile(r"<<-?(\S+)\r?\n")
_QUOTED = re.compile(r'(?:\\.|\$\$\{|%%\{|[$%](?!\{)|[^"$%\\])+', re.DOTALL)
_LINE = re.compile(r"(?:\$\$\{|%%\{|[$%](?!\{)|[^\n$%])*\n?")
_OPENER = re.compile(r"[$%]\{~?")

NAME_TOKEN, NUMBER, NEWLINE, COMMENT = "name", "number", "newline", "comment"
OPEN_QUOTE, CLOSE_QUOTE, QUOTED = "open quote", "close quote", "quoted text"
OPEN_HEREDOC, CLOSE_HEREDOC, TEXT = "open heredoc", "close heredoc", "text"
INTERPOLATION, DIRECTIVE, SEQUENCE_END = "${", "%{", "sequence end"


@dataclass(slots=True)
class Token:
    """A token: what it is (punctuation and operators are their own kind), its text, and where it begins."""

    kind: str
    text: str
    start: int


def tokens(text: str) -> list[Token]:
    """All tokens of a text but blanks; put together again they are the text without blanks between tokens."""
    return list(_Lexer(text).run())


class _Lexer:
    """``modes`` tells, innermost last, what is open: ``{`` a brace, ``${`` a sequence, ``"`` or a heredoc's marker."""

    def __init__(self, text: str) -> None:
        self.text, self.pos = text, 0
        self.modes: list[str] = []

    def run(self) -> Iterator[Token]:
        while self.pos < len(self.text):
            mode = self.modes[-1] if self.modes else ""
            if mode == '"':
                yield self._quoted()
            elif mode and mode not in ("{", "${"):
                yield self._heredoc(mode.removeprefix("<<"))
            elif (found := _BLANKS.match(self.text, self.pos)) is not None:
                self.pos = found.end()
            else:
                yield self._normal()

    def _take(self, kind: str, end: int) -> Token:
        made = Token(kind, self.text[self.pos : end], self.pos)
        self.pos = end
        return made

    def _normal(self) -> Token:
        text, at = self.text, self.pos
        char = text[at]
        if char == "\n" or text.startswith("\r\n", at):
            return self._take(NEWLINE, at + (1 if char == "\n" else 2))
        name = name_at(text, at)
        if name is not None:
            return self._take(NAME_TOKEN, at + len(name))
        for kind, pattern in ((COMMENT, _COMMENT), (NUMBER, _NUMBER)):
            if (found := pattern.match(text, at)) is not None:
                return self._take(kind, found.end())
        if char == '"':
            self.modes.append('"')
            return self._take(OPEN_QUOTE, at + 1)
        if (found := _HEREDOC.match(text, at)) is not None and name_at(found[1], 0) == found[1]:
            self.modes.append("<<" + found[1])
            return self._take(OPEN_HEREDOC, found.end())
        if self.modes and self.modes[-1] == "${" and (char == "}" or text.startswith("~}", at)):
            self.modes.pop()
            return self._take(SEQUENCE_END, at + (1 if char == "}" else 2))
        found = _OPERATOR.match(text, at)
        assert found is not None
        if char == "{":
            self.modes.append("{")
        elif char == "}" and self.modes and self.modes[-1] == "{":
            self.modes.pop()
        return self._take(found[0], found.end())

    def _sequence(self) -> Token | None:
        found = _OPENER.match(self.text, self.pos)
        if found is None:
            return None
        self.modes.append("${")
        return self._take(INTERPOLATION if found[0][0] == "$" else DIRECTIVE, found.end())

    def _quoted(self) -> Token:
        if self.text[self.pos] == '"':
            self.modes.pop()
            return self._take(CLOSE_QUOTE, self.pos + 1)
        opened = self._sequence()
        if opened is not None:
            return opened
        found = _QUOTED.match(self.text, self.pos)
        # a lone backslash at the end of the text
        return self._take(QUOTED, found.end() if found is not None else self.pos + 1)

    def _heredoc(self, marker: str) -> Token:
        text, at = self.text, self.pos
        if at == 0 or text[at - 1] == "\n":
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            if text[at:end].strip() == marker:
                self.modes.pop()
                return self._take(CLOSE_HEREDOC, end - 1 if text[end - 1] == "\r" else end)
        opened = self._sequence()
        if opened is not None:
            return opened
        found = _LINE.match(text, at)
        assert found is not None
        return self._take(TEXT, found.end())
