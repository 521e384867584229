"""``hythe force-unlock``."""

from __future__ import annotations

import click

from hythe.cli import options
from hythe.cli.arguments import Command
from hythe.cli.confirm import confirmed
from hythe.cli.context import FAILED, FINE, Cli, fail
from hythe.cli.workspace import Workspace
from hythe.state.lock import Holder


@click.command(cls=Command)
@click.argument("lock_id", required=False)
@options.switch("--force", False, "Do not ask.")
@options.backend_variables
@options.state_path
@options.no_color
@click.pass_obj
def command(cli: Cli, *, lock_id: str | None, force: bool, state_path: str | None, no_color: bool) -> int:
    """Take the state lock of that id away from its holder; without an id, say who holds it.

    A local lock ends with its process, so there is none to take away.
    """
    # whoever holds the lock can be told without a key
    backend = Workspace(cli, state_path, encrypted=False).store.backend
    holder = backend.holder()
    if not backend.can_break:
        return _local(cli, holder)
    if lock_id is None:
        if holder is None:
            cli.say("Nobody holds the lock.")
            return FINE
        raise fail("Lock ID needed", f"It is held by {holder}. `hythe force-unlock {holder.id}` takes it away.")
    # some servers do not tell whose lock it is
    if holder is not None and holder.id and holder.id != lock_id:
        raise fail(
            "Lock ID does not match", f"{lock_id} is not the lock that is held now: that is {holder.id}, of {holder}."
        )
    if not force and not _agreed(cli, holder):
        cli.say("\nNothing was unlocked.")
        return FAILED
    backend.break_lock(lock_id)
    cli.say("The state is unlocked.")
    return FINE


def _local(cli: Cli, holder: Holder | None) -> int:
    if holder is None:
        cli.say("Nobody holds the lock.")
        return FINE
    raise fail(
        "State is locked by a running process",
        f"It is held by {holder}. A local lock ends when its process does, and taking it away from one that runs "
        f"would let two runs overwrite each other's work. Wait for it, or end process {holder.pid}.",
    )


def _agreed(cli: Cli, holder: Holder | None) -> bool:
    remarks = [
        "If that run is still at work, it will stop without recording what it does from now on, and another one",
        "can begin before it has stopped.",
    ]
    if holder is not None:
        remarks.insert(0, f"It is held by {holder}.")
    return confirmed(cli, "Do you really want to take the state lock away?", *remarks, without="--force")
