"""What a machine has of all that virtual machines need: a part of ``hythe doctor``."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hythe.provider.protocol import HostUnreachable

if TYPE_CHECKING:
    from hythe.provider.connection.checks import Check, Doctor

_WHY = "Virtual machines run on it."
_TOOLS = (
    ("qemu-img", "qemu-img", "qemu-utils", "Disks and disk images are made with it."),
    ("dnsmasq", "dnsmasq", "dnsmasq-base", "Networks of virtual machines get their addresses and names from it."),
    ("mke2fs", "mke2fs", "e2fsprogs", "File systems of disk images are made with it."),
    ("ssh", "ssh", "openssh-client", "`hythe ssh` opens a shell with it."),
)


def virtualisation(doctor: Doctor) -> Iterator[Check]:
    """Findings on libvirt, its binding, QEMU, KVM and the tools around them. None is required for containers."""
    from hythe.provider.connection.checks import Check, Status

    yield _libvirt(doctor)
    architecture = platform.machine()
    qemu = doctor.path(f"qemu-system-{architecture}")
    package = "qemu-system-x86" if architecture == "x86_64" else "qemu-system-arm"
    if qemu:
        yield Check("qemu", Status.OK, f"{doctor.version(qemu, '--version')} at {qemu}", _WHY)
    else:
        yield Check("qemu", Status.MISSING, "", _WHY, f"sudo apt-get install {package}")
    for name, program, package, why in _TOOLS:
        path = doctor.path(program)
        if path is None:
            yield Check(name, Status.MISSING, "", why, f"sudo apt-get install {package}")
        else:
            yield Check(name, Status.OK, path, why)
    yield _kvm(doctor)


def _libvirt(doctor: Doctor) -> Check:
    from hythe.provider.connection.checks import Check, Status

    daemon = doctor.path("libvirtd") or doctor.path("virtqemud")
    try:
        hypervisor = doctor.host.hypervisor()
        found = f"{hypervisor.version()} at {hypervisor.uri}"
        return Check("libvirt", Status.OK, found, _WHY)
    except HostUnreachable as failure:
        told = failure.diagnostics[0]
        fixes = re.findall(r"`([^`]+)`", told.detail)
        fix = fixes[0] if fixes and daemon else "sudo apt-get install libvirt-daemon-system"
        if "binding" in told.summary:
            fix = " && ".join(fixes)
        status = Status.WARN if daemon else Status.MISSING
        return Check("libvirt", status, daemon or "", told.detail if daemon else _WHY, fix)


def _kvm(doctor: Doctor) -> Check:
    from hythe.provider.connection.checks import Check, Status

    try:
        with open(doctor.machine.root + "/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            flags = set(re.findall(r"\b(?:vmx|svm)\b", file.read()))
    except OSError:
        flags = set()
    device = os.path.exists(doctor.machine.root + "/dev/kvm")
    # a /dev/kvm without either flag is an emulation that does not boot common guests
    found = "usable" if device and flags else "a device without vmx or svm" if device else "no device"
    status = Status.OK if device and flags else Status.WARN
    return Check("kvm", status, found, "Without KVM virtual machines are emulated, which is slow.")
