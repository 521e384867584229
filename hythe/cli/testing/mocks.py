"""Kinds that keep their objects in memory, for tests: the same arguments and plans, and nothing is made."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from hythe.address import parse_address
from hythe.diagnostic import Diagnostic
from hythe.provider.protocol import (
    Attributes,
    Context,
    Found,
    Hint,
    Host,
    Identity,
    Kind,
    Observed,
    Owned,
    PrepareContext,
    ReadContext,
    ReadRequest,
)
from hythe.provider.registry import Registry
from hythe.provider.schema import Path, Schema

Values = Mapping[str, Any]


class MockKind(Kind):
    """Stands for another kind. What engines would compute is made up, from ``values`` where they say.

    ``defaults`` are by mode, ``values`` by address; ``every``: whether objects without values of their own are in
    memory too, or real. What is ``there`` already stays what it is: in memory if it is in ``memory``, else real.
    """

    def __init__(
        self,
        real: Kind,
        defaults: Mapping[str, Values],
        values: Mapping[str, Values],
        memory: set[str],
        there: Collection[str],
        *,
        every: bool,
    ) -> None:
        self._real = real
        self._defaults, self._values, self._every = defaults, values, every
        self._memory, self._there = memory, there
        for name in (
            "name",
            "model",
            "data_model",
            "ephemeral_model",
            "version",
            "on_host",
            "unique_name",
            "is_machine",
            "takes_along",
            "mirrors",
            "holds_data",
            "observed",
        ):
            vars(self)[name] = getattr(real, name)

    def prepare(self, desired: Attributes, context: PrepareContext) -> tuple[Attributes, list[Diagnostic]]:
        return self._real.prepare(desired, context)

    def hint(self, path: Path, before: Any, after: Any, old: Attributes, new: Attributes) -> Hint | None:
        return self._real.hint(path, before, after, old, new)

    def equal(self, path: Path, before: Any, after: Any, old: Attributes, new: Attributes) -> bool:
        return self._real.equal(path, before, after, old, new)

    def created_first(self, attributes: Attributes) -> bool:
        return self._real.created_first(attributes)

    def latest(self, host: Host, attributes: Attributes) -> tuple[str, str] | None:
        return None if self._every else self._real.latest(host, attributes)

    def create(self, context: Context, desired: Attributes) -> Attributes:
        if self._is_real(context.identity.address):
            return self._real.create(context, desired)
        self._memory.add(context.identity.address)
        return self._made(self.schema, "managed", context.identity.address, desired)

    def read_many(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Observed]:
        real = [r for r in requests if self._is_real(r.address)]
        found = self._real.read_many(context, real) if real else {}
        return found | {r.id: dict(r.attributes) for r in requests if not self._is_real(r.address)}

    def update(self, context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
        if self._is_real(context.identity.address):
            return self._real.update(context, before, desired, changed)
        return self._made(self.schema, "managed", context.identity.address, {**before, **desired})

    def delete(self, context: Context, before: Attributes) -> None:
        if self._is_real(context.identity.address):
            self._real.delete(context, before)

    def swap(self, context: Context, old: Identity, before: Attributes, desired: Attributes) -> Attributes:
        if self._is_real(context.identity.address):
            return self._real.swap(context, old, before, desired)
        return self.create(context, desired)

    def find(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Found]:
        real = [r for r in requests if self._is_real(r.address)]
        return self._real.find(context, real) if real else {}

    def find_owned(self, context: ReadContext) -> list[Owned]:
        return [] if self._every else self._real.find_owned(context)

    def import_object(self, context: Context, object_id: str) -> Attributes:
        if self._is_real(context.identity.address):
            return self._real.import_object(context, object_id)
        self._memory.add(context.identity.address)
        return self._made(self.schema, "managed", context.identity.address, {})

    def read_data(self, context: ReadContext, desired: Attributes) -> Attributes:
        if self._is_real(context.address):
            return self._real.read_data(context, desired)
        return self._made(self.data_schema, "data", context.address, desired)

    def open(self, context: ReadContext, desired: Attributes) -> Attributes:
        schema = self.ephemeral_schema
        if schema is None or not self._every:
            return self._real.open(context, desired)
        return self._made(schema, "ephemeral", context.address, desired)

    def _is_real(self, address: str) -> bool:
        if address in self._memory or address in self._there:
            return address not in self._memory
        return not self._every and self._own(address) is None

    def _own(self, address: str) -> Values | None:
        """The values given for an instance, or for all instances of its block."""
        if address in self._values:
            return self._values[address]
        return self._values.get(str(parse_address(address).block)) if address.endswith("]") else None

    def _made(self, schema: Schema, mode: str, address: str, desired: Attributes) -> Attributes:
        known = {**self._defaults.get(mode, {}), **(self._own(address) or {})}
        out = {**desired, **{n: v for n, v in known.items() if n in schema.attributes}}
        for name, spec in schema.attributes.items():
            if out.get(name) is None and (spec.computed or spec.engine_default):
                out[name] = _made_up(str(spec.type), f"{self.name}/{address}/{name}")
        return {n: v for n, v in out.items() if v is not None}


def _made_up(kind: str, seed: str) -> Any:
    """A value of a type that is the same in each run, so that tests can be compared."""
    if kind == "string":
        return hashlib.sha256(seed.encode()).hexdigest()[:8]
    if kind == "number":
        return 0
    if kind == "bool":
        return False
    if kind.startswith(("list", "set", "tuple")):
        return []
    return {} if kind.startswith(("map", "object")) else None


def mocked(
    registry: Registry,
    kinds: Collection[str],
    defaults: Mapping[tuple[str, str], Values],
    values: Mapping[str, Values],
    memory: set[str],
    there: Collection[str],
) -> Registry:
    """A registry in which the kinds keep all their objects in memory, and others those that have ``values``.

    ``defaults`` are by mode and kind, ``values`` by address. ``memory`` is what was made in memory before and is there
    still; what is made there now is added.
    """
    made: dict[str, Kind] = {}
    touched = {parse_address(a).kind for a in (*values, *memory)} & set(registry.names())
    for name in sorted({*kinds, *touched}):
        own = {mode: v for (mode, kind), v in defaults.items() if kind == name}
        made[name] = MockKind(registry.kind(name), own, values, memory, there, every=name in kinds)
    return Registry(made)
