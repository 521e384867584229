"""Building the plan: the pure step.

:class:`Builder` walks the blocks in the order of their references. Each instance is evaluated,
compared with reality as refreshed, and its planned self is what later instances see. Nothing here
does IO but through the recorded reader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hythe.address import Address, AddressError, Key, ModulePath, parse_address, parse_target, sort_key
from hythe.diagnostic import Diagnostic, Range, error
from hythe.modules.config import Module, RemovedBlock
from hythe.planner import checks, containment, ephemeral, imports, modules
from hythe.planner.changes import ChangeMaker, data_read
from hythe.planner.deferral import Deferral
from hythe.planner.drift import drift_of
from hythe.planner.expand import Desired, Evaluation
from hythe.planner.exposure import address_of, expose
from hythe.planner.imports import ImportRequest, Imports, Seen
from hythe.planner.order import order
from hythe.planner.plan import Action, Cause, Change, Disruption, Mode, OutputChange
from hythe.planner.planned import DataRequest, Planned
from hythe.planner.program import CompiledBlock, CompiledCall, NodeId, Program
from hythe.planner.refresh import Unreachable
from hythe.planner.repetition import Repeated
from hythe.planner.selection import Selection
from hythe.provider.protocol import Attributes, Kind, Observed, Presence
from hythe.provider.registry import Registry
from hythe.state.model import InstanceState, State
from hythe.value import ANY, Instance, Reference, Unknown, Value, is_known

Observe = Callable[[InstanceState], "Observed | Unreachable"]
"""What refreshing found of an object; what was not refreshed is answered from state."""


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What the user asked for. ``replace`` holds instance addresses, ``targets`` and ``excludes`` texts.

    ``generate``: objects to be taken in that the configuration has no place for are looked at, not refused.
    ``unlimited``: what loses data or disrupts more than is allowed is planned all the same, for whoever only wants to
    know what is wished.
    """

    mode: Mode = Mode.NORMAL
    targets: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    skip_protected: bool = False
    fail_on_unknown: bool = False
    generate: bool = False
    refresh: bool = True
    unlimited: bool = False


@dataclass(slots=True)
class BuildResult:
    """``plan`` is None when there are errors, or when data has to be read first."""

    changes: list[Change] = field(default_factory=list)
    drift: list[Change] = field(default_factory=list)
    outputs: list[OutputChange] = field(default_factory=list)
    requests: list[DataRequest] = field(default_factory=list)
    imports: list[ImportRequest] = field(default_factory=list)
    generated: dict[str, Attributes] = field(default_factory=dict)
    deferred: tuple[str, ...] = ()
    diagnostics: list[Diagnostic] = field(default_factory=list)


class Builder:
    """One build of one plan.

    ``data`` holds what data sources gave in earlier rounds, by address, and ``seen`` the objects to be taken in.
    """

    def __init__(
        self,
        program: Program,
        make_evaluation: Callable[[Builder], Evaluation],
        state: State,
        observe: Observe,
        registry: Registry,
        options: PlanOptions,
        data: Mapping[str, Attributes | Diagnostic],
        seen: Mapping[str, Seen | Diagnostic] | None = None,
    ) -> None:
        self.program = program
        self.state = state
        self.observe = observe
        self.registry = registry
        self.options = options
        self.data = data
        self.seen = seen or {}
        self.planned: dict[str, Planned] = {}
        self.kept: dict[str, Change] = {}
        self.preventions: dict[tuple[ModulePath, NodeId], str | None] = {}
        self.addresses: dict[str, Address] = {}
        self.untold: set[str] = set()
        """Instances that take no part and of which the state has nothing either."""
        self.skipped: list[str] = []
        """Protected instances that are left as they are."""
        self._left_out: set[str] = set()
        self._values: dict[str, Value] = {}
        self.result = BuildResult()
        self.evaluation = make_evaluation(self)
        self.imports = Imports(self.evaluation)
        destroy = options.mode is Mode.DESTROY
        self.selection = Selection(program, state, options.targets, options.excludes, destroy=destroy)
        self.maker = ChangeMaker(self)
        self.deferral = Deferral(self)

    # -- the world that instances see while they are evaluated --------------------------------

    def instance(self, block: CompiledBlock, at: Address) -> Value:
        """The planned value of an instance, Unknown where it could not be planned."""
        address = str(at)
        found = self._values.get(address)
        if found is None:
            planned = self.planned.get(address)
            if planned is None:
                return Unknown(ANY)
            attributes = expose(block.schema, planned.attributes, planned.sensitive, self.resolve)
            found = Instance(attributes, block.block.kind, address, planned.id)
            self._values[address] = found
        return found

    def resolve(self, reference: Reference) -> Value:
        """The value behind a reference that another instance's argument holds.

        Its own references are shown as addresses: following them all would unfold whole chains.
        """
        try:
            at = parse_address(reference.address)
        except ValueError:
            return Unknown(ANY)
        block = self.program.block(at)
        planned = self.planned.get(reference.address)
        if block is None or planned is None:
            return Unknown(ANY)
        attributes = expose(block.schema, planned.attributes, planned.sensitive, address_of)
        return Instance(attributes, reference.kind, reference.address, planned.id)

    def open(self, block: CompiledBlock, at: Address, desired: Desired) -> Attributes | Diagnostic | None:
        """What opening an ephemeral instance gives; None while that is not known."""
        return ephemeral.of_plan(self, block, at, desired)

    # -- the walk -------------------------------------------------------------------------------

    def build(self) -> BuildResult:
        """Walk everything. Diagnostics are collected; the result is complete only without errors."""
        result = self.result
        result.diagnostics += self.selection.diagnostics
        wanted: set[str] = set()
        if self.options.mode is not Mode.DESTROY:
            for node in self.program.order:
                if not self.selection.wants(node):
                    continue
                if self.deferral.covers(node):
                    continue
                for evaluation in self.evaluation.instances(node.module):
                    self._node(evaluation, node, wanted)
        if self.takes_in:
            imports.check_declared(self, self.imports.all())
        self.deferral.keep(wanted)
        self._removals(wanted)
        self.deferral.finish()
        containment.mark(self)
        self._outputs()
        result.diagnostics[:0] = self.evaluation.diagnostics
        if self.options.mode is not Mode.DESTROY and not self.selection.partial:
            result.diagnostics += self.evaluation.check_assertions()
        checks.names(self)
        checks.hosts(self)
        checks.protection(self)
        checks.staying(self)
        order(self)
        self._sort()
        return result

    def _node(self, evaluation: Evaluation, node: NodeId, wanted: set[str]) -> None:
        """One node in one instance of its module."""
        if node.sort in ("managed", "data"):
            self._block(evaluation, self.program.blocks[node], wanted)
        elif node.sort == ephemeral.MODE:
            self._open(evaluation, self.program.blocks[node])
        elif node.sort == "local":
            evaluation.local(node.name)
        elif node.sort == "variable":
            modules.validate(evaluation, node.name)
        elif node.sort == "output" and node.module:
            modules.check_output(evaluation, node.name)
        elif node.sort == "module" and self._failed(evaluation, node, evaluation.module.calls[node.name]):
            # as below: what was in it stays as it is
            wanted |= {a for a in self.state.instances if _is_below(a, evaluation.path, node.name)}

    def _open(self, evaluation: Evaluation, block: CompiledBlock) -> None:
        if self._failed(evaluation, block.node, block):
            return
        for key in evaluation.expansion(block).keys:
            if self.selection.wants_instance(evaluation.address(block, key)):
                evaluation.opened(block, key)

    def _failed(self, evaluation: Evaluation, node: NodeId, block: CompiledBlock | CompiledCall) -> bool:
        """Whether the instances of a block cannot be told, now or ever."""
        expansion = evaluation.expansion(block)
        if expansion.unknown:
            self.deferral.begin(node, block)
        return expansion.failed

    def _block(self, evaluation: Evaluation, block: CompiledBlock, wanted: set[str]) -> None:
        expansion = evaluation.expansion(block)
        if self._failed(evaluation, block.node, block):
            # its objects stay as they are: not knowing which shall exist is no reason to remove any
            at_ = evaluation.address(block, None).block
            wanted |= {a for a in self.state.instances if _address(a).block == at_}
            return
        for key in expansion.keys:
            address = evaluation.address(block, key)
            text = str(address)
            wanted.add(text)
            self.addresses[text] = address
            if not self.selection.wants_instance(address):
                self._leave_out(address, text)
                continue
            desired = evaluation.desired(block, key)
            if desired is None:
                continue
            if self._left_out and not self._left_out.isdisjoint(desired.reads):
                self._left_out.add(text)
                self._leave_out(address, text)
                continue
            if block.block.mode == "data":
                data_read(self, block, text, desired)
            else:
                self.maker.managed(block, text, desired)
            if block.postconditions:
                self._postconditions(evaluation, block, address)

    def _postconditions(self, evaluation: Evaluation, block: CompiledBlock, at: Address) -> None:
        """Check what can be told already; what cannot is checked when the instance is done."""
        if str(at) not in self.kept or self.options.mode is Mode.REFRESH_ONLY:
            return
        scope = evaluation.instance_scope(block, at.key)
        scope.roots = {**scope.roots, "self": self.instance(block, at)}
        evaluation.check_rules(block.postconditions, scope, "Resource postcondition failed")

    def _leave_out(self, address: Address, text: str) -> None:
        """An instance that takes no part is seen as the state has it; users of an excluded one go with it."""
        if self.selection.excludes(address):
            self._left_out.add(text)
        prior = self.state.instances.get(text)
        if prior is None:
            self.untold.add(text)
        else:
            self.planned[text] = Planned(prior.attributes, prior.sensitive, prior.id, prior.host)

    def block_of(self, address: str) -> CompiledBlock | None:
        """The block that an instance belongs to, None when the configuration has none."""
        return self.program.block(_address(address))

    @property
    def takes_in(self) -> bool:
        """Whether there are objects to be taken in."""
        return self.options.mode is Mode.NORMAL and bool(self.program.root.imports)

    def keep(self, change: Change, planned: Planned) -> None:
        """Record an instance's change and what references to it see."""
        self.result.changes.append(change)
        self.kept[change.address] = change
        self.planned[change.address] = planned

    def _removals(self, wanted: set[str]) -> None:
        dependents: dict[str, list[str]] = {}
        for address, instance in self.state.instances.items():
            for used in {*instance.dependencies, *((instance.host,) if instance.host else ())}:
                dependents.setdefault(used, []).append(address)
        for address, instance in self.state.instances.items():
            if address in wanted or address.startswith("data.") or not self.selection.wants_state(address):
                continue
            self._remove(address, instance, tuple(sorted(dependents.get(address, ()))))
        for instance in self.state.deposed.values():
            if not self.selection.wants_state(instance.address):
                continue
            self.result.changes.append(
                Change(
                    address=instance.address,
                    kind=instance.kind,
                    action=Action.DELETE,
                    disruption=Disruption.NONE,
                    before=instance.attributes,
                    before_sensitive=instance.sensitive,
                    id=instance.id,
                    causes=(Cause("left over from an earlier replacement"),),
                    depends_on=(instance.address,) if instance.address in self.planned else (),
                    host=instance.host,
                    deposed=True,
                )
            )

    def _remove(self, address: str, instance: InstanceState, dependents: tuple[str, ...]) -> None:
        observed = self.observe(instance)
        if observed is Presence.ABSENT and instance.tainted:
            # as with what is made anew: parts of it may be there
            observed = dict(instance.attributes)
        drift = drift_of(instance, observed, self._kind_or_none(instance.kind))
        if drift is not None:
            self.result.drift.append(drift)
        if observed is Presence.ABSENT:
            # nothing is left to delete: only the record goes
            action, disruption = Action.FORGET, Disruption.NONE
        elif self.options.mode is Mode.REFRESH_ONLY or instance.kind not in self.registry:
            # nobody could remove what is of a kind that is not there
            action, disruption = Action.NOOP, Disruption.NONE
        elif self._forgotten(address) or self._skips_destroy(address, instance):
            action, disruption = Action.FORGET, Disruption.NONE
        else:
            action = Action.DELETE
            kind = self._kind_or_none(instance.kind)
            disruption = Disruption.DATA_LOSS if kind is not None and kind.holds_data else Disruption.REPLACE
        before = observed if isinstance(observed, dict) else dict(instance.attributes)
        self.result.changes.append(
            Change(
                address=address,
                kind=instance.kind,
                action=action,
                disruption=disruption,
                before=before,
                after=before if action is Action.NOOP else None,
                before_sensitive=instance.sensitive,
                id=instance.id,
                causes=(self._why_removed(address, observed),),
                depends_on=dependents,
                host=instance.host,
                prevent_destroy=instance.prevent_destroy,
                skip_destroy=observed is not Presence.ABSENT and self._skips_destroy(address, instance),
                unknown_host=isinstance(observed, Unreachable),
            )
        )

    def _removed_block(self, address: str) -> RemovedBlock | None:
        return _removed_block(self.program.config.module, _address(address))

    def _forgotten(self, address: str) -> bool:
        """Whether a ``removed`` block says that the object is let go of as it is."""
        removed = self._removed_block(address)
        return removed is not None and not removed.destroy

    def _skips_destroy(self, address: str, instance: InstanceState) -> bool:
        """Whether ``lifecycle { destroy = false }`` says that; of a block that is gone, what it said counts."""
        removed, block = self._removed_block(address), self.block_of(address)
        if removed is not None:
            return False
        return not block.block.lifecycle.destroy if block is not None else instance.skip_destroy

    def _kind_or_none(self, name: str) -> Kind | None:
        return self.registry.kind(name) if name in self.registry else None

    def _why_removed(self, address: str, observed: object) -> Cause:
        if observed is Presence.ABSENT:
            return Cause("it was removed outside Hythe", drift=True)
        if address in self.state.instances and self.state.instances[address].kind not in self.registry:
            return Cause("its kind is not installed, so it is kept as recorded")
        removed = self._removed_block(address)
        if removed is not None and self._forgotten(address):
            return Cause("a removed block lets go of it", range=removed.range)
        if self._skips_destroy(address, self.state.instances[address]):
            return Cause("lifecycle.destroy = false lets go of it")
        if self.options.mode is not Mode.NORMAL:
            return Cause("everything is destroyed")
        at, block = _address(address), self.block_of(address)
        if block is None:
            return Cause("it is no longer in the configuration", range=removed.range if removed else None)
        evaluation = self.evaluation
        for name, key in at.module:
            call = evaluation.module.calls[name]
            if key not in evaluation.expansion(call).keys:
                return _not_included(call, key, f"module.{name}", call.block.range)
            evaluation = evaluation.child(name, key)
        return _not_included(block, at.key, "the block", block.block.range)

    # -- outputs, order -------------------------------------------------------------------------

    def _outputs(self) -> None:
        if self.options.mode is Mode.DESTROY:
            if not self.options.targets and not self.options.excludes:
                for name, old in sorted(self.state.outputs.items()):
                    self.result.outputs.append(
                        OutputChange(name, old.value, None, old.type, old.sensitive, removed=True, existed=True)
                    )
            return
        for name, output in self.program.root.outputs.items():
            if not self.selection.wants(NodeId((), "output", "", name)):
                continue
            change = checks.output(self, name, output)
            if change is not None and (is_known(change.after) or self.options.mode is Mode.NORMAL):
                self.result.outputs.append(change)
        for name, old in sorted(self.state.outputs.items()):
            if name not in self.program.root.outputs and not self.options.targets:
                gone = OutputChange(name, old.value, None, old.type, old.sensitive, removed=True, existed=True)
                self.result.outputs.append(gone)

    def _sort(self) -> None:
        def key(change: Change) -> tuple[object, ...]:
            at = self.addresses.get(change.address)
            if at is None:
                try:
                    at = parse_address(change.address)
                except ValueError:
                    return ((), "", change.address, "", (0, 0, ""), change.deposed)
            return (*sort_key(at), change.deposed)

        self.result.changes.sort(key=key)
        self.result.drift.sort(key=key)


def _address(text: str) -> Address:
    """An address of the state; one that cannot be read is of no block."""
    try:
        return parse_address(text)
    except AddressError:
        return Address((), "", "", text, None)


def _is_below(address: str, path: ModulePath, call: str) -> bool:
    at = _address(address)
    return len(at.module) > len(path) and at.module[: len(path)] == path and at.module[len(path)][0] == call


def _removed_block(root: Module, at: Address) -> RemovedBlock | None:
    """The ``removed`` block that says what becomes of an object: one of its module, or of one above."""
    names = tuple(name for name, _ in at.module)
    resource = (at.mode, at.kind, at.name)
    module: Module | None = root
    for depth in range(len(names) + 1):
        if module is None:
            return None
        found = next((r for r in module.removed if r.names(names[depth:], resource)), None)
        if found is not None or depth == len(names):
            return found
        module = module.children.get(names[depth])
    return None


def _not_included(block: Repeated, key: Key, what: str, place: Range) -> Cause:
    """Why a block or a call has no instance of that key."""
    if key is None and block.enabled is not None:
        return Cause(f"{what} is not enabled", range=block.enabled.range)
    decider = block.for_each or block.count
    how = "for_each" if block.for_each else "count" if block.count else what
    if key is None:
        return Cause(f"{what} now uses {how}", range=decider.range if decider else None)
    if decider is None:
        return Cause(f"{what} no longer uses count or for_each", range=place)
    of = "" if what == "the block" else f" of {what}"
    return Cause(f"{how}{of} no longer includes {key!r}".replace("'", '"'), range=decider.range)


def _instances_of(at: Address | ModulePath, state: State) -> str:
    """The instances of the block that may be meant, as a sentence with a leading space, or ''."""
    there = [a for a in state.instances if isinstance(at, Address) and parse_address(a).block == at.block]
    more = f" and {len(there) - 5:,} more" if len(there) > 5 else ""
    return f" Its block has {', '.join(there[:5])}{more}." if there else ""


def replace_targets(options: PlanOptions, state: State) -> tuple[frozenset[str], list[Diagnostic]]:
    """The addresses that ``--replace`` names, checked."""
    out: set[str] = set()
    found: list[Diagnostic] = []
    for text in options.replace:
        try:
            at = parse_target(text)
        except ValueError as failure:
            found.append(error("Invalid --replace", f"{failure}."))
            continue
        if not isinstance(at, Address) or str(at) not in state.instances:
            text_ = (
                f"There is no instance {text} in the state, so there is nothing to replace.{_instances_of(at, state)}"
            )
            found.append(error("Invalid --replace", text_))
        else:
            out.add(str(at))
    return frozenset(out), found
