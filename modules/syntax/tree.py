"""The syntax tree: small frozen nodes, each with the stretch of text it came from.

``start`` and ``end`` are character offsets into the source text (``end`` exclusive);
:meth:`Source.range` turns them into a :class:`~hythe.diagnostic.Range` when a message needs one.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias, TypeVar, dataclass_transform

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


_Kind = TypeVar("_Kind")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def node(kind: type[_Kind]) -> type[_Kind]:
    """Makes a class of nodes. That they are frozen is for the type checker to hold: to check it at run time
    makes each node take seven times as long.
    """
    return dataclass(slots=True, unsafe_hash=True)(kind)


@node
class Node:
    """Base of all nodes."""

    start: int
    end: int


@node
class Literal(Node):
    """A number, bool, null or (only inside templates and object keys) literal text."""

    value: str | int | Decimal | bool | None


@node
class Template(Node):
    """A quoted template or heredoc. ``parts`` are literals, expressions and directives.

    A template of one interpolation and nothing else is a :class:`TemplateWrap`; a string without any
    interpolation has one Literal part, or none when it is empty.
    """

    parts: tuple[Expression, ...]
    heredoc: bool = False


@node
class TemplateWrap(Node):
    """``"${x}"``: the value passes through with its type."""

    wrapped: Expression


@node
class TemplateIf(Node):
    """``%{ if c }..%{ else }..%{ endif }``; both branches are templates."""

    condition: Expression
    then: Template
    otherwise: Template


@node
class TemplateFor(Node):
    """``%{ for k, v in c }..%{ endfor }``."""

    key_name: str | None
    value_name: str
    collection: Expression
    body: Template


@node
class Variable(Node):
    """A root name: ``var``, ``container``, ``each`` or a for-expression's own variable."""

    name: str


@node
class GetAttr(Node):
    """``source.name`` (also the legacy ``source.0``, with ``name`` an int)."""

    source: Expression
    name: str | int


@node
class Index(Node):
    """``source[key]``."""

    source: Expression
    key: Expression


@node
class Splat(Node):
    """``source.*`` or ``source[*]`` with the traversal applied to each element.

    ``each`` is an expression over the :class:`SplatItem` that stands for the element.
    """

    source: Expression
    each: Expression
    full: bool


@node
class SplatItem(Node):
    """The element inside a splat's ``each``."""


@node
class Call(Node):
    """A function call; ``expand`` when the last argument ends in ``...``. Names may be ``ns::name``."""

    name: str
    name_end: int
    args: tuple[Expression, ...]
    expand: bool


@node
class Unary(Node):
    """``!x`` or ``-x``."""

    op: str
    operand: Expression


@node
class Binary(Node):
    """An operator with two operands."""

    op: str
    left: Expression
    right: Expression


@node
class Conditional(Node):
    """``condition ? then : otherwise``."""

    condition: Expression
    then: Expression
    otherwise: Expression


@node
class Parentheses(Node):
    """``(inner)``: kept, because ``{ (k) = v }`` and messages need to tell."""

    inner: Expression


@node
class TupleCons(Node):
    """``[a, b]``."""

    items: tuple[Expression, ...]


@node
class ObjectCons(Node):
    """``{ k = v }``. A bare identifier as key is a Literal string; anything else is evaluated."""

    items: tuple[tuple[Expression, Expression], ...]


@node
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


@node
class Attribute(Node):
    """``name = expression``. ``name_end`` closes the name's own range (it begins at ``start``)."""

    name: str
    name_end: int
    expression: Expression


@node
class Label(Node):
    """A block label, quoted or bare."""

    text: str


@node
class Block(Node):
    """``type "label" { ... }``. ``header_end`` closes the header's range (it begins at ``start``)."""

    type: str
    header_end: int
    labels: tuple[Label, ...]
    body: Body


@node
class Body(Node):
    """The inside of a file or block, in source order; ``source`` is shared by the whole file."""

    attributes: dict[str, Attribute]
    blocks: tuple[Block, ...]
    source: Source = field(repr=False, compare=False)
