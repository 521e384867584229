"""The lock on a state server: the protocol's LOCK and UNLOCK, behind a local lock on the journal's file."""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import orjson

from hythe import __version__
from hythe.diagnostic import Diagnostic, DiagnosticError, error, warning
from hythe.state.backends.http.client import Answer, HttpClient, HttpFailure
from hythe.state.backends.http.files import LocalFiles
from hythe.state.backends.http.settings import Endpoints, shown
from hythe.state.lock import Holder, Lock
from hythe.state.processes import ProcessName, is_dead, this_process

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_TAKEN = (409, 423)
_log = logging.getLogger("hythe.state.http")


@dataclass(frozen=True, slots=True)
class ServerHolder(Holder):
    """Who holds a lock on a server, as far as the server tells."""

    def __str__(self) -> str:
        # only a lock of Hythe's own tells the process
        what = f"`hythe {self.operation}`" if self.pid else self.operation or "a run"
        since = f", since {self.since}" if self.since else ""
        process = f", process {self.pid}" if self.pid else ""
        whose = f" of {self.who}" if self.who else ""
        where = f" on {self.host}" if self.host else ""
        lock = f" (lock ID {self.id})" if self.id else ""
        return f"{what}{whose}{where}{process}{since}{lock}"


@dataclass(frozen=True, slots=True)
class Taken:
    """A lock that another has. ``told`` is what the server says of it, to be given back when it is unlocked."""

    holder: ServerHolder
    process: ProcessName | None
    told: Mapping[str, Any]


class ServerLock:
    """Locks and unlocks one state. The time to wait for others is counted by ``clock``, in seconds."""

    def __init__(
        self,
        client: HttpClient,
        endpoints: Endpoints,
        files: LocalFiles,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._endpoints, self._files = client, endpoints, files
        self._sleep, self.clock = sleep, clock

    @property
    def exists(self) -> bool:
        """Whether the server locks at all."""
        return self._endpoints.lock is not None

    def acquire(self, holder: Holder, timeout: float) -> None:
        """Take the lock in the name of ``holder``. Raises DiagnosticError."""
        if self._endpoints.lock is None:
            return
        deadline = self.clock() + timeout
        pause, broken = _FIRST_PAUSE, set[str]()
        info = self._info(holder)
        self._files.remember_lock(holder.id)
        try:
            while True:
                taken = self._try(info, holder.id)
                if taken is None:
                    return
                if taken.holder.id and taken.holder.id not in broken and self._has_died(taken):
                    broken.add(taken.holder.id)
                    _log.info("the lock of %s is taken over: that process has ended", taken.holder)
                    self.unlock(taken.holder.id, taken.told)
                    continue
                if self.clock() >= deadline:
                    raise DiagnosticError(self._diagnostic(taken.holder, timeout))
                # not all that wait come at the same time
                self._sleep(min(pause * random.uniform(0.5, 1.0), max(deadline - self.clock(), 0.001)))  # noqa: S311
                pause = min(pause * 1.5, _LONGEST_PAUSE)
        except HttpFailure as failure:
            if failure.doubtful:
                self._give_up(holder.id, info)
            else:
                self._files.forget_lock(holder.id)
            raise DiagnosticError(error(failure.summary, f"The state cannot be locked: {failure.strerror}.")) from None
        except DiagnosticError:
            self._files.forget_lock(holder.id)
            raise
        except BaseException:
            # interrupted, perhaps between the server's doing and its answer
            self._give_up(holder.id, info)
            raise

    def unlock(self, lock_id: str, told: Mapping[str, Any] | None = None) -> None:
        """Give up the lock of that ID. Raises :class:`HttpFailure`; one that is not held (any more) is fine."""
        if self._endpoints.unlock is None:
            return
        method, url = self._endpoints.unlock_method, self._endpoints.unlock
        answer = self._client.request(method, url, orjson.dumps({**(told or {}), "ID": lock_id}))
        if not answer.is_fine and answer.status not in _TAKEN:
            raise self._client.refusal(answer, method, url, "unlock_method")
        self._files.forget_lock(lock_id)

    def probe(self, holder: Holder) -> Taken | None:
        """Who holds the lock, None when nobody does. It is taken for a moment: the protocol has no other way.

        Raises :class:`HttpFailure`.
        """
        if self._endpoints.lock is None:
            return None
        info = self._info(holder)
        taken = self._try(info, holder.id)
        if taken is None:
            self.unlock(holder.id, info)
        return taken

    def is_over(self, taken: Taken) -> bool:
        """Whether the process that holds the lock is certain to have ended: the next run takes that lock over."""
        return taken.process is not None and is_dead(taken.process)

    def _try(self, info: Mapping[str, Any], lock_id: str) -> Taken | None:
        """Ask for the lock once; None when it is ours. Raises :class:`HttpFailure`."""
        method, url = self._endpoints.lock_method, self._endpoints.lock or ""
        answer = self._client.request(method, url, orjson.dumps(info))
        if answer.is_fine:
            return None
        if answer.status not in _TAKEN:
            raise self._client.refusal(answer, method, url, "lock_method")
        taken = _taken(answer)
        # the answer to an earlier try was lost, and the lock was ours by then
        return None if taken.holder.id == lock_id else taken

    def _has_died(self, taken: Taken) -> bool:
        """Whether the lock's holder is certain to have ended."""
        # whoever locks from this folder holds the local lock, and that is ours now
        return taken.holder.id in self._files.locks() or self.is_over(taken)

    def _give_up(self, lock_id: str, info: Mapping[str, Any]) -> None:
        with contextlib.suppress(HttpFailure):
            self.unlock(lock_id, info)

    def _info(self, holder: Holder) -> dict[str, Any]:
        """OpenTofu's description of a lock. Its ``Info`` tells which process it is, and which lock it speaks of.

        (GitLab answers with the holder's ID beside the ``Info`` of whoever asked.)
        """
        about = {"lock": holder.id, "process": this_process().as_json(), "journal": self._files.journal}
        return {
            "ID": holder.id,
            "Operation": holder.operation,
            "Info": orjson.dumps(about).decode(),
            "Who": f"{holder.who}@{holder.host}",
            "Version": __version__,
            "Created": holder.since,
            "Path": "",
        }

    def _diagnostic(self, holder: ServerHolder, timeout: float) -> Diagnostic:
        waited = f" {timeout:g} seconds of waiting did not change that." if timeout else ""
        by_force = f"`hythe force-unlock {holder.id}`" if holder.id else "`hythe force-unlock ID`"
        mine = self._files.locks()
        hint = ""
        if not holder.id and mine:
            hint = f" The server does not tell who that is; runs here that were killed had the IDs {', '.join(mine)}."
        return error(
            "State is locked",
            f"{shown(self._endpoints.lock or '')} is held by {holder}.{waited} Two at once would overwrite each "
            "other's work. Wait for it to end (--lock-timeout=60s waits by itself). The lock stays when its holder is "
            f"killed: if that is what happened, {by_force} takes it away.{hint}",
        )


class HttpLock:
    """A lock that is held, on the server and locally. A context manager; :meth:`release` may be called twice."""

    def __init__(self, local: Lock, server: ServerLock, released: Callable[[HttpLock], None]) -> None:
        self.holder = local.holder
        self.problems: list[Diagnostic] = []
        self._local, self._server, self._released = local, server, released
        self._held = True

    def release(self) -> None:
        """Give both up. One that stays on the server is known to the next run in this folder, which takes it over."""
        if not self._held:
            return
        self._held = False
        try:
            self._server.unlock(self.holder.id)
        except HttpFailure as failure:
            text = (
                f"The lock could not be given up: {failure.strerror}. The next run in this folder does that by itself; "
                f"others need `hythe force-unlock {self.holder.id}`."
            )
            self.problems.append(warning("State stays locked", text))
            _log.warning("%s", text)
        finally:
            self._released(self)
            self._local.release()

    def __enter__(self) -> HttpLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _taken(answer: Answer) -> Taken:
    """What the server says of a lock that another has; little or nothing, from some servers."""
    try:
        told = orjson.loads(answer.body)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        told = {}
    about = _about(told)
    process = ProcessName.from_json(about.get("process"))
    who, _, host = _text(told, "Who").partition("@")
    # what is said of the operation belongs to another lock where the rest does
    operation = _text(told, "Operation") if about or _text(told, "Operation").startswith("Operation") else ""
    since, pid = _text(told, "Created"), process.pid if process is not None else 0
    return Taken(ServerHolder(host, pid, who, since, operation, _text(told, "ID")), process, told)


def _about(told: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        about = orjson.loads(told["Info"])
    except (KeyError, ValueError, TypeError):
        return {}
    return about if isinstance(about, dict) and about.get("lock") == told.get("ID") else {}


def _text(told: Mapping[str, Any], name: str) -> str:
    """One field, without what could change a terminal, and short."""
    value = told.get(name)
    return "".join(c for c in value if c.isprintable())[:200] if isinstance(value, str) else ""
