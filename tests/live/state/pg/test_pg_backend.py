"""What the PostgreSQL backend promises, on a real server."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from hythe.diagnostic import DiagnosticError
from hythe.state.backends.base import LeaseLost, ServerFailed
from hythe.state.backends.pg.lease import session_name
from hythe.state.journal import JournalDamaged
from tests.live.state.contract import BackendContract
from tests.live.state.pg.conftest import Database


class TestContract(BackendContract):
    """What every backend promises."""

    rounds = 150

    @pytest.fixture
    def place(self, database: Database) -> Database:
        """An empty database."""
        return database

    def journal_size(self, place: Database) -> int:
        """The rows of all journals."""
        return int(place.sql("SELECT count(*) FROM hythe_state.journal")[0][0])

    def is_untouched(self, place: Database) -> bool:
        """Whether the schema is not there."""
        return place.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'hythe_state'") == [(0,)]


def test_many_make_the_tables_at_once(database: Database) -> None:
    with ThreadPoolExecutor(12) as pool:
        writes = [
            pool.submit(lambda n=n: database.backend(f"w{n}").write(b"%d" % n, serial=1, keep_journal=False))
            for n in range(12)
        ]
        for each in writes:
            each.result()
    assert database.storage().workspaces() == sorted(["default", *(f"w{n}" for n in range(12))])
    assert [database.backend(f"w{n}").read() for n in range(12)] == [b"%d" % n for n in range(12)]


def test_the_same_records_written_again_are_there_once(database: Database) -> None:
    """A commit that came through though its answer did not: the writer tries again, with more by then."""
    backend = database.backend()
    journal = backend.open_journal(b"head", None)
    journal.write([b"a", b"b"])
    journal._next = 1
    journal.write([b"a", b"b", b"c"])
    journal.write([b"d"])
    assert database.backend().read_journal().records == [b"head", b"a", b"b", b"c", b"d"]


def test_two_without_a_lock_do_not_mix_their_records(database: Database) -> None:
    database.backend().open_journal(b"head", None).write([b"a"])
    position = database.backend().read_journal().position
    one, other = (database.backend().open_journal(b"", position) for _ in range(2))
    one.write([b"b", b"c"])
    with pytest.raises(ServerFailed, match="without a lock"):
        other.write([b"x", b"y", b"z"])
    assert database.backend().read_journal().records == [b"head", b"a", b"b", b"c"]
    database.backend().open_journal(b"anew", None).write([b"1"])
    with pytest.raises(ServerFailed, match="without a lock"):
        one.write([b"d"])
    assert database.backend().read_journal().records == [b"anew", b"1"]


def test_a_missing_record_is_told(database: Database) -> None:
    database.backend().open_journal(b"head", None).write([b"a", b"b", b"c"])
    database.sql("DELETE FROM hythe_state.journal WHERE seq = 2")
    backend = database.backend()
    backend.read()
    with pytest.raises(JournalDamaged) as caught:
        backend.read_journal()
    assert (caught.value.unit, caught.value.offset) == ("record", 2)


def test_workspaces_and_schemas_are_apart_and_deleted_whole(database: Database) -> None:
    odd = 'we"ird {schema} $1'
    for schema in ("hythe_state", odd):
        for workspace in ("default", "prod", "ünï'code"):
            backend = database.backend(workspace, schema_name=schema)
            with backend.lock("apply", 0):
                backend.write(b"old", serial=1, keep_journal=False)
                backend.open_journal(b"head", None).write([b"a"])
                backend.write(f"{schema} {workspace}".encode(), serial=2, keep_journal=True)
                backend.open_journal(b"head", None).write([b"a"])
    assert database.storage(schema_name=odd).workspaces() == ["default", "prod", "ünï'code"]
    gone = database.backend("prod")
    with gone.lock("delete", 0):
        gone.delete()
    assert database.storage().workspaces() == ["default", "ünï'code"]
    assert database.backend("prod").read() is None
    assert database.backend("prod", schema_name=odd).read() == f"{odd} prod".encode()
    assert database.sql("SELECT count(*) FROM hythe_state.journal") == [(8,)]
    assert database.sql("SELECT count(*) FROM hythe_state.snapshots") == [(4,)]


def test_a_large_state(database: Database) -> None:
    data = os.urandom(25_000_000) * 2
    backend = database.backend(lease="2s")
    with backend.lock("apply", 0):
        backend.write(data, serial=1, keep_journal=False)
        assert database.backend().read() == data
        # a record costs the same whatever the size of the state
        journal = backend.open_journal(b"head", None)
        ((before,),) = database.sql("SELECT pg_current_wal_lsn() - '0/0'")
        for _ in range(50):
            journal.write([b"x" * 500])
        ((after,),) = database.sql("SELECT pg_current_wal_lsn() - '0/0'")
        assert after - before < len(data) / 5


def test_ten_thousand_records_are_one_transaction(database: Database) -> None:
    journal = database.backend().open_journal(b"head", None)
    journal.write([b"x"])
    journal.write([b'{"intent": %d}' % n for n in range(10_000)])
    assert database.sql("SELECT count(DISTINCT xmin::text), count(*) FROM hythe_state.journal WHERE seq > 1") == [
        (1, 10_000)
    ]


# -- the lock ---------------------------------------------------------------------------------------


def test_who_waits_is_woken_at_once(database: Database) -> None:
    took: list[float] = []

    def wait() -> None:
        with database.backend().lock("plan", 30):
            took.append(time.monotonic())

    # a busy machine may be late once
    for _ in range(3):
        held = database.backend().lock("apply", 0)
        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(1.3)
        took.append(-time.monotonic())
        held.release()
        waiting.join(30)
    assert len(took) == 6
    assert min(map(sum, zip(took[::2], took[1::2], strict=True))) < 0.7


def test_tokens_grow(database: Database) -> None:
    tokens = []
    for _ in range(5):
        with database.backend().lock("apply", 0) as held:
            tokens.append(held.grip.token)
    assert tokens == sorted(set(tokens))


def _elsewhere(database: Database) -> None:
    """The lock's holder is on another machine from now on: nobody here can tell whether it runs."""
    database.sql('UPDATE hythe_state.states SET holder = replace(holder, \'"boot": "\', \'"boot": "not-\')')


def test_a_holder_elsewhere_that_is_silent_loses_the_lease(database: Database) -> None:
    backend = database.backend(lease="2s")
    held = backend.lock("apply", 0)
    backend.write(b"before", serial=1, keep_journal=False)
    journal = backend.open_journal(b"head", None)
    journal.write([b"a"])
    # its heart stops, and it does not know
    held._end.set()
    held._beat.join()
    _elsewhere(database)
    began = time.monotonic()
    with pytest.raises(DiagnosticError, match="State is locked"):
        database.backend().lock("apply", 0)
    other = database.backend()
    with other.lock("apply", 20):
        assert 0.5 < time.monotonic() - began < 4
        assert other.read_journal().records == [b"head", b"a"]
        with pytest.raises(LeaseLost, match="hythe apply"):
            journal.write([b"b"])
        with pytest.raises(LeaseLost):
            backend.write(b"mine", serial=9, keep_journal=False)
        with pytest.raises(LeaseLost):
            backend.open_journal(b"mine", None)
        with pytest.raises(LeaseLost):
            backend.delete()
        other.write(b"theirs", serial=2, keep_journal=True)
    with pytest.raises(LeaseLost):
        backend.write(b"mine", serial=9, keep_journal=False)
    assert database.backend().read() == b"theirs"
    assert database.backend().read_old_journal().records == [b"head", b"a"]


def test_a_late_holder_whose_lease_nobody_took_goes_on(database: Database) -> None:
    backend = database.backend(lease="1s")
    held = backend.lock("apply", 0)
    held._end.set()
    held._beat.join()
    time.sleep(1.2)
    backend.write(b"mine", serial=1, keep_journal=False)
    assert database.backend().read() == b"mine"


def test_one_that_renews_is_never_robbed(database: Database) -> None:
    with database.backend(lease="1s").lock("apply", 0):
        _elsewhere(database)
        with pytest.raises(DiagnosticError, match="State is locked"):
            database.backend().lock("plan", 4)


def test_the_heart_beats_on_after_connections_were_cut(database: Database) -> None:
    backend = database.backend(lease="2s")
    with backend.lock("apply", 0) as held:
        _elsewhere(database)
        for _ in range(8):
            time.sleep(0.5)
            database.cut()
        assert database.backend().holder() == held.holder
        backend.write(b"mine", serial=1, keep_journal=False)
    assert database.backend().read() == b"mine"


def test_a_session_that_hangs_in_a_transaction_keeps_nobody_out(database: Database) -> None:
    """A holder that was stopped between two statements has rows locked, and its machine keeps the connection up."""
    held = database.backend(lease="1s").lock("apply", 0)
    held._end.set()
    held._beat.join()
    _elsewhere(database)
    name = session_name(held.holder.id)
    with psycopg.connect(database.address, application_name=name) as hanging:
        hanging.execute("SELECT * FROM hythe_state.states FOR UPDATE")
        time.sleep(1.2)
        began = time.monotonic()
        with database.backend().lock("apply", 10):
            assert time.monotonic() - began < 3
        with pytest.raises(psycopg.OperationalError):
            hanging.execute("SELECT 1")


def test_a_row_that_somebody_else_keeps_locked_is_waited_for_in_vain(database: Database) -> None:
    with database.backend().lock("apply", 0):
        pass
    with psycopg.connect(database.address) as hanging:
        hanging.execute("SELECT * FROM hythe_state.states FOR UPDATE")
        with pytest.raises(DiagnosticError, match="State is locked"):
            database.backend().lock("apply", 0)
    with database.backend().lock("apply", 0):
        pass


def test_breaking_a_lock(database: Database) -> None:
    backend = database.backend()
    held = backend.lock("apply", 0)
    for wrong in ("nonsense", "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(DiagnosticError, match="Lock not held"):
            database.backend().break_lock(wrong)
    database.backend().break_lock(held.holder.id)
    assert database.backend().holder() is None
    with pytest.raises(LeaseLost, match="forced open"):
        backend.write(b"mine", serial=1, keep_journal=False)
    with pytest.raises(DiagnosticError, match="Lock not held"):
        database.backend().break_lock(held.holder.id)


# -- the server -------------------------------------------------------------------------------------


def test_records_that_were_acknowledged_survive_the_server(database: Database) -> None:
    """The server loses its power again and again, and is set up to be careless: nothing is lost, nothing is twice."""
    database.sql(f"ALTER ROLE {database.name} SET synchronous_commit = off")
    backend = database.backend(retry_for="60s")
    journal = backend.open_journal(b"head", None)
    written: list[bytes] = []
    ending = threading.Event()
    failures: list[BaseException] = []

    def write() -> None:
        try:
            while not ending.is_set():
                batch = [b"%d" % (len(written) + n) for n in range(1 + len(written) % 3)]
                journal.write(batch)
                written.extend(batch)
        except BaseException as failure:
            failures.append(failure)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for mode in ("immediate", "fast", "immediate"):
            time.sleep(0.7)
            before = len(written)
            database.cluster.stop(mode)
            after = len(written)
            time.sleep(0.5)
            database.cluster.start()
            kept = [bytes(row[0]) for row in database.sql("SELECT data FROM hythe_state.journal ORDER BY seq")]
            assert after > before or after > 0
            assert kept[1 : after + 1] == written[:after]
    finally:
        ending.set()
        writer.join(60)
    assert not failures
    assert len(written) > 20
    assert database.backend().read_journal().records == [b"head", *written]


def test_a_server_that_stays_away_is_told_once_in_time(database: Database) -> None:
    backend = database.backend(retry_for="1500ms")
    journal = backend.open_journal(b"head", None)
    journal.write([b"a"])
    database.cluster.stop()
    try:
        began = time.monotonic()
        with pytest.raises(ServerFailed) as caught:
            journal.write([b"b"])
        assert 1.4 < time.monotonic() - began < 6
        assert "refused" in str(caught.value)
        assert str(database.cluster.port) in caught.value.mend
        # what is still to be said does not wait as long again
        began = time.monotonic()
        with pytest.raises(ServerFailed):
            backend.write(b"x", serial=1, keep_journal=True)
        assert time.monotonic() - began < 1
    finally:
        database.cluster.start()
    journal.write([b"b", b"c"])
    assert database.backend().read_journal().records == [b"head", b"a", b"b", b"c"]


def test_a_standby_is_not_written_to_but_waited_for(database: Database) -> None:
    """After a failover a connection may end at a server that only reads: it is left, and tried again."""
    backend = database.backend(retry_for="30s")
    journal = backend.open_journal(b"head", None)
    database.sql(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    database.cut()
    timer = threading.Timer(
        1.5, lambda: database.cluster.admin(f"ALTER DATABASE {database.name} RESET default_transaction_read_only")
    )
    timer.start()
    journal.write([b"a"])
    timer.join()
    assert database.backend().read_journal().records == [b"head", b"a"]


# -- mistakes ---------------------------------------------------------------------------------------


def test_tables_that_others_are_to_make(database: Database) -> None:
    with pytest.raises(DiagnosticError, match="State tables missing"):
        database.backend(skip_table_creation=True).lock("apply", 0)
    database.sql("CREATE SCHEMA theirs")
    database.sql(f"GRANT USAGE, CREATE ON SCHEMA theirs TO {database.name}")
    database.sql(f"REVOKE CREATE ON DATABASE {database.name} FROM {database.name}")
    database.sql(f"ALTER DATABASE {database.name} OWNER TO admin")
    backend = database.backend(schema_name="theirs", skip_schema_creation=True)
    backend.write(b"x", serial=1, keep_journal=False)
    assert database.backend(schema_name="theirs", skip_table_creation=True).read() == b"x"
    with pytest.raises(DiagnosticError, match="State database not permitted"):
        database.backend().lock("apply", 0)


def test_tables_made_as_the_docs_say(database: Database) -> None:
    text = (Path(__file__).parents[4] / "docs" / "state.md").read_text()
    database.sql("CREATE SCHEMA hythe_state")
    database.sql(text.partition("```sql\n")[2].partition("```")[0])
    database.sql(f"GRANT USAGE ON SCHEMA hythe_state TO {database.name}")
    database.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA hythe_state TO {database.name}")
    database.sql(f"ALTER DATABASE {database.name} OWNER TO admin")
    backend = database.backend(skip_schema_creation=True, skip_table_creation=True)
    with backend.lock("apply", 0):
        backend.open_journal(b"head", None).write([b"a"])
        backend.write(b"x", serial=1, keep_journal=True)
        backend.write(b"y", serial=2, keep_journal=False)
    backend.delete()
    assert database.backend().read() is None


def test_a_reader_needs_no_more_than_select(database: Database) -> None:
    database.backend().write(b"x", serial=1, keep_journal=False)
    reader = f"{database.name}_reader"
    address = database.cluster.address(reader).replace(f"/{reader}?", f"/{database.name}?")
    database.sql(f"CREATE ROLE {reader} LOGIN PASSWORD 'correct horse/battery'")
    with pytest.raises(DiagnosticError, match="State database not permitted"):
        database.backend(conn_str=address).read()
    database.sql(f"GRANT USAGE ON SCHEMA hythe_state TO {reader}")
    database.sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA hythe_state TO {reader}")
    assert database.backend(conn_str=address).read() == b"x"
    with pytest.raises(DiagnosticError, match="State database not permitted"):
        database.backend(conn_str=address).lock("plan", 0)


def test_tables_of_a_newer_version(database: Database) -> None:
    database.backend().write(b"x", serial=1, keep_journal=False)
    database.sql("UPDATE hythe_state.format SET version = 2")
    with pytest.raises(DiagnosticError, match="State from a newer version"):
        database.backend().read()
    with pytest.raises(DiagnosticError, match="State from a newer version"):
        database.backend().lock("apply", 0)
