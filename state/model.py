"""State: what Hythe made. The model only; how it is written is codec's and journal's business."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hythe.value import Type

FORMAT_VERSION = 2
"""The snapshot's format. A change needs a step in :mod:`hythe.state.upgrade` and a file under tests/golden/state."""


@dataclass(frozen=True, slots=True)
class InstanceState:
    """One object as last seen.

    ``id`` is the instance id: it and the lineage are the object's identity, and stand in its mark.
    ``attributes`` are canonical (see :mod:`hythe.provider.schema`); ``sensitive`` lists the paths of
    values that must not be shown. ``dependencies`` are instance addresses. ``host`` is the address of
    the instance that is its host, None for the local machine. ``tainted``: to be replaced.
    ``skip_destroy``: when it is to go, it is forgotten and stays as it is.
    """

    address: str
    id: str
    kind: str
    attributes: Mapping[str, Any]
    sensitive: tuple[tuple[str | int, ...], ...] = ()
    dependencies: tuple[str, ...] = ()
    host: str | None = None
    create_before_destroy: bool = False
    prevent_destroy: bool = False
    tainted: bool = False
    schema_version: int = 1
    skip_destroy: bool = False


@dataclass(frozen=True, slots=True)
class OutputState:
    """A root output: plain value, its language type, whether it is sensitive."""

    value: Any
    type: Type
    sensitive: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """Who wrote a snapshot. ``written`` is in seconds since the epoch; None and "" where that is not known.

    ``hythe`` is the version of the program, ``operation`` the command (``apply``, ``state mv``).
    """

    written: float | None = None
    hythe: str = ""
    operation: str = ""


UNKNOWN_ORIGIN = Origin()


@dataclass(slots=True)
class State:
    """Everything Hythe knows it made.

    ``lineage`` names the state for life; ``serial`` grows with every write of a snapshot.
    ``instances`` maps addresses to objects; ``deposed`` holds old objects that a
    create-before-destroy replacement has not removed yet, by instance id.
    """

    lineage: str
    serial: int = 0
    instances: dict[str, InstanceState] = field(default_factory=dict)
    deposed: dict[str, InstanceState] = field(default_factory=dict)
    outputs: dict[str, OutputState] = field(default_factory=dict)

    def copy(self) -> State:
        """A copy whose dicts may be changed (instances themselves are immutable)."""
        return State(self.lineage, self.serial, dict(self.instances), dict(self.deposed), dict(self.outputs))

    @property
    def is_empty(self) -> bool:
        """Whether nothing is recorded."""
        return not (self.instances or self.deposed or self.outputs)

    def depth(self, host: str | None) -> int:
        """How many machines are around what is on the host of that address; the local machine does not count."""
        seen: set[str] = set()
        while host is not None and host not in seen:
            seen.add(host)
            instance = self.instances.get(host)
            host = instance.host if instance is not None else None
        return len(seen)


@dataclass(frozen=True, slots=True)
class Intent:
    """An operation about to be carried out, made durable before its provider call.

    ``op`` is create, update, delete, swap or deposed-delete. ``instance`` is what the state would
    hold if it succeeds as far as known (for delete: what is there now); ``old_id`` is the instance
    that a swap replaces.
    """

    seq: int
    op: str
    instance: InstanceState
    old_id: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What an operation did to the state: one durable record.

    ``seq`` is the intent that it answers, None for what needed none. Applied in this order: ``drop``
    (an address that holds nothing any more), ``undepose`` (ids of deposed objects that are gone),
    ``put`` (an instance that its address now holds), ``depose`` (objects kept as deposed). A result
    without any of them says that nothing changed.
    """

    seq: int | None = None
    put: InstanceState | None = None
    drop: str | None = None
    depose: tuple[InstanceState, ...] = ()
    undepose: tuple[str, ...] = ()
    outputs: Mapping[str, OutputState] | None = None

    def apply(self, state: State) -> None:
        """Make ``state`` what it is after this."""
        if self.drop is not None:
            state.instances.pop(self.drop, None)
        for gone in self.undepose:
            state.deposed.pop(gone, None)
        if self.put is not None:
            state.instances[self.put.address] = self.put
        for old in self.depose:
            state.deposed[old.id] = old
        if self.outputs is not None:
            state.outputs = dict(self.outputs)
