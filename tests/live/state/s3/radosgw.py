"""An S3 server of the tests' own: Ceph's RADOS Gateway on a cluster of one monitor and one OSD that keeps its objects
in memory, on free ports of the loopback, in a temporary folder; never that of the machine."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.live import runs
from tests.live.state.pg.postgres import make_certificates

ACCESS_KEY, SECRET_KEY = "HYTHETESTACCESS", "correct/horse+battery=staple"
PROGRAMS = ("monmaptool", "ceph-authtool", "ceph-mon", "ceph-osd", "ceph", "radosgw", "radosgw-admin")

# Pools of one placement group, proposals at once: a cluster of one that is made in seconds.
_CONFIGURATION = """\
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{mon}/0
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
keyring = {folder}/keyring
ms bind ipv6 = false
ms bind msgr1 = false
public addr = 127.0.0.1
cluster addr = 127.0.0.1
mon allow pool size one = true
mon data avail crit = 1
mon data avail warn = 1
paxos propose interval = 0.02
paxos min wait = 0.01
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 2147483648
rgw rados pool pg num min = 1
rgw thread pool size = 64
rgw enable usage log = false
log file = {folder}/$name.log
admin socket = {folder}/$name.asok
run dir = {folder}
crash dir = {folder}
pid file =
mon cluster log file = {folder}/cluster.log
mon data = {folder}/mon
osd data = {folder}/osd
rgw data = {folder}/rgw
"""


def missing() -> list[str]:
    """The programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            held = stack.enter_context(socket.socket())
            held.bind(("127.0.0.1", 0))
            found.append(held.getsockname()[1])
        return found


def _place() -> str:
    """In memory where there is room."""
    with contextlib.suppress(OSError):
        if os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free > 2 << 30:
            return "/dev/shm"
    return "/tmp"


@dataclass
class Gateway:
    """The server. ``folder`` holds all of it, certificates too; ``port`` speaks HTTP, ``tls_port`` HTTPS."""

    folder: Path
    port: int = 0
    tls_port: int = 0
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @classmethod
    def make(cls) -> Gateway:
        """Make a cluster, and start it."""
        gateway = cls(runs.folder(_place()))
        try:
            gateway._init()
        except BaseException:
            gateway.remove()
            raise
        return gateway

    @property
    def address(self) -> str:
        """The URL of the server."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def tls_address(self) -> str:
        """The URL of the server with TLS."""
        return f"https://127.0.0.1:{self.tls_port}"

    def _init(self) -> None:
        absent = missing()
        assert not absent, f"{', '.join(absent)} not installed: run scripts/setup.sh test"
        folder, osd = self.folder, str(uuid.uuid4())
        mon, self.port, self.tls_port = _free_ports(3)
        fsid = str(uuid.uuid4())
        for name in ("mon", "osd", "rgw"):
            (folder / name).mkdir()
        make_certificates(folder)
        (folder / "server.pem").write_text((folder / "server.crt").read_text() + (folder / "server.key").read_text())
        (folder / "ceph.conf").write_text(_CONFIGURATION.format(fsid=fsid, mon=mon, folder=folder))
        caps = {
            "mon.": {"mon": "allow *"},
            "client.admin": {"mon": "allow *", "osd": "allow *", "mgr": "allow *"},
            "osd.0": {"mon": "allow profile osd", "osd": "allow *"},
        }
        for n, (name, given) in enumerate(caps.items()):
            flags = [text for part, cap in given.items() for text in ("--cap", part, cap)]
            self._do("ceph-authtool", *([] if n else ["--create-keyring"]), folder / "keyring", "--gen-key",
                     "--name", name, *flags)  # fmt: skip
        self._do("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v2:127.0.0.1:{mon}/0]", folder / "monmap")
        self._do("ceph-mon", "--mkfs", "--id", "a", "--monmap", folder / "monmap", "--keyring", folder / "keyring")
        self._start("mon", "ceph-mon", "--id", "a")
        # what is in the keyring is what the monitor knows, so the OSD's own key is there already
        self._do("ceph", "--connect-timeout", "30", "osd", "new", osd)
        self._do("ceph-osd", "--mkfs", "--id", "0", "--osd-uuid", osd, "--no-mon-config")
        self.start_osd()
        self.user("hythe", ACCESS_KEY, SECRET_KEY)
        self.start()

    def user(self, name: str, access_key: str, secret_key: str) -> None:
        """Make a user."""
        self._do(
            "radosgw-admin", "user", "create", f"--uid={name}", f"--display-name={name}",
            f"--access-key={access_key}", f"--secret-key={secret_key}",
        )  # fmt: skip

    # -- processes ------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the gateway, and wait until it answers."""
        tls = f"ssl_endpoint=127.0.0.1:{self.tls_port} ssl_certificate={self.folder}/server.pem"
        self._start(
            "rgw", "radosgw", "--name", "client.admin", f"--rgw-frontends=beast endpoint=127.0.0.1:{self.port} {tls}"
        )
        end = time.monotonic() + 60
        while not self._answers():
            assert self.processes["rgw"].poll() is None, self.log("rgw")
            assert time.monotonic() < end, self.log("rgw")
            time.sleep(0.05)

    def start_osd(self) -> None:
        """Start what keeps the objects."""
        self._start("osd", "ceph-osd", "--id", "0")

    def stop(self, name: str = "rgw", how: int = signal.SIGKILL) -> None:
        """Stop one of the processes. What the OSD has is lost with it, unless it is stopped with SIGTERM."""
        process = self.processes.pop(name, None)
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)

    @contextlib.contextmanager
    def frozen(self, name: str = "rgw") -> Iterator[None]:
        """One of the processes takes connections, and does not answer meanwhile."""
        self.processes[name].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.processes[name].send_signal(signal.SIGCONT)

    def remove(self) -> None:
        """Stop all of it, and remove the folder."""
        try:
            for name in ("rgw", "osd", "mon"):
                self.stop(name)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def log(self, name: str) -> str:
        """The end of what a process wrote."""
        return (self.folder / f"{name}.out").read_text()[-4000:]

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _start(self, name: str, program: str, *argv: str) -> None:
        assert name not in self.processes
        command = ["setpriv", "--pdeathsig", "KILL", program, "--conf", str(self.folder / "ceph.conf"), "-f", *argv]
        with (self.folder / f"{name}.out").open("ab") as out:
            self.processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.folder
            )

    def _do(self, program: str, *argv: Any) -> str:
        conf = [] if program in ("ceph-authtool", "monmaptool") else ["--conf", str(self.folder / "ceph.conf")]
        done = subprocess.run(
            [program, *conf, *map(str, argv)], capture_output=True, text=True, check=False, cwd=self.folder, timeout=60,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"
        return done.stdout
