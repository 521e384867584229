"""Templates from their parts: literal text, strip markers, indentation and directives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hythe.modules.syntax import tree
from hythe.modules.syntax.literals import bare_value, normalise, quoted_value
from hythe.modules.syntax.scanner import Tokens
from hythe.modules.syntax.shape import Shape


@dataclass(slots=True)
class _Text:
    """One token of literal text while markers and indentation are taken from it."""

    start: int
    end: int
    value: str


@dataclass(slots=True)
class _Sequence:
    """An interpolation or directive."""

    shape: Shape
    start: int
    end: int


_Part = _Text | _Sequence


class TemplateBuilder:
    """Builds the templates of one stretch of tokens; ``base`` is the token index its shapes count from."""

    def __init__(self, tokens: Tokens, base: int, expression: Callable[[Shape], tree.Expression]) -> None:
        self._tokens = tokens
        self._base = base
        self._expression = expression
        self._parts: list[_Part] = []
        self._at = 0

    def build(self, shape: Shape) -> tree.Template | tree.TemplateWrap:
        """The node of a string, heredoc or template file."""
        tokens, base = self._tokens, self._base
        first, last = shape.first + base, shape.last + base
        opening = tokens.kinds[first]
        heredoc = opening == "h"
        start, end = tokens.starts[first], tokens.ends[last]
        if opening not in 'h"':
            start, end = 0, len(tokens.text)
        self._parts = self._cut(shape, bare=opening != '"')
        if heredoc and tokens.text.startswith("<<-", start):
            _outdent([part for part in self._parts if isinstance(part, _Sequence) or part.start < part.end])
        if len(self._parts) == 1 and not heredoc:
            only = self._parts[0]
            if isinstance(only, _Sequence) and only.shape.kind == "interpolation":
                return tree.TemplateWrap(start, end, self._expression(only.shape.parts[0]))
        self._at = 0
        return tree.Template(start, end, tuple(self._until()), heredoc)

    def _cut(self, shape: Shape, bare: bool) -> list[_Part]:
        """The parts in order, with escapes resolved and strip markers applied."""
        tokens, base = self._tokens, self._base
        parts: list[_Part] = []
        strip_next = False
        for part in shape.parts:
            first, last = part.first + base, part.last + base
            if part.kind == "text":
                for index in range(first, last + 1):
                    word = tokens.word(index)
                    value = bare_value(word) if bare else quoted_value(word)
                    value = value.lstrip() if strip_next else value
                    parts.append(_Text(tokens.starts[index], tokens.ends[index], value))
                    strip_next = False
                continue
            previous = parts[-1] if parts else None
            if isinstance(previous, _Text) and tokens.word(first).endswith("~"):
                previous.value = previous.value.rstrip()
            parts.append(_Sequence(part, tokens.starts[first], tokens.ends[last]))
            strip_next = tokens.word(last).startswith("~")
        return parts

    def _until(self, *closing: str) -> list[tree.Expression]:
        """Parts up to one of the closing directives, which stays to be read."""
        nodes: list[tree.Expression] = []
        while self._at < len(self._parts):
            part = self._parts[self._at]
            if isinstance(part, _Text):
                nodes.append(self._literal())
                continue
            kind = part.shape.kind
            if kind in closing:
                break
            self._at += 1
            if kind == "interpolation":
                nodes.append(self._expression(part.shape.parts[0]))
            elif kind == "if":
                nodes.append(self._if(part))
            elif kind == "for_directive":
                nodes.append(self._for(part))
        return nodes

    def _literal(self) -> tree.Literal:
        """Neighbouring literal tokens as one literal."""
        first = self._parts[self._at]
        end, values = first.end, []
        while self._at < len(self._parts) and isinstance(part := self._parts[self._at], _Text):
            values.append(part.value)
            end = part.end
            self._at += 1
        return tree.Literal(first.start, end, normalise("".join(values)))

    def _branch(self, start: int, *closing: str) -> tuple[tree.Template, _Sequence]:
        """A template inside a directive, and the directive that closes it."""
        nodes = self._until(*closing)
        part = self._parts[self._at]
        if not isinstance(part, _Sequence):
            raise AssertionError("a directive without its end passed the check")
        self._at += 1
        return tree.Template(start, part.start, tuple(nodes)), part

    def _if(self, opening: _Sequence) -> tree.TemplateIf:
        condition = self._expression(opening.shape.parts[0])
        then, part = self._branch(opening.end, "else", "endif")
        otherwise = tree.Template(part.start, part.start, ())
        if part.shape.kind == "else":
            otherwise, part = self._branch(part.end, "endif")
        return tree.TemplateIf(opening.start, part.end, condition, then, otherwise)

    def _for(self, opening: _Sequence) -> tree.TemplateFor:
        names = [self._tokens.word(mark + self._base) for mark in opening.shape.marks]
        collection = self._expression(opening.shape.parts[0])
        body, part = self._branch(opening.end, "endfor")
        key = names[0] if len(names) == 2 else None
        return tree.TemplateFor(opening.start, part.end, key, names[-1], collection, body)


def _outdent(parts: list[_Part]) -> None:
    """Take the smallest indentation of all lines from each line. Blank lines neither count nor change."""
    smallest: int | None = None
    indented: list[_Text] = []
    line_begins = True
    for part in parts:
        if line_begins:
            width: int | None = 0
            if isinstance(part, _Text):
                bare = part.value.lstrip()
                if not bare and part.value.endswith("\n"):
                    width = None
                else:
                    width = len(part.value) - len(bare)
                    indented.append(part)
            if width is not None:
                smallest = width if smallest is None else min(smallest, width)
        line_begins = isinstance(part, _Text) and part.value.endswith("\n")
    for part in indented:
        part.value = part.value[smallest or 0 :]
