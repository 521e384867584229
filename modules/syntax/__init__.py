"""HCL text to a syntax tree with source ranges."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from hythe.diagnostic import Diagnostic
from hythe.modules.syntax.tree import Body, Expression, Source

if TYPE_CHECKING:
    from hythe.modules.syntax.structure import StructureParser

__all__ = [
    "Parse",
    "allow_depth",
    "format",
    "parse",
    "parse_expression",
    "parse_file",
    "parse_json",
    "parse_template",
]


Parse: TypeAlias = Callable[[str, str], tuple[Body, list[Diagnostic]]]
"""From a file's text and name to its tree and what is wrong with it."""


def allow_depth() -> None:
    """Let Python go as deep as a tree may be: who parses does that, and who has a tree from elsewhere."""
    import sys

    # nesting is bounded by the parser itself (lexical.MAX_DEPTH), at about eight frames a level
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 5_000))


def _parser(text: str, filename: str, found: list[Diagnostic]) -> StructureParser:
    from hythe.modules.syntax.structure import StructureParser

    allow_depth()
    return StructureParser(Source(filename, text), found)


def parse(text: str, filename: str) -> tuple[Body, list[Diagnostic]]:
    """Parse a file. The body holds everything that could be parsed."""
    found: list[Diagnostic] = []
    return _parser(text, filename, found).file(), found


def parse_file(text: str, filename: str) -> tuple[Body, list[Diagnostic]]:
    """Parse a file in the form of the language that its name tells."""
    return (parse_json if filename.endswith(".json") else parse)(text, filename)


def format(text: str) -> str:
    """The text in canonical style, as ``hythe fmt`` writes it; in one with errors only blanks change."""
    from hythe.modules.syntax.canonical import format_text

    body, found = parse(text, "")
    return format_text(text, None if found else body)


def parse_expression(text: str, filename: str) -> tuple[Expression | None, Source, list[Diagnostic]]:
    """Parse a text that is one expression; None when it is none."""
    from hythe.modules.syntax.lexical import SyntaxFailure

    found: list[Diagnostic] = []
    parser = _parser(text, filename, found)
    parser.newlines = [False]
    made: Expression | None = None
    try:
        parser.skip()
        made = parser.expression()
        parser.skip()
        if parser.pos < parser.end:
            detail = f"The expression ends here, and {parser.describe()} follows."
            raise parser.unexpected("Extra characters after expression", detail)
    except SyntaxFailure:
        made = None
    return made, parser.source, found


def parse_template(text: str, filename: str) -> tuple[Expression | None, Source, list[Diagnostic]]:
    """Parse a template file's text: no quotes, no escapes, ``${ }`` and ``%{ }`` work."""
    from hythe.modules.syntax.lexical import SyntaxFailure

    found: list[Diagnostic] = []
    parser = _parser(text, filename, found)
    made: Expression | None = None
    try:
        made = parser.bare()
    except SyntaxFailure:
        made = None
    return (None if found else made), parser.source, found


def parse_json(text: str, filename: str) -> tuple[Body, list[Diagnostic]]:
    """Parse a file in the JSON form of the language."""
    from hythe.modules.syntax import json

    return json.parse(text, filename)
