"""``hythe destroy``."""

from __future__ import annotations

from typing import Any

import click

from hythe.cli.apply import apply_options, run_apply
from hythe.cli.arguments import Command
from hythe.cli.context import Cli


@click.command(cls=Command)
@apply_options
@click.pass_obj
def command(cli: Cli, /, *, auto_approve: bool, **given: Any) -> int:
    """Destroy everything that Hythe made here. The same as hythe apply --destroy."""
    return run_apply(cli, given, destroy=True, auto_approve=auto_approve)
