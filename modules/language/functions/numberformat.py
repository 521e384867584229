"""Numbers in the styles of the format verbs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import MAX_PREC, ROUND_HALF_EVEN, Context, Decimal

from hythe.modules.language.numbers import MAX_DIGITS

_BASES = {"b": "b", "d": "d", "o": "o", "x": "x", "X": "X"}
_PREFIXES = {"b": "0b", "o": "0", "x": "0x", "X": "0X", "d": ""}


@dataclass(frozen=True)
class NumberFormat:
    """A verb's ``mode`` (its letter), flags, width in characters, and precision where one was given."""

    mode: str
    flags: str
    width: int
    precision: int | None


def format_integer(value: int, style: NumberFormat) -> str:
    """``value`` for the verbs b, d, o, x and X; a precision is the least number of digits."""
    digits = format(abs(value), _BASES[style.mode])
    if style.precision is not None:
        digits = "" if not style.precision and not value else digits.rjust(style.precision, "0")
    prefix = _PREFIXES[style.mode] if "#" in style.flags else ""
    # a precision settles the zeros, so that the flag for them has nothing left to say
    return _with_sign(value < 0, prefix, digits, style, zeros=style.precision is None)


def format_real(value: int | Decimal, style: NumberFormat) -> str:
    """``value`` for the verbs e, E, f, g and G."""
    number = Decimal(value)
    magnitude = number.copy_abs()
    if magnitude and (style.precision is not None or style.mode in "feE"):
        magnitude = _as_held(magnitude)
    if style.mode == "f":
        digits = _fixed(magnitude, 6 if style.precision is None else style.precision)
    elif style.mode in "eE":
        digits = _scientific(magnitude, 6 if style.precision is None else style.precision)
    else:
        digits = _general(magnitude, style.precision)
    return _with_sign(number < 0, "", digits.upper() if style.mode.isupper() else digits, style, zeros=True)


def format_shortest(value: int | Decimal) -> str:
    """``value`` with as few characters as tell it from others: 1.5, 1e+06."""
    number = Decimal(value)
    return ("-" if number < 0 else "") + _general(number.copy_abs(), None)


def _with_sign(negative: bool, prefix: str, digits: str, style: NumberFormat, zeros: bool) -> str:
    sign = "-" if negative else "+" if "+" in style.flags else " " if " " in style.flags else ""
    missing = style.width - len(sign) - len(prefix) - len(digits)
    if missing <= 0:
        return sign + prefix + digits
    if "-" in style.flags:
        return sign + prefix + digits + " " * missing
    if "0" in style.flags and zeros:
        return sign + prefix + "0" * missing + digits
    return " " * missing + sign + prefix + digits


def _as_held(number: Decimal) -> Decimal:
    """The number in 512 binary digits, as the field holds it: this decides which way 2.0005 is rounded."""
    if number == number.to_integral_value():
        return number
    from fractions import Fraction

    exact = Fraction(number)
    shift = 512 - exact.numerator.bit_length() + exact.denominator.bit_length()
    whole = round(exact * Fraction(2) ** shift)
    if whole.bit_length() > 512:  # one digit too many
        shift -= 1
        whole = round(exact * Fraction(2) ** shift)
    return Decimal(whole * 5**shift).scaleb(-shift, Context(prec=MAX_PREC)) if shift > 0 else Decimal(whole << -shift)


def _context(digits: int) -> Context:
    return Context(prec=max(1, digits), rounding=ROUND_HALF_EVEN)


def _fixed(number: Decimal, places: int) -> str:
    context = _context(places + 2 * MAX_DIGITS)
    return format(number.quantize(Decimal(1).scaleb(-places, context), context=context), "f")


def _scientific(number: Decimal, places: int) -> str:
    rounded = _context(places + 1).plus(number)
    exponent = rounded.adjusted() if rounded else 0
    digits = "".join(map(str, rounded.as_tuple().digits)).ljust(places + 1, "0") if rounded else "0" * (places + 1)
    mantissa = digits[0] + ("." + digits[1:] if places else "")
    return f"{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _general(number: Decimal, precision: int | None) -> str:
    if precision is not None:
        precision = precision or 1
        number = _context(precision).plus(number)
    significant = "".join(map(str, number.as_tuple().digits)).rstrip("0") or "0"
    exponent = number.adjusted() if number else 0
    threshold = 6 if precision is None else precision
    if precision is not None and precision > len(significant) >= exponent + 1:
        threshold = len(significant)
    if exponent < -4 or exponent >= threshold:
        return _scientific(number, len(significant) - 1)
    return _fixed(number, max(0, len(significant) - exponent - 1))
