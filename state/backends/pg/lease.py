"""The lock: a lease in the state's row, on the server's clock, with a token that every write is checked against."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hythe.diagnostic import Diagnostic, DiagnosticError, error
from hythe.state.backends.pg import tables
from hythe.state.backends.pg.failures import reading
from hythe.state.backends.pg.link import Link
from hythe.state.lock import Holder, describe_process
from hythe.state.processes import ProcessName, is_dead, this_process

if TYPE_CHECKING:
    from psycopg import Connection

    from hythe.state.backends.pg.settings import Target

_POLL = 1.0
_RELEASE_PATIENCE = 2.0

_SEEN = (
    "SELECT id, token, lock_id::text, holder, expires <= clock_timestamp(), "
    "extract(epoch FROM expires - clock_timestamp())::float8 FROM {schema}.states WHERE workspace = %s"
)
_TAKE = (
    # a row that another session keeps locked must not make us wait for longer than we want to
    "WITH durable AS MATERIALIZED ({durable}, set_config('lock_timeout', '3s', true)) "
    "UPDATE {schema}.states SET token = token + 1, lock_id = %(mine)s, holder = %(holder)s, "
    "expires = clock_timestamp() + make_interval(secs => %(lease)s) FROM durable "
    "WHERE id = %(id)s AND token = %(token)s AND lock_id IS NOT DISTINCT FROM %(theirs)s::uuid "
    "AND (lock_id IS NULL OR %(gone)s OR expires <= clock_timestamp()) RETURNING token"
)
_RENEW = (
    "UPDATE {schema}.states SET expires = clock_timestamp() + make_interval(secs => %s) "
    "WHERE id = %s AND token = %s AND lock_id = %s"
)
_RELEASE = (
    "UPDATE {schema}.states SET lock_id = NULL, holder = NULL, expires = NULL "
    "WHERE id = %s AND token = %s AND lock_id = %s"
)
_BREAK = (
    "WITH durable AS MATERIALIZED ({durable}) "
    "UPDATE {schema}.states SET token = token + 1, lock_id = NULL, holder = NULL, expires = NULL FROM durable "
    "WHERE workspace = %s AND lock_id = %s"
)
# A holder that was stopped in the middle of a transaction would keep its successor out for as long as its
# session lasts. Sessions of others than our own role are not shown to us, and are left alone.
_END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE application_name = %s AND usename = current_user AND pid <> pg_backend_pid()"
)


@dataclass(frozen=True, slots=True)
class Grip:
    """A lock as writes are checked against it: the row, the token, and the lock's id."""

    state: int
    token: int
    lock_id: str


@dataclass(frozen=True, slots=True)
class Seen:
    """The row of a state as it was seen; ``left`` is how many seconds the lease still has."""

    state: int
    token: int
    lock_id: str | None
    holder: Holder | None
    process: ProcessName | None
    expired: bool
    left: float

    @property
    def gone(self) -> bool:
        """Whether the holder has certainly ended."""
        return self.process is not None and is_dead(self.process)

    @property
    def free(self) -> bool:
        """Whether the lock may be taken."""
        return self.lock_id is None or self.expired or self.gone


def look(connection: Connection[Any], target: Target, workspace: str) -> Seen | None:
    """The row of a workspace, None where there is none."""
    row = connection.execute(tables.statement(_SEEN, target), (workspace,)).fetchone()
    if row is None:
        return None
    holder, process = _decode(row[3])
    return Seen(row[0], row[1], row[2], holder, process, bool(row[4]), row[5] or 0.0)


class Lease:
    """A lock that is held. A context manager; :meth:`release` may be called twice.

    A thread with a connection of its own renews it. Once it is lost it stays so; writes are refused then.
    """

    def __init__(self, link: Link, holder: Holder, grip: Grip, target: Target, channel: str) -> None:
        self.holder, self.grip = holder, grip
        self.given_up = False
        """Whether it was held to the end, and released."""
        self._link, self._target, self._channel = link, target, channel
        self._end = threading.Event()
        self._beat = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._beat.start()

    def release(self) -> None:
        """Give it up; whoever waits is told. Never raises: one that cannot be given up ends by itself."""
        import psycopg

        if self._end.is_set():
            return
        self._end.set()
        self._beat.join()
        grip = self.grip

        def give_up(connection: Connection[Any]) -> None:
            query, given = tables.statement(_RELEASE, self._target), (grip.state, grip.token, grip.lock_id)
            self.given_up = connection.execute(query, given).rowcount > 0 or self.given_up
            connection.execute("SELECT pg_notify(%s, '')", (self._channel,))

        try:
            self._link.run(give_up, _RELEASE_PATIENCE)
        except psycopg.Error:
            self._link.drop()

    def _renew(self) -> None:
        import psycopg

        pulse, grip = Link(self._target), self.grip
        pulse.name(session_name(grip.lock_id))
        query = tables.statement(_RENEW, self._target)
        given = (self._target.lease, grip.state, grip.token, grip.lock_id)
        pause = self._target.lease / 3
        try:
            while not self._end.wait(pause):
                try:
                    renewed = pulse.run(lambda c: c.execute(query, given).rowcount)
                except psycopg.Error:
                    # as soon as the server is back: it may be that nobody took it meanwhile
                    pause = min(1.0, self._target.lease / 3)
                    continue
                if not renewed:
                    return
                pause = self._target.lease / 3
        finally:
            pulse.close()

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def session_name(lock_id: str) -> str:
    """What the server shows of the sessions of that lock's holder."""
    return f"hythe {lock_id}"


def acquire(
    link: Link,
    target: Target,
    workspace: str,
    where: str,
    operation: str,
    timeout: float,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Lease:
    """Take the lock, waiting up to ``timeout`` seconds. Raises DiagnosticError, which names its holder."""
    holder, channel = describe_process(operation), _channel(target, workspace)
    deadline = clock() + timeout
    with reading(target):
        link.name(session_name(holder.id))
        link.run(lambda c: tables.make(c, target))
        listening = False
        while True:
            left = max(deadline - clock(), 0.0)
            grip, seen = link.run(lambda c: _try(c, target, workspace, holder), left)
            if grip is not None:
                break
            left = deadline - clock()
            if left <= 0:
                raise DiagnosticError(_taken(where, seen, timeout))
            if not listening:
                # what is told from now on is heard, what was told before is seen by looking once more
                link.run(lambda c: c.execute(f'LISTEN "{channel}"'))
                listening = True
                continue
            listening = _wait(link, min(left, _POLL if seen is None else min(max(seen.left, 0.01), _POLL)))
        if listening:
            link.run(lambda c: c.execute("UNLISTEN *"))
    return Lease(link, holder, grip, target, channel)


def break_it(link: Link, target: Target, workspace: str, where: str, lock_id: str) -> None:
    """Take the lock of that id away from its holder. Raises DiagnosticError when there is none."""
    import uuid

    def work(connection: Connection[Any]) -> int:
        connection.execute(_END_SESSIONS, (session_name(lock_id),))
        done = connection.execute(tables.statement(_BREAK, target), (workspace, lock_id)).rowcount
        connection.execute("SELECT pg_notify(%s, '')", (_channel(target, workspace),))
        return done

    try:
        uuid.UUID(lock_id)
        with reading(target):
            done = link.run(work) if link.run(lambda c: tables.are_there(c, target)) else 0
    except ValueError:
        done = 0
    if not done:
        text = f"There is no lock {lock_id} on the state in {where}: it has ended, or the id is another."
        raise DiagnosticError(error("Lock not held", text))


def _try(
    connection: Connection[Any], target: Target, workspace: str, holder: Holder
) -> tuple[Grip | None, Seen | None]:
    import psycopg

    seen = look(connection, target, workspace)
    if seen is None:
        connection.execute(
            tables.statement("INSERT INTO {schema}.states (workspace) VALUES (%s) ON CONFLICT DO NOTHING", target),
            (workspace,),
        )
        seen = look(connection, target, workspace)
    if seen is None:
        return None, None
    if seen.lock_id == holder.id:
        # taken by the try before, whose connection was cut off
        return Grip(seen.state, seen.token, holder.id), seen
    gone = seen.gone
    if seen.lock_id is not None:
        if not (gone or seen.expired):
            return None, seen
        connection.execute(_END_SESSIONS, (session_name(seen.lock_id),))
    given = {
        "mine": holder.id,
        "theirs": seen.lock_id,
        "holder": _encode(holder),
        "lease": target.lease,
        "id": seen.state,
        "token": seen.token,
        "gone": gone,
    }
    try:
        row = connection.execute(tables.statement(_TAKE, target), given).fetchone()
    except psycopg.errors.LockNotAvailable:
        return None, seen
    return (Grip(seen.state, row[0], holder.id) if row is not None else None), seen


def _wait(link: Link, seconds: float) -> bool:
    """Until somebody gives the lock up, or for that long. False where the connection was lost meanwhile."""
    import psycopg

    def hear(connection: Connection[Any]) -> None:
        for _ in connection.notifies(timeout=seconds, stop_after=1):
            pass

    try:
        link.run_once(hear)
    except psycopg.Error:
        time.sleep(min(seconds, 0.2 + random.random() * 0.2))  # noqa: S311 - only so that not all come back at once
        return False
    return True


def _channel(target: Target, workspace: str) -> str:
    name = json.dumps([target.schema, workspace]).encode()
    return "hythe_" + hashlib.sha256(name).hexdigest()[:32]


def _encode(holder: Holder) -> str:
    return json.dumps({**asdict(holder), "process": this_process().as_json()})


def _decode(text: str | None) -> tuple[Holder | None, ProcessName | None]:
    if text is None:
        return None, None
    try:
        found = json.loads(text)
        return Holder(**{f.name: found[f.name] for f in fields(Holder)}), ProcessName.from_json(found.get("process"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, None


def _taken(where: str, seen: Seen | None, timeout: float) -> Diagnostic:
    waited = f" {timeout:g} seconds of waiting did not change that." if timeout else ""
    who = "Another process holds it."
    if seen is not None and seen.lock_id is not None:
        by = str(seen.holder) if seen.holder is not None else "another process"
        who = f"It is held by {by} (lock {seen.lock_id})."
    return error(
        "State is locked",
        f"This is about {where}. {who}{waited} Two at once would overwrite each other's work. Wait for it to end "
        "(--lock-timeout=60s waits by itself). A holder that ended without a word loses the lock by itself, at once "
        "on this machine and when its lease runs out elsewhere; `hythe force-unlock ID` takes it from one that hangs.",
    )
