"""``hythe version``."""

from __future__ import annotations

import platform

import click

from hythe import __version__
from hythe.cli import options
from hythe.cli.arguments import Command
from hythe.cli.context import FINE, Cli


@click.command(cls=Command)
@options.json_output
@options.no_color
@click.pass_obj
def command(cli: Cli, *, json: bool, no_color: bool) -> int:
    """Show the version."""
    system = f"{platform.system().lower()}_{platform.machine()}"
    if json:
        from json import dumps

        facts = {
            "hythe_version": __version__,
            "platform": system,
            "python_version": platform.python_version(),
            "provider_selections": {},
        }
        cli.say(dumps(facts, indent=2))
    else:
        cli.say(f"Hythe v{__version__}\non {system}, Python {platform.python_version()}")
    return FINE
