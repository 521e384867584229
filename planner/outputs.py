"""Root outputs: evaluated the same way while planning and while applying. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hythe.diagnostic import error
from hythe.modules.language.scope import Scope
from hythe.planner.exposure import plain
from hythe.planner.program import CompiledOutput
from hythe.provider.schema import Path
from hythe.value import EPHEMERAL, SENSITIVE, Type

if TYPE_CHECKING:
    from hythe.planner.expand import Evaluation


def evaluate_output(
    evaluation: Evaluation,
    scope: Scope,
    name: str,
    output: CompiledOutput,
) -> tuple[Any, Type] | None:
    """An output's plain value and its type; None, with diagnostics, when it may not be given.

    What of it is sensitive may only be known during apply, so it is looked at there again.
    """
    from hythe.modules.language.types import type_of

    block, found = output.block, evaluation.diagnostics
    before = len(found)
    evaluation.check_rules(output.rules, scope, "Output precondition failed")
    value = output.value.evaluate(scope)
    if any(d.is_error for d in found[before:]):
        return None
    paths: list[Path] = []
    marks: set[str] = set()
    content = plain(value, (), paths, marks, reference=False)
    if SENSITIVE in marks and not block.sensitive:
        text = (
            f'The output "{name}" holds a sensitive value. Add sensitive = true to it, so that it is not shown, or use '
            "nonsensitive() if it may be."
        )
        found.append(error("Output refers to sensitive values", text, block.value.range))
        return None
    if EPHEMERAL in marks:
        text = f'The output "{name}" would be stored in the state, and its value is ephemeral.'
        found.append(error("Invalid use of ephemeral value", text, block.value.range))
        return None
    return content, type_of(value)
