"""``hythe init``."""

from __future__ import annotations

import os
from typing import Any

import click

from hythe.cli import options
from hythe.cli.arguments import Command, usage_error
from hythe.cli.context import FAILED, FINE, Cli
from hythe.cli.folder import make_folder
from hythe.cli.migrate import BackendRequest, prepare
from hythe.cli.sources import require_folder
from hythe.cli.workspace import Workspace
from hythe.diagnostic import DiagnosticError
from hythe.state.backends.base import DEFAULT_WORKSPACE


@click.command(cls=Command)
@options.read_input
@options.switch("--get", True, "Fetch modules that are missing: =false uses those that are there.")
@options.switch("--upgrade", False, "Find anew what the lock file holds.")
@click.option(
    "--lockfile", type=click.Choice(["readonly"]), help="Leave the lock file as it is: what is not in it is an error."
)
@options.switch("--backend", True, "See to the backend: =false leaves it alone.")
@click.option(
    "--backend-config",
    "backend_config",
    multiple=True,
    metavar="NAME=VALUE|PATH",
    help="An argument for the backend block, or a file of them; kept for later commands.",
)
@options.switch("--migrate-state", False, "Copy the states of all workspaces to the new backend.")
@options.switch("--force-copy", False, "As --migrate-state, without asking.")
@options.switch("--reconfigure", False, "Go on with the new backend as it is, and forget the old one.")
@options.variables
@options.state_path
@options.locking
@options.compact
@options.no_color
@click.pass_obj
def command(
    cli: Cli,
    /,
    *,
    get: bool,
    upgrade: bool,
    lockfile: str | None,
    backend: bool,
    state_path: str | None,
    **given: Any,
) -> int:
    """Prepare a folder, and check what it needs. Safe to run again."""
    cli.compact_warnings = given["compact_warnings"]
    if upgrade and not get:
        usage_error("--upgrade and --get=false exclude each other.")
    if upgrade and lockfile:
        usage_error("--upgrade and --lockfile=readonly exclude each other.")
    request = _request(given)
    require_folder(cli)
    workspace = Workspace(cli, state_path)
    make_folder(cli.root)
    found = workspace.validate(fetch=get, upgrade=upgrade, read_only=lockfile is not None)
    cli.report(found)
    if any(d.is_error for d in found):
        return FAILED
    kinds = sorted({b.kind for _, module in workspace.config().module.walk() for b in module.resources.values()})
    if backend:
        prepare(workspace, request)
    if upgrade:
        _upgrade(workspace)
    cli.say(f"Kinds used: {', '.join(kinds) or 'none'}.")
    if backend:
        _say_state(workspace)
    done = cli.out.paint("Hythe is ready here.", "bold", "green")
    cli.say(f"\n{done} hythe plan shows what would be done, hythe doctor checks engines and tools.")
    return FINE


def _request(given: dict[str, Any]) -> BackendRequest:
    migrate, reconfigure, force_copy = given["migrate_state"], given["reconfigure"], given["force_copy"]
    if reconfigure and (migrate or force_copy):
        usage_error("--reconfigure and --migrate-state (or --force-copy) exclude each other.")
    return BackendRequest(
        given["backend_config"],
        migrate,
        reconfigure,
        force_copy,
        ask=given["input"],
        lock=given["lock"],
        lock_timeout=given["lock_timeout"],
    )


def _say_state(workspace: Workspace) -> None:
    cli = workspace.cli
    state = workspace.read_state()
    where = workspace.store.where
    if workspace.store.backend.paths is not None:
        where = os.path.relpath(where, cli.root)
    if workspace.name != DEFAULT_WORKSPACE:
        cli.say(f"Workspace: {workspace.name}.")
    cli.say(f"State: {where}, {len(state.instances):,} objects.")
    if workspace.store.backend.remark:
        cli.say(workspace.store.backend.remark)


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
