"""The part of ``hythe init`` that sees to the backend: what it is given, and moving states when it is another one."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hythe.cli.backend_block import given_arguments
from hythe.cli.backends import Chosen, described, open_chosen, remember, remembered
from hythe.cli.confirm import confirmed
from hythe.cli.context import Cli, fail
from hythe.cli.storage import configured, given_before, refuse_change, stranded
from hythe.diagnostic import DiagnosticError, warning
from hythe.state.migration import Copy

if TYPE_CHECKING:
    from hythe.cli.workspace import Workspace
    from hythe.modules.config import Config
    from hythe.state.backends.base import Storage


@dataclass(frozen=True, slots=True)
class BackendRequest:
    """What the user asked ``init`` to do about the backend."""

    given: tuple[str, ...] = ()
    migrate: bool = False
    reconfigure: bool = False
    force_copy: bool = False
    ask: bool = True
    lock: bool = True
    lock_timeout: float = 0.0


def prepare(workspace: Workspace, request: BackendRequest) -> None:
    """Make the configuration's backend the one that is used, if that can be done without asking for more.

    Raises DiagnosticError.
    """
    if workspace.given_state is not None:
        return
    config = workspace.config()
    old = _old(workspace, request)
    new = _new(workspace, config, old, request)
    if request.reconfigure:
        open_chosen(workspace.cli, new)
        remember(workspace.root, new)
        return
    storage = workspace.prepared(open_chosen(workspace.cli, new))
    if not (request.migrate or request.force_copy):
        refuse_change(workspace, config, old, new, storage)
    elif old is not None or stranded(workspace, storage):
        _migrate(workspace, old or Chosen("local"), new, storage, request)
    # one that does not answer may be a mistake, and to mend that must be no change of backend
    workspace.store_in(storage.backend(workspace.name)).read()
    remember(workspace.root, new)


def _old(workspace: Workspace, request: BackendRequest) -> Chosen | None:
    try:
        return remembered(workspace.root)
    except DiagnosticError:
        if request.reconfigure:
            return None
        raise


def _new(workspace: Workspace, config: Config, old: Chosen | None, request: BackendRequest) -> Chosen:
    """The configuration's backend, with what --backend-config gives now and gave before."""
    given = given_arguments(workspace.cli, [text for text in request.given if text])
    if config.settings.backend is None:
        if given:
            text = "--backend-config fills in a backend block, and the configuration has none: it is without effect."
            workspace.cli.report([warning("No backend to configure", text)])
        return configured(workspace, config, None, {})
    # an empty one takes back what was given before
    kept = {} if request.reconfigure or "" in request.given else dict(given_before(config, old))
    return configured(workspace, config, old, {**kept, **given})


def _migrate(workspace: Workspace, old: Chosen, new: Chosen, target: Storage, request: BackendRequest) -> None:
    cli = workspace.cli
    if old.label == new.label:
        # what was not written down is as it is now
        arguments = {**{n: v for n, v in new.arguments.items() if n in old.unkept}, **old.arguments}
        old = replace(old, arguments=arguments)
    source = workspace.prepared(open_chosen(cli, old))
    with ExitStack() as stack:
        copies = []
        for name in source.workspaces():
            copy = _open(workspace, source, target, name, request, stack)
            if copy is not None:
                copies.append(copy)
        wanted = [copy for copy in copies if copy.check()]
        if not wanted:
            cli.say("No state needs to be copied.")
            return
        _approve(cli, old, new, [copy.workspace for copy in wanted], request)
        for copy in wanted:
            copy.run()
    count = f"{len(wanted):,} state{'' if len(wanted) == 1 else 's'}"
    names = [copy.workspace for copy in wanted]
    cli.say(
        f"Copied {count} ({', '.join(names)}) from {described(old)} to {described(new)}, and read back the same. The "
        "old ones are still there: delete them when nobody needs them any more."
    )


def _open(
    workspace: Workspace, source: Storage, target: Storage, name: str, request: BackendRequest, stack: ExitStack
) -> Copy | None:
    """Both states of a workspace, locked and read; None when there is nothing to copy."""
    origin = source.backend(name)
    store = workspace.store_in(origin)
    if store.read().fresh:
        return None
    if request.lock:
        stack.enter_context(store.lock("init", request.lock_timeout))
    loaded = store.read()
    destination = target.backend(name)
    if source.name == target.name and origin.where == destination.where:
        return None
    there = workspace.store_in(destination)
    if request.lock:
        stack.enter_context(there.lock("init", request.lock_timeout))
    return Copy(name, store, there, loaded, there.read())


def _approve(cli: Cli, old: Chosen, new: Chosen, names: list[str], request: BackendRequest) -> None:
    """Ask, unless that was said before. Raises DiagnosticError when it is not to be."""
    if request.force_copy:
        return
    if not request.ask:
        raise fail("Approval needed", "--input=false forbids asking whether states may be copied. Give --force-copy.")
    states = "the state" if len(names) == 1 else f"{len(names):,} states"
    question = f"Do you want to copy {states} ({', '.join(names)}) from {described(old)} to {described(new)}?"
    if not confirmed(cli, question, without="--force-copy"):
        text = "Nothing was copied, and the state is where it was. `hythe init --reconfigure` goes on without copying."
        raise fail("Migration cancelled", text)
