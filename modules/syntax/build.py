"""Shapes and tokens to the syntax tree."""

from __future__ import annotations

from collections.abc import Callable

from hythe.modules.syntax import tree
from hythe.modules.syntax.build_template import TemplateBuilder
from hythe.modules.syntax.literals import normalise, number_value
from hythe.modules.syntax.scanner import Tokens
from hythe.modules.syntax.shape import Shape

_SPELLING = {"|": "||", "&": "&&", "e": "==", "w": "!=", "j": "<=", "g": ">=", "m": "%"}
_VALUES = {"T": True, "U": False, "V": None}


class Builder:
    """Builds the nodes of one stretch of tokens; ``base`` is the token index its shapes count from."""

    __slots__ = ("_base", "_ends", "_kinds", "_starts", "_text", "_tokens")

    def __init__(self, tokens: Tokens, base: int) -> None:
        self._tokens = tokens
        self._base = base
        self._text = tokens.text
        self._kinds = tokens.kinds
        self._starts = tokens.starts
        self._ends = tokens.ends

    def expression(self, shape: Shape) -> tree.Expression:
        """The node of any expression."""
        return _BUILDERS[shape.kind](self, shape, self._starts[shape.first + self._base], self._end(shape))

    def _end(self, shape: Shape) -> int:
        return self._ends[shape.last + self._base]

    def _word(self, mark: int) -> str:
        index = mark + self._base
        return self._text[self._starts[index] : self._ends[index]]

    def literal(self, shape: Shape, start: int, end: int) -> tree.Literal:
        return tree.Literal(start, end, _VALUES[self._kinds[shape.first + self._base]])

    def number(self, shape: Shape, start: int, end: int) -> tree.Literal:
        return tree.Literal(start, end, number_value(self._text[start:end]))

    def name(self, shape: Shape, start: int, end: int) -> tree.Variable:
        return tree.Variable(start, end, self._text[start:end])

    def key(self, shape: Shape, start: int, end: int) -> tree.Literal:
        return tree.Literal(start, end, normalise(self._text[start:end]))

    def string(self, shape: Shape, start: int, end: int) -> tree.Expression:
        if self._kinds[shape.first + self._base] == "s":
            if end - start == 2:
                return tree.Template(start, end, ())
            value = normalise(self._text[start + 1 : end - 1])
            return tree.Template(start, end, (tree.Literal(start + 1, end - 1, value),))
        return TemplateBuilder(self._tokens, self._base, self.expression).build(shape)

    def items(self, shape: Shape, start: int, end: int) -> tree.TupleCons:
        return tree.TupleCons(start, end, tuple(map(self.expression, shape.parts)))

    def object(self, shape: Shape, start: int, end: int) -> tree.ObjectCons:
        nodes = [self.expression(part) for part in shape.parts]
        return tree.ObjectCons(start, end, tuple(zip(nodes[::2], nodes[1::2], strict=True)))

    def call(self, shape: Shape, start: int, end: int) -> tree.Call:
        last = shape.marks[0]
        name = "".join(self._word(index) for index in range(shape.first, last + 1) if self._word(index).strip())
        arguments = tuple(map(self.expression, shape.parts))
        return tree.Call(start, end, name, self._ends[last + self._base], arguments, "e" in shape.flags)

    def steps(self, shape: Shape, start: int, end: int) -> tree.Expression:
        return self._walk(self.expression(shape.parts[0]), shape.parts, 1)

    def _walk(self, node: tree.Expression, steps: tuple[Shape, ...], at: int) -> tree.Expression:
        """Apply the steps from ``at`` on. A full splat holds all that follow, the other one only names."""
        while at < len(steps):
            step = steps[at]
            at += 1
            if step.kind == "full_splat":
                inside = self._walk(self._item(step), steps, at)
                return tree.Splat(node.start, max(inside.end, self._end(step)), node, inside, True)
            if step.kind != "attribute_splat":
                node = self._step(node, step)
                continue
            inside = self._item(step)
            while at < len(steps) and steps[at].kind in ("attribute", "legacy"):
                inside = self._step(inside, steps[at])
                at += 1
            node = tree.Splat(node.start, inside.end, node, inside, False)
        return node

    def _item(self, step: Shape) -> tree.Expression:
        return tree.SplatItem(self._starts[step.first + self._base], self._end(step))

    def _step(self, node: tree.Expression, step: Shape) -> tree.Expression:
        end = self._end(step)
        if step.kind == "index":
            return tree.Index(node.start, end, node, self.expression(step.parts[0]))
        name = self._word(step.last)
        return tree.GetAttr(node.start, end, node, int(name) if step.kind == "legacy" else name)

    def unary(self, shape: Shape, start: int, end: int) -> tree.Unary:
        return tree.Unary(start, end, self._kinds[shape.marks[0] + self._base], self.expression(shape.parts[0]))

    def binary(self, shape: Shape, start: int, end: int) -> tree.Binary:
        operator = self._kinds[shape.marks[0] + self._base]
        left, right = shape.parts
        return tree.Binary(
            start, end, _SPELLING.get(operator, operator), self.expression(left), self.expression(right)
        )

    def conditional(self, shape: Shape, start: int, end: int) -> tree.Conditional:
        condition, then, otherwise = map(self.expression, shape.parts)
        return tree.Conditional(start, end, condition, then, otherwise)

    def parentheses(self, shape: Shape, start: int, end: int) -> tree.Parentheses:
        return tree.Parentheses(start, end, self.expression(shape.parts[0]))

    def for_expression(self, shape: Shape, start: int, end: int) -> tree.For:
        names = [self._word(mark) for mark in shape.marks]
        nodes = [self.expression(part) for part in shape.parts]
        condition = nodes.pop() if "c" in shape.flags else None
        collection, *key, value = nodes
        return tree.For(
            start, end, names[0] if len(names) == 2 else None, names[-1], collection,
            key[0] if key else None, value, condition, "g" in shape.flags,
        )  # fmt: skip


_BUILDERS: dict[str, Callable[[Builder, Shape, int, int], tree.Expression]] = {
    "literal": Builder.literal,
    "number": Builder.number,
    "name": Builder.name,
    "key": Builder.key,
    "string": Builder.string,
    "tuple": Builder.items,
    "object": Builder.object,
    "call": Builder.call,
    "steps": Builder.steps,
    "unary": Builder.unary,
    "binary": Builder.binary,
    "conditional": Builder.conditional,
    "parentheses": Builder.parentheses,
    "for": Builder.for_expression,
}
