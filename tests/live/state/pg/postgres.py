"""A PostgreSQL server of the tests' own: in a temporary folder, on a free port, with TLS; never that of the machine."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import pwd
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.live import runs

PASSWORD = "correct horse/battery"


def binaries() -> Path:
    """The folder of Debian's newest server. Raises AssertionError where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    assert found, "PostgreSQL's server is not installed: run scripts/setup.sh test"
    return found[-1].parent


def _user() -> dict[str, Any]:
    """How processes run as somebody who is not root, which PostgreSQL refuses to be."""
    if os.getuid() != 0:
        return {}
    try:
        entry = pwd.getpwnam("postgres")
    except KeyError:
        entry = pwd.getpwnam("nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _place() -> str:
    """In memory where there is room. A server that is killed loses as little there as on a disk, only sooner."""
    with contextlib.suppress(OSError):
        if os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free > 2 << 30:
            return "/dev/shm"
    return "/tmp"


@dataclass
class Cluster:
    """A server. ``folder`` holds its data, its socket and the certificates."""

    folder: Path
    port: int = 0
    options: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def make(cls) -> Cluster:
        """Make one, and start it."""
        # the path of a socket is at most 107 bytes long
        cluster = cls(runs.folder(_place()))
        try:
            cluster._init()
            cluster.start()
        except BaseException:
            cluster.remove()
            raise
        return cluster

    def _init(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        folder = self.folder
        folder.chmod(0o755)
        make_certificates(folder)
        (folder / "password").write_text(PASSWORD)
        user = _user()
        if user:
            for path in (folder, *folder.iterdir()):
                os.chown(path, user["user"], user["group"])
        done = subprocess.run(
            [binaries() / "initdb", "--pgdata", folder / "data", "--username", "admin", "--pwfile", folder / "password",
             "--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-instructions"],
            capture_output=True, text=True, check=False, cwd=folder, **user,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        (folder / "data" / "pg_hba.conf").write_text(
            "local all admin trust\nlocal all all scram-sha-256\nhostssl all all 127.0.0.1/32 scram-sha-256\n"
        )

    def start(self, **options: str) -> None:
        """Start the server with further settings, and wait until it answers."""
        assert self.process is None
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "ssl": "on",
            "ssl_cert_file": str(self.folder / "server.crt"),
            "ssl_key_file": str(self.folder / "server.key"),
            "logging_collector": "off",
            **options,
        }
        argv: list[Any] = ["setpriv", "--pdeathsig", "INT"]
        argv += [binaries() / "postgres", "-D", self.folder / "data"]
        argv += [f"--{name}={value}" for name, value in settings.items()]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **_user())
        end = time.monotonic() + 60
        while True:
            try:
                self.admin("SELECT 1")
                return
            except psycopg.OperationalError:
                assert self.process.poll() is None, self.log()
                assert time.monotonic() < end, self.log()
                time.sleep(0.05)

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: ``fast`` ends sessions, ``immediate`` is as if its machine had lost its power."""
        if self.process is None:
            return
        self.process.send_signal({"fast": 2, "immediate": 3}[mode])
        try:
            self.process.wait(60)
        finally:
            self.process = None

    def remove(self) -> None:
        """Stop the server and remove all of it."""
        try:
            self.stop("immediate")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """The end of what the server wrote."""
        return (self.folder / "log").read_text()[-4000:]

    def admin(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as the server's administrator."""
        where = {"host": str(self.folder), "port": self.port, "user": "admin", "dbname": database}
        with psycopg.connect("", autocommit=True, connect_timeout=5, **where) as connection:
            done = connection.execute(statement)  # type: ignore[call-overload]
            return done.fetchall() if done.description is not None else []

    def database(self, name: str) -> str:
        """A new database with an owner of the same name; how its owner connects, over TCP with TLS."""
        self.admin(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
        self.admin(f"CREATE DATABASE {name} OWNER {name}")
        return self.address(name)

    def address(self, name: str, *, ca: str = "ca.crt", password: str = PASSWORD) -> str:
        """How the owner of a database connects."""
        secret = password.replace(" ", "%20").replace("/", "%2F")
        place = f"127.0.0.1:{self.port}/{name}"
        return f"postgres://{name}:{secret}@{place}?sslmode=verify-full&sslrootcert={self.folder}/{ca}"


def make_certificates(folder: Path) -> None:
    """``ca.crt``, a certificate for 127.0.0.1 that it signed, and ``other.crt`` of an authority that did not."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = datetime.datetime.now(datetime.UTC)

    def sign(name: str, issuer: tuple[Any, Any] | None, extension: x509.ExtensionType) -> tuple[Any, Any]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(
            subject if issuer is None else issuer[0].subject,
            subject,
            key.public_key(),
            x509.random_serial_number(),
            now - datetime.timedelta(hours=1),
            now + datetime.timedelta(days=1),
        ).add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(key if issuer is None else issuer[1], hashes.SHA256()), key

    authority = sign("Hythe tests", None, x509.BasicConstraints(True, None))
    other = sign("Somebody else", None, x509.BasicConstraints(True, None))
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    server = sign("127.0.0.1", authority, names)
    pem = serialization.Encoding.PEM
    (folder / "ca.crt").write_bytes(authority[0].public_bytes(pem))
    (folder / "other.crt").write_bytes(other[0].public_bytes(pem))
    (folder / "server.crt").write_bytes(server[0].public_bytes(pem))
    key = folder / "server.key"
    key.touch(0o600)
    key.write_bytes(server[1].private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
