"""``hythe apply``."""

from __future__ import annotations

from typing import Any

import click

from hythe.cli import options
from hythe.cli.arguments import Command, usage_error
from hythe.cli.confirm import confirmed
from hythe.cli.context import FAILED, Cli, fail
from hythe.cli.operate import Operation
from hythe.cli.plan import has_changes
from hythe.planner.plan import Mode, Plan

apply_options = options.stack(
    options.planning,
    options.switch("--auto-approve", False, "Do not ask."),
    options.switch("--full", False, "Show everything: nothing grouped or folded."),
    options.json_output,
    options.show_sensitive,
    options.state_path,
    options.locking,
    options.read_input,
    options.compact,
    options.no_color,
)


@click.command(cls=Command)
@click.argument("plan_file", metavar="[PLANFILE]", required=False)
@options.switch("--destroy", False, "Destroy everything.")
@apply_options
@click.pass_obj
def command(cli: Cli, /, *, plan_file: str | None, destroy: bool, auto_approve: bool, **given: Any) -> int:
    """Make the world as the configuration says; with a saved plan, do just that."""
    if plan_file is not None:
        return _apply_saved(cli, plan_file, given, destroy=destroy)
    return run_apply(cli, given, destroy=destroy, auto_approve=auto_approve)


def run_apply(cli: Cli, given: dict[str, Any], *, destroy: bool, auto_approve: bool) -> int:
    """Plan, ask, apply. Returns the exit code."""
    _check_approval(cli, given, auto_approve)
    operation = Operation.open(cli, given, destroy=destroy)
    with operation.running():
        plan = operation.plan()
        if plan is None:
            return FAILED
        operation.view.plan(plan, operation.workspace.layout)
        if has_changes(plan) and not auto_approve and not _approved(cli, plan):
            operation.view.say("\nApply cancelled: nothing was changed.")
            return FAILED
        return operation.apply(plan, approve=lambda more: auto_approve or _approved(cli, more))


def _check_approval(cli: Cli, given: dict[str, Any], auto_approve: bool) -> None:
    if auto_approve:
        return
    if given["json"]:
        usage_error("--json needs --auto-approve or a saved plan: there is no way to ask.")
    if not given["input"]:
        raise fail(
            "Approval needed",
            "--input=false forbids asking, so nothing is applied without --auto-approve or a saved plan "
            "(hythe plan --out=FILE, then hythe apply FILE).",
        )


def _approved(cli: Cli, plan: Plan) -> bool:
    question = {
        Mode.NORMAL: "Do you want Hythe to do this?",
        Mode.DESTROY: "Do you really want to destroy all of this? It cannot be undone.",
        Mode.REFRESH_ONLY: "Do you want the state to be brought up to this?",
    }[plan.mode]
    return confirmed(cli, question)


_NOT_WITH_PLAN = {
    **dict.fromkeys(("target", "target_file", "exclude", "exclude_file", "replace"), ()),
    "refresh_only": False,
    "refresh": True,
}


def _apply_saved(cli: Cli, plan_file: str, given: dict[str, Any], *, destroy: bool) -> int:
    if destroy or any(given[name] != value for name, value in _NOT_WITH_PLAN.items()):
        usage_error("A saved plan already says what is done: planning options do not go with it.")
    operation = Operation.open(cli, given, destroy=False)
    plan = operation.workspace.read_plan(plan_file)
    with operation.running():
        return operation.apply(plan, saved=True)
