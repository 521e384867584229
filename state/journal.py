"""The journal: what was intended and what came of it, appended record by record.

All records that wait when a write begins are written together and made durable at once; the next ones are
only written after that. So whatever is cut short by a crash is at the end, and nobody was told of it.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from hythe.state.backends.base import Medium

JOURNAL_VERSION = 2
"""The format of a journal. A change needs a step in :mod:`hythe.state.upgrade` and a file under tests/golden/state."""

Record = Mapping[str, Any]
"""A JSON object."""


class JournalDamaged(ValueError):
    """What is in the middle of a journal is not what was written. ``offset`` is where, counted in ``unit``."""

    def __init__(self, offset: int, text: str, unit: str = "byte") -> None:
        super().__init__(text)
        self.offset, self.unit = offset, unit


class JournalFailed(Exception):
    """Records could not be made durable; ``cause`` is the OSError."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Journal:
    """A journal open for appending. Safe for any number of threads.

    A thread of its own writes; it is started with the first record. ``notify`` is called by it after
    each write that succeeded or failed, and must not block.
    """

    def __init__(self, medium: Medium, *, notify: Callable[[], None] | None = None) -> None:
        self.notify = notify
        self._medium = medium
        self._changed = threading.Condition()
        self._waiting: list[bytes] = []
        self._appended = 0
        self._durable = 0
        self._failure: OSError | None = None
        self._closing = False
        self._thread: threading.Thread | None = None

    # -- appending ------------------------------------------------------------------------------

    def append(self, *records: Record) -> int:
        """Hand over records to be written in this order; gives the ticket to wait for them with."""
        encoded = [orjson.dumps(r) for r in records]
        with self._changed:
            self._waiting += encoded
            self._appended += len(encoded)
            if self._thread is None and self._failure is None and not self._closing:
                self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
                self._thread.start()
            self._changed.notify_all()
            return self._appended

    @property
    def durable(self) -> int:
        """Tickets up to this one are durable."""
        return self._durable

    @property
    def failure(self) -> OSError | None:
        """Why nothing more can be written, None while all is well."""
        return self._failure

    def wait(self, ticket: int | None = None) -> None:
        """Block until the ticket (all that was appended, when None) is durable.

        Raises :class:`JournalFailed`.
        """
        with self._changed:
            wanted = self._appended if ticket is None else ticket
            while self._durable < wanted:
                if self._failure is not None:
                    raise JournalFailed(self._failure)
                self._changed.wait()

    def retry(self) -> None:
        """Write once more what could not be written; for when there may be room again.

        Raises :class:`JournalFailed`.
        """
        with self._changed:
            if self._failure is None:
                return
            try:
                if self._waiting:
                    self._medium.write(self._waiting)
            except OSError as failure:
                raise JournalFailed(failure) from failure
            self._durable = self._appended
            self._waiting.clear()
            self._failure = None
            self._thread = None

    def close(self) -> None:
        """Write what waits, where that is possible, and close the file; :meth:`wait` still tells the truth."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None:
            thread.join()
        self._medium.close()

    # -- the writer -----------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if not self._waiting:
                    return
                batch, self._waiting = self._waiting, []
            failure: OSError | None = None
            try:
                self._medium.write(batch)
            except OSError as caught:
                failure = caught
            except Exception as caught:
                # whoever waits must never wait in vain
                failure = OSError(errno.EIO, f"{type(caught).__name__}: {caught}")
            with self._changed:
                if failure is None:
                    self._durable += len(batch)
                else:
                    self._failure = failure
                    self._waiting[:0] = batch
                self._changed.notify_all()
            if self.notify is not None:
                self.notify()
            if failure is not None:
                return
