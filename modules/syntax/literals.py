"""Values of literal tokens: string escapes and numbers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal

_ESCAPE = re.compile(
    r"\\(?:u(?P<u4>[0-9A-Fa-f]{4})|U(?P<u8>[0-9A-Fa-f]{8})|(?P<c>[nrt\"\\]))|(?P<t>\$\$\{|%%\{)|(?P<bad>\\[^\n]?)"
)
_TEMPLATE_ESCAPE = re.compile(r"([$%])\1\{")
_SIMPLE = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\Z", re.ASCII)
# A literal like 1e999999999 is legal text, but no arithmetic on it can end in useful time.
_LARGEST_EXPONENT = 6144


def normalise(text: str) -> str:
    """Text in Unicode's composed form, in which the language compares strings."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _character(code: int) -> str:
    return chr(code) if code < 0xD800 or 0xDFFF < code < 0x110000 else "\N{REPLACEMENT CHARACTER}"


def _escaped(match: re.Match[str]) -> str:
    kind = match.lastgroup
    if kind == "c":
        return _SIMPLE[match["c"]]
    if kind == "t":
        return match["t"][1:]
    return _character(int(match["u4"] or match["u8"], 16)) if kind != "bad" else match["bad"]


def quoted_value(text: str) -> str:
    """The value of literal text inside quotes; malformed escapes stay as they are."""
    return _ESCAPE.sub(_escaped, text) if "\\" in text or "{" in text else text


def bad_escapes(text: str) -> Iterator[tuple[int, int]]:
    """Where, inside a quoted literal, a backslash begins no known escape: start and end."""
    for match in _ESCAPE.finditer(text):
        if match.lastgroup == "bad":
            yield match.span()


def bare_value(text: str) -> str:
    """The value of literal text in a heredoc or template file, where only ``$${`` and ``%%{`` are special."""
    return _TEMPLATE_ESCAPE.sub(r"\1{", text) if "{" in text else text


def is_number(text: str) -> bool:
    """Whether a number token spells one number."""
    if _NUMBER.match(text) is None:
        return False
    mantissa, mark, exponent = text.lower().partition("e")
    return not mark or (len(exponent) < 9 and abs(int(exponent)) + len(mantissa) <= _LARGEST_EXPONENT)


def number_value(text: str) -> int | Decimal:
    """The exact value of a number token; whole numbers are ints however they are spelled."""
    if text.isdigit() and len(text) < 4000:
        return int(text)
    value = Decimal(text)
    if value == value.to_integral_value() and value.adjusted() < 4000:
        return int(value)
    return value
