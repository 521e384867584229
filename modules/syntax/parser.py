"""Files, expressions and templates to syntax trees and diagnostics."""

from __future__ import annotations

from bisect import bisect_left

from hythe.diagnostic import Diagnostic, Range, error
from hythe.modules.syntax import tree
from hythe.modules.syntax.build import Builder
from hythe.modules.syntax.check_body import BodyChecker, check_expression, check_item, check_template
from hythe.modules.syntax.cursor import MAX_NESTING
from hythe.modules.syntax.literals import quoted_value
from hythe.modules.syntax.scanner import EOF, IDENTIFIERS, NEWLINE, Fault, Scanner, Tokens
from hythe.modules.syntax.shape import Shape
from hythe.modules.syntax.shapes import header_shape, item_shape, parse_masked

# Binary noise is wrong everywhere; nobody reads more than this.
_MOST_DIAGNOSTICS = 200


def parse(text: str, filename: str) -> tuple[tree.Body, list[Diagnostic]]:
    """Parse a configuration file.

    The body holds what could be read: a top-level argument or block with a mistake in it is left out, and
    the diagnostics say why. Ranges count characters of ``text``.
    """
    source = tree.Source(filename, text)
    parser = _FileParser(Scanner(text).file(), source)
    body = parser.file()
    return body, _diagnostics(parser.faults, source)


def parse_expression(text: str, filename: str) -> tuple[tree.Expression | None, tree.Source, list[Diagnostic]]:
    """Parse a text that is one expression, such as a variable's value on the command line.

    The expression is None when there are errors.
    """
    source = tree.Source(filename, text)
    tokens = Scanner(text).file()
    return _one(tokens, source, check_expression(tokens))


def parse_template(text: str, filename: str) -> tuple[tree.Expression | None, tree.Source, list[Diagnostic]]:
    """Parse the text of a template file: literal text with ``${ }`` and ``%{ }``; backslashes mean nothing.

    The result is a Template, or a TemplateWrap when the text is one interpolation; None when there are errors.
    """
    source = tree.Source(filename, text)
    tokens = Scanner(text).template()
    return _one(tokens, source, check_template(tokens))


def _one(
    tokens: Tokens, source: tree.Source, checker: BodyChecker
) -> tuple[tree.Expression | None, tree.Source, list[Diagnostic]]:
    faults = tokens.faults + checker.faults
    if not faults:
        shape = parse_masked(checker.masked())
        if shape is not None:
            return Builder(tokens, 0).expression(shape.parts[0]), source, []
        faults = [_refused(tokens, 0, len(tokens.kinds) - 1)]
    return None, source, _diagnostics(faults, source)


def _refused(tokens: Tokens, first: int, last: int) -> Fault:
    """What to say when the rules hold but the grammar does not take the text: it is too much for it."""
    return Fault(
        "Expression too complex",
        f"This chains or nests too many operations (more than {MAX_NESTING} brackets, or some 250 steps). Move parts "
        "of it to local values.",
        tokens.starts[first], tokens.ends[max(first, last - 1)],
    )  # fmt: skip


def _diagnostics(faults: list[Fault], source: tree.Source) -> list[Diagnostic]:
    """Diagnostics in the order of the text, one for each place."""
    made: dict[int, Diagnostic] = {}
    for fault in faults:
        related: tuple[tuple[str, Range], ...] = ()
        if fault.also is not None:
            label, start, end = fault.also
            related = ((label, source.range(start, end)),)
        place = source.range(fault.start, fault.end)
        made.setdefault(fault.start, error(fault.summary, fault.detail, place, related=related))
    return [made[start] for start in sorted(made)[:_MOST_DIAGNOSTICS]]


class _Irregular(Exception):
    """An item that the quick way cannot read; the checker will say what is wrong with it."""


class _Level:
    """A body while it is being read."""

    __slots__ = ("attributes", "blocks", "first", "labels", "start", "type")

    def __init__(self, first: int, start: int, type: str = "", labels: tuple[tree.Label, ...] = ()) -> None:
        self.first = first
        self.start = start
        self.type = type
        self.labels = labels
        self.attributes: dict[str, tree.Attribute] = {}
        self.blocks: list[tree.Block] = []


class _FileParser:
    """Splits a file into items, and those into arguments and block headers, whose shapes are few."""

    def __init__(self, tokens: Tokens, source: tree.Source) -> None:
        self.faults: list[Fault] = list(tokens.faults)
        self._tokens = tokens
        self._source = source
        self._kinds = tokens.kinds
        self._starts = tokens.starts
        self._ends = tokens.ends
        self._spoilt = sorted(fault.start for fault in tokens.faults)

    def file(self) -> tree.Body:
        """The whole file's body."""
        root = _Level(0, 0)
        at, quiet = 0, False
        while self._kinds[at] != EOF:
            if self._kinds[at] == NEWLINE:
                at += 1
                continue
            begins = self._kinds[at] in IDENTIFIERS
            last = self._line_end(at, 0)
            # What follows a mistake and begins like nothing is most likely its remainder.
            if begins or not quiet:
                quiet = self._item(root, at, last)
            at = last
        return self._finish(root, len(self._source.text))

    def _line_end(self, at: int, depth: int) -> int:
        """The index after the line end that closes an item which begins at ``at``, ``depth`` brackets deep."""
        depths, kinds = self._tokens.depths, self._kinds
        end = kinds.find(NEWLINE, at)
        while end >= 0 and depths.get(end, 0) > depth:
            end = kinds.find(NEWLINE, end + 1)
        return end + 1 if end >= 0 else len(kinds) - 1

    def _item(self, root: _Level, first: int, last: int) -> bool:
        """Read one top-level item into the root, or note what is wrong with it.

        True when the text after it may be a remainder of a mistake in it.
        """
        spoilt = self._is_spoilt(first, last)
        try:
            if spoilt:
                raise _Irregular
            self._read(root, first, last)
        except _Irregular:
            checker = check_item(self._tokens.part(first, last))
            self.faults += checker.faults or ([] if spoilt else [_refused(self._tokens, first, last)])
            return checker.recovering
        return False

    def _is_spoilt(self, first: int, last: int) -> bool:
        """Whether the scanner has complained about something in these tokens."""
        at = bisect_left(self._spoilt, self._starts[first])
        return at < len(self._spoilt) and self._spoilt[at] <= self._ends[last - 1]

    def _read(self, root: _Level, first: int, last: int) -> None:
        """Read the items from ``first`` to ``last`` with all nested blocks. Raises _Irregular at a mistake."""
        kinds = self._kinds
        levels = [root]
        at = first
        while at < last:
            kind = kinds[at]
            if kind == NEWLINE:
                at += 1
            elif kind == "}" and len(levels) > 1:
                at = self._close(levels, at)
            elif kind not in IDENTIFIERS:
                raise _Irregular
            elif kinds[at + 1] == "=":
                at = self._attribute(levels, at, last)
            else:
                at = self._block(levels, at, last)
        if len(levels) > 1:
            raise _Irregular

    def _attribute(self, levels: list[_Level], at: int, last: int) -> int:
        end = min(self._line_end(at, len(levels) - 1), last)
        shape = item_shape(self._tokens, at, end)
        if shape is None:
            raise _Irregular
        self._add(levels[-1], self._argument(at, shape.parts[0], at))
        return end

    def _argument(self, name: int, value: Shape, base: int) -> tree.Attribute:
        start, name_end = self._starts[name], self._ends[name]
        expression = Builder(self._tokens, base).expression(value)
        return tree.Attribute(start, expression.end, self._source.text[start:name_end], name_end, expression)

    def _add(self, level: _Level, attribute: tree.Attribute) -> None:
        before = level.attributes.get(attribute.name)
        if before is None:
            level.attributes[attribute.name] = attribute
            return
        line = self._source.position(before.start)[0]
        self.faults.append(
            Fault(
                "Attribute redefined",
                f'The argument "{attribute.name}" is already set on line {line}. Each argument can be set once; remove '
                "one of the two.",
                attribute.start, attribute.name_end, ("first set here", before.start, before.name_end),
            )
        )

    def _block(self, levels: list[_Level], at: int, last: int) -> int:
        opening = self._kinds.find("{", at, last)
        if opening < 0 or len(levels) >= MAX_NESTING:
            raise _Irregular
        one_line = self._kinds[opening + 1] not in (NEWLINE, "}", EOF)
        end = min(self._line_end(at, len(levels) - 1), last) if one_line else opening + 1
        shape = item_shape(self._tokens, at, end) if one_line else header_shape(self._tokens, at, end)
        if shape is None or shape.kind != "block":
            raise _Irregular
        names = [self._label(at + mark) for mark in shape.marks]
        level = _Level(at, self._starts[opening], names[0].text, tuple(names[1:]))
        levels.append(level)
        if not one_line:
            return end
        for part in shape.parts:
            self._add(level, self._argument(at + part.first, part.parts[0], at))
        self._finish_block(levels, at + shape.last)
        return end

    def _label(self, index: int) -> tree.Label:
        start, end, kind = self._starts[index], self._ends[index], self._kinds[index]
        text = self._source.text
        if kind == "s":
            return tree.Label(start, end, text[start + 1 : end - 1])
        if kind != '"':
            return tree.Label(start, end, text[start:end])
        last = self._kinds.index("q", index)
        value = quoted_value(text[end : self._starts[last]])
        return tree.Label(start, self._ends[last], value)

    def _close(self, levels: list[_Level], at: int) -> int:
        if self._kinds[at + 1] not in (NEWLINE, EOF):
            raise _Irregular
        self._finish_block(levels, at)
        return at + 1

    def _finish_block(self, levels: list[_Level], closing: int) -> None:
        level = levels.pop()
        end = self._ends[closing]
        header = level.labels[-1].end if level.labels else self._ends[level.first]
        body = self._finish(level, end)
        levels[-1].blocks.append(
            tree.Block(self._starts[level.first], end, level.type, header, level.labels, body)
        )

    def _finish(self, level: _Level, end: int) -> tree.Body:
        return tree.Body(level.start, end, level.attributes, tuple(level.blocks), self._source)
