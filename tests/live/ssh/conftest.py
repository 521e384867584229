"""Machines to log in to: SSH servers in a network namespace of our own, with keys of their own."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hythe.provider.vm.keys import make_pair, public_of
from tests.live import runs

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
Subsystem sftp {sftp}
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


class Network:
    """A namespace with one address that this machine reaches, and the servers that run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name, self._outside = folder, runs.claim("hythessh", 2), runs.claim("hys", 2)
        part = runs.third_octet("10.230")
        self.near, self.address = f"10.230.{part}.1", f"10.230.{part}.2"
        self.login = make_pair("test").private
        self._running: list[subprocess.Popen[bytes]] = []

    def make(self) -> None:
        """Make the namespace and its link to this machine."""
        _ip("netns", "add", self.name)
        _ip("link", "add", self._outside, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        _ip("addr", "add", f"{self.near}/30", "dev", self._outside)
        _ip("link", "set", self._outside, "up")
        _ip("-n", self.name, "addr", "add", f"{self.address}/30", "dev", "eth0")
        for link in ("eth0", "lo"):
            _ip("-n", self.name, "link", "set", link, "up")

    def serve(
        self,
        name: str,
        port: int,
        address: str | None = None,
        *,
        more: str = "",
        before: str = "",
        sftp: str = "internal-sftp",
    ) -> Server:
        """Start a server; at the address ``near`` it is in this machine's own network.

        ``more`` is put before its configuration; ``before`` is done in its mount namespace first.
        """
        folder, address = self.folder / name, address or self.address
        folder.mkdir()
        host = make_pair("host")
        for file, text in (("host", host.private), ("authorized", public_of(self.login) + "\n")):
            (folder / file).write_text(text)
            (folder / file).chmod(0o600)
        (folder / "config").write_text(more + CONFIG.format(port=port, address=address, folder=folder, sftp=sftp))
        Path("/run/sshd").mkdir(exist_ok=True)
        script = f'set -e; {before}\nmkdir -p /run/sshd; exec /usr/sbin/sshd -D -e -f "$1"'
        # `ip netns exec` would hide the mounts of control groups from what is started over SSH
        inside = [] if address == self.near else ["nsenter", f"--net=/run/netns/{self.name}"]
        command = [*inside, "unshare", "--mount", "sh", "-c", script, "sh", str(folder / "config")]
        with (folder / "log").open("wb") as log:
            self._running.append(subprocess.Popen(command, stderr=log))
        made = Server(address, port, public_of(host.private), self.login, folder, self.name)
        self._wait(made)
        return made

    def _wait(self, server: Server) -> None:
        end = time.monotonic() + 20
        while b"Server listening" not in (server.folder / "log").read_bytes():
            assert time.monotonic() < end, (server.folder / "log").read_text()
            assert self._running[-1].poll() is None, (server.folder / "log").read_text()
            time.sleep(0.05)

    def end(self) -> None:
        """Stop the servers and remove the namespace."""
        for process in self._running:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
        for argv in (["link", "del", self._outside], ["netns", "del", self.name]):
            subprocess.run(["ip", *argv], check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def _ip(*argv: str) -> None:
    subprocess.run(["ip", *argv], check=True, capture_output=True)


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A namespace for servers."""
    made = Network(tmp_path_factory.mktemp("ssh"))
    try:
        made.make()
        yield made
    finally:
        made.end()


@pytest.fixture(scope="session")
def servers(network: Network) -> tuple[Server, Server]:
    """One that this machine reaches, and one that only the first reaches."""
    return network.serve("first", 22), network.serve("second", 2222, "127.0.0.1")
