"""Files and blocks: arguments and nested blocks, with recovery from errors item by item."""

from __future__ import annotations

import re

from hythe.modules.syntax.expressions import ExpressionParser
from hythe.modules.syntax.lexical import SyntaxFailure
from hythe.modules.syntax.tree import Attribute, Block, Body, Label, Literal, Template
from hythe.value import normalized

_TO_NEXT = re.compile(
    r'#[^\n]*|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/|"(?:[^"\\\n]|\\.)*"?|[^\S\n]+|[^\s"#/{}()\[\]]+|.', re.DOTALL
)
_OPEN, _CLOSE = "{([", "})]"
MAX_RECOVERIES = 200
"""After so many errors the rest of a file is not looked at."""


class StructureParser(ExpressionParser):
    """Parses bodies."""

    recoveries = 0

    def file(self) -> Body:
        """The whole text as a body."""
        return self._body(0, top=True)

    def _body(self, start: int, *, top: bool) -> Body:
        attributes: dict[str, Attribute] = {}
        blocks: list[Block] = []
        while True:
            self._between_items()
            if self.pos >= self.end or (not top and self.peek() == "}"):
                return Body(start, self.pos, attributes, tuple(blocks), self.source)
            at = self.pos
            try:
                item = self._item()
            except SyntaxFailure:
                self._recover(at, top=top)
                continue
            if isinstance(item, Block):
                blocks.append(item)
            elif item.name in attributes:
                first = self.source.range(attributes[item.name].start, attributes[item.name].end)
                self.fail(
                    item.start,
                    item.name_end,
                    "Attribute redefined",
                    f'The argument "{item.name}" was already set at {first}. Each argument may be set only once.',
                    (("first set here", first),),
                )
            else:
                attributes[item.name] = item

    def _between_items(self) -> None:
        try:
            self.skip_lines()
        except SyntaxFailure:
            self.pos = self.end

    def _recover(self, start: int, *, top: bool) -> None:
        """Go on at the next line that is not inside brackets opened since ``start``."""
        failed_at = self.pos
        self.recoveries += 1
        if failed_at >= self.end or self.recoveries > MAX_RECOVERIES:
            # read to its end: to read it again, level by level, would take time that doubles with each
            self.newlines[1:] = []
            self.pos = self.end
            return
        self.pos = start
        self.newlines[1:] = []
        depth = 0
        while self.pos < self.end:
            match = _TO_NEXT.match(self.text, self.pos)
            assert match is not None
            piece = match.group()
            if piece in _OPEN:
                depth += 1
            elif piece in _CLOSE:
                if depth == 0 and piece == "}" and not top:
                    return
                depth = max(depth - 1, 0)
            elif piece == "\n" and depth == 0 and self.pos >= min(failed_at, self.end):
                return
            self.pos = match.end()

    def _item(self) -> Attribute | Block:
        start = self.pos
        if self.peek() == '"':
            detail = "Names of arguments and blocks are written without quotes."
            raise self.fail(start, start + 1, "Invalid argument name", detail)
        name = self.name()
        if name is None:
            detail = "An argument (name = value) or a block (type { ... }) was expected here."
            raise self.unexpected("Argument or block definition required", detail)
        name_end = self.pos
        self.skip()
        if self.peek() == "=" and self.peek(2) != "==":
            return self._attribute(name, start, name_end)
        if self.peek() in ('"', "{") or self.next_name() is not None:
            return self._block(name, start)
        detail = f'After "{name}", a = for an argument or a {{ for a block was expected, and {self.describe()} found.'
        raise self.fail(start, name_end, "Argument or block definition required", detail)

    def _attribute(self, name: str, start: int, name_end: int, *, one_line: bool = False) -> Attribute:
        self.pos += 1
        self.skip()
        expression = self.expression()
        attribute = Attribute(start, expression.end, name, name_end, expression)
        self.skip()
        if not one_line:
            self._end_of_line("argument")
        return attribute

    def _end_of_line(self, what: str) -> None:
        if self.pos >= self.end or self.peek() == "\n":
            return
        if self.peek() == "," and what == "argument":
            detail = "Arguments stand on lines of their own, without commas."
            raise self.unexpected("Unexpected comma after argument", detail)
        detail = f"The line must end after this {what}, and {self.describe()} was found."
        raise self.unexpected(f"Missing newline after {what}", detail)

    def _block(self, name: str, start: int) -> Block:
        labels: list[Label] = []
        while self.peek() != "{":
            label_start = self.pos
            if self.peek() == '"':
                labels.append(self._quoted_label())
            else:
                text = self.name()
                if text is None:
                    detail = f"A label or a {{ was expected here, and {self.describe()} found."
                    raise self.unexpected("Invalid block definition", detail)
                labels.append(Label(label_start, self.pos, text))
            self.skip()
        header_end = labels[-1].end if labels else start + len(name)
        opening = self.pos
        self.pos += 1
        with self.nested(start):
            body = self._block_body(opening)
        if not self.accept("}"):
            detail = f'The block "{name}" is never closed with }}.'
            raise self.fail(opening, opening + 1, "Unclosed configuration block", detail)
        block = Block(start, self.pos, name, header_end, tuple(labels), body)
        self.skip()
        if self.peek() == "}" and self.depth:
            # only a block written on one line may be closed here, and such a block holds no blocks
            detail = "A block within a block needs lines of its own."
            raise self.unexpected("Missing newline after block definition", detail)
        self._end_of_line("block definition")
        return block

    def _quoted_label(self) -> Label:
        start = self.pos
        made = self.quoted()
        if not isinstance(made, Template) or not all(isinstance(p, Literal) for p in made.parts):
            detail = "Labels are fixed text: interpolation is not possible in them."
            raise self.fail(start, self.pos, "Invalid string literal", detail)
        text = "".join(str(p.value) for p in made.parts if isinstance(p, Literal))
        return Label(start, self.pos, normalized(text))

    def _block_body(self, opening: int) -> Body:
        self.skip()
        if self.peek() == "\n":
            return self._body(opening + 1, top=False)
        # a block on one line: empty, or with one argument
        attributes: dict[str, Attribute] = {}
        if self.peek() != "}" and self.pos < self.end:
            start = self.pos
            name = self.name()
            name_end = self.pos
            self.skip()
            if name is None or self.peek() != "=":
                detail = "A block on one line may hold one argument; blocks within need lines of their own."
                summary = "Argument or block definition required"
                if name is not None and (self.peek() in ('"', "{") or self.next_name()):
                    summary = "Argument definition required"
                raise self.fail(start, name_end, summary, detail)
            attributes[name] = self._attribute(name, start, name_end, one_line=True)
            if self.peek() != "}":
                detail = "A block on one line may hold one argument. Put each on a line of its own."
                raise self.unexpected("Invalid single-argument block definition", detail)
        return Body(opening + 1, self.pos, attributes, (), self.source)
