"""``hythe validate``."""

from __future__ import annotations

import click

from hythe.cli import options
from hythe.cli.arguments import Command
from hythe.cli.context import FAILED, FINE, Cli, sources_for
from hythe.cli.sources import require_folder
from hythe.cli.workspace import Workspace


@click.command(cls=Command)
@options.backend_variables
@options.json_output
@options.compact
@options.no_color
@click.pass_obj
def command(cli: Cli, *, json: bool, compact_warnings: bool, no_color: bool) -> int:
    """Check the configuration, without looking at the world."""
    cli.compact_warnings = compact_warnings
    require_folder(cli)
    found = list(dict.fromkeys(Workspace(cli).validate()))
    errors = any(d.is_error for d in found)
    if json:
        from hythe.cli.views.json_diagnostics import validation_json
        from hythe.cli.views.json_values import dumps

        cli.say(dumps(validation_json(found, sources_for(cli)), indent=True))
    else:
        cli.report(found)
        if not errors:
            note = ", with the warnings above" if found else ""
            cli.say(f"{cli.out.paint('Success!', 'bold', 'green')} The configuration is valid{note}.")
    return FAILED if errors else FINE
