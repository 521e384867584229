"""What an expression refers to, found without evaluating it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hythe.diagnostic import Range
from hythe.modules.syntax import tree
from hythe.value import normalized

Step = str | int | None
"""An attribute name or literal key; None for a key that only evaluation can tell."""


TAKES_TYPE = "convert"
"""The function whose second argument is a type."""


class Traversal(NamedTuple):
    """A reference: ``vm.node["a"].name`` is root ``vm`` with steps ``("node", "a", "name")``."""

    root: str
    steps: tuple[Step, ...]
    range: Range


def references(expr: tree.Expression, source: tree.Source) -> tuple[Traversal, ...]:
    """All references of an expression in source order.

    Names that a ``for`` of the expression binds itself, and function names, are none.
    """
    return tuple(Traversal(root, steps, source.range(node.start, node.end)) for root, steps, node in _walk(expr))


_SPLAT_ITEM = frozenset({"*"})
_Found = tuple[str, tuple[Step, ...], tree.Node]


def _walk(expr: tree.Expression) -> Iterator[_Found]:
    # An explicit stack, as expressions may be nested deeper than the interpreter's own stack allows.
    stack: list[tuple[tree.Expression, frozenset[str]]] = [(expr, frozenset())]
    while stack:
        node, bound = stack.pop()
        if isinstance(node, (tree.Variable, tree.GetAttr, tree.Index)):
            root, steps, inner = _unwind(node)
            if isinstance(root, tree.Variable):
                if root.name not in bound:
                    yield root.name, steps, node
            else:
                inner.append(root)
            stack.extend((child, bound) for child in reversed(inner))
        else:
            stack.extend(reversed(_children(node, bound)))


def _unwind(node: tree.Expression) -> tuple[tree.Expression, tuple[Step, ...], list[tree.Expression]]:
    """The start of a traversal, its steps, and the key expressions that must be walked themselves."""
    steps: list[Step] = []
    keys: list[tree.Expression] = []
    while True:
        if isinstance(node, tree.GetAttr):
            steps.append(node.name)
            node = node.source
        elif isinstance(node, tree.Index):
            key = literal_key(node.key)
            steps.append(key)
            if key is None:
                keys.append(node.key)
            node = node.source
        else:
            return node, tuple(reversed(steps)), keys


def literal_key(node: tree.Expression) -> Step:
    """The key that an index expression spells out, or None."""
    if isinstance(node, tree.Literal) and type(node.value) in (str, int):
        return node.value  # type: ignore[return-value]
    if isinstance(node, tree.Template) and all(isinstance(p, tree.Literal) for p in node.parts):
        return normalized("".join(str(p.value) for p in node.parts if isinstance(p, tree.Literal)))
    return None


def uses(expr: tree.Expression) -> tuple[set[str], set[str]]:
    """The root names and the functions that an expression uses, those left out that it binds itself.

    The element that a splat around the expression is at counts as the name ``*``.
    """
    roots: set[str] = set()
    functions: set[str] = set()
    stack: list[tuple[tree.Expression, frozenset[str]]] = [(expr, frozenset())]
    while stack:
        node, bound = stack.pop()
        match node:
            case tree.Variable(name=name):
                roots |= {name} - bound
            case tree.SplatItem():
                roots |= _SPLAT_ITEM - bound
            case tree.GetAttr(source=inner):
                stack.append((inner, bound))
            case tree.Index(source=inner, key=key):
                stack += [(inner, bound), (key, bound)]
            case _:
                if isinstance(node, tree.Call):
                    functions.add(node.name)
                stack += _children(node, bound)
    return roots, functions


def _children(node: tree.Expression, bound: frozenset[str]) -> list[tuple[tree.Expression, frozenset[str]]]:
    match node:
        case tree.Template(parts=parts):
            return [(part, bound) for part in parts]
        case tree.TemplateWrap(wrapped=inner) | tree.Parentheses(inner=inner) | tree.Unary(operand=inner):
            return [(inner, bound)]
        case tree.TemplateIf() | tree.Conditional():
            return [(node.condition, bound), (node.then, bound), (node.otherwise, bound)]
        case tree.TemplateFor():
            inside = bound | {name for name in (node.key_name, node.value_name) if name}
            return [(node.collection, bound), (node.body, inside)]
        case tree.Splat():
            return [(node.source, bound), (node.each, bound | _SPLAT_ITEM)]
        case tree.Call(name=name, args=args):
            if name.removeprefix("core::") == TAKES_TYPE:
                args = args[:1]  # what follows is a type, and "string" no name of anything
            return [(arg, bound) for arg in args]
        case tree.Binary(left=left, right=right):
            return [(left, bound), (right, bound)]
        case tree.TupleCons(items=items):
            return [(item, bound) for item in items]
        case tree.ObjectCons(items=pairs):
            return [(part, bound) for pair in pairs for part in pair]
        case tree.For():
            inside = bound | {name for name in (node.key_name, node.value_name) if name}
            own = [part for part in (node.key, node.value, node.condition) if part is not None]
            return [(node.collection, bound), *((part, inside) for part in own)]
    return []
