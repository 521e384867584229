"""The syntax tree: small frozen nodes, each with the stretch of text it came from.

``start`` and ``end`` are character offsets into the source text (``end`` exclusive);
:meth:`Source.range` turns them into a :class:`~hythe.diagnostic.Range` when a message needs one.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias

from hythe.diagnostic import Range


class Source:
    """One file's text, with the way from offsets to lines and columns."""

    __slots__ = ("_starts", "filename", "text")

    def __init__(self, filename: str, text: str) -> None:
        self.filename = filename
        self.text = text
        self._starts: list[int] | None = None

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both from 1."""
        if self._starts is None:
            starts = [0]
            at = self.text.find("\n")
            while at >= 0:
                starts.append(at + 1)
                at = self.text.find("\n", at + 1)
            self._starts = starts
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def range(self, start: int, end: int) -> Range:
        """The range from ``start`` to ``end``."""
        line, column = self.position(start)
        end_line, end_column = self.position(end)
        return Range(self.filename, line, column, start, end_line, end_column, end)


@dataclass(frozen=True, slots=True)
class Node:
    """Base of all nodes."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A number, bool, null or (only inside templates and object keys) literal text."""

    value: str | int | Decimal | bool | None


@dataclass(frozen=True, slots=True)
class Template(Node):
    """A quoted template or heredoc. ``parts`` are literals, expressions and directives.

    A template of one interpolation and nothing else is a :class:`TemplateWrap`; a string without any
    interpolation has one Literal part, or none when it is empty.
    """

    parts: tuple[Expression, ...]
    heredoc: bool = False


@dataclass(frozen=True, slots=True)
class TemplateWrap(Node):
    """``"${x}"``: the value passes through with its type."""

    wrapped: Expression


@dataclass(frozen=True, slots=True)
class TemplateIf(Node):
    """``%{ if c }..%{ else }..%{ endif }``; both branches are templates."""

    condition: Expression
    then: Template
    otherwise: Template


@dataclass(frozen=True, slots=True)
class TemplateFor(Node):
    """``%{ for k, v in c }..%{ endfor }``."""

    key_name: str | None
    value_name: str
    collection: Expression
    body: Template


@dataclass(frozen=True, slots=True)
class Variable(Node):
    """A root name: ``var``, ``container``, ``each`` or a for-expression's own variable."""

    name: str


@dataclass(frozen=True, slots=True)
class GetAttr(Node):
    """``source.name`` (also the legacy ``source.0``, with ``name`` an int)."""

    source: Expression
    name: str | int


@dataclass(frozen=True, slots=True)
class Index(Node):
    """``source[key]``."""

    source: Expression
    key: Expression


@dataclass(frozen=True, slots=True)
class Splat(Node):
    """``source.*`` or ``source[*]`` with the traversal applied to each element.

    ``each`` is an expression over the :class:`SplatItem` that stands for the element.
    """

    source: Expression
    each: Expression
    full: bool


@dataclass(frozen=True, slots=True)
class SplatItem(Node):
    """The element inside a splat's ``each``."""


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function call; ``expand`` when the last argument ends in ``...``. Names may be ``ns::name``."""

    name: str
    name_end: int
    args: tuple[Expression, ...]
    expand: bool


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """``!x`` or ``-x``."""

    op: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """An operator with two operands."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Conditional(Node):
    """``condition ? then : otherwise``."""

    condition: Expression
    then: Expression
    otherwise: Expression


@dataclass(frozen=True, slots=True)
class Parentheses(Node):
    """``(inner)``: kept, because ``{ (k) = v }`` and messages need to tell."""

    inner: Expression


@dataclass(frozen=True, slots=True)
class TupleCons(Node):
    """``[a, b]``."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class ObjectCons(Node):
    """``{ k = v }``. A bare identifier as key is a Literal string; anything else is evaluated."""

    items: tuple[tuple[Expression, Expression], ...]


@dataclass(frozen=True, slots=True)
class For(Node):
    """``[for ...]`` (``key`` is None) or ``{for ... : key => value...}``."""

    key_name: str | None
    value_name: str
    collection: Expression
    key: Expression | None
    value: Expression
    condition: Expression | None
    group: bool


Expression: TypeAlias = (
    Literal
    | Template
    | TemplateWrap
    | TemplateIf
    | TemplateFor
    | Variable
    | GetAttr
    | Index
    | Splat
    | SplatItem
    | Call
    | Unary
    | Binary
    | Conditional
    | Parentheses
    | TupleCons
    | ObjectCons
    | For
)


@dataclass(frozen=True, slots=True)
class Attribute(Node):
    """``name = expression``. ``name_end`` closes the name's own range (it begins at ``start``)."""

    name: str
    name_end: int
    expression: Expression


@dataclass(frozen=True, slots=True)
class Label(Node):
    """A block label, quoted or bare."""

    text: str


@dataclass(frozen=True, slots=True)
class Block(Node):
    """``type "label" { ... }``. ``header_end`` closes the header's range (it begins at ``start``)."""

    type: str
    header_end: int
    labels: tuple[Label, ...]
    body: Body


@dataclass(frozen=True, slots=True)
class Body(Node):
    """The inside of a file or block, in source order; ``source`` is shared by the whole file."""

    attributes: dict[str, Attribute]
    blocks: tuple[Block, ...]
    source: Source = field(repr=False, compare=False)
