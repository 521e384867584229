"""Functions that check what somebody assumes of a value, and give the value."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from hythe.modules.language import conversions, types
from hythe.modules.language.functions.arguments import same, whole
from hythe.modules.language.functions.registry import FunctionError, Param, conversion_failure, function
from hythe.value import (
    ANY,
    NUMBER,
    STRING,
    Set,
    Unknown,
    Value,
    is_known,
    is_null,
    list_of,
    map_of,
    set_of,
    unmark,
    unmark_deep,
)


def _anything(name: str) -> Param:
    return Param(name, ANY, allow_null=True, allow_unknown=True, allow_marked=True, dynamic=True)


_LIST, _SET, _MAP = (
    Param(kind.name, kind, allow_unknown=True, allow_marked=True) for kind in (list_of(ANY), set_of(ANY), map_of(ANY))
)
_MIN = Param("min", NUMBER, allow_unknown=True)
_MAX = Param("max", NUMBER, allow_unknown=True)
Bound = int | Decimal | Unknown


@function(
    "assumeequal",
    [_anything("actual"), _anything("expected")],
    description=(
        "The second value, which the first one, converted to its type, must be equal to. It is known even where the "
        "first is not, and sensitive or ephemeral only where it is so itself."
    ),
    examples=['assumeequal("web-1", "web-1") == "web-1"', 'assumeequal("5", 5) == 5'],
)
def assumeequal(actual: Value, expected: Value) -> Value:
    wanted = unmark_deep(expected)[0]
    try:
        converted = conversions.convert(unmark_deep(actual)[0], types.type_of(wanted))
    except conversions.ConversionError as exc:
        raise conversion_failure(exc, 0) from None
    if same(converted, wanted) is not False:
        return expected
    if isinstance(converted, str) and isinstance(wanted, str):
        raise FunctionError("{} was assumed to be equal to {}", 0, shown=(converted, wanted))
    raise FunctionError("it was assumed to be equal to the second argument", 0)


@function(
    "assumenotnull",
    [_anything("value")],
    description="The value as it is, which must not be null.",
    examples=['assumenotnull("web") == "web"', "can(assumenotnull(null)) == false"],
)
def assumenotnull(value: Value) -> Value:
    if is_null(unmark(value)[0]):
        raise FunctionError("argument must not be null", 0)
    return value


@function(
    "assumestringprefix",
    [Param("string", STRING, allow_unknown=True), Param("prefix", STRING, allow_unknown=True)],
    returns=STRING,
    description="The string, which must begin with the prefix.",
    examples=['assumestringprefix("web-1", "web-") == "web-1"'],
)
def assumestringprefix(string: str | Unknown, prefix: str | Unknown) -> Value:
    if isinstance(string, str) and isinstance(prefix, str) and not string.startswith(prefix):
        raise FunctionError("{} was assumed to begin with {}", 0, shown=(string, prefix))
    return string


@function(
    "assumelistlength",
    [_LIST, _MIN, _MAX],
    description="The list, which must have so many elements: no fewer than the first number, no more than the second.",
    examples=['assumelistlength(["a", "b"], 1, 2) == tolist(["a", "b"])'],
)
def assumelistlength(items: Value, low: Bound, high: Bound) -> Value:
    return _of_length(items, low, high)


@function(
    "assumelistlengthmin",
    [_LIST, _MIN],
    description="The list, which must have at least so many elements.",
    examples=['assumelistlengthmin(["a", "b"], 1) == tolist(["a", "b"])'],
)
def assumelistlengthmin(items: Value, low: Bound) -> Value:
    return _of_length(items, low=low)


@function(
    "assumelistlengthmax",
    [_LIST, _MAX],
    description="The list, which must have at most so many elements.",
    examples=['assumelistlengthmax(["a", "b"], 2) == tolist(["a", "b"])'],
)
def assumelistlengthmax(items: Value, high: Bound) -> Value:
    return _of_length(items, high=high)


@function(
    "assumesetlength",
    [_SET, _MIN, _MAX],
    description="The set, which must have so many elements: no fewer than the first number, no more than the second.",
    examples=['assumesetlength(["a", "a"], 1, 1) == toset(["a"])'],
)
def assumesetlength(items: Value, low: Bound, high: Bound) -> Value:
    return _of_length(items, low, high)


@function(
    "assumesetlengthmin",
    [_SET, _MIN],
    description="The set, which must have at least so many elements.",
    examples=['assumesetlengthmin(["a", "b"], 2) == toset(["a", "b"])'],
)
def assumesetlengthmin(items: Value, low: Bound) -> Value:
    return _of_length(items, low=low)


@function(
    "assumesetlengthmax",
    [_SET, _MAX],
    description="The set, which must have at most so many elements.",
    examples=['assumesetlengthmax(["a", "a"], 1) == toset(["a"])'],
)
def assumesetlengthmax(items: Value, high: Bound) -> Value:
    return _of_length(items, high=high)


@function(
    "assumemaplength",
    [_MAP, _MIN, _MAX],
    description="The map, which must have so many elements: no fewer than the first number, no more than the second.",
    examples=["assumemaplength({ a = 1, b = 2 }, 1, 2) == tomap({ a = 1, b = 2 })"],
)
def assumemaplength(items: Value, low: Bound, high: Bound) -> Value:
    return _of_length(items, low, high)


@function(
    "assumemaplengthmin",
    [_MAP, _MIN],
    description="The map, which must have at least so many elements.",
    examples=["assumemaplengthmin({ a = 1 }, 1) == tomap({ a = 1 })"],
)
def assumemaplengthmin(items: Value, low: Bound) -> Value:
    return _of_length(items, low=low)


@function(
    "assumemaplengthmax",
    [_MAP, _MAX],
    description="The map, which must have at most so many elements.",
    examples=["assumemaplengthmax({}, 1) == tomap({})"],
)
def assumemaplengthmax(items: Value, high: Bound) -> Value:
    return _of_length(items, high=high)


def _of_length(items: Value, low: Bound | None = None, high: Bound | None = None) -> Value:
    """``items`` as they are. Raises FunctionError where as many are certainly not within the bounds."""
    least = _whole(low, 1)
    most = _whole(high, 1 if low is None else 2)
    if least is not None and most is not None and least > most:
        raise FunctionError("no length is at least {} and at most {}", 2, shown=(least, most))
    plain = unmark(items)[0]
    if type(plain) is Unknown:
        return items
    fewest, count = _fewest(plain), len(plain)
    if least is not None and count < least:
        raise FunctionError("its length was assumed to be at least {}, and is {}", 0, shown=(least, count))
    if most is not None and fewest > most:
        raise FunctionError("its length was assumed to be at most {}, and is {}", 0, shown=(most, fewest))
    return items


def _whole(bound: Bound | None, index: int) -> int | None:
    return None if bound is None or isinstance(bound, Unknown) else whole(bound, index)


def _fewest(plain: Sequence[Value]) -> int:
    """How many elements there are for certain: those of a set that are not known yet may be the same as others."""
    if not isinstance(plain, Set) or is_known(plain):
        return len(plain)
    return max(1, sum(map(is_known, plain)))
