"""Regular expressions."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import regex  # type: ignore[import-untyped]

from hythe.modules.language.functions import text
from hythe.modules.language.functions.regexp_syntax import SyntaxProblem, translate
from hythe.modules.language.functions.registry import FunctionError, Param, function
from hythe.value import ANY, STRING, List, Null, Type, Value, list_of, object_of, tuple_of

# the package has no types
Pattern: TypeAlias = Any
Match: TypeAlias = Any

TIME_LIMIT = 5.0
"""Seconds that one call may search: RE2 is linear, the engine underneath is not always."""

_TEMPLATE = re.compile(r"\$(?:\$|([0-9A-Za-z_]+)|\{([0-9A-Za-z_]+)\})")


@lru_cache(maxsize=512)
def compiled(pattern: str) -> Pattern:
    """The compiled pattern. Raises FunctionError."""
    try:
        return regex.compile(translate(pattern))
    except SyntaxProblem as exc:
        raise FunctionError(f"invalid regexp pattern {{}}: {exc}", 0, shown=(pattern,)) from None
    except (regex.error, RecursionError, OverflowError):
        raise FunctionError("invalid regexp pattern {}", 0, shown=(pattern,)) from None


def _search(pattern: Pattern, value: str, start: int, deadline: float) -> Match | None:
    try:
        return pattern.search(value, start, timeout=max(0.001, deadline - time.monotonic()))
    except TimeoutError:
        raise FunctionError(f"the pattern took more than {TIME_LIMIT:g} seconds; make it simpler", 0) from None


def _matches(pattern: Pattern, value: str) -> Iterator[Match]:
    """All matches that do not overlap; an empty one right after another match does not count."""
    deadline = time.monotonic() + TIME_LIMIT
    position, previous_end = 0, -1
    while position <= len(value):
        found = _search(pattern, value, position, deadline)
        if found is None:
            return
        if found.end() > position or found.start() != previous_end:
            yield found
        previous_end = found.end()
        position = found.end() if found.end() > position else position + 1


def replace_all(pattern: str, value: str, template: str) -> str:
    """``value`` with all matches replaced by ``template``, in which ``$1`` and ``${name}`` are groups."""
    expression = compiled(pattern)
    deadline = time.monotonic() + TIME_LIMIT
    parts: list[str] = []
    size = position = last_end = 0
    while position <= len(value):
        found = _search(expression, value, position, deadline)
        if found is None:
            break
        parts.append(value[last_end : found.start()])
        if found.end() > last_end or found.start() == 0:
            parts.append(_TEMPLATE.sub(_expander(found), template))
            size += len(parts[-1])
            text.check_length(size)
        last_end = found.end()
        position = max(position + 1, found.end())
    parts.append(value[last_end:])
    return "".join(parts)


def _expander(found: Match) -> Callable[[re.Match[str]], str]:
    def expand(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        if name is None:
            return "$"
        if name.isdigit():
            number = int(name) if len(name) < 5 else -1
            return (found[number] or "") if 0 <= number <= found.re.groups else ""
        name = f"g_{name}"
        return (found[name] or "") if name in found.re.groupindex else ""

    return expand


def _result_type(pattern: Value) -> Type:
    if not isinstance(pattern, str):
        return ANY
    expression = compiled(pattern)
    if not expression.groups:
        return STRING
    if not expression.groupindex:
        return tuple_of([STRING] * expression.groups)
    if len(expression.groupindex) != expression.groups:
        raise FunctionError("cannot mix both named and unnamed capture groups", 0)
    return object_of({name[2:]: STRING for name in expression.groupindex})


def _captured(found: Match) -> Value:
    def group(name: str | int) -> Value:
        value = found[name]
        return Null(STRING) if value is None else text.normalized(value)

    if not found.re.groups:
        return group(0)
    if found.re.groupindex:
        return {name[2:]: group(name) for name in sorted(found.re.groupindex)}
    return tuple(group(index) for index in range(1, found.re.groups + 1))


def _one_type(args: Sequence[Value]) -> Type:
    return _result_type(args[0])


def _all_type(args: Sequence[Value]) -> Type:
    return list_of(_result_type(args[0]))


_PARAMS = [Param("pattern", STRING), Param("string", STRING)]


@function(
    "regex",
    _PARAMS,
    returns=_one_type,
    description="The first match: the text, or a list or map of its groups.",
    examples=['regex("[a-z]+", "53453453.345345aaabbbccc23454") == "aaabbbccc"'],
)
def regex_(pattern: str, value: str) -> Value:
    found = _search(compiled(pattern), value, 0, time.monotonic() + TIME_LIMIT)
    if found is None:
        raise FunctionError("pattern did not match any part of the given string", 0)
    return _captured(found)


@function(
    "regexall",
    _PARAMS,
    returns=_all_type,
    description="All matches, each as regex() gives it.",
    examples=['length(regexall("[a-z]+", "a1b2")) == 2'],
)
def regexall(pattern: str, value: str) -> Value:
    return List([_captured(found) for found in _matches(compiled(pattern), value)], _result_type(pattern))
