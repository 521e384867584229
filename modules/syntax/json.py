"""The JSON form of the language (``*.hcl.json``), read into the same tree.

Strings are templates; objects and arrays are constructors; a block type holds an object whose keys
are labels, as far as the type has labels. Positions are those of the strings in the text.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

from hythe.diagnostic import Diagnostic, error
from hythe.modules.syntax.lexical import SyntaxFailure
from hythe.modules.syntax.structure import StructureParser
from hythe.modules.syntax.tree import (
    Attribute,
    Block,
    Body,
    Expression,
    Label,
    Literal,
    ObjectCons,
    Source,
    Template,
    TupleCons,
)
from hythe.value import number

_LABELS = {"resource": 2, "data": 2, "variable": 1, "output": 1, "module": 1, "provider": 1, "check": 1}
_BLOCKS = {"locals", "hythe", "moved", "removed", "import", *_LABELS}
_NESTED = {"lifecycle", "precondition", "postcondition", "validation", "backend", "dynamic", "connection", "content"}


def parse(text: str, filename: str) -> tuple[Body, list[Diagnostic]]:
    """Parse a file. What is no valid JSON gives an empty body and a diagnostic."""
    source = Source(filename, text)
    empty = Body(0, len(text), {}, (), source)
    try:
        tree = json.loads(text, parse_float=Decimal, object_pairs_hook=_Pairs)
    except (json.JSONDecodeError, RecursionError, ValueError) as failure:
        at = failure.pos if isinstance(failure, json.JSONDecodeError) else 0
        why = failure.msg if isinstance(failure, json.JSONDecodeError) else "it is nested too deeply"
        detail = f"The file is not valid JSON: {why}."
        return empty, [error("Invalid JSON", detail, source.range(at, min(at + 1, len(text))))]
    if not isinstance(tree, _Pairs):
        return empty, [error("Invalid JSON", "The file must hold one object.", source.range(0, min(1, len(text))))]
    reader = _Reader(source)
    return reader.top(tree), reader.found


class _Pairs(list[tuple[str, Any]]):
    """An object, with its keys in order and repeated ones kept."""


class _Reader:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.found: list[Diagnostic] = []
        self._at = 0

    def _find(self, text: str) -> tuple[int, int]:
        """The next place of a string: keys and values are visited in the order of the text."""
        encoded = json.dumps(text, ensure_ascii=False)
        at = self.source.text.find(encoded, self._at)
        if at < 0:
            at = self.source.text.find(json.dumps(text), self._at)
        if at < 0:
            return self._at, self._at
        self._at = at + 1
        return at, at + len(encoded)

    def top(self, tree: _Pairs) -> Body:
        attributes: dict[str, Attribute] = {}
        blocks: list[Block] = []
        for name, value in tree:
            if name == "//":
                continue
            start, end = self._find(name)
            if name in _BLOCKS:
                self._blocks(name, value, start, end, _LABELS.get(name, 0), (), blocks)
            else:
                attributes[name] = Attribute(start, end, name, end, self._expression(value))
        return Body(0, len(self.source.text), attributes, tuple(blocks), self.source)

    def _blocks(
        self, name: str, value: Any, start: int, end: int, labels: int, have: tuple[Label, ...], out: list[Block]
    ) -> None:
        if isinstance(value, list) and not isinstance(value, _Pairs):
            for item in value:
                self._blocks(name, item, start, end, labels, have, out)
        elif not isinstance(value, _Pairs):
            detail = f'"{name}" must hold an object, or a list of objects.'
            self.found.append(error("Incorrect JSON value type", detail, self.source.range(start, end)))
        elif labels:
            for key, inner in value:
                at, stop = self._find(key)
                self._blocks(name, inner, start, end, labels - 1, (*have, Label(at, stop, key)), out)
        else:
            out.append(Block(start, end, name, end, have, self._body(value)))

    def _body(self, tree: _Pairs) -> Body:
        start = self._at
        attributes: dict[str, Attribute] = {}
        blocks: list[Block] = []
        for name, value in tree:
            if name == "//":
                continue
            at, end = self._find(name)
            if name in _NESTED:
                self._blocks(name, value, at, end, 1 if name in ("dynamic", "backend") else 0, (), blocks)
            else:
                attributes[name] = Attribute(at, end, name, end, self._expression(value))
        return Body(start, self._at, attributes, tuple(blocks), self.source)

    def _expression(self, value: Any) -> Expression:
        if isinstance(value, str):
            return self._template(value)
        at = self._at
        if isinstance(value, _Pairs):
            items = tuple((self._template(k), self._expression(v)) for k, v in value)
            return ObjectCons(at, self._at, items)
        if isinstance(value, list):
            return TupleCons(at, self._at, tuple(map(self._expression, value)))
        if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
            return Literal(at, at, number(value))
        return Literal(at, at, value)

    def _template(self, text: str) -> Expression:
        start, end = self._find(text)
        if not re.search(r"[$%]\{", text):
            return Template(start, end, (Literal(start, end, text),) if text else ())
        inner: list[Diagnostic] = []
        parser = StructureParser(Source(self.source.filename, text), inner)
        try:
            made: Expression = parser.bare()
        except SyntaxFailure:
            made = Template(start, end, ())
        for problem in inner:
            self.found.append(error(problem.summary, problem.detail, self.source.range(start, end)))
        return made
