"""The rules of arguments and blocks, over tokens."""

from __future__ import annotations

from contextlib import suppress

from hythe.modules.syntax.check_expression import ExpressionChecker
from hythe.modules.syntax.cursor import Masked, NestingError
from hythe.modules.syntax.scanner import EOF, IDENTIFIERS, NEWLINE, Tokens

_REQUIRED = "Argument or block definition required"


class BodyChecker(ExpressionChecker):
    """Checks whole items of a body: what the masked copy is made from, and where messages come from."""

    def item(self) -> None:
        """An argument or block with its line end."""
        index = self.peek()
        if self.kinds[index] not in IDENTIFIERS:
            self._no_item(index)
            self.skip_item()
            return
        self.read()
        kind = self.kind()
        if kind == "=":
            self._argument(index, one_line=False)
        elif kind in '"s{' or kind in IDENTIFIERS:
            self._block(index)
        else:
            self._neither(index)

    def header(self) -> bool:
        """A block's type and labels up to its opening brace, written as an empty block."""
        index = self.read()
        self.write("x", index)
        opening = self._labels()
        self.write("}", self.last)
        return opening

    def _neither(self, index: int) -> None:
        self.fault(
            _REQUIRED,
            f"{self.found(index)} is followed by {self.found(self.peek())}. Write \"name = value\" for an argument, or "
            "braces after the name for a block.",
            index,
        )
        self.skip_item()

    def _no_item(self, index: int) -> None:
        if self.kinds[index] in 's"':
            self.complain(
                "Invalid argument name", "The name of an argument or block must not be in quotes. Remove them.", index
            )
        else:
            self.complain(
                _REQUIRED, f"Expected an argument or a block, but found {self.found(index)}. Remove it.", index
            )

    def _argument(self, name: int, one_line: bool) -> None:
        self.write("x", name)
        self.write("=", self.read())
        ok = self.expression()
        if self.recovering and not ok:
            self.skip_item()
            return
        if one_line:
            return
        index = self.peek()
        if self.kinds[index] in (NEWLINE, EOF):
            self.write("\n", self.read(), space=False)
            return
        if self.kinds[index] == ",":
            self.complain(
                "Unexpected comma after argument",
                "Arguments are separated by line ends, not commas. Put the next argument on its own line.",
                index,
            )
        else:
            self.complain(
                "Missing newline after argument",
                f"An argument ends with its line, but {self.found(index)} follows the value. Put what comes next on a "
                "line of its own.",
                index,
            )
        self.skip_item()

    def _labels(self) -> bool:
        """Labels and the opening brace; False when there is no brace."""
        while True:
            index = self.peek()
            kind = self.kinds[index]
            if kind == "{":
                self.write("{", self.read())
                return True
            if kind == "s":
                self.write('""', self.read())
            elif kind == '"':
                self._quoted_label()
            elif kind in IDENTIFIERS:
                self.write("x", self.read())
            else:
                self._no_brace(index)
                return False

    def _no_brace(self, index: int) -> None:
        kind = self.kinds[index]
        if kind == "=":
            detail = 'A block has no "=" before its braces. Remove it, or remove the labels to set an argument.'
        elif kind == NEWLINE:
            detail = 'The opening brace must stand on the line of the block\'s type and labels. Add "{" there.'
        else:
            detail = f"Expected a label in quotes or an opening brace, but found {self.found(index)}."
        if kind in ("=", NEWLINE):
            self.fault("Invalid block definition", detail, index)
            self.recovering = True
        else:
            self.complain("Invalid block definition", detail, index)

    def _quoted_label(self) -> None:
        opening = self.read()
        while self.kinds[self.at] == "l":
            self.read()
        index = self.read()
        kind = self.kinds[index]
        self.write('""', opening, index)
        if kind == "q":
            return
        if kind in "$@":
            self.complain(
                "Invalid string literal",
                "A label is plain text: templates are not possible here. Write $${ or %%{ for the characters.",
                index,
            )
        else:
            self.complain(
                "Unterminated string literal", "This label has no closing double quote on its line. Add it.", index
            )
        self.skip_past("q")

    def _block(self, name: int) -> None:
        self.deeper()
        self.write("x", name)
        if not self._labels():
            self.skip_item()
            self.shallower()
            return
        if self.kind() in (NEWLINE, EOF, "}"):
            self._body(self.last)
        else:
            self._one_line_body()
        self.write("}", self.last)
        self.shallower()
        index = self.peek()
        if self.kinds[index] in (NEWLINE, EOF):
            self.write("\n", self.read(), space=False)
            return
        self.complain(
            "Missing newline after block definition",
            f"A block ends with the line of its closing brace, but {self.found(index)} follows it. Put what comes next "
            "on a line of its own.",
            index,
        )
        self.skip_item()

    def _body(self, opening: int) -> None:
        while True:
            index = self.peek()
            kind = self.kinds[index]
            if kind == "}":
                self.read()
                return
            if kind == NEWLINE:
                self.read()
            elif kind in IDENTIFIERS:
                self.item()
            elif kind == EOF:
                self.complain(
                    "Unclosed configuration block",
                    "The block that opens here has no closing brace before the end of the file. Add it; indentation "
                    "that does not fit the nesting often shows where.",
                    opening,
                )
                return
            else:
                self._no_item(self.read())
                self.skip_past("}")
                return

    def _one_line_body(self) -> None:
        index = self.read()
        kind = self.kind()
        if self.kinds[index] in IDENTIFIERS and kind == "=":
            self._argument(index, one_line=True)
        elif self.kinds[index] in IDENTIFIERS and (kind in '"s{' or kind in IDENTIFIERS):
            self.fault(
                "Argument definition required",
                "A block on one line can hold one argument and no blocks. Put the inner block on lines of its own.",
                index,
            )
            self.skip_item()
        else:
            self.fault(
                _REQUIRED, f"Expected an argument or the closing brace, but found {self.found(index)}.", index
            )
            self.skip_item()
        if self.kind() == "}":
            self.read()
            return
        self._more_on_one_line(self.peek())
        self.skip_past("}")

    def _more_on_one_line(self, index: int) -> None:
        kind = self.kinds[index]
        if kind == ",":
            detail = "A block on one line holds one argument. Put each argument on a line of its own, without commas."
        elif kind == NEWLINE:
            detail = "A block that begins on one line with its argument must end there. Add the closing brace."
        else:
            detail = f"Expected a closing brace after the argument, but found {self.found(index)}."
        self.complain("Invalid single-argument block definition", detail, index)


def check_item(tokens: Tokens) -> BodyChecker:
    """Check one item of a body. Its faults and, when it has none, its masked copy can be read from the result."""
    checker = BodyChecker(tokens)
    with suppress(NestingError):
        checker.item()
    return checker


def mask_header(tokens: Tokens) -> Masked | None:
    """The masked copy of a block's header, or None when something is wrong with it."""
    checker = BodyChecker(tokens)
    return checker.masked() if checker.header() and not checker.faults else None


def check_expression(tokens: Tokens) -> BodyChecker:
    """Check a text that is one expression; its masked copy is an argument's."""
    checker = BodyChecker(tokens)
    checker.write("x", 0)
    checker.write("=", 0)
    checker.lines(False)
    try:
        checker.expression()
    except NestingError:
        return checker
    index = checker.peek()
    if checker.kinds[index] != EOF:
        checker.complain(
            "Extra characters after expression",
            f"The expression is complete, but {checker.found(index)} follows it. Remove it or add an operator.",
            index,
        )
    return checker


def check_template(tokens: Tokens) -> BodyChecker:
    """Check the text of a template file; its masked copy is an argument whose value is a string."""
    checker = BodyChecker(tokens)
    checker.write("x", 0)
    checker.write("=", 0)
    with suppress(NestingError):
        checker.template(0, EOF)
    return checker
