"""A plan as text, one line a node: what tests compare, and what ``HYTHE_LOG=debug`` shows.

::

    create       container.web["a"]       needs image.web, network.front
    replace      container.db             image forces replacement
    update       network.lan              labels changes
    no-op        volume.data
"""

from __future__ import annotations

from collections.abc import Iterable

from hythe.planner.plan import Action, Change, Disruption, Plan


def explain(plan: Plan, *, noops: bool = False, needs: bool = False) -> str:
    """One line per change, in the plan's order; outputs that change at the end."""
    lines = explain_changes(plan.changes, noops=noops, needs=needs).splitlines()
    lines += [f"{'move':<12} {old} -> {new}" for old, new in plan.moves]
    for output in plan.outputs:
        if output.changed:
            lines.append(f"{'remove' if output.removed else 'output':<12} output.{output.name}")
    return "\n".join(lines)


def explain_changes(changes: Iterable[Change], *, noops: bool = False, needs: bool = False) -> str:
    """One line per change."""
    return "\n".join(_line(c, needs) for c in changes if noops or c.action is not Action.NOOP)


def _line(change: Change, needs: bool) -> str:
    words = [f"{change.action.value:<12} {change.address}"]
    if change.deposed:
        words.append("(deposed)")
    if change.create_before_destroy and change.action is Action.REPLACE:
        words.append("(create first)")
    if change.disruption is Disruption.DATA_LOSS:
        words.append("(data loss)")
    if change.unknown_host:
        words.append("(host not reachable)")
    if change.causes and change.action is not Action.CREATE:
        words.append("- " + "; ".join(c.text for c in change.causes))
    if needs and change.depends_on:
        words.append("needs " + ", ".join(change.depends_on))
    return " ".join(words)
