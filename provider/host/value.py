"""The ``value`` kind: keeps a value in the state and touches nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from hythe.diagnostic import Diagnostic
from hythe.provider.protocol import (
    Attributes,
    Context,
    Found,
    Identity,
    Kind,
    Observed,
    Owned,
    PrepareContext,
    ReadContext,
    ReadRequest,
)
from hythe.provider.schema import Effect, Model, attr


class ValueModel(Model):
    """A value kept in the state."""

    input: Any = attr(description="Any value; it can be read as `output`.", effect=Effect.LIVE)
    triggers: Any = attr(description="Any value; when it changes, the instance is replaced.")
    output: Any = attr(
        description="What `input` was at the last apply.", computed=True, volatile=True, effect=Effect.LIVE
    )


class ValueData(Model):
    """A value worked out while planning."""

    input: Any = attr(description="Any value; it can be read as `output`.")
    output: Any = attr(description="The value of `input`.", computed=True)


class ValueKind(Kind):
    """Keeps a value in the state and touches nothing.

    It carries values from one apply to the next, gives `replace_triggered_by` something to watch that is
    no object of its own, and lets other resources be replaced in its wake.
    """

    name = "value"
    rebuild_note = "It is what the configuration says, so it comes back with it."
    model = ValueModel
    data_model = ValueData
    on_host = False
    unique_name = False
    observed = False
    concurrency = 1000
    mirrors = {"output": "input"}  # noqa: RUF012 - the base declares it a ClassVar

    def prepare(self, desired: Attributes, context: PrepareContext) -> tuple[Attributes, list[Diagnostic]]:
        """``output`` is known as soon as ``input`` is."""
        return _with_output(desired), []

    def fitted(self, seen: Attributes, wanted: Mapping[str, Any]) -> Attributes:
        """The text may be the JSON of what is wanted; triggers are what they are."""
        known = {**seen, **({"triggers": wanted["triggers"]} if "triggers" in wanted else {})}
        try:
            value = json.loads(str(seen["input"]), parse_float=Decimal)
        except ValueError:
            return known
        same = not isinstance(wanted.get("input"), str) and value == wanted.get("input")
        return known | {"input": wanted["input"], "output": wanted["input"]} if same else known

    def create(self, context: Context, desired: Attributes) -> Attributes:
        """Nothing to do but to say what will be kept."""
        return _with_output(desired)

    def update(self, context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
        """As :meth:`create`."""
        return _with_output(desired)

    def delete(self, context: Context, before: Attributes) -> None:
        """Nothing to do: it goes with its record in the state."""

    def read_many(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Observed]:
        """What the state has is all there is."""
        return {request.id: dict(request.attributes) for request in requests}

    def find(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Found]:
        """Nothing outlives a killed run: what was intended is done anew."""
        return {}

    def find_owned(self, context: ReadContext) -> list[Owned]:
        """Nothing is found on any host: values live in the state alone."""
        return []

    def recognise(self, context: ReadContext, requests: Sequence[ReadRequest]) -> list[Owned]:
        """All of them: they are what the configuration says."""
        return [Owned(Identity(context.lineage, r.address, r.id), _with_output(dict(r.attributes))) for r in requests]

    def import_object(self, context: Context, object_id: str) -> Attributes:
        """A value by its input: a text, or the JSON of anything else."""
        return {"input": object_id, "output": object_id}

    def read_data(self, context: ReadContext, desired: Attributes) -> Attributes:
        """The input as output."""
        return _with_output(desired)


def _with_output(attributes: Attributes) -> Attributes:
    out = {k: v for k, v in attributes.items() if k != "output"}
    if "input" in out:
        out["output"] = out["input"]
    return out
