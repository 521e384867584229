"""A configuration, a state and a world to plan with, nothing of it outside memory."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import Any

import pytest

from hythe.diagnostic import Diagnostic
from hythe.modules import loader, variables
from hythe.modules.config import InputValue
from hythe.modules.language.functions.registry import Environment
from hythe.planner.build import Builder, BuildResult, PlanOptions
from hythe.planner.edge import project_of
from hythe.planner.expand import Evaluation
from hythe.planner.explain import explain_changes
from hythe.planner.inputs import RecordingReader
from hythe.planner.plan import Change
from hythe.planner.program import compile_config
from hythe.provider.protocol import Attributes, Kind, ReadContext
from hythe.provider.registry import Registry
from hythe.provider.schema import Duration, Effect, Model, Ref, attr, block
from hythe.state.model import InstanceState, State


class Login(Model):
    user: str = attr(..., description="a name", effect=Effect.LIVE)
    password: str | None = attr(None, description="not stored", write_only=True, effect=Effect.LIVE)


class PartModel(Model):
    host: Ref("site") | None = attr(None, description="the host")
    name: str | None = attr(None, description="the name", engine_default=True)
    size: int | None = attr(None, description="changed in place", effect=Effect.LIVE)
    color: str | None = attr(None, description="forces replacement")
    labels: dict[str, str] | None = attr(None, description="labels", effect=Effect.LIVE)
    flags: list[str] | None = attr(None, description="in any order", effect=Effect.LIVE, unordered=True)
    wait: Duration | None = attr(None, description="a duration", effect=Effect.LIVE)
    token: str | None = attr(None, description="not stored", write_only=True, effect=Effect.LIVE)
    login: list[Login] = block(description="logins", effect=Effect.LIVE)
    uses: Ref("part", "unit") | None = attr(None, description="what it is built on")
    protected: bool | None = attr(None, description="never destroyed", effect=Effect.LIVE)
    id: str | None = attr(None, description="the id", computed=True)
    revision: int | None = attr(None, description="grows", computed=True, volatile=True)


class PartData(Model):
    label: str = attr(..., description="what selects it")
    wait: Duration | None = attr(None, description="how long to look")
    key: str | None = attr(None, description="a secret", computed=True, sensitive=True)
    found: list[str] | None = attr(None, description="what there is", computed=True)


class Part(Kind):
    """Named once on a host, and cannot be swapped."""

    name, model, data_model = "part", PartModel, PartData

    def read_data(self, context: ReadContext, desired: Attributes) -> Attributes:
        return {**desired, "key": "hidden", "found": ["a"]}


class Unit(Kind):
    """Any number of one name."""

    name, model, unique_name = "unit", PartModel, False


class Swap(Kind):
    """Named once, and can be swapped."""

    name, model, has_swap = "swap", PartModel, True


class Site(Kind):
    """A host."""

    name, model, on_host, unique_name = "site", PartModel, False, False


def texts(text: str) -> dict[str, str]:
    """The files of a configuration; a line "#> name" begins another one than main.hcl."""
    first, *others = re.split(r"^\s*#> (\S+)\n", textwrap.dedent(text), flags=re.MULTILINE)
    return {"main.hcl": first, **dict(zip(others[::2], others[1::2], strict=True))}


class Planner:
    """Plans texts against states; the last result is kept."""

    def __init__(self) -> None:
        self.registry = Registry({"part": Part(), "unit": Unit(), "swap": Swap(), "site": Site()})
        self.result = BuildResult()

    def build(
        self,
        text: str,
        state: State | None = None,
        world: Mapping[str, Any] | None = None,
        data: Mapping[str, Attributes | Diagnostic] | None = None,
        given: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> BuildResult:
        """Plan; ``world`` overrides what is observed, ``data`` is what data sources gave."""
        config, found = loader.load_texts("/nowhere/shop", texts(text))
        assert not found, found
        inputs = {n: InputValue(v, "a test") for n, v in (given or {}).items()}
        values, found = variables.resolve(config, inputs, lambda *_: [])
        assert not found, found
        program, found = compile_config(config, self.registry)
        if any(d.is_error for d in found):
            self.result = BuildResult(diagnostics=found)
            return self.result
        reader = RecordingReader(config.root)
        environment = Environment(reader=reader, base_dir=config.root, unknown_impure=True)
        project = project_of(config)

        def evaluation(builder: Builder) -> Evaluation:
            return Evaluation(program, values, environment, builder, project=project, reader=reader, lock={})

        def observe(prior: InstanceState) -> Any:
            return (world or {}).get(prior.address, dict(prior.attributes))

        made = PlanOptions(**options)
        state = state or State("lineage")
        self.result = Builder(program, evaluation, state, observe, self.registry, made, data or {}).build()
        return self.result

    def plan(self, text: str, state: State | None = None, **given: Any) -> list[str]:
        """The plan's lines; no errors are expected."""
        result = self.build(text, state, **given)
        assert not [d for d in result.diagnostics if d.is_error], result.diagnostics
        return explain_changes(result.changes).splitlines()

    def errors(self, text: str, state: State | None = None, **given: Any) -> list[str]:
        """The summaries of what is wrong."""
        return [d.summary for d in self.build(text, state, **given).diagnostics if d.is_error]

    def change(self, address: str) -> Change:
        """A change of the last plan."""
        return next(c for c in self.result.changes if c.address == address)

    @staticmethod
    def state(**instances: dict[str, Any]) -> State:
        """A state of parts; keys are names, an ``_`` entry overrides fields of the instance."""
        made = State("lineage")
        for name, attributes in instances.items():
            over = dict(attributes.pop("_", {}))
            kind = over.pop("kind", "part")
            address = over.pop("address", f"{kind}.{name}")
            known = {"id": name, **attributes}
            made.instances[address] = InstanceState(address, f"id-{name}", kind, known, **over)
        return made


@pytest.fixture
def planner() -> Planner:
    return Planner()
