"""What ``prevent_destroy`` says of the instances of a block. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hythe.address import Address
from hythe.diagnostic import error
from hythe.modules.language.compile import Compiled
from hythe.planner.program import CompiledBlock
from hythe.value import Unknown, is_null, unmark

if TYPE_CHECKING:
    from hythe.planner.build import Builder

PREVENTED = "lifecycle.prevent_destroy"


def prevention(builder: Builder, at: Address, block: CompiledBlock) -> str:
    """What is said to protect the instances of a block: its ``prevent_destroy``, "" where that is false.

    Where it is not known yet it protects. In an instance of a module that is gone, what was recorded holds.
    """
    if block.prevent_destroy is None:
        return PREVENTED if block.block.lifecycle.prevent_destroy else ""
    key = (at.module, block.node)
    if key not in builder.preventions:
        builder.preventions[key] = _prevention(builder, at, block.prevent_destroy)
    found = builder.preventions[key]
    if found is None:
        prior = builder.state.instances.get(str(at))
        return PREVENTED if prior is not None and prior.prevent_destroy else ""
    return found


def _prevention(builder: Builder, at: Address, compiled: Compiled) -> str | None:
    evaluation = builder.evaluation.at(at.module)
    if evaluation is None:
        return None
    scope = evaluation.scope(str(at.block))
    before = len(scope.diagnostics)
    value, marks = unmark(compiled.evaluate(scope))
    if isinstance(value, str) and value in ("true", "false"):
        value = value == "true"
    problem = ""
    if isinstance(value, Unknown):
        return f"{PREVENTED}, which is known only after apply,"
    if marks:
        problem = "A sensitive or ephemeral value cannot decide whether objects may be destroyed."
    elif not (isinstance(value, bool) or is_null(value)):
        problem = "prevent_destroy must be true or false."
    if problem and len(scope.diagnostics) == before:
        scope.diagnostics.append(
            error("Invalid prevent_destroy argument", problem, compiled.range, address=str(at.block))
        )
    return PREVENTED if problem or value is True else ""
