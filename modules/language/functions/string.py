"""Functions on strings."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from hythe.modules.language.functions import text
from hythe.modules.language.functions.arguments import whole
from hythe.modules.language.functions.registry import FunctionError, Param, function
from hythe.value import BOOL, NUMBER, STRING, List, Unknown, Value, is_known, is_null, list_of

_STR = Param("str", STRING)

_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


@function(
    "chomp",
    [_STR],
    returns=STRING,
    description="Removes newlines at the end.",
    examples=['chomp("a\\n") == "a"'],
)
def chomp(value: str) -> Value:
    return value.rstrip("\r\n")


@function(
    "startswith",
    [Param("str", STRING, allow_unknown=True), Param("prefix", STRING)],
    returns=BOOL,
    description="Tells whether the string begins with the prefix.",
    examples=['startswith("hello", "he") == true'],
)
def startswith(value: str | Unknown, prefix: str) -> Value:
    if isinstance(value, Unknown):
        return True if not prefix else Unknown(BOOL)
    return value.startswith(prefix)


@function(
    "endswith",
    [_STR, Param("suffix", STRING)],
    returns=BOOL,
    description="Tells whether the string ends with the suffix.",
    examples=['endswith("hello", "lo") == true'],
)
def endswith(value: str, suffix: str) -> Value:
    return value.endswith(suffix)


@function(
    "strcontains",
    [_STR, Param("substr", STRING)],
    returns=BOOL,
    description="Tells whether the second string occurs in the first.",
    examples=['strcontains("hello", "ell") == true'],
)
def strcontains(value: str, part: str) -> Value:
    return part in value


@function(
    "indent",
    [Param("spaces", NUMBER), _STR],
    returns=STRING,
    description="Puts spaces at the beginning of each line but the first.",
    examples=['indent(2, "a\\nb") == "a\\n  b"'],
)
def indent(spaces: int | Decimal, value: str) -> Value:
    width = whole(spaces, 0)
    if width < 0:
        raise FunctionError("the number of spaces must not be negative", 0)
    text.check_length(len(value) + width * value.count("\n"))
    return value.replace("\n", "\n" + " " * width) if "\n" in value else value


_STRINGS_ONLY = frozenset({str})


@function(
    "join",
    [Param("separator", STRING)],
    variadic=Param("lists", list_of(STRING)),
    returns=STRING,
    description="All strings of the lists, with the separator between them.",
    examples=['join(", ", ["a", "b"]) == "a, b"'],
)
def join(separator: str, *lists: List) -> Value:
    if not lists:
        raise FunctionError("at least one list is required")
    parts = [item for items in lists for item in items] if len(lists) > 1 else lists[0]
    if not _STRINGS_ONLY.issuperset(map(type, parts)):
        if not all(map(is_known, lists)):
            return Unknown(STRING)
        for number, items in enumerate(lists, start=1):
            for index, item in enumerate(items):
                if is_null(item):
                    which = f"element {index} of list {number}" if len(lists) > 1 else f"element {index}"
                    raise FunctionError(f"{which} is null; cannot concatenate null values", number)
    text.check_length(sum(map(len, parts)) + len(separator) * len(parts))
    return text.normalized(separator.join(parts))


def _mapped(convert: Callable[[str], str], other: Callable[[str], str], value: str) -> str:
    """Each character by itself: one that would become several stays one."""
    return "".join(
        next((mapped for mapped in (convert(char), other(char)) if len(mapped) == 1), char) for char in value
    )


@function("lower", [_STR], returns=STRING, description="Letters in lower case.", examples=['lower("ABC") == "abc"'])
def lower(value: str) -> Value:
    if value.isascii():
        return value.lower()
    return text.normalized(_mapped(str.lower, str.lower, value.replace("\u0130", "i")))


@function("upper", [_STR], returns=STRING, description="Letters in upper case.", examples=['upper("abc") == "ABC"'])
def upper(value: str) -> Value:
    return value.upper() if value.isascii() else text.normalized(_mapped(str.upper, str.title, value))


@function(
    "title",
    [_STR],
    returns=STRING,
    description="The first letter of each word in upper case.",
    examples=['title("hello world") == "Hello World"'],
)
def title(value: str) -> Value:
    result = []
    previous = " "
    for char in value:
        result.append(_mapped(str.title, str.upper, char) if _separates(previous) else char)
        previous = char
    return text.normalized("".join(result))


def _separates(char: str) -> bool:
    if char.isascii():
        return not (char.isalnum() or char == "_")
    return char in _SPACE


@function(
    "replace",
    [_STR, Param("substr", STRING), Param("replace", STRING)],
    returns=STRING,
    description="Replaces every occurrence; a second argument between slashes is a regular expression.",
    examples=['replace("1 + 2", "+", "-") == "1 - 2"', 'replace("hello", "/l+/", "L") == "heLo"'],
)
def replace(value: str, part: str, replacement: str) -> Value:
    if len(part) > 1 and part.startswith("/") and part.endswith("/"):
        from hythe.modules.language.functions import regexp

        return text.normalized(regexp.replace_all(part[1:-1], value, replacement))
    text.check_length(len(value) + value.count(part) * len(replacement))
    return text.normalized(value.replace(part, replacement))


@function(
    "split",
    [Param("separator", STRING), _STR],
    returns=list_of(STRING),
    description="The parts of the string between the separators.",
    examples=['split(",", "a,b") == tolist(["a", "b"])'],
)
def split(separator: str, value: str) -> Value:
    return List(value.split(separator) if separator else list(value), STRING)


@function(
    "strrev",
    [_STR],
    returns=STRING,
    description="The characters in reverse.",
    examples=['strrev("abc") == "cba"'],
)
def strrev(value: str) -> Value:
    return text.normalized("".join(reversed(text.graphemes(value))))


@function(
    "substr",
    [_STR, Param("offset", NUMBER), Param("length", NUMBER)],
    returns=STRING,
    description="Part of the string; a negative offset counts from the end, a negative length takes all.",
    examples=['substr("hello", 1, 3) == "ell"'],
)
def substr(value: str, offset: int | Decimal, length: int | Decimal) -> Value:
    start, count = whole(offset, 1), whole(length, 2)
    clusters = text.graphemes(value)
    if start < 0:
        start = max(0, start + len(clusters))
    return text.normalized("".join(clusters[start:] if count < 0 else clusters[start : start + count]))


@function(
    "trim",
    [_STR, Param("cutset", STRING)],
    returns=STRING,
    description="Removes the given characters from both ends.",
    examples=['trim("?!hello?!", "!?") == "hello"'],
)
def trim(value: str, cutset: str) -> Value:
    return value.strip(cutset) if cutset else value


@function(
    "trimprefix",
    [_STR, Param("prefix", STRING)],
    returns=STRING,
    description="Removes the prefix where there is one.",
    examples=['trimprefix("helloworld", "hello") == "world"'],
)
def trimprefix(value: str, prefix: str) -> Value:
    return value.removeprefix(prefix)


@function(
    "trimsuffix",
    [_STR, Param("suffix", STRING)],
    returns=STRING,
    description="Removes the suffix where there is one.",
    examples=['trimsuffix("helloworld", "world") == "hello"'],
)
def trimsuffix(value: str, suffix: str) -> Value:
    return value.removesuffix(suffix)


@function(
    "trimspace",
    [_STR],
    returns=STRING,
    description="Removes white space from both ends.",
    examples=['trimspace("  a ") == "a"'],
)
def trimspace(value: str) -> Value:
    return value.strip(_SPACE)
