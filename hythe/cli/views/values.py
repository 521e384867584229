"""Values as text: how the human views write strings, sizes, references, maps and blocks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hythe.address import Key, format_key
from hythe.cli.views.sensitive import MASK, Hidden, below, hides
from hythe.cli.views.terminal import NO_PAINT, Paint
from hythe.value import Marked, Null, Reference, Unknown

UNKNOWN = "(known after apply)"
FOLD_AT = 160
_INLINE = 72
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_SPECIAL = re.compile(r'["\\\x00-\x1f\x7f-\x9f]|\$\{|%\{')
_NAME = re.compile(r"[A-Za-z_][\w-]*")
_UNITS = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """What the views know of a kind: how values are shown, which arguments are blocks, and defaults.

    By path of names, without list indices; ``defaults`` by the name of a top-level argument.
    """

    forms: Mapping[Names, str] = field(default_factory=dict)
    blocks: frozenset[Names] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)


PLAIN_LAYOUT = Layout()


@dataclass(frozen=True, slots=True)
class Format:
    """How to write. ``key``: where it occurs in a ``varying`` argument it is ``${each.key}``."""

    paint: Paint = NO_PAINT
    full: bool = False
    show_sensitive: bool = False
    key: Key = None
    varying: frozenset[str] = frozenset()
    layout: Layout = PLAIN_LAYOUT


def _escape(match: re.Match[str]) -> str:
    text = match[0]
    if len(text) == 2:
        return text[0] + text
    return _ESCAPES.get(text) or f"\\u{ord(text):04x}"


def quote(text: str) -> str:
    """A string as the language writes it, without control characters."""
    return f'"{_SPECIAL.sub(_escape, text)}"'


def size(number: int) -> str:
    """Bytes as configurations write them: ``"512MiB"`` where that is exact."""
    for unit, name in _UNITS:
        if number and number % unit == 0:
            return f'"{number // unit}{name}"'
    return str(number)


def fold(text: str, limit: int = FOLD_AT) -> str:
    """The middle of a long text left out, with a word on how long it is."""
    if len(text) <= limit:
        return text
    return f"{text[: limit // 2]} ... {text[-limit // 4 :]} ({len(text):,} characters)"


def _key_name(key: Key) -> str:
    return "count.index" if isinstance(key, int) else "each.key"


def _varies(fmt: Format, names: Names) -> bool:
    return fmt.key is not None and bool(names) and names[0] in fmt.varying


def _split_words(text: str, word: str) -> list[str]:
    """The text between the places where ``word`` stands by itself."""
    pieces: list[str] = []
    start = at = 0
    while word and (at := text.find(word, at)) >= 0:
        end = at + len(word)
        if (at == 0 or not text[at - 1].isalnum()) and (end == len(text) or not text[end].isalnum()):
            pieces.append(text[start:at])
            start = end
        at = end
    return [*pieces, text[start:]]


def _string(text: str, fmt: Format, names: Names) -> str:
    if _varies(fmt, names):
        pieces = [_SPECIAL.sub(_escape, p) for p in _split_words(text, str(fmt.key))]
        quoted = '"' + ("${" + _key_name(fmt.key) + "}").join(pieces) + '"'
    else:
        quoted = quote(text)
    return quoted if fmt.full else fold(quoted)


def scalar(value: Any, fmt: Format, names: Names = ()) -> str:
    """A value that is neither list nor map."""
    if isinstance(value, str):
        return _string(value, fmt, names)
    if value is None or type(value) is Null:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return size(value) if fmt.layout.forms.get(tuple(n for n in names if n)) == "bytes" else str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if type(value) is Unknown:
        return UNKNOWN
    if isinstance(value, Reference):
        if _varies(fmt, names):
            return value.address.replace(format_key(fmt.key), f"[{_key_name(fmt.key)}]")
        return value.address
    if type(value) is Marked:
        return scalar(value.value, fmt, names) if fmt.show_sensitive else MASK
    return _string(str(value), fmt, names)


def argument_name(name: str) -> str:
    """A map key or argument name, quoted where it is no identifier."""
    return name if _NAME.fullmatch(name) else quote(name)


def is_compound(value: Any) -> bool:
    """Whether the value has elements."""
    return isinstance(value, (dict, list, tuple))


def inline(value: Any, fmt: Format, hidden: Hidden = False, names: Names = ()) -> str | None:
    """The value in one short line, or None where it needs several."""
    if hides(hidden, value) and not fmt.show_sensitive:
        return MASK
    if isinstance(value, Marked):
        return inline(value.value, fmt, hidden, names)
    if isinstance(value, str) and "\n" in value.strip("\n"):
        return None
    if not is_compound(value):
        return scalar(value, fmt, names)
    if isinstance(value, dict):
        pieces = [(argument_name(k) + " = ", inline(v, fmt, below(hidden, k), (*names, k))) for k, v in value.items()]
        brackets = ("{ ", " }") if pieces else ("{", "}")
    else:
        pieces = [("", inline(v, fmt, below(hidden, at), names)) for at, v in enumerate(value)]
        brackets = ("[", "]")
    texts: list[str] = []
    for prefix, text in pieces:
        if text is None:
            return None
        texts.append(prefix + text)
    out = brackets[0] + ", ".join(texts) + brackets[1]
    return out if len(out) <= _INLINE else None


def is_block_list(value: Any, fmt: Format, names: Names) -> bool:
    """Whether the value is written as blocks (``port { ... }``) rather than as an argument."""
    if names in fmt.layout.blocks:
        return isinstance(value, (dict, list))
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value) and len(names) == 1


def parse_json(text: str) -> Any:
    """What a string of JSON holds, if it is an object or a list; None otherwise."""
    start = text.lstrip()[:1]
    if start not in ("{", "["):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, (dict, list)) and found else None
