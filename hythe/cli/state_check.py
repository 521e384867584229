"""``hythe state check``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hythe.cli import options
from hythe.cli.arguments import Command
from hythe.cli.context import FAILED, FINE, Cli
from hythe.cli.workspace import Workspace
from hythe.diagnostic import Diagnostic, has_errors

if TYPE_CHECKING:
    from hythe.state.store import Loaded


@click.command("check", cls=Command)
@options.json_output
@options.backend_variables
@options.state_path
@options.no_color
@click.pass_obj
def command(cli: Cli, *, json: bool, state_path: str | None, no_color: bool) -> int:
    """Look whether the state is sound: its files, and what is recorded in them. Nothing is changed.

    Exit code 1 when it is not.
    """
    from hythe.state.check import check_backup, check_state

    workspace = Workspace(cli, state_path, to_be_there=True)
    loaded = workspace.store.read()
    found = [*check_state(loaded, workspace.registry), *check_backup(workspace.store.backend, loaded.state)]
    sound = not has_errors(found)
    if json:
        from hythe.cli.views.json_values import dumps

        cli.say(dumps({"sound": sound, **_facts(loaded), "diagnostics": [_told(d) for d in found]}, indent=True))
        return FINE if sound else FAILED
    cli.report(found)
    if loaded.fresh:
        cli.say("There is no state yet.")
        return FINE
    for line in _lines(loaded):
        cli.say(line)
    word = "The state is sound." if sound else "The state is not sound: see above."
    cli.say("\n" + cli.out.paint(word, "bold", "green" if sound else "red"))
    return FINE if sound else FAILED


def _facts(loaded: Loaded) -> dict[str, object]:
    state = loaded.state
    return {
        "lineage": None if loaded.fresh else state.lineage,
        "serial": state.serial,
        "objects": len(state.instances),
        "deposed": sorted(i.address for i in state.deposed.values()),
        "open": [{"operation": i.op, "address": i.instance.address} for i in loaded.pending],
        "journal_records": loaded.recorded,
    }


def _told(diagnostic: Diagnostic) -> dict[str, object]:
    return {
        "severity": diagnostic.severity.value,
        "summary": diagnostic.summary,
        "detail": diagnostic.detail,
        "address": diagnostic.address,
    }


def _lines(loaded: Loaded) -> list[str]:
    state = loaded.state
    objects = "1 object" if len(state.instances) == 1 else f"{len(state.instances):,} objects"
    lines = [f"{objects}, serial {state.serial}, lineage {state.lineage}"]
    if state.deposed:
        names = ", ".join(sorted(i.address for i in state.deposed.values()))
        lines.append(f"{len(state.deposed):,} replaced and not removed yet: {names}")
    if loaded.recorded:
        lines.append(f"{loaded.recorded:,} records of an interrupted run, which the next apply takes in")
    if loaded.pending:
        names = ", ".join(f"{i.op} of {i.instance.address}" for i in loaded.pending)
        lines.append(f"left open, which the next apply settles: {names}")
    return lines
