"""Changing a VM: while it runs where that is possible, else by an orderly shutdown and a start with the new definition.

The definition is always brought up to date by defining it anew over the old one, never by removing that first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hythe.diagnostic import error
from hythe.provider.protocol import Attributes, Context, ProviderError
from hythe.provider.schema import Effect
from hythe.provider.units import duration_seconds
from hythe.provider.vm import pools
from hythe.provider.vm.client import Hypervisor, LibvirtError, refused
from hythe.provider.vm.domain_xml import DiskPlace, Machine, Nic, disk_xml, domain_xml, nic_xml
from hythe.provider.vm.ready import NotReady, wait_ready
from hythe.provider.vm.vm_disks import base_of, is_owned, make_own
from hythe.provider.vm.vm_hints import hint
from hythe.provider.vm.vm_make import Maker, take_snapshot, with_log
from hythe.provider.vm.vm_power import is_running, shut_down, start
from hythe.provider.vm.vm_read import look, observed
from hythe.provider.vm.xml import render

_LIVE, _CONFIG = 1, 2
_BLOCK_BYTES = 1
_ONLY_RECORDED = frozenset(
    {
        "shutdown_timeout",
        "engine",
        "wait_for",
        "timeouts",
        "protected",
        "allow_data_loss",
    }
)
"""Arguments that the hypervisor knows nothing of."""


def change(
    context: Context, hypervisor: Hypervisor, before: Attributes, desired: Attributes, changed: Sequence[str]
) -> Attributes:
    """Make a VM what it shall be. Raises ProviderError."""
    return _Change(context, hypervisor, before, desired, changed).carry_out()


class _Change:
    def __init__(
        self,
        context: Context,
        hypervisor: Hypervisor,
        before: Attributes,
        desired: Attributes,
        changed: Sequence[str],
    ) -> None:
        self.context, self.hypervisor = context, hypervisor
        self.before, self.desired, self.changed = before, desired, set(changed)
        self.uuid: str = before["id"]
        self.what = f'Changing VM "{desired["name"]}"'
        self.maker = Maker(context, hypervisor, desired)
        self.maker.uuid = self.uuid
        self.maker.what = self.what

    def carry_out(self) -> Attributes:
        """All of it."""
        if look(self.hypervisor, uuid=self.uuid) is None:
            raise ProviderError(error("VM not found", f"{self.what}: it is gone. Plan again."))
        if self.changed <= _ONLY_RECORDED:
            return self._end(self._machine())
        machine = self._machine()
        running = is_running(self.hypervisor, self.uuid)
        try:
            if running and (self._needs_restart() or not self.desired.get("running", True)):
                self._shut_down()
                running = False
            self._disks(machine)
            if running:
                self._live(machine)
            self._define(machine)
            self._after(machine)
        except LibvirtError as failure:
            raise refused(failure, self.what) from failure
        self._drop_disks(machine)
        return self._end(machine)

    # -- what it shall be -----------------------------------------------------------------------

    def _machine(self) -> Machine:
        pool = pools.ensure_pool(self.hypervisor, self.before.get("pool"))
        taken = {str(d["file"]): str(d["target"]) for d in self.before.get("disk") or () if d.get("file")}
        machine = self.maker.machine(pool, taken)
        if self.before.get("ssh") is None and machine.seed is not None:
            # imported: it has no seed of ours, and keeps what it has
            from dataclasses import replace

            machine = replace(machine, seed=None)
        return machine

    def _needs_restart(self) -> bool:
        schema = _schema()
        for name in self.changed:
            spec = schema.attributes[name]
            said = hint((name,), self.before.get(name), self.desired.get(name), self.before, self.desired)
            if (said.effect if said is not None else spec.effect) is Effect.RESTART:
                return True
        return False

    def _shut_down(self) -> None:
        self.context.progress(f"shutting down VM {self.desired['name']}")
        grace = float(duration_seconds(self.desired.get("shutdown_timeout", "1m")))
        agent = bool(self.before.get("guest_agent", True))
        if not shut_down(self.hypervisor, self.uuid, grace, self.context.check, agent=agent):
            self.context.progress(f"VM {self.desired['name']} did not shut down in time, and was switched off")

    # -- disks ----------------------------------------------------------------------------------

    def _disks(self, machine: Machine) -> None:
        """Make new disks of its own, and grow those that shall be larger."""
        base = base_of(self.desired, self.hypervisor, self.context.resolve, self.what)
        make_own(self.context, self.hypervisor, self.desired, machine.disks, base)
        sizes = {d.get("file"): d.get("size") for d in self.before.get("disk") or ()}
        running = is_running(self.hypervisor, self.uuid)
        for disk in machine.disks:
            wanted, had = disk.block.get("size"), sizes.get(disk.file)
            if disk.volume is None or wanted is None or disk.file not in sizes or (had is not None and wanted <= had):
                continue
            self.context.progress(f"growing disk {disk.target} of VM {self.desired['name']}")
            if running:
                self._domain(lambda d, t=disk.target, n=wanted: d.blockResize(t, n, _BLOCK_BYTES))
            else:
                assert disk.pool is not None
                pools.resize_volume(self.hypervisor, disk.pool, disk.volume, wanted, self.what)

    def _drop_disks(self, machine: Machine) -> None:
        """Remove the files of own disks that are not wanted any more."""
        kept = {d.file for d in machine.disks}
        for block in self.before.get("disk") or ():
            if not is_owned(block) or block.get("file") in kept:
                continue
            facts = pools.find_path(self.hypervisor, str(block.get("file")))
            if facts is not None and f".{self.context.identity.id[:8]}." in facts.name:
                pools.delete_volume(self.hypervisor, facts.pool, facts.name, self.what)

    # -- while it runs --------------------------------------------------------------------------

    def _live(self, machine: Machine) -> None:
        desired = self.desired
        if "memory" in self.changed:
            self._domain(lambda d: d.setMemoryFlags(desired["memory"] >> 10, _LIVE))
        if "cpus" in self.changed:
            self._domain(lambda d: d.setVcpusFlags(desired["cpus"], _LIVE))
        if "disk" in self.changed:
            self._live_disks(machine.disks)
        if "interface" in self.changed:
            self._live_nics(machine.nics)

    def _live_disks(self, disks: Sequence[DiskPlace]) -> None:
        seen = look(self.hypervisor, uuid=self.uuid)
        assert seen is not None
        there = {
            b["file"]: b for b in observed(self.hypervisor, seen, self.before, self.context.host).get("disk") or ()
        }
        for file, block in there.items():
            if file not in {d.file for d in disks}:
                gone = DiskPlace(block, file, "raw", block["target"], block.get("bus") or "virtio")
                self._detach(disk_xml(gone))
        for disk in disks:
            if disk.file not in there and self.desired.get("disk"):
                text = render(disk_xml(disk))
                self._domain(lambda d, t=text: d.attachDeviceFlags(t, _LIVE))
                continue
            was = there.get(disk.file) or {}
            if any(was.get(n) != disk.block.get(n) for n in ("iops", "bandwidth")):
                limits = {
                    "total_iops_sec": disk.block.get("iops") or 0,
                    "total_bytes_sec": disk.block.get("bandwidth") or 0,
                }
                self._domain(lambda d, t=disk.target, n=limits: d.setBlockIoTune(t, n, _LIVE))

    def _live_nics(self, nics: Sequence[Nic]) -> None:
        seen = look(self.hypervisor, uuid=self.uuid)
        assert seen is not None
        state = observed(self.hypervisor, seen, self.before, self.context.host)
        there = {b["mac"]: b for b in state.get("interface") or ()}
        for mac, block in there.items():
            if mac not in {n.mac for n in nics}:
                self._detach(nic_xml(Nic(block, mac, block.get("network_name"))))
        for nic in nics:
            was, text = there.get(nic.mac), render(nic_xml(nic))
            if was is None:
                self._domain(lambda d, t=text: d.attachDeviceFlags(t, _LIVE))
            elif was.get("network") != nic.block.get("network") or _elsewhere(was, nic):
                # its network was made anew: the cable has to be plugged in again
                self._detach(nic_xml(Nic(was, nic.mac, was.get("network_name") or nic.network)))
                self._domain(lambda d, t=text: d.attachDeviceFlags(t, _LIVE))
            elif was.get("link") != nic.block.get("link", "up"):
                self._domain(lambda d, t=text: d.updateDeviceFlags(t, _LIVE))

    def _detach(self, device: Any) -> None:
        """Take a device off, and wait until the guest has let go of it."""
        import time

        text = render(device)
        key = _device_key(device)
        self._domain(lambda d: d.detachDeviceFlags(text, _LIVE))
        end = time.monotonic() + 30
        while time.monotonic() < end:
            seen = look(self.hypervisor, uuid=self.uuid)
            if seen is None or seen.live is None or key not in {_device_key(e) for e in seen.live.iter(device.tag)}:
                return
            self.context.check()
            time.sleep(0.2)
        raise ProviderError(
            error(
                "Guest does not let go of a device",
                f"{self.what}: the guest was asked to give up {key} and has not. Unmount or close what uses it "
                "there, and apply again; or restart the VM.",
            )
        )

    # -- the definition -------------------------------------------------------------------------

    def _define(self, machine: Machine) -> None:
        text = render(domain_xml(machine))
        self.hypervisor.call(lambda c: c.defineXML(text))
        self._domain(lambda d: d.setAutostart(1 if self.desired.get("autostart") else 0))
        if self.desired.get("running", True) and not is_running(self.hypervisor, self.uuid):
            self.context.progress(f"starting VM {self.desired['name']} ({machine.accelerator})")
            try:
                start(self.hypervisor, self.uuid)
            except LibvirtError as failure:
                raise ProviderError(with_log(self.context.host, self.desired["name"], failure, self.what)) from failure

    def _after(self, machine: Machine) -> None:
        if "snapshot" not in self.changed:
            return
        seen = look(self.hypervisor, uuid=self.uuid)
        wanted = {s["name"]: s for s in self.desired.get("snapshot") or ()}
        for name, _ in seen.snapshots if seen is not None else ():
            if name not in wanted:
                self._domain(lambda d, n=name: d.snapshotLookupByName(n, 0).delete(0))
        for snapshot in wanted.values():
            take_snapshot(self.hypervisor, self.uuid, snapshot, self.what)

    def _end(self, machine: Machine) -> Attributes:
        known = self.maker.enriched(machine) | {"pool": self.before.get("pool")}
        known["id"] = self.uuid
        for name in ("address", "addresses", "ssh"):
            if self.before.get(name) is not None:
                known.setdefault(name, self.before[name])
        if self.before.get("ssh"):
            known["ssh"] = self.before["ssh"]
        known = {k: v for k, v in known.items() if v is not None}
        if self.desired.get("running", True):
            # what was just started is to be ready before anything that is on it is done
            try:
                wait_ready(self.hypervisor, self.context.host, known, self.context.progress, self.context.check)
            except NotReady as failure:
                raise ProviderError(*failure.diagnostics) from failure
        seen = look(self.hypervisor, uuid=self.uuid)
        if seen is None:
            raise ProviderError(error("VM vanished", f"{self.what}: it is gone. Plan again."))
        return observed(self.hypervisor, seen, known, self.context.host)

    def _domain(self, function: Any) -> Any:
        return self.hypervisor.call(lambda c: function(c.lookupByUUIDString(self.uuid)))


def _elsewhere(was: Attributes, nic: Nic) -> bool:
    return any(was.get(n) != nic.block.get(n) for n in ("bridge", "direct", "user"))


def _device_key(device: Any) -> str:
    mac, target = device.find("mac"), device.find("target")
    if device.tag == "interface" and mac is not None:
        return str(mac.get("address"))
    return str(target.get("dev")) if target is not None else ""


def _schema() -> Any:
    from hythe.provider.schema import schema_of
    from hythe.provider.vm.vm_model import VmModel

    return schema_of(VmModel)
