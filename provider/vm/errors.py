"""What libvirt says when it refuses, in the user's terms."""

from __future__ import annotations

import re
from collections.abc import Callable

from hythe.diagnostic import Diagnostic, error
from hythe.provider.protocol import ProviderError

NO_DOMAIN, NO_NETWORK, NO_POOL, NO_VOLUME, NO_METADATA, NO_SNAPSHOT = 42, 43, 49, 50, 80, 72
NO_NODE_DEVICE = 53
OPERATION_INVALID, OPERATION_FAILED, UNSUPPORTED, VOLUME_EXISTS = 55, 9, 3, 90
"""Numbers of libvirt errors (virErrorNumber in virterror.h)."""
NOT_FOUND = frozenset({NO_DOMAIN, NO_NETWORK, NO_POOL, NO_VOLUME, NO_METADATA, NO_SNAPSHOT})


class LibvirtError(Exception):
    """libvirt refused a call. ``code`` is its virErrorNumber, ``message`` its own words."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message.strip()

    @property
    def missing(self) -> bool:
        """Whether what was asked for is not there."""
        return self.code in NOT_FOUND


def _permission(found: re.Match[str], what: str) -> Diagnostic:
    path = found.groupdict().get("path") or "a file"
    return error(
        "Hypervisor may not open a file",
        f"{what}: QEMU was refused {path} ({found[0]}). It runs as a user of its own (libvirt-qemu on Debian) under "
        "AppArmor or SELinux. Keep disks in a pool (leave `pool` out), or let that user read the file and open "
        "every folder above it; `dmesg | grep -i apparmor` shows what AppArmor refused.",
    )


def _full(found: re.Match[str], what: str) -> Diagnostic:
    return error(
        "Storage pool is full",
        f"{what}: {found[0]}. Free space in the pool (`virsh pool-info`, `virsh vol-list --details`), or name another "
        "one by `pool`.",
    )


def _taken(found: re.Match[str], what: str) -> Diagnostic:
    return error(
        "Name already taken",
        f"{what}: {found[0]}. Choose another name, remove that object, or take it into the state with `hythe import`.",
    )


def _range(found: re.Match[str], what: str) -> Diagnostic:
    return error(
        "Addresses already in use",
        f"{what}: {found[0]}. Another network or interface of this machine has these addresses (`ip route` shows "
        "them): choose another `cidr`.",
    )


def _down(found: re.Match[str], what: str) -> Diagnostic:
    return error(
        "Network is down",
        f"{what}: {found[0]}. Start it (`virsh net-start {found['network']}`), or set `active = true` where it is "
        "declared.",
    )


def _pool_down(found: re.Match[str], what: str) -> Diagnostic:
    return error(
        "Storage pool is not running",
        f"{what}: {found[0]}. Start it: `virsh pool-start {found['pool']}` (and `virsh pool-autostart "
        f"{found['pool']}`, to have it after the next boot).",
    )


def _not_there(found: re.Match[str], what: str) -> Diagnostic:
    return error(
        "File not found",
        f"{what}: {found[0]}. It is looked for on the hypervisor's machine; see to the path.",
    )


def _in_use(found: re.Match[str], what: str) -> Diagnostic:
    return error(
        "Disk is in use",
        f"{what}: {' '.join(found[0].split())}. Another VM or program has it open (`fuser -v FILE`): a disk that is "
        "written to belongs to one VM at a time.",
    )


def _no_device(found: re.Match[str], what: str) -> Diagnostic:
    return error(
        "Device of the host not found",
        f"{what}: {found[0]}. `lspci -D` and `lsusb` on the hypervisor's machine show those that it has.",
    )


def _no_cpu(found: re.Match[str], what: str) -> Diagnostic:
    return error(
        "CPU model not known",
        f"{what}: {found[0]}. `virsh cpu-models x86_64` shows those that there are.",
    )


def _no_firmware(found: re.Match[str], what: str) -> Diagnostic:
    return error(
        "Firmware not found",
        f"{what}: {found[0]}. Install it on the hypervisor's machine (`sudo apt-get install ovmf`).",
    )


def _no_kvm(found: re.Match[str], what: str) -> Diagnostic:
    return error(
        "KVM is not available",
        f'{what}: {found[0]}. Set `accelerator = "tcg"` (emulation, slow), or turn virtualisation on in the firmware '
        "and load the module (`sudo modprobe kvm_intel` or `kvm_amd`).",
    )


_CAUSES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], str], Diagnostic]], ...] = (
    (
        re.compile(
            r"(?:[Cc]ould not open|[Cc]annot access|[Uu]nable to open)[^:]*'(?P<path>[^']+)'[^:]*: Permission denied"
        ),
        _permission,
    ),
    (re.compile(r".*apparmor.*|.*AppArmor.*"), _permission),
    (re.compile(r".*No space left on device.*|.*enough free space.*|.*would exceed .*capacity.*"), _full),
    (re.compile(r".*(?:overlap|Network is already in use by interface).*"), _range),
    (re.compile(r".*already exists.*|.*already in use by.*"), _taken),
    (
        re.compile(r".*(?:[Cc]ould not access KVM|KVM kernel module|kvm.*not available|does not support.*kvm).*"),
        _no_kvm,
    ),
    (re.compile(r"network '(?P<network>[^']+)' is not active"), _down),
    (re.compile(r"storage pool '(?P<pool>[^']+)' is not active"), _pool_down),
    (re.compile(r"(?:[Cc]annot access|[Cc]ould not open|[Uu]nable to open).*No such file or directory"), _not_there),
    (re.compile(r"Failed to get (?:shared )?\"\w+\" lock\s+Is another process using the image[^?]*"), _in_use),
    (re.compile(r".*(?:Did not find USB device|Device .* not found: could not access /sys/bus/pci).*"), _no_device),
    (re.compile(r"Unknown CPU model.*"), _no_cpu),
    (re.compile(r"Unable to find any firmware.*"), _no_firmware),
)


def explain(failure: LibvirtError, what: str) -> Diagnostic:
    """The diagnostic of a refused call; ``what`` begins its detail (``Starting VM "a"``)."""
    for pattern, make in _CAUSES:
        found = pattern.search(failure.message)
        if found is not None:
            return make(found, what)
    return error(
        "The hypervisor refused", f"{what}: {failure.message or 'no reason given'} (libvirt error {failure.code})."
    )


def refused(failure: LibvirtError, what: str) -> ProviderError:
    """The same as something to raise."""
    return ProviderError(explain(failure, what))
