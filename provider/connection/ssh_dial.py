"""Streams to sockets of a machine whose SSH server forwards none: a command there carries the bytes.

Each takes a session, of which a connection has few, so they go through connections of their own.
"""

from __future__ import annotations

import errno
import os
import shlex
import socket
import threading
from typing import TYPE_CHECKING

from hythe.diagnostic import error
from hythe.provider.connection.ssh_login import SshTransport, log_in
from hythe.provider.protocol import HostUnreachable

if TYPE_CHECKING:
    from hythe.provider.connection.ssh import SshHost

_STREAMS = 8
"""How many go through one connection: an SSH server allows ten sessions by default."""
_OPEN_SECONDS = 30.0

# What can connect to a unix socket, as far as it is there. What became of it is told first, in one line
_LOOK = """\
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
if [ ! -e "$1" ]; then echo absent
elif [ ! -w "$1" ]; then echo denied
else
  for p in socat python3 docker; do if command -v $p >/dev/null; then echo $p; exit; fi; done
  if nc -h 2>&1 | grep -q -e "-[A-Za-z]*U"; then echo nc; else echo none; fi
fi
"""
_PYTHON = """\
import os, socket, sys, threading
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
def send():
    while True:
        d = os.read(0, 65536)
        if not d: break
        s.sendall(d)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=send, daemon=True).start()
while True:
    d = s.recv(65536)
    if not d: break
    while d: d = d[os.write(1, d):]
"""


class Dialer:
    """Opens such streams. May be used from several threads at once."""

    def __init__(self, host: SshHost) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._connections: list[tuple[SshTransport, list[int]]] = []
        self._commands: dict[str, list[str]] = {}

    def open(self, path: str) -> socket.socket:
        """A stream to a socket. Raises as :meth:`SshHost.stream`."""
        import paramiko

        from hythe.provider.connection.ssh import pumped

        command = self._commands.get(path)
        if command is None:
            command = self._commands[path] = self._command(path)
        transport, count = self._take()
        try:
            channel = transport.inner.open_session(timeout=_OPEN_SECONDS)
            channel.exec_command(shlex.join(command))
        except (paramiko.SSHException, EOFError, OSError) as failure:
            self._give(count)
            raise self._host.lost(failure) from failure
        return pumped(channel, lambda: self._give(count))

    def _command(self, path: str) -> list[str]:
        done = self._host.run(["sh", "-c", _LOOK, "sh", path], timeout=_OPEN_SECONDS)
        found = done.stdout.decode("ascii", "replace").strip()
        if found in ("absent", "denied"):
            code = errno.ENOENT if found == "absent" else errno.EACCES
            raise OSError(code, os.strerror(code), path)
        commands: dict[str, list[str]] = {
            "socat": ["socat", "-t", "60", "-", f"UNIX-CONNECT:{_escaped(path)}"],
            "python3": ["python3", "-c", _PYTHON, path],
            "docker": ["docker", "-H", f"unix://{path}", "system", "dial-stdio"],
            "nc": ["nc", "-U", "--", path],
        }
        if found not in commands:
            raise HostUnreachable(
                error(
                    "Socket not reachable",
                    f"{self._host.settings.where} does not forward streams to {path}, and has no program that could. "
                    "Set `AllowStreamLocalForwarding yes` in its sshd_config, or install socat there.",
                )
            )
        self._require_listener(path, commands[found] if found != "docker" else [])
        return commands[found]

    def _require_listener(self, path: str, command: list[str]) -> None:
        """Whether anybody listens: a command that only ends would look like an engine that hangs up."""
        if command and self._host.run(command, stdin=b"", timeout=_OPEN_SECONDS).code != 0:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED), path)

    def _take(self) -> tuple[SshTransport, list[int]]:
        with self._lock:
            self._connections = [c for c in self._connections if c[0].is_active()]
            for found in self._connections:
                if found[1][0] < _STREAMS:
                    found[1][0] += 1
                    return found
            made = log_in(self._host.name, self._host.settings), [1]
            self._connections.append(made)
            return made

    def _give(self, count: list[int]) -> None:
        with self._lock:
            count[0] -= 1

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            connections, self._connections = self._connections, []
        for transport, _ in connections:
            transport.close()


def _escaped(path: str) -> str:
    """A path as a word of socat's addresses."""
    return "".join(f"\\{c}" if c in ",:!\\\"'(){}[]" else c for c in path)
