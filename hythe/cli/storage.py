"""From settings to the place where states are kept, and the guard that notices when it is another one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hythe.cli.context import fail, raise_errors
from hythe.diagnostic import Diagnostic, DiagnosticError, error

if TYPE_CHECKING:
    from hythe.cli.backends import Chosen
    from hythe.cli.workspace import Workspace
    from hythe.modules.config import Config
    from hythe.state.backends.base import Backend, Storage

CHANGED = "Backend configuration changed"


def open_storage(workspace: Workspace) -> Storage:
    """The place that the settings name; --state is a file all the same. Raises DiagnosticError.

    Refuses a place that is not the one used last: its states would be taken for all that there is.
    """
    from hythe.state.backends import local

    cli = workspace.cli
    if workspace.given_state is not None:
        path = os.path.join(cli.root, os.path.expanduser(workspace.given_state))
        if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
            # it would be replaced by a file
            raise fail("Not a state file", f"{workspace.given_state} is a device or a pipe. --state names a file.")
        return local.LocalStorage(path)
    config, problems = workspace.peek()
    old = _remembered(cli.root)
    if config.settings.backend is None:
        if old is None:
            return local.open_storage(None, cli.root, cli.environment)
        # the block may be in the part that cannot be read
        raise_errors(problems)
    from hythe.cli.backends import open_chosen

    new = configured(workspace, config, old)
    storage = open_chosen(cli, new)
    refuse_change(workspace, config, old, new, storage)
    workspace.to_remember = lambda: _remember(cli.root, new)
    return storage


def require_file(backend: Backend, given: str) -> None:
    """Refuse a file named with --state that is not there. Raises DiagnosticError."""
    paths = backend.paths
    if paths is not None and not any(
        map(os.path.lexists, (paths.state, paths.journal, paths.backup, paths.old_journal))
    ):
        raise fail("State file not found", f"There is no file {given}, which --state names.")


def _remember(root: str, chosen: Chosen) -> None:
    from hythe.cli.backends import remember

    # whoever may only read can do so all the same
    with contextlib.suppress(DiagnosticError):
        remember(root, chosen)


def refuse_change(workspace: Workspace, config: Config, old: Chosen | None, new: Chosen, storage: Storage) -> None:
    """Refuse a backend that is not the one used last. Raises DiagnosticError."""
    if old is not None:
        if not _same(workspace, config, old, new):
            raise DiagnosticError(_changed(workspace, config, old, new))
        return
    left = stranded(workspace, storage)
    if left:
        raise DiagnosticError(_left_behind(config, new, left))


def _remembered(root: str) -> Chosen | None:
    # most have none: what reads it need not be loaded
    if not os.path.exists(os.path.join(root, ".hythe", "backend.json")):
        return None
    from hythe.cli.backends import remembered

    return remembered(root)


def configured(
    workspace: Workspace,
    config: Config,
    old: Chosen | None,
    given: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Chosen:
    """The backend of the configuration as it is evaluated in a workspace. Raises DiagnosticError.

    ``given`` is what --backend-config gave; by default what it gave before.
    """
    from hythe.cli.backend_block import BlockReader
    from hythe.cli.options import inputs_now

    reader = BlockReader(workspace.cli, config, inputs_now(), workspace.values)
    chosen = reader.read(
        workspace.name if name is None else name, given_before(config, old) if given is None else given
    )
    raise_errors(reader.found)
    return chosen


def given_before(config: Config, old: Chosen | None) -> Mapping[str, Any]:
    """What --backend-config gave for the backend that the configuration names."""
    from hythe.cli.backends import ALIASES

    block = config.settings.backend
    if old is None or block is None or ALIASES.get(block.label, block.label) != old.label:
        return {}
    return old.given


def check_block(workspace: Workspace, config: Config) -> list[Diagnostic]:
    """What is wrong with the backend block as far as it shows without values and connections."""
    if config.settings.backend is None:
        return []
    from hythe.cli.backend_block import BlockReader
    from hythe.cli.options import inputs_now

    reader = BlockReader(workspace.cli, config, inputs_now(), workspace.values, lenient=True)
    try:
        reader.read(workspace.name, {})
    except DiagnosticError as failure:
        reader.found += [d.at(config.settings.backend.range) for d in failure.diagnostics]
    return reader.found


def stranded(workspace: Workspace, storage: Storage) -> list[tuple[str, int]]:
    """The workspaces with objects in the files of whoever sets nothing, each with their number.

    Those that ``storage`` has at the very same place are none.
    """
    from hythe.state.backends import local

    out = []
    beside = workspace.prepared(local.open_storage(None, workspace.root, workspace.cli.environment))
    for name in beside.workspaces():
        backend = beside.backend(name)
        if storage.name == beside.name and storage.backend(name).where == backend.where:
            continue
        # one that was copied elsewhere and then deleted is nobody's concern
        loaded = workspace.store_in(backend).read(lost_is_fresh=True)
        if not loaded.state.is_empty or loaded.pending:
            out.append((name, len(loaded.state.instances) + len(loaded.state.deposed)))
    return out


def _same(workspace: Workspace, config: Config, old: Chosen, new: Chosen) -> bool:
    from hythe.cli.backends import same_place

    if same_place(old, new):
        return True
    # an argument may hold the workspace's name
    return old.workspace != new.workspace and same_place(old, configured(workspace, config, old, name=old.workspace))


_WHAT_TO_DO = (
    "`hythe init --migrate-state` copies the states of all workspaces there; `hythe init --reconfigure` goes on with "
    "what is there, and leaves the old states alone."
)


def _changed(workspace: Workspace, config: Config, old: Chosen, new: Chosen) -> Diagnostic:
    from hythe.cli.backends import described, difference

    block = config.settings.backend
    place = block.range if block is not None else None
    if workspace.from_plan:
        text = f"The plan was made when the state was in {described(new)}, and it is in {described(old)} now."
        return error("Plan for another backend", f"{text} Make a new plan.", None)
    text = f"The state was in {described(old)}, and the configuration says {described(new)} now."
    return error(CHANGED, f"{text}{difference(old, new)} {_WHAT_TO_DO}", place)


def _left_behind(config: Config, new: Chosen, left: list[tuple[str, int]]) -> Diagnostic:
    from hythe.cli.backends import described
    from hythe.state.backends.local import DEFAULT_STATE

    assert config.settings.backend is not None
    count = sum(number for _, number in left)
    names = [name for name, _ in left]
    where = "" if names == ["default"] else f" (workspaces: {', '.join(names)})"
    objects = f"{count:,} object{'' if count == 1 else 's'}"
    text = f"{DEFAULT_STATE} here holds a state with {objects}{where}, and the configuration says {described(new)} now."
    return error(CHANGED, f"{text} {_WHAT_TO_DO}", config.settings.backend.range)
