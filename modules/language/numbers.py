"""Numbers as text and back, exactly."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal, DecimalException

MAX_DIGITS = 4_200
"""Digits before or after the point that a number may have; beyond lies only a mistake or an attack."""

WIDE = Context(prec=2 * MAX_DIGITS + 10, rounding=ROUND_HALF_EVEN)
"""Wide enough that sums and products of ordinary numbers are exact."""

INEXACT = Context(prec=160, rounding=ROUND_HALF_EVEN)
"""For results that have no end, such as quotients and logarithms."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?")


def canonical(value: int | Decimal) -> int | Decimal:
    """``value`` in its one form: int where it is one, else a Decimal without trailing zeros.

    Raises OverflowError for what has more than :data:`MAX_DIGITS` digits, and for infinities.
    """
    if isinstance(value, int):
        # 10 bits are a little more than 3 digits
        if value.bit_length() > MAX_DIGITS * 10 // 3:
            raise OverflowError("the number has too many digits")
        return int(value)
    if not value.is_finite() or value.adjusted() > MAX_DIGITS:
        raise OverflowError("the number has too many digits")
    if value.adjusted() < -MAX_DIGITS:
        return 0
    if value == value.to_integral_value():
        return int(value)
    return WIDE.normalize(value)


def parse_number(text: str) -> int | Decimal:
    """The number that ``text`` spells in decimal notation, an exponent allowed.

    Raises ValueError when it spells none, OverflowError when it is too large to hold.
    """
    if _NUMBER.fullmatch(text) is None:
        raise ValueError("not a number")
    if len(text) < 4_000 and text.lstrip("+-").isdigit():
        return int(text)
    try:
        return canonical(WIDE.create_decimal(text))
    except DecimalException:
        raise OverflowError("the number has too many digits") from None


def number_to_string(value: int | Decimal) -> str:
    """The number in plain decimal notation, without exponent or superfluous zeros."""
    if isinstance(value, int):
        return str(int(value))
    value = canonical(value)
    return format(value, "f") if isinstance(value, Decimal) else str(value)
