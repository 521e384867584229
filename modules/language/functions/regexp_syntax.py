"""RE2's syntax, translated to that of the regex package.

RE2 knows neither look-around nor backreferences, its classes are those of ASCII, and ``$`` is the
end of the text. Everything is checked here, so that what the other engine knows beyond is refused.
"""

from __future__ import annotations

import re

_MAX_REPEAT = 1000
_MAX_CODE = 0x10FFFF

Ranges = list[tuple[int, int]]

_PERL: dict[str, Ranges] = {
    "d": [(48, 57)],
    "s": [(9, 10), (12, 13), (32, 32)],
    "w": [(48, 57), (65, 90), (95, 95), (97, 122)],
}
_POSIX: dict[str, Ranges] = {
    "alnum": [(48, 57), (65, 90), (97, 122)],
    "alpha": [(65, 90), (97, 122)],
    "ascii": [(0, 127)],
    "blank": [(9, 9), (32, 32)],
    "cntrl": [(0, 31), (127, 127)],
    "digit": [(48, 57)],
    "graph": [(33, 126)],
    "lower": [(97, 122)],
    "print": [(32, 126)],
    "punct": [(33, 47), (58, 64), (91, 96), (123, 126)],
    "space": [(9, 13), (32, 32)],
    "upper": [(65, 90)],
    "word": [(48, 57), (65, 90), (95, 95), (97, 122)],
    "xdigit": [(48, 57), (65, 70), (97, 102)],
}
_CONTROL = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
_WORD = "[0-9A-Za-z_]"
_BOUNDARY = f"(?:(?<={_WORD})(?!{_WORD})|(?<!{_WORD})(?={_WORD}))"
_NO_BOUNDARY = f"(?:(?<={_WORD})(?={_WORD})|(?<!{_WORD})(?!{_WORD}))"
_REPEAT = re.compile(r"\{([0-9]+)(?:(,)([0-9]*))?\}")
_GROUP_NAME = re.compile(r"\?P?<([^>]*)>")
_GROUP_FLAGS = re.compile(r"\?([imsU]*)(-[imsU]+)?([:)])")


class SyntaxProblem(Exception):
    """The pattern is no RE2 pattern. The message says why, without values."""


def translate(pattern: str) -> str:
    """The pattern for the regex package. Raises SyntaxProblem."""
    return _Translator(pattern).run()


def _complement(ranges: Ranges) -> Ranges:
    result = []
    start = 0
    for low, high in ranges:
        if start < low:
            result.append((start, low - 1))
        start = high + 1
    return [*result, (start, _MAX_CODE)]


def _char(code: int) -> str:
    return f"\\U{code:08x}"


def _spell(ranges: Ranges) -> str:
    return "".join(_char(low) if low == high else f"{_char(low)}-{_char(high)}" for low, high in ranges)


class _Translator:
    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.out: list[str] = []
        self.flags: frozenset[str] = frozenset()
        self.stack: list[frozenset[str]] = []
        self.names: set[str] = set()
        # whether a repetition operator may come now, and whether the last thing was one
        self.repeatable = self.repeated = False

    def run(self) -> str:
        pattern = self.pattern
        while self.at < len(pattern):
            char = pattern[self.at]
            if char in "*+?" or (char == "{" and _REPEAT.match(pattern, self.at)):
                self._repeat(char)
                continue
            self.repeated = False
            if char == "(":
                self._open()
            elif char == ")":
                if not self.stack:
                    raise SyntaxProblem("unexpected )")
                self.flags = self.stack.pop()
                self._put(")", 1)
            elif char == "|":
                self._put("|", 1)
                self.repeatable = False
            elif char == "[":
                self._class()
            elif char == "\\":
                self._escape()
            else:
                self._plain(char)
        if self.stack:
            raise SyntaxProblem("missing closing )")
        return "".join(self.out)

    def _put(self, text: str, width: int) -> None:
        self.out.append(text)
        self.at += width
        self.repeatable = True

    def _cased(self, text: str) -> str:
        return f"(?i:{text})" if "i" in self.flags else text

    def _literal(self, code: int, width: int) -> None:
        self._put(self._cased(_char(code)), width)

    def _plain(self, char: str) -> None:
        if char == "^":
            self._put("(?m:^)" if "m" in self.flags else r"\A", 1)
        elif char == "$":
            self._put("(?m:$)" if "m" in self.flags else r"\Z", 1)
        elif char == ".":
            self._put("(?s:.)" if "s" in self.flags else "[^\\n]", 1)
        else:
            self._literal(ord(char), 1)

    def _repeat(self, char: str) -> None:
        if not self.repeatable:
            if self.repeated:
                raise SyntaxProblem("invalid nested repetition operator")
            raise SyntaxProblem("missing argument to repetition operator")
        text, width = char, 1
        if char == "{":
            found = _REPEAT.match(self.pattern, self.at)
            assert found is not None
            low = int(found[1])
            high = low if not found[2] else int(found[3]) if found[3] else low
            if max(low, high) > _MAX_REPEAT or high < low:
                raise SyntaxProblem("invalid repeat count")
            text, width = found[0], len(found[0])
        self.at += width
        lazy = self.pattern.startswith("?", self.at)
        self.at += lazy
        if lazy is not ("U" in self.flags):
            text += "?"
        # the atom is grouped, as a single one may have been spelled with several
        self.out.append(text)
        self.repeatable, self.repeated = False, True

    def _open(self) -> None:
        rest = self.at + 1
        if not self.pattern.startswith("?", rest):
            self.stack.append(self.flags)
            self._put("(", 1)
            self.repeatable = False
            return
        named = _GROUP_NAME.match(self.pattern, rest)
        if named is not None:
            name = named[1]
            if not re.fullmatch(r"[0-9A-Za-z_]+", name) or name in self.names:
                raise SyntaxProblem("invalid or repeated capture group name")
            self.names.add(name)
            self.stack.append(self.flags)
            # names may begin with a digit here, not there
            self._put(f"(?P<g_{name}>", 1 + len(named[0]))
            self.repeatable = False
            return
        flagged = _GROUP_FLAGS.match(self.pattern, rest)
        if flagged is None:
            raise SyntaxProblem("invalid or unsupported Perl syntax")
        changed = (self.flags | set(flagged[1])) - set(flagged[2] or "")
        if flagged[3] == ":":
            self.stack.append(self.flags)
            self.out.append("(?:")
        self.flags = changed
        self.at = rest + len(flagged[0])
        self.repeatable = False

    def _escape(self) -> None:
        following = self.pattern[self.at + 1 : self.at + 2]
        if following in ("A", "z"):
            self._put(r"\A" if following == "A" else r"\Z", 2)
        elif following in ("b", "B") and following:
            self._put(_BOUNDARY if following == "b" else _NO_BOUNDARY, 2)
        elif following == "Q":
            end = self.pattern.find("\\E", self.at + 2)
            literal = self.pattern[self.at + 2 :] if end < 0 else self.pattern[self.at + 2 : end]
            for char in literal:
                self._put(self._cased(_char(ord(char))), 0)
            self.at += 2 + len(literal) + (0 if end < 0 else 2)
        else:
            ranges = self._set_escape()
            if ranges is not None:
                self._put(self._cased(f"[{ranges}]"), 0)
            else:
                self._literal(self._code_escape(), 0)

    def _set_escape(self) -> str | None:
        """The inside of a class for ``\\d``, ``\\pL`` and the like; None when nothing such comes."""
        following = self.pattern[self.at + 1 : self.at + 2]
        if following and following in "dswDSW":
            self.at += 2
            ranges = _PERL[following.lower()]
            return _spell(_complement(ranges) if following.isupper() else ranges)
        if following not in ("p", "P") or not following:
            return None
        found = re.compile(r"\{(\^?)(\w+)\}|([A-Z])").match(self.pattern, self.at + 2)
        if found is None:
            raise SyntaxProblem("invalid character class range")
        self.at += 2 + len(found[0])
        negated = (following == "P") is not bool(found[1])
        name = found[2] or found[3]
        return "\\U00000000-\\U0010ffff" if name == "Any" else f"\\{'P' if negated else 'p'}{{{name}}}"

    def _code_escape(self) -> int:
        """The code of the character that an escape stands for; moves behind it."""
        pattern, start = self.pattern, self.at
        char = pattern[start + 1 : start + 2]
        if not char:
            raise SyntaxProblem("trailing backslash at end of expression")
        if char in _CONTROL:
            self.at += 2
            return _CONTROL[char]
        if not char.isalnum() and char.isascii():
            self.at += 2
            return ord(char)
        octal = re.compile(r"0[0-7]{0,2}|[1-7][0-7]{1,2}").match(pattern, start + 1)
        if octal is not None:
            self.at += 1 + len(octal[0])
            return int(octal[0], 8)
        found = re.compile(r"x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,8})\})").match(pattern, start + 1)
        if found is None:
            raise SyntaxProblem("invalid escape sequence")
        code = int(found[1] or found[2], 16)
        if code > _MAX_CODE:
            raise SyntaxProblem("invalid escape sequence")
        self.at += 1 + len(found[0])
        return code

    def _class(self) -> None:
        self.at += 1
        negated = self.pattern.startswith("^", self.at)
        self.at += negated
        parts: list[str] = []
        first = True
        while first or not self.pattern.startswith("]", self.at):
            if self.at >= len(self.pattern):
                raise SyntaxProblem("missing closing ]")
            parts.append(self._class_item())
            first = False
        self._put(self._cased(f"[{'^' if negated else ''}{''.join(parts)}]"), 1)

    def _class_item(self) -> str:
        posix = re.compile(r"\[:(\^?)(\w+):\]").match(self.pattern, self.at)
        if posix is not None:
            ranges = _POSIX.get(posix[2])
            if ranges is None:
                raise SyntaxProblem("invalid character class range")
            self.at += len(posix[0])
            return _spell(_complement(ranges) if posix[1] else ranges)
        if self.pattern.startswith("\\", self.at):
            found = self._set_escape()
            if found is not None:
                return found
        low = high = self._class_char()
        if self.pattern.startswith("-", self.at) and self.pattern[self.at + 1 : self.at + 2] not in ("]", ""):
            self.at += 1
            high = self._class_char()
            if high < low:
                raise SyntaxProblem("invalid character class range")
        return _spell([(low, high)])

    def _class_char(self) -> int:
        if self.at >= len(self.pattern):
            raise SyntaxProblem("missing closing ]")
        if self.pattern[self.at] == "\\":
            return self._code_escape()
        self.at += 1
        return ord(self.pattern[self.at - 1])
