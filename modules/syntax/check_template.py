"""The rules of strings, heredocs and template files, over tokens."""

from __future__ import annotations

from abc import abstractmethod

from hythe.modules.syntax.cursor import Cursor
from hythe.modules.syntax.scanner import EOF, IDENTIFIERS

_DIRECTIVES = {"Y": "if", "E": "else", "X": "endif", "F": "for", "Z": "endfor"}
_CLOSING = {"if": "endif", "for": "endfor"}


class TemplateChecker(Cursor):
    """Checks templates and writes them, with heredocs as quoted strings, to the masked copy."""

    @abstractmethod
    def expression(self) -> bool:
        """Check an expression; False when something is wrong with it."""

    def quoted_template(self) -> bool:
        """A string or heredoc from its opening token to its closing one."""
        opening = self.read()
        return self.template(opening, "q" if self.kinds[opening] == '"' else "k")

    def template(self, opening: int, end: str) -> bool:
        """The inside of a template up to the token ``end``, with its quotes."""
        before = len(self.faults)
        self.deeper()
        self.lines(True)
        self.write('"', opening, space=False)
        open_directives: list[tuple[str, int, bool]] = []
        while True:
            index = self.read()
            kind = self.kinds[index]
            if kind == end:
                break
            if kind == "l":
                self._literal(index)
            elif kind == "$":
                self._interpolation(index, end)
            elif kind == "@":
                self._directive(index, open_directives)
            else:
                self._unterminated(index, end)
                break
        self.write('"', self.last)
        for name, place, _ in open_directives[::-1]:
            self._unclosed(name, place)
        self.end_lines()
        self.shallower()
        return len(self.faults) == before

    def _literal(self, index: int) -> None:
        while self.kinds[self.at] == "l":
            self.read()
        self.write("x", index, self.last, space=False)

    def _unterminated(self, index: int, end: str) -> None:
        what = 'a closing double quote on the same line, or write a double quote inside it as \\"'
        if end == "k":
            what = "a line that has only the heredoc's closing word on it, and a line end after it"
        self.complain(
            "Unterminated template string",
            f"The text ends, or its line does, before the string is closed. Add {what}.",
            index,
        )
        if end != EOF:
            self.skip_past(end)

    def _unclosed(self, name: str, place: int) -> None:
        start = self.tokens.starts[place]
        self.fault(
            "Unexpected end of template",
            f'The directive "{name}" has no "{_CLOSING[name]}" before the template ends. '
            f"Add %{{ {_CLOSING[name]} }} where it shall end.",
            self.last,
            also=(f'"{name}" begins here', start, self.tokens.ends[place]),
        )

    def _interpolation(self, opening: int, end: str) -> None:
        self.write("${", opening, space=False)
        self.lines(False)
        self.expression()
        index = self.peek()
        if self.kinds[index] == "c":
            self.read()
        else:
            self._unclosed_interpolation(opening, index, end)
        self.write("}", self.last, space=False)
        self.end_lines()

    def _unclosed_interpolation(self, opening: int, index: int, end: str) -> None:
        kind = self.kinds[index]
        if kind == EOF or (end == "q" and kind in '"q'):
            self.complain(
                "Unclosed template interpolation sequence",
                "The sequence that begins here has no closing brace before the template ends. Add it, or write $${ "
                "for a literal dollar sign and brace.",
                opening,
            )
        else:
            hint = " If this is text for another program, write $${ in place of ${." if kind == ":" else ""
            self.complain(
                "Extra characters after interpolation expression",
                f"Expected a closing brace to end the interpolation, but found {self.found(index)}.{hint}",
                index,
            )
        self.skip_past("c")

    def _directive(self, opening: int, open_directives: list[tuple[str, int, bool]]) -> None:
        self.write("%{", opening, space=False)
        self.lines(False)
        index = self.peek()
        name = _DIRECTIVES.get(self.kinds[index], "")
        if not name:
            self._unknown_directive(index)
            self.skip_past("c")
        else:
            self.read()
            self.write(name, index)
            if name == "if":
                self.expression()
                complete = True
            else:
                complete = name != "for" or self._for_directive()
            if complete:
                self._nest(name, opening, open_directives)
                self._end_directive(name)
            else:
                self.skip_past("c")
        self.write("}", self.last, space=False)
        self.end_lines()

    def _unknown_directive(self, index: int) -> None:
        if self.kinds[index] in IDENTIFIERS:
            self.complain(
                "Invalid template control keyword",
                f"{self.found(index)} is not a template directive. The directives are if, else, endif, for and endfor; "
                "write %%{ for a literal percent sign and brace.",
                index,
            )
        else:
            self.complain(
                "Invalid template directive",
                f"Expected if, else, endif, for or endfor after %{{, but found {self.found(index)}. Write %%{{ for a "
                "literal percent sign and brace.",
                index,
            )

    def _end_directive(self, name: str) -> None:
        index = self.peek()
        if self.kinds[index] == "c":
            self.read()
            return
        self.complain(
            f"Extra characters in {name} marker",
            f'Expected a closing brace to end the "{name}" directive, but found {self.found(index)}.',
            index,
        )
        self.skip_past("c")

    def _for_directive(self) -> bool:
        """The names and the collection of a ``for`` directive."""
        if not self._directive_name('a name for the element after "for"'):
            return False
        if self.kind() == ",":
            self.write(",", self.read())
            if not self._directive_name("a name for the value after the comma"):
                return False
        index = self.peek()
        if self.kinds[index] != "I":
            self._invalid_for("the word in after the names", index)
            return False
        self.write("in", self.read())
        self.expression()
        return True

    def _directive_name(self, wanted: str) -> bool:
        index = self.peek()
        if self.kinds[index] not in IDENTIFIERS:
            self._invalid_for(wanted, index)
            return False
        self.write("x", self.read())
        return True

    def _invalid_for(self, wanted: str, index: int) -> None:
        self.complain(
            "Invalid 'for' directive",
            f"Expected {wanted}, but found {self.found(index)}. The form is %{{ for item in list }}.",
            index,
        )

    def _nest(self, name: str, opening: int, open_directives: list[tuple[str, int, bool]]) -> None:
        """Keep track of which directive is open; ``else`` and the closing ones must fit."""
        if name in _CLOSING:
            if len(open_directives) > 50:
                self.deeper_than_allowed(opening)
            open_directives.append((name, opening, False))
            return
        inner, place, has_else = open_directives[-1] if open_directives else ("", 0, False)
        if name == "else" and inner == "if" and not has_else:
            open_directives[-1] = (inner, place, True)
        elif inner and name == _CLOSING[inner]:
            open_directives.pop()
        else:
            reason = "no directive is open that it could belong to"
            if inner:
                reason = f'the "{inner}" directive must end first'
            if name == "else" and has_else:
                reason = 'its "if" directive has an "else" already'
            self.fault(f"Unexpected {name} directive", f'"{name}" cannot stand here: {reason}.', opening, self.peek())

    def deeper_than_allowed(self, opening: int) -> None:
        """Refuse directives that nest without end."""
        self._depth = 10**6
        self.at = opening
        self.deeper()
