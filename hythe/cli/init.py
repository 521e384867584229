"""``hythe init``."""

from __future__ import annotations

import os

import click

from hythe.cli import options
from hythe.cli.arguments import Command
from hythe.cli.context import FAILED, FINE, Cli, fail
from hythe.cli.workspace import Workspace, require_folder
from hythe.diagnostic import DiagnosticError
from hythe.modules.working import FOLDER, make_folder


@click.command(cls=Command)
@options.read_input
@options.switch("--upgrade", False, "Find anew what the lock file holds.")
@options.state_path
@options.compact
@options.no_color
@click.pass_obj
def command(
    cli: Cli, *, input: bool, upgrade: bool, state_path: str | None, compact_warnings: bool, no_color: bool
) -> int:
    """Prepare a folder, and check what it needs. Safe to run again."""
    cli.compact_warnings = compact_warnings
    require_folder(cli)
    workspace = Workspace(cli, state_path)
    _make_folder(cli.root)
    found = workspace.validate(fetch=True, upgrade=upgrade)
    cli.report(found)
    if any(d.is_error for d in found):
        return FAILED
    if upgrade:
        _upgrade(workspace)
    kinds = sorted({b.kind for _, module in workspace.config().module.walk() for b in module.resources.values()})
    state = workspace.read_state()
    cli.say(f"Kinds used: {', '.join(kinds) or 'none'}.")
    cli.say(f"State: {os.path.relpath(workspace.store.where, cli.root)}, {len(state.instances):,} objects.")
    done = cli.out.paint("Hythe is ready here.", "bold", "green")
    cli.say(f"\n{done} hythe plan shows what would be done, hythe doctor checks engines and tools.")
    return FINE


def _make_folder(root: str) -> None:
    try:
        make_folder(root)
    except OSError as failure:
        raise fail(
            "Working folder not writable",
            f"{os.path.join(root, FOLDER)} cannot be made: {failure.strerror}. Hythe keeps its files there.",
        ) from None


def _upgrade(workspace: Workspace) -> None:
    """Ask anew what every locked name stands for, and write that down. Raises DiagnosticError."""
    from hythe.modules import lockfile
    from hythe.provider.protocol import ProviderError

    locked, _ = lockfile.load(workspace.root)
    changed = 0
    with workspace.hosts() as hosts:
        state = workspace.read_state()
        for instance in state.instances.values():
            if instance.kind not in workspace.registry:
                continue
            owner = state.instances.get(instance.host) if instance.host is not None else None
            host = hosts.get(instance.host, owner.attributes if owner is not None else None)
            try:
                found = workspace.registry.kind(instance.kind).latest(host, dict(instance.attributes))
            except ProviderError as failure:
                raise DiagnosticError(*(d.at(address=instance.address) for d in failure.diagnostics)) from None
            if found is not None and locked.get(found[0]) != found[1]:
                locked[found[0]] = found[1]
                changed += 1
    if changed:
        lockfile.save(workspace.root, locked)
    workspace.cli.say(f"{changed} locked digests are newer; hythe plan shows what that changes.")
