"""Strings as the language sees them: in normal form C, counted in grapheme clusters."""

from __future__ import annotations

from hythe.modules.language.functions.registry import FunctionError
from hythe.value import normalized

__all__ = ["MAX_STRING", "check_length", "decoded", "graphemes", "length", "normalized"]

MAX_STRING = 64 * 1024 * 1024
"""Characters that a function may produce."""


def graphemes(text: str) -> list[str]:
    """What a reader takes for single characters."""
    if text.isascii() and "\r" not in text:
        return list(text)
    import regex  # type: ignore[import-untyped]

    found: list[str] = regex.findall(r"\X", text)
    return found


def length(text: str) -> int:
    """How many characters a reader sees."""
    return len(text) if text.isascii() and "\r" not in text else len(graphemes(text))


def check_length(characters: int) -> None:
    """Refuse results that are larger than anything sensible. Raises FunctionError."""
    if characters > MAX_STRING:
        raise FunctionError(f"the result would be longer than {MAX_STRING:,} characters")


def decoded(content: bytes, refusal: FunctionError) -> str:
    """``content`` as a string; raises ``refusal`` when it is no UTF-8."""
    try:
        return normalized(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise refusal from None
