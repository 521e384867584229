"""Quoted strings, heredocs and template files: text with interpolations and directives."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal as Choice

from hythe.modules.syntax.lexical import Cursor, SyntaxFailure
from hythe.modules.syntax.tree import (
    Expression,
    Literal,
    Template,
    TemplateFor,
    TemplateIf,
    TemplateWrap,
)

_QUOTED = re.compile(r'(?:[^"\\$%\n]|\\[^\n]|\$\$\{|%%\{|\$(?!\{)|%(?!\{))+')
_PLAIN = re.compile(r"(?:[^$%]|\$\$\{|%%\{|\$(?!\{)|%(?!\{))+")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)|\$\$\{|%%\{", re.DOTALL)
_HEREDOC = re.compile(r"<<(-?)([^\W\d][\w-]*)\r?\n")
_SIMPLE = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}


@dataclass(slots=True)
class _Piece:
    """A flat part of a template. ``trim_left``, ``trim_right``: its ``~`` marks."""

    sort: Choice["text", "expr", "if", "else", "endif", "for", "endfor"]
    start: int
    end: int
    text: str = ""
    value: Expression | None = None
    names: tuple[str | None, str] = (None, "")
    trim_left: bool = False
    trim_right: bool = False


class TemplateParser(Cursor):
    """Parses templates; what stands in ``${ }`` is an expression again."""

    def expression(self) -> Expression:
        """An expression at the cursor."""
        raise NotImplementedError

    # -- the three forms ------------------------------------------------------------------------

    def quoted(self) -> Expression:
        """A quoted template at the cursor."""
        start = self.pos
        self.pos += 1
        pieces: list[_Piece] = []
        while True:
            char = self.peek()
            if char == '"':
                self.pos += 1
                return self._assemble(pieces, start, self.pos)
            if char == "\n":
                text = (
                    'The closing quote (") is missing on this line. A quoted string cannot go on over several lines: '
                    "write \\n for a line end, or use a heredoc (<<EOT)."
                )
                raise self.fail(self.pos, self.pos + 1, "Invalid multi-line string", text)
            if not char:
                raise self.fail(self.pos, self.pos, "Unterminated template string", "The closing quote is missing.")
            match = _QUOTED.match(self.text, self.pos)
            if match is not None:
                pieces.append(_Piece("text", self.pos, match.end(), self._unescape(match.group(), self.pos)))
                self.pos = match.end()
            elif char == "\\":
                raise self.fail(
                    self.pos, self.pos + 1, "Invalid escape sequence", "A backslash must be followed by a character."
                )
            else:
                pieces.append(self._sequence())

    def _unescape(self, text: str, at: int) -> str:
        def plain(match: re.Match[str]) -> str:
            whole = match.group()
            if whole[0] != "\\":
                return whole[1:]
            code = match[1]
            if code in _SIMPLE:
                return _SIMPLE[code]
            if code[0] in "uU" and len(code) > 1:
                value = int(code[1:], 16)
                if value <= 0x10FFFF and not 0xD800 <= value < 0xE000:
                    return chr(value)
            where = at + match.start()
            detail = f'"\\{code[0]}" is no escape sequence: \\n, \\r, \\t, \\", \\\\, \\uXXXX and \\UXXXXXXXX are.'
            self.fail(where, where + 2, "Invalid escape sequence", detail)
            return ""

        return _ESCAPE.sub(plain, text) if "\\" in text or "{" in text else text

    def heredoc(self) -> Expression:
        """A heredoc at the cursor (``<<EOT`` or ``<<-EOT``)."""
        start = self.pos
        match = _HEREDOC.match(self.text, self.pos)
        if match is None:
            text = "A heredoc begins with << and a name that ends the line, like <<EOT."
            raise self.fail(start, start + 2, "Invalid expression", text)
        self.pos = match.end()
        closing = re.compile(rf"[ \t]*{re.escape(match[2])}[ \t]*(?=\r?\n)")
        pieces: list[_Piece] = []
        line_start = True
        while True:
            if line_start:
                end = closing.match(self.text, self.pos)
                if end is not None:
                    self.pos = end.end()
                    if match[1]:
                        _unindent(pieces)
                    made = self._assemble(pieces, start, self.pos)
                    return replace(made, heredoc=True) if isinstance(made, Template) else made
            if self.pos >= self.end:
                text = f"The heredoc is never closed: {match[2]} must stand alone on a line."
                raise self.fail(self.end, self.end, "Unterminated template string", text)
            line_start = self._line_piece(pieces)

    def _line_piece(self, pieces: list[_Piece]) -> bool:
        """One piece, at most to the end of the line; whether that end was reached.

        A strip marker eats the blanks of the piece beside it, so that of a line end and no more.
        """
        stop = self.text.find("\n", self.pos)
        stop = self.end if stop < 0 else stop + 1
        match = _PLAIN.match(self.text, self.pos, stop)
        if match is None:
            pieces.append(self._sequence())
            return False
        raw = match.group()
        text = raw.replace("$${", "${").replace("%%{", "%{")
        pieces.append(_Piece("text", self.pos, match.end(), text))
        self.pos = match.end()
        return raw.endswith("\n")

    def bare(self) -> Expression:
        """The whole text as a template, without quotes or escapes."""
        pieces: list[_Piece] = []
        start = self.pos
        while self.pos < self.end:
            self._line_piece(pieces)
        return self._assemble(pieces, start, self.end)

    # -- interpolations and directives ----------------------------------------------------------

    def _sequence(self) -> _Piece:
        start = self.pos
        directive = self.peek() == "%"
        self.pos += 2
        trim_left = self.accept("~")
        with self.within(newlines=False), self.nested(start):
            self.skip()
            piece = self._directive(start) if directive else _Piece("expr", start, 0, value=self.expression())
            self.skip()
            piece.trim_left = trim_left
            piece.trim_right = self.accept("~")
            if not self.accept("}"):
                what = "directive" if directive else "interpolation"
                detail = f"A }} was expected here to close the template {what}, and {self.describe()} was found."
                raise self.fail(self.pos, self.pos + 1, f"Extra characters after template {what}", detail)
        piece.end = self.pos
        return piece

    def _directive(self, start: int) -> _Piece:
        at = self.pos
        keyword = self.name()
        if keyword == "if":
            self.skip()
            return _Piece("if", start, 0, value=self.expression())
        if keyword == "for":
            return self._for_directive(start)
        if keyword == "else":
            return _Piece("else", start, 0)
        if keyword == "endif":
            return _Piece("endif", start, 0)
        if keyword == "endfor":
            return _Piece("endfor", start, 0)
        detail = f'"{keyword or self.describe()}" is no template directive: if, else, endif, for and endfor are.'
        raise self.fail(at, self.pos, "Invalid template control keyword", detail)

    def _for_directive(self, start: int) -> _Piece:
        self.skip()
        first = self.name()
        self.skip()
        second: str | None = None
        if first is not None and self.accept(","):
            self.skip()
            second = self.name()
            self.skip()
            if second is None:
                first = None
        if first is None or self.name() != "in":
            detail = "A for directive reads: for value in collection, or: for key, value in collection."
            raise self.fail(self.pos, self.pos + 1, "Invalid 'for' directive", detail)
        self.skip()
        names = (first, second) if second is not None else (None, first)
        return _Piece("for", start, 0, value=self.expression(), names=names)

    # -- flat pieces to a tree ------------------------------------------------------------------

    def _assemble(self, pieces: list[_Piece], start: int, end: int) -> Expression:
        _strip(pieces)
        if len(pieces) == 1 and pieces[0].sort == "expr" and pieces[0].value is not None:
            return TemplateWrap(start, end, pieces[0].value)
        parts, rest = self._sequence_of(pieces, 0, ())
        if rest < len(pieces):
            self._unexpected(pieces[rest])
        return Template(start, end, parts)

    def _unexpected(self, piece: _Piece) -> SyntaxFailure:
        detail = f"There is nothing open that this {piece.sort} could belong to."
        raise self.fail(piece.start, piece.end, f"Unexpected {piece.sort} directive", detail)

    def _sequence_of(
        self, pieces: list[_Piece], at: int, closers: tuple[str, ...]
    ) -> tuple[tuple[Expression, ...], int]:
        parts: list[Expression] = []
        while at < len(pieces):
            piece = pieces[at]
            if piece.sort == "text":
                if piece.text:
                    parts.append(Literal(piece.start, piece.end, piece.text))
            elif piece.sort == "expr" and piece.value is not None:
                parts.append(piece.value)
            elif piece.sort in ("if", "for"):
                made, at = self._construct(pieces, at)
                parts.append(made)
                continue
            elif piece.sort in closers:
                return tuple(parts), at
            else:
                self._unexpected(piece)
            at += 1
        return tuple(parts), at

    def _construct(self, pieces: list[_Piece], at: int) -> tuple[Expression, int]:
        opener = pieces[at]
        assert opener.value is not None
        with self.nested(opener.start):
            if opener.sort == "for":
                parts, at = self._sequence_of(pieces, at + 1, ("endfor",))
                body = Template(opener.end, self._closer(pieces, at, opener).start, parts)
                end = pieces[at].end
                return TemplateFor(opener.start, end, *opener.names, opener.value, body), at + 1
            parts, at = self._sequence_of(pieces, at + 1, ("else", "endif"))
            closer = self._closer(pieces, at, opener)
            then = Template(opener.end, closer.start, parts)
            otherwise = Template(closer.start, closer.start, ())
            if closer.sort == "else":
                parts, at = self._sequence_of(pieces, at + 1, ("endif",))
                otherwise = Template(closer.end, self._closer(pieces, at, opener).start, parts)
            return TemplateIf(opener.start, pieces[at].end, opener.value, then, otherwise), at + 1

    def _closer(self, pieces: list[_Piece], at: int, opener: _Piece) -> _Piece:
        if at < len(pieces):
            return pieces[at]
        detail = f"The directive {opener.sort} is never closed with end{opener.sort}."
        raise self.fail(opener.start, opener.end, "Unclosed template directive", detail)


def _strip(pieces: list[_Piece]) -> None:
    """Carry out the ``~`` marks on the texts beside them."""
    for at, piece in enumerate(pieces):
        if piece.trim_left and at and pieces[at - 1].sort == "text":
            pieces[at - 1].text = pieces[at - 1].text.rstrip()
        if piece.trim_right and at + 1 < len(pieces) and pieces[at + 1].sort == "text":
            pieces[at + 1].text = pieces[at + 1].text.lstrip()


def _unindent(pieces: list[_Piece]) -> None:
    """Take the smallest indentation of all lines off each of them; blank lines do not count."""
    firsts: list[_Piece] = []
    smallest: int | None = None
    line_start = True
    for piece in pieces:
        if line_start:
            if piece.sort != "text":
                smallest = 0
            elif piece.text.strip() or not piece.text.endswith("\n"):
                indent = len(piece.text) - len(piece.text.lstrip())
                smallest = indent if smallest is None else min(smallest, indent)
                firsts.append(piece)
        line_start = piece.sort == "text" and piece.text.endswith("\n")
    for piece in firsts:
        piece.text = piece.text[smallest or 0 :]
