"""``hythe import``."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from hythe.address import Address, AddressError, parse_address
from hythe.cli import options
from hythe.cli.arguments import Command
from hythe.cli.context import FAILED, FINE, Cli, fail, raise_errors
from hythe.cli.evaluation import Expressions
from hythe.cli.sources import require_folder
from hythe.cli.views.progress import open_progress
from hythe.cli.workspace import Workspace
from hythe.diagnostic import DiagnosticError, did_you_mean
from hythe.value import Reference, Unknown

if TYPE_CHECKING:
    from hythe.provider.hosts import Hosts
    from hythe.provider.protocol import Attributes, Context, Kind
    from hythe.state.model import InstanceState, State


@click.command(cls=Command)
@click.argument("address")
@click.argument("object_id", metavar="ID")
@options.variables
@options.state_path
@options.locking
@options.read_input
@options.compact
@options.no_color
@click.pass_obj
def command(
    cli: Cli,
    *,
    address: str,
    object_id: str,
    var: tuple[str, ...],
    var_file: tuple[str, ...],
    state_path: str | None,
    lock: bool,
    lock_timeout: float,
    input: bool,
    compact_warnings: bool,
    no_color: bool,
) -> int:
    """Take an existing object into the state. ID is what its engine calls it, for example a container's name."""
    from hythe.state.upgrade import upgrade_instances

    cli.compact_warnings = compact_warnings
    require_folder(cli)
    workspace = Workspace(cli, state_path)
    try:
        at = parse_address(address)
    except AddressError as failure:
        raise fail("Invalid address", f"{failure}.") from None
    from hythe.cli.state_edits import refuse_pending

    variables = workspace.variables(options.inputs_in_order(), ask=input)
    with workspace.locked("import", lock, lock_timeout) as store, workspace.hosts() as hosts:
        loaded = store.read()
        upgrade_instances(loaded, workspace.registry)
        refuse_pending(loaded.pending, [address])
        importer = _Importer(cli, workspace, at, variables, loaded.state)
        importer.open_ids = {i.instance.id for i in loaded.pending}
        made = importer.take(hosts, object_id)
        state = loaded.state.copy()
        state.instances[made.address] = made
        _join_users(state, made)
        found = store.write(loaded, state, "import")
    cli.report(found)
    if any(d.is_error for d in found):
        return FAILED
    done = cli.out.paint("Import successful!", "bold", "green")
    cli.say(f"\n{done} {address} is in the state now. hythe plan shows where it differs from the configuration.")
    return FINE


def _join_users(state: State, made: InstanceState) -> None:
    """What refers to this very object depends on it (again): it is destroyed first."""
    from dataclasses import replace

    from hythe.planner.exposure import references_in
    from hythe.provider.schema import Path

    for address, user in state.instances.items():
        found: list[tuple[Path, Reference]] = []
        references_in(user.attributes, found)
        if made.address not in user.dependencies and any(r.id == made.id for _, r in found):
            state.instances[address] = replace(user, dependencies=tuple(sorted({*user.dependencies, made.address})))


class _Importer:
    """Takes one object in."""

    def __init__(self, cli: Cli, workspace: Workspace, at: Address, variables: Mapping[str, Any], state: State) -> None:
        self.cli, self.workspace, self.at, self.state = cli, workspace, at, state
        self.expressions = Expressions(workspace.config(), workspace.registry, variables, state, workspace.name)
        self.open_ids: set[str] = set()
        """The ids of objects whose operations an interrupted run left open."""
        raise_errors(self.expressions.problems)
        self._check_address()

    def _check_address(self) -> None:
        at = self.at
        from hythe.planner.program import node_of

        blocks = self.expressions.program.blocks
        if at.mode != "managed" or node_of(at) not in blocks:
            hint = did_you_mean(str(node_of(at)), map(str, blocks))
            raise fail(
                "Resource not in the configuration",
                f"The configuration has no resource {at.block}.{hint} Write its block first, then import into it.",
            )
        if str(at) in self.state.instances:
            raise fail(
                "Address taken",
                f"The state has an object at {at} already. hythe state rm {at} forgets it, if that is meant.",
            )

    def take(self, hosts: Hosts, object_id: str) -> InstanceState:
        """The object as an instance for the state. Raises DiagnosticError."""
        from hythe.planner.imports import own_identity, taken_in
        from hythe.provider.protocol import ProviderError
        from hythe.state.model import InstanceState

        kind = self.workspace.registry.kind(self.at.kind)
        reference = self._host_reference()
        host = reference.address if reference is not None else None
        identity = str(uuid.uuid4())
        with open_progress(self.cli.out, self.cli.report):
            try:
                context = self._context(hosts, host, identity)
                attributes = kind.import_object(context, object_id)
                identity = own_identity(self.state, kind, context, attributes, self.open_ids)
            except ProviderError as failure:
                raise DiagnosticError(*failure.diagnostics) from None
            except NotImplementedError:
                raise fail("Import not supported", f"Objects of the kind {self.at.kind} cannot be imported.") from None
        desired, _ = self.expressions.wanted(self.at)
        wanted = desired.attributes if desired is not None else {}
        attributes = taken_in(kind, attributes, wanted, self._named)
        if reference is not None and "host" in kind.schema.attributes:
            attributes = {**attributes, "host": reference}
        self._check_unowned(kind, attributes, host)
        return InstanceState(
            str(self.at),
            identity,
            self.at.kind,
            attributes,
            tuple(dict.fromkeys((*(desired.sensitive if desired else ()), *kind.schema.sensitive_paths(attributes)))),
            self._used(),
            host,
            schema_version=kind.version,
        )

    def _named(self, reference: Reference) -> tuple[Mapping[str, Any], str] | None:
        known = self.state.instances.get(reference.address)
        return (known.attributes, known.id) if known is not None else None

    def _used(self) -> tuple[str, ...]:
        """What the configuration lets it use, so that destroying keeps the order even before the next apply."""
        from hythe.planner.exposure import references_in
        from hythe.provider.schema import Path

        desired, _ = self.expressions.desired(self.at)
        found: list[tuple[Path, Reference]] = []
        references_in(desired, found)
        return tuple(sorted({r.address for _, r in found if r.address in self.state.instances}))

    def _host_reference(self) -> Reference | None:
        desired, found = self.expressions.desired(self.at)
        raise_errors(found)
        host = desired.get("host")
        if isinstance(host, Unknown):
            text = f"Which host {self.at} is on is known only after apply. Apply its host first."
            raise fail("Host not known", text)
        if isinstance(host, Reference):
            if host.address not in self.state.instances:
                text = f"{self.at} is on {host.address}, which is not in the state. Apply or import that host first."
                raise fail("Host not known", text)
            return host
        return None

    def _context(self, hosts: Hosts, host: str | None, identity: str) -> Context:
        from hythe.modules import lockfile
        from hythe.planner.edge import project_of
        from hythe.planner.imports import context_of

        config = self.workspace.config()
        lock = lockfile.load(config.root)[0]
        project = project_of(config, self.workspace.name)
        return context_of(
            self.state, hosts, host, str(self.at), identity, project=project, base_dir=config.root, lock=lock
        )

    def _check_unowned(self, kind: Kind, attributes: Attributes, host: str | None) -> None:
        from hythe.planner.imports import owner_of

        owner = owner_of(self.state, kind, host, attributes)
        if owner is not None:
            text = f"The object is in the state already, as {owner}. hythe state mv gives it a new address."
            raise fail("Object already managed", text)
