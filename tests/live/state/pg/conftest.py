"""A PostgreSQL server, databases in it, and the ``hythe`` command in folders that keep their state there."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hythe.state.backends.pg import Settings, open_storage
from hythe.state.backends.pg.backend import PgBackend, PgStorage
from tests.live.state.pg.postgres import PASSWORD, Cluster


@dataclass
class Ran:
    """A command that ended."""

    code: int
    text: str


@dataclass
class Database:
    """A database of its own for one test, and the address that its owner connects with."""

    cluster: Cluster
    name: str
    address: str

    def storage(self, **settings: Any) -> PgStorage:
        """The backend's storage, with nothing from the environment."""
        return open_storage(Settings(**{"conn_str": self.address, **settings}), "/", {})

    def backend(self, workspace: str = "default", **settings: Any) -> PgBackend:
        """The backend of one workspace, as another process would have it."""
        return self.storage(**settings).backend(workspace)

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement in it as the administrator."""
        return self.cluster.admin(statement, self.name)

    def cut(self) -> int:
        """End all sessions of its owner; how many there were."""
        found = self.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{self.name}'")
        return len(found)


@dataclass
class Project:
    """A folder with a configuration, and the command that works on it."""

    folder: Path
    database: Database
    settings: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    def write(self, text: str) -> None:
        """Write the configuration, with the backend's block before it."""
        self.folder.mkdir(exist_ok=True)
        head = f'hythe {{\n  backend "pg" {{\n    conn_str = "{self.database.address}"\n{self.settings}\n  }}\n}}\n'
        (self.folder / "main.hcl").write_text(head + text.replace("FOLDER", str(self.folder)))

    def twin(self, name: str, text: str) -> Project:
        """Another folder with the same state, as on another machine; objects are made in this one all the same."""
        other = Project(self.folder.parent / name, self.database, self.settings)
        other.write(text.replace("FOLDER", str(self.folder)))
        return other

    def start(self, *argv: str, program: tuple[str, ...] = ("-m", "hythe"), **more: str) -> subprocess.Popen[str]:
        """Start the command without waiting for it."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HYTHE_", "PG", "AWS_"))}
        return subprocess.Popen(
            [sys.executable, *program, *argv],
            cwd=self.folder,
            env={**kept, "NO_COLOR": "1", "COLUMNS": "200", **self.environment, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def end(self, process: subprocess.Popen[str], timeout: float = 120) -> Ran:
        """Wait for a command; it says neither the password nor anything of Python."""
        try:
            said, _ = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            process.communicate()
            raise
        assert "Traceback" not in said, said
        for secret in (PASSWORD, PASSWORD.replace(" ", "%20").replace("/", "%2F")):
            assert secret not in said, said
        return Ran(process.returncode, said)

    def run(self, *argv: str, **more: str) -> Ran:
        """Run a command to its end."""
        return self.end(self.start(*argv, **more))

    def ok(self, *argv: str) -> str:
        """Run a command; it must succeed."""
        ran = self.run(*argv)
        assert ran.code == 0, ran.text
        return ran.text

    def fails(self, *argv: str, **more: str) -> str:
        """Run a command; it must fail."""
        ran = self.run(*argv, **more)
        assert ran.code == 1, ran.text
        return " ".join(ran.text.split())

    def empty(self) -> None:
        """The plan must be empty."""
        ran = self.run("plan", "--detailed-exitcode")
        assert ran.code == 0, ran.text

    def state(self) -> dict[str, Any]:
        """The state as it is recorded."""
        return dict(json.loads(self.ok("state", "pull")))

    def lines(self) -> list[str]:
        """What commands wrote into the file ``log``."""
        path = self.folder / "log"
        return path.read_text().split() if path.exists() else []

    def wait_for(self, check: Callable[[], bool], seconds: float = 30) -> None:
        """Wait for something to become true."""
        end = time.monotonic() + seconds
        while not check():
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.02)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The server. A test that stops it starts it again."""
    made = Cluster.make()
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture
def database(cluster: Cluster) -> Database:
    """An empty database."""
    if cluster.process is None:
        cluster.start()
    name = f"t{secrets.token_hex(4)}"
    return Database(cluster, name, cluster.database(name))


@pytest.fixture
def project(database: Database, tmp_path: Path) -> Project:
    """A folder whose state is in an empty database."""
    made = Project(tmp_path / "here", database)
    made.folder.mkdir()
    return made


@contextlib.contextmanager
def stopped(process: subprocess.Popen[str]) -> Iterator[None]:
    """A process that is stopped (SIGSTOP) meanwhile."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)
