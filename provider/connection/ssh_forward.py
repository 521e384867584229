"""Sockets of a machine made local ones: what libvirt needs, which opens its connections itself."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import threading
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, urlsplit

from hythe.diagnostic import error
from hythe.provider.protocol import HostUnreachable

if TYPE_CHECKING:
    from hythe.provider.connection.ssh import SshHost
    from hythe.provider.vm.client import Hypervisor

_SECONDS = 30.0
# One daemon for all drivers, or one for each: what listens is taken
_LOOK = """\
at=/run/libvirt
if [ "$1" = session ]; then at=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/libvirt; fi
for s in $at/virt$2d-sock $at/libvirt-sock; do if [ -S $s ]; then echo $s; exit; fi; done
"""
_CHUNK = 1 << 16


class Forward:
    """A local unix socket, in a folder that only this user may enter, that leads to one on the machine."""

    def __init__(self, host: SshHost, remote: str) -> None:
        self._host, self._remote = host, remote
        self._folder = tempfile.mkdtemp(prefix="hythe-")
        self.path = os.path.join(self._folder, "s")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(8)
        self._lock = threading.Lock()
        self._clients: set[socket.socket] | None = set()
        threading.Thread(target=self._serve, name="ssh-forward", daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                remote = self._host.stream(self._remote)
            except (HostUnreachable, OSError):
                client.close()
                continue
            threading.Thread(target=self._join, args=(client, remote), daemon=True).start()

    def _join(self, client: socket.socket, remote: socket.socket) -> None:
        with self._lock:
            if self._clients is not None:
                self._clients.add(client)
        if self._clients is not None:
            _join(client, remote)
        with self._lock:
            if self._clients is not None:
                self._clients.discard(client)
        client.close()
        remote.close()

    def close(self) -> None:
        """Stop listening, and end the streams that stand.

        libvirt says goodbye on a connection when the last object of it goes, which may be as late as the end of
        Python. It would wait for ever for an answer of a stream that nobody carries any more.
        """
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            clients, self._clients = self._clients, None
            for client in clients or ():
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
        shutil.rmtree(self._folder, ignore_errors=True)


def _join(client: socket.socket, remote: socket.socket) -> None:
    """Carry bytes both ways until both ends are through."""
    back = threading.Thread(target=_copy, args=(remote, client), daemon=True)
    back.start()
    _copy(client, remote)
    back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(_CHUNK):
            target.sendall(data)
    except OSError:
        pass  # one end is gone, which the other end is told below
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def remote_hypervisor(host: SshHost, uri: str) -> Hypervisor:
    """The hypervisor at a URI as that machine would open it, reached through its SSH connection.

    URIs that name a machine or a way of their own (``qemu+ssh://...``) are opened from here. Raises
    :class:`HostUnreachable` where the machine runs no libvirt.
    """
    from hythe.provider.vm.client import Hypervisor

    parts = urlsplit(uri)
    if "+" in parts.scheme or parts.netloc:
        return Hypervisor(uri)
    through = f"{parts.scheme}+unix://{parts.path}?socket={quote(host.forward(_socket(host, parts)))}"
    return Hypervisor(uri, through=through)


def _socket(host: SshHost, uri: SplitResult) -> str:
    session = uri.path == "/session"
    done = host.run(["sh", "-c", _LOOK, "sh", "session" if session else "system", uri.scheme], timeout=_SECONDS)
    found = done.stdout.decode("utf-8", "replace").strip()
    if found.startswith("/"):
        return found
    raise HostUnreachable(
        error(
            "Hypervisor not reachable",
            f"{host.settings.where} has no socket of libvirt that this user finds: it is not running. Start it there "
            "(`sudo systemctl start libvirtd`), or install it (`sudo apt-get install libvirt-daemon-system`).",
        )
    )
