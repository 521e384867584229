"""Quoted strings, heredocs and template files: text with interpolations and directives."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal as Choice

from hythe.modules.syntax.lexical import Cursor, SyntaxFailure, name_at
from hythe.modules.syntax.tree import (
    Expression,
    Literal,
    Template,
    TemplateFor,
    TemplateIf,
    TemplateWrap,
)

_QUOTED = re.compile(r'(?:[^"\\$%\r\n]|\\[^\r\n]|\$\$\{|%%\{|\$(?!\{)|%(?!\{))+')
_LONE_RETURN = re.compile(r"\r(?!\n)")
_PLAIN = re.compile(r"(?:[^$%]|\$\$\{|%%\{|\$(?!\{)|%(?!\{))+")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)|\$\$\{|%%\{", re.DOTALL)
_HEREDOC = re.compile(r"<<(-?)(\S+)\r?\n")
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
                return self._assemble(pieces, start, self.pos, self.pos - 1)
            if char in ("\n", "\r"):
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
                pieces.append(self._sequence(start + 1))

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
        if match is None or name_at(match[2], 0) != match[2]:
            text = "A heredoc begins with << and a name that ends the line, like <<EOT."
            raise self.fail(start, start + 2, "Invalid expression", text)
        content = self.pos = match.end()
        closing = re.compile(rf"[^\S\n]*{re.escape(match[2])}[^\S\n]*(?=\n)")
        pieces: list[_Piece] = []
        line_start = True
        while True:
            if line_start:
                end = closing.match(self.text, self.pos)
                if end is not None:
                    self._no_lone_return(content)
                    ended, self.pos = self.pos, end.end()
                    if match[1]:
                        _strip(pieces)  # first: what the marks take away is no indentation
                        _unindent(pieces)
                    made = self._assemble(pieces, start, self.pos, ended)
                    return replace(made, heredoc=True) if isinstance(made, Template) else made
            if self.pos >= self.end:
                text = f"The heredoc is never closed: {match[2]} must stand alone on a line."
                raise self.fail(self.end, self.end, "Unterminated template string", text)
            line_start = self._line_piece(pieces, content)

    def _no_lone_return(self, start: int) -> None:
        """A line of a heredoc ends with a line feed, or with a carriage return and a line feed."""
        lone = _LONE_RETURN.search(self.text, start, self.pos)
        if lone is not None:
            detail = "A carriage return (U+000D) without a line feed after it is no line end in this language."
            raise self.fail(lone.start(), lone.end(), "Invalid character", detail)

    def _line_piece(self, pieces: list[_Piece], beginning: int) -> bool:
        """One piece of the template with that ``beginning``, at most to the end of the line; whether that was reached.

        A strip marker eats the blanks of the piece beside it, so that of a line end and no more.
        """
        stop = self.text.find("\n", self.pos)
        stop = self.end if stop < 0 else stop + 1
        match = _PLAIN.match(self.text, self.pos, stop)
        if match is None:
            pieces.append(self._sequence(beginning))
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
            self._line_piece(pieces, start)
        return self._assemble(pieces, start, self.end, self.end)

    # -- interpolations and directives ----------------------------------------------------------

    def _sequence(self, beginning: int) -> _Piece:
        """An interpolation or directive of the template whose content starts at ``beginning``."""
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
                raise self._not_closed(start, beginning, piece.sort)
        piece.end = self.pos
        return piece

    def _not_closed(self, start: int, beginning: int, sort: str) -> SyntaxFailure:
        if sort != "expr":
            detail = f"A }} was expected here to close the directive, and {self.describe()} was found."
            return self.unexpected(f"Extra characters in {sort} marker", detail)
        if self.pos < self.end:
            detail = f"A }} was expected here to close the template interpolation, and {self.describe()} was found."
            return self.unexpected("Extra characters after interpolation expression", detail)
        # told of where the template begins: what is missing may be missing anywhere in it
        place = self.source.range(start, start + 2)
        detail = f"The ${{ of line {place.line} is never closed with }}."
        summary = "Unclosed template interpolation sequence"
        return self.fail(beginning, beginning + 1, summary, detail, (("opened here", place),))

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
        if keyword is None:
            detail = f"A directive begins with if, else, endif, for or endfor, and {self.describe()} was found."
            raise self.unexpected("Invalid template directive", detail)
        detail = f'"{keyword}" is no template directive: if, else, endif, for and endfor are.'
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
            raise self.unexpected("Invalid 'for' directive", detail)
        self.skip()
        names = (first, second) if second is not None else (None, first)
        return _Piece("for", start, 0, value=self.expression(), names=names)

    # -- flat pieces to a tree ------------------------------------------------------------------

    def _assemble(self, pieces: list[_Piece], start: int, end: int, ended: int) -> Expression:
        """The tree of a template from ``start`` to ``end``, whose content ends at ``ended``."""
        _strip(pieces)
        if len(pieces) == 1 and pieces[0].sort == "expr" and pieces[0].value is not None:
            return TemplateWrap(start, end, pieces[0].value)
        parts, rest = self._sequence_of(pieces, 0, (), ended)
        if rest < len(pieces):
            self._unexpected(pieces[rest])
        return Template(start, end, parts)

    def _unexpected(self, piece: _Piece) -> SyntaxFailure:
        detail = f"There is nothing open that this {piece.sort} could belong to."
        raise self.fail(piece.start, piece.end, f"Unexpected {piece.sort} directive", detail)

    def _sequence_of(
        self, pieces: list[_Piece], at: int, closers: tuple[str, ...], ended: int
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
                made, at = self._construct(pieces, at, ended)
                parts.append(made)
                continue
            elif piece.sort in closers:
                return tuple(parts), at
            else:
                self._unexpected(piece)
            at += 1
        return tuple(parts), at

    def _construct(self, pieces: list[_Piece], at: int, ended: int) -> tuple[Expression, int]:
        opener = pieces[at]
        assert opener.value is not None
        with self.nested(opener.start):
            if opener.sort == "for":
                parts, at = self._sequence_of(pieces, at + 1, ("endfor",), ended)
                body = Template(opener.end, self._closer(pieces, at, opener, ended).start, parts)
                end = pieces[at].end
                return TemplateFor(opener.start, end, *opener.names, opener.value, body), at + 1
            parts, at = self._sequence_of(pieces, at + 1, ("else", "endif"), ended)
            closer = self._closer(pieces, at, opener, ended)
            then = Template(opener.end, closer.start, parts)
            otherwise = Template(closer.start, closer.start, ())
            if closer.sort == "else":
                parts, at = self._sequence_of(pieces, at + 1, ("endif",), ended)
                otherwise = Template(closer.end, self._closer(pieces, at, opener, ended).start, parts)
            return TemplateIf(opener.start, pieces[at].end, opener.value, then, otherwise), at + 1

    def _closer(self, pieces: list[_Piece], at: int, opener: _Piece, ended: int) -> _Piece:
        if at < len(pieces):
            return pieces[at]
        place = self.source.range(opener.start, opener.end)
        detail = f"The directive {opener.sort} of line {place.line} is never closed with end{opener.sort}."
        raise self.fail(ended, ended + 1, "Unexpected end of template", detail, (("opened here", place),))


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
