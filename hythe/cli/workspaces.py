"""``hythe workspace``: list, show, new, select, delete."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from hythe.cli import options
from hythe.cli.arguments import Group
from hythe.cli.context import FINE, Cli, fail, raise_errors
from hythe.cli.folder import (
    WORKSPACE_FILE,
    WORKSPACE_VARIABLE,
    check_workspace_name,
    chosen_workspace,
    drop,
    keep,
)
from hythe.cli.workspace import Workspace
from hythe.diagnostic import DiagnosticError, did_you_mean, warning
from hythe.state.backends.base import DEFAULT_WORKSPACE

if TYPE_CHECKING:
    from hythe.state.store import StateStore


@click.group(cls=Group)
def command() -> None:
    """Keep several states of one configuration apart."""


@command.command("list")
@options.variables
@options.no_color
@click.pass_obj
def list_command(cli: Cli, /, **unused: object) -> int:
    """List the workspaces; a star marks the one that is worked in."""
    current, forced = chosen_workspace(cli)
    # names are told without a key
    for name in Workspace(cli, encrypted=False).storage.workspaces():
        cli.say(f"{'*' if name == current else ' '} {name}")
    if forced:
        # apart from the list, which programs read
        cli.out.flush()
        cli.err.write(f"The workspace is {current}, as the environment variable {WORKSPACE_VARIABLE} says.")
    return FINE


@command.command("show")
@options.no_color
@click.pass_obj
def show_command(cli: Cli, *, no_color: bool) -> int:
    """Print the name of the workspace."""
    cli.say(chosen_workspace(cli)[0])
    return FINE


@command.command("new")
@click.argument("name")
@click.option("--state", "source", metavar="PATH", help="Begin with a copy of this state file.")
@options.variables
@options.locking
@options.no_color
@click.pass_obj
def new_command(
    cli: Cli, /, *, name: str, source: str | None, lock: bool, lock_timeout: float, **unused: object
) -> int:
    """Make a workspace and go there."""
    check_workspace_name(name)
    _refuse_forced(cli)
    workspace = Workspace(cli)
    if name in workspace.storage.workspaces():
        text = f'There is a workspace "{name}" already. `hythe workspace select {name}` goes there.'
        raise fail("Workspace exists already", text)
    _make(workspace, name, source, lock, lock_timeout)
    _go(cli, name)
    done = cli.out.paint(f'Made the workspace "{name}", and went there.', "bold", "green")
    with_what = "It begins with a copy of that state." if source is not None else "Its state is empty."
    cli.say(f"{done} {with_what} Each workspace has a state of its own: plans here see nothing of the others.")
    return FINE


@command.command("select")
@click.argument("name")
@options.switch("--or-create", False, "Make it if it is not there.")
@options.variables
@options.locking
@options.no_color
@click.pass_obj
def select_command(
    cli: Cli, /, *, name: str, or_create: bool, lock: bool, lock_timeout: float, **unused: object
) -> int:
    """Go to another workspace."""
    check_workspace_name(name)
    _refuse_forced(cli)
    workspace = Workspace(cli)
    there = workspace.storage.workspaces()
    if name not in there and not or_create:
        text = f'There is no workspace "{name}".{did_you_mean(name, there)} `hythe workspace new {name}` makes it.'
        raise fail("No such workspace", text)
    made = name not in there
    if made:
        _make(workspace, name, None, lock, lock_timeout)
    _go(cli, name)
    cli.say(f'{"Made the workspace" if made else "The workspace is"} "{name}"{", and went there" if made else " now"}.')
    return FINE


@command.command("delete")
@click.argument("name")
@options.switch("--force", False, "Even if its state has objects, which are forgotten and stay where they are.")
@options.variables
@options.locking
@options.no_color
@click.pass_obj
def delete_command(cli: Cli, /, *, name: str, force: bool, lock: bool, lock_timeout: float, **unused: object) -> int:
    """Delete a workspace and its state."""
    check_workspace_name(name)
    workspace = Workspace(cli)
    if name == DEFAULT_WORKSPACE:
        raise fail("Workspace cannot be deleted", f'The workspace "{name}" is always there.')
    there = workspace.storage.workspaces()
    if name not in there:
        raise fail("No such workspace", f'There is no workspace "{name}".{did_you_mean(name, there)}')
    if name == workspace.name:
        text = f'"{name}" is the workspace that you work in. Go to another one first: `hythe workspace select default`.'
        raise fail("Workspace cannot be deleted", text)
    backend = workspace.storage.backend(name)
    store = workspace.store_in(backend)
    with store.lock("workspace delete", lock_timeout) if lock else nullcontext():
        left = _objects(store, force)
        if left and not force:
            text = (
                f'The state of the workspace "{name}" has {left:,} object{"" if left == 1 else "s"}. `hythe destroy` '
                "there removes them; --force deletes the state all the same, and they stay where they are, unmanaged."
            )
            raise fail("Workspace is not empty", text)
        try:
            backend.delete()
        except OSError as failure:
            text = f"{backend.where} cannot be removed: {failure.strerror or failure}."
            raise fail("Workspace not deleted", text) from None
    cli.say(f'Deleted the workspace "{name}".')
    if left:
        text = f'The workspace "{name}" had {left:,} object{"" if left == 1 else "s"}, which nobody manages any more.'
        cli.report([warning("Objects left behind", f"{text} They stay where they are.")])
    return FINE


def _objects(store: StateStore, force: bool) -> int:
    """How many objects a state has, those of operations left open included. One that is damaged can be forced away."""
    try:
        loaded = store.read()
    except DiagnosticError:
        if force:
            return 0
        raise
    state = loaded.state
    return len({*state.instances, *state.deposed, *(i.instance.address for i in loaded.pending)})


def _refuse_forced(cli: Cli) -> None:
    current, forced = chosen_workspace(cli)
    if forced:
        text = (
            f"The environment variable {WORKSPACE_VARIABLE} says {current}, and wins. Unset it to choose another one."
        )
        raise fail("Workspace is set by the environment", text)


def _go(cli: Cli, name: str) -> None:
    if name == DEFAULT_WORKSPACE:
        drop(cli.root, WORKSPACE_FILE)
    else:
        keep(cli.root, WORKSPACE_FILE, f"{name}\n".encode())


def _make(workspace: Workspace, name: str, source: str | None, lock: bool, lock_timeout: float) -> None:
    """Write the first state of a workspace. Raises DiagnosticError."""
    from hythe.cli.state_edits import read_snapshot
    from hythe.state.model import State
    from hythe.state.store import new_lineage

    snapshot = read_snapshot(_read(workspace, source), source) if source is not None else None
    store = workspace.store_in(workspace.storage.backend(name))
    with store.lock("workspace new", lock_timeout) if lock else nullcontext():
        loaded = store.read()
        if not loaded.fresh:
            raise fail("Workspace exists already", f'Somebody made a workspace "{name}" meanwhile.')
        loaded.pending = snapshot.pending if snapshot is not None else ()
        state = snapshot.state if snapshot is not None else State(new_lineage())
        raise_errors(store.write(loaded, state, "workspace new", keep_serial=snapshot is not None))


def _read(workspace: Workspace, path: str) -> bytes:
    import os

    try:
        with open(os.path.join(workspace.root, os.path.expanduser(path)), "rb") as file:
            return file.read()
    except OSError as failure:
        raise fail("File not readable", f"{path} cannot be read: {failure.strerror}.") from None
