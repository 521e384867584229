"""Which process this is, and whether another one on this machine still runs."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class ProcessName:
    """A process, named so that no other is taken for it.

    ``boot`` names the machine's run since it was started, ``space`` the PID namespace (containers have their own),
    ``start`` is when it began, in clock ticks since then: numbers of processes are used again.
    """

    host: str
    boot: str
    space: str
    pid: int
    start: int

    def as_json(self) -> dict[str, str | int]:
        """For :meth:`from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: object) -> ProcessName | None:
        """The process that was told, None where it is not told in full."""
        if not isinstance(told, dict):
            return None
        try:
            return cls(str(told["host"]), str(told["boot"]), str(told["space"]), int(told["pid"]), int(told["start"]))
        except (KeyError, TypeError, ValueError):
            return None


def this_process() -> ProcessName:
    """This one."""
    pid = os.getpid()
    return ProcessName(socket.gethostname(), _boot(), _space(), pid, _start(pid) or 0)


def is_dead(name: ProcessName) -> bool:
    """Whether it is certain that the process has ended: one on another machine, or in another namespace, never is."""
    if not name.boot or not name.space or not name.start or name.pid <= 0:
        return False
    if (name.host, name.boot, name.space) != (socket.gethostname(), _boot(), _space()):
        return False
    try:
        # this asks the kernel; what /proc shows may be restricted
        os.kill(name.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    start = _start(name.pid)
    return start is not None and start != name.start


def _boot() -> str:
    return _read("/proc/sys/kernel/random/boot_id").strip()


def _space() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _start(pid: int) -> int | None:
    """When it began; -1 for one that has ended and is only not collected yet; None where that cannot be seen."""
    # the name, in parentheses, may hold anything
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    try:
        return -1 if fields[0] in ("Z", "X") else int(fields[19])
    except (IndexError, ValueError):
        return None


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
