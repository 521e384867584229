"""Kinds whose instances are the container engine's or the hypervisor's: one kind for users, two halves behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hythe.diagnostic import Diagnostic
from hythe.provider.protocol import (
    Attributes,
    Context,
    Found,
    Hint,
    HostUnreachable,
    Kind,
    Observed,
    Owned,
    PrepareContext,
    ReadContext,
    ReadRequest,
)
from hythe.provider.schema import Path

ENGINE, HYPERVISOR = "engine", "hypervisor"
PREFIX = "libvirt:"
"""What goes before the name of a hypervisor's object when it is imported."""


class TwoSided(Kind):
    """Hands every call to the half that the attributes belong to. ``sides`` are ``engine`` and ``hypervisor``."""

    def __init__(self, sides: Mapping[str, Kind]) -> None:
        self.sides = sides

    def _side(self, attributes: Mapping[str, Any]) -> Kind:
        return self.sides[self.part(attributes)]

    def side_of_import(self, object_id: str) -> tuple[Kind, str]:
        """The half that an object to import belongs to, and what that knows it by."""
        if object_id.startswith(PREFIX):
            return self.sides[HYPERVISOR], object_id.removeprefix(PREFIX)
        return self.sides[ENGINE], object_id

    def prepare(self, desired: Attributes, context: PrepareContext) -> tuple[Attributes, list[Diagnostic]]:
        """By the half."""
        return self._side(desired).prepare(desired, context)

    def hint(self, path: Path, before: Any, after: Any, old: Attributes, new: Attributes) -> Hint | None:
        """By the half that it shall be; moving from one to the other is what the schema says."""
        return self._side(new).hint(path, before, after, old, new)

    def equal(self, path: Path, before: Any, after: Any, old: Attributes, new: Attributes) -> bool:
        """By the half that it shall be."""
        return self._side(new).equal(path, before, after, old, new)

    def create(self, context: Context, desired: Attributes) -> Attributes:
        """By the half."""
        return self._side(desired).create(context, desired)

    def update(self, context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
        """By the half."""
        return self._side(before).update(context, before, desired, changed)

    def delete(self, context: Context, before: Attributes) -> None:
        """By the half that it was made by."""
        self._side(before).delete(context, before)

    def read_many(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Observed]:
        """Each half its own."""
        out: dict[str, Observed] = {}
        for side, own in self._split(requests):
            out |= side.read_many(context, own)
        return out

    def find(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Found]:
        """Each half its own."""
        out: dict[str, Found] = {}
        for side, own in self._split(requests):
            out |= side.find(context, own)
        return out

    def find_owned(self, context: ReadContext) -> list[Owned]:
        """Both halves', as far as they are there."""
        out: list[Owned] = []
        failures: list[HostUnreachable] = []
        for side in self.sides.values():
            try:
                out += side.find_owned(context)
            except HostUnreachable as failure:
                failures.append(failure)
        if len(failures) == len(self.sides):
            raise failures[0]
        return out

    def recover(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Attributes]:
        """Each half its own."""
        out: dict[str, Attributes] = {}
        for side, own in self._split(requests):
            out |= side.recover(context, own)
        return out

    def recognise(self, context: ReadContext, requests: Sequence[ReadRequest]) -> list[Owned]:
        """Each half its own."""
        return [found for side, own in self._split(requests) for found in side.recognise(context, own)]

    def _split(self, requests: Sequence[ReadRequest]) -> list[tuple[Kind, list[ReadRequest]]]:
        by: dict[str, list[ReadRequest]] = {}
        for request in requests:
            by.setdefault(self.part(request.attributes), []).append(request)
        return [(self.sides[name], own) for name, own in sorted(by.items())]
