"""What a place that keeps state must be able to do.

A backend keeps one state: its snapshot, the journal of what was done since, versions from before, and a lock.
It knows nothing of what is in them: snapshots are bytes, and so is each record of the journal.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

from hythe.state.backends.waiting import Waiting
from hythe.state.lock import Holder

DEFAULT_WORKSPACE = "default"
"""The workspace of whoever uses none."""


class LeaseLost(OSError):
    """The lock is no longer held: whoever has it now must not be overwritten."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.ESTALE, text)


class ServerFailed(OSError):
    """A server that keeps state did not take it. ``mend`` is what a user can do, as the beginning of a sentence."""

    def __init__(self, text: str, mend: str) -> None:
        super().__init__(errno.EIO, text)
        self.mend = mend


def mend(failure: OSError, otherwise: str) -> str:
    """What a user can do about a write that failed; ``otherwise`` is for files."""
    return failure.mend if isinstance(failure, ServerFailed) else otherwise


class Held(Protocol):
    """A lock that is held. A context manager; :meth:`release` may be called twice."""

    holder: Holder

    def release(self) -> None:
        """Give it up. Never raises."""
        ...

    def __enter__(self) -> Held: ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Medium(Protocol):
    """A journal open for writing, used by one thread at a time."""

    def write(self, records: Sequence[bytes]) -> None:
        """Append records, durable when this returns. After a crash all of them are there, or none.

        Raises OSError; then none of them is there for a reader, or the next ``write`` of the same records
        (and more) makes up for it.
        """
        ...

    def close(self) -> None:
        """Give up what is open. Never raises for what is durable."""
        ...


@dataclass(slots=True)
class Records:
    """What is in a journal, the header first. ``position`` is where the backend goes on, its own business."""

    records: list[bytes] = field(default_factory=list)
    position: Any = None


@dataclass(frozen=True, slots=True)
class Version:
    """A snapshot from before. ``written`` is in seconds since the epoch, ``id`` names it to the backend."""

    id: str
    serial: int
    written: float
    size: int


@dataclass(frozen=True, slots=True)
class Paths:
    """The files that a user can copy about, where a backend keeps files."""

    state: str
    backup: str
    journal: str
    old_journal: str


class Backend(ABC):
    """Where one state is kept. Methods raise OSError, and DiagnosticError for what the user must mend.

    ``name`` is its name in configurations. ``where`` tells a user where the snapshot is, ``journal_where``
    where the journal is. ``paths`` is None where there are no files.
    """

    name: str
    where: str
    journal_where: str
    paths: Paths | None = None
    remark = ""
    """What a user should know of how the state is kept there, in sentences."""
    rescue = ""
    """How a snapshot that is damaged is brought back, in sentences; empty where versions are kept or files are."""
    waiting: Waiting | None = None
    """How it waits for a server that does not answer; None where nothing is waited for."""
    serial_step = 1
    """By how much a session raises the serial: 2 where the backend stores a version of its own before the last."""

    # -- reading --------------------------------------------------------------------------------

    @abstractmethod
    def read(self) -> bytes | None:
        """The snapshot, None when there is none."""

    @abstractmethod
    def read_journal(self) -> Records:
        """The journal; without records where there is none. Raises :class:`~hythe.state.journal.JournalDamaged`."""

    def read_backup(self) -> bytes | None:
        """The snapshot before, None when there is none."""
        return None

    def read_old_journal(self) -> Records:
        """What was done between the backup and the snapshot."""
        return Records()

    def last_written(self) -> float | None:
        """When anything was last recorded, in seconds since the epoch; None where that is not known."""
        return None

    # -- the lock -------------------------------------------------------------------------------

    @abstractmethod
    def lock(self, operation: str, timeout: float) -> Held:
        """Take the lock, waiting up to ``timeout`` seconds. Writing is checked against it from then on.

        Raises DiagnosticError when another holds it.
        """

    @abstractmethod
    def holder(self) -> Holder | None:
        """Who holds the lock now."""

    def break_lock(self, lock_id: str) -> None:
        """Take the lock away from its holder. Raises DiagnosticError where that cannot be."""
        raise NotImplementedError

    outdated = False
    """Whether what :meth:`read` gave should be written anew though nothing in it changes: an older key sealed it."""

    can_break = False
    """Whether a lock can outlive its holder, so that :meth:`break_lock` is of use."""

    # -- writing --------------------------------------------------------------------------------

    @abstractmethod
    def open_journal(self, header: bytes, position: Any) -> Medium:
        """The journal, to be appended to; begun anew with ``header`` where ``position`` is None."""

    @abstractmethod
    def write(self, data: bytes, *, serial: int, keep_journal: bool) -> None:
        """Replace the snapshot at once, keep the one before, and put the journal aside.

        ``keep_journal``: the journal holds all that happened since the one before.
        """

    @abstractmethod
    def delete(self) -> None:
        """Remove the state and all that belongs to it, for a workspace that is deleted."""

    # -- versions from before -------------------------------------------------------------------

    def versions(self) -> list[Version]:
        """The snapshots from before that are kept, the latest first."""
        return []

    def read_version(self, version: str) -> bytes | None:
        """The snapshot of that id, None when it is not there (any more)."""
        return None

    # -- the end --------------------------------------------------------------------------------

    def close(self) -> None:  # noqa: B027 - there is nothing to close where there are no connections
        """Give up connections. The backend may be used again afterwards."""


class Storage(ABC):
    """Where the states of all workspaces of one configuration are kept."""

    name: str

    @abstractmethod
    def backend(self, workspace: str) -> Backend:
        """Where the state of that workspace is kept, whether or not there is one yet."""

    @abstractmethod
    def workspaces(self) -> list[str]:
        """The workspaces that have a state, sorted; ``default`` is always one of them. Raises DiagnosticError."""

    @property
    @abstractmethod
    def where(self) -> str:
        """Where that is, for users."""
