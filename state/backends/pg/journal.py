"""The journal: one row a record, numbered from 0 (the header), a batch in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hythe.state.backends.base import Records
from hythe.state.backends.pg import tables
from hythe.state.backends.pg.failures import writing
from hythe.state.backends.pg.lease import Grip
from hythe.state.backends.pg.link import Link
from hythe.state.journal import JournalDamaged

if TYPE_CHECKING:
    from psycopg import Connection

    from hythe.state.backends.pg.settings import Target

# One statement is one transaction: a writer that is stopped in the middle of it keeps nobody out. The row lock
# holds until the records are committed, so who takes the lease over sees them.
_APPEND = (
    "WITH mine AS MATERIALIZED ({durable} FROM {schema}.states WHERE id = %(state)s "
    "AND journal = %(generation)s AND (%(lock_id)s::uuid IS NULL OR (token = %(token)s AND lock_id = %(lock_id)s)) "
    "FOR SHARE) "
    "INSERT INTO {schema}.journal (generation, seq, writer, data) "
    "SELECT %(generation)s, %(first)s + n - 1, %(writer)s, data "
    "FROM mine, unnest(%(records)b::bytea[]) WITH ORDINALITY AS records (data, n) "
)
# whose rows are there already is the writer's own try before, whose connection was cut off
_AGAIN = (
    "ON CONFLICT (generation, seq) DO UPDATE SET data = EXCLUDED.data WHERE journal.writer = EXCLUDED.writer "
    "AND journal.data = EXCLUDED.data"
)
_READ = "SELECT seq, data FROM {schema}.journal WHERE generation = %s ORDER BY seq"


def read(connection: Connection[Any], target: Target, generation: uuid.UUID | None) -> Records:
    """The records of a generation. Raises JournalDamaged when one is missing."""
    if generation is None:
        return Records()
    rows = connection.execute(tables.statement(_READ, target), (generation,), binary=True).fetchall()
    for number, (seq, _) in enumerate(rows):
        if seq != number:
            raise JournalDamaged(number, "is missing", "record")
    if not rows:
        raise JournalDamaged(0, "is missing", "record")
    return Records([bytes(data) for _, data in rows], (generation, len(rows)))


class PgJournal:
    """A journal open for appending. ``refuse`` raises why a write was not accepted."""

    def __init__(
        self,
        link: Link,
        target: Target,
        state: int,
        grip: Grip | None,
        position: tuple[uuid.UUID, int],
        refuse: Callable[[Connection[Any]], None],
    ) -> None:
        self._link, self._target, self._refuse = link, target, refuse
        self._generation, self._next = position
        self._given = {
            "state": state,
            "lock_id": grip.lock_id if grip is not None else None,
            "token": grip.token if grip is not None else None,
            "writer": uuid.uuid4(),
            "generation": self._generation,
        }

    def write(self, records: Sequence[bytes]) -> None:
        """Append records, durable when this returns. Raises OSError; the same may then be written again."""
        with writing(self._target):
            self._link.run(lambda c: self._append(c, records), self._target.retry_for)
        self._next += len(records)

    def close(self) -> None:
        """Nothing to close: the connection is the backend's."""

    def _append(self, connection: Connection[Any], records: Sequence[bytes]) -> None:
        import psycopg

        given = {**self._given, "first": self._next, "records": list(records)}
        try:
            done = connection.execute(tables.statement(_APPEND, self._target), given)
        except psycopg.errors.UniqueViolation:
            self._append_again(connection, given)
            return
        if done.rowcount != len(records):
            self._refuse(connection)

    def _append_again(self, connection: Connection[Any], given: dict[str, Any]) -> None:
        with connection.transaction():
            done = connection.execute(tables.statement(_APPEND + _AGAIN, self._target), given)
            if done.rowcount != len(given["records"]):
                self._refuse(connection)
