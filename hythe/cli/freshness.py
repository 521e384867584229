"""Whether a saved plan may still be applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hythe.cli.context import fail, raise_errors

if TYPE_CHECKING:
    from hythe.planner.plan import Plan
    from hythe.state.model import State


def check_workspace(plan: Plan, name: str) -> None:
    """Refuse a saved plan that was made in another workspace. Raises DiagnosticError."""
    if plan.workspace != name:
        raise fail(
            "Plan for another workspace",
            f'The plan was made in the workspace "{plan.workspace}", and this is "{name}". Make a new plan here, or go '
            f"there with `hythe workspace select {plan.workspace}`.",
        )


def check_fresh(plan: Plan, state: State) -> None:
    """Refuse a saved plan that the world has overtaken. Raises DiagnosticError."""
    from hythe.planner.inputs import verify

    if plan.lineage != state.lineage and plan.serial == 0:
        raise fail(
            "Stale plan",
            "The plan was made when there was no state yet, and now there is one: another apply came first. Make a "
            "new plan.",
        )
    if plan.lineage != state.lineage:
        raise fail(
            "Plan for another state",
            f"The plan was made for the state with lineage {plan.lineage}, and this one has {state.lineage}. Apply it "
            "where it was made, or name that state with --state.",
        )
    if plan.serial != state.serial:
        raise fail(
            "Stale plan",
            f"The state has changed since the plan was made (serial {plan.serial} then, {state.serial} now), so what "
            "it says may no longer be right. Make a new plan.",
        )
    raise_errors(verify(plan.config.inputs))
