"""Whether a state is sound: what checksums cannot tell. Pure, but for :func:`check_backup`.

A state that can be read at all has been checked by then: the snapshot's checksum, the journal's frames, that both
belong together, and that each record can be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain

from hythe.address import Address, AddressError, parse_address
from hythe.diagnostic import Diagnostic, DiagnosticError, Severity, error, warning
from hythe.provider.registry import Registry
from hythe.provider.schema import Path
from hythe.state.backends.base import Backend
from hythe.state.journal import JournalDamaged
from hythe.state.model import InstanceState, Intent, State
from hythe.state.rescue import read_backup_snapshot
from hythe.state.session import Loaded
from hythe.value import is_known

OPS = frozenset({"create", "update", "delete", "swap", "deposed-delete"})


def check_state(loaded: Loaded, registry: Registry) -> list[Diagnostic]:
    """What is wrong with a state that was read; what an interrupted run left open is not."""
    state = loaded.state
    objects = [*state.instances.values(), *state.deposed.values()]
    found = [*_names(state), *_identities(state, loaded.pending)]
    for instance in objects:
        found += _places(instance, state, registry)
        found += _content(instance, registry)
    for intent in loaded.pending:
        found += _open(intent, registry)
    return found


def check_backup(backend: Backend, state: State) -> list[Diagnostic]:
    """What is wrong with the snapshot from before, which nothing needs until the state is damaged."""
    try:
        backup = read_backup_snapshot(backend)
        backend.read_old_journal()
    except DiagnosticError as failure:
        return [replace(d, severity=Severity.WARNING) for d in failure.diagnostics]
    except (OSError, JournalDamaged, ValueError) as failure:
        text = (
            f"The state from before cannot be used: {failure}. Nothing needs it as long as the state itself is sound, "
            "and the next change replaces it."
        )
        return [warning("Backup damaged", text)]
    if backup is not None and backup.state.lineage != state.lineage:
        text = (
            f"The state from before has lineage {backup.state.lineage}, and this one {state.lineage}: it is another "
            "state's, or `hythe state push --force` put this one in its place. The next change replaces it."
        )
        return [warning("Backup of another state", text)]
    return []


def _error(instance: InstanceState, text: str) -> Diagnostic:
    return error("State not consistent", text, address=instance.address)


def _names(state: State) -> Iterator[Diagnostic]:
    if not state.lineage:
        yield error("State not consistent", "The state has no lineage, so its objects' marks cannot be told apart.")
    if state.serial < 0:
        yield error("State not consistent", f"The state has serial {state.serial}, and serials begin at 0.")
    for key, instance in state.instances.items():
        if key != instance.address:
            yield _error(instance, f"The object recorded at {key} has the address {instance.address}.")
    for instance in chain(state.instances.values(), state.deposed.values()):
        at = _address(instance.address)
        if at is None:
            yield _error(instance, f"{instance.address} is no address of an object.")
        elif at.kind != instance.kind:
            yield _error(instance, f"{instance.address} is recorded with kind {instance.kind}.")


def _identities(state: State, pending: Iterable[Intent]) -> Iterator[Diagnostic]:
    objects = [i for i in chain(state.instances.values(), state.deposed.values()) if not _is_data(i.address)]
    makes = [i.instance for i in pending if i.op in ("create", "swap")]
    by_id: dict[str, list[str]] = {}
    for instance in chain(objects, makes):
        by_id.setdefault(instance.id, []).append(instance.address)
    for id, addresses in sorted(by_id.items()):
        if not id:
            yield error("State not consistent", f"These objects have no instance id: {', '.join(sorted(addresses))}.")
        elif len(addresses) > 1:
            text = f"The instance id {id} is recorded more than once: {', '.join(sorted(addresses))}."
            yield error("State not consistent", text)
    for seq, times in sorted(Counter(i.seq for i in pending).items()):
        if times > 1:
            yield error("State not consistent", f"{times} operations left open have the number {seq}.")


def _places(instance: InstanceState, state: State, registry: Registry) -> Iterator[Diagnostic]:
    for other in instance.dependencies:
        if other not in state.instances:
            # as after a refresh that found it gone
            text = f"{instance.address} depends on {other}, which the state does not have. The next apply mends that."
            yield warning("Dependency not in the state", text, address=instance.address)
    if instance.host is None:
        return
    host = state.instances.get(instance.host)
    if host is None:
        # as after a run that was killed when the machine was gone, and what was on it with it
        text = (
            f"{instance.address} is on {instance.host}, which the state does not have. The next apply finds out what "
            "became of it; if the machine was forgotten, forget what is on it, too, with `hythe state rm`."
        )
        yield warning("Machine not in the state", text, address=instance.address)
    elif host.kind in registry and not registry.kind(host.kind).is_machine:
        yield _error(instance, f"{instance.address} is on {instance.host}, which is no machine.")
    seen = {instance.address}
    at = host
    while at is not None:
        if at.address in seen:
            yield _error(instance, f"The machines around {instance.address} contain each other.")
            return
        seen.add(at.address)
        at = state.instances.get(at.host) if at.host is not None else None


def _content(instance: InstanceState, registry: Registry) -> Iterator[Diagnostic]:
    if instance.kind not in registry:
        text = f"There is no kind {instance.kind}: install what brings it, or Hythe can do nothing for this object."
        yield warning("Unknown kind", text, address=instance.address)
        return
    kind = registry.kind(instance.kind)
    if instance.schema_version > kind.version:
        text = (
            f"It was recorded by a newer Hythe (version {instance.schema_version} of {instance.kind}, and this one "
            f"knows {kind.version}). Use that version, or a newer one."
        )
        yield error("Object from a newer version", text, address=instance.address)
        return
    if instance.schema_version < kind.version:
        return
    if not is_known(instance.attributes):
        yield _error(instance, f"{instance.address} holds a value that is not known.")
    schema = kind.data_schema if _is_data(instance.address) else kind.schema
    for path, text in schema.check_stored(instance.attributes):
        yield _error(instance, f"{instance.address} holds a {_place(path)} that {instance.kind} cannot have: {text}.")


def _open(intent: Intent, registry: Registry) -> Iterator[Diagnostic]:
    instance = intent.instance
    if intent.op not in OPS:
        yield _error(instance, f"What was left open on {instance.address} is of no known sort: {intent.op}.")
    if _address(instance.address) is None:
        yield _error(instance, f"An operation was left open on {instance.address}, which is no address.")
    elif instance.kind not in registry:
        text = f"An operation on it was left open, and there is no kind {instance.kind}: install what brings it."
        yield warning("Unknown kind", text, address=instance.address)


def _address(text: str) -> Address | None:
    try:
        return parse_address(text)
    except AddressError:
        return None


def _is_data(text: str) -> bool:
    at = _address(text)
    return at is not None and at.mode == "data"


def _place(path: Path) -> str:
    return ".".join(map(str, path)) if path else "value"
