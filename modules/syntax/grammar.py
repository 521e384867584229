"""python-hcl2's grammar: masked text in, shapes out.

This is the only module that knows the grammar's rule and token names, which are internals of python-hcl2
(hence its tight version pin) and are watched by a test. The grammar is compiled once per installation; the
compiled tables are kept in the user's cache folder, because python-hcl2's own place for them is often not
writable.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hythe.modules.syntax.cursor import Masked
from hythe.modules.syntax.shape import Shape

if TYPE_CHECKING:
    from lark import Lark

MAX_DEPTH = 250
"""How deep a tree may be; chains like ``a + b + c`` count one level for each step."""


_OPEN_ENDED = frozenset(("argument", "binary", "conditional"))


class GrammarError(Exception):
    """The grammar does not take the text."""


def cache_folder() -> Path | None:
    """The user's cache folder for Hythe, made when missing; None when there is none that can be written."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        folder = Path(base if os.path.isabs(base) else Path.home() / ".cache") / "hythe"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owned = folder.stat().st_uid == os.geteuid()
    except (OSError, RuntimeError):
        return None
    return folder if owned and os.access(folder, os.W_OK) else None


@cache
def _parser() -> Lark:
    import hcl2.parser
    from hcl2.postlexer import PostLexer
    from hcl2.version import __version__
    from lark import Lark

    folder = cache_folder()
    stored: str | bool = str(folder / f"grammar-{__version__}.bin") if folder else False
    options: dict[str, Any] = {
        "parser": "lalr", "rel_to": hcl2.parser.__file__, "propagate_positions": True, "postlex": PostLexer(),
    }  # fmt: skip
    try:
        return Lark.open("hcl2.lark", cache=stored, **options)
    except Exception:
        # A damaged cache must cost time only; a damaged installation fails again here.
        return Lark.open("hcl2.lark", cache=False, **options)


def parse(masked: Masked) -> list[Shape]:
    """The items of a body, as shapes. Raises GrammarError when the grammar refuses the text."""
    from lark.exceptions import LarkError

    try:
        tree = _parser().parse(masked.text + "\n")
    except LarkError as problem:
        raise GrammarError(str(problem)) from problem
    return _Reader(masked).body(tree)


class _Reader:
    """Turns one raw tree into shapes, leaves first, so that depth costs no recursion."""

    def __init__(self, masked: Masked) -> None:
        self._masked = masked
        self._done: dict[int, Any] = {}

    def body(self, tree: Any) -> list[Shape]:
        for node in tree.iter_subtrees():
            handler = _HANDLERS.get(node.data)
            shape = handler(self, node) if handler else None
            if isinstance(shape, Shape) and shape.depth > MAX_DEPTH:
                raise GrammarError("too deep")
            self._done[id(node)] = shape
        items: list[Shape] = self._done[id(tree)]
        return items

    def _token(self, leaf: Any) -> int:
        return self._masked.firsts[leaf.start_pos]

    def _all(self, node: Any) -> list[Any]:
        """What the parts of a node became; tokens and empty rules are left out."""
        done = self._done
        return [made for child in node.children if (made := done.get(id(child))) is not None]

    def _make(
        self, kind: str, node: Any, parts: tuple[Shape, ...] = (), marks: tuple[int, ...] = (), flags: str = ""
    ) -> Shape:
        first = self._masked.firsts[node.meta.start_pos]
        # The grammar counts a line end after an operand as the operation's own.
        last = parts[-1].last if kind in _OPEN_ENDED else self._masked.lasts[node.meta.end_pos]
        depth = 1 + max((part.depth for part in parts), default=0)
        return Shape(kind, first, last, parts, marks, flags, depth)

    # structure

    def start(self, node: Any) -> list[Shape]:
        return self._all(node)[0]  # type: ignore[no-any-return]

    def items(self, node: Any) -> list[Shape]:
        return [item for item in self._all(node) if item.kind in ("argument", "block")]

    def argument(self, node: Any) -> Shape:
        name, value = self._all(node)
        return self._make("argument", node, (value,), (name.first,))

    def block(self, node: Any) -> Shape:
        made = self._all(node)
        names = tuple(part.first for part in made if isinstance(part, Shape))
        inner = next(part for part in made if isinstance(part, list))
        return self._make("block", node, tuple(inner), names)

    # terms

    def term(self, node: Any) -> Shape:
        made = self._all(node)[0]
        opening = node.children[0]
        if getattr(opening, "type", "") != "LPAR" or opening.start_pos in self._masked.virtual:
            return made  # type: ignore[no-any-return]
        return self._make("parentheses", node, (made,))

    def string(self, node: Any) -> Shape:
        return self._make("string", node, tuple(self._all(node)))

    def string_part(self, node: Any) -> Shape:
        made = self._all(node)
        return made[0] if made else self._make("text", node)

    def for_directive(self, node: Any) -> Shape:
        *names, collection = self._all(node)
        return self._make("for_directive", node, (collection,), tuple(name.first for name in names))

    def key(self, node: Any) -> Shape:
        made: Shape = self._all(node)[0]
        return Shape("key", made.first, made.last) if made.kind in ("name", "literal") else made

    def element(self, node: Any) -> tuple[Shape, Shape]:
        key, value = self._all(node)
        return key, value

    def object(self, node: Any) -> Shape:
        return self._make("object", node, tuple(part for pair in self._all(node) for part in pair))

    def arguments(self, node: Any) -> tuple[list[Shape], bool]:
        return self._all(node), getattr(node.children[-1], "type", "") == "ELLIPSIS"

    def call(self, node: Any) -> Shape:
        made = self._all(node)
        values, expand = made[1] if len(made) > 1 else ([], False)
        return self._make("call", node, tuple(values), (made[0].last,), "e" if expand else "")

    # steps

    def steps(self, node: Any) -> Shape:
        base, step = self._all(node)
        found = (step,) if isinstance(step, Shape) else tuple(step)
        before = base.parts if base.kind == "steps" else (base,)
        depth = base.depth + sum(part.depth for part in found)
        first, last = base.first, self._masked.lasts[node.meta.end_pos]
        return Shape("steps", first, last, before + found, (), "", depth)

    def attribute_step(self, node: Any) -> Shape:
        return self._make("attribute", node)

    def splat(self, kind: str, node: Any) -> list[Shape]:
        leaf = node.children[0]
        splat = Shape(kind, self._token(leaf), self._masked.lasts[leaf.end_pos])
        return [splat, *self._all(node)]

    # operators

    def operator(self, node: Any) -> int:
        return self._token(node.children[0])

    def binary_term(self, node: Any) -> tuple[int, Shape]:
        operator, right = (self._done[id(child)] for child in node.children if self._done.get(id(child)) is not None)
        return operator, right

    def binary(self, node: Any) -> Shape:
        left, (operator, right) = self._all(node)
        return self._make("binary", node, (left, right), (operator,))

    def unary(self, node: Any) -> Shape:
        return self._make("unary", node, tuple(self._all(node)), (self._token(node.children[0]),))

    # for expressions

    def for_intro(self, node: Any) -> tuple[list[Shape], Shape]:
        *names, collection = self._all(node)
        return names, collection

    def for_condition(self, node: Any) -> tuple[Shape]:
        return (self._all(node)[-1],)

    def for_expression(self, node: Any) -> Shape:
        (names, collection), *rest = self._all(node)
        condition = rest.pop() if isinstance(rest[-1], tuple) else ()
        flags = ("k" if len(rest) > 1 else "") + ("c" if condition else "")
        if any(getattr(child, "type", "") == "ELLIPSIS" for child in node.children):
            flags += "g"
        marks = tuple(name.first for name in names)
        return self._make("for", node, (collection, *rest, *condition), marks, flags)


def _leaf(kind: str) -> Callable[[_Reader, Any], Shape]:
    return lambda reader, node: reader._make(kind, node)


def _with_parts(kind: str) -> Callable[[_Reader, Any], Shape]:
    return lambda reader, node: reader._make(kind, node, tuple(reader._all(node)))


_HANDLERS: dict[str, Callable[[_Reader, Any], Any]] = {
    "start": _Reader.start,
    "body": _Reader.items,
    "attribute": _Reader.argument,
    "block": _Reader.block,
    "identifier": _leaf("name"),
    "keyword": _leaf("name"),
    "literal_value": _leaf("literal"),
    "int_lit": _leaf("number"),
    "string": _Reader.string,
    "string_part": _Reader.string_part,
    "interpolation": _with_parts("interpolation"),
    "template_if_start": _with_parts("if"),
    "template_else": _leaf("else"),
    "template_endif": _leaf("endif"),
    "template_for_start": _Reader.for_directive,
    "template_endfor": _leaf("endfor"),
    "expr_term": _Reader.term,
    "tuple": _with_parts("tuple"),
    "object": _Reader.object,
    "object_elem": _Reader.element,
    "object_elem_key": _Reader.key,
    "function_call": _Reader.call,
    "arguments": _Reader.arguments,
    "index_expr_term": _Reader.steps,
    "get_attr_expr_term": _Reader.steps,
    "attr_splat_expr_term": _Reader.steps,
    "full_splat_expr_term": _Reader.steps,
    "braces_index": _with_parts("index"),
    "short_index": _leaf("legacy"),
    "get_attr": _Reader.attribute_step,
    "attr_splat": lambda reader, node: reader.splat("attribute_splat", node),
    "full_splat": lambda reader, node: reader.splat("full_splat", node),
    "binary_op": _Reader.binary,
    "binary_term": _Reader.binary_term,
    "binary_operator": _Reader.operator,
    "unary_op": _Reader.unary,
    "conditional": _with_parts("conditional"),
    "for_intro": _Reader.for_intro,
    "for_cond": _Reader.for_condition,
    "for_tuple_expr": _Reader.for_expression,
    "for_object_expr": _Reader.for_expression,
}


def rule_names() -> frozenset[str]:
    """The grammar's rule names this module knows, for the test that watches them."""
    return frozenset(_HANDLERS)


def defined_rules() -> Iterator[str]:
    """The rule names that the installed grammar defines."""
    for rule in _parser().rules:
        yield str(rule.alias or rule.origin.name)
