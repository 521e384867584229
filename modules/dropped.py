"""Attributes that a variable's type does not name: conversion drops them, which is mostly a slip of the pen."""

from __future__ import annotations

from collections.abc import Iterator

from hythe.diagnostic import Diagnostic, did_you_mean, warning
from hythe.modules.blocks import static_text
from hythe.modules.syntax.tree import Expression, ObjectCons, Parentheses, Source, TupleCons
from hythe.value import Type


def dropped(expression: Expression, type: Type, variable: str, source: Source) -> Iterator[Diagnostic]:
    """A warning for each attribute that is written out and that the type of the variable has no place for."""
    if isinstance(expression, Parentheses):
        yield from dropped(expression.inner, type, variable, source)
    elif isinstance(expression, ObjectCons):
        for key, value in expression.items:
            name = static_text(key)
            if type.name == "map" and type.element is not None:
                yield from dropped(value, type.element, variable, source)
            elif type.name != "object" or type.attributes is None or name is None:
                continue
            elif name in type.attributes:
                yield from dropped(value, type.attributes[name], variable, source)
            else:
                text = (
                    f'The type of the variable "{variable}" has no attribute "{name}" here, so it is left out.'
                    f"{did_you_mean(name, type.attributes)}"
                )
                yield warning("Attribute without effect", text, source.range(key.start, key.end))
    elif isinstance(expression, TupleCons):
        for at, item in enumerate(expression.items):
            if type.name in ("list", "set") and type.element is not None:
                yield from dropped(item, type.element, variable, source)
            elif type.name == "tuple" and type.elements is not None and at < len(type.elements):
                yield from dropped(item, type.elements[at], variable, source)
