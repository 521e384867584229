"""Questions to QEMU itself, for what libvirt does not tell."""

from __future__ import annotations

import re

from hythe.provider.vm.client import Hypervisor

_HUMAN = 1
_USED = re.compile(r"gen code size\s+(\d+)/(\d+)")
_CACHE_REGIONS = 8
_LEAST_REGION = 2 << 20


def can_add_processor(hypervisor: Hypervisor, uuid: str, now: int, most: int) -> bool:
    """Whether an emulated VM with ``now`` processors of at most ``most`` takes another one at this moment.

    QEMU 7.2 divides the cache of translated code into regions, takes the next free one for a new processor, and aborts
    where there is none: the guest would be gone.
    """
    import libvirt_qemu

    told = hypervisor.call(lambda c: libvirt_qemu.qemuMonitorCommand(c.lookupByUUIDString(uuid), "info jit", _HUMAN))
    found = _USED.search(str(told))
    return found is None or has_free_region(int(found[1]), int(found[2]), now, most)


def has_free_region(used: int, size: int, now: int, most: int) -> bool:
    """Whether a cache of ``size`` bytes of which so many are ``used`` has a region for one more processor. Pure."""
    regions = max(most, min(size // _LEAST_REGION, most * _CACHE_REGIONS))
    # each processor holds one that is not full yet
    return used < size * (regions - now - 0.25) / regions
