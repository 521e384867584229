"""Types, expressions, templates and functions of the language.

This is also the way to embed the language elsewhere::

    value, diagnostics = evaluate('"${upper(name)}-${count + 1}"', {"name": "a", "count": 1})

Values go in as plain Python; :func:`to_json` turns results into plain Python again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hythe.value import Sensitive, Unknown

if TYPE_CHECKING:
    from hythe.diagnostic import Diagnostic
    from hythe.modules.language.functions.registry import Environment
    from hythe.value import Type

__all__ = ["Sensitive", "Unknown", "convert", "evaluate", "parse_type", "to_json"]

# The parts are imported on use: whoever only needs the version or a type pays for nothing else.


def evaluate(
    source: str,
    scope: Mapping[str, object],
    *,
    template: bool = False,
    environment: Environment | None = None,
) -> tuple[object, list[Diagnostic]]:
    """Evaluate an expression, or with ``template`` a template, given as text.

    ``scope`` maps the names it may refer to to plain Python values (None, str, bool, int, float,
    Decimal, list, tuple, set, dict, :class:`Unknown`, :func:`Sensitive`) or language values. Without
    ``environment`` no function reads files. Gives the language value (see :mod:`hythe.value`) and
    what was found wrong; with an error among that, the value is Unknown.
    """
    from hythe.modules import syntax
    from hythe.modules.language.compile import compile_expression
    from hythe.modules.language.plain import from_python
    from hythe.modules.language.scope import Scope

    filename = "<template>" if template else "<expression>"
    parse = syntax.parse_template if template else syntax.parse_expression
    expr, text, diagnostics = parse(source, filename)
    found = list(diagnostics)
    if expr is None or any(d.is_error for d in found):
        return Unknown(), found
    names = {name: from_python(value) for name, value in scope.items()}
    inner = Scope(names, environment, diagnostics=found)
    value = compile_expression(expr, text).evaluate(inner)
    return (Unknown() if any(d.is_error for d in found) else value), found


def parse_type(source: str, *, constraint: bool = True) -> tuple[Type | None, list[Diagnostic]]:
    """Parse a type expression like ``list(object({ name = string }))``.

    With ``constraint``, ``any`` and ``optional()`` are allowed. None, with diagnostics, on errors.
    """
    from hythe.modules.language import typeexpr

    return typeexpr.parse_type(source, constraint=constraint)


def convert(value: object, type_source: str) -> tuple[object, list[Diagnostic]]:
    """Convert a plain Python or language value to the type that an expression spells.

    On errors the value is Unknown.
    """
    from hythe.diagnostic import error
    from hythe.modules.language import conversions
    from hythe.modules.language.plain import from_python

    kind, diagnostics = parse_type(type_source)
    if kind is None:
        return Unknown(), diagnostics
    try:
        return conversions.convert(from_python(value), kind), diagnostics
    except conversions.ConversionError as exc:
        place = "".join(f"element {part}: " for part in exc.path)
        return Unknown(kind), [
            *diagnostics,
            error("Unsuitable value", f"The value does not convert to {kind}: {place}{exc.message}."),
        ]


def to_json(value: object) -> object:
    """The plain JSON form of a value: dicts, lists, str, int, Decimal, bool and None.

    Sets become lists; ``{"$unknown": type}`` and ``{"$sensitive": value}`` stand for such values.
    """
    from hythe.modules.language import plain

    return plain.to_json(value)
