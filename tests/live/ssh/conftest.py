"""Machines to log in to: SSH servers in a network namespace of our own, with keys of their own."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hythe.provider.vm.keys import make_pair, public_of

CONFIG = """\
Port {port}
ListenAddress {address}
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
PidFile {folder}/pid
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
Subsystem sftp internal-sftp
"""


@dataclass
class Server:
    """An SSH server. ``inside`` is the namespace that it is in."""

    address: str
    port: int
    host_key: str
    private_key: str
    folder: Path
    inside: str

    def block(self, **over: Any) -> dict[str, Any]:
        """The ``ssh`` block that leads to it."""
        return {
            "address": self.address,
            "port": self.port,
            "user": "root",
            "host_key": self.host_key,
            "private_key": self.private_key,
            **over,
        }

    def sessions(self) -> int:
        """How many connections it has."""
        out = subprocess.run(
            ["ip", "netns", "exec", self.inside, "ss", "-Htn", "state", "established", f"sport = :{self.port}"],
            capture_output=True,
            text=True,
            check=True,
        )
        return len(out.stdout.splitlines())


def _start(
    folder: Path, namespace: str, address: str, port: int, login: str, more: str = ""
) -> subprocess.Popen[bytes]:
    folder.mkdir()
    host = make_pair("host")
    for name, text in (("host", host.private), ("authorized", public_of(login) + "\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    (folder / "config").write_text(CONFIG.format(port=port, address=address, folder=folder))
    Path("/run/sshd").mkdir(exist_ok=True)
    command = ["ip", "netns", "exec", namespace, "/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "config")]
    return subprocess.Popen(command, stderr=(folder / "log").open("wb"))


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """One that this machine reaches, and one that only the first reaches."""
    base = tmp_path_factory.mktemp("ssh")
    tag = secrets.token_hex(2)
    namespace, outside = f"hythessh{tag}", f"hys{tag}"
    login = make_pair("test").private

    def ip(*argv: str) -> None:
        subprocess.run(["ip", *argv], check=True, capture_output=True)

    ip("netns", "add", namespace)
    running: list[subprocess.Popen[bytes]] = []
    try:
        ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        ip("addr", "add", "10.231.200.1/30", "dev", outside)
        ip("link", "set", outside, "up")
        for argv in (
            ["addr", "add", "10.231.200.2/30", "dev", "eth0"],
            ["link", "set", "eth0", "up"],
            ["link", "set", "lo", "up"],
        ):
            ip("-n", namespace, *argv)
        places = (("first", "10.231.200.2", 22), ("second", "127.0.0.1", 2222))
        made = []
        for name, address, port in places:
            running.append(_start(base / name, namespace, address, port, login))
            key = public_of((base / name / "host").read_text())
            made.append(Server(address, port, key, login, base / name, namespace))
        _wait(made[0])
        yield made[0], made[1]
    finally:
        for process in running:
            process.terminate()
            process.wait(10)
        for argv in (["link", "del", outside], ["netns", "del", namespace]):
            subprocess.run(["ip", *argv], check=False, capture_output=True)
        shutil.rmtree(base, ignore_errors=True)


def _wait(server: Server) -> None:
    import socket

    end = time.monotonic() + 20
    while True:
        with contextlib.suppress(OSError), socket.create_connection((server.address, server.port), 1):
            return
        assert time.monotonic() < end, (server.folder / "log").read_text()
        time.sleep(0.1)
