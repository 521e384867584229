"""Secrets of states and plans, which no log may show."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from hythe.cli.logs_setup import remember_secrets

if TYPE_CHECKING:
    from hythe.planner.plan import Plan
    from hythe.state.model import State


def remember_state_secrets(state: State) -> None:
    """Keep the state's sensitive values out of logs."""
    instances = chain(state.instances.values(), state.deposed.values())
    remember_secrets(o.value for o in state.outputs.values() if o.sensitive)
    remember_secrets(value_at(i.attributes, path) for i in instances for path in i.sensitive)


def value_at(value: Any, path: Sequence[str | int]) -> Any:
    """What lies at a path, None where there is nothing."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def remember_plan_secrets(plan: Plan) -> None:
    """Keep the plan's sensitive values out of logs."""
    remember_secrets(value_at(c.before, p) for c in plan.changes for p in c.before_sensitive)
    remember_secrets(value_at(c.after, p) for c in plan.changes for p in c.after_sensitive)
    remember_secrets(plan.config.variables.get(n) for n in plan.config.sensitive_variables)
