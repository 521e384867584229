"""What goes wrong with a server, told to users."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hythe.diagnostic import Diagnostic, DiagnosticError, error
from hythe.state.backends.base import ServerFailed

if TYPE_CHECKING:
    from hythe.state.backends.pg.settings import Target

# An administrator ends a session, a server stops, starts, or is a stand-by that is not promoted yet; two
# transactions met. All of these are well some time later.
_PASSING = {"25006", "40001", "40P01", "53300", "55P03", "57P01", "57P02", "57P03", "57P05", "25P03"}
_BUSY = ("too many clients", "connection slots", "is starting up", "not yet accepting", "is shutting down")
_LOGIN = ("authentication failed", "pg_hba.conf", "no password supplied", "is not permitted to log in")
_TLS = ("certificate", "ssl", "tls")


def is_passing(failure: BaseException) -> bool:
    """Whether the same may be well on a new connection, some time later."""
    import psycopg

    if not isinstance(failure, psycopg.Error):
        return False
    if isinstance(failure, psycopg.InterfaceError):
        return True
    if failure.sqlstate is None:
        # the connection was not made, or it broke
        return isinstance(failure, psycopg.OperationalError)
    return failure.sqlstate in _PASSING or failure.sqlstate.startswith("08")


def is_busy(failure: BaseException) -> bool:
    """Whether a server is there and merely cannot serve one more just now."""
    text = str(failure)
    return any(words in text for words in _BUSY)


def reason(failure: BaseException, target: Target) -> str:
    """What the server or its client library said, in one line and without the password."""
    text = re.sub(r"\s+", " ", str(failure)).strip().rstrip(".")
    for name in ("password", "sslpassword"):
        secret = target.parameters.get(name)
        if secret:
            text = text.replace(secret, "(password)")
    return re.sub(r"^connection failed: ", "", text) or type(failure).__name__


def diagnose(failure: BaseException, target: Target) -> Diagnostic:
    """What went wrong and what to do about it."""
    import psycopg

    said = reason(failure, target)
    text = f"The state is in {target.server}: {said}."
    code = getattr(failure, "sqlstate", None)
    if isinstance(failure, psycopg.errors.InsufficientPrivilege):
        text += f" Whoever keeps state needs USAGE of schema {target.schema} and its tables, and CREATE to make them."
        return error("State database not permitted", text)
    if code is None and is_passing(failure):
        return _not_connected(text, said)
    return error("State database failed", f"{text} Nothing was changed by this. See the server's log.")


def _not_connected(text: str, said: str) -> Diagnostic:
    if any(words in said for words in _LOGIN) or re.search(r'role ".*" does not exist', said):
        text += " Check user and password: in conn_str, PG_CONN_STR, PGUSER and PGPASSWORD, or ~/.pgpass."
        return error("State server refused the login", text)
    if re.search(r'database ".*" does not exist', said):
        return error("State database missing", f"{text} Make it with `createdb`, or name another in conn_str.")
    if any(words in said.lower() for words in _TLS):
        text += (
            " The connection was not made, as nobody could tell who listens to it. Check sslmode and sslrootcert in "
            "conn_str (or PGSSLMODE, PGSSLROOTCERT), and the name that the server's certificate is for."
        )
        return error("State server not trusted", text)
    text += " Check that the server runs and can be reached from here, and what conn_str says of host and port."
    return error("State server not reachable", text)


@contextmanager
def reading(target: Target) -> Iterator[None]:
    """Failures as DiagnosticError."""
    import psycopg

    try:
        yield
    except psycopg.Error as failure:
        raise DiagnosticError(diagnose(failure, target)) from failure


@contextmanager
def writing(target: Target) -> Iterator[None]:
    """Failures as OSError."""
    import psycopg

    try:
        yield
    except psycopg.Error as failure:
        if is_passing(failure):
            advice = f"See that {target.host} can be reached again"
        else:
            advice = f"See the log of {target.host}"
        raise ServerFailed(reason(failure, target), advice) from failure
