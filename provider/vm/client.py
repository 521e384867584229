"""The libvirt API: the only place where the kinds of the hypervisor do IO.

:class:`Hypervisor` is one connection. It may be used from many threads at once (libvirt's is). libvirt-python
is imported with the first call, as it has no wheel and Hythe works without it where there are no VMs.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from hythe.diagnostic import Diagnostic, error
from hythe.provider.protocol import HostUnreachable
from hythe.provider.vm.errors import OPERATION_INVALID, LibvirtError, explain, refused

__all__ = ["SYSTEM", "Hypervisor", "LibvirtError", "explain", "refused"]

SYSTEM = "qemu:///system"
Connection: TypeAlias = Any
"""A ``libvirt.virConnect``; the binding has no types."""
_T = TypeVar("_T")
_SURVEYS = 40


class Hypervisor:
    """One libvirt connection, opened with its first call and opened again when the daemon was restarted.

    ``uri`` is what the user knows it by, ``through`` what is opened in its place (a forwarded socket).
    """

    def __init__(self, uri: str = SYSTEM, *, through: str | None = None) -> None:
        self.uri = uri
        self._through = through or uri
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    def call(self, function: Callable[[Connection], _T]) -> _T:
        """What ``function`` gives for the connection.

        Raises :class:`LibvirtError` when libvirt refuses, :class:`HostUnreachable` when it cannot be reached.
        A connection that turns out dead is opened again for the next call; the failed call is not repeated, as
        it may have done its work.
        """
        libvirt = _binding()
        connection = self._open()
        try:
            return function(connection)
        except libvirt.libvirtError as failure:
            if self._dead(connection):
                self._forget(connection)
                raise HostUnreachable(_unreachable(self.uri, str(failure))) from failure
            raise LibvirtError(failure.get_error_code() or 0, str(failure)) from failure

    def read(self, function: Callable[[Connection], _T]) -> _T:
        """Like :meth:`call` for what changes nothing: done once more when the connection had died meanwhile."""
        try:
            return self.call(function)
        except HostUnreachable:
            return self.call(function)

    def survey(self, function: Callable[[Connection], _T]) -> _T:
        """Like :meth:`read` for what looks at many objects: done again when one goes away or off meanwhile."""
        for _ in range(_SURVEYS):
            try:
                return self.read(function)
            except LibvirtError as failure:
                if not failure.missing and failure.code != OPERATION_INVALID:
                    raise
                time.sleep(0.05)
        return self.read(function)

    def find(self, function: Callable[[Connection], _T]) -> _T | None:
        """Like :meth:`read`; None where what is looked up is not there."""
        try:
            return self.read(function)
        except LibvirtError as failure:
            if failure.missing:
                return None
            raise

    def _open(self) -> Connection:
        libvirt = _binding()
        with self._lock:
            if self._connection is None:
                try:
                    self._connection = libvirt.open(self._through)
                except libvirt.libvirtError as failure:
                    raise HostUnreachable(_unreachable(self.uri, str(failure))) from failure
                with contextlib.suppress(libvirt.libvirtError):
                    self._connection.setKeepAlive(5, 6)
            return self._connection

    def _dead(self, connection: Connection) -> bool:
        libvirt = _binding()
        try:
            return not connection.isAlive()
        except libvirt.libvirtError:
            return True

    def _forget(self, connection: Connection) -> None:
        with self._lock:
            if self._connection is connection:
                self._connection = None
        with contextlib.suppress(Exception):
            connection.close()

    @property
    def local(self) -> bool:
        """Whether its files are files of this machine."""
        return self._through == self.uri and "://" in self.uri and self.uri.split("://", 1)[1].startswith("/")

    @property
    def is_test(self) -> bool:
        """Whether it is libvirt's test driver, which runs nothing."""
        return self.uri.startswith("test:")

    def version(self) -> str:
        """The version of libvirt, like ``9.0.0``."""
        number: int = self.read(lambda c: c.getLibVersion())
        return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"

    def capabilities(self) -> str:
        """The XML of its capabilities."""
        return str(self.read(lambda c: c.getCapabilities()))

    def close(self) -> None:
        """Give up the connection."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()


class Hypervisors:
    """The hypervisors of one machine by URI, each opened once. May be used from several threads at once."""

    def __init__(self, make: Callable[[str], Hypervisor] = Hypervisor) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._open: dict[str, Hypervisor] = {}

    def get(self, uri: str | None) -> Hypervisor:
        """The hypervisor at that URI; the machine's own one without."""
        wanted = uri or SYSTEM
        with self._lock:
            found = self._open.get(wanted)
            if found is None:
                found = self._open[wanted] = self._make(wanted)
            return found

    def close(self) -> None:
        """Give up all connections."""
        with self._lock:
            hypervisors, self._open = list(self._open.values()), {}
        for hypervisor in hypervisors:
            hypervisor.close()


def _binding() -> Any:
    """The binding, quiet: what libvirt would print on standard error is in the errors that it raises."""
    try:
        import libvirt
    except ImportError as failure:
        raise HostUnreachable(
            error(
                "libvirt's Python binding is missing",
                "Virtual machines need libvirt-python, which is not installed here (containers work without). Install "
                "what it is made with, and then it, for the Python that runs Hythe: `sudo apt-get install libvirt-dev "
                f"pkg-config gcc python3-dev` and `{sys.executable} -m pip install 'libvirt-python>=9'`.",
            )
        ) from failure
    global _quiet
    if not _quiet:
        libvirt.registerErrorHandler(lambda context, failure: None, None)
        _quiet = True
    return libvirt


_quiet = False


def _unreachable(uri: str, said: str) -> Diagnostic:
    where = f"The hypervisor at {uri}"
    if "Permission denied" in said or "authentication" in said:
        return error(
            "Hypervisor not reachable",
            f"{where} does not let this user in ({said}). Add the user to the group that may "
            "(`sudo usermod -aG libvirt $USER`, then log in again), or run as root.",
        )
    if "No such file" in said or "Connection refused" in said:
        return error(
            "Hypervisor not reachable",
            f"{where} does not answer ({said}): libvirtd is not running or not installed. Start it "
            "(`sudo systemctl start libvirtd`, or `sudo libvirtd --daemon`), or install it "
            "(`sudo apt-get install libvirt-daemon-system qemu-system-x86`).",
        )
    return error("Hypervisor not reachable", f"{where} cannot be reached: {said}.")
