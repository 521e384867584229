"""The lock on a local state: an flock on a file beside it, which tells who holds it.

The kernel gives the lock up when its holder dies, however it dies. So whoever gets the flock may go
on, and what a dead holder left written in the file is no obstacle.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import os
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from types import TracebackType

import orjson

from hythe.diagnostic import Diagnostic, DiagnosticError, error

_PAUSE = 0.1


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock: ``since`` is an ISO 8601 time, ``id`` names this very lock."""

    host: str
    pid: int
    who: str
    since: str
    operation: str
    id: str

    def __str__(self) -> str:
        return f"`hythe {self.operation}` of {self.who} on {self.host}, process {self.pid}, since {self.since}"


class Lock:
    """A lock that is held. A context manager; :meth:`release` may be called twice."""

    def __init__(self, path: str, file: int, holder: Holder) -> None:
        self.path, self.holder = path, holder
        self._file: int | None = file

    def release(self) -> None:
        """Give the lock up. The file stays: removing it would let two hold the lock at once."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)
        os.close(self._file)
        self._file = None

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def acquire(
    path: str,
    operation: str,
    timeout: float = 0.0,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Lock:
    """Take the lock at ``path``, waiting up to ``timeout`` seconds for its holder.

    Raises DiagnosticError, which names the holder.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as failure:
        text = (
            f"{path} cannot be opened: {failure.strerror}. Hythe writes its lock beside the state; make the folder "
            "writable, or go without a lock with --lock=false if nobody else can be at work."
        )
        raise DiagnosticError(error("State cannot be locked", text)) from failure
    deadline = clock() + timeout
    try:
        while not _try(file, path):
            if clock() >= deadline:
                raise DiagnosticError(_taken(path, timeout))
            sleep(min(_PAUSE, max(deadline - clock(), 0.001)))
    except BaseException:
        os.close(file)
        raise
    holder = describe_process(operation)
    # that a full disk keeps the name from being written is no reason to go without the lock
    with contextlib.suppress(OSError):
        os.ftruncate(file, 0)
        os.pwrite(file, orjson.dumps(asdict(holder)) + b"\n", 0)
    return Lock(path, file, holder)


def read_holder(path: str) -> Holder | None:
    """Who holds the lock at ``path``, None when nobody does (a dead process's note does not count)."""
    noted = _noted(path)
    if noted is None:
        return None
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return noted
    finally:
        os.close(file)
    return None


def _try(file: int, path: str) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as failure:
        text = f"The file system of {path} does not lock: {failure.strerror}. Go without with --lock=false."
        raise DiagnosticError(error("State cannot be locked", text)) from failure
    return True


def _noted(path: str) -> Holder | None:
    try:
        with open(path, "rb") as file:
            return Holder(**orjson.loads(file.read()))
    except (OSError, ValueError, TypeError):
        return None


def _taken(path: str, timeout: float) -> Diagnostic:
    holder = _noted(path)
    who = f"It is held by {holder}." if holder is not None else "Another process holds it."
    waited = f" {timeout:g} seconds of waiting did not change that." if timeout else ""
    return error(
        "State is locked",
        f"This is about {path.removesuffix('.lock')}. {who}{waited} Two at once would overwrite each other's work. "
        "Wait for it to end (--lock-timeout=60s waits by itself); when that process ends, however it ends, the lock is "
        "free.",
    )


def describe_process(operation: str) -> Holder:
    """This process as a holder, with an ID that no other has."""
    try:
        who = getpass.getuser()
    except (KeyError, OSError):
        who = f"uid {os.getuid()}"
    since = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Holder(socket.gethostname(), os.getpid(), who, since, operation, str(uuid.uuid4()))
