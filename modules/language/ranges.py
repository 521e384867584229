"""Finding the place in the text that a part of a value came from."""

from __future__ import annotations

import re

from hythe.diagnostic import Range
from hythe.modules.language.references import literal_key
from hythe.modules.syntax import tree

PathPart = str | int

_PART = re.compile(r'\.?([^.\[\]"]+)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]')


def parse_path(text: str) -> tuple[PathPart, ...]:
    """``port[0].container`` as ``("port", 0, "container")``; keys may be written ``["a.b"]``."""
    parts: list[PathPart] = []
    for match in _PART.finditer(text):
        name, index, key = match.groups()
        if name is not None:
            parts.append(name)
        elif index is not None:
            parts.append(int(index))
        else:
            parts.append(re.sub(r"\\(.)", r"\1", key))
    return tuple(parts)


def inner_range(expr: tree.Expression, path: tuple[PathPart, ...], source: tree.Source) -> Range:
    """The range of the part of a tuple or object constructor, as deep as constructors go."""
    for part in path:
        inner = _item(expr, part)
        if inner is None:
            break
        expr = inner
    return source.range(expr.start, expr.end)


def _item(expr: tree.Expression, part: PathPart) -> tree.Expression | None:
    while isinstance(expr, tree.Parentheses):
        expr = expr.inner
    if isinstance(expr, tree.TupleCons) and isinstance(part, int):
        return expr.items[part] if 0 <= part < len(expr.items) else None
    if isinstance(expr, tree.ObjectCons):
        for key, value in expr.items:
            if literal_key(key) == part:
                return value
    return None
