"""Events: what plan and apply tell whoever watches (progress views, JSON lines, logs).

Rooms below the command line emit events through a :data:`Sink` and never print. Times are seconds
since the epoch from the injected clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from hythe.diagnostic import Diagnostic


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events. ``time`` is when it happened."""

    time: float


@dataclass(frozen=True, slots=True)
class RefreshStarted(Event):
    """Reading ``count`` objects of one kind on one host begins."""

    host: str
    kind: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RefreshFinished(Event):
    """Reading ended; ``error`` says why the host could not be read, None when it could."""

    host: str
    kind: str
    addresses: tuple[str, ...]
    error: str | None


@dataclass(frozen=True, slots=True)
class ApplyStarted(Event):
    """An apply begins with so many operations ahead."""

    operations: int


@dataclass(frozen=True, slots=True)
class OperationStarted(Event):
    """A provider call begins. ``action`` is the value of a planner Action."""

    address: str
    action: str
    id: str | None


@dataclass(frozen=True, slots=True)
class OperationProgress(Event):
    """A running operation says what it is doing now (``pulling``, ``waiting for health``)."""

    address: str
    action: str
    text: str
    fraction: float | None = None


@dataclass(frozen=True, slots=True)
class OperationFinished(Event):
    """A provider call succeeded and its result is durable."""

    address: str
    action: str
    id: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class OperationFailed(Event):
    """A provider call failed."""

    address: str
    action: str
    seconds: float
    diagnostics: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True)
class OperationSkipped(Event):
    """Not attempted: something it depends on failed, or the user interrupted."""

    address: str
    action: str
    because: str


@dataclass(frozen=True, slots=True)
class IntentProgress(Event):
    """What is waited for to find out what became of an operation that an earlier run left open."""

    address: str
    text: str


@dataclass(frozen=True, slots=True)
class IntentSettled(Event):
    """An operation that an earlier run left open was settled. ``outcome``: adopted, finished, dropped."""

    address: str
    outcome: str
    detail: str


@dataclass(frozen=True, slots=True)
class Notice(Event):
    """A diagnostic worth showing while the run goes on."""

    diagnostic: Diagnostic


Sink: TypeAlias = Callable[[Event], None]
"""Takes events, from any thread; must not block for long and must not raise."""


def ignore(event: Event) -> None:
    """A sink that drops everything."""
