"""Variables at the command line: asking for missing ones, and checking their validation rules."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hythe.cli.context import Cli, fail
from hythe.diagnostic import Diagnostic, error, has_errors

if TYPE_CHECKING:
    from hythe.modules.config import CheckRule, Config, Located, VariableBlock
    from hythe.modules.early import Early
    from hythe.modules.language.functions.registry import Environment
    from hythe.modules.variables import RuleCheck
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


def rule_check(root: str) -> RuleCheck:
    """What evaluates validation rules in a scope that holds ``var``; files are those below ``root``."""

    def check(rules: Sequence[CheckRule], values: Mapping[str, Value], address: str) -> list[Diagnostic]:
        found: list[Diagnostic] = []
        environment = environment_of(root)
        for rule in rules:
            _check_rule(rule, values, address, environment, found)
        return found

    return check


def environment_of(root: str) -> Environment:
    """What functions may use: files below ``root``, and the time."""
    from hythe.modules.language.functions.registry import Environment
    from hythe.modules.language.rendering import with_templates
    from hythe.planner.inputs import RecordingReader

    made = Environment(reader=RecordingReader(root), base_dir=root, now=datetime.now(UTC), home=os.path.expanduser("~"))
    return with_templates(made)


def early_of(cli: Cli, workspace: Callable[[], str]) -> Early:
    """What sources of modules may be made of: variables as they are given to this command, and what needs none."""
    from dataclasses import replace

    from hythe.cli.options import inputs_now
    from hythe.modules.early import Early

    def values(config: Config) -> Mapping[str, Value]:
        from hythe.modules import variables

        # what is wrong with them is told when all of them are looked at
        given, _ = variables.collect(config, inputs_now(), cli.environment)
        ready = (b for b in config.module.variables.values() if not b.required or b.name in given)
        return {b.name: variables.resolve_one(b, given.get(b.name), []) for b in ready}

    return Early(values, lambda: replace(environment_of(cli.root), unknown_impure=True), workspace)


def _check_rule(
    rule: CheckRule, values: Mapping[str, Value], address: str, environment: Environment, found: list[Diagnostic]
) -> None:
    from hythe.modules.language.compile import compile_expression
    from hythe.modules.language.scope import Scope
    from hythe.value import Unknown, unmark_deep

    def evaluate(what: Located) -> tuple[Value, frozenset[str], bool]:
        scope = Scope({"var": dict(values)}, environment, source=what.source, address=address)
        value, marks = unmark_deep(compile_expression(what.expression, what.source).evaluate(scope))
        found.extend(scope.diagnostics)
        return value, marks, has_errors(scope.diagnostics)

    result, _, failed = evaluate(rule.condition)
    if failed or isinstance(result, Unknown) or result is True or result == "true":
        return
    if result is not False and result != "false":
        text = "The condition of a validation must be true or false."
        found.append(error("Invalid validation condition", text, rule.condition.range, address=address))
        return
    message, marks, failed = evaluate(rule.error_message)
    if failed:
        return
    if marks or not isinstance(message, str) or not message:
        message = "The value does not meet the condition (its message cannot be shown)."
    found.append(error("Invalid value for variable", message, rule.condition.range, address=address))
