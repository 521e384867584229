"""Expressions, by recursive descent, with the precedence of HCL's native syntax."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from hythe.modules.syntax.lexical import MAX_STEPS, SyntaxFailure
from hythe.modules.syntax.templates import TemplateParser
from hythe.modules.syntax.tree import (
    Binary,
    Call,
    Conditional,
    Expression,
    For,
    GetAttr,
    Index,
    Literal,
    ObjectCons,
    Parentheses,
    Splat,
    SplatItem,
    TupleCons,
    Unary,
    Variable,
)
from hythe.value import number

_LEVELS = (("||",), ("&&",), ("==", "!="), (">=", "<=", ">", "<"), ("+", "-"), ("*", "/", "%"))
_LEVEL = {op: level for level, ops in enumerate(_LEVELS) for op in ops}
_NUMBER = re.compile(r"\d(?:[\d.]*\d)?(?:[eE][+-]?\d+)?(?:[\d.]*\d)?")
_VALID_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_INDEX = re.compile(r"\d+(?:\.\d+)?")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
MAX_EXPONENT = 5_000
MAX_NUMBER = 4_000
"""Characters of a number; Python reads no longer ones at once."""


class ExpressionParser(TemplateParser):
    """Parses expressions."""

    def expression(self) -> Expression:
        """An expression: a conditional, or anything that binds tighter."""
        with self.nested(self.pos):
            condition = self._binary(0)
            self.skip()
            if not self.accept("?"):
                return condition
            self.skip()
            then = self.expression()
            self.skip()
            if not self.accept(":"):
                detail = (
                    f"A conditional reads: condition ? value : other. A : was expected, and {self.describe()} found."
                )
                raise self.unexpected("Missing false expression in conditional", detail)
            self.skip()
            otherwise = self.expression()
            return Conditional(condition.start, otherwise.end, condition, then, otherwise)

    def _binary(self, least: int) -> Expression:
        """Operators of at least a level, by precedence climbing: one frame however many levels."""
        left = self._unary()
        while True:
            self.skip()
            found = self._operator(least)
            if found is None:
                return left
            op, level = found
            self.pos += len(op)
            self.skip()
            right = self._binary(level + 1)
            left = Binary(left.start, right.end, op, left, right)

    def _operator(self, least: int) -> tuple[str, int] | None:
        two = self.peek(2)
        op = two if two in _LEVEL else two[:1]
        level = _LEVEL.get(op)
        if level is None:
            if op and op in "&|":
                raise self.unexpected("Unsupported operator", "")
            return None
        return (op, level) if level >= least else None

    def _unary(self) -> Expression:
        op = self.peek()
        if op not in ("-", "!") or self.peek(2) == "!=":
            return self._with_traversals()
        start = self.pos
        with self.nested(start):
            self.pos += 1
            self.skip()
            operand = self._unary()
        return Unary(start, operand.end, op, operand)

    # -- traversals -----------------------------------------------------------------------------

    def _with_traversals(self) -> Expression:
        return self._traversals(self._term())

    def _traversals(self, source: Expression) -> Expression:
        steps = 0
        while True:
            at = self.pos
            self.skip()
            steps += 1
            if steps > MAX_STEPS:
                text = f"A reference can have {MAX_STEPS} steps. Use local values for parts."
                raise self.fail(at, at + 1, "Nested too deeply", text)
            if self.peek() == "." and self.peek(3) != "...":
                self.pos += 1
                source = self._after_dot(source)
            elif self.peek() == "[":
                source = self._index(source)
            else:
                self.pos = at
                return source

    def _after_dot(self, source: Expression) -> Expression:
        self.skip()
        name = self.name()
        if name is not None:
            return GetAttr(source.start, self.pos, source, name)
        place = self._place()
        if place is not None:
            return GetAttr(source.start, self.pos, source, place)
        if self.accept("*"):
            return self._attribute_splat(source)
        raise self.unexpected("Invalid attribute name", "An attribute name is needed after a dot.")

    def _place(self) -> int | None:
        """Take a legacy index if one is next: a number after a dot."""
        match = _INDEX.match(self.text, self.pos)
        if match is None:
            return None
        start, digits = self.pos, match.group()
        self.pos = match.end()
        if "." in digits:
            detail = f"Two legacy indices in a row read as the number {digits}: write [{digits.replace('.', '][')}]."
            raise self.fail(start, self.pos, "Invalid legacy index syntax", detail)
        if len(digits) > 18:
            raise self.fail(start, self.pos, "Invalid legacy index", "No collection is that long.")
        return int(digits)

    def _attribute_splat(self, source: Expression) -> Expression:
        """``.*``: names only belong to each element; an index belongs to the result."""
        each: Expression = SplatItem(self.pos, self.pos)
        while True:
            end = self.pos
            self.skip()
            if self.peek() != "." or self.peek(3) == "...":
                self.pos = end
                return Splat(source.start, end, source, each, full=False)
            self.pos += 1
            self.skip()
            if self.peek() == "*":
                detail = "A splat inside an attribute-only splat is not allowed: use [*]."
                raise self.unexpected("Nested splat expression not allowed", detail)
            name = self.name()
            step = name if name is not None else self._place()
            if step is None:
                raise self.unexpected("Invalid attribute name", "An attribute name is needed after a dot.")
            each = GetAttr(each.start, self.pos, each, step)

    def _index(self, source: Expression) -> Expression:
        self.pos += 1
        self.skip()
        if self.accept("*"):
            self.skip()
            if self.accept("]"):
                return self._full_splat(source)
            detail = f"A ] was expected after the star, and {self.describe()} found."
            raise self.unexpected("Missing close bracket on splat index", detail)
        with self.within(newlines=False):
            self.skip()
            key = self.expression()
            self.skip()
            if not self.accept("]"):
                detail = f"A ] was expected to close the index, and {self.describe()} found."
                raise self.unexpected("Missing close bracket on index", detail)
        return Index(source.start, self.pos, source, key)

    def _full_splat(self, source: Expression) -> Expression:
        with self.nested(self.pos):
            each = self._traversals(SplatItem(self.pos, self.pos))
        return Splat(source.start, self.pos, source, each, full=True)

    # -- terms ----------------------------------------------------------------------------------

    def _term(self) -> Expression:
        start = self.pos
        char = self.peek()
        if char == '"':
            return self.quoted()
        if char == "(":
            return self._parentheses()
        if char == "[":
            return self._tuple()
        if char == "{":
            return self._object()
        if char == "<" and self.peek(2) == "<<":
            return self.heredoc()
        if char.isascii() and char.isdigit():
            return self._number()
        name = self.name()
        if name is not None:
            return self._named(name, start)
        detail = f"An expression was expected here, and {self.describe()} found."
        raise self.unexpected("Invalid expression" if char else "Missing expression", detail)

    def _parentheses(self) -> Expression:
        start = self.pos
        self.pos += 1
        with self.within(newlines=False):
            self.skip()
            inner = self.expression()
            self.skip()
            if not self.accept(")"):
                detail = f"A ) was expected to close the parentheses, and {self.describe()} found."
                raise self.unexpected("Unbalanced parentheses", detail)
        return Parentheses(start, self.pos, inner)

    def _number(self) -> Expression:
        match = _NUMBER.match(self.text, self.pos)
        assert match is not None
        text = match.group()
        if not _VALID_NUMBER.fullmatch(text):
            detail = f"{text} is not a number."
            raise self.fail(self.pos, match.end(), "Invalid number literal", detail)
        start, self.pos = self.pos, match.end()
        if len(text) > MAX_NUMBER:
            raise self.fail(start, self.pos, "Invalid number literal", "This number has too many digits.")
        try:
            value = Decimal(text)
        except InvalidOperation:
            raise self.fail(start, self.pos, "Invalid number literal", "Its exponent is too large.") from None
        if abs(value.adjusted()) > MAX_EXPONENT:
            raise self.fail(start, self.pos, "Invalid number literal", "This number is too large or too small.")
        return Literal(start, self.pos, number(int(text) if text.isdigit() else value))

    def _named(self, name: str, start: int) -> Expression:
        after = self.pos
        self.skip()
        if name in _WORDS and self.peek() != "(":
            self.pos = after
            return Literal(start, after, _WORDS[name])
        while self.accept("::"):
            self.skip()
            more = self.name()
            if more is None:
                detail = "A name is needed after ::."
                raise self.unexpected("Missing function name", detail)
            name, after = f"{name}::{more}", self.pos
            self.skip()
        if self.peek() == "(":
            return self._call(name, start, after)
        if "::" in name:
            raise self.unexpected("Missing open parenthesis", f"{name} can only be called as a function: {name}(...).")
        self.pos = after
        return Variable(start, after, name)

    def _call(self, name: str, start: int, name_end: int) -> Expression:
        self.pos += 1
        args: list[Expression] = []
        expand = False
        with self.within(newlines=False):
            self.skip()
            while not self.accept(")"):
                args.append(self.expression())
                self.skip()
                ellipsis = self.pos
                if self.accept("..."):
                    expand = True
                    self.skip()
                    if not self.accept(")"):
                        detail = "An argument with ... is the last one, and ) follows it: there is no comma either."
                        raise self.fail(ellipsis, ellipsis + 3, "Missing closing parenthesis", detail)
                    break
                if not self.accept(",") and self.peek() != ")":
                    if self.pos >= self.end:
                        detail = f"The call of {name} is never closed with )."
                        raise self.fail(start, name_end, "Unterminated function call", detail)
                    detail = f"A comma or ) was expected between arguments, and {self.describe()} found."
                    raise self.unexpected("Missing argument separator", detail)
                self.skip()
        return Call(start, self.pos, name, name_end, tuple(args), expand)

    def _is_for(self) -> bool:
        return self.next_name() == "for"

    def _tuple(self) -> Expression:
        start = self.pos
        self.pos += 1
        with self.within(newlines=False):
            self.skip()
            if self._is_for():
                return self._for(start, "]")
            items: list[Expression] = []
            while not self.accept("]"):
                items.append(self.expression())
                self.skip()
                if not self.accept(",") and self.peek() != "]":
                    if self.pos >= self.end:
                        detail = "The list is never closed with ]."
                        raise self.fail(start, start + 1, "Unterminated tuple constructor expression", detail)
                    detail = f"A comma or ] was expected between items, and {self.describe()} found."
                    raise self.unexpected("Missing item separator", detail)
                self.skip()
        return TupleCons(start, self.pos, tuple(items))

    def _object(self) -> Expression:
        start = self.pos
        self.pos += 1
        items: list[tuple[Expression, Expression]] = []
        with self.within(newlines=True):
            self.skip_lines()
            if self._is_for():
                with self.within(newlines=False):
                    return self._for(start, "}")
            while not self.accept("}"):
                items.append(self._object_item(start))
                if self.peek() not in (",", "\n", "}"):
                    self._not_at_end(start)
                    detail = f"A comma, a line end or }} was expected after the value, and {self.describe()} found."
                    raise self.unexpected("Missing attribute separator", detail)
                self.accept(",")
                self.skip_lines()
        return ObjectCons(start, self.pos, tuple(items))

    def _not_at_end(self, start: int) -> None:
        """Note an error if the text ends within the object that began at ``start``."""
        if self.pos >= self.end:
            detail = "The object is never closed with }."
            raise self.fail(start, start + 1, "Unterminated object constructor expression", detail)

    def _object_item(self, start: int) -> tuple[Expression, Expression]:
        name = self.next_name()
        key = self.expression()
        if isinstance(key, Variable) or (isinstance(key, Literal) and name in _WORDS):
            key = Literal(key.start, key.end, name)
        self.skip()
        if not (self.accept(":") or (self.peek(2) != "==" and self.peek(2) != "=>" and self.accept("="))):
            self._not_at_end(start)
            detail = f"A key must be followed by = and its value, and {self.describe()} was found."
            summary = "Missing attribute value" if self.peek() in ("\n", ",") else "Missing key/value separator"
            raise self.unexpected(summary, detail)
        self.skip()
        value = self.expression()
        self.skip()
        return key, value

    # -- for ------------------------------------------------------------------------------------

    def _for(self, start: int, closing: str) -> Expression:
        self.name()
        first, second = self._for_names()
        self.skip()
        collection = self.expression()
        self.skip()
        if not self.accept(":"):
            raise self._for_error(f"A : was expected after the collection, and {self.describe()} found.")
        self.skip()
        key: Expression | None = None
        value = self.expression()
        self.skip()
        if closing == "}":
            if not self.accept("=>"):
                raise self._for_error("In braces, a for expression gives key => value.")
            self.skip()
            key, value = value, self.expression()
            self.skip()
        elif self.peek(2) == "=>":
            raise self._for_error("key => value belongs in braces: {for ...}.")
        group = self._group(closing)
        condition = self._for_condition()
        if not self.accept(closing):
            raise self._for_error(f"A {closing} was expected to close the for expression, and {self.describe()} found.")
        key_name, value_name = (first, second) if second is not None else (None, first)
        return For(start, self.pos, key_name, value_name, collection, key, value, condition, group)

    def _group(self, closing: str) -> bool:
        if self.peek(3) != "...":
            return False
        if closing == "]":
            raise self._for_error("Grouping with ... is only possible in braces.")
        self.pos += 3
        self.skip()
        return True

    def _for_condition(self) -> Expression | None:
        if self.next_name() != "if":
            return None
        self.name()
        self.skip()
        condition = self.expression()
        self.skip()
        return condition

    def _for_names(self) -> tuple[str, str | None]:
        self.skip()
        first = self.name()
        if first is None:
            raise self._for_error("A name for the element is needed after for.")
        self.skip()
        second: str | None = None
        if self.accept(","):
            self.skip()
            second = self.name()
            if second is None:
                raise self._for_error("A name for the value is needed after the comma.")
            self.skip()
        if self.next_name() != "in":
            raise self._for_error(f'The word "in" was expected here, and {self.describe()} found.')
        self.name()
        return first, second

    def _for_error(self, detail: str) -> SyntaxFailure:
        return self.unexpected("Invalid 'for' expression", detail)
