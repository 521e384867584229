"""``hythe plan``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from hythe.cli import options
from hythe.cli.arguments import Command, usage_error
from hythe.cli.context import CHANGES, FAILED, FINE, Cli, fail
from hythe.cli.operate import Operation
from hythe.cli.views.operation import HumanOperation
from hythe.planner.plan import Mode, Plan


@click.command(cls=Command)
@click.option("--out", metavar="PATH", help="Save the plan, for hythe apply PATH.")
@click.option(
    "--generate-config-out",
    "generated",
    metavar="PATH",
    help="Write what import blocks lack into a new file.",
)
@options.planning
@options.switch("--destroy", False, "Plan to destroy everything.")
@options.switch("--detailed-exitcode", False, "Exit code 2 when there are changes.")
@options.switch("--full", False, "Show everything: nothing grouped or folded.")
@options.switch("--markdown", False, "As Markdown, for pull requests.")
@options.json_output
@options.show_sensitive
@options.state_path
@options.locking
@options.read_input
@options.compact
@options.no_color
@click.pass_obj
def command(
    cli: Cli,
    /,
    *,
    out: str | None,
    generated: str | None,
    destroy: bool,
    detailed_exitcode: bool,
    markdown: bool,
    **given: Any,
) -> int:
    """Show what apply would do."""
    if markdown and given["json"]:
        usage_error("--markdown and --json exclude each other.")
    if generated is not None and destroy:
        usage_error("--generate-config-out and --destroy exclude each other.")
    if out is not None:
        _check_out(cli, out)
    operation = Operation.open(cli, given, destroy=destroy)
    if markdown:
        operation.view = _MarkdownView(cli, show_sensitive=operation.show_sensitive)
    with operation.running():
        plan = operation.plan() if generated is None else _plan_generating(operation, generated)
        if plan is None:
            return FAILED
        operation.view.plan(plan, operation.workspace.layout)
        if out is not None:
            _save(cli, operation, plan, out)
        elif not plan.is_empty and not given["json"] and not markdown and cli.out.live:
            cli.say(
                "\n" + cli.out.paint("hythe apply does this. --out=FILE saves it, to apply just this later.", "dim")
            )
    if detailed_exitcode and has_changes(plan):
        return CHANGES
    return FINE


def _plan_generating(operation: Operation, path: str) -> Plan | None:
    """Write the blocks that import blocks have none for, and plan with them. Raises DiagnosticError."""
    import os

    cli = operation.cli
    full = os.path.join(cli.root, os.path.expanduser(path))
    if os.path.lexists(full):
        text = f"{path} exists already, and it is not overwritten. Name a file that is not there yet."
        raise fail("Generated file exists", text)
    operation.request = replace(operation.request, generate=True)
    plan = operation.plan()
    texts = operation.generated()
    if not texts:
        return plan
    head = (
        "# Written by hythe plan --generate-config-out. Look it through, and keep what should stay as it is.\n"
        "# Arguments in comments may be what the engine chose: without the # they are kept when it is made anew.\n\n"
    )
    try:
        with open(full, "x", encoding="utf-8") as file:
            file.write(head + "\n".join(texts))
    except OSError as failure:
        raise fail("Generated file not written", f"{path} cannot be written: {failure.strerror}.") from None
    operation.view.say(f"{len(texts)} generated {'block is' if len(texts) == 1 else 'blocks are'} in {path}.\n")
    operation.workspace.load()
    return operation.plan()


def has_changes(plan: Plan) -> bool:
    """Whether applying the plan would change anything, the state of a refresh included."""
    return not plan.is_empty or (plan.mode is Mode.REFRESH_ONLY and bool(plan.drift))


def _check_out(cli: Cli, out: str) -> None:
    """Refuse to write a plan over what is no plan: a slip of the hand must not cost a configuration or a state.

    Raises DiagnosticError.
    """
    import os

    from hythe.cli.planfile import is_plan_file

    path = os.path.join(cli.root, os.path.expanduser(out))
    # a device or a pipe, like /dev/null, is written to
    if os.path.isfile(path) and os.path.getsize(path) and not is_plan_file(path):
        text = f"{out} is there already, and it is no plan: it is not overwritten. Name another file."
        raise fail("Plan file not written", text)


def _save(cli: Cli, operation: Operation, plan: Plan, out: str) -> None:
    import os
    import shlex

    operation.workspace.write_plan(plan, os.path.join(cli.root, os.path.expanduser(out)))
    operation.view.say(f"\nThe plan is saved. To do just this, run:\n    hythe apply {shlex.quote(out)}")


class _MarkdownView(HumanOperation):
    """Only the Markdown goes to standard output."""

    def plan(self, plan: Plan, layout: Any = None) -> None:
        from hythe.cli.views.human import PlanStyle, no_layout
        from hythe.cli.views.markdown import render_markdown

        style = PlanStyle(show_sensitive=self.show_sensitive, layout=layout or no_layout)
        self.cli.say(render_markdown(plan, style))

    def watching(self) -> Any:
        import contextlib

        from hythe.event import ignore

        return contextlib.nullcontext(ignore)

    def say(self, text: str) -> None:
        self.cli.err.write(text)
