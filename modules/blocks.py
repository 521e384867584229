"""Reading blocks with a known set of arguments: shared helpers of the loader."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from hythe.diagnostic import Diagnostic, Range, did_you_mean, error
from hythe.modules.config import CheckRule, Located
from hythe.modules.syntax.tree import (
    Block,
    Body,
    Expression,
    GetAttr,
    Index,
    Literal,
    Template,
    TupleCons,
    Variable,
)

Constant = str | int | Decimal | bool | None


def header(body: Body, block: Block) -> Range:
    """The range of a block's header."""
    return body.source.range(block.start, block.header_end)


def check_shape(
    body: Body, owner: str, attributes: Iterable[str], blocks: Iterable[str], found: list[Diagnostic]
) -> None:
    """Report arguments and blocks that ``owner`` does not know."""
    known, known_blocks = set(attributes), set(blocks)
    for name, attribute in body.attributes.items():
        if name not in known:
            place = body.source.range(attribute.start, attribute.name_end)
            hint = did_you_mean(name, known)
            found.append(error("Unsupported argument", f'{owner} takes no argument named "{name}".{hint}', place))
    for block in body.blocks:
        if block.type not in known_blocks:
            hint = did_you_mean(block.type, known_blocks)
            text = f'{owner} takes no block of type "{block.type}".{hint}'
            found.append(error("Unsupported block type", text, header(body, block)))


def located(body: Body, name: str) -> Located | None:
    """The expression of an argument, if given."""
    attribute = body.attributes.get(name)
    return None if attribute is None else Located(attribute.expression, body.source)


def static_text(expression: Expression) -> str | None:
    """The text of a quoted string without interpolation, or of a literal string; None otherwise."""
    if isinstance(expression, Template):
        parts = expression.parts
        if all(isinstance(p, Literal) for p in parts):
            return "".join(str(p.value) for p in parts if isinstance(p, Literal))
        return None
    if isinstance(expression, Literal) and isinstance(expression.value, str):
        return expression.value
    return None


def is_literal(expression: Expression) -> bool:
    """Whether an expression is what :func:`constant` can read."""
    return isinstance(expression, Literal) or static_text(expression) is not None


def constant(body: Body, name: str, want: type, found: list[Diagnostic]) -> Constant:
    """The value of an argument that must be a literal of type ``want``; None when not given."""
    attribute = body.attributes.get(name)
    if attribute is None:
        return None
    expression = attribute.expression
    value: Constant = expression.value if isinstance(expression, Literal) else static_text(expression)
    if isinstance(value, str) and want is bool and value in ("true", "false"):
        return value == "true"
    if type(value) is want:
        return value
    words = {bool: "true or false", str: "a quoted string without interpolation", int: "a whole number"}
    found.append(
        error(
            "Unsuitable value type",
            f'The argument "{name}" must be {words[want]}: it is read before anything is evaluated.',
            body.source.range(expression.start, expression.end),
        )
    )
    return None


def flag(body: Body, name: str, found: list[Diagnostic], default: bool = False) -> bool:
    """A literal bool argument."""
    value = constant(body, name, bool, found)
    return default if value is None else bool(value)


def text(body: Body, name: str, found: list[Diagnostic]) -> str | None:
    """A literal string argument."""
    value = constant(body, name, str, found)
    return None if value is None else str(value)


def tuple_items(body: Body, name: str, found: list[Diagnostic]) -> tuple[Expression, ...]:
    """The items of an argument that must be written as a list."""
    attribute = body.attributes.get(name)
    if attribute is None:
        return ()
    if isinstance(attribute.expression, TupleCons):
        return attribute.expression.items
    place = body.source.range(attribute.expression.start, attribute.expression.end)
    found.append(error("Invalid expression", f'The argument "{name}" must be a list in square brackets.', place))
    return ()


def traversal_path(expression: Expression) -> tuple[str | int, ...] | None:
    """``a.b[0]`` as ``("a", "b", 0)``; None for anything that is not a static traversal."""
    steps = traversal_steps(expression)
    return None if steps is None else tuple(step for step, _ in steps)


def traversal_steps(expression: Expression) -> list[tuple[str | int, bool]] | None:
    """The steps of a static traversal, each with whether it is a key in brackets; None for anything else."""
    steps: list[tuple[str | int, bool]] = []
    while not isinstance(expression, Variable):
        if isinstance(expression, GetAttr):
            steps.append((expression.name, False))
            expression = expression.source
        elif isinstance(expression, Index):
            key = expression.key
            value = key.value if isinstance(key, Literal) else static_text(key)
            if isinstance(value, bool) or not isinstance(value, (str, int)):
                return None
            steps.append((value, True))
            expression = expression.source
        else:
            return None
    return [(expression.name, False), *reversed(steps)]


def check_rule(body: Body, block: Block, found: list[Diagnostic]) -> CheckRule | None:
    """A block of ``condition`` and ``error_message``."""
    inner = block.body
    check_shape(inner, f'A "{block.type}" block', ("condition", "error_message"), (), found)
    condition, message = located(inner, "condition"), located(inner, "error_message")
    for name, given in (("condition", condition), ("error_message", message)):
        if given is None:
            text_ = f'A "{block.type}" block needs the argument "{name}".'
            found.append(error("Missing required argument", text_, header(body, block)))
    return CheckRule(condition, message) if condition and message else None
