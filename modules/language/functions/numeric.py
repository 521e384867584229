"""Functions on numbers."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, DecimalException

from hythe.modules.language import conversions, types
from hythe.modules.language.functions.arguments import whole
from hythe.modules.language.functions.registry import FunctionError, Param, function
from hythe.modules.language.numbers import INEXACT, MAX_DIGITS, WIDE, canonical
from hythe.value import ANY, NUMBER, Unknown, Value, is_known, is_null

Number = int | Decimal

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@function(
    "abs",
    [Param("num", NUMBER)],
    returns=NUMBER,
    description="The number without its sign.",
    examples=["abs(-12.4) == 12.4"],
)
def abs_(num: Number) -> Value:
    return num.copy_abs() if isinstance(num, Decimal) else abs(num)


@function(
    "ceil",
    [Param("num", NUMBER)],
    returns=NUMBER,
    description="The closest whole number that is not less.",
    examples=["ceil(5.1) == 6"],
)
def ceil(num: Number) -> Value:
    return int(Decimal(num).to_integral_value(ROUND_CEILING)) if isinstance(num, Decimal) else num


@function(
    "floor",
    [Param("num", NUMBER)],
    returns=NUMBER,
    description="The closest whole number that is not greater.",
    examples=["floor(4.9) == 4"],
)
def floor(num: Number) -> Value:
    return int(num.to_integral_value(ROUND_FLOOR)) if isinstance(num, Decimal) else num


@function(
    "log",
    [Param("num", NUMBER), Param("base", NUMBER)],
    returns=NUMBER,
    description="The logarithm of the number to the base.",
    examples=["log(16, 2) == 4"],
)
def log(num: Number, base: Number) -> Value:
    if num <= 0:
        raise FunctionError("the logarithm is defined for numbers above zero only", 0)
    if base <= 0 or base == 1:
        raise FunctionError("the base of a logarithm must be above zero and not 1", 1)
    exact = INEXACT.divide(INEXACT.ln(Decimal(num)), INEXACT.ln(Decimal(base)))
    nearest = exact.to_integral_value()
    if abs(exact - nearest) < Decimal("1e-120"):
        return int(nearest)
    # what has no end anyway is given to the precision that users know from elsewhere
    return _from_float(float(exact))


@function(
    "max",
    [],
    variadic=Param("numbers", NUMBER),
    returns=NUMBER,
    description="The greatest of the numbers.",
    examples=["max(12, 54, 3) == 54"],
)
def max_(*numbers: Number) -> Value:
    if not numbers:
        raise FunctionError("must pass at least one number")
    return max(numbers)


@function(
    "min",
    [],
    variadic=Param("numbers", NUMBER),
    returns=NUMBER,
    description="The smallest of the numbers.",
    examples=["min(12, 54, 3) == 3"],
)
def min_(*numbers: Number) -> Value:
    if not numbers:
        raise FunctionError("must pass at least one number")
    return min(numbers)


@function(
    "parseint",
    [Param("number", ANY), Param("base", NUMBER)],
    returns=NUMBER,
    description="The whole number that the string spells in a base from 2 to 62.",
    examples=['parseint("FF", 16) == 255'],
)
def parseint(number: Value, base: Number) -> Value:
    if not isinstance(number, str):
        raise FunctionError(f"first argument must be a string, not {types.describe(types.type_of(number))}", 0)
    radix = whole(base, 1)
    if not 2 <= radix <= 62:
        raise FunctionError("base must be a whole number between 2 and 62 inclusive", 1)
    digits = number[1:] if number[:1] in ("+", "-") else number
    if len(digits) > MAX_DIGITS:
        raise FunctionError("the number has too many digits", 0)
    if radix <= 36:
        digits = digits.lower()
    result = 0
    for digit in digits:
        worth = _DIGITS.find(digit)
        if not 0 <= worth < radix:
            raise FunctionError(f"cannot parse {{}} as a base {radix} integer", 0, shown=(number,))
        result = result * radix + worth
    if not digits:
        raise FunctionError(f"cannot parse {{}} as a base {radix} integer", 0, shown=(number,))
    return _bounded(-result if number.startswith("-") else result)


@function(
    "pow",
    [Param("num", NUMBER), Param("power", NUMBER)],
    returns=NUMBER,
    description="The number raised to the power.",
    examples=["pow(3, 2) == 9"],
)
def pow_(num: Number, power: Number) -> Value:
    if not num and power < 0:
        raise FunctionError("zero cannot be raised to a negative power", 1)
    if not isinstance(power, int):
        return _fractional_power(num, power)
    if num in (0, 1) or not power:
        return 1 if num or not power else 0
    if num == -1:
        return 1 if power % 2 == 0 else -1
    # the magnitude of the result, in decimal digits, decides before anything is computed
    if abs(power) > 10**6 or abs(Decimal(num).adjusted() * power) > 2 * MAX_DIGITS:
        raise FunctionError("the result has too many digits", 1)
    if power < 0:
        return _bounded(INEXACT.divide(Decimal(1), Decimal(pow_(num, -power))))
    if isinstance(num, int):
        if (num.bit_length() - 1) * power > MAX_DIGITS * 10 // 3:
            raise FunctionError("the result has too many digits", 1)
        return _bounded(num**power)
    exact = power * len(num.as_tuple().digits) < MAX_DIGITS
    return _bounded((WIDE if exact else INEXACT).power(num, power))


def _fractional_power(num: Number, power: Decimal) -> Value:
    if num < 0:
        raise FunctionError("a negative number has no power with a fraction", 1)
    if not num:
        return 0
    try:
        exact = INEXACT.power(Decimal(num), power)
    except DecimalException:
        raise FunctionError("the result has too many digits", 1) from None
    nearest = exact.to_integral_value() if exact.adjusted() < 100 else exact
    if abs(exact - nearest) < Decimal("1e-50"):
        return _bounded(nearest)
    return _from_float(float(exact)) if abs(exact.adjusted()) < 300 else _bounded(exact)


@function(
    "signum",
    [Param("num", NUMBER)],
    returns=NUMBER,
    description="-1, 0 or 1: the sign of the number.",
    examples=["signum(-13) == -1"],
)
def signum(num: Number) -> Value:
    num = whole(num, 0)
    return (num > 0) - (num < 0)


@function(
    "sum",
    [Param("list", ANY)],
    returns=NUMBER,
    description="The sum of a list, set or tuple of numbers.",
    examples=["sum([10, 13, 6]) == 29"],
)
def sum_(numbers: Value) -> Value:
    refusal = FunctionError("argument must be list, set, or tuple of number values", 0)
    if isinstance(numbers, dict) or not isinstance(numbers, (list, tuple)):
        raise refusal
    if not numbers:
        raise FunctionError("cannot sum an empty list", 0)
    total = Decimal(0)
    if not is_known(numbers):
        return Unknown(NUMBER)
    for item in numbers:
        try:
            summand = conversions.convert(item, NUMBER)
        except conversions.ConversionError:
            raise refusal from None
        if is_null(summand):
            raise FunctionError("argument must be list, set, or tuple of number values, without nulls", 0)
        total = WIDE.add(total, Decimal(summand))
    return _bounded(total)


def _from_float(value: float) -> Number:
    return _bounded(Decimal(repr(value))) if math.isfinite(value) else _bounded(Decimal(value))


def _bounded(value: Number) -> Number:
    try:
        return canonical(value)
    except OverflowError:
        raise FunctionError("the result has too many digits") from None
