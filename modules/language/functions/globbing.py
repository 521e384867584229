"""Patterns for file names: ``*``, ``**``, ``?``, ``[a-z]``, ``{a,b}``."""

from __future__ import annotations

import re
from functools import lru_cache

_MAX_PATTERN = 4096


class PatternError(Exception):
    """The pattern is malformed."""


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """An expression whose ``fullmatch`` takes paths with slashes. Raises PatternError.

    A star stands for any characters but a slash, two stars as a whole path element for any number
    of folders, and braces hold alternatives.
    """
    if len(pattern) > _MAX_PATTERN:
        raise PatternError("the pattern is too long")
    parts: list[str] = []
    position = depth = 0
    while position < len(pattern):
        char = pattern[position]
        if char == "*":
            text, position = _stars(pattern, position, "".join(parts[-1:]))
            parts.append(text)
            continue
        if char == "[":
            text, position = _class(pattern, position + 1)
            parts.append(text)
            continue
        if char == "\\":
            position += 1
            if position >= len(pattern):
                raise PatternError("syntax error in pattern")
            parts.append(re.escape(pattern[position]))
        elif char == "?":
            parts.append("[^/]")
        elif char == "{":
            depth += 1
            parts.append("(?:")
        elif char == "}" and depth:
            depth -= 1
            parts.append(")")
        elif char == "," and depth:
            parts.append("|")
        else:
            parts.append(re.escape(char))
        position += 1
    if depth:
        raise PatternError("syntax error in pattern")
    return re.compile("".join(parts), re.DOTALL)


def _stars(pattern: str, position: int, before: str) -> tuple[str, int]:
    end = position
    while pattern.startswith("*", end):
        end += 1
    begins = before in ("", "/", "(?:", "|")
    if end - position >= 2 and begins:
        if pattern.startswith("/", end):
            return "(?:[^/]+/)*", end + 1
        if end == len(pattern) or pattern[end] in ",}":
            return ".*", end
    return "[^/]*", end


def _class(pattern: str, position: int) -> tuple[str, int]:
    negated = pattern[position : position + 1] in ("^", "!")
    position += negated
    parts: list[str] = []
    while parts == [] or not pattern.startswith("]", position):
        low, position = _class_char(pattern, position)
        high = low
        if pattern.startswith("-", position) and pattern[position + 1 : position + 2] not in ("]", ""):
            high, position = _class_char(pattern, position + 1)
        if high < low:
            raise PatternError("syntax error in pattern")
        parts.append(f"{re.escape(low)}-{re.escape(high)}")
    return f"(?!/)[{'^' if negated else ''}{''.join(parts)}]", position + 1


def _class_char(pattern: str, position: int) -> tuple[str, int]:
    if pattern.startswith("\\", position):
        position += 1
    if position >= len(pattern):
        raise PatternError("syntax error in pattern")
    return pattern[position], position + 1
