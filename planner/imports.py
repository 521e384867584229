"""Existing objects that ``import`` blocks take in.

The plan looks at each object once and shows what would be changed of it; apply looks again, records it, and then
makes the changes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hythe.address import Address, Key
from hythe.diagnostic import Diagnostic, Range, error
from hythe.modules.language.scope import Scope
from hythe.planner.plan import Action, Change
from hythe.planner.program import CompiledImport, NodeId, node_of
from hythe.provider.protocol import (
    Attributes,
    Context,
    HostSource,
    Identity,
    Kind,
    Project,
    ProviderError,
    ReadContext,
    Referent,
)
from hythe.state.model import InstanceState, State
from hythe.value import Reference, Unknown, unmark

if TYPE_CHECKING:
    from hythe.planner.build import Builder
    from hythe.planner.expand import Evaluation


@dataclass(frozen=True, slots=True)
class Target:
    """One object to take in. ``id`` is what its engine calls it, Unknown where that cannot be told yet."""

    at: Address
    id: str | Unknown
    range: Range


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """An object to look at before the plan can be finished. ``host`` None is the local machine."""

    address: str
    kind: str
    id: str
    host: str | None
    range: Range


@dataclass(frozen=True, slots=True)
class Seen:
    """An object that was looked at, with the instance id that it gets when it is taken in."""

    attributes: Attributes
    identity: str


class Imports:
    """The import blocks of a configuration, each evaluated when all that it rests on is planned."""

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        self._targets: dict[NodeId, dict[Address, Target]] = {}

    def target(self, at: Address) -> Target | None:
        """What is to become an instance, None for most."""
        node = node_of(at)
        for block in self.evaluation.module.imports:
            if block.target == node:
                found = self._of(block).get(at)
                if found is not None:
                    return found
        return None

    def all(self) -> list[Target]:
        """Every object that is to be taken in; two that shall become one instance are reported."""
        out: dict[Address, Target] = {}
        for block in self.evaluation.module.imports:
            for target in self._of(block).values():
                self._add(out, target)
        return list(out.values())

    def _add(self, table: dict[Address, Target], target: Target) -> None:
        first = table.setdefault(target.at, target)
        if first is not target:
            text = f"What becomes {target.at} is said already at {first.range}."
            self.evaluation.diagnostics.append(error("Duplicate import", text, target.range))

    def _of(self, block: CompiledImport) -> dict[Address, Target]:
        found = self._targets.get(block.node)
        if found is None:
            found = self._targets[block.node] = {}
            expansion = self.evaluation.expansion(block)
            if expansion.unknown and block.for_each is not None:
                text = "Which objects are taken in is known only after apply. Let for_each be known beforehand."
                self.evaluation.diagnostics.append(error("Invalid for_each argument", text, block.for_each.range))
            for key in expansion.keys:
                scope = expansion.bind(key, self.evaluation.scope())
                target = _target(block, scope)
                if target is not None:
                    self._add(found, target)
        return found


def _target(block: CompiledImport, scope: Scope) -> Target | None:
    steps: list[tuple[str, Key]] = []
    for name, compiled in block.to:
        key = unmark(compiled.evaluate(scope))[0] if compiled is not None else None
        if isinstance(key, (Unknown, bool)) or not (key is None or isinstance(key, (str, int))):
            if not isinstance(key, Unknown):
                text = "An instance key is a string or a whole number."
                scope.diagnostics.append(error("Invalid import target", text, block.block.to.range))
            return None
        steps.append((name, key))
    (kind, _), (name, key) = steps[-2:]
    at = Address(tuple(steps[:-2]), "managed", kind, name, key)
    value, marks = unmark(block.id.evaluate(scope))
    problem = ""
    if isinstance(value, Unknown):
        value = Unknown()
    elif "sensitive" in marks or "ephemeral" in marks:
        problem = "The id is shown in the plan, so it cannot be sensitive or ephemeral."
    elif isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        problem = "The id must be a text: what the engine calls the object."
    if problem:
        scope.diagnostics.append(error("Invalid import id", problem, block.block.id.range))
        return None
    return Target(at, value if isinstance(value, Unknown) else str(value), block.block.range)


def plan_import(builder: Builder, kind: Kind, address: str, target: Target, host: str | None) -> InstanceState | None:
    """The object as if it were in the state already; None when it has to be looked at first, or cannot be."""
    found = builder.result.diagnostics
    if isinstance(target.id, Unknown) and (builder.result.requests or builder.result.imports):
        # what is read for the next round may tell
        return None
    if isinstance(target.id, Unknown):
        text = f"Which object becomes {address} is known only after apply. Let the id be known beforehand."
        found.append(error("Invalid import id", text, target.range, address=address))
        return None
    if host is not None and host not in builder.state.instances:
        text = f"{address} is on {host}, which does not exist yet, so there is nothing on it to take in."
        found.append(error("Nothing to import", text, target.range, address=address))
        return None
    seen = builder.seen.get(address)
    if seen is None:
        builder.result.imports.append(ImportRequest(address, kind.name, target.id, host, target.range))
        return None
    if not isinstance(seen, Seen):
        found += [seen.at(target.range, address)] if isinstance(seen, Diagnostic) else []
        return None
    attributes = seen.attributes
    owner = owner_of(builder.state, kind, host, attributes)
    if owner is not None:
        text = (
            f"The object {target.id} is in the state already, as {owner}. Delete the import block, and write a moved "
            f"block if {owner} shall become {address}."
        )
        found.append(error("Object already managed", text, target.range, address=address))
        return None
    hidden = kind.schema.sensitive_paths(attributes)
    return InstanceState(address, seen.identity, kind.name, attributes, hidden, (), host)


Named = Callable[[Reference], tuple[Mapping[str, Any], str | Unknown] | None]
"""The attributes and the id of what a reference means, None where they are not known."""


def taken_in(kind: Kind, seen: Attributes, wanted: Mapping[str, Any], named: Named) -> Attributes:
    """What is recorded of an object: as it was seen, in the configuration's words."""
    fitted = kind.fitted(seen, wanted)
    return kind.linked(aligned(fitted, wanted, named), fitted)


def aligned(seen: Mapping[str, Any], wanted: Mapping[str, Any], named: Named) -> Attributes:
    """What was seen of an object, with references where the configuration has them and names were seen."""
    out = {name: _aligned(value, wanted.get(name), named) for name, value in seen.items()}
    host = wanted.get("host")
    return {**out, "host": host} if isinstance(host, Reference) else out


def _aligned(seen: Any, wanted: Any, named: Named) -> Any:
    if isinstance(wanted, Reference) and isinstance(seen, str):
        attributes, id = named(wanted) or ({}, "")
        same = seen in (attributes.get("name"), attributes.get("id"))
        return Reference(wanted.kind, wanted.address, id) if same else seen
    if isinstance(wanted, dict) and isinstance(seen, dict):
        return {k: _aligned(v, wanted.get(k), named) for k, v in seen.items()}
    if isinstance(wanted, list) and isinstance(seen, list) and len(wanted) == len(seen):
        return [_aligned(v, w, named) for v, w in zip(seen, wanted, strict=True)]
    return seen


def imported(change: Change, target: Target, identity: str) -> Change | Diagnostic:
    """The change of an existing object, as one that takes it in first."""
    from dataclasses import replace

    if change.action is Action.REPLACE:
        why = change.causes[0].text if change.causes else "the configuration wants another one"
        text = (
            f"{change.address} would be taken in and replaced at once ({why}). Let the configuration say what the "
            "object is, or delete the import block and let a new one be made."
        )
        return error("Imported object would be replaced", text, target.range, address=change.address)
    return replace(change, action=Action.ADOPT, id=identity, import_id=str(target.id))


def check_declared(builder: Builder, there: list[Target]) -> None:
    """Report objects that the configuration has no place for; with generation they are looked at instead."""
    for target in there:
        address = str(target.at)
        if address in builder.addresses or address in builder.state.instances or builder.selection.partial:
            continue
        block = builder.program.block(target.at)
        known = target.at.kind in builder.registry
        if block is None and builder.options.generate and known and target.at.key is None and not target.at.module:
            prior = plan_import(builder, builder.registry.kind(target.at.kind), address, target, None)
            if prior is not None:
                builder.result.generated[address] = dict(prior.attributes)
            continue
        if not known:
            text = f'There is no kind "{target.at.kind}".'
        elif block is not None:
            text = f"{target.at.block} is declared, and it has no instance {address}."
        else:
            text = (
                f"The configuration has no {address}. Write its block, or let `hythe plan --generate-config-out=FILE` "
                "write one."
            )
        builder.result.diagnostics.append(error("Import target not declared", text, target.range))


def owner_of(state: State, kind: Kind, host: str | None, attributes: Attributes) -> str | None:
    """The address at which an object is in the state already: two plans for one object would fight."""
    # of images several may share one id: each name is an object
    telling = ("id", "name") if kind.unique_name else ("name", "path")
    for other in state.instances.values():
        if (other.kind, other.host) == (kind.name, host) and any(
            attributes.get(n) is not None and other.attributes.get(n) == attributes[n] for n in telling
        ):
            return other.address
    return None


def own_identity(state: State, kind: Kind, context: Context, seen: Attributes, open_ids: Collection[str] = ()) -> str:
    """The instance id that an object gets when it is taken in.

    One that carries this state's own mark, as one does that was forgotten (``state rm``), keeps the id in it: so what
    uses it sees that it is the same. ``open_ids`` are those of operations that an interrupted run left open.
    """
    looking = ReadContext(context.host, context.local, state.lineage, context.base_dir, context.project)
    taken = {i.id for i in (*state.instances.values(), *state.deposed.values())} | set(open_ids)
    try:
        owned = kind.find_owned(looking)
    except (NotImplementedError, ProviderError):
        owned = []
    for each in owned:
        if each.identity.id not in taken and _is_one(each.attributes, seen):
            return each.identity.id
    return context.identity.id


def _is_one(a: Attributes, b: Attributes) -> bool:
    """Whether two looks were at one object: whatever tells objects apart, as far as both know it, is the same."""
    known = [n for n in ("id", "name", "path") if a.get(n) is not None and b.get(n) is not None]
    return bool(known) and all(a[n] == b[n] for n in known)


def context_of(
    state: State,
    hosts: HostSource,
    host: str | None,
    address: str,
    identity: str,
    *,
    project: Project,
    base_dir: str,
    lock: Mapping[str, str],
) -> Context:
    """What :meth:`~hythe.provider.protocol.Kind.import_object` is called with, outside of an apply."""

    def resolve(reference: Reference) -> Referent:
        known = state.instances[reference.address]
        return Referent(known.kind, known.address, known.id, known.attributes, known.host)

    owner: Any = state.instances[host].attributes if host is not None else None
    return Context(
        host=hosts.get(host, owner),
        local=hosts.local,
        identity=Identity(state.lineage, address, identity),
        resolve=resolve,
        progress=lambda text: None,
        check=lambda: None,
        base_dir=base_dir,
        project=project,
        lock=lock,
        remember_lock=lambda key, digest: None,
    )
