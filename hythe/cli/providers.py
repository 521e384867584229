"""``hythe providers``."""

from __future__ import annotations

import click

from hythe.cli import options
from hythe.cli.arguments import Command, Group
from hythe.cli.context import FINE, Cli


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> int:
    """Show the kinds of objects that there are, and their schemas."""
    if context.invoked_subcommand is None:
        from hythe.provider.registry import Registry

        cli: Cli = context.obj
        cli.say("\n".join(Registry().names()))
    return FINE


@command.command("schema", cls=Command)
@options.json_output
@options.switch("--editor", False, "A JSON Schema of *.hcl.json files, for editors.")
@options.no_color
@click.pass_obj
def schema(cli: Cli, /, *, json: bool, editor: bool, no_color: bool) -> int:
    """Print the schemas of all kinds (needs --json or --editor)."""
    if json is editor:
        raise click.UsageError("Give one of --json (as OpenTofu prints them) and --editor (a JSON Schema for editors).")
    from json import dumps

    from hythe.provider.registry import Registry

    if editor:
        from hythe.cli.views.editor_schema import editor_schema

        cli.say(dumps(editor_schema(Registry()), indent=2))
        return FINE
    from hythe.cli.views.json_schemas import schemas_json

    cli.say(dumps(schemas_json(Registry())))
    return FINE
