"""``hythe output``."""

from __future__ import annotations

from decimal import Decimal

import click

from hythe.cli import options
from hythe.cli.arguments import Command, usage_error
from hythe.cli.context import FAILED, FINE, Cli, fail
from hythe.cli.workspace import Workspace
from hythe.diagnostic import did_you_mean, warning
from hythe.state.model import OutputState


@click.command(cls=Command)
@click.argument("name", required=False)
@options.json_output
@options.switch("--raw", False, "The bare text of one output.")
@options.show_sensitive
@options.backend_variables
@options.state_path
@options.no_color
@click.pass_obj
def command(
    cli: Cli,
    *,
    name: str | None,
    json: bool,
    raw: bool,
    show_sensitive: bool,
    state_path: str | None,
    no_color: bool,
) -> int:
    """Show output values. --json and --raw give sensitive ones too."""
    if raw and (json or name is None):
        usage_error("--raw needs the name of one output, and excludes --json.")
    outputs = Workspace(cli, state_path, to_be_there=True).read_state().outputs
    if name is not None:
        return _one(cli, name, _find(outputs, name), json=json, raw=raw)
    if json:
        from hythe.cli.views.json_state import output_json
        from hythe.cli.views.json_values import dumps

        cli.say(dumps({n: output_json(o, show=True) for n, o in sorted(outputs.items())}, indent=True))
        return FINE
    if not outputs:
        text = "The state has no outputs: the configuration declares none, or it was not applied yet."
        cli.report([warning("No outputs", text)])
        return FINE
    from hythe.cli.views.outputs import render_outputs

    cli.say(render_outputs(outputs, cli.out.paint, show_sensitive=show_sensitive))
    return FINE


def _find(outputs: dict[str, OutputState], name: str) -> OutputState:
    if name in outputs:
        return outputs[name]
    hint = did_you_mean(name, outputs)
    raise fail(
        "Output not found",
        f'The state has no output named "{name}".{hint} New outputs are there after the next apply.',
    )


def _one(cli: Cli, name: str, output: OutputState, *, json: bool, raw: bool) -> int:
    if json:
        from hythe.cli.views.json_values import dumps, plain

        cli.say(dumps(plain(output.value, show=True)))
        return FINE
    if raw:
        value = output.value
        if value is None or isinstance(value, (dict, list, tuple)):
            text = f'The output "{name}" is {output.type}; --raw writes only strings, numbers and bools. Use --json.'
            cli.report([fail("Unsupported value for raw output", text).diagnostics[0]])
            return FAILED
        shown = str(value).lower() if isinstance(value, bool) else value
        cli.out.put(format(shown, "f") if isinstance(shown, Decimal) else str(shown))
        return FINE
    from hythe.cli.views.outputs import render_value

    cli.say(render_value(output.value, show_sensitive=True))
    return FINE
