"""Why a PCI device cannot be handed over, in the user's terms: found out before a VM is touched, or told by libvirt.

Linux hands over devices through VFIO: a device is taken from its driver, and the IOMMU keeps what it reads and writes
within the VM's memory. What the IOMMU cannot keep apart is one group, which is handed over whole or not at all.
https://docs.kernel.org/driver-api/vfio.html#groups-devices-and-iommus
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hythe.diagnostic import Diagnostic, error
from hythe.provider.vm.client import Hypervisor
from hythe.provider.vm.errors import NO_NODE_DEVICE, LibvirtError
from hythe.provider.vm.xml import parse

_HARMLESS = frozenset({"vfio-pci", "pci-stub", "pcieport"})
"""Drivers that others of a group may have while one is handed over (``driver_managed_dma`` in Linux)."""
_SHOWS = "`lspci -D` on the hypervisor's machine shows"


@dataclass(frozen=True, slots=True)
class Device:
    """What libvirt knows of a PCI device. ``group`` has the addresses of its IOMMU group, itself too; None without."""

    driver: str | None
    bridge: bool
    number: str
    group: tuple[str, ...] | None


def device_of(description: str) -> Device:
    """A device from its description (https://libvirt.org/formatnode.html)."""
    root = parse(description)
    group = root.find("capability/iommuGroup")
    return Device(
        root.findtext("driver/name"),
        root.find("capability/capability[@type='pci-bridge']") is not None,
        group.get("number", "") if group is not None else "",
        tuple(sorted(_address(a.attrib) for a in group.findall("address"))) if group is not None else None,
    )


def in_the_way(others: Mapping[str, Device], wanted: Collection[str]) -> list[tuple[str, str]]:
    """Those ``others`` of a group that are not ``wanted`` and that a driver uses, each with its driver. Pure."""
    used = [(address, d.driver) for address, d in sorted(others.items()) if address not in wanted]
    return [(address, driver) for address, driver in used if driver and driver not in _HARMLESS]


def check_pci(hypervisor: Hypervisor, devices: Sequence[Mapping[str, Any]], what: str) -> list[Diagnostic]:
    """What keeps devices of the host (``hostdev`` blocks) from being handed over together, as far as that can be known.

    Nothing is said where libvirt does not tell of PCI devices, nor of those that other VMs have. ``what`` begins each
    detail (``Starting VM "a"``).
    """
    wanted = [str(d["pci"]) for d in devices if d.get("pci")]
    try:
        if not wanted or not hypervisor.read(lambda c: c.listDevices("pci")):
            return []
        return [told for address in wanted if (told := _check(hypervisor, address, wanted, what)) is not None]
    except LibvirtError:
        return []


def explain_pci(hypervisor: Hypervisor, failure: LibvirtError, what: str) -> Diagnostic | None:
    """The diagnostic of a refused call where a device of the host is why; None where it is something else.

    ``what`` begins the detail. May ask the hypervisor what else is in a group.
    """
    unviable = _NOT_VIABLE.search(failure.message)
    if unviable is not None:
        address = unviable["address"]
        try:
            device = _look(hypervisor, address)
            used = in_the_way(_others(hypervisor, address, device), ()) if device is not None else []
        except LibvirtError:
            used = []
        return _not_viable(address, unviable["group"], used, f"{what}: {unviable[0]}. ")
    for pattern, make in _CAUSES:
        found = pattern.search(failure.message)
        if found is not None:
            return make(found, what)
    return None


# -- what is known of devices ----------------------------------------------------------------------


def _check(hypervisor: Hypervisor, address: str, wanted: Sequence[str], what: str) -> Diagnostic | None:
    device = _look(hypervisor, address)
    if device is None:
        return error(
            "Device of the host not found", f"{what}: there is no PCI device {address}. {_SHOWS} those that it has."
        )
    if device.bridge:
        return _bridge(f"{what}: {address} is a bridge or a port of one")
    if device.group is None:
        return _no_iommu(f"{what}: no IOMMU of that machine is in charge of {address}")
    used = in_the_way(_others(hypervisor, address, device), wanted)
    return _not_viable(address, device.number, used, f"{what}: ") if used else None


def _look(hypervisor: Hypervisor, address: str) -> Device | None:
    """What libvirt knows of a device; None when it is not there. Raises LibvirtError."""
    name = _node(address)
    try:
        return device_of(hypervisor.read(lambda c: c.nodeDeviceLookupByName(name).XMLDesc(0)))
    except LibvirtError as failure:
        if failure.code == NO_NODE_DEVICE:
            return None
        raise


def _others(hypervisor: Hypervisor, address: str, device: Device) -> dict[str, Device]:
    """The other devices of its group. Raises LibvirtError."""
    found = {a: _look(hypervisor, a) for a in device.group or () if a != address}
    return {a: d for a, d in found.items() if d is not None}


def _address(attributes: Mapping[str, str]) -> str:
    numbers = [int(attributes.get(n, "0"), 16) for n in ("domain", "bus", "slot", "function")]
    return "{:04x}:{:02x}:{:02x}.{:x}".format(*numbers)


def _node(address: str) -> str:
    """libvirt's name for the device at an address."""
    return f"pci_{address.replace(':', '_').replace('.', '_')}"


# -- what is said ----------------------------------------------------------------------------------


def _no_iommu(begin: str) -> Diagnostic:
    return error(
        "Machine hands over no PCI devices",
        f"{begin}. The hypervisor's machine needs an IOMMU that is on, and Linux's module vfio-pci. Turn VT-d (Intel) "
        "or AMD-Vi on in its firmware, start its kernel with `intel_iommu=on` where it is Intel's, and load the module "
        "(`sudo modprobe vfio-pci`; nothing in /etc/modprobe.d may forbid it). /sys/kernel/iommu_groups is not empty "
        "there and /dev/vfio/vfio exists when all is well; `virt-host-validate qemu` looks at the rest.",
    )


def _bridge(begin: str) -> Diagnostic:
    return error(
        "PCI bridge cannot be handed over",
        f"{begin}. Name what is behind it instead: {_SHOWS} what each device is, and `lspci -D -t` what is behind "
        "which.",
    )


def _not_viable(address: str, group: str, used: Sequence[tuple[str, str]], begin: str) -> Diagnostic:
    shown = ", ".join(f"{other} (driver {driver})" for other, driver in used)
    first = used[0][0] if used else "ADDRESS"
    where = f"`ls /sys/kernel/iommu_groups/{group}/devices` shows which"
    return error(
        "IOMMU group is in use",
        f"{begin}{address} is in IOMMU group {group} together with devices that the hypervisor's machine uses itself: "
        f"{shown or where}. The IOMMU cannot keep devices of one group apart, so Linux hands over all or none. Hand "
        f'over the others too, by a `hostdev` block each (`pci = "{first}"`), take them from their drivers there '
        f"(`sudo virsh nodedev-detach {_node(first)}`), or put the device into another slot.",
    )


def _in_use(found: re.Match[str], what: str) -> Diagnostic:
    holder = f"VM {found['domain']}" if found["domain"] else "another VM"
    return error(
        "Device of the host is in use",
        f"{what}: {found[0]}. A device belongs to one running VM at a time, a PCI device with all of its IOMMU group. "
        f"Take it out of {holder} or shut that down, and apply again.",
    )


def _kept_back(found: re.Match[str], what: str) -> Diagnostic:
    return error(
        "IOMMU keeps the device back",
        f"{what}: {found[0]}. Linux does not let the IOMMU of the hypervisor's machine hand the device over, and "
        '`sudo dmesg` there says why. With "No interrupt remapping support", its interrupts would not be kept apart '
        "from those of others: turn interrupt remapping on (firmware; no `intremap=off` on the kernel's command line) "
        'or, where you trust the VM, load vfio_iommu_type1 with `allow_unsafe_interrupts=1`. With "RMRR", the '
        "firmware uses the device itself: another slot or a newer firmware may help.",
    )


_NOT_VIABLE = re.compile(r"vfio (?P<address>[0-9a-f:.]+): group (?P<group>\d+) is not viable")
_CAUSES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], str], Diagnostic]], ...] = (
    (
        re.compile(
            r"host doesn't support (?:passthrough of host PCI devices|VFIO PCI passthrough)|"
            r"VFIO device assignment is currently not supported on this system|Failed to load PCI stub module.*|"
            r"vfio [0-9a-f:.]+: no iommu_group found"
        ),
        lambda found, what: _no_iommu(f"{what}: {found[0]}"),
    ),
    (
        re.compile(r"Non-endpoint PCI devices cannot be assigned to guests"),
        lambda found, what: _bridge(f"{what}: {found[0]}"),
    ),
    (re.compile(r"(?:PCI|USB) device \S+ is in use(?: by driver \S+, domain (?P<domain>\S+))?"), _in_use),
    (re.compile(r"[Ff]ailed to set iommu for container: Operation not permitted"), _kept_back),
)
"""Words of libvirt 9.0 (src/hypervisor/virhostdev.c, src/qemu/qemu_hostdev.c) and QEMU 7.2 (hw/vfio/common.c)."""
