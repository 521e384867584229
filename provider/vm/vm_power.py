"""Starting VMs, and shutting them down: orderly, and by force when that takes too long."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from hythe.provider.vm.client import Hypervisor, LibvirtError

_SHUTDOWN_ACPI, _SHUTDOWN_AGENT = 1, 2
_MANAGED_SAVE, _SNAPSHOTS, _NVRAM, _CHECKPOINTS = 1, 2, 4, 16
_STATE_PAUSED = 3
"""Of virDomainState."""
_STAYS_PAUSED = frozenset({0, 1, 5, 6, 7, 10})
"""Reasons (virDomainPausedReason) that last until somebody resumes it: unknown, a user, an error of a disk, a watchdog,
a snapshot of a paused VM, a crash of the guest. The others are steps of saving, migrating, starting and the like."""
_PAUSE = 0.25
_AGAIN = 10.0


def is_running(hypervisor: Hypervisor, uuid: str) -> bool:
    """Whether a domain runs; False when it is not there."""
    return bool(hypervisor.find(lambda c: c.lookupByUUIDString(uuid).isActive()))


def is_paused(domain: Any) -> bool:
    """Whether a libvirt domain is paused until somebody resumes it. Raises libvirtError."""
    state, reason = domain.state()
    return state == _STATE_PAUSED and reason in _STAYS_PAUSED


def resume(hypervisor: Hypervisor, uuid: str) -> None:
    """Let a paused domain go on. Raises LibvirtError."""
    hypervisor.call(lambda c: c.lookupByUUIDString(uuid).resume())


def start(hypervisor: Hypervisor, uuid: str) -> None:
    """Start a domain; no error when it runs. Raises LibvirtError."""
    if not is_running(hypervisor, uuid):
        hypervisor.call(lambda c: c.lookupByUUIDString(uuid).create())


def shut_down(hypervisor: Hypervisor, uuid: str, grace: float, check: Callable[[], None], *, agent: bool) -> bool:
    """Ask the guest to shut down, again now and then, and switch it off after ``grace`` seconds.

    Returns whether it went by itself. Raises LibvirtError.
    """
    end, asked = time.monotonic() + grace, 0.0
    while is_running(hypervisor, uuid):
        now = time.monotonic()
        if now >= end:
            _switch_off(hypervisor, uuid)
            return False
        if now - asked >= _AGAIN:
            # a guest that is still booting hears nothing of the first one
            asked = now
            _ask(hypervisor, uuid, agent=agent)
        check()
        time.sleep(_PAUSE)
    return True


def _ask(hypervisor: Hypervisor, uuid: str, *, agent: bool) -> None:
    for flag in (*((_SHUTDOWN_AGENT,) if agent else ()), _SHUTDOWN_ACPI):
        try:
            hypervisor.call(lambda c, f=flag: c.lookupByUUIDString(uuid).shutdownFlags(f))  # type: ignore[misc]
            return
        except LibvirtError:
            continue  # no agent answers; or it went off this moment


def _switch_off(hypervisor: Hypervisor, uuid: str) -> None:
    try:
        hypervisor.call(lambda c: c.lookupByUUIDString(uuid).destroy())
    except LibvirtError:
        if is_running(hypervisor, uuid):
            raise


def undefine(hypervisor: Hypervisor, uuid: str) -> None:
    """Switch a domain off and remove it with its variables and what it saved; no error when it is gone.

    Raises LibvirtError.
    """
    if is_running(hypervisor, uuid):
        _switch_off(hypervisor, uuid)

    def remove(connection: Any) -> None:
        connection.lookupByUUIDString(uuid).undefineFlags(_MANAGED_SAVE | _SNAPSHOTS | _NVRAM | _CHECKPOINTS)

    try:
        hypervisor.call(remove)
    except LibvirtError as failure:
        if failure.missing:
            return
        if not hypervisor.is_test:
            raise
        hypervisor.call(lambda c: c.lookupByUUIDString(uuid).undefine())
