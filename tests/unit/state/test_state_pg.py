"""The PostgreSQL backend's settings and words; what it does on a server is in tests/live/state/pg."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import psycopg
import pytest
from pydantic import ValidationError

from hythe.diagnostic import DiagnosticError
from hythe.state.backends.pg import Settings, open_storage, place
from hythe.state.backends.pg.failures import reason
from hythe.state.backends.pg.settings import resolve


def _resolved(environment: dict[str, str] | None = None, **given: Any) -> dict[str, str]:
    return dict(resolve(Settings(**given), environment or {}).parameters)


def test_defaults() -> None:
    target = resolve(Settings(), {})
    assert (target.schema, target.lease, target.retry_for, target.versions) == ("hythe_state", 30.0, 90.0, 20)
    assert target.host == "the local socket"


@pytest.mark.parametrize(
    "given",
    [
        {"conn_string": "x"},
        {"lease": "soon"},
        {"lease": "10ms"},
        {"versions": -1},
        {"schema_name": ""},
        {"schema_name": "x" * 64},
        {"schema_name": "a%b"},
        {"conn_str": 3},
    ],
)
def test_what_settings_refuse(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**given)


def test_durations() -> None:
    settings = Settings(lease="1m30s", retry_for="500ms")  # type: ignore[arg-type]
    assert (settings.lease, settings.retry_for) == (90.0, 0.5)


def test_the_configuration_goes_before_the_environment() -> None:
    environment = {
        "PG_CONN_STR": "host=env.example dbname=env",
        "PGHOST": "other.example",
        "PGUSER": "env-user",
        "PGSSLMODE": "verify-full",
        "PG_SCHEMA_NAME": "env_schema",
        "PG_SKIP_TABLE_CREATION": "true",
    }
    given = _resolved(environment, conn_str="postgres://me@host.example/mine")
    assert (given["host"], given["dbname"], given["user"], given["sslmode"]) == (
        "host.example",
        "mine",
        "me",
        "verify-full",
    )
    given = _resolved(environment)
    assert (given["host"], given["dbname"], given["user"]) == ("env.example", "env", "env-user")
    target = resolve(Settings(), environment)
    assert (target.schema, target.skip_table_creation, target.skip_schema_creation) == ("env_schema", True, False)
    target = resolve(Settings(schema_name="mine", skip_table_creation=False), environment)
    assert (target.schema, target.skip_table_creation) == ("mine", False)
    with pytest.raises(DiagnosticError, match="PG_SKIP_SCHEMA_CREATION"):
        resolve(Settings(), {"PG_SKIP_SCHEMA_CREATION": "perhaps"})


def test_a_service_is_left_to_libpq() -> None:
    given = _resolved({"PGHOST": "env.example"}, conn_str="service=states")
    assert "host" not in given


@pytest.mark.parametrize(
    ("conn_str", "where"),
    [
        ("postgres://me:hunter2@db.example.com/states", 'database "states" on db.example.com:5432'),
        ("postgres://me:hunter2@db.example.com", 'database "me" on db.example.com:5432'),
        ("host=a,b port=1,2 dbname=x password=hunter2", 'database "x" on a:1, b:2'),
        ("host=a,b port=7 dbname=x", 'database "x" on a:7, b:7'),
        ("dbname=x", 'database "x" on the local socket'),
    ],
)
def test_where_names_no_password(conn_str: str, where: str) -> None:
    storage = open_storage(Settings(conn_str=conn_str), "/", {})  # type: ignore[arg-type]
    assert storage.where == f"{where}, schema hythe_state"
    assert storage.backend("prod").where == f"{where}, schema hythe_state, workspace prod"
    assert "hunter2" not in repr(Settings(conn_str=conn_str)) + repr(storage.target)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "conn_str",
    [
        "hunter2",
        "host=x password='hunter2",
        "host=x pasword=hunter2",
        "postgres://me:hunter2/x@db.example.com/states",
        "postgres://me:1234/hunter2@db.example.com/states",
        "postgres://me:hunter@hunter2@db.example.com/states",
        "postgres://me:hunter2%zz@db.example.com/states",
    ],
)
def test_what_cannot_be_read_is_not_quoted(conn_str: str) -> None:
    with pytest.raises(DiagnosticError) as caught:
        open_storage(Settings(conn_str=conn_str), "/", {})  # type: ignore[arg-type]
    assert caught.value.diagnostics[0].summary == "Invalid connection string"
    assert "hunter" not in str(caught.value)


def test_what_the_server_says_is_one_line_without_the_password() -> None:
    target = resolve(Settings(conn_str="host=x password=hunter2"), {})  # type: ignore[arg-type]
    failure = psycopg.OperationalError("connection failed: bad\nthing   hunter2.\n")
    assert reason(failure, target) == "bad thing (password)"


def test_a_place_is_the_same_whatever_the_password_and_the_spelling() -> None:
    one = place(Settings(conn_str="postgres://me:a@h:5432/d"))  # type: ignore[arg-type]
    other = place(Settings(conn_str="host=h port=5432 dbname=d user=you password=b"))  # type: ignore[arg-type]
    assert one == other
    assert one != place(Settings(conn_str="postgres://me:a@h:5432/e"))  # type: ignore[arg-type]
    assert one != place(Settings(conn_str="postgres://me:a@h:5432/d", schema_name="s"))  # type: ignore[arg-type]


def test_a_missing_library_is_told_with_what_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(DiagnosticError, match=rf"{re.escape(sys.executable)} -m pip install 'psycopg\[binary\]"):
        open_storage(Settings(), "/", {})


def test_nothing_heavy_is_loaded_before_it_is_used() -> None:
    code = "import sys, hythe.state.backends.pg; print([m for m in ('psycopg', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
