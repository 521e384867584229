"""OpenTofu's plan representation, for ``show --json PLANFILE``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hythe import __version__
from hythe.address import Address, AddressError, parse_address
from hythe.cli.views.json_configuration import configuration_json
from hythe.cli.views.json_state import Entry, module_tree
from hythe.cli.views.json_values import plain, resource_facts, sensitive_parts, type_json, unknown_parts
from hythe.cli.views.reasons import action_reason
from hythe.cli.views.sensitive import hidden_tree
from hythe.modules.config import Config
from hythe.planner.plan import Action, Change, Mode, OutputChange, Path, Plan
from hythe.value import Unknown

FORMAT_VERSION = "1.2"
STATE_FORMAT_VERSION = "1.0"


def plan_json(plan: Plan, config: Config | None = None, *, show: bool = False) -> dict[str, Any]:
    """The plan representation. ``config`` is the one it carries; ``show``: sensitive values as they are."""
    outputs = [o for o in plan.outputs if not o.removed]
    planned: dict[str, Any] = {}
    if outputs:
        planned["outputs"] = {o.name: _planned_output(o, show) for o in outputs}
    planned["root_module"] = module_tree(_entries(plan.changes, "after", show))
    return {
        "format_version": FORMAT_VERSION,
        "terraform_version": __version__,
        "variables": _variables(plan, show),
        "planned_values": planned,
        "resource_drift": _changes(plan.drift, show, drift=True),
        "resource_changes": _changes(plan.changes, show, drift=False),
        "output_changes": {o.name: _output_change(o, show) for o in plan.outputs},
        "prior_state": _prior_state(plan, show),
        "configuration": configuration_json(config) if config is not None else {},
        "relevant_attributes": _relevant(plan),
        "timestamp": plan.created,
        "applyable": not plan.is_empty or (plan.mode is Mode.REFRESH_ONLY and bool(plan.drift)),
        "complete": plan.complete and not plan.deferred,
        "errored": False,
    }


def _variables(plan: Plan, show: bool) -> dict[str, Any]:
    hidden = set(plan.config.sensitive_variables)
    return {name: {"value": plain(v, name in hidden, show=show)} for name, v in sorted(plan.config.variables.items())}


def _address(text: str) -> Address | None:
    try:
        return parse_address(text)
    except AddressError:
        return None


def _side(change: Change, side: str) -> tuple[Mapping[str, Any] | None, tuple[Path, ...]]:
    if side == "before":
        return change.before, change.before_sensitive
    return change.after, change.after_sensitive


def _entries(changes: Iterable[Change], side: str, show: bool) -> list[Entry]:
    """Resources as they are before, or will be after."""
    out: list[Entry] = []
    for change in changes:
        values, sensitive = _side(change, side)
        address = _address(change.address)
        if values is None or address is None or change.deposed:
            continue
        hidden = hidden_tree(sensitive)
        facts = resource_facts(address)
        facts["schema_version"] = 1
        facts["values"] = plain(values, hidden, show=show)
        facts["sensitive_values"] = sensitive_parts(values, hidden)
        if change.tainted and side == "before":
            facts["tainted"] = True
        out.append((address, facts))
    return out


def actions_json(change: Change) -> list[str]:
    """``actions`` of a change: ``["delete", "create"]`` for a replacement, and so on."""
    match change.action:
        case Action.REPLACE:
            return ["create", "delete"] if change.create_before_destroy else ["delete", "create"]
        case Action.UPDATE_RESTART:
            return ["update"]
        case Action.ADOPT:
            return ["update"] if change.changed else ["no-op"]
        case _:
            return [change.action.value]


def _changes(changes: Iterable[Change], show: bool, *, drift: bool) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for change in changes:
        address = _address(change.address)
        if address is None:
            continue
        facts = resource_facts(address)
        if change.moved_from is not None:
            facts["previous_address"] = change.moved_from
        if change.deposed:
            facts["deposed"] = change.id
        facts["change"] = change_json(change, show, drift=drift)
        reason = None if drift else action_reason(change)
        if reason is not None:
            facts["action_reason"] = reason
        if change.causes:
            facts["causes"] = [_cause(c.text, str(c.range) if c.range else None, c.drift) for c in change.causes]
        facts["disruption"] = change.disruption.name.lower().replace("_", "-")
        if change.unknown_host:
            facts["unknown_host"] = True
        out.append(facts)
    return out


def _cause(text: str, place: str | None, drift: bool) -> dict[str, Any]:
    return {"text": text, **({"at": place} if place else {}), **({"drift": True} if drift else {})}


def change_json(change: Change, show: bool, *, drift: bool = False) -> dict[str, Any]:
    """The ``change`` of a resource."""
    before, after = hidden_tree(change.before_sensitive), hidden_tree(change.after_sensitive)
    actions = (["delete"] if change.after is None else ["update"]) if drift else actions_json(change)
    out: dict[str, Any] = {
        "actions": actions,
        "before": None if change.before is None else plain(change.before, before, show=show),
        "after": None if change.after is None else plain(change.after, after, show=show),
        "after_unknown": {} if change.after is None else unknown_parts(change.after),
        "before_sensitive": False if change.before is None else sensitive_parts(change.before, before),
        "after_sensitive": False if change.after is None else sensitive_parts(change.after, after),
    }
    if change.replace_paths:
        out["replace_paths"] = [list(p) for p in change.replace_paths]
    if change.import_id is not None:
        out["importing"] = {"id": change.import_id}
    return out


def _planned_output(output: OutputChange, show: bool) -> dict[str, Any]:
    out: dict[str, Any] = {"sensitive": output.sensitive}
    if type(output.after) is not Unknown:
        out["type"] = type_json(output.type)
        out["value"] = plain(output.after, output.sensitive, show=show)
    return out


def _output_change(output: OutputChange, show: bool) -> dict[str, Any]:
    action = "no-op"
    if output.changed:
        action = "delete" if output.removed else "update" if output.existed else "create"
    unknown = unknown_parts(output.after)
    return {
        "actions": [action],
        "before": plain(output.before, output.sensitive, show=show),
        **({} if unknown is True else {"after": plain(output.after, output.sensitive, show=show)}),
        "after_unknown": unknown,
        "before_sensitive": output.sensitive,
        "after_sensitive": output.sensitive,
    }


def _prior_state(plan: Plan, show: bool) -> dict[str, Any]:
    outputs = {
        o.name: {
            "sensitive": o.sensitive,
            "type": type_json(o.type),
            "value": plain(o.before, o.sensitive, show=show),
        }
        for o in plan.outputs
        if o.existed
    }
    values: dict[str, Any] = {"outputs": outputs} if outputs else {}
    values["root_module"] = module_tree(_entries(plan.changes, "before", show))
    return {"format_version": STATE_FORMAT_VERSION, "terraform_version": __version__, "values": values}


def _relevant(plan: Plan) -> list[dict[str, Any]]:
    """Attributes whose drift brought changes about."""
    out: list[dict[str, Any]] = []
    for change in plan.actions:
        for cause in change.causes:
            if cause.drift and cause.path:
                out.append({"resource": change.address, "attribute": list(cause.path)})
    return out
