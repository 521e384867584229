"""JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal

from hythe.modules.language.functions.registry import FunctionError, Param, function
from hythe.modules.language.functions.text import normalized
from hythe.modules.language.numbers import number_to_string, parse_number
from hythe.value import ANY, STRING, Reference, Unknown, Value, is_known, is_null

_SURROGATES = re.compile("[\ud800-\udfff]")
_ESCAPED = re.compile('[\x00-\x1f"\\\\<>&\u2028\u2029]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


def encode(value: Value) -> str:
    """A known value without marks as JSON, on one line. Raises FunctionError for what has no JSON."""
    return "".join(_pieces(value))


def _pieces(value: Value) -> Iterator[str]:
    if is_null(value):
        yield "null"
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif isinstance(value, (int, Decimal)):
        yield number_to_string(value)
    elif isinstance(value, str):
        yield quote(value)
    elif isinstance(value, dict):
        yield "{"
        for index, key in enumerate(sorted(value)):
            yield f"{',' if index else ''}{quote(key)}:"
            yield from _pieces(value[key])
        yield "}"
    elif isinstance(value, (list, tuple)):
        yield "["
        for index, item in enumerate(value):
            if index:
                yield ","
            yield from _pieces(item)
        yield "]"
    else:
        what = "a reference" if isinstance(value, Reference) else "this value"
        raise FunctionError(f"{what} cannot be represented as JSON")


def quote(value: str) -> str:
    """The string as JSON that may stand in HTML too."""
    return '"' + _ESCAPED.sub(_escape, value) + '"'


def _escape(found: re.Match[str]) -> str:
    char = found[0]
    return _SHORT.get(char) or f"\\u{ord(char):04x}"


@function(
    "jsonencode",
    [Param("val", ANY, allow_null=True, allow_unknown=True, dynamic=True)],
    returns=STRING,
    description="The value as JSON.",
    examples=['jsonencode({ hello = "world" }) == "{\\"hello\\":\\"world\\"}"'],
)
def jsonencode(value: Value) -> Value:
    return encode(value) if is_known(value) else Unknown(STRING)


@function(
    "jsondecode",
    [Param("str", STRING)],
    returns=ANY,
    description="The value that the JSON text stands for.",
    examples=['jsondecode("[1, true]")[0] == 1'],
)
def jsondecode(value: str) -> Value:
    try:
        decoded = json.loads(value, parse_int=parse_number, parse_float=parse_number, parse_constant=_no_constant)
    except json.JSONDecodeError as exc:
        raise FunctionError(f"the string is no JSON: {exc.msg} at line {exc.lineno}, column {exc.colno}", 0) from None
    except (ValueError, OverflowError) as exc:
        raise FunctionError(f"the string is no JSON: {exc}", 0) from None
    return _from_python(decoded)


def _no_constant(name: str) -> Value:
    raise ValueError(f"{name} is no JSON value")


def _from_python(value: Value) -> Value:
    if isinstance(value, str):
        return normalized(_SURROGATES.sub("\ufffd", value))
    if isinstance(value, list):
        return tuple(map(_from_python, value))
    if isinstance(value, dict):
        return {_from_python(key): _from_python(item) for key, item in value.items()}
    return value
