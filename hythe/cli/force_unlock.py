"""``hythe force-unlock``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hythe.cli import options
from hythe.cli.arguments import Command
from hythe.cli.context import FINE, Cli, fail
from hythe.cli.workspace import Workspace

if TYPE_CHECKING:
    from hythe.state.backends.base import Backend


@click.command(cls=Command)
@click.argument("lock_id", required=False)
@options.switch("--force", False, "Do not ask.")
@options.state_path
@options.no_color
@click.pass_obj
def command(cli: Cli, *, lock_id: str | None, force: bool, state_path: str | None, no_color: bool) -> int:
    """Take a lock away whose holder has ended, by its ID; without an ID, say who holds it.

    A local lock ends with its process, so there is none to take away.
    """
    store = Workspace(cli, state_path).store
    if store.backend.can_break and lock_id is not None:
        return _take_away(cli, store.backend, lock_id, force)
    holder = store.holder()
    if holder is None:
        cli.say("Nobody holds the lock.")
        return FINE
    if store.backend.can_break:
        raise fail(
            "State is locked",
            f"It is held by {holder}. If that has ended, `hythe force-unlock {holder.id}` takes the lock away.",
        )
    raise fail(
        "State is locked by a running process",
        f"It is held by {holder}. A local lock ends when its process does, and taking it away from one that runs "
        f"would let two runs overwrite each other's work. Wait for it, or end process {holder.pid}.",
    )


def _take_away(cli: Cli, backend: Backend, lock_id: str, force: bool) -> int:
    if not force:
        cli.say(f"Lock {lock_id} of {backend.where} is taken away. A run that still holds it could be overwritten.")
        if cli.ask("Only 'yes' goes on: ") != "yes":
            raise fail("Not confirmed", "Nothing was done. Say yes, or give --force where nobody can be asked.")
    backend.break_lock(lock_id)
    cli.say("The lock was taken away.")
    return FINE
