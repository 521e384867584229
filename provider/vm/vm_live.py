"""Changing a VM while it runs."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hythe.diagnostic import error
from hythe.provider.protocol import Attributes, ProviderError
from hythe.provider.vm.client import Hypervisor, LibvirtError
from hythe.provider.vm.client_monitor import can_add_processor
from hythe.provider.vm.domain_edit import change_interface
from hythe.provider.vm.domain_read import holds, host_device, is_seed, mac_of, source_of
from hythe.provider.vm.domain_xml import DiskPlace, Machine, Nic, disk_xml, host_device_xml, nic_xml
from hythe.provider.vm.vm_read import balloon_works, look
from hythe.provider.vm.xml import Element, add, render

_LIVE, _GUEST = 1, 8
_TIMED_OUT = 68
_SECONDS = 30.0
_PAUSE = 0.2
_BALLOON_SECONDS = 20.0
_LINK_SECONDS = 0.5
_AGAIN = 5.0


class Live:
    """A running VM. Its calls raise LibvirtError and ProviderError."""

    def __init__(self, hypervisor: Hypervisor, uuid: str, what: str, check: Callable[[], None]) -> None:
        self.hypervisor, self.uuid, self.what, self.check = hypervisor, uuid, what, check

    def change(self, machine: Machine, changed: set[str]) -> None:
        """Bring what runs up to what it shall be, as far as that goes without a restart."""
        desired: Attributes = machine.attributes
        if changed & {"memory", "max_memory"}:
            self._memory(desired["memory"])
        if changed & {"cpus", "max_cpus"}:
            self._processors(machine)
        if "disk" in changed:
            self._disks(machine.disks)
        if "interface" in changed:
            self._nics(machine.nics)
        if "hostdev" in changed:
            self._usb_devices([d for d in desired.get("hostdev") or () if d.get("usb")])

    def _memory(self, size: int) -> None:
        """The guest gives back, or takes, page by page: what is read too early would be recorded."""
        self._call(lambda d: d.setMemoryFlags(size >> 10, _LIVE))
        end = time.monotonic() + _BALLOON_SECONDS
        while time.monotonic() < end:
            seen = look(self.hypervisor, uuid=self.uuid)
            if seen is None or seen.live is None or holds(seen.live, size):
                return
            if not balloon_works(self.hypervisor, seen):
                return
            self.check()
            time.sleep(_PAUSE)

    def _processors(self, machine: Machine) -> None:
        count: int = machine.attributes["cpus"]
        most: int = machine.attributes.get("max_cpus") or count
        now = self._count()
        if now == count:
            return
        while machine.accelerator == "tcg" and now < count:
            if not can_add_processor(self.hypervisor, self.uuid, now, most):
                raise ProviderError(
                    error(
                        "Processor cannot be added at this moment",
                        f"{self.what}: QEMU's cache of emulated code is full, and it would abort. Apply again after "
                        "the guest has done some more work, or restart the guest.",
                    )
                )
            now += 1
            self._set_count(now)
        self._set_count(count)
        try:
            # most guests bring a new one up by themselves; the agent sees to it in those that do not
            self._call(lambda d: d.setVcpusFlags(count, _GUEST))
        except LibvirtError:
            return

    def _set_count(self, count: int) -> None:
        try:
            self._call(lambda d: d.setVcpusFlags(count, _LIVE))
        except LibvirtError as failure:
            if failure.code != _TIMED_OUT:
                raise
            end = time.monotonic() + _SECONDS
            while self._count() != count:
                if time.monotonic() > end:
                    raise
                self.check()
                time.sleep(_PAUSE)

    def _count(self) -> int:
        return int(self._call(lambda d: d.vcpusFlags(_LIVE)))

    # -- disks ----------------------------------------------------------------------------------

    def _disks(self, disks: Sequence[DiskPlace]) -> None:
        there = {file: d for d in self._devices("disk") if (file := source_of(d)) and not is_seed(d)}
        wanted = {d.file for d in disks}
        for file, device in there.items():
            if file not in wanted:
                self._detach(device, lambda d: source_of(d) or "", f"disk {file}")
        for disk in disks:
            if disk.file not in there:
                self._attach(disk_xml(disk))
                continue
            limits = {
                "total_iops_sec": disk.block.get("iops") or 0,
                "total_bytes_sec": disk.block.get("bandwidth") or 0,
            }
            if limits != _limits(there[disk.file]):
                self._limit(disk.target, limits)

    def _limit(self, target: str, limits: Mapping[str, int]) -> None:
        self._call(lambda d: d.setBlockIoTune(target, dict(limits), _LIVE))

    # -- interfaces -----------------------------------------------------------------------------

    def _nics(self, nics: Sequence[Nic]) -> None:
        there = {mac_of(n): n for n in self._devices("interface")}
        wanted = {n.mac for n in nics}
        for mac, device in there.items():
            if mac not in wanted:
                self._detach(device, mac_of, f"interface {mac}")
        for nic in nics:
            old, new = there.get(nic.mac), nic_xml(nic)
            if old is None:
                self._attach(new)
            elif _connection(old) != _connection(new):
                self._reconnect(old, new)
            elif _link(old) != _link(new):
                self._update(_with_link(old, _link(new)))

    def _reconnect(self, old: Element, new: Element) -> None:
        """Put an interface on another network. The guest sees the cable go and come, and asks for an address anew."""
        if old.get("type") != new.get("type") or old.get("type") not in ("network", "bridge"):
            self._detach(old, mac_of, f"interface {mac_of(old)}")
            self._attach(new)
            return
        self._update(_with_link(old, "down"))
        moved = copy.deepcopy(old)
        change_interface(moved, new)
        moved = _with_link(moved, "down")
        self._update(moved)
        time.sleep(_LINK_SECONDS)
        if _link(new) == "up":
            self._update(_with_link(moved, "up"))

    def plug_in_again(self, nic: Nic, bridge: str) -> None:
        """Connect an interface to a network that was made anew under its old name, with this ``bridge``."""
        old = next((d for d in self._devices("interface") if mac_of(d) == nic.mac), None)
        if old is None:
            return
        source = old.find("source")
        if source is not None and source.get("bridge") != bridge:
            self._reconnect(old, nic_xml(nic))
            return
        # libvirt sees no difference, and the guest has to let go of it once
        self._detach(old, mac_of, f"interface {nic.mac}")
        self._attach(nic_xml(nic))

    # -- USB devices of the host ----------------------------------------------------------------

    def _usb_devices(self, wanted: Sequence[Mapping[str, Any]]) -> None:
        there = {name: d for d in self._devices("hostdev") if (name := _usb(d))}
        names = {str(d["usb"]) for d in wanted}
        for name, device in there.items():
            if name not in names:
                self._detach(device, _usb, f"USB device {name}")
        for block in wanted:
            if block["usb"] not in there:
                self._attach(host_device_xml(block))

    # -- devices --------------------------------------------------------------------------------

    def _devices(self, tag: str) -> list[Element]:
        seen = look(self.hypervisor, uuid=self.uuid)
        return seen.live.findall(f"devices/{tag}") if seen is not None and seen.live is not None else []

    def _attach(self, device: Element) -> None:
        text = render(device)
        self._call(lambda d: d.attachDeviceFlags(text, _LIVE))

    def _update(self, device: Element) -> None:
        text = render(device)
        self._call(lambda d: d.updateDeviceFlags(text, _LIVE))

    def _detach(self, device: Element, key: Callable[[Element], str], words: str) -> None:
        """Take a device off, and wait until the guest has let go of it; one that is booting is asked again."""
        text, tag, name = render(device), device.tag, key(device)
        end, asked = time.monotonic() + _SECONDS, 0.0
        while time.monotonic() < end:
            if name not in {key(d) for d in self._devices(tag)}:
                return
            if time.monotonic() - asked > _AGAIN:
                asked = time.monotonic()
                self._ask_for(text)
            self.check()
            time.sleep(_PAUSE)
        raise ProviderError(
            error(
                "Guest does not let go of a device",
                f"{self.what}: the guest was asked to give up {words} and has not within {_SECONDS:g} s. Unmount or "
                "close what uses it there and apply again, or shut the VM down first (`running = false`).",
            )
        )

    def _ask_for(self, text: str) -> None:
        try:
            self._call(lambda d: d.detachDeviceFlags(text, _LIVE))
        except LibvirtError as failure:
            # asked before and still at it, or gone this moment
            if not any(words in failure.message for words in ("already in the process", "not found", "no device")):
                raise

    def _call(self, function: Callable[[Any], Any]) -> Any:
        return self.hypervisor.call(lambda c: function(c.lookupByUUIDString(self.uuid)))


def _usb(device: Element) -> str:
    return str(host_device(device).get("usb") or "")


def _limits(disk: Element) -> Mapping[str, int]:
    return {n: int(disk.findtext(f"iotune/{n}") or 0) for n in ("total_iops_sec", "total_bytes_sec")}


def _connection(nic: Element) -> tuple[str | None, ...]:
    source = nic.find("source")
    names = {"network": ("network",), "bridge": ("bridge",), "direct": ("dev", "mode")}.get(nic.get("type", ""), ())
    return nic.get("type"), *(source.get(n) if source is not None else None for n in names)


def _link(nic: Element) -> str:
    link = nic.find("link")
    return link.get("state", "up") if link is not None else "up"


def _with_link(nic: Element, state: str) -> Element:
    out = copy.deepcopy(nic)
    for old in out.findall("link"):
        out.remove(old)
    add(out, "link", state=state)
    return out
