"""``hythe show``."""

from __future__ import annotations

import os

import click

from hythe.cli import options
from hythe.cli.arguments import Command, usage_error
from hythe.cli.context import FINE, Cli, fail
from hythe.cli.workspace import Workspace
from hythe.planner.plan import Plan
from hythe.state.model import State


@click.command(cls=Command)
@click.argument("path", metavar="[PLANFILE|STATEFILE]", required=False)
@click.option("--format", "form", type=click.Choice(["human", "json", "markdown"]), default="human", help="The form.")
@options.json_output
@options.switch("--full", False, "Show everything: nothing grouped or folded.")
@options.show_sensitive
@options.backend_variables
@options.state_path
@options.no_color
@click.pass_obj
def command(
    cli: Cli,
    *,
    path: str | None,
    form: str,
    json: bool,
    full: bool,
    show_sensitive: bool,
    state_path: str | None,
    no_color: bool,
) -> int:
    """Show the state or a saved plan."""
    from hythe.cli.planfile import is_plan_file

    form = "json" if json else form
    workspace = Workspace(cli, path or state_path, to_be_there=True)
    if path is not None and not os.path.exists(path):
        raise fail("File not found", f"There is no file {path}. It can be a saved plan or a state file.")
    if path is not None and is_plan_file(path):
        cli.say(_plan(cli, workspace, workspace.read_plan(path), form, full=full, show=show_sensitive))
        return FINE
    if form == "markdown":
        usage_error("--format=markdown needs a saved plan.")
    cli.say(_state(cli, workspace.read_state(), form, show=show_sensitive))
    return FINE


def _plan(cli: Cli, workspace: Workspace, plan: Plan, form: str, *, full: bool, show: bool) -> str:
    if form == "json":
        from hythe.cli.views.json_plan import plan_json
        from hythe.cli.views.json_values import dumps
        from hythe.modules.loader import load_texts

        config, _ = load_texts(plan.config.root, plan.config.files)
        return dumps(plan_json(plan, config, show=show))
    from hythe.cli.views.human import PlanStyle, render_plan
    from hythe.cli.views.markdown import render_markdown

    style = PlanStyle(cli.out.paint, full, show, workspace.layout)
    return render_markdown(plan, style) if form == "markdown" else render_plan(plan, style)


def _state(cli: Cli, state: State, form: str, *, show: bool) -> str:
    if form == "json":
        from hythe.cli.views.json_state import state_json
        from hythe.cli.views.json_values import dumps

        return dumps(state_json(state, show=show))
    from hythe.cli.views.outputs import render_state

    return render_state(state, cli.out.paint, show_sensitive=show)
