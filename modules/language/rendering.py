"""Templates from files and strings, for the functions that evaluate them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from hythe.diagnostic import Diagnostic
from hythe.modules.language.functions.registry import Environment, FunctionError
from hythe.modules.language.scope import Scope
from hythe.modules.syntax import tree
from hythe.value import Value

if TYPE_CHECKING:
    from hythe.modules.language.compile import Compiled


def with_templates(env: Environment) -> Environment:
    """The environment with templates that may call all functions, those on templates included."""

    def evaluate_template(source_text: str, filename: str, variables: Mapping[str, Value]) -> Value:
        return render(source_text, filename, variables, with_templates(env.within_template()))

    return replace(env, evaluate_template=evaluate_template)


def render(text: str, filename: str, variables: Mapping[str, Value], env: Environment) -> Value:
    """The value of a template with no other names than ``variables``. Raises FunctionError."""
    from hythe.modules import syntax

    template, source, diagnostics = syntax.parse_template(text, filename)
    errors = [d for d in diagnostics if d.is_error]
    if errors or template is None:
        raise FunctionError(_describe(errors, filename))
    scope = Scope(variables, env)
    value = _compiled(template, source).evaluate(scope)
    errors = [d for d in scope.diagnostics if d.is_error]
    if errors:
        raise FunctionError(_describe(errors, filename))
    return value


def _compiled(template: tree.Expression, source: tree.Source) -> Compiled:
    # calls.py needs this module for its default environment, and compile.py needs calls.py
    from hythe.modules.language.compile import compile_expression

    return compile_expression(template, source)


def _describe(errors: list[Diagnostic], filename: str) -> str:
    parts = [f"{d.range or filename}: {d.summary}: {d.detail}".rstrip(".: ") for d in errors]
    return "; ".join(parts) or f"{filename} cannot be read as a template"
