"""Whether KVM really works on a machine. Pure but for reading /proc/cpuinfo there.

A /dev/kvm on a processor with neither vmx nor svm is an emulation that libvirt offers and that boots no common guest.
"""

from __future__ import annotations

import re

from hythe.provider.protocol import Host
from hythe.provider.vm.client import Hypervisor
from hythe.provider.vm.xml import parse

_SECONDS = 20.0


def pick(wanted: str, capabilities: str, cpuinfo: str) -> str:
    """kvm or tcg: what is ``wanted``, or with ``auto`` kvm where it works."""
    if wanted != "auto":
        return wanted
    offered = any(d.get("type") == "kvm" for d in parse(capabilities).iter("domain"))
    arm = "CPU implementer" in cpuinfo
    return "kvm" if offered and (arm or re.search(r"\b(?:vmx|svm)\b", cpuinfo)) else "tcg"


def architecture_of(capabilities: str) -> str:
    """The hypervisor's own architecture, like x86_64."""
    return parse(capabilities).findtext("host/cpu/arch") or "x86_64"


def accelerator(host: Host, hypervisor: Hypervisor, wanted: str) -> str:
    """What a VM runs with on that host."""
    if wanted != "auto":
        return wanted
    told = host.run(["cat", "/proc/cpuinfo"], timeout=_SECONDS)
    return pick(wanted, hypervisor.capabilities(), told.stdout.decode("utf-8", "replace"))
