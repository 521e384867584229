"""``hythe graph``."""

from __future__ import annotations

import click

from hythe.cli import options
from hythe.cli.arguments import Command
from hythe.cli.context import FINE, Cli, raise_errors
from hythe.cli.sources import require_folder
from hythe.cli.views.graphs import Graph, plan_graph, program_graph, render
from hythe.cli.workspace import Workspace


@click.command(cls=Command)
@click.option("--type", "what", type=click.Choice(["config", "plan", "apply"]), default="config", help="Of what.")
@click.option("--format", "form", type=click.Choice(["dot", "mermaid", "svg"]), default="dot", help="In what language.")
@click.option("--plan", "plan_file", metavar="PLANFILE", help="The graph of a saved plan.")
@options.variables
@options.switch("--refresh", True, "Look at the world first (with --type=plan).")
@options.state_path
@options.no_color
@click.pass_obj
def command(
    cli: Cli,
    *,
    what: str,
    form: str,
    plan_file: str | None,
    refresh: bool,
    state_path: str | None,
    no_color: bool,
    var: tuple[str, ...],
    var_file: tuple[str, ...],
) -> int:
    """Print what depends on what: blocks, or with --type=plan the instances of a plan."""
    require_folder(cli)
    workspace = Workspace(cli, state_path)
    cli.say(render(_graph(cli, workspace, what, plan_file, refresh), form))
    return FINE


def _graph(cli: Cli, workspace: Workspace, what: str, plan_file: str | None, refresh: bool) -> Graph:
    if plan_file is not None:
        return plan_graph(workspace.read_plan(plan_file))
    if what == "config":
        from hythe.planner.program import compile_config

        program, found = compile_config(workspace.config(), workspace.registry)
        raise_errors(found)
        return program_graph(program)
    variables = workspace.variables(options.inputs_in_order(), ask=False)
    with workspace.hosts() as hosts:
        request = options.PlanRequest(refresh=refresh)
        outcome = workspace.plan(workspace.session(hosts, variables), workspace.read_objects(), request)
    raise_errors(outcome.diagnostics)
    assert outcome.plan is not None
    return plan_graph(outcome.plan)
