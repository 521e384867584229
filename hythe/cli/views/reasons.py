"""Why a change happens, in the words of OpenTofu's JSON forms."""

from __future__ import annotations

from hythe.planner.plan import Action, Change


def action_reason(change: Change) -> str | None:
    """``action_reason`` of a change, None where there is nothing to explain."""
    match change.action:
        case Action.REPLACE:
            return _replace_reason(change)
        case Action.DELETE if not change.deposed:
            return _delete_reason(change)
        case Action.READ:
            return "read_because_config_unknown"
        case _:
            return None


def _said(change: Change, *words: str) -> bool:
    return any(word in cause.text for cause in change.causes for word in words)


def _replace_reason(change: Change) -> str:
    if change.tainted:
        return "replace_because_tainted"
    if change.replace_paths:
        return "replace_because_cannot_update"
    if _said(change, "triggers replacement"):
        return "replace_by_triggers"
    return "replace_by_request"


def _delete_reason(change: Change) -> str | None:
    if _said(change, "block now uses", "no longer uses count"):
        return "delete_because_wrong_repetition"
    if _said(change, "is not enabled"):
        return "delete_because_enabled_false"
    if _said(change, "for_each no longer includes"):
        return "delete_because_each_key"
    if _said(change, "count no longer includes"):
        return "delete_because_count_index"
    if _said(change, "no longer in the configuration"):
        return "delete_because_no_resource_config"
    return None
