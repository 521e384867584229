"""Making a VM: disks, seed, definition, start, and waiting until it is ready."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hythe.diagnostic import Diagnostic, error
from hythe.provider.protocol import Attributes, Context, Host, ProviderError
from hythe.provider.vm import keys, pools
from hythe.provider.vm.accelerator import accelerator, architecture_of
from hythe.provider.vm.client import Hypervisor, LibvirtError, refused
from hythe.provider.vm.denied import explain_vm
from hythe.provider.vm.domain_xml import SEED_FILE, Machine, Nic, domain_xml
from hythe.provider.vm.marks import mac_of, uuid_of
from hythe.provider.vm.pci import check_pci
from hythe.provider.vm.ready import NotReady, wait_ready
from hythe.provider.vm.seed import SeedSpec, make_seed
from hythe.provider.vm.vm_align import align_nics
from hythe.provider.vm.vm_disks import base_of, make_own, own_volumes, places, volume_name
from hythe.provider.vm.vm_power import start, undefine
from hythe.provider.vm.vm_read import look, observed
from hythe.provider.vm.volume_upload import upload
from hythe.provider.vm.xml import render
from hythe.value import Reference

_LOGS = "/var/log/libvirt/qemu"
_LOG_LINES, _SHOWN = 200, 5


class Maker:
    """What one VM is made of, put together from its arguments."""

    def __init__(self, context: Context, hypervisor: Hypervisor, desired: Attributes) -> None:
        self.context, self.hypervisor, self.desired = context, hypervisor, desired
        self.name: str = desired["name"]
        self.what = f'Creating VM "{self.name}"'
        self.uuid = uuid_of(context.identity)

    # -- the whole ------------------------------------------------------------------------------

    def make(self) -> Attributes:
        """Everything. Raises ProviderError; with ``partial`` when there is a VM that did not become ready."""
        self.check_devices()
        pool = pools.ensure_pool(self.hypervisor, None)
        machine = self.machine(pool)
        self.context.progress(f"making disks of VM {self.name}")
        try:
            if not self.hypervisor.is_test:
                base = base_of(self.desired, self.hypervisor, self.context.resolve, self.what)
                make_own(self.context, self.hypervisor, self.desired, machine.disks, base)
                if machine.seed:
                    self._seed(pool, [n.mac for n in machine.nics])
            self._define(machine)
        except ProviderError:
            self._discard(pool)
            raise
        attributes = self._attributes(machine, pool)
        if not self.desired.get("running", True):
            return self._read(attributes)
        return self._until_ready(attributes)

    def check_devices(self) -> None:
        """Nothing, where the devices of the host can be handed over or are not now. Raises ProviderError."""
        if self.desired.get("running", True):
            told = check_pci(self.hypervisor, self.desired.get("hostdev") or (), self.what)
            if told:
                raise ProviderError(*told)

    def machine(self, pool: pools.PoolInfo, before: Attributes | None = None) -> Machine:
        """What the domain is made of. ``before`` is what it is now, when there is one."""
        desired, hypervisor = self.desired, self.hypervisor
        base = base_of(desired, hypervisor, self.context.resolve, self.what)
        kernel = desired.get("kernel") or (base.kernel if base else None)
        own_kernel = desired.get("kernel") is not None
        seed = self._seed_name() if desired.get("cloud_init", True) and desired.get("image") is not None else None
        return Machine(
            self.context.identity,
            desired,
            architecture_of(hypervisor.capabilities()),
            accelerator(self.context.host, hypervisor, desired.get("accelerator", "auto")),
            places(desired, self.context.identity, pool, self.context.resolve, (before or {}).get("disk") or ()),
            self.nics((before or {}).get("interface") or ()),
            kernel,
            desired.get("initrd") or (base.initrd if base and not own_kernel else None) if kernel else None,
            desired.get("cmdline") or (base.cmdline if base and not own_kernel else None) if kernel else None,
            f"{pool.path}/{seed}" if seed else None,
            self.console_log(),
            hypervisor.is_test,
        )

    def nics(self, there: Sequence[Mapping[str, Any]] = ()) -> list[Nic]:
        """Its interfaces, with the names of the networks that they are on. Those that are ``there`` keep their MAC."""
        blocks = self.desired.get("interface") or ()
        identity = self.context.identity
        had = [there[at]["mac"] if at is not None else None for at in align_nics(there, blocks)]
        used = {*(n["mac"] for n in there), *(b["mac"] for b in blocks if b.get("mac"))}
        fresh = (m for n in itertools.count() if (m := mac_of(identity.lineage, identity.address, n)) not in used)
        out: list[Nic] = []
        for block, old in zip(blocks, had, strict=True):
            out.append(Nic(block, block.get("mac") or old or next(fresh), self._network(block.get("network"))))
        return out

    def _network(self, network: Any) -> str | None:
        if not isinstance(network, Reference):
            return None if network is None else str(network)
        told = self.context.resolve(network).attributes
        if told.get("mode") not in ("nat", "routed", "isolated") and told.get("host_bridge") is None:
            raise ProviderError(
                error(
                    "Network of another sort",
                    f"{self.what}: {network.address} is a network of the container engine, which no VM can join. "
                    'Give it mode = "nat", "routed" or "isolated": containers can join that too.',
                )
            )
        return str(told["name"])

    def console_log(self) -> str | None:
        """Where its serial console is logged, on the hypervisor's machine."""
        if not self.hypervisor.uri.endswith("/system") or self.hypervisor.is_test:
            return None
        return f"{_LOGS}/{self.name}-serial.log"

    # -- steps ----------------------------------------------------------------------------------

    def _seed_name(self) -> str:
        return volume_name(self.name, self.context.identity, SEED_FILE)

    def _seed(self, pool: pools.PoolInfo, macs: list[str]) -> None:
        desired, name = self.desired, self._seed_name()
        login = keys.state_key(self.context.project, self.context.identity.lineage)
        host = keys.host_key(self.context.project, self.context.identity.id)
        spec = SeedSpec(
            self.context.identity.id,
            desired.get("hostname") or self.name,
            desired.get("user_data"),
            desired.get("network_config"),
            desired.get("meta_data") or {},
            [login.public, *(desired.get("ssh_keys") or ())],
            host.private,
            host.public,
            desired.get("user", "root"),
            macs,
        )
        image = make_seed(spec)
        pools.delete_volume(self.hypervisor, pool.name, name, self.what)
        pools.create_volume(self.hypervisor, pool.name, name, capacity=len(image), format="raw", what=self.what)
        upload(self.hypervisor, pool.name, name, image, self.what)

    def _define(self, machine: Machine) -> None:
        text = render(domain_xml(machine))
        try:
            self.hypervisor.call(lambda c: c.defineXML(text))
            self.hypervisor.call(
                lambda c: c.lookupByUUIDString(self.uuid).setAutostart(1 if self.desired.get("autostart") else 0)
            )
            if self.desired.get("running", True):
                self.context.progress(f"starting VM {self.name} ({machine.accelerator})")
                start(self.hypervisor, self.uuid)
        except LibvirtError as failure:
            raise ProviderError(self.not_started(machine, failure)) from failure
        for snapshot in self.desired.get("snapshot") or ():
            take_snapshot(self.hypervisor, self.uuid, snapshot, self.what)

    def not_started(self, machine: Machine, failure: LibvirtError) -> Diagnostic:
        """Why it did not start, with the last words of QEMU where it got as far as running."""
        host, what = self.context.host, f'{self.what}, stage "boot"'
        return with_log(host, self.name, failure, explain_vm(host, self.hypervisor, self.uuid, machine, failure, what))

    def _discard(self, pool: pools.PoolInfo) -> None:
        try:
            there = look(self.hypervisor, uuid=self.uuid)
            if there is not None:
                undefine(self.hypervisor, self.uuid)
            for volume in own_volumes(self.hypervisor, self.context.identity):
                pools.delete_volume(self.hypervisor, volume.pool, volume.name, self.what)
        except LibvirtError as failure:
            raise refused(failure, self.what) from failure
        pools.release_pool(self.hypervisor, pool.name)
        keys.forget(self.context.project, self.context.identity.id)

    def _attributes(self, machine: Machine, pool: pools.PoolInfo) -> Attributes:
        return self.enriched(machine) | {"pool": pool.name}

    def enriched(self, machine: Machine) -> Attributes:
        """The arguments with what making the VM decided."""
        out = dict(self.desired)
        if out.get("disk"):
            # a root disk that is not written down comes first
            placed = machine.disks[len(machine.disks) - len(out["disk"]) :]
            out["disk"] = [
                {**block, "file": place.file, "target": place.target}
                for block, place in zip(out["disk"], placed, strict=True)
            ]
        if out.get("interface"):
            out["interface"] = [
                {**nic.block, "mac": nic.mac, **({"network_name": nic.network} if nic.network else {})}
                for nic in machine.nics
            ]
        out["id"] = self.uuid
        out["accelerated_by"] = machine.accelerator
        if machine.console_log:
            out["console_log"] = machine.console_log
        if machine.seed:
            out["ssh"] = self.access()
        return out

    def access(self) -> Attributes:
        """How the guest is logged in to, but for its address."""
        login = keys.state_key(self.context.project, self.context.identity.lineage)
        host = keys.host_key(self.context.project, self.context.identity.id)
        return {
            "port": 22,
            "user": self.desired.get("user", "root"),
            "host_key": " ".join(host.public.split()[:2]),
            "private_key": login.private,
        }

    def _until_ready(self, attributes: Attributes) -> Attributes:
        try:
            wait_ready(self.hypervisor, self.context.host, attributes, self.context.progress, self.context.check)
        except NotReady as failure:
            raise ProviderError(*failure.diagnostics, partial=self._read(attributes)) from failure
        return self._read(attributes)

    def _read(self, attributes: Attributes) -> Attributes:
        seen = look(self.hypervisor, uuid=self.uuid)
        if seen is None:
            raise ProviderError(error("VM vanished", f"{self.what}: it is gone again. Plan again."))
        return observed(self.hypervisor, seen, attributes, self.context.host)


def take_snapshot(hypervisor: Hypervisor, uuid: str, snapshot: Mapping[str, Any], what: str) -> None:
    """Make a snapshot; no error when it is there. Raises ProviderError."""
    from hythe.provider.vm.xml import add, element

    root = element("domainsnapshot")
    add(root, "name", snapshot["name"])
    if snapshot.get("description"):
        add(root, "description", snapshot["description"])
    text = render(root)
    try:
        there = hypervisor.read(lambda c: c.lookupByUUIDString(uuid).snapshotListNames(0))
        if snapshot["name"] not in there:
            hypervisor.call(lambda c: c.lookupByUUIDString(uuid).snapshotCreateXML(text, 0))
    except LibvirtError as failure:
        raise refused(failure, f'{what}: snapshot "{snapshot["name"]}"') from failure


def with_log(host: Host, name: str, failure: LibvirtError, told: Diagnostic) -> Diagnostic:
    """What is ``told`` of a VM that did not start, with the last words of QEMU where it got as far as running."""
    if not re.search(r"monitor|process exited|qemu unexpectedly", failure.message):
        return told
    lines = tail(host, f"{_LOGS}/{name}.log", _LOG_LINES)
    begun = max((at for at, line in enumerate(lines) if "starting up libvirt" in line), default=-1)
    said = [line for line in lines[begun + 1 :] if "qemu-system" in line and not line.startswith(("/", "LC_ALL="))]
    said = [line for line in said if line not in failure.message][-_SHOWN:]
    if not said:
        return told
    shown = "\n  ".join(said)
    return error(told.summary, f"{told.detail}\nThe last words of QEMU:\n  {shown}")


def tail(host: Host, path: str, lines: int) -> list[str]:
    """The last lines of a file of the hypervisor's machine; none when it cannot be read."""
    try:
        done = host.run(["tail", "-n", str(lines), path], timeout=10)
    except ProviderError:
        return []
    return done.stdout.decode("utf-8", "replace").splitlines() if done.code == 0 else []
