"""Kept-alive HTTP connections to an engine: unix socket, TCP, TCP with TLS, or any stream one is given."""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from hythe.diagnostic import Diagnostic, error
from hythe.provider.connection.tls import TlsFiles
from hythe.provider.protocol import HostUnreachable

Connect: TypeAlias = Callable[[float | None], socket.socket]
"""Opens a stream to the engine; takes the timeout in seconds. Raises OSError."""

CONNECT_SECONDS = 10.0
IDLE_CONNECTIONS = 32


def connector(endpoint: str, tls: TlsFiles | None = None) -> Connect:
    """How to open streams to ``unix:///path``, ``/path``, ``tcp://host:port``, ``http://`` or ``https://``.

    Raises ValueError for anything else.
    """
    if endpoint.startswith("/"):
        return _unix(endpoint)
    parts = urlsplit(endpoint)
    if parts.scheme == "unix" and parts.path:
        return _unix(unquote(parts.netloc + parts.path))
    if parts.scheme in ("tcp", "http", "https") and parts.hostname:
        secure = tls is not None or parts.scheme == "https"
        port = parts.port or (2376 if secure else 2375)
        return _tcp(parts.hostname, port, tls_context(tls or TlsFiles()) if secure else None)
    raise ValueError(f'"{endpoint}" is not an engine endpoint: write unix:///path/of/socket or tcp://host:port')


def _unix(path: str) -> Connect:
    def connect(timeout: float | None) -> socket.socket:
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stream.settimeout(timeout)
        try:
            stream.connect(path)
        except BaseException:
            stream.close()
            raise
        return stream

    return connect


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """What a client does TLS with. Raises OSError when a file cannot be used."""
    context = ssl.create_default_context(cafile=files.ca)
    if not files.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if files.cert:
        context.load_cert_chain(files.cert, files.key)
    return context


def _tcp(host: str, port: int, context: ssl.SSLContext | None) -> Connect:
    def connect(timeout: float | None) -> socket.socket:
        stream = socket.create_connection((host, port), timeout)
        try:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return context.wrap_socket(stream, server_hostname=host) if context else stream
        except BaseException:
            stream.close()
            raise

    return connect


class Connection(http.client.HTTPConnection):
    """An HTTP connection over a stream of ours. ``used`` counts requests answered on it."""

    def __init__(self, connect: Connect, authority: str) -> None:
        super().__init__(authority, timeout=CONNECT_SECONDS)
        self._connect = connect
        self.used = 0

    def connect(self) -> None:
        """Open the stream."""
        self.sock = self._connect(CONNECT_SECONDS)

    def limit(self, seconds: float | None) -> None:
        """How long each wait for the engine may take from now on; None: for ever."""
        self.timeout = seconds
        if self.sock is not None:
            self.sock.settimeout(seconds)

    def is_stale(self) -> bool:
        """Whether the engine has closed the stream (or says what nobody asked)."""
        if self.sock is None:
            return True
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))


class Pool:
    """Idle connections, last used first. Safe to use from several threads."""

    def __init__(self, endpoint: str, connect: Connect) -> None:
        self.endpoint = endpoint
        self._connect = connect
        self._authority = urlsplit(endpoint).netloc if endpoint.startswith(("tcp:", "http")) else "localhost"
        self._idle: list[Connection] = []
        self._lock = threading.Lock()

    def take(self, *, fresh: bool = False) -> Connection:
        """An open connection; ``fresh`` asks for a new one. Raises :class:`HostUnreachable`."""
        while not fresh:
            with self._lock:
                if not self._idle:
                    break
                found = self._idle.pop()
            if not found.is_stale():
                return found
            found.close()
        made = Connection(self._connect, self._authority)
        try:
            made.connect()
        except OSError as failure:
            raise HostUnreachable(unreachable(self.endpoint, failure)) from failure
        return made

    def give(self, connection: Connection) -> None:
        """Take back a connection whose response was read to the end."""
        with self._lock:
            if connection.sock is not None and len(self._idle) < IDLE_CONNECTIONS:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


def unreachable(endpoint: str, failure: Exception) -> Diagnostic:
    """Why the engine could not be reached, and what to do."""
    path = endpoint.removeprefix("unix://")
    where = f"The engine at {endpoint}"
    if isinstance(failure, FileNotFoundError):
        detail = (
            f"There is no socket at {path}: the engine is not running or not installed. Start it "
            "(`systemctl start docker`, or `podman system service`), or name another endpoint."
        )
    elif isinstance(failure, PermissionError):
        detail = (
            f"This user may not open {path}. Add it to the group that owns the socket "
            "(`sudo usermod -aG docker $USER`, then log in again), or run as root."
        )
    elif isinstance(failure, ConnectionRefusedError):
        detail = f"{where} refuses connections: nothing listens there. Start the engine (`systemctl start docker`)."
    elif isinstance(failure, ssl.SSLError):
        detail = (
            f"{where} and this machine do not agree on TLS: {failure.reason or failure}. Check the authority, "
            "certificate and key files, and that the certificate names this host."
        )
    elif isinstance(failure, TimeoutError):
        detail = f"{where} did not answer in time. Check that the host is up and that no firewall is between."
    elif isinstance(failure, socket.gaierror):
        detail = f"{where} has a host name that cannot be found: {failure.strerror}."
    else:
        detail = f"{where} cannot be reached: {failure or type(failure).__name__}."
    return error("Engine not reachable", detail)
