"""Filling a volume of a pool with a file, holes left out, and making sure that it arrived."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from hythe.diagnostic import error
from hythe.provider.protocol import ProviderError
from hythe.provider.vm.client import Hypervisor, LibvirtError, refused
from hythe.provider.vm.pools import steady

_SPARSE = 1
_CHUNK = 1 << 18


def upload(
    hypervisor: Hypervisor,
    pool: str,
    name: str,
    source: str | bytes,
    what: str,
    progress: Callable[[str], None] = lambda text: None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Fill a volume with a local file's (or these) bytes, holes left out. Raises ProviderError.

    libvirt may end a sparse stream without an error although the last of it could not be written: what is written
    last is read back.
    """
    length = len(source) if isinstance(source, bytes) else os.path.getsize(source)
    try:
        volume = steady(hypervisor, lambda c: c.storagePoolLookupByName(pool).storageVolLookupByName(name))
        sparse = not isinstance(source, bytes)
        stream = steady(hypervisor, lambda c: _begin(c, volume, length, sparse=sparse))
        try:
            if isinstance(source, bytes):
                hypervisor.call(lambda c: _send(stream, source))
                last = (max(0, length - _CHUNK), source[-_CHUNK:])
            else:
                last = _send_file(hypervisor, stream, source, length, what, progress, check)
            hypervisor.call(lambda c: stream.finish())
        except BaseException:
            hypervisor.call(lambda c: stream.abort())
            raise
        at, data = last
        if data and steady(hypervisor, lambda c: _received(c, volume, at, len(data))) != data:
            raise _lost(hypervisor, pool, len(data), what)
    except LibvirtError as failure:
        raise refused(failure, what) from failure
    except OSError as failure:
        raise ProviderError(
            error("File cannot be read", f"{what}: {failure.filename or source!r}: {failure.strerror or failure}.")
        ) from failure


def _begin(connection: Any, volume: Any, length: int, *, sparse: bool) -> Any:
    stream = connection.newStream(0)
    volume.upload(stream, 0, length, _SPARSE if sparse else 0)
    return stream


def _send(stream: Any, data: bytes) -> None:
    sent = 0
    while sent < len(data):
        sent += stream.send(data[sent : sent + _CHUNK])


def _send_file(
    hypervisor: Hypervisor,
    stream: Any,
    path: str,
    length: int,
    what: str,
    progress: Callable[[str], None],
    check: Callable[[], None],
) -> tuple[int, bytes]:
    """Send a file; gives the last piece of it that is not all zeros, with its offset."""
    told = 0.0
    last = (0, b"")
    with open(path, "rb") as file:
        at = 0
        while at < length:
            check()
            data, hole = _next(file, at, length)
            if hole:
                hypervisor.call(lambda c, n=hole: stream.sendHole(n, 0))  # type: ignore[misc]
                at += hole
                continue
            hypervisor.call(lambda c, d=data: _send(stream, d))  # type: ignore[misc]
            if data.strip(b"\0"):
                last = (at, data)
            at += len(data)
            if time.monotonic() - told > 0.5:
                told = time.monotonic()
                progress(f"{what[:1].lower()}{what[1:]}: {at >> 20} of {length >> 20} MiB")
    return last


def _next(file: Any, at: int, length: int) -> tuple[bytes, int]:
    """The data at an offset, or how long the hole there is."""
    try:
        start = os.lseek(file.fileno(), at, os.SEEK_DATA)
    except OSError:
        return b"", length - at  # nothing but a hole up to the end
    if start > at:
        return b"", start - at
    end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
    return os.pread(file.fileno(), min(_CHUNK, end - at), at), 0


def _received(connection: Any, volume: Any, at: int, length: int) -> bytes:
    """What a volume holds."""
    stream = connection.newStream(0)
    volume.download(stream, at, length, 0)
    out = b""
    while len(out) < length and (piece := stream.recv(length - len(out))):
        out += piece
    stream.finish()
    return out


def _lost(hypervisor: Hypervisor, pool: str, length: int, what: str) -> ProviderError:
    """Why what was sent is not there, as far as the pool tells."""

    def available(connection: Any) -> int:
        found = connection.storagePoolLookupByName(pool)
        found.refresh(0)
        return int(found.info()[3])

    if steady(hypervisor, available) < length:
        return refused(LibvirtError(0, "No space left on device"), what)
    text = (
        f"{what}: the last of it is not in the volume, though libvirt took it. The storage lost it: look at its log "
        "(`dmesg`), and try again."
    )
    return ProviderError(error("Upload incomplete", text))
