"""The backend's arguments, and what they come to with the environment.

The names are those of OpenTofu's ``pg`` backend, and so are the variables: PG_CONN_STR, PG_SCHEMA_NAME,
PG_SKIP_SCHEMA_CREATION, PG_SKIP_TABLE_CREATION, besides libpq's own (PGHOST, PGUSER, PGPASSWORD, ...).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from hythe.diagnostic import DiagnosticError, error

DEFAULT_SCHEMA = "hythe_state"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_TRUE, _FALSE = ("1", "t", "true", "on", "yes"), ("", "0", "f", "false", "off", "no")

# Without these, a server that vanished without a word (its machine went, a cable was pulled) is waited for
# until the kernel gives up, a quarter of an hour later.
_PATIENCE = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}


def seconds(value: Any) -> Any:
    """Seconds of a duration: ``30s``, ``1m30s``, ``500ms``. Raises ValueError."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not re.fullmatch(rf"({_DURATION.pattern})+", text):
        raise ValueError(f'"{value}" is not a duration: write it like 30s or 1m30s')
    return sum(float(n) * _SECONDS[u] for n, u in _DURATION.findall(text))


Duration = Annotated[float, BeforeValidator(seconds)]


class Settings(BaseModel):
    """The arguments of ``backend "pg"``.

    ``lease``: how long a lock outlives a holder that is not heard of any more, in seconds.
    ``retry_for``: how long writing goes on trying when the server cannot be reached, in seconds.
    ``versions``: how many snapshots from before are kept.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    conn_str: SecretStr = SecretStr("")
    schema_name: str = Field(DEFAULT_SCHEMA, min_length=1, max_length=63, pattern=r"^[^%\x00]+$")
    skip_schema_creation: bool = False
    skip_table_creation: bool = False
    lease: Duration = Field(30.0, ge=1.0, le=3600.0, validate_default=True)
    retry_for: Duration = Field(90.0, ge=0.0, le=86400.0, validate_default=True)
    versions: int = Field(20, ge=0, le=10_000)


@dataclass(frozen=True, slots=True)
class Target:
    """Which database, and how to work with it. ``parameters`` are libpq's; they may hold a password."""

    parameters: Mapping[str, str]
    schema: str
    skip_schema_creation: bool
    skip_table_creation: bool
    lease: float
    retry_for: float
    versions: int

    def __repr__(self) -> str:
        return f"Target({self.server}, {self.schema})"

    @property
    def host(self) -> str:
        """The server, for users: its name and port, or the folder of its socket."""
        hosts = (self.parameters.get("host") or self.parameters.get("hostaddr") or "").split(",")
        ports = (self.parameters.get("port") or "5432").split(",")
        ports = ports * len(hosts) if len(ports) == 1 else ports
        pairs = zip(hosts, ports, strict=False)
        return ", ".join(f"{h or 'the local socket'}:{p}" if h else "the local socket" for h, p in pairs)

    @property
    def database(self) -> str:
        """The database's name."""
        given = self.parameters
        return given.get("dbname") or given.get("user") or (f"service {given['service']}" if "service" in given else "")

    @property
    def server(self) -> str:
        """Host and database, for users; never with a password."""
        database = f'database "{self.database}"' if self.database else "the default database"
        return f"{database} on {self.host}"


def place(settings: Settings) -> dict[str, str]:
    """What of the arguments decides where the states are; what is left to the environment is not in it."""
    given = parse(settings.conn_str.get_secret_value())
    names = ("service", "host", "hostaddr", "port", "dbname")
    return {**{n: given[n] for n in names if n in given}, "schema_name": settings.schema_name}


def resolve(settings: Settings, environment: Mapping[str, str]) -> Target:
    """What settings and environment say together. Raises DiagnosticError."""
    given = settings.model_fields_set
    schema = settings.schema_name
    if "schema_name" not in given:
        schema = environment.get("PG_SCHEMA_NAME") or schema
    return Target(
        _parameters(settings.conn_str.get_secret_value() or environment.get("PG_CONN_STR", ""), environment),
        schema,
        _switch(settings.skip_schema_creation, "skip_schema_creation", given, environment),
        _switch(settings.skip_table_creation, "skip_table_creation", given, environment),
        settings.lease,
        settings.retry_for,
        settings.versions,
    )


def _switch(value: bool, name: str, given: set[str], environment: Mapping[str, str]) -> bool:
    text = environment.get(f"PG_{name.upper()}")
    if name in given or text is None:
        return value
    if text.lower() not in (*_TRUE, *_FALSE):
        detail = f'The variable PG_{name.upper()} is "{text}", and it must be true or false.'
        raise DiagnosticError(error("Invalid backend setting", detail))
    return text.lower() in _TRUE


def parse(conn_str: str) -> dict[str, str]:
    """The parameters in a connection string. Raises DiagnosticError."""
    from hythe.state.backends.pg.driver import load

    driver = load()
    try:
        options = driver.pq.Conninfo.parse(conn_str.encode())
        found = {o.keyword.decode(): o.val.decode() for o in options if o.val is not None}
    except (driver.Error, UnicodeError):
        found = None
    if found is None or _is_misread(found):
        # what libpq says quotes the text that it did not understand, which may be the password
        text = (
            "The conn_str of the backend (or the variable PG_CONN_STR) is no connection string of PostgreSQL. Write it "
            "as postgres://user@host/database?sslmode=verify-full or as host=... dbname=... user=...; in the first "
            "form, characters such as / @ : # in a password must be percent-encoded."
        )
        raise DiagnosticError(error("Invalid connection string", text))
    return found


def _is_misread(found: Mapping[str, str]) -> bool:
    """Whether a password with unescaped characters was taken for host, port and database, which are shown."""
    ports = found.get("port", "").split(",")
    return (
        any(p and not p.isdigit() for p in ports) or "@" in found.get("dbname", "") or "@" in found.get("host", "")[1:]
    )


def _parameters(conn_str: str, environment: Mapping[str, str]) -> dict[str, str]:
    from hythe.state.backends.pg.driver import load

    found = parse(conn_str)
    if "service" not in found:
        # a service's own settings go before the environment's, and libpq knows best how
        for option in load().pq.Conninfo.get_defaults():
            name, variable = option.keyword.decode(), (option.envvar or b"").decode()
            if variable and name not in found and environment.get(variable):
                found[name] = environment[variable]
    return {**_PATIENCE, "fallback_application_name": "hythe", **found, "client_encoding": "utf8"}
