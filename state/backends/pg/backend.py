"""One state, and all states, in PostgreSQL.

A row of ``states`` says which snapshot is the current one, which journal goes on from it, and who holds the
lock. Snapshots from before stay in ``snapshots``, the latest of them with the journal that leads to the current.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from hythe.state.backends.base import DEFAULT_WORKSPACE, Backend, LeaseLost, Records, ServerFailed, Storage, Version
from hythe.state.backends.pg import journal as journals
from hythe.state.backends.pg import lease as leases
from hythe.state.backends.pg import tables
from hythe.state.backends.pg.failures import reading, writing
from hythe.state.backends.pg.link import Link
from hythe.state.backends.pg.settings import Settings, Target, resolve
from hythe.state.backends.waiting import Waiting
from hythe.state.journal import JournalDamaged
from hythe.state.lock import Holder

if TYPE_CHECKING:
    from psycopg import Connection, Cursor

Result = TypeVar("Result")

_LOCK = "Leave out --lock=false"

_CURRENT = (
    "SELECT states.journal, snapshots.data FROM {schema}.states "
    "LEFT JOIN {schema}.snapshots ON snapshots.id = states.snapshot WHERE workspace = %s"
)
_BEFORE = (
    "FROM {schema}.snapshots JOIN {schema}.states ON states.id = snapshots.state "
    "WHERE workspace = %s AND snapshots.id IS DISTINCT FROM states.snapshot "
)
_VERSIONS = (
    f"SELECT snapshots.id, serial, extract(epoch FROM written)::float8, length(data) {_BEFORE}ORDER BY number DESC"  # noqa: S608 - constants
)
_SILENT = (
    "SELECT extract(epoch FROM clock_timestamp() - greatest(snapshots.written, "
    "(SELECT max(written) FROM {schema}.journal WHERE generation = states.journal)))::float8 FROM {schema}.states "
    "LEFT JOIN {schema}.snapshots ON snapshots.id = states.snapshot WHERE workspace = %s"
)
_PUT = (
    "INSERT INTO {schema}.snapshots (id, state, serial, data) VALUES (%s, %s, %s, %b) "
    "ON CONFLICT (id) DO UPDATE SET serial = EXCLUDED.serial"
)
_ROW = "SELECT snapshot, journal, token, lock_id::text FROM {schema}.states WHERE id = %s FOR NO KEY UPDATE"
_KEEP = (
    # of the snapshots before, only the latest is worth a journal
    "DELETE FROM {schema}.journal USING {schema}.snapshots "
    "WHERE journal.generation = snapshots.journal AND snapshots.state = %(state)s",
    "UPDATE {schema}.snapshots SET journal = NULL WHERE state = %(state)s AND journal IS NOT NULL",
    "UPDATE {schema}.snapshots SET journal = %(kept)s WHERE id = %(old)s",
    "DELETE FROM {schema}.journal WHERE generation = %(dropped)s",
    "UPDATE {schema}.states SET snapshot = %(new)s, journal = NULL WHERE id = %(state)s",
    "DELETE FROM {schema}.snapshots WHERE id IN (SELECT id FROM {schema}.snapshots "
    "WHERE state = %(state)s AND id <> %(new)s ORDER BY number DESC OFFSET %(versions)s)",
)


class PgBackend(Backend):
    """The state of one workspace.

    Everything is written in transactions that check the lock's token, so that one who lost the lease, however
    long it slept, writes nothing any more. Without a lock nothing is checked.
    """

    name = "pg"
    can_break = True

    def __init__(self, target: Target, workspace: str) -> None:
        self.target, self.workspace = target, workspace
        self.where = f"{target.server}, schema {target.schema}, workspace {workspace}"
        self.journal_where = f"the journal in {self.where}"
        self.waiting = Waiting()
        self._link = Link(target, self.waiting)
        self._lease: leases.Lease | None = None
        self._journal_seen: Records | JournalDamaged | None = None

    # -- reading --------------------------------------------------------------------------------

    def read(self) -> bytes | None:
        """The snapshot's bytes, None when there is none."""

        def work(connection: Connection[Any]) -> tuple[bytes | None, Records | JournalDamaged]:
            if not tables.are_there(connection, self.target):
                return None, Records()
            with connection.transaction():
                # one that writes meanwhile must not show half of what it did
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                row = self._execute(connection, _CURRENT, (self.workspace,), binary=True).fetchone()
                if row is None:
                    return None, Records()
                found: Records | JournalDamaged
                try:
                    found = journals.read(connection, self.target, row[0])
                except JournalDamaged as failure:
                    found = failure
                return (bytes(row[1]) if row[1] is not None else None), found

        data, self._journal_seen = self._look(work)
        return data

    def read_journal(self) -> Records:
        """The journal, as it was when the snapshot was read."""
        if self._journal_seen is None:
            self.read()
        found, self._journal_seen = self._journal_seen, None
        if isinstance(found, JournalDamaged):
            raise found
        return found or Records()

    def read_backup(self) -> bytes | None:
        """The latest of the snapshots before."""
        row = self._row("SELECT data " + _BEFORE + "ORDER BY number DESC LIMIT 1")
        return bytes(row[0]) if row is not None else None

    def read_old_journal(self) -> Records:
        """What was done between the two."""
        row = self._row("SELECT snapshots.journal " + _BEFORE + "ORDER BY number DESC LIMIT 1")
        if row is None or row[0] is None:
            return Records()
        return self._look(lambda c: journals.read(c, self.target, row[0]))

    def last_written(self) -> float | None:
        """When the snapshot or the journal was last written, by our clock: the server's may be another."""
        row = self._row(_SILENT)
        return time.time() - row[0] if row is not None and row[0] is not None else None

    def versions(self) -> list[Version]:
        """The snapshots before, the latest first."""

        def work(connection: Connection[Any]) -> list[Any]:
            if not tables.are_there(connection, self.target):
                return []
            return self._execute(connection, _VERSIONS, (self.workspace,)).fetchall()

        rows = self._look(work)
        return [Version(str(id), serial, written, size) for id, serial, written, size in rows]

    def read_version(self, version: str) -> bytes | None:
        """The snapshot of that id."""
        try:
            id = uuid.UUID(version)
        except ValueError:
            return None
        row = self._row("SELECT data " + _BEFORE + "AND snapshots.id = %s", id)
        return bytes(row[0]) if row is not None else None

    # -- the lock -------------------------------------------------------------------------------

    def lock(self, operation: str, timeout: float) -> leases.Lease:
        """Take the lock. Raises DiagnosticError when another holds it."""
        self._lease = leases.acquire(self._link, self.target, self.workspace, self.where, operation, timeout)
        return self._lease

    def holder(self) -> Holder | None:
        """Who holds the lock now."""
        seen = self._look(
            lambda c: leases.look(c, self.target, self.workspace) if tables.are_there(c, self.target) else None
        )
        return seen.holder if seen is not None and not seen.free else None

    def break_lock(self, lock_id: str) -> None:
        """Take the lock away from its holder, whose writes are refused from then on."""
        leases.break_it(self._link, self.target, self.workspace, self.where, lock_id)

    # -- writing --------------------------------------------------------------------------------

    def open_journal(self, header: bytes, position: Any) -> journals.PgJournal:
        """The journal's rows."""
        self._journal_seen = None
        state = self._state()
        if position is None:
            position = uuid.uuid4(), 1
            with writing(self.target):
                self._link.run(lambda c: self._begin(c, state, position[0], header), self.target.retry_for)
        return journals.PgJournal(
            self._link, self.target, state, self._grip, position, lambda c: self._refuse(c, state, position[0])
        )

    def write(self, data: bytes, *, serial: int, keep_journal: bool) -> None:
        """Make this the current snapshot; the one before becomes a version, and the journal goes with it."""
        self._journal_seen = None
        state, new = self._state(), uuid.uuid4()
        keep = keep_journal and self.target.versions > 0

        def work(connection: Connection[Any]) -> None:
            with connection.transaction():
                self._prepare(connection)
                # what takes long comes before the row is locked, or the lease could not be renewed meanwhile
                self._execute(connection, _PUT, (new, state, serial, data))
                snapshot, journal = self._checked(connection, state)
                if snapshot == new:
                    return
                given = {
                    "state": state,
                    "new": new,
                    "old": snapshot,
                    "kept": journal if keep else None,
                    "dropped": None if keep and snapshot is not None else journal,
                    "versions": self.target.versions,
                }
                for query in _KEEP:
                    self._execute(connection, query, given)

        with writing(self.target):
            self._link.run(work, self.target.retry_for)

    def delete(self) -> None:
        """Remove the state with all versions, and its lock."""
        self._journal_seen = None

        def work(connection: Connection[Any]) -> None:
            if not tables.are_there(connection, self.target):
                return
            with connection.transaction():
                self._prepare(connection)
                query = "SELECT id FROM {schema}.states WHERE workspace = %s FOR UPDATE"
                row = self._execute(connection, query, (self.workspace,)).fetchone()
                if row is None:
                    return
                _, journal = self._checked(connection, row[0])
                given = {"state": row[0], "journal": journal}
                self._execute(connection, _KEEP[0], given)
                self._execute(connection, "DELETE FROM {schema}.journal WHERE generation = %(journal)s", given)
                self._execute(connection, "DELETE FROM {schema}.states WHERE id = %(state)s", given)

        with writing(self.target):
            self._link.run(work, self.target.retry_for)

    def close(self) -> None:
        """Give the connection up; it is made again when it is needed."""
        self._link.close()

    # -- inside ---------------------------------------------------------------------------------

    @property
    def _grip(self) -> leases.Grip | None:
        """What writes are checked against. A lease that was lost still counts; one that was given up does not."""
        return None if self._lease is None or self._lease.given_up else self._lease.grip

    def _execute(self, connection: Connection[Any], query: str, given: Any = None, **options: Any) -> Cursor[Any]:
        return connection.execute(tables.statement(query, self.target), given, **options)

    def _row(self, query: str, *more: object) -> Any:
        def work(connection: Connection[Any]) -> Any:
            if not tables.are_there(connection, self.target):
                return None
            return self._execute(connection, query, (self.workspace, *more), binary=True).fetchone()

        return self._look(work)

    def _look(self, work: Callable[[Connection[Any]], Result]) -> Result:
        """Read; one who holds the lock waits for the server as writing does. Raises DiagnosticError."""
        with reading(self.target):
            return self._link.run(work, self.target.retry_for if self._grip is not None else 0.0)

    def _state(self) -> int:
        """The id of the workspace's row, made where there is none. Raises OSError."""
        if self._grip is not None:
            return self._grip.state

        def work(connection: Connection[Any]) -> int:
            tables.make(connection, self.target)
            query = "INSERT INTO {schema}.states (workspace) VALUES (%s) ON CONFLICT DO NOTHING"
            self._execute(connection, query, (self.workspace,))
            query = "SELECT id FROM {schema}.states WHERE workspace = %s"
            row = self._execute(connection, query, (self.workspace,)).fetchone()
            if row is None:
                raise ServerFailed("the workspace was deleted meanwhile", _LOCK)
            return int(row[0])

        with writing(self.target):
            return self._link.run(work)

    def _begin(self, connection: Connection[Any], state: int, generation: uuid.UUID, header: bytes) -> None:
        """A new journal in place of the one that is there, which some snapshot took in."""
        with connection.transaction():
            self._prepare(connection)
            _, journal = self._checked(connection, state)
            if journal not in (None, generation):
                self._execute(connection, "DELETE FROM {schema}.journal WHERE generation = %s", (journal,))
            query = (
                "INSERT INTO {schema}.journal (generation, seq, writer, data) VALUES (%(new)s, 0, %(new)s, %(data)b) "
                "ON CONFLICT (generation, seq) DO UPDATE SET data = EXCLUDED.data"
            )
            self._execute(connection, query, {"new": generation, "data": header})
            query = "UPDATE {schema}.states SET journal = %s WHERE id = %s"
            self._execute(connection, query, (generation, state))

    def _prepare(self, connection: Connection[Any]) -> None:
        """What each transaction begins with: it is durable, and ends by itself when we are stopped in it."""
        connection.execute(tables.DURABLE)
        limit = f"{max(self.target.lease, 1.0) * 1000:.0f}"
        connection.execute("SELECT set_config('idle_in_transaction_session_timeout', %s, true)", (limit,))

    def _checked(self, connection: Connection[Any], state: int) -> tuple[uuid.UUID | None, uuid.UUID | None]:
        """The current snapshot and journal; nobody takes the lock from now to the end of the transaction.

        Raises LeaseLost.
        """
        row = self._execute(connection, _ROW, (state,)).fetchone()
        grip = self._grip
        if row is None or (grip is not None and (row[2], row[3]) != (grip.token, grip.lock_id)):
            self._lost(connection)
        return row[0], row[1]

    def _refuse(self, connection: Connection[Any], state: int, generation: uuid.UUID) -> NoReturn:
        """Say why records were not accepted. Raises OSError."""
        row = self._execute(connection, "SELECT token, lock_id::text FROM {schema}.states WHERE id = %s", (state,))
        found, grip = row.fetchone(), self._grip
        if found is None or (grip is not None and tuple(found) != (grip.token, grip.lock_id)):
            self._lost(connection)
        raise ServerFailed("another process wrote it while this one was at work without a lock", _LOCK)

    def _lost(self, connection: Connection[Any]) -> NoReturn:
        seen = leases.look(connection, self.target, self.workspace)
        if seen is None:
            how = "the workspace was deleted"
        elif seen.lock_id is None:
            how = "the lock was taken over or forced open, and is free now"
        else:
            how = f"it is held by {seen.holder or 'another process'} now (lock {seen.lock_id})"
        raise LeaseLost(f"the lock on {self.where} was lost: {how}")


class PgStorage(Storage):
    """The states of all workspaces of one schema."""

    name = "pg"

    def __init__(self, target: Target) -> None:
        self.target = target

    def backend(self, workspace: str) -> PgBackend:
        """The state of that workspace."""
        return PgBackend(self.target, workspace)

    def workspaces(self) -> list[str]:
        """Those with a snapshot or a journal."""
        link = Link(self.target)

        def work(connection: Connection[Any]) -> list[str]:
            if not tables.are_there(connection, self.target):
                return []
            query = "SELECT workspace FROM {schema}.states WHERE snapshot IS NOT NULL OR journal IS NOT NULL"
            return [row[0] for row in connection.execute(tables.statement(query, self.target))]

        try:
            with reading(self.target):
                return sorted({DEFAULT_WORKSPACE, *link.run(work)})
        finally:
            link.close()

    @property
    def where(self) -> str:
        """Server, database and schema."""
        return f"{self.target.server}, schema {self.target.schema}"


def open_storage(settings: Settings, root: str, environment: Mapping[str, str]) -> PgStorage:
    """The states in the database that settings and environment name. Raises DiagnosticError.

    ``root`` is the configuration's folder; nothing is kept in it. No connection is made before it is needed.
    """
    return PgStorage(resolve(settings, environment))
