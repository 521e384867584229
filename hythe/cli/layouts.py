"""What the views need to know of a kind, read off its schema."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from hythe.cli.views.values import PLAIN_LAYOUT, Layout, Names

if TYPE_CHECKING:
    from hythe.provider.registry import Registry
    from hythe.provider.schema import Schema


@functools.cache
def layout_of(registry: Registry, kind: str) -> Layout:
    """The layout of a kind; a plain one for kinds that are not known (any more)."""
    if kind not in registry:
        return PLAIN_LAYOUT
    forms: dict[Names, str] = {}
    blocks: set[Names] = set()
    schema = registry.kind(kind).schema
    _walk(schema, (), forms, blocks)
    defaults = {n: a.default for n, a in schema.attributes.items() if a.default is not None}
    return Layout(forms, frozenset(blocks), defaults)


def _walk(schema: Schema, prefix: Names, forms: dict[Names, str], blocks: set[Names]) -> None:
    for name, spec in schema.attributes.items():
        path = (*prefix, name)
        if spec.display:
            forms[path] = spec.display
        if spec.nested is not None:
            blocks.add(path)
            _walk(spec.nested, path, forms, blocks)
