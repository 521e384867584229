"""Walking over tokens: looking, reading, recovering after a mistake, and writing the masked copy.

The masked copy is what the grammar gets to read: the same tokens with every name, number and piece of
literal text replaced by filler, without comments, strip markers and the line ends that mean nothing, with
heredocs as quoted strings. Its words remember which token they stand for.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hythe.modules.syntax.scanner import EOF, IDENTIFIERS, NEWLINE, Fault, Tokens

MAX_NESTING = 64
"""How many brackets, blocks, unary operators and conditionals may stand inside each other."""

_OPENER_OF = {"}": "{", "]": "[", ")": "(", "q": '"', "k": "h", "c": "$"}


@dataclass(slots=True)
class Masked:
    """The masked copy of some tokens, and the token at which each of its words begins and ends."""

    text: str
    firsts: dict[int, int]
    lasts: dict[int, int]
    virtual: set[int] = field(default_factory=set)


class NestingError(Exception):
    """The text nests deeper than :data:`MAX_NESTING`; ends the check of one item."""


class Cursor:
    """A place in a token list. ``recovering`` quiets the complaints that follow from an earlier one."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.kinds = tokens.kinds
        self.at = 0
        self.last = 0
        self.recovering = False
        self.faults: list[Fault] = []
        self._end = len(tokens.kinds) - 1
        self._lines = [True]
        self._depth = 0
        self._words: list[str] = []
        self._size = 0
        self._firsts: dict[int, int] = {}
        self._lasts: dict[int, int] = {}
        self._virtual: set[int] = set()

    # looking and reading

    def peek(self) -> int:
        """The index of the next token; line ends do not count where they mean nothing."""
        at = self.at
        if not self._lines[-1]:
            while self.kinds[at] == NEWLINE:
                at += 1
        return at

    def kind(self) -> str:
        """The kind of the next token."""
        return self.kinds[self.peek()]

    def read(self) -> int:
        """Take the next token; the end of the text can be taken any number of times."""
        self.last = self.peek()
        self.at = min(self.last + 1, self._end)
        return self.last

    def lines(self, significant: bool) -> None:
        """From here to the matching :meth:`end_lines`, line ends count or do not."""
        self._lines.append(significant)

    def end_lines(self) -> None:
        """Back to what held before :meth:`lines`."""
        self._lines.pop()

    def deeper(self) -> None:
        """Enter one more level; raises NestingError when there are too many."""
        self._depth += 1
        if self._depth > MAX_NESTING:
            at = self.peek()
            self.fault(
                "Nesting too deep",
                f"More than {MAX_NESTING} brackets, blocks or operators stand inside each other here. Move the inner "
                "parts to local values.",
                at,
            )
            raise NestingError

    def shallower(self) -> None:
        """Leave a level."""
        self._depth -= 1

    # complaints

    def fault(
        self, summary: str, detail: str, first: int, last: int | None = None, also: tuple[str, int, int] | None = None
    ) -> None:
        """Note a mistake that spans the tokens from ``first`` to ``last``."""
        end = self.tokens.ends[first if last is None else last]
        self.faults.append(Fault(summary, detail, self.tokens.starts[first], end, also))

    def complain(self, summary: str, detail: str, first: int, last: int | None = None) -> None:
        """Note a mistake, unless it may only follow from an earlier one; from here on others are quiet."""
        if not self.recovering:
            self.fault(summary, detail, first, last)
        self.recovering = True

    def found(self, index: int) -> str:
        """What stands at a token, for a sentence."""
        kind = self.kinds[index]
        if kind == EOF:
            return "the end of the text"
        if kind == NEWLINE:
            return "the end of the line"
        if kind in "slhkN":
            return "literal text"
        word = self.tokens.word(index)
        return f'"{word}"' if word != '"' else "a double quote"

    # recovery

    def skip_past(self, closer: str) -> None:
        """Skip to just after the bracket that closes what is open here, or to the end."""
        self.recovering = True
        opener, depth = _OPENER_OF[closer], 0
        while True:
            kind = self.kinds[self.read()]
            if kind == "@" and opener == "$":
                kind = "$"
            if kind == opener:
                depth += 1
            elif kind == closer:
                if depth == 0:
                    return
                depth -= 1
            elif kind == EOF:
                return

    def skip_item(self) -> None:
        """Skip to just after the line end that closes the present argument or block."""
        self.recovering = True
        open_brackets: list[str] = []
        while True:
            kind = self.kinds[self.read()]
            if kind == EOF or (kind == NEWLINE and not open_brackets):
                return
            if kind in '{[("h$@':
                open_brackets.append("$" if kind == "@" else kind)
            elif kind in _OPENER_OF:
                while open_brackets and open_brackets.pop() != _OPENER_OF[kind]:
                    pass

    # the masked copy

    def write(self, word: str, first: int, last: int | None = None, space: bool = True) -> None:
        """Add a word for the tokens from ``first`` to ``last``."""
        self._firsts[self._size] = first
        self._words.append(word)
        self._size += len(word)
        self._lasts[self._size] = first if last is None else last
        if space:
            self._words.append(" ")
            self._size += 1

    def write_virtual(self, word: str, token: int) -> None:
        """Add a parenthesis that is not in the text, and that the tree shall not show."""
        self._virtual.add(self._size)
        self.write(word, token)

    def masked(self) -> Masked:
        """The masked copy written so far."""
        return Masked("".join(self._words), self._firsts, self._lasts, self._virtual)

    def is_identifier(self) -> bool:
        """Whether the next token is an identifier; the grammar's words are identifiers too."""
        return self.kind() in IDENTIFIERS
