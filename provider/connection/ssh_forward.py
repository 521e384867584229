"""Sockets of a machine made local ones: what libvirt needs, which opens its connections itself."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hythe.provider.protocol import HostUnreachable

if TYPE_CHECKING:
    from hythe.provider.connection.ssh import SshHost
    from hythe.provider.vm.client import Hypervisor

_SYSTEM_SOCKET = "/var/run/libvirt/libvirt-sock"
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
        threading.Thread(target=self._serve, name="ssh-forward", daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                remote = self._host.stream(self._remote)
            except HostUnreachable:
                client.close()
                continue
            for source, target in ((client, remote), (remote, client)):
                threading.Thread(target=_copy, args=(source, target), daemon=True).start()

    def close(self) -> None:
        """Stop listening; streams that stand go on."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(_CHUNK):
            target.sendall(data)
    except OSError:
        pass  # one end is gone, which the other end is told below
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def remote_hypervisor(host: SshHost, uri: str, forwards: list[Any]) -> Hypervisor:
    """The hypervisor at a URI as that machine would open it, reached through its SSH connection."""
    from hythe.provider.vm.client import Hypervisor

    if not uri.startswith("qemu:///"):
        return Hypervisor(uri)
    host.transport()
    forward = Forward(host, _SYSTEM_SOCKET)
    forwards.append(forward)
    through = f"qemu+unix:///{uri.removeprefix('qemu:///')}?socket={quote(forward.path)}"
    return Hypervisor(uri, through=through)
