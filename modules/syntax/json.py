"""The JSON form of the language (``*.hcl.json``), read into the same tree.

Strings are templates; objects and arrays are constructors; a block type holds an object whose keys
are labels, as far as the type has labels. Positions are those of the strings in the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from decimal import Decimal, InvalidOperation
from typing import Any

from hythe.diagnostic import Diagnostic, error
from hythe.modules.syntax.expressions import MAX_EXPONENT, MAX_NUMBER
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

_RESOURCES = ("resource", "data", "ephemeral")
_LABELS = {**dict.fromkeys(_RESOURCES, 2), "variable": 1, "output": 1, "module": 1, "provider": 1, "check": 1}
_BLOCKS = {"locals", "hythe", "moved", "removed", "import", *_LABELS}
_NESTED = {
    "lifecycle": 0,
    "precondition": 0,
    "postcondition": 0,
    "validation": 0,
    "assert": 0,
    "backend": 1,
    "dynamic": 1,
    "connection": 0,
    "content": 0,
}
"""Blocks inside of others, with how many labels they have. What kinds bring besides is told apart by their schema."""
_OWN = {
    "check": {"data": 2},
    "hythe": {"encryption": 0},
    "encryption": {"key_provider": 2, "method": 2, "state": 0, "plan": 0},
    **{owner: {"fallback": 0} for owner in ("state", "plan", "fallback")},
}
"""Blocks that are such inside of these blocks only."""
_NATIVE = {
    "variable": {"type"},
    "moved": {"from", "to"},
    "removed": {"from"},
    "import": {"to"},
    "lifecycle": {"replace_triggered_by"},
    **{owner: {"depends_on"} for owner in (*_RESOURCES, "module", "output")},
}
"""Arguments whose strings are expressions of the native syntax: names and types, not text."""


def parse(text: str, filename: str) -> tuple[Body, list[Diagnostic]]:
    """Parse a file. What is no valid JSON gives an empty body and a diagnostic."""
    source = Source(filename, text)
    empty = Body(0, len(text), {}, (), source)
    try:
        tree = json.loads(
            text, parse_float=_decimal, parse_int=_integer, parse_constant=_constant, object_pairs_hook=_Pairs
        )
    except (RecursionError, ValueError) as failure:
        at = failure.pos if isinstance(failure, json.JSONDecodeError) else 0
        why = failure.msg if isinstance(failure, json.JSONDecodeError) else str(failure)
        if isinstance(failure, RecursionError):
            why = "it is nested too deeply"
        detail = f"The file is not valid JSON: {why}."
        return empty, [error("Invalid JSON", detail, source.range(at, min(at + 1, len(text))))]
    if type(tree) is list and all(isinstance(item, _Pairs) for item in tree):
        tree = _Pairs(pair for item in tree for pair in item)
    if not isinstance(tree, _Pairs):
        detail = "The file must hold one object, or a list of objects."
        return empty, [error("Invalid JSON", detail, source.range(0, min(1, len(text))))]
    reader = _Reader(source)
    return reader.top(tree), reader.found


def _integer(text: str) -> int:
    if len(text) > MAX_NUMBER:
        raise ValueError("it holds a number with too many digits")
    return int(text)


def _constant(text: str) -> None:
    raise ValueError(f"it holds {text}, which is no number in JSON")


def _decimal(text: str) -> Decimal:
    try:
        value = Decimal(text) if len(text) <= MAX_NUMBER else None
    except InvalidOperation:
        value = None
    if value is None or abs(value.adjusted()) > MAX_EXPONENT:
        raise ValueError("it holds a number that is too large or too small")
    return value


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
            out.append(Block(start, end, name, end, have, self._body(value, name)))

    def _body(self, tree: _Pairs, owner: str) -> Body:
        start = self._at
        attributes: dict[str, Attribute] = {}
        blocks: list[Block] = []
        for name, value in tree:
            if name == "//":
                continue
            at, end = self._find(name)
            if name in _NESTED:
                self._blocks(name, value, at, end, _NESTED[name], (), blocks)
            elif name in _OWN.get(owner, ()):
                self._blocks(name, value, at, end, _OWN[owner][name], (), blocks)
            else:
                native = name in _NATIVE.get(owner, ())
                attributes[name] = Attribute(at, end, name, end, self._expression(value, native=native))
        return Body(start, self._at, attributes, tuple(blocks), self.source)

    def _expression(self, value: Any, *, native: bool = False) -> Expression:
        if isinstance(value, str):
            return self._native(value) if native else self._template(value)
        at = self._at
        if isinstance(value, _Pairs):
            items = tuple((self._template(k), self._expression(v)) for k, v in value)
            return ObjectCons(at, self._at, items)
        if isinstance(value, list):
            return TupleCons(at, self._at, tuple(self._expression(v, native=native) for v in value))
        if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
            return Literal(at, at, number(value))
        return Literal(at, at, value)

    def _native(self, text: str) -> Expression:
        """A string that is an expression, at the place where it stands in the file."""
        start, end = self._find(text)
        # blanks in front move every node to its place; what JSON escapes is no part of a name or type
        blank = " " * (start + 1)
        inner: list[Diagnostic] = []
        parser = StructureParser(Source(self.source.filename, blank + text), inner)
        parser.newlines = [False]
        try:
            parser.skip()
            made = parser.expression()
            parser.skip()
            if parser.pos < parser.end:
                raise parser.fail(parser.pos, parser.pos + 1, "Invalid expression", "This is not one expression.")
        except SyntaxFailure:
            made = Template(start, end, ())
        for problem in inner:
            self.found.append(error(problem.summary, problem.detail, self.source.range(start, end)))
        return made

    def _template(self, text: str) -> Expression:
        start, end = self._find(text)
        if not re.search(r"[$%]\{", text):
            return Template(start, end, (Literal(start, end, text),) if text else ())
        inner: list[Diagnostic] = []
        # as above: what is wrong later is told where it stands
        parser = StructureParser(Source(self.source.filename, " " * (start + 1) + text), inner)
        parser.pos = start + 1
        try:
            made: Expression = parser.bare()
        except SyntaxFailure:
            made = Template(start, end, ())
        for problem in inner:
            self.found.append(error(problem.summary, problem.detail, self.source.range(start, end)))
        return made


def with_blocks(body: Body, names: Collection[str]) -> Body:
    """The body with the blocks that only a schema can tell from arguments: objects, or lists of objects."""
    found = [a for n, a in body.attributes.items() if n in names and _objects(a.expression) is not None]
    if not found:
        return body
    kept = {n: a for n, a in body.attributes.items() if a not in found}
    made = [
        Block(a.start, a.end, a.name, a.name_end, (), _object_body(inner, body.source))
        for a in found
        for inner in _objects(a.expression) or ()
    ]
    blocks = sorted((*body.blocks, *made), key=lambda block: block.start)
    return Body(body.start, body.end, kept, tuple(blocks), body.source)


def _objects(expression: Expression) -> list[ObjectCons] | None:
    """The objects that stand for blocks, None where something else is given."""
    items = expression.items if isinstance(expression, TupleCons) else (expression,)
    objects = [i for i in items if isinstance(i, ObjectCons)]
    return objects if len(objects) == len(items) else None


def _object_body(made: ObjectCons, source: Source) -> Body:
    attributes: dict[str, Attribute] = {}
    for key, value in made.items:
        parts = key.parts if isinstance(key, Template) else ()
        name = "".join(str(p.value) for p in parts if isinstance(p, Literal))
        if name != "//":
            attributes[name] = Attribute(key.start, key.end, name, key.end, value)
    return Body(made.start, made.end, attributes, (), source)
