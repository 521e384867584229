"""Words and counts that every view of a plan shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from hythe.planner.plan import Action, Cause, Change, Disruption, Mode, Plan

SIGNS = {
    Action.CREATE: "+",
    Action.UPDATE: "~",
    Action.UPDATE_RESTART: "~",
    Action.DELETE: "-",
    Action.FORGET: ".",
    Action.ADOPT: "=",
    Action.READ: "<=",
    Action.NOOP: " ",
}

COLORS = {
    "+": "green",
    "~": "yellow",
    "-": "red",
    "-/+": "red",
    "+/-": "yellow",
    ".": "dim",
    "=": "cyan",
    "<=": "cyan",
    " ": "dim",
}

_PHRASES = {
    Action.CREATE: "will be created",
    Action.UPDATE: "will be changed in place",
    Action.UPDATE_RESTART: "will be changed and restarted",
    Action.REPLACE: "will be replaced",
    Action.DELETE: "will be destroyed",
    Action.FORGET: "will be forgotten (it stays where it is)",
    Action.ADOPT: "will be adopted",
    Action.READ: "will be read during apply",
    Action.NOOP: "stays as it is",
}


def sign(change: Change) -> str:
    """The sign of a change: ``+ ~ -/+ +/- - <= . =``."""
    if change.action is Action.REPLACE:
        return "+/-" if change.create_before_destroy else "-/+"
    return SIGNS[change.action]


def phrase(change: Change) -> str:
    """What will happen, as the rest of a sentence that begins with the address."""
    if change.import_id is not None:
        also = ", then changed" if change.changed else ""
        return f'will be imported from "{change.import_id}"{also}'
    if change.deposed:
        return f"(old object {change.id}) will be destroyed"
    if change.action is Action.FORGET and any(c.drift for c in change.causes):
        return "is gone and will be forgotten"
    if change.action is Action.REPLACE:
        how = ", the new one before the old one goes" if change.create_before_destroy else ""
        return f"will be replaced{how}" + (" (tainted)" if change.tainted else "")
    return _PHRASES[change.action]


def counts(plan: Plan) -> dict[str, int]:
    """How many are added, changed, replaced, destroyed, imported, forgotten, adopted, read."""
    found: Counter[str] = Counter()
    for change in plan.changes:
        if change.import_id is not None:
            found["import"] += 1
        match change.action:
            case Action.CREATE:
                found["add"] += 1
            case Action.UPDATE | Action.UPDATE_RESTART:
                found["change"] += 1
            case Action.REPLACE:
                found["replace"] += 1
            case Action.DELETE:
                found["destroy"] += 1
            case Action.FORGET:
                found["forget"] += 1
            case Action.ADOPT:
                found["adopt"] += change.import_id is None
            case Action.READ:
                found["read"] += 1
            case Action.NOOP:
                pass
    return dict(found)


def summary(plan: Plan) -> str:
    """``Plan: 3 to add, 1 to change, 1 to replace, 0 to destroy.``"""
    found = counts(plan)
    words = ["import", "add", "change", "replace", "destroy", "forget", "adopt"]
    always = {"add", "change", "replace", "destroy"}
    parts = [f"{found.get(w, 0):,} to {w}" for w in words if w in always or found.get(w)]
    return "Plan: " + ", ".join(parts) + "."


def disruptions(changes: Iterable[Change]) -> dict[Disruption, list[str]]:
    """Addresses by what their users notice, the worst first, leaving out what nobody notices."""
    found: dict[Disruption, list[str]] = {}
    for change in changes:
        # that what is destroyed is no longer there needs no word, that its data goes too does
        mild = change.disruption is not Disruption.DATA_LOSS and change.action is Action.DELETE
        if change.disruption is not Disruption.NONE and change.action is not Action.NOOP and not mild:
            found.setdefault(change.disruption, []).append(change.address)
    return dict(sorted(found.items(), reverse=True))


def told_causes(change: Change, mode: Mode) -> tuple[Cause, ...]:
    """The causes worth telling: not those that the action says already."""
    if change.action is Action.CREATE:
        return tuple(c for c in change.causes if c.drift)
    if mode is Mode.DESTROY and change.action is Action.DELETE:
        return ()
    return change.causes


def no_changes(plan: Plan) -> str:
    """The sentence for a plan that does nothing."""
    unknown = any(c.unknown_host for c in plan.changes)
    where = " on the hosts that could be reached" if unknown else ""
    if plan.mode is Mode.DESTROY:
        return f"No changes{where}. There is nothing to destroy."
    if plan.mode is Mode.REFRESH_ONLY:
        return f"No changes{where}. What exists matches the state."
    return f"No changes{where}. What exists matches the configuration."
