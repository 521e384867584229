"""Changing a VM: while it runs where that is possible, else by an orderly shutdown and a start with the new definition.

The definition is brought up to date over the old one, which is never removed first. What an interrupted change left
undone is seen by the next plan, as every step brings the VM nearer to what it shall be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hythe.diagnostic import error
from hythe.provider.protocol import Attributes, Context, ProviderError
from hythe.provider.schema import Effect, schema_of
from hythe.provider.units import duration_seconds
from hythe.provider.vm import pools
from hythe.provider.vm.client import Hypervisor, LibvirtError
from hythe.provider.vm.denied import explain_vm
from hythe.provider.vm.domain_edit import edited
from hythe.provider.vm.domain_xml import DiskPlace, Machine, Nic, domain_xml
from hythe.provider.vm.ready import NotReady, wait_ready
from hythe.provider.vm.vm_align import align_nics, is_owned
from hythe.provider.vm.vm_disks import base_of, make_own, root_place
from hythe.provider.vm.vm_guest_disk import grow_root
from hythe.provider.vm.vm_hints import hint
from hythe.provider.vm.vm_live import Live
from hythe.provider.vm.vm_make import Maker, take_snapshot
from hythe.provider.vm.vm_model import VmModel
from hythe.provider.vm.vm_power import resume, shut_down, start
from hythe.provider.vm.vm_read import Seen, look, observed
from hythe.provider.vm.xml import Element, render
from hythe.value import Reference

_BLOCK_BYTES = 1
_CHANGEABLE = frozenset({"memory", "cpus", "disk", "interface", "hostdev"})
"""What a running VM may have otherwise than at its next start."""
_READINESS = frozenset({"engine", "wait_for"})
_ONLY_RECORDED = frozenset({"shutdown_timeout", "timeouts", "protected", "allow_data_loss"}) | _READINESS
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
        if "consistent" in self.changed:
            self.changed |= _CHANGEABLE
        self.uuid: str = before["id"]
        self.name: str = desired["name"]
        self.what = f'Changing VM "{self.name}"'
        self.maker = Maker(context, hypervisor, desired)
        self.maker.uuid = self.uuid
        self.maker.what = self.what
        self.started = False

    def carry_out(self) -> Attributes:
        """All of it."""
        seen = self._seen()
        machine = self._machine()
        if not self.changed <= _ONLY_RECORDED:
            try:
                self._carry_out(seen, machine)
            except LibvirtError as failure:
                host = self.context.host
                told = explain_vm(host, self.hypervisor, self.uuid, machine, failure, self.what)
                raise ProviderError(told) from failure
        return self._end(machine)

    def _carry_out(self, seen: Seen, machine: Machine) -> None:
        if "hostdev" in self.changed:
            self.maker.check_devices()
        if seen.paused:
            # also before it is shut down: a paused guest hears nothing
            self._resume()
        stop = seen.running and (self._needs_restart() or not self.desired.get("running", True))
        if stop:
            self._shut_down()
        running = seen.running and not stop
        self._disks(machine, running=running)
        if running:
            self._live(machine)
        self._define(seen.config, machine)
        if self.desired.get("running", True) and not running:
            self._start(seen.config, machine, again=stop)
        self._snapshots()
        self._drop_disks(machine)

    def _seen(self) -> Seen:
        seen = look(self.hypervisor, uuid=self.uuid)
        if seen is None:
            raise ProviderError(error("VM not found", f"{self.what}: it is gone. Plan again."))
        return seen

    # -- what it shall be -----------------------------------------------------------------------

    def _machine(self) -> Machine:
        pool = pools.ensure_pool(self.hypervisor, self.before.get("pool"))
        machine = self.maker.machine(pool, self.before)
        if self.before.get("ssh") is None and machine.seed is not None:
            # imported: it has no seed of ours, and keeps what it has
            machine = replace(machine, seed=None)
        return machine

    def _needs_restart(self) -> bool:
        schema = schema_of(VmModel)
        for name in self.changed:
            said = hint((name,), self.before.get(name), self.desired.get(name), self.before, self.desired)
            if (said.effect if said is not None else schema.attributes[name].effect) is Effect.RESTART:
                return True
        return False

    def _shut_down(self) -> None:
        self.context.progress(f"shutting down VM {self.name}")
        grace = float(duration_seconds(self.desired.get("shutdown_timeout", "1m")))
        agent = bool(self.before.get("guest_agent", True))
        if not shut_down(self.hypervisor, self.uuid, grace, self.context.check, agent=agent):
            self.context.progress(f"VM {self.name} did not shut down in time, and was switched off")

    # -- disks ----------------------------------------------------------------------------------

    def _disks(self, machine: Machine, *, running: bool) -> None:
        """Make new disks of its own, and grow those that shall be larger."""
        if "disk" not in self.changed:
            return
        base = base_of(self.desired, self.hypervisor, self.context.resolve, self.what)
        make_own(self.context, self.hypervisor, self.desired, machine.disks, base)
        attached = {b.get("file") for b in self.before.get("disk") or ()}
        for disk in machine.disks:
            wanted = disk.block.get("size")
            if disk.volume is None or disk.pool is None or wanted is None:
                continue
            facts = pools.find_path(self.hypervisor, disk.file)
            if facts is not None and facts.capacity < wanted:
                live = running and (disk.file in attached or disk == root_place(machine.disks))
                self._grow(disk, wanted, live=live)
                if live and disk == root_place(machine.disks):
                    self._grow_root()

    def _grow(self, disk: DiskPlace, size: int, *, live: bool) -> None:
        self.context.progress(f"growing disk {disk.target} of VM {self.name}")
        if live:
            target = disk.target
            self.hypervisor.call(lambda c: c.lookupByUUIDString(self.uuid).blockResize(target, size, _BLOCK_BYTES))
            return
        assert disk.pool is not None
        assert disk.volume is not None
        pools.resize_volume(self.hypervisor, disk.pool, disk.volume, size, self.what)

    def _grow_root(self) -> None:
        why = grow_root(self.before)
        if why:
            self.context.progress(
                f"VM {self.name}: the disk is larger, and the guest's file system was not grown ({why}); it is at the "
                "next start"
            )

    def _drop_disks(self, machine: Machine) -> None:
        """Remove the files of own disks that are not wanted any more."""
        kept = {d.file for d in machine.disks}
        for block in self.before.get("disk") or ():
            if not is_owned(block) or block.get("file") in kept:
                continue
            facts = pools.find_path(self.hypervisor, str(block.get("file")))
            if facts is not None and f".{self.context.identity.id[:8]}." in facts.name:
                pools.delete_volume(self.hypervisor, facts.pool, facts.name, self.what)

    # -- while it runs, and the definition ------------------------------------------------------

    def _live(self, machine: Machine) -> None:
        live = Live(self.hypervisor, self.uuid, self.what, self.context.check)
        live.change(machine, self.changed)
        if "interface" in self.changed:
            for nic, bridge in self._remade(machine):
                live.plug_in_again(nic, bridge)

    def _remade(self, machine: Machine) -> list[tuple[Nic, str]]:
        """Interfaces whose network was made anew under the name that it had, and its bridge."""
        there = self.before.get("interface") or []
        out: list[tuple[Nic, str]] = []
        for at, nic in zip(align_nics(there, [n.block for n in machine.nics]), machine.nics, strict=True):
            new = nic.block.get("network")
            old = there[at] if at is not None else {}
            if not isinstance(new, Reference) or not isinstance(old.get("network"), Reference):
                continue
            if old["network"].id != new.id and old.get("network_name") == nic.network:
                out.append((nic, str(self.context.resolve(new).attributes.get("bridge"))))
        return out

    def _define(self, config: Element, machine: Machine) -> None:
        text = render(edited(config, domain_xml(machine), self.changed))
        self.hypervisor.call(lambda c: c.defineXML(text))
        if "autostart" in self.changed:
            on = 1 if self.desired.get("autostart") else 0
            self.hypervisor.call(lambda c: c.lookupByUUIDString(self.uuid).setAutostart(on))

    def _start(self, old: Element, machine: Machine, *, again: bool) -> None:
        self.context.progress(f"starting VM {self.name} ({machine.accelerator})")
        self.started = True
        try:
            start(self.hypervisor, self.uuid)
        except LibvirtError as failure:
            told = self.maker.not_started(machine, failure)
            if again and self._start_as_before(old):
                told = error(told.summary, f"{told.detail}\nIt runs again as it was before.")
            raise ProviderError(told) from failure

    def _resume(self) -> None:
        self.context.progress(f"resuming VM {self.name}, which was paused")
        self.started = True
        self.before = {**self.before, "running": True}
        resume(self.hypervisor, self.uuid)

    def _start_as_before(self, old: Element) -> bool:
        text = render(old)
        try:
            self.hypervisor.call(lambda c: c.defineXML(text))
            start(self.hypervisor, self.uuid)
        except LibvirtError:
            return False
        return True

    def _snapshots(self) -> None:
        if "snapshot" not in self.changed:
            return
        wanted = {s["name"]: s for s in self.desired.get("snapshot") or ()}
        for name, description in self._seen().snapshots:
            if name not in wanted or description != (wanted[name].get("description") or ""):
                self.context.progress(f"removing snapshot {name} of VM {self.name}")
                self.hypervisor.call(
                    lambda c, n=name: c.lookupByUUIDString(self.uuid).snapshotLookupByName(n, 0).delete(0)  # type: ignore[misc]
                )
        for snapshot in wanted.values():
            take_snapshot(self.hypervisor, self.uuid, snapshot, self.what)

    # -- the end --------------------------------------------------------------------------------

    def _end(self, machine: Machine) -> Attributes:
        known = self.maker.enriched(machine) | {"pool": self.before.get("pool"), "id": self.uuid}
        for name in ("address", "addresses", "ssh"):
            known[name] = self.before.get(name)
        if self.started and machine.seed:
            known["ssh"] = self.maker.access()
        known = {k: v for k, v in known.items() if v is not None}
        if self.desired.get("running", True) and (self.started or self.changed & _READINESS):
            # whatever is on it waits until it is ready
            try:
                wait_ready(self.hypervisor, self.context.host, known, self.context.progress, self.context.check)
            except NotReady as failure:
                raise ProviderError(*failure.diagnostics) from failure
        return observed(self.hypervisor, self._seen(), known, self.context.host)
