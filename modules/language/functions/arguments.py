"""Helpers for reading arguments."""

from __future__ import annotations

from decimal import Decimal

from hythe.modules.language import equality
from hythe.modules.language.functions.registry import FunctionError
from hythe.value import Value, unmark_deep


def whole(value: int | Decimal, index: int) -> int:
    """The argument as an integer. Raises FunctionError when it has a fraction, or more than 64 bits."""
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
        return value
    raise FunctionError(f"a whole number between {-(1 << 63)} and {(1 << 63) - 1} is required", index)


def same(a: Value, b: Value) -> bool | None:
    """Whether two values are equal, marks aside; None when that is not known yet."""
    kind = type(a)
    if kind is type(b) and kind in equality.ATOMS:
        return bool(a == b)
    return equality.equals(unmark_deep(a)[0], unmark_deep(b)[0])
