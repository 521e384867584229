"""Evaluation during apply: what was unknown in the plan, from the configuration that it carries."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace as with_fields
from typing import TYPE_CHECKING, Any

from hythe.address import Address, parse_address
from hythe.diagnostic import Diagnostic, error
from hythe.planner.changes import for_replacement, settled
from hythe.planner.expand import Desired, Evaluation
from hythe.planner.exposure import address_of, expose
from hythe.planner.outputs import evaluate_output
from hythe.planner.plan import Action, Change, Plan
from hythe.planner.planned import DataRequest
from hythe.planner.program import CompiledBlock, Program
from hythe.provider.protocol import Attributes, Project, Reader
from hythe.provider.schema import Path
from hythe.state.model import InstanceState, OutputState, State
from hythe.value import ANY, STRING, Instance, Reference, Unknown, Value, is_known

if TYPE_CHECKING:
    from hythe.modules.language.functions.registry import Environment

Evaluated = tuple[Attributes, tuple[Path, ...], tuple[str, ...], list[Diagnostic]]
"""Attributes, their sensitive paths, the instances they rest on, and what was found wrong."""


class ApplyEvaluator:
    """Evaluates instances while a plan is applied. Safe for several threads, one at a time inside."""

    def __init__(
        self,
        plan: Plan,
        program: Program,
        variables: Mapping[str, Value],
        environment: Environment,
        *,
        project: Project,
        reader: Reader,
        lock: Mapping[str, str],
        open_: Callable[[State, DataRequest], Attributes | Diagnostic] | None = None,
    ) -> None:
        """``open_`` opens ephemeral instances; without it they stay unknown."""
        self.plan = plan
        self.program = program
        self._changes = {c.address: c for c in plan.changes if not c.deposed}
        self._state = State(plan.lineage)
        self._values: dict[str, tuple[object, Value]] = {}
        self._open = open_
        self._mutex = threading.Lock()
        # timestamps and the like are known now
        environment = with_fields(environment, unknown_impure=False)
        self._evaluation = Evaluation(
            program,
            variables,
            environment,
            self,
            project=project,
            reader=reader,
            lock=lock,
            keep_unknown=False,
            defer=True,
        )
        self._conditional = any(b.preconditions for b in program.blocks.values())

    # -- the world ------------------------------------------------------------------------------

    def instance(self, block: CompiledBlock, at: Address) -> Value:
        """The value of an instance: from state where its operation is done, as planned where not."""
        address = str(at)
        current = self._state.instances.get(address)
        known = self._values.get(address)
        if known is not None and known[0] is current:
            return known[1]
        view = self._view(self._changes.get(address), current)
        if view is None:
            return Unknown(ANY)
        attributes, sensitive, identity = view
        exposed = expose(block.schema, attributes, sensitive, self.resolve)
        value = Instance(exposed, block.block.kind, address, identity)
        self._values[address] = (current, value)
        return value

    @staticmethod
    def _view(
        change: Change | None, current: InstanceState | None
    ) -> tuple[Mapping[str, Any], tuple[Path, ...], str | Unknown] | None:
        if change is None or change.after is None:
            return None if current is None else (current.attributes, current.sensitive, current.id)
        if change.mode == "data":
            if change.action is Action.READ and current is not None:
                return current.attributes, current.sensitive, current.id
            return change.after, change.after_sensitive, str(change.after.get("id", change.address))
        made_anew = change.action in (Action.CREATE, Action.REPLACE)
        if current is None or (made_anew and current.id == change.id):
            return change.after, change.after_sensitive, Unknown(STRING)
        if made_anew or change.action is Action.NOOP:
            return current.attributes, current.sensitive, current.id
        merged = {k: v if is_known(v) else current.attributes.get(k) for k, v in change.after.items()}
        return merged, change.after_sensitive, current.id

    def open(self, block: CompiledBlock, at: Address, desired: Desired) -> Attributes | Diagnostic | None:
        """What opening an ephemeral instance gives; None while what it rests on is not done."""
        host = desired.host.address if desired.host is not None else None
        there = host is None or host in self._state.instances
        if self._open is None or not there or not is_known(desired.attributes):
            return None
        return self._open(self._state, DataRequest(str(at), block.block.kind, desired.attributes, host, ephemeral=True))

    def resolve(self, reference: Reference) -> Value:
        """The value behind a reference; its own references are shown as addresses."""
        at = parse_address(reference.address)
        block = self.program.block(at)
        view = self._view(self._changes.get(reference.address), self._state.instances.get(reference.address))
        if block is None or view is None:
            return Unknown(ANY)
        attributes, sensitive, identity = view
        exposed = expose(block.schema, attributes, sensitive, address_of)
        return Instance(exposed, reference.kind, reference.address, identity)

    # -- what apply asks for --------------------------------------------------------------------

    def attributes(self, address: str, state: State) -> Evaluated:
        """What an instance shall be, with everything known that its dependencies made known."""
        at = parse_address(address)
        block = self.program.block(at)
        if block is None:
            text = f"The configuration in the plan has no {at.block}, although it plans {address}."
            return {}, (), (), [error("Plan does not match its configuration", text, address=address)]
        with self._mutex:
            self._begin(state)
            found = self._evaluation.diagnostics
            evaluation = self._evaluation.at(at.module)
            if evaluation is None or at.key not in evaluation.expansion(block).keys:
                text = f"{address} was planned, and now the configuration has no such instance. Make a new plan."
                return {}, (), (), [*found, error("Plan no longer fits", text, block.block.range, address=address)]
            desired = evaluation.desired(block, at.key)
            problems = list(found)
        if desired is None:
            return {}, (), (), problems
        change = self._changes.get(address)
        attributes = desired.attributes
        if change is not None and change.before is not None and block.block.mode == "managed":
            attributes = settled(block, desired, change.before)
            if change.action is Action.REPLACE:
                attributes = for_replacement(block, desired, attributes)
        return attributes, desired.sensitive, tuple(sorted(desired.reads - {address})), problems

    def over(self, state: State) -> Evaluation:
        """The evaluation over a state and what is planned, for expressions from elsewhere; for one thread."""
        self._begin(state)
        return self._evaluation

    def _begin(self, state: State) -> None:
        self._state = state
        self._evaluation.diagnostics.clear()

    def preconditions(self, address: str, state: State) -> list[Diagnostic]:
        """What of an instance's ``precondition`` blocks is not met; some could not be told before."""
        if not self._conditional:
            return []
        at = parse_address(address)
        block = self.program.block(at)
        if block is None or not block.preconditions:
            return []
        with self._mutex:
            self._begin(state)
            evaluation = self._evaluation.at(at.module)
            if evaluation is None:
                return []
            scope = evaluation.instance_scope(block, at.key)
            evaluation.check_rules(block.preconditions, scope, "Resource precondition failed")
            return list(self._evaluation.diagnostics)

    def postconditions(self, address: str, state: State) -> list[Diagnostic]:
        """What the ``postcondition`` blocks of an instance say of it as it is now."""
        at = parse_address(address)
        block = self.program.block(at)
        if block is None or not block.postconditions:
            return []
        with self._mutex:
            self._begin(state)
            evaluation = self._evaluation.at(at.module)
            if evaluation is None:
                return []
            scope = evaluation.instance_scope(block, at.key)
            scope.roots = {**scope.roots, "self": self.instance(block, at)}
            evaluation.check_rules(block.postconditions, scope, "Resource postcondition failed")
            return list(self._evaluation.diagnostics)

    def outputs(self, state: State) -> tuple[dict[str, OutputState], list[Diagnostic]]:
        """The root outputs over the state as it is now; those that cannot be told are left out.

        What of the ``check`` blocks does not hold now is told too.
        """
        out: dict[str, OutputState] = {}
        with self._mutex:
            self._begin(state)
            planned = {o.name for o in self.plan.outputs if not o.removed}
            for name, output in self.program.root.outputs.items():
                if name not in planned:
                    if name in state.outputs:
                        out[name] = state.outputs[name]
                    continue
                found = evaluate_output(self._evaluation, self._evaluation.scope(f"output.{name}"), name, output)
                if found is not None and is_known(found[0]):
                    out[name] = OutputState(*found, output.block.sensitive)
            checked = self._evaluation.check_assertions() if self.plan.complete else []
            return out, [*self._evaluation.diagnostics, *checked]
