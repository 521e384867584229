"""``hythe state``: list, show, mv, rm, pull, push, history, rebuild, check."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from hythe.address import Address, AddressError, format_path, parse_address, parse_target, sort_key
from hythe.cli import options, state_check, state_history, state_rebuild
from hythe.cli.arguments import Group
from hythe.cli.context import FAILED, FINE, Cli, fail, raise_errors
from hythe.cli.workspace import Workspace
from hythe.diagnostic import did_you_mean
from hythe.state.model import State


@click.group(cls=Group)
def command() -> None:
    """Look at the state and change it."""


command.add_command(state_history.command)
command.add_command(state_rebuild.command)
command.add_command(state_check.command)


def selected(state: State, texts: tuple[str, ...]) -> list[str]:
    """Addresses in the state that are named: instances, or all of a block or module; all without any.

    Raises DiagnosticError for a name that has none.
    """
    places = {a: parse_address(a) for a in state.instances}
    addresses = sorted(places, key=lambda a: sort_key(places[a]))
    if not texts:
        return addresses
    found: dict[str, None] = {}
    for text in texts:
        below = _below(text)
        matching = [a for a in addresses if below(places[a])]
        if not matching:
            hint = did_you_mean(text, addresses)
            raise fail("No such object in the state", f"The state has nothing at {text}.{hint}")
        found.update(dict.fromkeys(matching))
    return list(found)


def _below(text: str) -> Callable[[Address], bool]:
    try:
        wanted = parse_target(text)
    except AddressError as failure:
        raise fail("Invalid address", f"{failure}.") from None
    if isinstance(wanted, Address):
        address = wanted
        return lambda at: at == address or (address.key is None and at.block == address.block)
    prefix = format_path(wanted)
    inside = (prefix + ".", prefix + "[")

    def in_module(at: Address) -> bool:
        module = format_path(at.module)
        return module == prefix or module.startswith(inside)

    return in_module


@command.command("list")
@click.argument("addresses", nargs=-1)
@click.option("--id", "wanted_id", metavar="ID", help="Only the object with this id.")
@options.backend_variables
@options.state_path
@options.no_color
@click.pass_obj
def list_command(
    cli: Cli, *, addresses: tuple[str, ...], wanted_id: str | None, state_path: str | None, no_color: bool
) -> int:
    """List the objects in the state."""
    state = Workspace(cli, state_path, to_be_there=True).read_state()
    for address in selected(state, addresses):
        instance = state.instances[address]
        if wanted_id is None or wanted_id in (instance.id, *_known_ids(instance.attributes)):
            cli.say(address)
    return FINE


def _known_ids(attributes: object) -> list[str]:
    if not isinstance(attributes, dict):
        return []
    return [v for k, v in attributes.items() if (k == "id" or k.endswith("_id")) and isinstance(v, str)]


@command.command("show")
@click.argument("address")
@options.json_output
@options.show_sensitive
@options.backend_variables
@options.state_path
@options.no_color
@click.pass_obj
def show_command(
    cli: Cli, *, address: str, json: bool, show_sensitive: bool, state_path: str | None, no_color: bool
) -> int:
    """Show one object as the state has it."""
    workspace = Workspace(cli, state_path, to_be_there=True)
    state = workspace.read_state()
    found = selected(state, (address,))
    if len(found) > 1:
        raise fail("Several objects", f"{address} names {len(found)} objects ({', '.join(found[:5])}): name one.")
    instance = state.instances[found[0]]
    if json:
        from hythe.cli.views.json_state import instance_json
        from hythe.cli.views.json_values import dumps

        cli.say(dumps(instance_json(instance, show=show_sensitive), indent=True))
    else:
        from hythe.cli.views.outputs import render_instance

        layout = workspace.layout(instance.kind)
        cli.say(render_instance(instance, cli.out.paint, show_sensitive=show_sensitive, layout=layout))
    return FINE


@command.command("mv")
@click.argument("source")
@click.argument("destination")
@options.switch("--dry-run", False, "Only say what would be done.")
@options.backend_variables
@options.state_path
@options.locking
@options.no_color
@click.pass_obj
def move_command(
    cli: Cli,
    *,
    source: str,
    destination: str,
    dry_run: bool,
    state_path: str | None,
    lock: bool,
    lock_timeout: float,
    no_color: bool,
) -> int:
    """Give an object, all of a block, or all of a module another address. Nothing real is touched."""
    from hythe.cli.state_edits import moves
    from hythe.state.renaming import renamed, renamed_intents

    with Workspace(cli, state_path).locked("state mv", lock, lock_timeout) as store:
        loaded = store.read()
        names = moves(loaded.state, loaded.pending, source, destination)
        if not dry_run:
            loaded.pending = renamed_intents(loaded.pending, names)
            raise_errors(store.write(loaded, renamed(loaded.state, names), "state mv"))
    for old, new in names.items():
        cli.say(f"{'Would move' if dry_run else 'Move'} {old} to {new}")
    if dry_run:
        return FINE
    cli.say(f"Moved {len(names):,} {'object' if len(names) == 1 else 'objects'}.")
    return FINE


@command.command("rm")
@click.argument("addresses", nargs=-1, required=True)
@options.switch("--dry-run", False, "Only say what would be done.")
@options.backend_variables
@options.state_path
@options.locking
@options.no_color
@click.pass_obj
def remove_command(
    cli: Cli,
    *,
    addresses: tuple[str, ...],
    dry_run: bool,
    state_path: str | None,
    lock: bool,
    lock_timeout: float,
    no_color: bool,
) -> int:
    """Forget objects. They stay where they are, and Hythe no longer manages them."""
    from hythe.cli.state_edits import forget, refuse_pending

    with Workspace(cli, state_path).locked("state rm", lock, lock_timeout) as store:
        loaded = store.read()
        names = selected(loaded.state, addresses)
        refuse_pending(loaded.pending, names)
        if not dry_run:
            raise_errors(store.write(loaded, forget(loaded.state, names), "state rm"))
    for name in names:
        cli.say(f"{'Would forget' if dry_run else 'Forgot'} {name}")
    if dry_run:
        return FINE
    cli.say(f"{len(names):,} {'object was' if len(names) == 1 else 'objects were'} forgotten; nothing was destroyed.")
    return FINE


@command.command("pull")
@options.backend_variables
@options.state_path
@options.no_color
@click.pass_obj
def pull_command(cli: Cli, *, state_path: str | None, no_color: bool) -> int:
    """Print the state as it is stored, sensitive values included."""
    from hythe.state.codec import encode_snapshot

    loaded = Workspace(cli, state_path, to_be_there=True).store.read()
    if loaded.fresh:
        return FINE
    data, _ = encode_snapshot(loaded.state, loaded.pending)
    cli.out.put(data.decode())
    return FINE


@command.command("push")
@click.argument("path")
@options.switch("--force", False, "Even over another or a newer state, and a file that was edited by hand.")
@options.backend_variables
@options.state_path
@options.locking
@options.no_color
@click.pass_obj
def push_command(
    cli: Cli, *, path: str, force: bool, state_path: str | None, lock: bool, lock_timeout: float, no_color: bool
) -> int:
    """Store a state file (- for standard input) in place of the state. The old one is kept as a backup."""
    from hythe.cli.state_edits import check_push, current_or_lost, read_pushed

    data = sys.stdin.buffer.read() if path == "-" else _read(path)
    workspace = Workspace(cli, state_path)
    snapshot = read_pushed(data, "standard input" if path == "-" else path, workspace.registry, force=force)
    with workspace.locked("state push", lock, lock_timeout) as store:
        loaded = current_or_lost(store, force=force)
        if not force:
            check_push(loaded, snapshot)
        loaded.pending = snapshot.pending
        found = store.write(loaded, snapshot.state, "state push")
        cli.report(found)
        if any(d.is_error for d in found):
            return FAILED
    cli.say(f"The state now holds {len(snapshot.state.instances):,} objects (serial {snapshot.state.serial}).")
    return FINE


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as failure:
        raise fail("File not readable", f"{path} cannot be read: {failure.strerror}.") from None
