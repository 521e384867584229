"""Lines of a change: whole values, and what differs between two of them, with signs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hythe.cli.views.sensitive import MASK, Hidden, below, hides
from hythe.cli.views.terminal import clean
from hythe.cli.views.values import (
    UNKNOWN,
    Format,
    Names,
    argument_name,
    fold,
    inline,
    is_block_list,
    is_compound,
    parse_json,
    quote,
    scalar,
)
from hythe.value import Marked, Unknown

SIGN_COLORS = {"+": "green", "-": "red", "~": "yellow", " ": "dim"}
_FOLD_ITEMS = 40
_FOLD_LINES = 30


class _Missing:
    __slots__ = ()


MISSING: Final = _Missing()


def same(before: Any, after: Any) -> bool:
    """Equality that tells true from 1."""
    return bool(before == after) and isinstance(before, bool) == isinstance(after, bool)


class LineWriter:
    """Builds the lines. ``notes`` are words to add behind top-level arguments ("forces replacement")."""

    def __init__(self, fmt: Format, notes: Mapping[str, str] | None = None) -> None:
        self.fmt = fmt
        self.notes = notes or {}
        self.lines: list[str] = []

    def put(self, depth: int, sign: str, text: str) -> None:
        """One line."""
        painted = self.fmt.paint(sign, SIGN_COLORS.get(sign, "dim")) if sign != " " else " "
        self.lines.append(f"{'  ' * depth}{painted} {text}" if text else "")

    def note(self, depth: int, text: str) -> None:
        """A remark in parentheses."""
        self.lines.append("  " * depth + "  " + self.fmt.paint(text, "dim"))

    # -- whole values ---------------------------------------------------------------------------

    def mapping(self, value: Mapping[str, Any], hidden: Hidden, depth: int, sign: str, names: Names = ()) -> None:
        """All entries of a map or block, their equal signs aligned."""
        entries = [(k, v, below(hidden, k)) for k, v in value.items()]
        plain = [len(argument_name(k)) for k, v, _ in entries if not is_block_list(v, self.fmt, (*names, k))]
        width = min(max(plain, default=0), 32)
        shown = entries if self.fmt.full else entries[:_FOLD_ITEMS]
        for key, item, hide in shown:
            self.whole(argument_name(key), item, hide, depth, sign, (*names, key), width)
        if len(shown) < len(entries):
            self.note(depth, f"({len(entries) - len(shown):,} more)")

    def whole(
        self, label: str, value: Any, hidden: Hidden, depth: int, sign: str, names: Names = (), width: int = 0
    ) -> None:
        """One argument that is added or removed as a whole (``label`` '' for a list's item)."""
        prefix = f"{label:<{width}} = " if label else ""
        tail = "" if label else ","
        if isinstance(value, Marked):
            value, hidden = value.value, not self.fmt.show_sensitive or hidden
        if hides(hidden, value) and not self.fmt.show_sensitive:
            self.put(depth, sign, f"{prefix}{MASK}{tail}{self._note(names)}")
            return
        if label and is_block_list(value, self.fmt, names):
            items = value if isinstance(value, list) else [value]
            for at, item in enumerate(items):
                self._block(label, item, below(hidden, at) if items is value else hidden, depth, sign, names)
            return
        text = inline(value, self.fmt, hidden, names)
        if text is not None:
            self.put(depth, sign, f"{prefix}{text}{tail}{self._note(names)}")
        elif isinstance(value, str):
            self._heredoc(prefix, value, depth, sign)
        elif isinstance(value, dict):
            self.put(depth, sign, f"{prefix}{{{self._note(names)}")
            self.mapping(value, hidden, depth + 2, sign, names)
            self.put(depth, " ", "}" + tail)
        else:
            self.put(depth, sign, f"{prefix}[{self._note(names)}")
            items = value if self.fmt.full else value[:_FOLD_ITEMS]
            for at, item in enumerate(items):
                self.whole("", item, below(hidden, at), depth + 2, sign, (*names, ""))
            if len(items) < len(value):
                self.note(depth + 2, f"({len(value) - len(items):,} more)")
            self.put(depth, " ", "]" + tail)

    def _block(self, label: str, item: Any, hidden: Hidden, depth: int, sign: str, names: Names) -> None:
        if not isinstance(item, dict):
            self.put(depth, sign, f"{label} {{ {scalar(item, self.fmt, names)} }}")
            return
        text = inline(item, self.fmt, hidden, names)
        if text is not None and (len(item) <= 1 or len(text) <= 40):
            self.put(depth, sign, f"{label} {text}{self._note(names)}")
            return
        self.put(depth, sign, f"{label} {{{self._note(names)}")
        self.mapping(item, hidden, depth + 2, sign, names)
        self.put(depth, " ", "}")

    def _heredoc(self, prefix: str, text: str, depth: int, sign: str) -> None:
        self.put(depth, sign, f"{prefix}<<-EOT")
        lines = clean(text).splitlines()
        shown = lines if self.fmt.full else lines[:_FOLD_LINES]
        for line in shown:
            self.put(depth + 2, sign, (line if self.fmt.full else fold(line)) or " ")
        if len(shown) < len(lines):
            self.note(depth + 2, f"({len(lines) - len(shown):,} more lines)")
        self.put(depth, " ", "EOT")

    def _note(self, names: Names) -> str:
        found = self.notes.get(names[0]) if len(names) == 1 else None
        return "  " + self.fmt.paint(f"# {found}", "red") if found else ""

    # -- differences ----------------------------------------------------------------------------

    def difference(
        self,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        hidden: tuple[Hidden, Hidden],
        depth: int,
        names: Names = (),
    ) -> None:
        """What differs between two maps or blocks."""
        keys = [*before, *(k for k in after if k not in before)]
        changed = [k for k in keys if not same(before.get(k, MISSING), after.get(k, MISSING))]
        changed += [k for k in keys if k not in changed and below(hidden[0], k) != below(hidden[1], k)]
        width = min(max((len(argument_name(k)) for k in changed), default=0), 32)
        for key in changed:
            inner = (below(hidden[0], key), below(hidden[1], key))
            values = (before.get(key, MISSING), after.get(key, MISSING))
            self.changed(argument_name(key), values, inner, depth, (*names, key), width)
        left = len(keys) - len(changed)
        if left and names:
            self.note(depth, f"({left} unchanged)")

    def changed(
        self,
        label: str,
        values: tuple[Any, Any],
        hidden: tuple[Hidden, Hidden],
        depth: int,
        names: Names,
        width: int = 0,
    ) -> None:
        """One argument before and after."""
        before, after = values
        if before is MISSING or before is None:
            self.whole(label, after, hidden[1], depth, "+", names, width)
        elif after is MISSING or after is None:
            self.whole(label, before, hidden[0], depth, "-", names, width)
        else:
            self._changed_both(label, values, hidden, depth, names, width)

    def _changed_both(
        self,
        label: str,
        values: tuple[Any, Any],
        hidden: tuple[Hidden, Hidden],
        depth: int,
        names: Names,
        width: int,
    ) -> None:
        before, after = values
        prefix = f"{label:<{width}} = " if label else ""
        secret = hides(hidden[0], before) or hides(hidden[1], after)
        if secret and not self.fmt.show_sensitive:
            new = UNKNOWN if type(after) is Unknown else "(new sensitive value)"
            new = MASK + " (now sensitive or no longer so)" if same(before, after) else new
            self.put(depth, "~", f"{prefix}{MASK} -> {new}{self._note(names)}")
        elif isinstance(before, dict) and isinstance(after, dict):
            block = names in self.fmt.layout.blocks
            self.put(depth, "~", f"{label} {{" if block else f"{prefix}{{{self._note(names)}")
            self.difference(before, after, hidden, depth + 2, names)
            self.put(depth, " ", "}")
        elif isinstance(before, (list, tuple)) and isinstance(after, (list, tuple)):
            if label and (is_block_list(before, self.fmt, names) or is_block_list(after, self.fmt, names)):
                self._blocks(label, (list(before), list(after)), hidden, depth, names)
            else:
                self._lists(prefix, (list(before), list(after)), hidden, depth, names)
        elif isinstance(before, str) and isinstance(after, str):
            self._strings(prefix, (before, after), depth, names)
        elif is_compound(before) or is_compound(after):
            self.whole(label, before, hidden[0], depth, "-", names, width)
            self.whole(label, after, hidden[1], depth, "+", names, width)
        else:
            old, new = (scalar(v, self.fmt, names) for v in values)
            self.put(depth, "~", f"{prefix}{old} -> {new}{self._note(names)}")

    def _lists(
        self,
        prefix: str,
        values: tuple[list[Any], list[Any]],
        hidden: tuple[Hidden, Hidden],
        depth: int,
        names: Names,
    ) -> None:
        texts = [
            [inline(v, self.fmt, below(h, at), names) for at, v in enumerate(vs)]
            for vs, h in zip(values, hidden, strict=True)
        ]
        short = [inline(v, self.fmt, h, names) for v, h in zip(values, hidden, strict=True)]
        if short[0] is not None and short[1] is not None and len(short[0]) + len(short[1]) <= 80:
            self.put(depth, "~", f"{prefix}{short[0]} -> {short[1]}{self._note(names)}")
            return
        self.put(depth, "~", f"{prefix}[{self._note(names)}")
        items = (*names, "")  # what is said of the argument is not said of each item again
        tokens = [
            [t if t is not None else repr(v) for t, v in zip(ts, vs, strict=True)]
            for ts, vs in zip(texts, values, strict=True)
        ]
        for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, tokens[0], tokens[1], autojunk=False).get_opcodes():
            if tag == "equal":
                self.note(depth + 2, f"({i2 - i1} unchanged)")
                continue
            pairs = min(i2 - i1, j2 - j1)
            for at in range(pairs):
                inner = (below(hidden[0], i1 + at), below(hidden[1], j1 + at))
                self.changed("", (values[0][i1 + at], values[1][j1 + at]), inner, depth + 2, items)
            for at in range(i1 + pairs, i2):
                self.whole("", values[0][at], below(hidden[0], at), depth + 2, "-", items)
            for at in range(j1 + pairs, j2):
                self.whole("", values[1][at], below(hidden[1], at), depth + 2, "+", items)
        self.put(depth, " ", "]")

    def _blocks(
        self,
        label: str,
        values: tuple[list[Any], list[Any]],
        hidden: tuple[Hidden, Hidden],
        depth: int,
        names: Names,
    ) -> None:
        gone = [(at, v) for at, v in enumerate(values[0]) if v not in values[1]]
        come = [(at, v) for at, v in enumerate(values[1]) if v not in values[0]]
        pairs = min(len(gone), len(come))
        for (i, old), (j, new) in zip(gone[:pairs], come[:pairs], strict=True):
            if not (isinstance(old, dict) and isinstance(new, dict)):
                self._block(label, old, below(hidden[0], i), depth, "-", names)
                self._block(label, new, below(hidden[1], j), depth, "+", names)
                continue
            self.put(depth, "~", f"{label} {{{self._note(names)}")
            self.difference(old, new, (below(hidden[0], i), below(hidden[1], j)), depth + 2, names)
            self.put(depth, " ", "}")
        for i, old in gone[pairs:]:
            self._block(label, old, below(hidden[0], i), depth, "-", names)
        for j, new in come[pairs:]:
            self._block(label, new, below(hidden[1], j), depth, "+", names)
        if not gone and not come:
            self.put(depth, "~", f"{label} blocks in another order{self._note(names)}")

    def _strings(self, prefix: str, values: tuple[str, str], depth: int, names: Names) -> None:
        before, after = values
        parsed = (parse_json(before), parse_json(after))
        if type(parsed[0]) is type(parsed[1]) and parsed[0] is not None and parsed[0] != parsed[1]:
            self.put(depth, "~", f"{prefix}jsonencode({self._note(names)}")
            self.changed("", parsed, (False, False), depth + 2, (*names, ""))
            self.put(depth, " ", ")")
        elif "\n" in before.strip("\n") or "\n" in after.strip("\n"):
            self._text_lines(prefix, before, after, depth, names)
        else:
            old, new = (scalar(v, self.fmt, names) for v in values)
            if not self.fmt.full and max(len(before), len(after)) > 100:
                old, new = _excerpts(before, after)
            self.put(depth, "~", f"{prefix}{old} -> {new}{self._note(names)}")

    def _text_lines(self, prefix: str, before: str, after: str, depth: int, names: Names) -> None:
        self.put(depth, "~", f"{prefix}<<-EOT{self._note(names)}")
        old, new = clean(before).splitlines(), clean(after).splitlines()
        count = 10**9 if self.fmt.full else 2
        found = list(difflib.unified_diff(old, new, lineterm="", n=count))[2:]
        for line in found:
            if line.startswith("@@ -1,"):
                continue
            if line.startswith("@@"):
                self.note(depth + 2, "...")
            else:
                self.put(depth + 2, line[0], (line[1:] if self.fmt.full else fold(line[1:])) or " ")
        if not found:
            self.note(depth + 2, "(only line endings differ)")
        self.put(depth, " ", "EOT")


def _excerpts(before: str, after: str, context: int = 20) -> tuple[str, str]:
    """Both texts around what differs."""
    limit = min(len(before), len(after))
    start = next((i for i in range(limit) if before[i] != after[i]), limit)
    end = next((i for i in range(limit - start) if before[-1 - i] != after[-1 - i]), limit - start)
    out = []
    for text in (before, after):
        low, high = max(start - context, 0), min(len(text) - end + context, len(text))
        piece = ("..." if low else "") + fold(text[low:high], 120) + ("..." if high < len(text) else "")
        out.append(quote(piece))
    return out[0], out[1]


def unfold(sequence: Sequence[str], limit: int) -> str:
    """Names joined by commas, the rest counted."""
    shown = ", ".join(sequence[:limit])
    return shown if len(sequence) <= limit else f"{shown} and {len(sequence) - limit:,} more"
