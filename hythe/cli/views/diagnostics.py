"""Diagnostics for a person: what, where with the line itself, why, and what to do."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence

from hythe.cli.views.terminal import NO_PAINT, Paint, clean
from hythe.diagnostic import Diagnostic, Range, Severity

Sources = Callable[[str], str | None]
"""The text of a file by the name that ranges carry, None when it cannot be had."""

_MAX_LINES = 6
_COMMAND = re.compile(r"`[^`\n]+`")
_NO_BREAK = "\ue000"
_PASSPHRASE = re.compile(r'(\bpassphrase"?\s*[=:]\s*")((?:[^"\\\n$]|\\.)+)')


def sources_of(files: Mapping[str, str], root: str) -> Sources:
    """Sources from texts already read, else from files below ``root``."""
    import os

    def find(name: str) -> str | None:
        if name in files:
            return _without_passphrases(files[name])
        try:
            with open(os.path.join(root, name), encoding="utf-8") as file:
                return _without_passphrases(file.read(4 << 20))
        except (OSError, UnicodeDecodeError):
            return None

    return find


def _without_passphrases(text: str) -> str:
    """The text with passphrases that are spelt out in it hidden, every other character at its place."""
    if "passphrase" not in text:
        return text
    return _PASSPHRASE.sub(lambda found: found[1] + "*" * len(found[2]), text)


def _no_sources(name: str) -> str | None:
    return None


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in text)


class DiagnosticView:
    """Renders diagnostics. ``box``: draw OpenTofu's bar at the left (for terminals)."""

    def __init__(
        self,
        paint: Paint = NO_PAINT,
        width: int = 100,
        *,
        box: bool = False,
        sources: Sources = _no_sources,
        compact_warnings: bool = False,
    ) -> None:
        self.paint, self.box, self.sources, self.compact = paint, box, sources, compact_warnings
        self.width = min(max(width, 40), 120)

    def render_all(self, diagnostics: Sequence[Diagnostic]) -> str:
        """All of them, errors last so that they stand nearest to the prompt. '' when there are none."""
        unique = list(dict.fromkeys(diagnostics))
        warnings = [d for d in unique if not d.is_error]
        errors = [d for d in unique if d.is_error]
        out: list[str] = []
        if self.compact and warnings:
            out.append(self._compact(warnings))
        else:
            out += [self.render(d) for d in warnings]
        out += [self.render(d) for d in errors]
        return "\n".join(out)

    def _compact(self, warnings: Iterable[Diagnostic]) -> str:
        groups: dict[str, list[Diagnostic]] = {}
        for diagnostic in warnings:
            groups.setdefault(diagnostic.summary, []).append(diagnostic)
        lines = [self.paint("Warnings:", "yellow", "bold"), ""]
        for summary, found in groups.items():
            place = next((str(d.range) for d in found if d.range is not None), None)
            where = f" on {place}" if place else ""
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            lines.append(f"- {clean(summary)}{where}{more}")
        lines += ["", "To see the full warnings, run without --compact-warnings.", ""]
        return "\n".join(lines)

    def render(self, diagnostic: Diagnostic) -> str:
        """One diagnostic, with an empty line behind it."""
        color = "red" if diagnostic.severity is Severity.ERROR else "yellow"
        word = "Error" if diagnostic.is_error else "Warning"
        lines = [self.paint(f"{word}: ", color, "bold") + self.paint(clean(diagnostic.summary), "bold"), ""]
        place = self._place(diagnostic.range, diagnostic.address)
        if place:
            lines += [*place, ""]
        lines += self._detail(diagnostic.detail)
        for label, where in diagnostic.related:
            lines += ["", f"{clean(label)}:", *self._place(where, None)]
        while lines and not lines[-1]:
            lines.pop()
        if not self.box:
            return "\n" + "\n".join(lines)
        bar = self.paint("│", color)
        boxed = [f"{bar} {line}" if line else bar for line in lines]
        return "\n".join([self.paint("╷", color), *boxed, self.paint("╵", color)])

    def _detail(self, detail: str) -> list[str]:
        out: list[str] = []
        for paragraph in clean(detail).split("\n"):
            # what is indented is quoted output or a command to copy: it keeps its shape
            if paragraph.startswith((" ", "\t")) or len(paragraph) <= self.width - 4:
                out.append(paragraph)
            else:
                # a command stays on one line, so that it can be copied
                whole = _COMMAND.sub(lambda m: m[0].replace(" ", _NO_BREAK), paragraph)
                wrapped = textwrap.wrap(whole, self.width - 4, break_long_words=False, break_on_hyphens=False)
                out += [line.replace(_NO_BREAK, " ") for line in wrapped] or [""]
        return out

    def _place(self, range: Range | None, address: str | None) -> list[str]:
        if range is None:
            return [f"  with {clean(address)}"] if address else []
        text = self.sources(range.filename)
        context = enclosing_block(text, range) if text is not None else None
        head = f"  on {clean(range.filename)} line {range.line}"
        head += f", in {context}:" if context else ":"
        out = [f"  with {clean(address)},"] if address else []
        out.append(head)
        if text is not None:
            out += self._snippet(text, range)
        else:
            out[-1] = out[-1].rstrip(":")
        return out

    def _snippet(self, text: str, range: Range) -> list[str]:
        lines = text.splitlines()
        if not 1 <= range.line <= len(lines):
            return []
        last = min(range.end_line, len(lines))
        if last > range.line and range.end_column <= 1:
            last -= 1
        out: list[str] = []
        number_width = len(str(last))
        for number in _numbers(range.line, min(last, range.line + _MAX_LINES - 1)):
            raw = lines[number - 1]
            low = range.column - 1 if number == range.line else len(raw) - len(raw.lstrip())
            high = range.end_column - 1 if number == range.end_line else len(raw.rstrip())
            out += self._line(raw, f"{number:>{number_width + 4}}: ", (low, max(high, low + 1)))
        if last >= range.line + _MAX_LINES:
            out.append(" " * (number_width + 4) + "  ...")
        return out

    def _line(self, raw: str, prefix: str, span: tuple[int, int]) -> list[str]:
        low, high = span
        room = self.width - len(prefix) - 4
        start = 0 if len(raw) <= room else max(low - room // 3, 0)
        shown = raw[start : start + room]
        low, high = max(low - start, 0), min(max(high - start, low - start + 1), len(shown))
        before, inside, after = (clean(p.expandtabs(4)) for p in (shown[:low], shown[low:high], shown[high:]))
        text = before + self.paint(inside, "bold") + after
        carets = " " * (len(prefix) + _width(before)) + self.paint("^" * max(_width(inside), 1), "red")
        return [prefix + text, carets]


def _numbers(first: int, last: int) -> range:
    return range(first, last + 1)


def enclosing_block(text: str, range: Range) -> str | None:
    """The header of the top-level block around a range: ``resource "container" "web"``."""
    lines = text.splitlines()
    for at in _numbers(1, range.line)[::-1]:
        line = lines[at - 1] if at <= len(lines) else ""
        if not line or line[0] in " \t#}/":
            if line.startswith("}") and at != range.line:
                return None
            continue
        header = line.split("{")[0].strip() if "{" in line else ""
        if at == range.line and "{" not in line:
            return None
        return clean(header) or None
    return None
