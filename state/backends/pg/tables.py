"""The tables, and how they come to be there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hythe.diagnostic import DiagnosticError, error

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composed

    from hythe.state.backends.pg.settings import Target

FORMAT = 1

_TABLES = """\
CREATE TABLE IF NOT EXISTS {schema}.format (version integer PRIMARY KEY);
CREATE TABLE IF NOT EXISTS {schema}.states (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  workspace text NOT NULL UNIQUE,
  snapshot uuid,
  journal uuid,
  token bigint NOT NULL DEFAULT 0,
  lock_id uuid,
  holder text,
  expires timestamptz
);
CREATE TABLE IF NOT EXISTS {schema}.snapshots (
  id uuid PRIMARY KEY,
  number bigint GENERATED ALWAYS AS IDENTITY,
  state bigint NOT NULL REFERENCES {schema}.states ON DELETE CASCADE,
  serial bigint NOT NULL,
  written timestamptz NOT NULL DEFAULT clock_timestamp(),
  journal uuid,
  data bytea NOT NULL
);
CREATE INDEX IF NOT EXISTS snapshots_of_state ON {schema}.snapshots (state, number);
CREATE TABLE IF NOT EXISTS {schema}.journal (
  generation uuid NOT NULL,
  seq bigint NOT NULL,
  writer uuid NOT NULL,
  written timestamptz NOT NULL DEFAULT clock_timestamp(),
  data bytea NOT NULL,
  PRIMARY KEY (generation, seq)
);
INSERT INTO {schema}.format VALUES (1) ON CONFLICT DO NOTHING;
"""
# what two that make the tables at once take turns on: the letters of "hythe"
_MAKING = 0x6879746865


DURABLE = (
    "SELECT set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') = 'remote_apply' "
    "THEN 'remote_apply' ELSE 'on' END, true)"
)
"""What this transaction commits is on the server's disk when it says so, whatever the server is set up for."""


def statement(text: str, target: Target) -> Composed:
    """SQL with ``{schema}`` and ``{durable}`` (see :data:`DURABLE`) filled in."""
    from psycopg.sql import SQL, Identifier

    return SQL(text).format(schema=Identifier(target.schema), durable=SQL(DURABLE))


def are_there(connection: Connection[Any], target: Target) -> bool:
    """Whether the tables are there. Raises DiagnosticError when a newer Hythe made them."""
    import psycopg

    try:
        row = connection.execute(statement("SELECT max(version) FROM {schema}.format", target)).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return False
    version = row[0] if row is not None else None
    if version is not None and version > FORMAT:
        text = (
            f"The tables of schema {target.schema} in {target.server} are of format {version}, and this Hythe knows "
            f"up to {FORMAT}. Use the version that made them, or a newer one."
        )
        raise DiagnosticError(error("State from a newer version", text))
    return version is not None


def make(connection: Connection[Any], target: Target) -> None:
    """Make the tables if they are not there. Raises DiagnosticError where they are to be made by others."""
    if are_there(connection, target):
        return
    if target.skip_table_creation:
        text = (
            f"There are no tables of Hythe in schema {target.schema} of {target.server}, and skip_table_creation says "
            "that Hythe is not to make them. Make them as docs/state.md shows, or leave that setting out."
        )
        raise DiagnosticError(error("State tables missing", text))
    with connection.transaction():
        # IF NOT EXISTS alone does not help two that look at the same moment
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MAKING,))
        if not target.skip_schema_creation:
            there = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (target.schema,)).fetchone()
            # only who may make schemas may even ask for one that is there
            if there is None:
                connection.execute(statement("CREATE SCHEMA IF NOT EXISTS {schema}", target))
        connection.execute(statement(_TABLES, target))
