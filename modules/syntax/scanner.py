"""Text to tokens: the part of the language that knows strings, heredocs, templates and comments.

Each token is one character of :attr:`Tokens.kinds`, so that the *shape* of any stretch of a file is a
substring, with its place in :attr:`Tokens.starts` and :attr:`Tokens.ends`. Whitespace and inline comments
leave no token; a run of line ends (and comments up to a line end) leaves one.

=========  =====================================================================================
kind       token
=========  =====================================================================================
``n``      identifier; the words the grammar knows have kinds of their own, see :data:`WORDS`
``0 5 B``  whole number, other number, text that is no number though it begins with a digit
``s``      quoted string of plain text, as one token
``" q``    opening and closing quote of any other string; ``l`` literal text, ``N`` line end within
``h k``    opening and closing of a heredoc
``$ @ c``  ``${``, ``%{`` and the ``}`` that closes either (each with or without ``~``)
``e w g j`` ``==``, ``!=``, ``>=``, ``<=``;  ``& |`` stand for ``&&`` and ``||``, ``m`` for ``%``
``o a u``  ``...``, ``=>``, ``::``
``b i``    an operator or character that the language does not have
``\\0``     end of the text; all other kinds stand for themselves
=========  =====================================================================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hythe.modules.syntax.literals import bad_escapes, is_number

EOF = "\0"
NEWLINE = "\n"
WORDS = {
    "for": "F", "in": "I", "if": "Y", "else": "E", "endif": "X", "endfor": "Z", "true": "T", "false": "U", "null": "V",
}  # fmt: skip
IDENTIFIERS = frozenset("n" + "".join(WORDS.values()))
OPERATORS = {
    "==": "e", "!=": "w", ">=": "g", "<=": "j", "&&": "&", "||": "|", "%": "m", "...": "o", "=>": "a", "::": "u",
    "&": "b", "|": "b", "~": "b", "^": "b", "**": "b",
}  # fmt: skip

_CODE = re.compile(
    r"""[ \t]*(?:
    (?P<word>[A-Za-z_][A-Za-z0-9_-]*+(?![^\x00-\x7f]))
  | (?P<operator>\.\.\.|==|!=|>=|<=|=>|&&|\|\||::|\*\*|[=.,:?+\-/*%<>!&|^](?<!/(?=[/*]))(?<!<(?=<-?[^\W\d])))
  | (?P<plain>"(?:[^"\\$%\n]+|[$%](?![{$%]))*+")
  | (?P<newline>(?:(?:\#|//)[^\n]*\n|\r?\n)(?:[ \t]+|(?:\#|//)[^\n]*\n|\r?\n)*+)
  | (?P<comment>(?:\#|//)[^\n]*\Z)
  | (?P<open>[(\[{])
  | (?P<close>~?\}|[)\]])
  | (?P<number>[0-9](?:[0-9]|\.(?=[0-9])|[eE][+-]?[0-9])*)
  | (?P<quote>")
  | (?P<heredoc><<-?(?P<marker>[^\W\d][\w-]*)\r?\n)
  | (?P<rest>.)
  | (?P<end>\Z)
)""",
    re.VERBOSE | re.DOTALL,
)
_QUOTED = re.compile(r'(?:[^"\\$%\n]+|\\[^\n]?|\$\$\{|%%\{|[$%](?!\{))++')
_LINE = re.compile(r"(?:[^$%\n]+|\$\$\{|%%\{|[$%](?!\{))*+\n?")
_OPENER = re.compile(r"[$%]\{~?")
_INVALID = "This character is not part of the language here."
_ADVICE = {
    "'": "Strings are written in double quotes; this single quote begins nothing.",
    "`": "Strings are written in double quotes, or as heredocs over several lines; this backquote begins nothing.",
    ";": "Arguments end with the line; put the next one on its own line instead of using a semicolon.",
}


@dataclass(slots=True)
class Fault:
    """A finding with its place as offsets; ``also`` is a second place with its label."""

    summary: str
    detail: str
    start: int
    end: int
    also: tuple[str, int, int] | None = None


@dataclass(slots=True)
class Tokens:
    """The tokens of a text; the last one is always :data:`EOF`.

    ``depths`` says, for the index of each line end, how many brackets are open there.
    """

    text: str
    kinds: str
    starts: list[int]
    ends: list[int]
    depths: dict[int, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def part(self, first: int, last: int) -> Tokens:
        """The tokens from ``first`` up to ``last`` (exclusive), closed by an end of their own."""
        if self.kinds[last] == EOF:
            at, to = self.starts[last], self.ends[last]
        else:
            at = to = self.ends[last - 1]
        kinds = self.kinds[first:last] + EOF
        return Tokens(self.text, kinds, [*self.starts[first:last], at], [*self.ends[first:last], to])

    def word(self, index: int) -> str:
        """The text of one token."""
        return self.text[self.starts[index] : self.ends[index]]


class Scanner:
    """One pass over one text. ``stack`` holds the open brackets, quotes, heredocs and sequences."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._kinds: list[str] = []
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._depths: dict[int, int] = {}
        self._faults: list[Fault] = []
        self._stack: list[str] = []
        self._markers: list[str | None] = []
        self._told: set[str] = set()

    def file(self) -> Tokens:
        """Tokens of a configuration file or an expression."""
        at = 1 if self._text.startswith("\ufeff") else 0
        self._code(at)
        return self._finish()

    def template(self) -> Tokens:
        """Tokens of a template file: literal text outside of sequences."""
        self._stack.append("h")
        self._markers.append(None)
        at = self._bare(0)
        if at < len(self._text):
            self._code(at)
        return self._finish()

    def _finish(self) -> Tokens:
        end = len(self._text)
        self._token(EOF, end, end)
        return Tokens(self._text, "".join(self._kinds), self._starts, self._ends, self._depths, self._faults)

    def _token(self, kind: str, start: int, end: int) -> None:
        self._kinds.append(kind)
        self._starts.append(start)
        self._ends.append(end)

    def _fault(self, summary: str, detail: str, start: int, end: int) -> None:
        self._faults.append(Fault(summary, detail, start, end))

    def _code(self, at: int) -> None:
        """Everything outside of literal text; strings and heredocs are left to their own methods."""
        text, kinds, starts, ends = self._text, self._kinds, self._starts, self._ends
        match_at, words, operators = _CODE.match, WORDS, OPERATORS
        size = len(text)
        while at < size:
            match = match_at(text, at)
            if match is None:  # pragma: no cover - the last alternatives take anything
                return
            group = match.lastgroup
            start, end = match.span(group or "rest")
            if group == "word":
                kinds.append(words.get(match["word"], "n"))
            elif group == "operator":
                spelled = match["operator"]
                kind = operators.get(spelled, spelled)
                kinds.append(kind)
                if kind == "b":
                    self._unsupported(spelled, start, end)
            elif group == "plain":
                kinds.append("s")
            elif group == "newline":
                if not kinds or kinds[-1] != NEWLINE:
                    self._depths[len(kinds)] = len(self._stack)
                    kinds.append(NEWLINE)
                else:
                    at = end
                    continue
            else:
                at = self._other(match, group, start, end)
                continue
            starts.append(start)
            ends.append(end)
            at = end

    def _other(self, match: re.Match[str], group: str | None, start: int, end: int) -> int:
        """The rarer tokens; returns where to go on."""
        if group == "open":
            self._stack.append(self._text[start])
            self._token(self._text[start], start, end)
            return end
        if group == "close":
            return self._close(start, end)
        if group == "number":
            return self._number(start, end)
        if group == "quote":
            self._stack.append('"')
            self._token('"', start, end)
            return self._quoted(end)
        if group == "marker" or group == "heredoc":
            start, end = match.span("heredoc")
            self._stack.append("h")
            self._markers.append(match["marker"])
            self._token("h", start, end)
            return self._bare(end)
        if group == "rest":
            return self._rest(start, end)
        return end

    def _number(self, start: int, end: int) -> int:
        text = self._text[start:end]
        if self._kinds and self._kinds[-1] == "." and text.count(".") == 1 and text.replace(".", "").isdigit():
            # a.0.1 is two steps of the old index syntax, not a step named by a fraction
            dot = self._text.index(".", start)
            self._token("0", start, dot)
            self._token(".", dot, dot + 1)
            self._token("0", dot + 1, end)
            return end
        self._token(("0" if text.isdigit() else "5") if is_number(text) else "B", start, end)
        return end

    def _rest(self, start: int, end: int) -> int:
        """Identifiers beyond ASCII, block comments, and what is not in the language."""
        text = self._text
        character = text[start]
        if character.isidentifier():
            while end < len(text) and (text[end] == "-" or ("a" + text[end]).isidentifier()):
                end += 1
            self._token("n", start, end)
            return end
        if character == "/" and text.startswith("/*", start):
            close = text.find("*/", start + 2)
            if close < 0:
                self._fault(
                    "Unterminated comment",
                    'This comment has no closing "*/" before the end of the text. Add it where the comment ends.',
                    start, start + 2,
                )  # fmt: skip
                return len(text)
            return close + 2
        if character == "<":
            self._token("<", start, end)
            return end
        if character == "~":
            self._unsupported(character, start, end)
            self._token("b", start, end)
            return end
        return self._invalid(character, start, end)

    def _invalid(self, character: str, start: int, end: int) -> int:
        while end < len(self._text) and self._text[end] == character:
            end += 1
        if character not in _ADVICE or character not in self._told:
            self._told.add(character)
            name = repr(character) if character.isprintable() else f"U+{ord(character):04X}"
            detail = _ADVICE.get(character, f"{_INVALID} Found {name}; remove it or put it in a quoted string.")
            self._fault("Invalid character", detail, start, end)
        self._token("i", start, end)
        return end

    def _unsupported(self, operator: str, start: int, end: int) -> None:
        if "operator" in self._told:
            return
        self._told.add("operator")
        hint = {"&": ' Did you mean "&&"?', "|": ' Did you mean "||"?', "**": " Use the function pow instead."}
        self._fault(
            "Unsupported operator",
            f'The language has no operator "{operator}".{hint.get(operator, " Remove it.")}',
            start, end,
        )  # fmt: skip

    def _close(self, start: int, end: int) -> int:
        """A closing bracket. Braces close over parentheses left open, so that one slip stays local."""
        stack, bracket = self._stack, self._text[end - 1]
        if bracket != "}":
            if stack and stack[-1] == ("(" if bracket == ")" else "["):
                stack.pop()
            self._token(bracket, start, end)
            return end
        keep = len(stack)
        while keep and stack[keep - 1] in "([":
            keep -= 1
        opener = stack[keep - 1] if keep else ""
        if opener not in ("{", "$"):
            self._strip_outside(start, end)
            self._token("}", end - 1, end)
            return end
        del stack[keep - 1 :]
        if opener == "{":
            self._strip_outside(start, end)
            self._token("}", end - 1, end)
            return end
        self._token("c", start, end)
        return self._quoted(end) if stack[-1] == '"' else self._bare(end)

    def _strip_outside(self, start: int, end: int) -> None:
        if end - start == 2:
            self._unsupported("~", start, start + 1)
            self._token("b", start, start + 1)

    def _sequence(self, at: int) -> int | None:
        """Open ``${`` or ``%{`` when one begins here; returns where its inside begins."""
        match = _OPENER.match(self._text, at)
        if match is None:
            return None
        self._token("$" if self._text[at] == "$" else "@", at, match.end())
        self._stack.append("$")
        return match.end()

    def _quoted(self, at: int) -> int:
        """Literal text inside quotes, up to the closing quote or the next sequence."""
        text = self._text
        while at < len(text):
            character = text[at]
            if character == '"':
                self._stack.pop()
                self._token("q", at, at + 1)
                return at + 1
            if character == "\n":
                self._token("N", at, at + 1)
                self._fault(
                    "Invalid multi-line string",
                    "A quoted string must end on the line where it begins. Close it with a double quote, write the "
                    "line end as \\n, or use a heredoc for text of several lines.",
                    at, at + 1,
                )  # fmt: skip
                at += 1
                continue
            inside = self._sequence(at)
            if inside is not None:
                return inside
            match = _QUOTED.match(text, at)
            end = match.end() if match else at + 1
            for start, stop in bad_escapes(text[at:end]):
                self._fault(
                    "Invalid escape sequence",
                    f'"{text[at + start : at + stop]}" is not an escape sequence. A backslash may begin \\n, \\r, \\t, '
                    '\\", \\\\, \\uNNNN or \\UNNNNNNNN; write \\\\ for a backslash itself.',
                    at + start, at + stop,
                )  # fmt: skip
            self._token("l", at, end)
            at = end
        return at

    def _bare(self, at: int) -> int:
        """Literal text of a heredoc or template file, one token a line, up to its end or the next sequence."""
        text, marker = self._text, self._markers[-1]
        while at < len(text):
            if marker is not None and (at == 0 or text[at - 1] == "\n"):
                end = text.find("\n", at)
                if end >= 0 and text[at:end].strip() == marker:
                    end -= text[end - 1] == "\r"
                    self._stack.pop()
                    self._markers.pop()
                    self._token("k", at, end)
                    return end
            inside = self._sequence(at)
            if inside is not None:
                return inside
            match = _LINE.match(text, at)
            end = match.end() if match and match.end() > at else at + 1
            self._token("l", at, end)
            at = end
        return at
