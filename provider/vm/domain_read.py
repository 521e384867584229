"""A VM as libvirt tells it, in the configuration's terms. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hythe.provider.protocol import Attributes
from hythe.provider.vm.domain_xml import SEED_FILE
from hythe.provider.vm.vm_align import is_owned
from hythe.provider.vm.vm_disks import bus_of, has_implied_root
from hythe.provider.vm.xml import Element

_SIMPLE_KNOWN = (
    "host",
    "uri",
    "image",
    "user_data",
    "network_config",
    "meta_data",
    "hostname",
    "user",
    "ssh_keys",
    "cloud_init",
    "shutdown_timeout",
    "engine",
    "wait_for",
    "timeouts",
    "protected",
    "allow_data_loss",
    "pool",
    "console_log",
    "ssh",
    "address",
    "addresses",
)
"""What only the state knows."""
_UNITS = {"b": 1, "bytes": 1, "KB": 1000, "k": 1024, "KiB": 1024, "MB": 10**6, "M": 1 << 20, "MiB": 1 << 20}
_UNITS |= {"GB": 10**9, "G": 1 << 30, "GiB": 1 << 30}
_TOLERANCE = 4 << 20
"""Bytes by which what a balloon holds may differ from what it was told."""


def observe(
    config: Element, live: Element | None, known: Mapping[str, Any], sizes: Mapping[str, int], *, balloon: bool = True
) -> Attributes:
    """The arguments that describe a domain. ``live`` is its XML while it runs, ``sizes`` maps its files to bytes, and
    without ``balloon`` the guest does not give memory back as it is told.

    A running VM has two definitions, the one that it runs with and the one that it starts with next. What can be
    changed while it runs is told of the first, and ``consistent`` tells whether the second is the same.
    """
    out: Attributes = {n: known[n] for n in _SIMPLE_KNOWN if known.get(n) is not None}
    out.setdefault("cloud_init", any(is_seed(d) for d in config.findall("devices/disk")))
    out.setdefault("user", "root")
    out.setdefault("shutdown_timeout", "1m")
    out.setdefault("protected", False)
    out.setdefault("allow_data_loss", False)
    out["name"], out["id"] = config.findtext("name") or "", config.findtext("uuid") or ""
    if config.findtext("description"):
        out["description"] = config.findtext("description")
    out["running"] = live is not None
    _cpu(out, config, known)
    _boot(out, config, known)
    now = _changeable(config if live is None else live, known, sizes)
    later = now if live is None else _changeable(config, known, sizes)
    if not balloon or abs(now["memory"] - later["memory"]) <= _TOLERANCE:
        now["memory"] = later["memory"]
    out |= {name: value for name, value in now.items() if value}
    out["consistent"] = now == later
    most = bytes_of(config.find("memory"))
    if known.get("max_memory") is not None or most != later["memory"]:
        out["max_memory"] = most
    told = config.findtext("vcpu")
    if known.get("max_cpus") is not None or int(told or 1) != later["cpus"]:
        out["max_cpus"] = int(told or 1)
    if "interface" in out:
        out["macs"] = [i["mac"] for i in out["interface"]]
    _extras(out, config, known)
    return out


def bytes_of(found: Element | None) -> int:
    """The size that an element tells."""
    if found is None or not found.text:
        return 0
    return int(found.text) * _UNITS.get(found.get("unit", "KiB"), 1024)


def _changeable(root: Element, known: Mapping[str, Any], sizes: Mapping[str, int]) -> Attributes:
    """What a definition says of what can be changed while a VM runs."""
    return {
        "cpus": processors(root),
        "memory": bytes_of(root.find("currentMemory")) or bytes_of(root.find("memory")),
        "disk": _disks(root, known, sizes),
        "interface": _interfaces(root, known),
        "hostdev": _host_devices(root, known),
    }


def _cpu(out: Attributes, config: Element, known: Mapping[str, Any]) -> None:
    cpu = config.find("cpu")
    block: Attributes = {}
    given = known.get("cpu") or {}
    if cpu is not None:
        model = cpu.findtext("model") or cpu.get("mode")
        if given.get("model"):
            block["model"] = model if model != "custom" else cpu.findtext("model")
        topology = cpu.find("topology")
        if topology is not None:
            for name in ("sockets", "cores", "threads"):
                if given.get(name) or int(topology.get(name, "1")) != 1:
                    block[name] = int(topology.get(name, "1"))
        features = {f.get("name", ""): f.get("policy", "") for f in cpu.findall("feature")}
        if features:
            block["features"] = features
    pins = {p.get("vcpu", ""): p.get("cpuset", "") for p in config.findall("cputune/vcpupin")}
    if pins:
        block["pin"] = pins
    if block:
        out["cpu"] = block


def processors(root: Element) -> int:
    """How many processors a definition has."""
    told = root.find("vcpu")
    return int((told.get("current") or told.text or 1) if told is not None else 1)


def holds(live: Element, size: int) -> bool:
    """Whether a running guest holds that much memory, as near as its balloon comes to it."""
    return abs(bytes_of(live.find("currentMemory")) - size) <= _TOLERANCE


def _boot(out: Attributes, config: Element, known: Mapping[str, Any]) -> None:
    system = config.find("os")
    if system is None:
        return
    told = system.find("type")
    machine = told.get("machine") if told is not None else None
    if machine:
        given = str(known.get("machine") or "")
        # libvirt tells the version of a machine type that was asked for without one
        aliases = {"q35": "pc-q35-", "pc": "pc-i440fx-", "virt": "virt-"}
        plain = next((a for a, start in aliases.items() if machine.startswith(start)), machine)
        out["machine"] = given if given in (machine, plain) else plain
    firmware = system.get("firmware")
    loader = system.find("loader")
    if firmware == "efi" or (loader is not None and loader.get("type") == "pflash"):
        out["firmware"] = "uefi"
    elif known.get("firmware") == "bios":
        # what a machine has by itself is not told
        out["firmware"] = "bios"
    for name in ("kernel", "initrd", "cmdline"):
        # those of the image are the image's
        value = system.findtext(name)
        if value and (known.get(name) is not None or known.get("image") is None):
            out[name] = value


def _disks(root: Element, known: Mapping[str, Any], sizes: Mapping[str, int]) -> list[Attributes]:
    there = {file: d for d in root.findall("devices/disk") if (file := source_of(d)) and not is_seed(d)}
    found: list[Attributes] = []
    for block in known.get("disk") or ():
        disk = there.pop(str(block.get("file")), None)
        if disk is not None:
            found.append(_disk(disk, block, sizes))
    if has_implied_root(known):
        # the root disk that the image brings is not written down
        own = next((f for f in there if f"/{root.findtext('name')}." in f), None)
        there.pop(own or "", None)
    return found + [_disk(disk, {}, sizes) for _, disk in sorted(there.items())]


def source_of(disk: Element) -> str | None:
    """The file or device of a disk."""
    source = disk.find("source")
    return None if source is None else source.get("file") or source.get("dev")


def is_seed(disk: Element) -> bool:
    """Whether that is the seed of cloud-init."""
    return (source_of(disk) or "").endswith(SEED_FILE)


def _disk(disk: Element, known: Mapping[str, Any], sizes: Mapping[str, int]) -> Attributes:
    file, target, driver = source_of(disk) or "", disk.find("target"), disk.find("driver")
    device = disk.get("device", "disk")
    out: Attributes = {"device": device, "file": file}
    if target is not None:
        out["target"] = target.get("dev")
        bus = target.get("bus")
        if known.get("bus") or bus != bus_of({"device": device}):
            out["bus"] = bus
    for name in ("volume", "path", "format"):
        if known.get(name) is not None:
            out[name] = known[name]
    if not known:
        out["path"] = file
        if driver is not None and driver.get("type", "raw") != "raw":
            out["format"] = driver.get("type")
    if is_owned(known) and known:
        size = sizes.get(file)
        if size is not None and (known.get("size") is not None):
            out["size"] = size
    for name in ("cache", "discard"):
        value = driver.get(name) if driver is not None else None
        if value:
            out[name] = value
    out["readonly"] = disk.find("readonly") is not None and device != "cdrom"
    if known.get("readonly"):
        out["readonly"] = disk.find("readonly") is not None
    if disk.findtext("serial"):
        out["serial"] = disk.findtext("serial")
    for name, tag in (("iops", "total_iops_sec"), ("bandwidth", "total_bytes_sec")):
        value = disk.findtext(f"iotune/{tag}")
        if value and value != "0":
            out[name] = int(value)
    return out


def _interfaces(root: Element, known: Mapping[str, Any]) -> list[Attributes]:
    there = {mac_of(i): i for i in root.findall("devices/interface")}
    found: list[Attributes] = []
    for block in known.get("interface") or ():
        nic = there.pop(str(block.get("mac")), None)
        if nic is not None:
            found.append(_interface(nic, block))
    return found + [_interface(nic, {}) for _, nic in sorted(there.items())]


def mac_of(nic: Element) -> str:
    """The MAC address of an interface."""
    mac = nic.find("mac")
    return mac.get("address", "") if mac is not None else ""


def _interface(nic: Element, known: Mapping[str, Any]) -> Attributes:
    source, model, mtu, link = (nic.find(t) for t in ("source", "model", "mtu", "link"))
    out: Attributes = {"mac": mac_of(nic)}
    kind = nic.get("type")
    name = source.get("network") if source is not None else None
    if name is not None:
        # while it runs, one on a network of bridges is told to be of type bridge
        reference = known.get("network")
        out["network"] = reference if reference is not None and known.get("network_name") == name else name
        out["network_name"] = name
    elif kind == "bridge" and source is not None:
        out["bridge"] = source.get("bridge")
    elif kind == "direct" and source is not None:
        out["direct"] = source.get("dev")
        if known.get("direct_mode") or source.get("mode", "bridge") != "bridge":
            out["direct_mode"] = source.get("mode")
    elif kind == "user":
        out["user"] = True
    out["model"] = (model.get("type") if model is not None else None) or "virtio"
    if mtu is not None and known.get("mtu"):
        out["mtu"] = int(mtu.get("size", "0"))
    out["link"] = link.get("state", "up") if link is not None else "up"
    return out


def _extras(out: Attributes, config: Element, known: Mapping[str, Any]) -> None:
    kind = config.get("type")
    out["accelerated_by"] = "kvm" if kind == "kvm" else "tcg"
    wanted = known.get("accelerator", "auto")
    out["accelerator"] = wanted if wanted in ("auto", out["accelerated_by"]) else out["accelerated_by"]
    if config.get("type") == "test":
        out["accelerator"] = wanted
    channels = config.findall("devices/channel/target")
    agent = any(t.get("name") == "org.qemu.guest_agent.0" for t in channels)
    rng = config.find("devices/rng") is not None
    if kind == "test":
        agent, rng = known.get("guest_agent", True), known.get("rng", True)
    out["guest_agent"], out["rng"] = agent, rng
    graphics = config.find("devices/graphics")
    if graphics is not None:
        made: Attributes = {"type": graphics.get("type"), "listen": graphics.get("listen") or "127.0.0.1"}
        if graphics.get("autoport") != "yes":
            made["port"] = int(graphics.get("port", "0"))
        password = (known.get("graphics") or {}).get("password")
        if graphics.get("passwd") or password:
            # only asked for with the right to see secrets
            made["password"] = graphics.get("passwd") or password
        out["graphics"] = made
    folders = [_filesystem(f) for f in config.findall("devices/filesystem")]
    if folders:
        out["filesystem"] = folders
    # a q35 machine has one from libvirt 9.9 on, whether asked for or not
    watchdog = config.find("devices/watchdog")
    if watchdog is not None and (watchdog.get("model") != "itco" or known.get("watchdog")):
        out["watchdog"] = {"model": watchdog.get("model"), "action": watchdog.get("action") or "reset"}


def _filesystem(folder: Element) -> Attributes:
    source, target, driver = (folder.find(t) for t in ("source", "target", "driver"))
    return {
        "source": source.get("dir", "") if source is not None else "",
        "target": target.get("dir", "") if target is not None else "",
        "driver": "virtiofs" if driver is not None and driver.get("type") == "virtiofs" else "9p",
        "readonly": folder.find("readonly") is not None,
    }


def _host_devices(root: Element, known: Mapping[str, Any]) -> list[Attributes]:
    """Those that are known in the order in which they are, as one that is plugged in comes last on the hypervisor."""
    there = [host_device(d) for d in root.findall("devices/hostdev")]
    order = [{n: v for n, v in d.items() if v is not None} for d in known.get("hostdev") or ()]
    return sorted(there, key=lambda d: order.index(d) if d in order else len(order))


def host_device(device: Element) -> Attributes:
    """The argument that stands for a device of the host."""
    if device.get("type") == "usb":
        vendor, product = device.find("source/vendor"), device.find("source/product")
        first, second = (e.get("id", "")[2:] if e is not None else "" for e in (vendor, product))
        return {"usb": f"{first}:{second}"}
    place = device.find("source/address")
    if place is None:
        return {}
    numbers = {n: int(place.get(n, "0"), 16) for n in ("domain", "bus", "slot", "function")}
    return {"pci": "{domain:04x}:{bus:02x}:{slot:02x}.{function:x}".format(**numbers)}
