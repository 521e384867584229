"""The rules of expressions, over tokens."""

from __future__ import annotations

from hythe.modules.syntax.check_for import ForChecker
from hythe.modules.syntax.scanner import EOF, IDENTIFIERS, NEWLINE

_PRECEDENCE = {
    "|": 1, "&": 2, "e": 3, "w": 3, "<": 4, ">": 4, "j": 4, "g": 4, "+": 5, "-": 5, "*": 6, "/": 6, "m": 6,
}  # fmt: skip
_SPELLING = {"|": "||", "&": "&&", "e": "==", "w": "!=", "j": "<=", "g": ">=", "m": "%"}
_LITERALS = {"T": "true", "U": "false", "V": "null"}


class ExpressionChecker(ForChecker):
    """Checks expressions and writes them to the masked copy.

    Every method that stands for a rule returns False when its own text holds a mistake.
    """

    def expression(self) -> bool:
        """Any expression: a conditional or something that binds tighter."""
        self.deeper()
        ok = self._binary(1)
        if self.kind() == "?" and (ok or not self.recovering):
            ok = self._conditional() and ok
        self.shallower()
        return ok

    def _conditional(self) -> bool:
        self.write("?", self.read())
        then = self.expression()
        if self.recovering and not then:
            return False
        index = self.peek()
        if self.kinds[index] != ":":
            self.fault(
                "Missing false expression in conditional",
                f'A conditional needs a result for false too, after a colon. Found {self.found(index)}.',
                index,
            )
            return False
        self.write(":", self.read())
        return self.expression() and then

    def _binary(self, lowest: int) -> bool:
        ok = self._unary()
        while True:
            kind = self.kind()
            strength = _PRECEDENCE.get(kind, 0)
            if strength < lowest or (self.recovering and not ok):
                return ok
            self.write(_SPELLING.get(kind, kind), self.read())
            ok = self._binary(strength + 1) and ok

    def _unary(self) -> bool:
        """Operators before a term. Those after the first are written in parentheses, as the grammar wants it."""
        first = self.peek()
        if self.kinds[first] not in "!-":
            return self._traversed()
        opened = 0
        while self.kind() in "!-":
            self.deeper()
            index = self.read()
            if index != first:
                self.write_virtual("(", index)
            opened += 1
            self.write(self.kinds[index], index)
        ok = self._traversed()
        for level in range(opened):
            self.shallower()
            if level:
                self.write_virtual(")", self.last)
        return ok

    def _traversed(self) -> bool:
        """A term and the steps from it: attributes, indexes, splats."""
        ok = self._term()
        while ok or not self.recovering:
            kind = self.kind()
            if kind == ".":
                step = self._dot()
            elif kind == "[":
                step = self._brackets()
            else:
                break
            ok = step and ok
        return ok

    def _dot(self) -> bool:
        dot = self.read()
        index = self.peek()
        kind = self.kinds[index]
        if kind in IDENTIFIERS or kind == "0":
            self.write(".", dot)
            self.write("x" if kind != "0" else "0", self.read())
            return True
        if kind == "*":
            self.write(".*", dot, self.read())
            return self._attribute_splat(index)
        if kind in "5B":
            self._legacy_index(index)
        else:
            self.complain(
                "Invalid attribute name",
                f"Expected a name after the dot, but found {self.found(index)}. Write the attribute's name, or a "
                "key in brackets.",
                index,
            )
        return False

    def _legacy_index(self, index: int) -> None:
        self.complain(
            "Invalid legacy index syntax",
            f'"{self.tokens.word(index)}" cannot follow a dot here. Write indexes in brackets: [0][1].',
            index,
        )
        self.read()

    def _attribute_splat(self, star: int) -> bool:
        """What follows ``.*``: only names and whole numbers belong to it."""
        while self.kind() == ".":
            dot = self.read()
            index = self.peek()
            kind = self.kinds[index]
            if kind == "0" and self._adjacent_indexes(index):
                self.complain(
                    "Invalid legacy index syntax",
                    "Two indexes cannot follow each other after an attribute-only splat. Use [*] and write the indexes "
                    "in brackets.",
                    star, index + 2,
                )  # fmt: skip
                return False
            if kind in IDENTIFIERS or kind == "0":
                self.write(".", dot)
                self.write("x" if kind != "0" else "0", self.read())
            elif kind == "*":
                self.complain(
                    "Nested splat expression not allowed",
                    "An attribute-only splat (.*) cannot hold another splat. Use [*] instead.",
                    index,
                )
                return False
            elif kind in "5B":
                self._legacy_index(index)
                return False
            else:
                self.complain(
                    "Invalid attribute name", f"Expected a name after the dot, but found {self.found(index)}.", index
                )
                return False
        return True

    def _adjacent_indexes(self, index: int) -> bool:
        starts, ends = self.tokens.starts, self.tokens.ends
        return (
            self.kinds[index + 1 : index + 3] == ".0"
            and ends[index] == starts[index + 1]
            and ends[index + 1] == starts[index + 2]
        )

    def _brackets(self) -> bool:
        opening = self.read()
        if self.kind() == "*":
            return self._full_splat(opening)
        self.lines(False)
        self.write("[", opening)
        ok = self.expression()
        if self.recovering and not ok:
            self.skip_past("]")
        else:
            index = self.read()
            if self.kinds[index] != "]":
                self.complain(
                    "Missing close bracket on index",
                    f"Expected a closing bracket after the index, but found {self.found(index)}.",
                    index,
                )
                self.skip_past("]")
                ok = False
            self.write("]", self.last)
        self.end_lines()
        return ok

    def _full_splat(self, opening: int) -> bool:
        self.read()
        close = self.read()
        if self.kinds[close] == "]":
            self.write("[*]", opening, close)
            return True
        self.complain(
            "Missing close bracket on splat index",
            f"Expected a closing bracket right after the star, but found {self.found(close)}.",
            close,
        )
        self.skip_past("]")
        return False

    def _term(self) -> bool:
        index = self.peek()
        kind = self.kinds[index]
        if kind in IDENTIFIERS:
            self.read()
            if self.kind() in ("(", "u"):
                return self._call(index)
            self.write(_LITERALS.get(kind, "x"), index)
            return True
        if kind in "05":
            self.write("0", self.read())
            return True
        if kind == "s":
            self.write('""', self.read())
            return True
        if kind in '"h':
            return self.quoted_template()
        if kind == "(":
            return self._parentheses()
        if kind == "[":
            return self._tuple()
        if kind == "{":
            return self._object()
        if kind == "B":
            return self._bad_number(index)
        return self._no_expression(index)

    def _bad_number(self, index: int) -> bool:
        self.fault(
            "Invalid number literal",
            f'"{self.tokens.word(index)}" begins like a number but is none. Write digits, at most one decimal point '
            "and an exponent of reasonable size, or put the text in quotes.",
            self.read(),
        )
        return False

    def _no_expression(self, index: int) -> bool:
        if self.kinds[index] == EOF:
            self.complain("Missing expression", "The text ends where an expression should begin. Add a value.", index)
        else:
            self.complain(
                "Invalid expression",
                f"Expected the beginning of an expression, but found {self.found(index)}. Write a value here.",
                index,
            )
        return False

    def _parentheses(self) -> bool:
        self.write("(", self.read())
        self.lines(False)
        ok = self.expression()
        if not ok:
            self.skip_past(")")
        else:
            index = self.peek()
            if self.kinds[index] != ")":
                self.complain(
                    "Unbalanced parentheses",
                    f"Expected a closing parenthesis, but found {self.found(index)}.",
                    index,
                )
                ok = False
            self.write(")", self.read())
        self.end_lines()
        return ok

    def _call(self, name: int) -> bool:
        last_name = name
        while self.kind() == "u":
            self.read()
            index = self.read()
            if self.kinds[index] not in IDENTIFIERS:
                self.complain(
                    "Missing function name", f'Expected a function\'s name after "::", not {self.found(index)}.', index
                )
                self._skip_call()
                return False
            last_name = index
        self.write("x", name, last_name)
        opening = self.read()
        if self.kinds[opening] != "(":
            self.complain(
                "Missing open parenthesis",
                f"A function's name must be followed by its arguments in parentheses; found {self.found(opening)}.",
                opening,
            )
            self._skip_call()
            return False
        self.lines(False)
        self.write("(", opening)
        ok = self._arguments(name, opening)
        self.write(")", self.last)
        self.end_lines()
        return ok

    def _skip_call(self) -> None:
        self.recovering = True
        while self.kind() not in ("(", EOF):
            self.read()
        self.read()
        self.skip_past(")")

    def _arguments(self, name: int, opening: int) -> bool:
        """Arguments up to and with the closing parenthesis."""
        ok = True
        while self.kind() != ")":
            if not self.expression():
                ok = False
                if self.recovering:
                    self.skip_past(")")
                    return False
            index = self.read()
            kind = self.kinds[index]
            if kind == ")":
                return ok
            if kind == "o":
                self.write("...", index)
                if self.kind() == ")":
                    break
                problem = ("Missing closing parenthesis", '"..." must be the last thing in the arguments.', index)
            elif kind == ",":
                self.write(",", index)
                continue
            elif kind == EOF:
                self.complain(
                    "Unterminated function call",
                    "This call has no closing parenthesis before the text ends. Add it after the last argument.",
                    name, opening,
                )  # fmt: skip
                return False
            else:
                detail = f"Arguments are separated by commas; found {self.found(index)}."
                problem = ("Missing argument separator", detail, index)
            self.complain(*problem)
            self.skip_past(")")
            return False
        self.read()
        return ok

    def _tuple(self) -> bool:
        opening = self.read()
        self.lines(False)
        self.write("[", opening)
        ok = self._for(opening, "]") if self.kind() == "F" else self._items(opening)
        self.write("]", self.last)
        self.end_lines()
        return ok

    def _items(self, opening: int) -> bool:
        ok = True
        while self.kind() != "]":
            if not self.expression():
                ok = False
                if self.recovering:
                    self.skip_past("]")
                    return False
            index = self.peek()
            if self.kinds[index] == "]":
                break
            if self.kinds[index] != ",":
                self._unterminated_list(opening, index)
                self.skip_past("]")
                return False
            self.write(",", self.read())
        self.read()
        return ok

    def _unterminated_list(self, opening: int, index: int) -> None:
        if self.kinds[index] == EOF:
            self.complain(
                "Unterminated tuple constructor expression",
                "This list has no closing bracket before the text ends. Add it after the last item.",
                opening,
            )
        else:
            self.complain(
                "Missing item separator",
                f"Items are separated by commas; found {self.found(index)}. Add a comma before it.",
                index,
            )

    def _object(self) -> bool:
        opening = self.read()
        self.write("{", opening)
        self.lines(False)
        is_for = self.kind() == "F"
        ok = self._for(opening, "}") if is_for else True
        self.end_lines()
        if not is_for:
            self.lines(True)
            ok = self._elements(opening)
            self.end_lines()
        self.write("}", self.last)
        return ok

    def _elements(self, opening: int) -> bool:
        ok = True
        while True:
            while self.kind() == NEWLINE:
                self.read()
            if self.kind() == "}":
                break
            key = self._key()
            if self.recovering and not key:
                self.skip_past("}")
                return False
            index = self.peek()
            if self.kinds[index] not in "=:":
                self._no_value(opening, index)
                return False
            self.write(self.kinds[index], self.read())
            value = self.expression()
            ok = ok and key and value
            if self.recovering and not value:
                self.skip_past("}")
                return False
            index = self.peek()
            if self.kinds[index] == "}":
                break
            if self.kinds[index] not in (",", NEWLINE):
                self._no_separator(opening, index)
                return False
            self.write(",", self.read())
        self.read()
        return ok

    def _key(self) -> bool:
        index = self.peek()
        if self.kinds[index] in IDENTIFIERS and self.kinds[index + 1] in "=:":
            self.write("x", self.read())
            return True
        return self.expression()

    def _no_value(self, opening: int, index: int) -> None:
        kind = self.kinds[index]
        if kind in (NEWLINE, ","):
            self.complain(
                "Missing attribute value",
                'A key must be followed by "=" and its value on the same line. Add them.',
                index,
            )
        elif kind == EOF:
            self._unterminated_object(opening)
        else:
            self.complain(
                "Missing key/value separator",
                f'Expected "=" between the key and its value, but found {self.found(index)}. A key that is not a plain '
                "name must be in quotes or parentheses.",
                index,
            )
        self.skip_past("}")

    def _no_separator(self, opening: int, index: int) -> None:
        if self.kinds[index] == EOF:
            self._unterminated_object(opening)
        else:
            self.complain(
                "Missing attribute separator",
                f"Expected a line end or a comma before the next key, but found {self.found(index)}.",
                index,
            )
        self.skip_past("}")

    def _unterminated_object(self, opening: int) -> None:
        self.complain(
            "Unterminated object constructor expression",
            "This object has no closing brace before the text ends. Add it after the last value.",
            opening,
        )
