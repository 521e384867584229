"""``hythe state history``: versions from before, and going back to one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from hythe.cli import options
from hythe.cli.arguments import Command, usage_error
from hythe.cli.context import FAILED, FINE, Cli
from hythe.cli.secrets import remember_state_secrets
from hythe.cli.workspace import Workspace

if TYPE_CHECKING:
    from hythe.state.history import Entry, Restoration

_SHOWN = 10
"""How many addresses of a sort are shown before the rest is counted."""


@click.command("history", cls=Command)
@click.option("--show", "shown", metavar="ID", help="Show what a version holds.")
@click.option("--restore", "restored", metavar="ID", help="Make a version the state again.")
@options.switch("--auto-approve", False, "Do not ask.")
@options.switch("--force", False, "Do not ask, and restore even over another state.")
@options.json_output
@options.show_sensitive
@options.backend_variables
@options.state_path
@options.locking
@options.no_color
@click.pass_obj
def command(
    cli: Cli,
    *,
    shown: str | None,
    restored: str | None,
    auto_approve: bool,
    force: bool,
    json: bool,
    show_sensitive: bool,
    state_path: str | None,
    lock: bool,
    lock_timeout: float,
    no_color: bool,
) -> int:
    """List the versions of the state that are kept, show one, or go back to one."""
    if shown is not None and restored is not None:
        usage_error("--show and --restore exclude each other.")
    workspace = Workspace(cli, state_path, to_be_there=restored is None)
    if restored is not None:
        if json:
            usage_error("--json does not go with --restore.")
        return _restore(cli, workspace, restored, (lock, lock_timeout), ask=not (auto_approve or force), force=force)
    if shown is not None:
        return _show(cli, workspace, shown, json=json, show_sensitive=show_sensitive)
    from hythe.state.history import entries

    found = entries(workspace.store)
    if json:
        from hythe.cli.views.json_values import dumps

        cli.say(dumps({"format_version": "1.0", "versions": [_facts(e) for e in found]}, indent=True))
    else:
        cli.say(_table(found) if found else "There is no state yet, and no version of one.")
    return FINE


def _show(cli: Cli, workspace: Workspace, id: str, *, json: bool, show_sensitive: bool) -> int:
    from hythe.state.history import version

    state = version(workspace.store, id).state
    remember_state_secrets(state)
    if json:
        from hythe.cli.views.json_state import state_json
        from hythe.cli.views.json_values import dumps

        cli.say(dumps(state_json(state, show=show_sensitive)))
    else:
        from hythe.cli.views.outputs import render_state

        cli.say(render_state(state, cli.out.paint, show_sensitive=show_sensitive))
    return FINE


# -- the list -------------------------------------------------------------------------------------


def _facts(entry: Entry) -> dict[str, Any]:
    written = None if entry.written is None else _time(entry.written).isoformat(timespec="milliseconds")
    facts: dict[str, Any] = {
        "id": entry.id or None,
        "current": not entry.id,
        "serial": entry.serial,
        "written": written,
        "size": entry.size,
    }
    if entry.summary is None:
        return {**facts, "problem": entry.flaw}
    origin = entry.summary.origin
    return {
        **facts,
        "lineage": entry.summary.lineage,
        "objects": entry.summary.objects,
        "deposed": entry.summary.deposed,
        "pending": entry.summary.pending,
        "operation": origin.operation or None,
        "hythe_version": origin.hythe or None,
    }


def _time(seconds: float) -> datetime:
    """In the user's time zone."""
    return datetime.fromtimestamp(seconds).astimezone()


def _table(found: Sequence[Entry]) -> str:
    rows = [("ID", "SERIAL", "WRITTEN", "SIZE", "OBJECTS", "WRITTEN BY")]
    for entry in found:
        when = "unknown" if entry.written is None else f"{_time(entry.written):%Y-%m-%d %H:%M:%S}"
        summary = entry.summary
        objects = "" if summary is None else f"{summary.objects:,}"
        serial = str(entry.serial) if summary is not None or entry.serial else "?"
        rows.append((entry.id or "(now)", serial, when, _size(entry.size), objects, _writer(entry)))
    widths = [max(len(row[n]) for row in rows) for n in range(5)]
    return "\n".join("  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[5]]) for row in rows)


def _writer(entry: Entry) -> str:
    if entry.summary is None:
        return f"cannot be used: {entry.flaw}"
    origin, pending = entry.summary.origin, entry.summary.pending
    by = f"{origin.operation} (Hythe {origin.hythe})" if origin.operation else "unknown"
    return f"{by}, {pending} operations left open" if pending else by


def _size(size: int) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024 or unit == "MiB":
            break
        size = round(size / 1024)
    return f"{size:,} {unit}"


# -- going back -----------------------------------------------------------------------------------


def _restore(cli: Cli, workspace: Workspace, id: str, lock: tuple[bool, float], *, ask: bool, force: bool) -> int:
    from hythe.cli.confirm import confirmed
    from hythe.state.history import restoration

    with workspace.locked("state history", *lock) as store:
        found = restoration(store, id, force=force)
        remember_state_secrets(found.target.state)
        _announce(cli, id, found)
        if ask and not confirmed(cli, f"Do you want version {id} to be the state?"):
            cli.say("Nothing was changed.")
            return FAILED
        found.base.pending = found.target.pending
        problems = store.write(found.base, found.target.state, "state history")
    cli.report(problems)
    if any(d.is_error for d in problems):
        return FAILED
    state = found.target.state
    cli.say(
        f"The state is version {id} again, as serial {state.serial}, with {_objects(len(state.instances))}. Nothing "
        "real was touched: `hythe plan` shows where the world differs."
    )
    return FINE


def _announce(cli: Cli, id: str, found: Restoration) -> None:
    for problem in found.unreadable:
        cli.say(f"{problem.summary}: what is there now cannot be read, so what would be lost with it is not known.")
    if found.target.recorded:
        cli.say(f"Version {id} is brought up to what was recorded after it.")
    elif found.unreadable:
        cli.say(f"Objects that were made after version {id} will not be known.")
    for text, names in (
        ("The state would no longer know, though they stay where they are", found.gone),
        ("The state would know again, whether or not they are still there", found.back),
        ("The state would have another object than now at", found.other),
    ):
        if names:
            more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
            cli.say(f"{text}: {', '.join(names[:_SHOWN])}{more}.")
    if not (found.unreadable or found.gone or found.back or found.other):
        cli.say("It has the same objects as the state now; their attributes may differ.")


def _objects(count: int) -> str:
    return f"{count:,} {'object' if count == 1 else 'objects'}"
