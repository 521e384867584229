"""Variables at the command line: asking for missing ones, and checking their validation rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hythe.cli.context import Cli, fail
from hythe.diagnostic import Diagnostic, error

if TYPE_CHECKING:
    from hythe.modules.config import CheckRule, VariableBlock
    from hythe.value import Value


def prompt_missing(cli: Cli, missing: Sequence[VariableBlock]) -> list[tuple[str, str]]:
    """Ask for values, as further --var arguments. Raises DiagnosticError at end of input."""
    out: list[tuple[str, str]] = []
    for block in missing:
        about = f"\n  {block.description}" if block.description else ""
        cli.say(f"{cli.out.paint(f'var.{block.name}', 'bold')}{about}\n")
        answer = cli.ask("  Enter a value: ", secret=block.sensitive or block.ephemeral)
        if answer is None:
            raise fail("No value for required variable", f"No value was entered for var.{block.name}.")
        cli.say()
        out.append(("var", f"{block.name}={answer}"))
    return out


def check_rules(rules: Sequence[CheckRule], values: Mapping[str, Value], address: str) -> list[Diagnostic]:
    """Evaluate validation rules in a scope that holds ``var``."""
    from hythe.modules.language.compile import compile_expression
    from hythe.modules.language.scope import Scope
    from hythe.value import Marked, Unknown, unmark_deep

    found: list[Diagnostic] = []
    for rule in rules:
        scope = Scope({"var": dict(values)}, source=rule.condition.source)
        result, _ = unmark_deep(compile_expression(rule.condition.expression, rule.condition.source).evaluate(scope))
        found += scope.diagnostics
        if any(d.is_error for d in scope.diagnostics) or isinstance(result, Unknown) or result is True:
            continue
        if result is not False:
            text = "The condition of a validation must be true or false."
            found.append(error("Invalid validation condition", text, rule.condition.range, address=address))
            continue
        inner = Scope({"var": dict(values)}, source=rule.error_message.source)
        message = compile_expression(rule.error_message.expression, rule.error_message.source).evaluate(inner)
        found += inner.diagnostics
        hidden = isinstance(message, Marked)
        said = "The value does not meet the condition (its message is sensitive)." if hidden else str(message)
        found.append(error("Invalid value for variable", said, rule.condition.range, address=address))
    return found
