"""The serial console of a VM as a stream."""

from __future__ import annotations

import contextlib
from typing import Any

from hythe.diagnostic import error
from hythe.provider.protocol import ProviderError
from hythe.provider.vm.client import Hypervisor, LibvirtError, refused

_FORCE = 1
_SAFE = 2


class Console:
    """A console that is open. Its calls block; sending and receiving may be done by two threads."""

    def __init__(self, hypervisor: Hypervisor, stream: Any) -> None:
        self._hypervisor, self._stream = hypervisor, stream

    def receive(self, size: int) -> bytes:
        """Up to ``size`` bytes; none when it was closed."""
        try:
            data = self._hypervisor.call(lambda c: self._stream.recv(size))
        except (LibvirtError, ProviderError):
            return b""
        return data if isinstance(data, bytes) else b""

    def send(self, data: bytes) -> None:
        """All of the bytes."""
        while data:
            sent = self._hypervisor.call(lambda c, d=data: self._stream.send(d))  # type: ignore[misc]
            data = data[sent:]

    def close(self) -> None:
        """Leave it."""
        with contextlib.suppress(LibvirtError, ProviderError):
            self._hypervisor.call(lambda c: self._stream.abort())


def open_console(hypervisor: Hypervisor, uuid: str, address: str, *, force: bool) -> Console:
    """Open the serial console of a running VM. Raises ProviderError."""

    def begin(connection: Any) -> Any:
        domain = connection.lookupByUUIDString(uuid)
        if not domain.isActive():
            return None
        stream = connection.newStream(0)
        domain.openConsole(None, stream, _FORCE if force else _SAFE)
        return stream

    try:
        stream = hypervisor.call(begin)
    except LibvirtError as failure:
        if "Active console session exists" in failure.message:
            raise ProviderError(
                error(
                    "Console in use",
                    f"Somebody else is at the serial console of {address}. Take it from them with --force.",
                    address=address,
                )
            ) from failure
        raise refused(failure, f"Opening the serial console of {address}") from failure
    if stream is None:
        raise ProviderError(
            error("VM is shut off", f"{address} is shut off, and has no console. `--log` shows what it last said.")
        )
    return Console(hypervisor, stream)
