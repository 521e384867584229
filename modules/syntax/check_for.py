"""The rules of for expressions, over tokens."""

from __future__ import annotations

from hythe.modules.syntax.check_template import TemplateChecker
from hythe.modules.syntax.scanner import IDENTIFIERS

_SUMMARY = "Invalid 'for' expression"


class ForChecker(TemplateChecker):
    """Checks ``[for ...]`` and ``{for ...}`` from the word ``for`` on, with the closing bracket."""

    def _for(self, opening: int, closer: str) -> bool:
        self.lines(False)
        ok = self._for_parts(closer)
        if not ok and self.kinds[self.last] != closer:
            self.skip_past(closer)
        self.end_lines()
        return ok

    def _wanted(self, what: str, index: int) -> bool:
        self.complain(_SUMMARY, f"Expected {what}, but found {self.found(index)}.", index)
        return False

    def _for_name(self, what: str) -> bool:
        index = self.peek()
        if self.kinds[index] not in IDENTIFIERS:
            return self._wanted(what, index)
        self.write("x", self.read())
        return True

    def _for_parts(self, closer: str) -> bool:
        self.write("for", self.read())
        if not self._for_name('a name for the element after "for"'):
            return False
        if self.kind() == ",":
            self.write(",", self.read())
            if not self._for_name("a name for the value after the comma"):
                return False
        if self.kind() != "I":
            return self._wanted('the word "in" after the names', self.peek())
        self.write("in", self.read())
        ok = self.expression()
        if self.recovering and not ok:
            return False
        if self.kind() != ":":
            return self._wanted("a colon after the collection", self.peek())
        self.write(":", self.read())
        return self._for_result(closer) and ok

    def _for_result(self, closer: str) -> bool:
        first = self.peek()
        ok = self.expression()
        if self.recovering and not ok:
            return False
        key, last, group = False, self.last, None
        if self.kind() == "a":
            key = True
            self.write("=>", self.read())
            ok = self.expression() and ok
            if self.recovering and not ok:
                return False
        if self.kind() == "o":
            group = self.read()
            self.write("...", group)
        if self.kind() == "Y":
            self.write("if", self.read())
            ok = self.expression() and ok
            if self.recovering and not ok:
                return False
        if self.kind() != closer:
            return self._wanted(f'"{closer}" at the end of the for expression', self.peek())
        self.read()
        return self._for_kind(closer, first, last, key, group) and ok

    def _for_kind(self, closer: str, first: int, last: int, key: bool, group: int | None) -> bool:
        """A tuple takes no keys and no grouping, an object needs a key."""
        if closer == "}" and not key:
            self.fault(
                _SUMMARY, 'An object needs a key for each value: write "key => value" after the colon.', first, last
            )
        elif closer == "]" and key:
            self.fault(_SUMMARY, "A list has no keys. Use braces to build an object, or remove the key.", first, last)
        if closer == "]" and group is not None:
            self.fault(_SUMMARY, 'Grouping with "..." needs keys, so it works only in braces. Remove it.', group)
        return not ((closer == "}") != key or (closer == "]" and group is not None))
