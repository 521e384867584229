"""Changing a domain's definition: what an argument stands for is put in its place, and all else stays as it is. Pure.

So a domain keeps the addresses of its devices, by which guests name them, and one that was imported keeps what Hythe
knows nothing of.
"""

from __future__ import annotations

import copy
from collections.abc import Collection

from hythe.provider.vm.domain_read import host_device, is_seed, mac_of, source_of
from hythe.provider.vm.marks import identity_of
from hythe.provider.vm.xml import Element, add

_SECTIONS: tuple[tuple[frozenset[str], tuple[str, ...]], ...] = (
    (frozenset({"memory", "max_memory"}), ("memory", "currentMemory")),
    (frozenset({"cpus", "max_cpus"}), ("vcpu", "vcpus")),
    (frozenset({"cpu", "accelerator"}), ("cpu",)),
    (frozenset({"description"}), ("description",)),
)
_BOOT = frozenset({"kernel", "initrd", "cmdline"})
_AGENT = "org.qemu.guest_agent.0"


def edited(config: Element, wanted: Element, changed: Collection[str]) -> Element:
    """The definition ``config`` with what the arguments ``changed`` stand for taken from ``wanted``."""
    names = frozenset(changed)
    out = copy.deepcopy(config)
    if "machine" in names:
        # where devices are differs from one machine type to the other
        return copy.deepcopy(wanted)
    if identity_of(out) is None:
        _mark(out, wanted)
    for arguments, tags in _SECTIONS:
        if arguments & names:
            for tag in tags:
                _replace(out, wanted, tag)
    if "accelerator" in names:
        out.set("type", wanted.get("type", "qemu"))
    if names & {"max_cpus", "accelerator"}:
        there, ours = out.find("features"), wanted.find("features")
        if there is not None and ours is not None:
            _replace(there, ours, "tcg")
    if "cpu" in names:
        _pins(out, wanted)
    if _BOOT & names:
        _boot(out, wanted)
    _devices(out, wanted, names)
    return out


def _mark(out: Element, wanted: Element) -> None:
    there, ours = out.find("metadata"), wanted.find("metadata")
    if ours is None:
        return
    if there is None:
        out.append(copy.deepcopy(ours))
    else:
        there.extend(copy.deepcopy(list(ours)))


def _replace(out: Element, wanted: Element, tag: str) -> None:
    for old in out.findall(tag):
        out.remove(old)
    out.extend(copy.deepcopy(wanted.findall(tag)))


def _pins(out: Element, wanted: Element) -> None:
    there, ours = out.find("cputune"), wanted.find("cputune")
    if there is None:
        there = add(out, "cputune")
    for old in there.findall("vcpupin"):
        there.remove(old)
    there.extend(copy.deepcopy(ours.findall("vcpupin") if ours is not None else []))
    if not len(there):
        out.remove(there)


def _boot(out: Element, wanted: Element) -> None:
    there, ours = out.find("os"), wanted.find("os")
    if there is not None and ours is not None:
        for tag in ("kernel", "initrd", "cmdline", "boot"):
            _replace(there, ours, tag)


# -- devices --------------------------------------------------------------------------------------


def _devices(out: Element, wanted: Element, names: Collection[str]) -> None:
    there, ours = out.find("devices"), wanted.find("devices")
    if there is None or ours is None:
        return
    if "disk" in names:
        _disks(there, ours)
    if "interface" in names:
        _interfaces(there, ours)
    for name, tags in (
        ("graphics", ("graphics", "video")),
        ("rng", ("rng",)),
        ("watchdog", ("watchdog",)),
        ("filesystem", ("filesystem",)),
    ):
        if name in names:
            for tag in tags:
                _replace(there, ours, tag)
    if "hostdev" in names:
        _host_devices(there, ours)
    if "filesystem" in names:
        _replace(out, wanted, "memoryBacking")
    if "guest_agent" in names:
        for channel in there.findall("channel"):
            if _is_agent(channel):
                there.remove(channel)
        there.extend(copy.deepcopy([c for c in ours.findall("channel") if _is_agent(c)]))


def _host_devices(there: Element, ours: Element) -> None:
    have = [(host_device(d), d) for d in there.findall("hostdev")]
    for _, old in have:
        there.remove(old)
    for new in ours.findall("hostdev"):
        wanted = host_device(new)
        kept = next((d for told, d in have if told == wanted), None)
        there.append(copy.deepcopy(new) if kept is None else kept)
        if kept is None and "pci" in wanted:
            _spare_port(there)


def _is_agent(channel: Element) -> bool:
    target = channel.find("target")
    return target is not None and target.get("name") == _AGENT


def _disks(there: Element, ours: Element) -> None:
    have = {file: d for d in there.findall("disk") if (file := source_of(d)) and not is_seed(d)}
    for disk in ours.findall("disk"):
        file = source_of(disk)
        if file is None or is_seed(disk):
            continue
        old = have.pop(file, None)
        if old is None:
            there.append(copy.deepcopy(disk))
            _spare_port(there)
        else:
            _change_disk(old, disk)
    for gone in have.values():
        there.remove(gone)
    if any(_bus(d) == "scsi" for d in there.findall("disk")) and not any(
        c.get("type") == "scsi" for c in there.findall("controller")
    ):
        there.extend(copy.deepcopy([c for c in ours.findall("controller") if c.get("type") == "scsi"]))


def _bus(disk: Element) -> str:
    target = disk.find("target")
    return target.get("bus", "") if target is not None else ""


def _change_disk(old: Element, new: Element) -> None:
    if _bus(old) != _bus(new) or old.get("device", "disk") != new.get("device", "disk"):
        for tag in ("target", "address"):
            _replace(old, new, tag)
        old.set("device", new.get("device", "disk"))
    driver, wanted = old.find("driver"), new.find("driver")
    if driver is not None and wanted is not None:
        for name in ("type", "cache", "discard"):
            value = wanted.get(name)
            if value is None:
                driver.attrib.pop(name, None)
            else:
                driver.set(name, value)
    for tag in ("iotune", "serial", "readonly", "boot"):
        _replace(old, new, tag)


def _interfaces(there: Element, ours: Element) -> None:
    have = {mac_of(n): n for n in there.findall("interface")}
    for nic in ours.findall("interface"):
        old = have.pop(mac_of(nic), None)
        if old is None:
            there.append(copy.deepcopy(nic))
            _spare_port(there)
            continue
        change_interface(old, nic)
    for gone in have.values():
        there.remove(gone)


def change_interface(old: Element, new: Element) -> None:
    """Give an interface the connection, the model and the link of another one. It keeps its place in the machine."""
    source, wanted = old.find("source"), new.find("source")
    keys = ("network", "bridge", "dev", "mode")
    same = source is not None and wanted is not None and all(source.get(k) == wanted.get(k) for k in keys)
    if old.get("type") != new.get("type") or not same:
        old.set("type", new.get("type", "network"))
        _replace(old, new, "source")
    for tag in ("model", "mtu", "link"):
        _replace(old, new, tag)


def _spare_port(there: Element) -> None:
    """A further free port for each device that takes one, where there are such ports."""
    if any(c.get("model") == "pcie-root-port" for c in there.findall("controller")):
        add(there, "controller", type="pci", model="pcie-root-port")
