"""The canonical style of configurations, the one that OpenTofu's users know.

Only blanks change, and what means the same: ``"${x}"`` alone is written ``x``, names of types without quotes, labels of
blocks with quotes. Line breaks, comments and the order of things stay.

A line has up to three cells: what leads it, from its ``=`` on what is assigned, and a comment at its end. Cells of
neighbouring lines are aligned.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from hythe.modules.syntax import tokens as t
from hythe.modules.syntax.tokens import Token
from hythe.modules.syntax.tree import Body, Label

_INDENT = 2
_OPENING = frozenset({"{", "[", "(", t.INTERPOLATION, t.DIRECTIVE})
_CLOSING = frozenset({"}", "]", ")", t.SEQUENCE_END})
_AROUND_TEXT_BEFORE = frozenset({t.QUOTED, t.TEXT, t.OPEN_QUOTE, t.OPEN_HEREDOC})
_AROUND_TEXT_AFTER = frozenset({t.QUOTED, t.TEXT, t.CLOSE_QUOTE, t.CLOSE_HEREDOC})
# after these a minus begins an operand
_BEFORE_OPERAND = frozenset(
    {"", "(", "{", "[", "=", ":", ",", "?", "+", "*", "/", "%", "-", "==", "!=", ">", ">=", "<", "<=", "&&", "||", "!"}
)
_ELEMENT_TYPES = frozenset({"list", "map", "set"})


@dataclass(slots=True)
class _Piece:
    """A token with the blanks before it."""

    token: Token
    spaces: int = 0


@dataclass(slots=True)
class _Line:
    lead: list[_Piece] = field(default_factory=list)
    assigned: list[_Piece] = field(default_factory=list)
    comment: list[_Piece] = field(default_factory=list)

    def pieces(self) -> list[_Piece]:
        return [*self.lead, *self.assigned, *self.comment]


def format_text(text: str, body: Body | None) -> str:
    """The text in canonical style. ``body`` is its tree when it is a file without errors."""
    found = t.tokens(text)
    if body is not None:
        found = _simplified(found, body)
    lines = _lines(found)
    _indent(lines)
    for line in lines:
        _space(line.lead)
        _space(line.assigned)
    _align(lines, "assigned", ("lead",))
    _align(lines, "comment", ("lead", "assigned"))
    return "".join(" " * p.spaces + p.token.text for line in lines for p in line.pieces())


# -- lines and cells ------------------------------------------------------------------------------


def _lines(found: Sequence[Token]) -> list[_Line]:
    lines = [_Line()]
    for token in found:
        lines[-1].lead.append(_Piece(token))
        if token.kind == t.NEWLINE or (token.kind == t.COMMENT and token.text.endswith("\n")):
            lines.append(_Line())
    for line in lines:
        if len(line.lead) > 1 and line.lead[-1].token.kind == t.COMMENT:
            line.comment = [line.lead.pop()]
        at = next((i for i, p in enumerate(line.lead) if i and p.token.kind == "="), None)
        # with a bracket left open, the rest of the value is on other lines
        if at is not None and _net(line.lead[at:]) == 0:
            line.lead, line.assigned = line.lead[:at], line.lead[at:]
    return lines


def _change(token: Token) -> int:
    return 1 if token.kind in _OPENING else -1 if token.kind in _CLOSING else 0


def _net(pieces: Sequence[_Piece]) -> int:
    return sum(_change(p.token) for p in pieces)


def _net_before_heredoc(pieces: Sequence[_Piece]) -> int:
    return _net(list(itertools.takewhile(lambda piece: piece.token.kind != t.OPEN_HEREDOC, pieces)))


def _indent(lines: Sequence[_Line]) -> None:
    """A line that opens brackets, however many, moves those after it in by one step, up to where they are closed.

    Those that a heredoc opens on its first line do not count, as in the style that is followed here.
    """
    opened: list[int] = []
    for line in lines:
        if not line.lead or line.lead[0].token.kind == t.NEWLINE:
            continue
        net = _net_before_heredoc(line.lead) + _net_before_heredoc(line.assigned)
        closed = -net
        while closed > 0 and opened:
            last = opened.pop()
            if closed < last:
                opened.append(last - closed)
            closed -= last
        line.lead[0].spaces = _INDENT * len(opened)
        if net > 0:
            opened.append(net)


def _align(lines: Sequence[_Line], cell: str, before: Sequence[str]) -> None:
    """Begin a cell at the same column in lines that follow each other."""
    run: list[_Line] = []
    for line in [*lines, _Line()]:
        if getattr(line, cell):
            run.append(line)
            continue
        widths = [sum(_columns(getattr(one, name)) for name in before) for one in run]
        for one, width in zip(run, widths, strict=True):
            getattr(one, cell)[0].spaces = max(widths) - width + 1
        run = []


def _columns(pieces: Sequence[_Piece]) -> int:
    return sum(p.spaces + _width(p.token.text) for p in pieces)


def _width(text: str) -> int:
    """How many characters a reader sees."""
    if text.isascii():
        return len(text)
    import regex  # type: ignore[import-untyped]

    return len(regex.findall(r"\X", text))


# -- blanks inside a cell -------------------------------------------------------------------------


def _space(cell: Sequence[_Piece]) -> None:
    for at, piece in enumerate(cell[1:], 1):
        before = cell[at - 2].token if at > 1 else None
        piece.spaces = 1 if _apart(cell[at - 1].token, before, piece.token) else 0


def _apart(one: Token, before: Token | None, other: Token) -> bool:
    """Whether there is a blank between ``one`` and ``other``, the first of which follows ``before``."""
    a, b = one.kind, other.kind
    if b in (t.NEWLINE, ",", "...") or "." in (a, b):
        return False
    if (a == t.NAME_TOKEN and b in ("(", "::")) or (a == "::" and b == t.NAME_TOKEN):
        return False
    if a == ",":
        return True
    if a in _AROUND_TEXT_BEFORE or b in _AROUND_TEXT_AFTER:
        return False
    if one.text == "in" and a == t.NAME_TOKEN and before is not None and before.kind == t.NAME_TOKEN:
        # [for x in [1, 2] : x] is no index of something called in
        return True
    if b == "[" and (a in (t.NAME_TOKEN, t.NUMBER) or a in _CLOSING):
        return False
    if a == "!":
        return False
    if a == "-":
        return (before.kind if before is not None else "") not in _BEFORE_OPERAND
    if a == "{" or b == "}":
        return not (a == "{" and b == "}")
    return _apart_at_sequences(a, b)


def _apart_at_sequences(a: str, b: str) -> bool:
    # an object alone in a sequence: ${ { a = 1 } }
    if (a in (t.INTERPOLATION, t.DIRECTIVE) and b == "{") or (a == "}" and b == t.SEQUENCE_END):
        return True
    if a == t.SEQUENCE_END and b in (t.INTERPOLATION, t.DIRECTIVE):
        return False
    return a not in _OPENING and b not in _CLOSING


# -- what means the same --------------------------------------------------------------------------


def _simplified(found: list[Token], body: Body) -> list[Token]:
    """The tokens with superfluous quotes taken away, and those of labels added."""
    changed: dict[int, tuple[int, list[Token]]] = {}
    places = {token.start: at for at, token in enumerate(found)}
    _collect(found, body, (), places, changed)
    out: list[Token] = []
    at = 0
    while at < len(found):
        if at in changed:
            at, instead = changed[at]
            out += instead
        else:
            out.append(found[at])
            at += 1
    return out


def _collect(
    found: list[Token],
    body: Body,
    inside: tuple[str, ...],
    places: dict[int, int],
    changed: dict[int, tuple[int, list[Token]]],
) -> None:
    for name, attribute in body.attributes.items():
        first = places.get(attribute.expression.start)
        if first is None:
            continue
        last = first
        while last < len(found) and found[last].start < attribute.expression.end:
            last += 1
        value = found[first:last]
        is_type = inside == ("variable",) and name == "type"
        changed[first] = (last, _as_type(value) if is_type else _unwrapped(value))
    for block in body.blocks:
        for label in block.labels:
            _quote(label, found, places, changed)
        _collect(found, block.body, (*inside, block.type), places, changed)


def _quote(
    label: Label, found: list[Token], places: dict[int, int], changed: dict[int, tuple[int, list[Token]]]
) -> None:
    at = places.get(label.start)
    if at is not None and found[at].kind == t.NAME_TOKEN:
        start = label.start
        quoted = [Token(t.OPEN_QUOTE, '"', start), Token(t.QUOTED, found[at].text, start)]
        changed[at] = (at + 1, [*quoted, Token(t.CLOSE_QUOTE, '"', start)])


def _as_type(value: list[Token]) -> list[Token]:
    """A type as it is written today: ``"string"`` was an old way, and ``list`` alone means ``list(any)``."""
    kinds = [token.kind for token in value]
    if kinds == [t.NAME_TOKEN] and value[0].text in _ELEMENT_TYPES:
        return _of(value[0].text, "any", value[0].start)
    if kinds != [t.OPEN_QUOTE, t.QUOTED, t.CLOSE_QUOTE]:
        return value
    name, start = value[1].text, value[0].start
    if name == "string":
        return [Token(t.NAME_TOKEN, name, start)]
    # in the days of quotes these were of strings, and there were no others
    return _of(name, "string", start) if name in ("list", "map") else value


def _of(name: str, element: str, start: int) -> list[Token]:
    words = (t.NAME_TOKEN, name), ("(", "("), (t.NAME_TOKEN, element), (")", ")")
    return [Token(kind, text, start) for kind, text in words]


def _unwrapped(value: list[Token]) -> list[Token]:
    """The expression of ``"${expression}"``; anything else as it is."""
    kinds = [token.kind for token in value]
    if kinds[:2] != [t.OPEN_QUOTE, t.INTERPOLATION] or kinds[-2:] != [t.SEQUENCE_END, t.CLOSE_QUOTE] or len(value) < 5:
        return value
    inner, quotes = value[2:-2], 0
    for token in inner:
        quotes += {t.OPEN_QUOTE: 1, t.CLOSE_QUOTE: -1}.get(token.kind, 0)
        if quotes == 0 and token.kind in (t.INTERPOLATION, t.DIRECTIVE, t.SEQUENCE_END, t.QUOTED):
            return value
    while inner and inner[0].kind == t.NEWLINE:
        inner = inner[1:]
    after: list[Token] = []
    while inner and inner[-1].kind == t.NEWLINE:
        inner, after = inner[:-1], inner[-1:]
    inner = _unwrapped_inside(inner)
    lines = any(token.kind == t.NEWLINE or (token.kind == t.COMMENT and "\n" in token.text) for token in inner)
    if not lines or (inner[0].kind == "(" and inner[-1].kind == ")"):
        return inner
    # a heredoc's end must be alone on its line
    after = after if inner[-1].kind == t.CLOSE_HEREDOC else []
    return [Token("(", "(", value[0].start), *inner, *after, Token(")", ")", value[-1].start)]


def _unwrapped_inside(value: list[Token]) -> list[Token]:
    """One inside another is taken away too, or formatting again would change more. Comments around it stay."""
    aside = (t.NEWLINE, t.COMMENT)
    solid = [at for at, token in enumerate(value) if token.kind not in aside]
    if not solid:
        return value
    first, last = solid[0], solid[-1] + 1
    return [*value[:first], *_unwrapped(value[first:last]), *value[last:]]
