"""Syntax trees as bytes, for those who keep them: plain tuples, of which nodes are made when they are looked at.

Blocks and arguments are made at once, what an argument's expression holds when somebody asks for it. The bytes are
Python's marshal: :func:`unpack` is only for what this program has packed itself.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable
from dataclasses import fields
from decimal import Decimal
from typing import Any

from hythe.modules.syntax import tree

Packed = tuple[Any, ...]

_DECIMAL = 18  # a Literal whose value is one: marshal knows only Python's own numbers


def pack(body: tree.Body) -> bytes | None:
    """The tree of a file; None when it is too deep to be packed."""
    try:
        return marshal.dumps(_pack_body(body))
    except (RecursionError, ValueError):
        return None


def unpack(data: bytes, source: tree.Source) -> tree.Body:
    """What was packed, in a file of that text."""
    return _body(marshal.loads(data), source)  # noqa: S302


def _pack_body(body: tree.Body) -> Packed:
    attributes = tuple(
        (a.start, a.end, a.name, a.name_end, marshal.dumps(_pack_node(a.expression))) for a in body.attributes.values()
    )
    blocks = tuple(
        (b.start, b.end, b.type, b.header_end, tuple((n.start, n.end, n.text) for n in b.labels), _pack_body(b.body))
        for b in body.blocks
    )
    return body.start, body.end, attributes, blocks


def _pack_node(node: tree.Node) -> Packed:
    if isinstance(node, tree.Literal) and isinstance(node.value, Decimal):
        return _DECIMAL, node.start, node.end, str(node.value)
    made = [_pack(getattr(node, name)) for name in _NAMES[type(node)]]
    return _NUMBERS[type(node)], *made


def _pack(value: object) -> object:
    if isinstance(value, tree.Node):
        return _pack_node(value)
    return tuple(map(_pack, value)) if isinstance(value, tuple) else value


class _Unread(tree.Attribute):
    """An argument whose expression is still bytes; looked at, it becomes a usual one."""

    __slots__ = ()

    @property
    def expression(self) -> tree.Expression:
        """The expression, made now."""
        found = _slot.__get__(self)
        if type(found) is bytes:
            found = _node(marshal.loads(found))  # noqa: S302
            _slot.__set__(self, found)
            self.__class__ = tree.Attribute  # type: ignore[assignment]
        made: tree.Expression = found
        return made

    def __eq__(self, other: object) -> bool:
        return _read(self) == (_read(other) if isinstance(other, _Unread) else other)

    def __hash__(self) -> int:
        return hash(_read(self))

    def __repr__(self) -> str:
        return repr(_read(self))


_slot: Any = vars(tree.Attribute)["expression"]


def _read(attribute: _Unread) -> tree.Attribute:
    _ = attribute.expression
    return attribute


def _unread(packed: Packed) -> tree.Attribute:
    made = tree.Attribute(*packed)
    made.__class__ = _Unread
    return made


def _body(packed: Packed, source: tree.Source) -> tree.Body:
    start, end, attributes, blocks = packed
    return tree.Body(
        start,
        end,
        {a[2]: _unread(a) for a in attributes},
        tuple(
            [
                tree.Block(at, stop, kind, header_end, tuple([tree.Label(*n) for n in labels]), _body(body, source))
                for at, stop, kind, header_end, labels, body in blocks
            ]
        ),
        source,
    )


# -- expressions: a function for each sort of node, given what _pack_node made of it ----------------------------------


def _node(packed: Packed) -> Any:
    return _MAKE[packed[0]](packed)


def _nodes(packed: Packed) -> tuple[Any, ...]:
    return tuple([_MAKE[p[0]](p) for p in packed])


def _maybe(packed: Packed | None) -> Any:
    return None if packed is None else _node(packed)


def _template(packed: Packed) -> tree.Template:
    _, start, end, parts, heredoc = packed
    return tree.Template(start, end, _nodes(parts), heredoc)


def _template_if(packed: Packed) -> tree.TemplateIf:
    _, start, end, condition, then, otherwise = packed
    return tree.TemplateIf(start, end, _node(condition), _node(then), _node(otherwise))


def _template_for(packed: Packed) -> tree.TemplateFor:
    _, start, end, key_name, value_name, collection, body = packed
    return tree.TemplateFor(start, end, key_name, value_name, _node(collection), _node(body))


def _get_attr(packed: Packed) -> tree.GetAttr:
    _, start, end, source, name = packed
    return tree.GetAttr(start, end, _node(source), name)


def _splat(packed: Packed) -> tree.Splat:
    _, start, end, source, each, full = packed
    return tree.Splat(start, end, _node(source), _node(each), full)


def _call(packed: Packed) -> tree.Call:
    _, start, end, name, name_end, args, expand = packed
    return tree.Call(start, end, name, name_end, _nodes(args), expand)


def _binary(packed: Packed) -> tree.Binary:
    _, start, end, op, left, right = packed
    return tree.Binary(start, end, op, _node(left), _node(right))


def _conditional(packed: Packed) -> tree.Conditional:
    _, start, end, condition, then, otherwise = packed
    return tree.Conditional(start, end, _node(condition), _node(then), _node(otherwise))


def _object(packed: Packed) -> tree.ObjectCons:
    _, start, end, items = packed
    return tree.ObjectCons(start, end, tuple([(_node(key), _node(value)) for key, value in items]))


def _for(packed: Packed) -> tree.For:
    _, start, end, key_name, value_name, collection, key, value, condition, group = packed
    return tree.For(
        start, end, key_name, value_name, _node(collection), _maybe(key), _node(value), _maybe(condition), group
    )


_KINDS: tuple[tuple[type[tree.Node], Callable[[Packed], tree.Node]], ...] = (
    (tree.Literal, lambda p: tree.Literal(p[1], p[2], p[3])),
    (tree.Template, _template),
    (tree.TemplateWrap, lambda p: tree.TemplateWrap(p[1], p[2], _node(p[3]))),
    (tree.TemplateIf, _template_if),
    (tree.TemplateFor, _template_for),
    (tree.Variable, lambda p: tree.Variable(p[1], p[2], p[3])),
    (tree.GetAttr, _get_attr),
    (tree.Index, lambda p: tree.Index(p[1], p[2], _node(p[3]), _node(p[4]))),
    (tree.Splat, _splat),
    (tree.SplatItem, lambda p: tree.SplatItem(p[1], p[2])),
    (tree.Call, _call),
    (tree.Unary, lambda p: tree.Unary(p[1], p[2], p[3], _node(p[4]))),
    (tree.Binary, _binary),
    (tree.Conditional, _conditional),
    (tree.Parentheses, lambda p: tree.Parentheses(p[1], p[2], _node(p[3]))),
    (tree.TupleCons, lambda p: tree.TupleCons(p[1], p[2], _nodes(p[3]))),
    (tree.ObjectCons, _object),
    (tree.For, _for),
)
_NAMES = {kind: tuple(field.name for field in fields(kind)) for kind, _ in _KINDS}
_NUMBERS = {kind: number for number, (kind, _) in enumerate(_KINDS)}
_MAKE: tuple[Callable[[Packed], Any], ...] = (
    *(make for _, make in _KINDS),
    lambda p: tree.Literal(p[1], p[2], Decimal(p[3])),
)
assert len(_MAKE) == _DECIMAL + 1
