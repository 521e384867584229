"""From a wished instance and what is there to the change between them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as with_fields
from typing import TYPE_CHECKING, Any

from hythe.diagnostic import Diagnostic, as_warning, error
from hythe.planner import containment, imports
from hythe.planner.diff import (
    FieldChange,
    apply_ignored,
    compare,
    describe,
    equal_values,
    planned_new,
    planned_update,
    unknown_type,
)
from hythe.planner.drift import drift_of
from hythe.planner.expand import Desired
from hythe.planner.exposure import references_in
from hythe.planner.imports import Target
from hythe.planner.plan import Action, Cause, Change, Disruption, Mode
from hythe.planner.planned import DataRequest, Planned
from hythe.planner.prevention import PREVENTED, prevention
from hythe.planner.program import CompiledBlock
from hythe.planner.refresh import Unreachable
from hythe.provider.protocol import Attributes, Presence
from hythe.provider.schema import Effect, Path, storable
from hythe.state.model import InstanceState
from hythe.value import STRING, Reference, Unknown, is_known

if TYPE_CHECKING:
    from hythe.modules.language.references import Traversal
    from hythe.planner.build import Builder

_DISRUPTION = {Effect.LIVE: Disruption.NONE, Effect.RESTART: Disruption.RESTART, Effect.REPLACE: Disruption.REPLACE}
_LIMITS = {"live": Disruption.NONE, "restart": Disruption.RESTART, "replace": Disruption.REPLACE}


@dataclass(slots=True)
class _Subject:
    """The instance that is being planned. ``prior`` is what the state has of it; ``prevented``: it may not go."""

    address: str
    block: CompiledBlock
    desired: Desired
    prior: InstanceState | None
    prevented: bool

    @property
    def host(self) -> str | None:
        """The address of the host it shall be on."""
        return self.desired.host.address if self.desired.host is not None else None

    def change(self, action: Action, **outcome: Any) -> Change:
        """Its change; ``outcome`` holds the fields that depend on what is done."""
        lifecycle, prior, reads = self.block.block.lifecycle, self.prior, self.desired.reads
        fields = {
            "depends_on": tuple(sorted(reads - {self.address})) if reads else (),
            "host": self.host,
            "id": prior.id if prior is not None else None,
            **outcome,
        }
        return Change(
            address=self.address,
            kind=self.block.block.kind,
            action=action,
            create_before_destroy=lifecycle.create_before_destroy,
            prevent_destroy=self.prevented,
            skip_destroy=not lifecycle.destroy,
            range=self.block.block.range,
            before_sensitive=prior.sensitive if prior is not None else (),
            tainted=prior is not None and prior.tainted,
            **fields,
        )


class ChangeMaker:
    """Plans managed instances one by one, for one :class:`~hythe.planner.build.Builder`."""

    def __init__(self, builder: Builder) -> None:
        from hythe.planner.build import replace_targets

        self.builder = builder
        self.asked, problems = replace_targets(builder.options, builder.state)
        builder.result.diagnostics += problems

    def managed(self, block: CompiledBlock, address: str, desired: Desired) -> None:
        """Plan one managed instance."""
        prior = self.builder.state.instances.get(address)
        prevented = prevention(self.builder, self.builder.addresses[address], block) == PREVENTED
        subject = _Subject(address, block, desired, prior, prevented)
        target = None
        if prior is None and self.builder.takes_in:
            target = self.builder.imports.target(self.builder.addresses[address])
        if target is not None:
            self._import(subject, target)
            return
        if prior is None:
            if self.builder.options.mode is not Mode.REFRESH_ONLY:
                self._create(subject, Cause("it does not exist yet", range=block.block.range))
            return
        observed = self.builder.observe(prior)
        if isinstance(observed, Unreachable):
            observed = containment.settled(self.builder, prior, subject.host) or observed
        if isinstance(observed, Unreachable):
            self._keep(subject, prior, dict(prior.attributes), unknown=True)
            return
        if observed is Presence.ABSENT and prior.tainted:
            # parts of it may be there all the same: a disk without its VM
            observed = dict(prior.attributes)
        drift = drift_of(prior, observed, block.kind)
        if drift is not None:
            self.builder.result.drift.append(drift)
        if isinstance(observed, Presence):
            if self.builder.options.mode is not Mode.REFRESH_ONLY:
                gone = Cause("it was removed outside Hythe", drift=True)
                self._create(subject, gone, id=None)
            return
        if self.builder.options.mode is Mode.REFRESH_ONLY:
            self._keep(subject, prior, observed)
            return
        self._existing(subject, prior, observed)

    def _import(self, subject: _Subject, target: Target) -> None:
        kind = subject.block.kind
        there = imports.plan_import(self.builder, kind, subject.address, target, subject.host)
        if there is None:
            return
        wanted = subject.desired.attributes
        observed = imports.taken_in(kind, dict(there.attributes), wanted, self._named)
        self._existing(subject, there, observed)
        change = self.builder.result.changes.pop()
        taken = imports.imported(change, target, there.id)
        if isinstance(taken, Diagnostic):
            self.builder.result.diagnostics.append(taken)
        else:
            self.builder.result.changes.append(taken)
            self.builder.kept[subject.address] = taken

    def _named(self, reference: Reference) -> tuple[Mapping[str, Any], str | Unknown] | None:
        planned = self.builder.planned.get(reference.address)
        return (planned.attributes, planned.id) if planned is not None else None

    def _keep(self, subject: _Subject, prior: InstanceState, attributes: Attributes, *, unknown: bool = False) -> None:
        change = subject.change(
            Action.NOOP,
            before=attributes,
            after=attributes,
            after_sensitive=prior.sensitive,
            unknown_host=unknown,
            depends_on=prior.dependencies,
            host=prior.host,
        )
        self.builder.keep(change, Planned(attributes, prior.sensitive, prior.id, prior.host))

    def _create(self, subject: _Subject, cause: Cause, **outcome: Any) -> None:
        schema, desired = subject.block.kind.schema, subject.desired
        after = storable(schema, planned_new(schema, desired.attributes))
        sensitive = _merge(desired.sensitive, schema.sensitive_paths(after))
        change = subject.change(Action.CREATE, after=after, after_sensitive=sensitive, causes=(cause,), **outcome)
        self.builder.keep(change, Planned(after, sensitive, Unknown(STRING), subject.host))

    def _existing(self, subject: _Subject, prior: InstanceState, observed: Attributes) -> None:
        block, desired = subject.block, subject.desired
        kind, schema = block.kind, block.kind.schema
        wanted = settled(block, desired, observed)
        changes = compare(kind, observed, wanted)
        causes = [self._cause(block, c, prior, wanted) for c in changes]
        forced = self._forced(subject, prior)
        replaced = bool(forced) or any(c.effect is Effect.REPLACE for c in changes)
        if replaced:
            after = storable(schema, planned_new(schema, for_replacement(block, desired, wanted)))
            action, disruption = Action.REPLACE, Disruption.REPLACE
            if kind.holds_data:
                disruption = Disruption.DATA_LOSS
        else:
            after = storable(schema, planned_update(schema, observed, wanted, changes))
            effect = max((c.effect for c in changes), default=Effect.LIVE)
            disruption = _DISRUPTION[effect]
            action = Action.NOOP if not changes else Action.UPDATE
            if effect is Effect.RESTART:
                action = Action.UPDATE_RESTART
        if replaced and not block.block.lifecycle.destroy:
            self._cannot_make_room(subject, (*forced, *causes))
        if any(c.data_loss for c in changes):
            disruption = Disruption.DATA_LOSS
        sensitive = _merge(desired.sensitive, schema.sensitive_paths(after))
        change = subject.change(
            action,
            disruption=disruption,
            before=observed,
            after=after,
            after_sensitive=sensitive,
            changed=tuple(c.name for c in changes),
            replace_paths=tuple((c.name,) for c in changes if c.effect is Effect.REPLACE),
            causes=(*forced, *causes),
        )
        if replaced and self.builder.options.skip_protected:
            from hythe.planner import checks

            protected_by = checks.protector(self.builder, subject.address, observed)
            if protected_by:
                left = checks.leave(self.builder, change, protected_by)
                self.builder.keep(left, Planned(observed, prior.sensitive, prior.id, prior.host))
                return
        self._check_limits(block, change, changes, wanted)
        identity: str | Unknown = Unknown(STRING) if replaced else prior.id
        self.builder.keep(change, Planned(after, sensitive, identity, subject.host, replaced))

    def _cannot_make_room(self, subject: _Subject, causes: Sequence[Cause]) -> None:
        why = f" ({causes[0].text})" if causes else ""
        text = (
            f"{subject.address} would be replaced{why}, and lifecycle.destroy = false lets the old object stay, which "
            "has the name and the place of the new one. Take destroy = false away; or let go of the old one by "
            "`hythe state rm` and give the new one another name."
        )
        place = subject.block.block.lifecycle.range or subject.block.block.range
        problem = error("Instance cannot be replaced", text, place, address=subject.address)
        self.builder.result.diagnostics.append(problem)

    def _forced(self, subject: _Subject, prior: InstanceState) -> list[Cause]:
        block = subject.block
        out: list[Cause] = []
        if prior.tainted:
            out.append(Cause("its creation did not complete, so it is made anew"))
        if subject.address in self.asked:
            out.append(Cause("--replace asks for it"))
        if prior.host != subject.host:
            before, after = prior.host or "the local machine", subject.host or "the local machine"
            out.append(Cause(f"it moves from {before} to {after}", ("host",), block.body.range_of("host")))
        if not block.triggers:
            return out
        at = self.builder.addresses[subject.address]
        evaluation = self.builder.evaluation.at(at.module)
        for compiled, reads, _ in evaluation.triggers(block, at.key) if evaluation is not None else ():
            moved = [a for a in sorted(reads) if self._changes(a, compiled.references)]
            if moved:
                out.append(Cause(f"{moved[0]} changes, which triggers replacement", range=compiled.range))
        return out

    def _changes(self, address: str, references: Sequence[Traversal]) -> bool:
        """Whether a planned instance changes, in the argument referred to where one is named."""
        change = self.builder.kept.get(address)
        if change is None or change.action in (Action.NOOP, Action.READ):
            return False
        if change.action in (Action.CREATE, Action.REPLACE):
            return change.action is Action.REPLACE or change.id is not None
        argument = self._argument(change, references)
        if argument is None:
            return True
        return argument in change.changed or not is_known((change.after or {}).get(argument))

    def _argument(self, change: Change, references: Sequence[Traversal]) -> str | None:
        """The argument of an instance that a trigger names; None when it names the whole."""
        address = self.builder.addresses[change.address]
        first = 1 if address.key is None else 2
        for reference in references:
            if reference.root == address.kind and reference.steps[:1] == (address.name,):
                name = reference.steps[first] if len(reference.steps) > first else None
                return name if isinstance(name, str) else None
        return None

    def _cause(self, block: CompiledBlock, change: FieldChange, prior: InstanceState, wanted: Attributes) -> Cause:
        # the configuration still says what it said at the last apply, so it was the world that moved
        drift = equal_values(prior.attributes.get(change.name), wanted.get(change.name))
        place = block.body.range_of(change.name) or block.block.range
        text = describe(change, drift=drift)
        moved: list[tuple[Path, Reference]] = []
        references_in(change.after, moved)
        for _, reference in moved:
            planned = self.builder.planned.get(reference.address)
            if planned is not None and planned.replaced and change.effect is Effect.REPLACE:
                text = f"{change.name} forces replacement, because {reference.address} is replaced"
                break
            if planned is not None and planned.replaced:
                text = f"{change.name} changes, because {reference.address} is replaced"
        return Cause(text, (change.name,), place, drift)

    def _check_limits(
        self, block: CompiledBlock, change: Change, changes: list[FieldChange], wanted: Attributes
    ) -> None:
        if self.builder.options.unlimited:
            return
        lifecycle = block.block.lifecycle
        found = self.builder.result.diagnostics
        place = change.causes[0].range if change.causes and change.causes[0].range else change.range
        limit = lifecycle.max_disruption
        if limit is not None and change.disruption > _LIMITS[limit]:
            text = (
                f'{change.address} would be changed with the disruption "{_word(change.disruption)}" '
                f'({change.causes[0].text}), and its lifecycle allows "{limit}" at most. '
                "Raise max_disruption, or take the change back."
            )
            found.append(error("Disruption not allowed", text, place, address=change.address))
        lossy = [c for c in changes if c.data_loss and not containment.follows_host(self.builder, c)]
        if lossy and change.action is not Action.NOOP and not wanted.get("allow_data_loss"):
            names = ", ".join(c.name for c in lossy)
            text = (
                f"Changing {names} of {change.address} would lose the data in it. Set allow_data_loss = true to "
                "accept that, or take the change back."
            )
            found.append(error("Change would lose data", text, place, address=change.address))


def settled(block: CompiledBlock, desired: Desired, observed: Mapping[str, Any]) -> Attributes:
    """The wish for an object that exists: what the configuration leaves open stays as it is.

    That holds for default names too: once chosen, they outlive a move of the configuration.
    """
    wanted = dict(desired.attributes)
    schema = block.kind.schema
    for name in schema.engine_defaults:
        if name in observed and name not in desired.given and schema.attributes[name].engine_default:
            wanted[name] = observed[name]
    lifecycle = block.block.lifecycle
    if lifecycle.ignore_all:
        return dict(observed)
    if lifecycle.ignore_changes:
        return dict(apply_ignored(observed, wanted, lifecycle.ignore_changes))
    return wanted


def for_replacement(block: CompiledBlock, desired: Desired, wanted: Mapping[str, Any]) -> Attributes:
    """What the new object of a replacement is made of: what the engine chose is chosen anew."""
    attributes = block.kind.schema.attributes
    return {
        name: value
        for name, value in wanted.items()
        if name in desired.attributes or not (attributes[name].engine_default or attributes[name].computed)
    }


def _word(disruption: Disruption) -> str:
    return disruption.name.lower().replace("_", " ")


def _merge(some: tuple[Path, ...], more: tuple[Path, ...]) -> tuple[Path, ...]:
    return tuple(dict.fromkeys((*some, *more))) if more else some


def data_read(builder: Builder, block: CompiledBlock, address: str, desired: Desired) -> None:
    """Plan a data source: read already, to be read now, or only during apply."""
    kind = block.kind
    schema = block.schema
    host = desired.host.address if desired.host is not None else None
    base = Change(
        address=address,
        kind=kind.name,
        action=Action.NOOP,
        mode="data",
        depends_on=tuple(sorted(desired.reads)),
        host=host,
        range=block.block.range,
        after_sensitive=desired.sensitive,
        of_check=block.block.check is not None,
    )
    waiting = sorted(a for a in desired.reads if pending(builder, a))
    there_later = host is not None and host in waiting
    if not is_known(desired.attributes) or there_later or (waiting and (block.depends_on or base.of_check)):
        after = {**{n: Unknown(unknown_type(s)) for n, s in schema.attributes.items()}, **desired.attributes}
        why = "what it selects is known only after apply" if not waiting else f"{waiting[0]} changes first"
        cause = Cause(why, range=block.block.range)
        sensitive = _merge(desired.sensitive, schema.sensitive_paths(after))
        change = with_fields(base, action=Action.READ, after=after, after_sensitive=sensitive, causes=(cause,))
        builder.keep(change, Planned(after, sensitive, Unknown(STRING), host))
        return
    given = builder.data.get(address)
    if given is None:
        builder.result.requests.append(DataRequest(address, kind.name, desired.attributes, host))
        after = {n: Unknown(unknown_type(s)) for n, s in schema.attributes.items()}
        sensitive = _merge(desired.sensitive, schema.sensitive_paths(after))
        builder.planned[address] = Planned(after, sensitive, Unknown(STRING), host)
    elif isinstance(given, Diagnostic):
        told = given.at(block.block.range, address)
        builder.result.diagnostics.append(as_warning(told) if base.of_check else told)
        if not base.of_check:
            builder.planned[address] = Planned({}, (), Unknown(STRING), host)
    else:
        sensitive = _merge(desired.sensitive, schema.sensitive_paths(given))
        change = with_fields(base, before=given, after=given, after_sensitive=sensitive)
        builder.keep(change, Planned(given, sensitive, str(given.get("id", address)), host))


def pending(builder: Builder, address: str) -> bool:
    """Whether an instance is to be made, or changed: reading before that would show what it was."""
    planned: Planned | None = builder.planned.get(address)
    change = builder.kept.get(address)
    changes = change is not None and change.action in (Action.UPDATE, Action.UPDATE_RESTART)
    return changes or (planned is not None and isinstance(planned.id, Unknown))
