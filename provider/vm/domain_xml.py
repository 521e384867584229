"""The XML of a VM, from its arguments and the files and names that they stand for. Pure.

https://libvirt.org/formatdomain.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hythe.provider.protocol import Attributes, Identity
from hythe.provider.vm.marks import metadata, uuid_of
from hythe.provider.vm.xml import Element, add, element

SEED = "vdz"
"""The name of the seed's disk: the last one, so that it takes no name of others."""
SEED_FILE = "seed.iso"
"""How the name of its file ends."""
BALLOON_SECONDS = 5
CACHE_MIB = 2047
"""Largest cache of translated code that QEMU takes."""
SPARE_PORTS = 6
"""PCI Express ports that are free at first: each takes a disk or interface that is added while the VM runs."""


@dataclass(frozen=True, slots=True)
class DiskPlace:
    """A disk with its file. ``block`` are its arguments; ``volume`` its name in ``pool`` when it belongs to the VM."""

    block: Mapping[str, Any]
    file: str
    format: str
    target: str
    bus: str
    is_device: bool = False
    volume: str | None = None
    pool: str | None = None


@dataclass(frozen=True, slots=True)
class Nic:
    """An interface. ``network`` is the name of the hypervisor's network, where it is on one."""

    block: Mapping[str, Any]
    mac: str
    network: str | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """All that a domain is made of."""

    identity: Identity
    attributes: Attributes
    architecture: str
    accelerator: str
    disks: Sequence[DiskPlace]
    nics: Sequence[Nic]
    kernel: str | None = None
    initrd: str | None = None
    cmdline: str | None = None
    seed: str | None = None
    console_log: str | None = None
    is_test: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


def domain_xml(machine: Machine) -> Element:
    """The definition of a domain."""
    given = machine.attributes
    root = element("domain", type="test" if machine.is_test else "kvm" if machine.accelerator == "kvm" else "qemu")
    add(root, "name", given["name"])
    add(root, "uuid", uuid_of(machine.identity))
    if given.get("description"):
        add(root, "description", given["description"])
    root.append(metadata(machine.identity))
    add(root, "memory", (given.get("max_memory") or given["memory"]) >> 10, unit="KiB")
    add(root, "currentMemory", given["memory"] >> 10, unit="KiB")
    most = given.get("max_cpus") or given["cpus"]
    add(root, "vcpu", most, placement="static", current=given["cpus"] if given["cpus"] != most else None)
    if given.get("max_cpus") and most > 1 and not machine.is_test:
        _hotplug(root, given["cpus"], most)
    if any(f["driver"] == "virtiofs" for f in given.get("filesystem") or ()):
        # its daemon reads and writes the guest's memory
        backing = add(root, "memoryBacking")
        add(backing, "source", type="memfd")
        add(backing, "access", mode="shared")
    _pin(root, given.get("cpu") or {})
    _os(root, machine)
    if machine.is_test:
        _devices(root, machine)
        return root
    features = add(root, "features")
    add(features, "acpi")
    if machine.architecture == "x86_64":
        add(features, "apic")
    if machine.accelerator == "tcg" and given.get("max_cpus") and most > 1:
        # room for processors that are added later (see client_monitor)
        add(add(features, "tcg"), "tb-cache", CACHE_MIB, unit="MiB")
    root.append(_cpu(machine, int(most)))
    add(root, "clock", offset="utc")
    add(root, "on_poweroff", "destroy")
    add(root, "on_reboot", "restart")
    add(root, "on_crash", "destroy")
    _devices(root, machine)
    return root


def _hotplug(root: Element, now: int, most: int) -> None:
    """All processors but the first can be taken away again while the VM runs."""
    made = add(root, "vcpus")
    for number in range(most):
        add(made, "vcpu", id=number, enabled=number < now, hotpluggable=number > 0)


def _pin(root: Element, cpu: Mapping[str, Any]) -> None:
    if cpu.get("pin"):
        tune = add(root, "cputune")
        for number, set_ in sorted(cpu["pin"].items(), key=lambda i: int(i[0])):
            add(tune, "vcpupin", vcpu=number, cpuset=set_)


def machine_type(given: Mapping[str, Any], architecture: str) -> str:
    """The machine type of a VM whose configuration names none."""
    return str(given.get("machine") or ("virt" if architecture == "aarch64" else "q35"))


def has_root_ports(given: Mapping[str, Any], architecture: str) -> bool:
    """Whether devices that are added while the VM runs need free PCI Express ports."""
    return machine_type(given, architecture).startswith(("q35", "pc-q35", "virt"))


def _os(root: Element, machine: Machine) -> None:
    given = machine.attributes
    firmware = given.get("firmware")
    # the BIOS is what x86 machines have by themselves; asked for by name, libvirt 9.0 finds none
    made = add(root, "os", firmware="efi" if firmware == "uefi" else None)
    if machine.is_test:
        add(made, "type", "hvm")
        return
    add(made, "type", "hvm", arch=machine.architecture, machine=machine_type(given, machine.architecture))
    if firmware == "uefi":
        # Debian's firmware with keys enrolled boots no unsigned kernel; what is asked for is plain UEFI
        features = add(made, "firmware")
        add(features, "feature", enabled=False, name="enrolled-keys")
        add(features, "feature", enabled=False, name="secure-boot")
    for tag in ("kernel", "initrd", "cmdline"):
        value = getattr(machine, tag)
        if value:
            add(made, tag, value)
    if not machine.kernel:
        add(made, "boot", dev="hd")
        if any(d.block.get("device") == "cdrom" for d in machine.disks):
            add(made, "boot", dev="cdrom")


def _cpu(machine: Machine, most: int) -> Element:
    cpu = machine.attributes.get("cpu") or {}
    model = cpu.get("model") or ("host-passthrough" if machine.accelerator == "kvm" else "maximum")
    if model in ("host-passthrough", "host-model", "maximum"):
        made = element("cpu", mode=model)
    else:
        made = element("cpu", mode="custom", match="exact")
        add(made, "model", model, fallback="forbid")
    if any(cpu.get(n) for n in ("sockets", "cores", "threads")):
        add(
            made,
            "topology",
            sockets=cpu.get("sockets") or 1,
            cores=cpu.get("cores") or 1,
            threads=cpu.get("threads") or 1,
        )
    for name, policy in sorted((cpu.get("features") or {}).items()):
        add(made, "feature", policy=policy, name=name)
    return made


# -- devices --------------------------------------------------------------------------------------


def _devices(root: Element, machine: Machine) -> None:
    given = machine.attributes
    devices = add(root, "devices")
    for disk in machine.disks:
        devices.append(disk_xml(disk))
    if machine.seed:
        devices.append(seed_xml(machine.seed))
    for nic in machine.nics:
        devices.append(nic_xml(nic))
    if machine.is_test:
        return
    if has_root_ports(given, machine.architecture):
        add(devices, "controller", type="pci", index=0, model="pcie-root")
        handed_over = sum(1 for d in given.get("hostdev") or () if d.get("pci"))
        for _ in range(SPARE_PORTS + len(machine.disks) + len(machine.nics) + handed_over + 4):
            add(devices, "controller", type="pci", model="pcie-root-port")
    if any(d.bus == "scsi" for d in machine.disks):
        add(devices, "controller", type="scsi", index=0, model="virtio-scsi")
    serial = add(devices, "serial", type="pty")
    if machine.console_log:
        add(serial, "log", file=machine.console_log, append="off")
    add(serial, "target", port=0)
    console = add(devices, "console", type="pty")
    add(console, "target", type="serial", port=0)
    if given.get("guest_agent", True):
        channel = add(devices, "channel", type="unix")
        add(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
    if given.get("rng", True):
        rng = add(devices, "rng", model="virtio")
        add(rng, "backend", "/dev/urandom", model="random")
    balloon = add(devices, "memballoon", model="virtio")
    # with statistics the guest's driver is heard of, so that a guest without one is told from one that keeps memory
    add(balloon, "stats", period=BALLOON_SECONDS)
    _graphics(devices, given.get("graphics"))
    if given.get("watchdog"):
        add(devices, "watchdog", model=given["watchdog"]["model"], action=given["watchdog"]["action"])
    for folder in given.get("filesystem") or ():
        devices.append(_filesystem(folder))
    for device in given.get("hostdev") or ():
        devices.append(host_device_xml(device))


def _graphics(devices: Element, graphics: Mapping[str, Any] | None) -> None:
    if not graphics:
        return
    port = graphics.get("port")
    made = add(
        devices,
        "graphics",
        type=graphics["type"],
        port=port or -1,
        autoport=port is None,
        passwd=graphics.get("password"),
        listen=graphics["listen"],
    )
    add(made, "listen", type="address", address=graphics["listen"])
    video = add(devices, "video")
    add(video, "model", type="qxl" if graphics["type"] == "spice" else "vga")


def _filesystem(folder: Mapping[str, Any]) -> Element:
    shared = folder["driver"] == "virtiofs"
    made = element("filesystem", type="mount", accessmode="passthrough" if shared else "mapped")
    if shared:
        add(made, "driver", type="virtiofs")
    add(made, "source", dir=folder["source"])
    add(made, "target", dir=folder["target"])
    if folder.get("readonly"):
        add(made, "readonly")
    return made


def disk_xml(disk: DiskPlace) -> Element:
    """The element of a disk."""
    block = disk.block
    made = element("disk", type="block" if disk.is_device else "file", device=block.get("device", "disk"))
    add(made, "driver", name="qemu", type=disk.format, cache=block.get("cache"), discard=block.get("discard"))
    add(made, "source", **{"dev" if disk.is_device else "file": disk.file})
    add(made, "target", dev=disk.target, bus=disk.bus)
    if block.get("iops") or block.get("bandwidth"):
        tune = add(made, "iotune")
        if block.get("bandwidth"):
            add(tune, "total_bytes_sec", block["bandwidth"])
        if block.get("iops"):
            add(tune, "total_iops_sec", block["iops"])
    if block.get("serial"):
        add(made, "serial", block["serial"])
    if block.get("readonly") or block.get("device") == "cdrom":
        add(made, "readonly")
    return made


def seed_xml(path: str) -> Element:
    """The element of the seed's disk. Kernels made for VMs know no CD drives; cloud-init looks at labels only."""
    made = element("disk", type="file", device="disk")
    add(made, "driver", name="qemu", type="raw")
    add(made, "source", file=path)
    add(made, "target", dev=SEED, bus="virtio")
    add(made, "readonly")
    return made


def nic_xml(nic: Nic) -> Element:
    """The element of an interface."""
    block = nic.block
    if nic.network is not None:
        made = element("interface", type="network")
        add(made, "mac", address=nic.mac)
        add(made, "source", network=nic.network)
    elif block.get("bridge"):
        made = element("interface", type="bridge")
        add(made, "mac", address=nic.mac)
        add(made, "source", bridge=block["bridge"])
    elif block.get("direct"):
        made = element("interface", type="direct")
        add(made, "mac", address=nic.mac)
        add(made, "source", dev=block["direct"], mode=block.get("direct_mode") or "bridge")
    else:
        made = element("interface", type="user")
        add(made, "mac", address=nic.mac)
    add(made, "model", type=block.get("model", "virtio"))
    if block.get("mtu"):
        add(made, "mtu", size=block["mtu"])
    add(made, "link", state=block.get("link", "up"))
    return made


def host_device_xml(device: Mapping[str, Any]) -> Element:
    """The element of a device of the host."""
    if device.get("pci"):
        domain, bus, rest = device["pci"].split(":")
        slot, function = rest.split(".")
        made = element("hostdev", mode="subsystem", type="pci", managed=True)
        add(
            add(made, "source"),
            "address",
            domain=f"0x{domain}",
            bus=f"0x{bus}",
            slot=f"0x{slot}",
            function=f"0x{function}",
        )
        return made
    vendor, product = device["usb"].split(":")
    made = element("hostdev", mode="subsystem", type="usb", managed=True)
    source = add(made, "source")
    add(source, "vendor", id=f"0x{vendor}")
    add(source, "product", id=f"0x{product}")
    return made
