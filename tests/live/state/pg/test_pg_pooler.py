"""A pooler that lends each of its few connections for one transaction only: PgBouncer between Hythe and the server."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.state.contest import contest
from tests.live.state.pg.conftest import Database, Project
from tests.live.state.pg.postgres import PASSWORD


@pytest.fixture
def pooled(database: Database) -> Iterator[Database]:
    """The database behind a PgBouncer with two connections to it."""
    program = shutil.which("pgbouncer")
    assert program, "PgBouncer is not installed: run scripts/setup.sh test"
    folder = database.cluster.folder / f"pooler-{database.name}"
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "users").write_text(f'"{database.name}" "{PASSWORD}"\n')
    (folder / "ini").write_text(
        f"""[databases]
{database.name} = host={database.cluster.folder} port={database.cluster.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = 2
max_client_conn = 200
logfile = {folder}/log
"""
    )
    owner = folder.parent.stat()
    for path in (folder, *folder.iterdir()):
        os.chown(path, owner.st_uid, owner.st_gid)
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", program, str(folder / "ini")],
        user=owner.st_uid,
        group=owner.st_gid,
        extra_groups=[],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, process, folder / "log")
        address = database.address.partition("?")[0].replace(f":{database.cluster.port}/", f":{port}/")
        yield Database(database.cluster, database.name, f"{address}?sslmode=disable")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 20
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


def test_a_pooler_stands_between(pooled: Database, tmp_path: Path) -> None:
    project = Project(tmp_path / "here", pooled, '    lease = "2s"')
    project.write('resource "command" "slow" { create = "sleep 4; echo done >> FOLDER/log" }\n')
    holder = project.start("apply", "--auto-approve")
    project.wait_for(lambda: pooled.backend().holder() is not None)
    # its lease is renewed through the pooler, too
    waiter = project.start("apply", "--auto-approve", "--lock-timeout=60s")
    assert project.end(holder).code == 0
    assert project.end(waiter).code == 0
    assert project.lines() == ["done"]
    project.empty()
    killed = project.start("apply", "--auto-approve", "--replace=command.slow")
    project.wait_for(lambda: pooled.backend().holder() is not None)
    time.sleep(1)
    killed.kill()
    killed.communicate()
    project.ok("apply", "--auto-approve", "--lock-timeout=30s")
    project.empty()


def test_many_through_a_pooler(pooled: Database, tmp_path: Path) -> None:
    count = 5
    result = contest(tmp_path, f'backend "pg" {{ conn_str = "{pooled.address}" }}', count)
    result.check(count)
