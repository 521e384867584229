"""``hythe refresh``."""

from __future__ import annotations

from typing import Any

import click

from hythe.cli import options
from hythe.cli.apply import run_apply
from hythe.cli.arguments import Command
from hythe.cli.context import Cli


@click.command(cls=Command)
@options.variables
@options.targeting
@options.switch("--fail-on-unknown", False, "An unreachable host is an error.")
@options.parallelism
@options.switch("--full", False, "Show everything: nothing grouped or folded.")
@options.json_output
@options.show_sensitive
@options.state_path
@options.locking
@options.read_input
@options.compact
@options.no_color
@click.pass_obj
def command(cli: Cli, /, **given: Any) -> int:
    """Bring the state up to what exists. The same as hythe apply --refresh-only --auto-approve."""
    given |= {"replace": (), "refresh": True, "refresh_only": True, "skip_protected": False}
    return run_apply(cli, given, destroy=False, auto_approve=True)
