"""``hythe force-unlock``."""

from __future__ import annotations

import click

from hythe.cli import options
from hythe.cli.arguments import Command
from hythe.cli.context import FINE, Cli, fail
from hythe.cli.workspace import Workspace


@click.command(cls=Command)
@click.argument("lock_id", required=False)
@options.switch("--force", False, "Do not ask.")
@options.state_path
@options.no_color
@click.pass_obj
def command(cli: Cli, *, lock_id: str | None, force: bool, state_path: str | None, no_color: bool) -> int:
    """Say who holds the state lock. A local lock ends with its process, so there is none to take away."""
    # whoever holds the lock can be told without a key
    store = Workspace(cli, state_path, encrypted=False).store
    holder = store.holder()
    if holder is None:
        cli.say("Nobody holds the lock.")
        return FINE
    raise fail(
        "State is locked by a running process",
        f"It is held by {holder}. A local lock ends when its process does, and taking it away from one that runs "
        f"would let two runs overwrite each other's work. Wait for it, or end process {holder.pid}.",
    )
