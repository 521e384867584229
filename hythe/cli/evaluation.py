"""Evaluating single expressions over configuration and state, for the console."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hythe.address import Address, format_path, parse_address
from hythe.diagnostic import Diagnostic
from hythe.value import ANY, Instance, Reference, Unknown, Value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hythe.modules.config import Config
    from hythe.planner.expand import Desired
    from hythe.planner.program import CompiledBlock, Program
    from hythe.provider.registry import Registry
    from hythe.state.model import State


class StateWorld:
    """Instances as the state has them; what was not applied yet is unknown."""

    def __init__(self, program: Program, state: State) -> None:
        self.program, self.state = program, state
        self._values: dict[str, Value] = {}

    def instance(self, block: CompiledBlock, at: Address) -> Value:
        """The value of an instance."""
        from hythe.planner.exposure import expose

        address = str(at)
        found = self._values.get(address)
        if found is None:
            known = self.state.instances.get(address)
            if known is None:
                return Unknown(ANY)
            attributes = expose(block.schema, known.attributes, known.sensitive, self._resolve)
            found = self._values[address] = Instance(attributes, known.kind, address, known.id)
        return found

    def open(self, block: CompiledBlock, at: Address, desired: Desired) -> None:
        """Nothing: ephemeral values are there only while a plan is made or applied."""

    def _resolve(self, reference: Reference) -> Value:
        at = parse_address(reference.address)
        block = self.program.block(at)
        return Unknown(ANY) if block is None else self.instance(block, at)


class Expressions:
    """Evaluates expressions one by one."""

    def __init__(
        self, config: Config, registry: Registry, variables: Mapping[str, Value], state: State, workspace: str
    ) -> None:
        from hythe.modules.language.functions.registry import Environment
        from hythe.modules.language.rendering import with_templates
        from hythe.planner.edge import project_of
        from hythe.planner.expand import Evaluation
        from hythe.planner.inputs import RecordingReader
        from hythe.planner.program import compile_config

        self.program, self.problems = compile_config(config, registry)
        reader = RecordingReader(config.root)
        environment = Environment(
            reader=reader, base_dir=config.root, now=datetime.now(UTC), home=os.path.expanduser("~")
        )
        self._evaluation = Evaluation(
            self.program,
            variables,
            with_templates(environment),
            StateWorld(self.program, state),
            project=project_of(config, workspace),
            reader=reader,
            lock={},
        )

    def names(self) -> list[str]:
        """Root names, for completion."""
        return sorted(self._evaluation.roots)

    def desired(self, at: Address) -> tuple[Mapping[str, Any], list[Diagnostic]]:
        """What the configuration wants an instance to be, as far as the state lets it be known."""
        wanted, found = self.wanted(at)
        return (wanted.attributes if wanted is not None else {}), found

    def wanted(self, at: Address) -> tuple[Desired | None, list[Diagnostic]]:
        """The same with what is sensitive of it; None where there is no such instance."""
        from hythe.diagnostic import error

        block = self.program.block(at)
        self._evaluation.diagnostics.clear()
        found = self._evaluation.diagnostics
        evaluation = self._evaluation.at(at.module)
        if block is None or evaluation is None:
            text = f"The configuration has no instance {format_path(at.module)}." if block else f"There is no {at}."
            return None, [*found, error("No such instance", text)]
        expansion = evaluation.expansion(block)
        if not expansion.failed and at.key not in expansion.keys:
            known = ", ".join(str(at.block.instance(k)) for k in list(expansion.keys)[:5])
            text = f"The configuration has no instance {at}; it has {known or 'none of this block'}."
            return None, [error("No such instance", text, block.block.range)]
        return evaluation.desired(block, at.key), list(found)

    def evaluate(self, text: str) -> tuple[Value, list[Diagnostic]]:
        """The value of an expression and what was found wrong; with an error the value is Unknown."""
        from hythe.modules import syntax
        from hythe.modules.language.compile import compile_expression
        from hythe.value import Lazy

        expression, source, found = syntax.parse_expression(text, "<console>")
        if expression is None or any(d.is_error for d in found):
            return Unknown(), found
        self._evaluation.diagnostics.clear()
        value = compile_expression(expression, source).evaluate(self._evaluation.scope())
        if isinstance(value, Lazy):
            value = value.force(set())
        return value, [*found, *self._evaluation.diagnostics]


def type_name(value: Value) -> str:
    """The type of a value as the language spells it."""
    from hythe.modules.language.types import type_of
    from hythe.value import unmark

    return str(type_of(unmark(value)[0]))
