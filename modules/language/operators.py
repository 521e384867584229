"""Operators: arithmetic, comparison, equality and logic."""

from __future__ import annotations

import operator
from collections.abc import Callable
from decimal import Decimal, DecimalException, InvalidOperation
from typing import Any

from hythe.modules.language import conversions, types
from hythe.modules.language.closure import Code, Compiler, Run
from hythe.modules.language.equality import ATOMS, equals
from hythe.modules.language.numbers import INEXACT, WIDE, canonical
from hythe.modules.language.scope import Scope
from hythe.modules.syntax import tree
from hythe.value import BOOL, NUMBER, Type, Unknown, Value, is_null, mark, unmark, unmark_deep

_NO_MARKS: frozenset[str] = frozenset()

Number = int | Decimal


class OperationError(Exception):
    """The operands have no result; the message says why, in the tone of a sentence's end."""


def _add(a: Number, b: Number) -> Number:
    return a + b if isinstance(a, int) and isinstance(b, int) else WIDE.add(Decimal(a), Decimal(b))


def _subtract(a: Number, b: Number) -> Number:
    return a - b if isinstance(a, int) and isinstance(b, int) else WIDE.subtract(Decimal(a), Decimal(b))


def _multiply(a: Number, b: Number) -> Number:
    return a * b if isinstance(a, int) and isinstance(b, int) else WIDE.multiply(Decimal(a), Decimal(b))


def _divide(a: Number, b: Number) -> Number:
    if not b:
        raise OperationError("division by zero")
    if isinstance(a, int) and isinstance(b, int) and a % b == 0:
        return a // b
    return INEXACT.divide(Decimal(a), Decimal(b))


def _modulo(a: Number, b: Number) -> Number:
    """The remainder of the division truncated towards zero; of a division by zero, ``a`` itself."""
    if not b:
        return a
    if isinstance(a, int) and isinstance(b, int):
        rest = abs(a) % abs(b)
        return -rest if a < 0 else rest
    try:
        return WIDE.remainder(Decimal(a), Decimal(b))
    except InvalidOperation:
        raise OperationError("the operands are too far apart in size") from None


_ARITHMETIC: dict[str, Callable[[Number, Number], Number]] = {
    "+": _add,
    "-": _subtract,
    "*": _multiply,
    "/": _divide,
    "%": _modulo,
}
_NUMBERS = frozenset({int, Decimal})
_SMALL = 1 << 64
_EXACT: dict[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
"""What integers of ordinary size can have done to them without any care."""
_COMPARISON: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compile_binary(node: tree.Binary, compiler: Compiler) -> Code:
    """Any operator with two operands.

    Long chains (``a + b + c ...``) nest on the left; they are compiled without nesting as deep.
    """
    chain = [node]
    while isinstance(chain[-1].left, tree.Binary):
        chain.append(chain[-1].left)
    left = compiler.compile(chain[-1].left)
    for link in reversed(chain):
        left = compiler.fold(_compile_link(link, left, compiler))
    return left


def _compile_link(node: tree.Binary, left: Code, compiler: Compiler) -> Code:
    right = compiler.compile(node.right)
    pure = left.pure and right.pure
    if node.op in ("&&", "||"):
        return Code(_logic(node, left.strict(), right.strict(), compiler.source), pure=pure)
    if node.op in ("==", "!="):
        return Code(_equality(node, left.strict(), right.strict()), pure=pure)
    if node.op in _COMPARISON:
        return Code(_comparison(node, left.strict(), right.strict(), compiler.source), pure=pure)
    return Code(_arithmetic(node, left.strict(), right.strict(), compiler.source), pure=pure)


def _operand(value: Value, kind: Type, side: str, scope: Scope, source: tree.Source, node: tree.Node) -> Value:
    """The operand converted and checked for null; None, with a diagnostic, when unsuitable."""
    try:
        converted = conversions.convert(value, kind)
    except conversions.ConversionError as exc:
        scope.report(source, node, "Invalid operand", f"Unsuitable value for {side} operand: {exc.message}.")
        return None
    if is_null(converted):
        scope.report(
            source,
            node,
            "Invalid operand",
            f"Unsuitable value for {side} operand: the value is null, and operators need one that is not.",
        )
        return None
    return converted


def _operands(
    node: tree.Binary, a: Value, b: Value, scope: Scope, source: tree.Source
) -> tuple[Value, Value, frozenset[str]] | None:
    """Both operands as plain numbers (or Unknown) with their marks; None when one is unsuitable."""
    a, marks = unmark(a)
    b, more = unmark(b)
    first = _operand(a, NUMBER, "left", scope, source, node.left)
    second = _operand(b, NUMBER, "right", scope, source, node.right)
    return None if first is None or second is None else (first, second, marks | more)


def _arithmetic(node: tree.Binary, left: Run, right: Run, source: tree.Source) -> Run:
    compute = _ARITHMETIC[node.op]
    exact = _EXACT.get(node.op)

    def run(scope: Scope) -> Value:
        a, b, marks = left(scope), right(scope), _NO_MARKS
        if type(a) is int and type(b) is int:
            if exact is not None and -_SMALL < a < _SMALL and -_SMALL < b < _SMALL:
                return exact(a, b)
        elif type(a) not in _NUMBERS or type(b) not in _NUMBERS:
            operands = _operands(node, a, b, scope, source)
            if operands is None:
                return Unknown(NUMBER)
            a, b, marks = operands
            if type(a) is Unknown or type(b) is Unknown:
                return mark(Unknown(NUMBER), marks)
        try:
            return mark(canonical(compute(a, b)), marks)
        except OperationError as exc:
            scope.report(source, node, "Operation failed", f"Error during operation: {exc}.")
        except (DecimalException, OverflowError):
            scope.report(source, node, "Operation failed", "Error during operation: the result is too large.")
        return Unknown(NUMBER)

    return run


def _comparison(node: tree.Binary, left: Run, right: Run, source: tree.Source) -> Run:
    compare = _COMPARISON[node.op]

    def run(scope: Scope) -> Value:
        a, b = left(scope), right(scope)
        if type(a) in _NUMBERS and type(b) in _NUMBERS:
            return compare(a, b)
        operands = _operands(node, a, b, scope, source)
        if operands is None:
            return Unknown(BOOL)
        a, b, marks = operands
        if type(a) is Unknown or type(b) is Unknown:
            return mark(Unknown(BOOL), marks)
        return mark(compare(a, b), marks)

    return run


def _equality(node: tree.Binary, left: Run, right: Run) -> Run:
    negate = node.op == "!="

    def run(scope: Scope) -> Value:
        a, b = left(scope), right(scope)
        kind = type(a)
        if kind is type(b) and kind in ATOMS:
            return (a == b) is not negate
        if is_null(unmark(a)[0]) is not is_null(unmark(b)[0]):
            # what is inside a value does not matter for whether it is null, so its marks do not either
            a, marks = unmark(a)
            b, more = unmark(b)
        else:
            a, marks = _unmark_all(a)
            b, more = _unmark_all(b)
        same = equals(a, b)
        return mark(Unknown(BOOL) if same is None else same is not negate, marks | more)

    return run


def _unmark_all(value: Value) -> tuple[Value, frozenset[str]]:
    plain, marks = unmark_deep(value)
    # without marks the value itself is kept: it may be an Instance, which compares by identity
    return (plain, marks) if marks else (value, marks)


def _logic(node: tree.Binary, left: Run, right: Run, source: tree.Source) -> Run:
    """``&&`` and ``||``: a side that settles the result makes the other side's errors irrelevant."""
    settling = node.op == "||"

    def run(scope: Scope) -> Value:
        diagnostics = scope.diagnostics
        start = len(diagnostics)
        a, marks = unmark(left(scope))
        left_failed = len(diagnostics) > start
        if a is settling:
            other = scope.discarding()
            b, more = unmark(right(other))
            _logic_operand(b, "right", scope, source, node.right, allow_null=True)
            return mark(settling, marks | more)
        middle = len(diagnostics)
        b, more = unmark(right(scope))
        marks |= more
        first = _logic_operand(a, "left", scope, source, node.left)
        second = _logic_operand(b, "right", scope, source, node.right)
        if first is None or second is None:
            return mark(Unknown(BOOL), marks)
        if first is settling:  # only after conversion, as in "true" || x
            del diagnostics[start:]
            return mark(settling, marks)
        if second is settling:
            del diagnostics[start:middle]
            return mark(settling, marks)
        if type(first) is Unknown:
            if type(second) is Unknown and not left_failed:
                del diagnostics[middle:]
            return mark(Unknown(BOOL), marks)
        if type(second) is Unknown:
            return mark(Unknown(BOOL), marks)
        return mark(not settling, marks)

    return run


def _logic_operand(
    value: Value, side: str, scope: Scope, source: tree.Source, node: tree.Node, allow_null: bool = False
) -> Value:
    if type(value) is bool or (allow_null and is_null(value) and types.convertible(types.type_of(value), BOOL)):
        return value
    return _operand(value, BOOL, side, scope, source, node)


def compile_unary(node: tree.Unary, compiler: Compiler) -> Code:
    """``!x`` and ``-x``."""
    inner = compiler.compile(node.operand)
    operand, source = inner.strict(), compiler.source
    negation = node.op == "-"
    kind = NUMBER if negation else BOOL

    def run(scope: Scope) -> Value:
        value = operand(scope)
        if not negation and type(value) is bool:
            return not value
        value, marks = unmark(value)
        plain = _operand(value, kind, "unary", scope, source, node.operand)
        if plain is None:
            return Unknown(kind)
        if type(plain) is Unknown:
            return mark(Unknown(kind), marks)
        if negation:
            return mark(-plain if isinstance(plain, int) else WIDE.minus(plain), marks)
        return mark(not plain, marks)

    return Code(run, pure=inner.pure)
