"""The kinds of the world in memory: an argument of every sort, a host, one that swaps, one without object."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar

from hythe.diagnostic import Diagnostic, error
from hythe.provider.memory import Call, MemoryWorld, used
from hythe.provider.protocol import (
    Attributes,
    Context,
    Found,
    Identity,
    Kind,
    Observed,
    Owned,
    PrepareContext,
    Presence,
    ProviderError,
    ReadContext,
    ReadRequest,
)
from hythe.provider.schema import Effect, Model, Number, Ref, attr, block, storable
from hythe.value import Reference, is_known


class Part(Model):
    """A block of a thing."""

    name: str = attr(..., description="Name.")
    weight: Any = attr(1, description="Any number.", effect=Effect.LIVE)
    note: str | None = attr(description="Chosen by the world when left out.", engine_default=True, effect=Effect.LIVE)
    key: str | None = attr(description="Not stored.", write_only=True, effect=Effect.LIVE)


class ThingModel(Model):
    """An object with an argument of every sort."""

    host: Ref("box", "vessel") = attr(description="Where it is.")  # type: ignore[valid-type]
    name: str | None = attr(description="Name, unique on a host.", engine_default=True)
    size: Number | None = attr(description="Changed in place.", effect=Effect.LIVE)
    color: str | None = attr(description="Changed with a restart.", effect=Effect.RESTART)
    shape: str | None = attr(description="Changed by replacement.")
    flavor: str | None = attr(description="Chosen by the world.", engine_default=True, effect=Effect.LIVE)
    secret: str | None = attr(description="Not shown.", sensitive=True, effect=Effect.LIVE)
    token: str | None = attr(description="Not stored.", write_only=True, effect=Effect.LIVE)
    tags: list[str] = attr(None, description="In any order.", unordered=True, effect=Effect.LIVE)
    part: list[Part] = block(description="Parts.", effect=Effect.LIVE)
    uses: Ref("thing", "swing") = attr(description="What it is built on.")  # type: ignore[valid-type]
    peer: Ref("thing", "swing") = attr(description="What it talks to.", effect=Effect.LIVE)  # type: ignore[valid-type]
    engine_id: str | None = attr(description="The world's id.", computed=True)
    revision: Number | None = attr(description="Grows with changes.", computed=True, volatile=True)


class BoxModel(Model):
    """A host in memory."""

    name: str = attr(..., description="Name.")
    size: Number | None = attr(description="Changed in place.", effect=Effect.LIVE)
    engine_id: str | None = attr(description="The world's id.", computed=True)
    revision: Number | None = attr(description="Grows with changes.", computed=True, volatile=True)


class VesselModel(BoxModel):
    """A host in memory that takes along what is on it."""

    host: Ref("box", "vessel") = attr(description="Where it is.")  # type: ignore[valid-type]
    shape: str | None = attr(description="Changed by replacement.")
    color: str | None = attr(description="Changed with a restart.", effect=Effect.RESTART)
    running: bool = attr(True, description="Whether what is on it can be reached.", effect=Effect.LIVE)


class MemoryKind(Kind):
    """What the kinds of this world share."""

    def __init__(self, world: MemoryWorld) -> None:
        self.world = world

    def prepare(self, desired: Attributes, context: PrepareContext) -> tuple[Attributes, list[Diagnostic]]:
        """The default name."""
        return ({**desired, "name": context.default_name()}, []) if "name" not in desired else (desired, [])

    def create(self, context: Context, desired: Attributes) -> Attributes:
        """Make the object in two steps; a failure half way leaves it there incomplete."""
        world, host = self.world, self.world.reach(context.host)
        assert is_known(desired), "a kind is never given anything unknown"
        name = str(desired.get("name", context.identity.id))
        try:
            world.step(context, "create", self.name, "before")
            with world.mutex:
                for reference in _references(desired):
                    context.resolve(reference)
                made = world.make(self, host, name, context.identity, self._stored(desired, name))
                made.attributes["engine_id"] = made.engine_id
            try:
                world.step(context, "create", self.name, "middle")
            except ProviderError as failure:
                raise ProviderError(*failure.diagnostics, partial=dict(made.attributes)) from failure
            with world.mutex:
                made.complete = True
            world.step(context, "create", self.name, "after")
            return dict(made.attributes)
        finally:
            world.leave(host, self.name)

    def _stored(self, desired: Attributes, name: str) -> Attributes:
        attributes = {k: v for k, v in desired.items() if not self.schema.attributes[k].write_only}
        attributes["name"] = name
        attributes["revision"] = 1
        if "flavor" in self.schema.attributes:
            attributes.setdefault("flavor", "vanilla")
        if "part" in attributes:
            attributes["part"] = [{"note": "none", **p} for p in storable(self.schema, attributes)["part"]]
        return attributes

    def read_many(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Observed]:
        """What the world has."""
        self.world.reach(context.host)
        with self.world.mutex:
            self.world.calls.append(Call("read", self.name, ",".join(r.address for r in requests), ""))
            found = {r.id: self.world.ours(r.id, r.attributes) for r in requests}
            return {id: dict(o.attributes) if o is not None else Presence.ABSENT for id, o in found.items()}

    def update(self, context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
        """Change the arguments named."""
        world, host = self.world, self.world.reach(context.host)
        try:
            world.step(context, "update", self.name, "before")
            with world.mutex:
                target = world.ours(context.identity.id, before)
                if target is None:
                    raise ProviderError(error("Object not found", f"{context.identity.address} is gone."))
                stored = self._stored(desired, target.name)
                for name in changed:
                    if name in stored:
                        target.attributes[name] = stored[name]
                    else:
                        target.attributes.pop(name, None)
                target.attributes["revision"] += 1
                target.uses = used(target.attributes)
            world.step(context, "update", self.name, "after")
            return dict(target.attributes)
        finally:
            world.leave(host, self.name)

    def delete(self, context: Context, before: Attributes) -> None:
        """Remove the object."""
        world, host = self.world, self.world.reach(context.host)
        try:
            world.step(context, "delete", self.name, "before")
            with world.mutex:
                target = world.ours(context.identity.id, before)
                if target is not None:
                    if self.takes_along:
                        world.sink(target)
                    world.destroy(target)
            world.step(context, "delete", self.name, "after")
        finally:
            world.leave(host, self.name)

    def find(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Found]:
        """By instance id."""
        self.world.reach(context.host)
        with self.world.mutex:
            found = {r.id: self.world.marked(r.id) for r in requests}
            return {id: Found(dict(o.attributes), o.complete) for id, o in found.items() if o is not None}

    def find_owned(self, context: ReadContext) -> list[Owned]:
        """By lineage."""
        host = self.world.reach(context.host)
        with self.world.mutex:
            return [
                Owned(o.mark, dict(o.attributes))
                for o in self.world.objects.values()
                if o.mark is not None and context.is_mine(o.mark) and (o.host, o.kind) == (host, self.name)
            ]

    def import_object(self, context: Context, object_id: str) -> Attributes:
        """By the world's id."""
        self.world.reach(context.host)
        found = self.world.objects.get(object_id)
        if found is None or found.kind != self.name:
            raise ProviderError(error("Object not found", f"There is no {self.name} {object_id}."))
        return dict(found.attributes)

    def read_data(self, context: ReadContext, desired: Attributes) -> Attributes:
        """By name."""
        host = self.world.reach(context.host)
        with self.world.mutex:
            for target in self.world.objects.values():
                if (target.kind, target.host, target.name) == (self.name, host, desired.get("name")):
                    return dict(target.attributes)
        raise ProviderError(error("Object not found", f"There is no {self.name} {desired.get('name')}."))


class Thing(MemoryKind):
    """The plain kind."""

    name = "thing"
    model = ThingModel
    concurrency = 4


class Swing(MemoryKind):
    """A kind that is replaced by swapping."""

    name = "swing"
    model = ThingModel
    has_swap = True

    def swap(self, context: Context, old: Identity, before: Attributes, desired: Attributes) -> Attributes:
        """New one under a temporary name, old one away, rename. A failure before that removes the new one."""
        world, host = self.world, self.world.reach(context.host)
        name = str(desired.get("name", before["name"]))
        try:
            world.step(context, "swap", self.name, "before")
            with world.mutex:
                made = world.marked(context.identity.id)
                if made is None:
                    stored = self._stored(desired, name)
                    made = world.make(self, host, f"{name}-{context.identity.id}", context.identity, stored)
                    made.attributes["engine_id"] = made.engine_id
            try:
                world.step(context, "swap", self.name, "middle")
            except ProviderError:
                world.destroy(made)
                raise
            with world.mutex:
                gone = world.ours(old.id, before)
                if gone is not None:
                    del world.objects[gone.engine_id]
                made.complete, made.name = True, name
            world.step(context, "swap", self.name, "after")
            return dict(made.attributes)
        finally:
            world.leave(host, self.name)


class Box(MemoryKind):
    """A kind whose instances are hosts."""

    name = "box"
    model = BoxModel
    on_host = False
    is_machine = True


class Vessel(MemoryKind):
    """A kind whose instances are hosts with which everything on them ends."""

    name = "vessel"
    model = VesselModel
    is_machine = True
    takes_along = True


class NoteModel(Model):
    """A value."""

    text: Any = attr(description="Anything.", effect=Effect.LIVE)
    trigger: Any = attr(description="Replaces the note.")
    copied: Any = attr(description="The text.", computed=True, volatile=True)


class Note(Kind):
    """A kind that exists in state only. Its calls are not counted."""

    name = "note"
    model = NoteModel
    on_host = False
    unique_name = False
    observed = False
    concurrency = 1000

    def create(self, context: Context, desired: Attributes) -> Attributes:
        """Copy the text."""
        return {**desired, "copied": desired.get("text")}

    def update(self, context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
        """Copy the text."""
        return self.create(context, desired)

    def delete(self, context: Context, before: Attributes) -> None:
        """Nothing is there."""


class OldParcelModel(Model):
    """A parcel as it was."""

    label: str = attr(..., description="What is on it.")
    grams: Number | None = attr(description="Its weight.", effect=Effect.LIVE)


class ParcelModel(Model):
    """A parcel as it is now: ``label`` is called ``name``, and ``grams`` became ``weight``, in kilograms."""

    name: str = attr(..., description="What is on it.")
    weight: Number | None = attr(description="Its weight.", effect=Effect.LIVE)


class OldParcel(Kind):
    """A kind before its schema was changed. It exists in state only."""

    name = "parcel"
    model: ClassVar[type[Model]] = OldParcelModel
    on_host = False
    unique_name = False
    observed = False

    def create(self, context: Context, desired: Attributes) -> Attributes:
        """Nothing but what is wanted."""
        return desired

    def update(self, context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
        """Nothing but what is wanted."""
        return desired

    def delete(self, context: Context, before: Attributes) -> None:
        """Nothing is there."""


class Parcel(OldParcel):
    """The same kind afterwards."""

    model: ClassVar[type[Model]] = ParcelModel
    version = 2

    def upgrade(self, attributes: Attributes, from_version: int) -> Attributes:
        """New names, and kilograms."""
        if from_version < 2:
            attributes["name"] = attributes.pop("label")
            grams = attributes.pop("grams", None)
            attributes |= {"weight": Decimal(grams) / 1000} if grams is not None else {}
        return attributes


def _references(attributes: Attributes) -> list[Reference]:
    return [v for v in attributes.values() if isinstance(v, Reference)]


def memory_kinds(world: MemoryWorld) -> dict[str, Kind]:
    """The kinds of a world, by name: thing, swing (has swap), box and vessel (hosts), note (in state only)."""
    return {
        "thing": Thing(world),
        "swing": Swing(world),
        "box": Box(world),
        "vessel": Vessel(world),
        "note": Note(),
    }
