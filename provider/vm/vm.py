"""The ``vm`` kind: virtual machines by libvirt.

A VM is a domain, the disks that belong to it, a seed for cloud-init and, with UEFI, its variables. Domain and volumes
carry the instance id (in metadata and UUID, and in their names), so that each is found after a crash. What state
cannot recover: what cloud-init was told, and the keys to log in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hythe.diagnostic import Diagnostic, error
from hythe.provider.container.labels import whose
from hythe.provider.protocol import (
    Attributes,
    Context,
    Found,
    Hint,
    Host,
    Identity,
    Kind,
    Observed,
    Owned,
    PrepareContext,
    Presence,
    ProviderError,
    ReadContext,
    ReadRequest,
)
from hythe.provider.schema import Path
from hythe.provider.vm import keys, pools
from hythe.provider.vm.accelerator import accelerator
from hythe.provider.vm.client import Hypervisor, LibvirtError, refused
from hythe.provider.vm.marks import identity_of, uuid_of
from hythe.provider.vm.vm_change import change
from hythe.provider.vm.vm_disks import own_volumes
from hythe.provider.vm.vm_hints import hint
from hythe.provider.vm.vm_make import Maker
from hythe.provider.vm.vm_model import VmData, VmModel
from hythe.provider.vm.vm_power import undefine
from hythe.provider.vm.vm_read import Seen, look, look_at_many, observed
from hythe.provider.vm.vm_settle import recovered, settled
from hythe.value import is_known


class Vm(Kind):
    """A virtual machine. With `engine` it is the host of containers: `host = vm.NAME`.

    Destroying or replacing it takes along what is on it and its own disks; volumes of type disk stay. Changes are made
    while it runs where that is possible; others shut it down in an orderly way and start it with the new definition.
    """

    name = "vm"
    marked = True
    rebuild_note = (
        "It is recovered by its mark, with its disks. What is on it is recovered too while its keys are in "
        "`.hythe/ssh`, below the configuration; without them nobody can log in to it."
    )
    model = VmModel
    data_model = VmData
    is_machine = True
    takes_along = True
    concurrency = 8
    foretells = True
    lag = 10.0

    def prepare(self, desired: Attributes, context: PrepareContext) -> tuple[Attributes, list[Diagnostic]]:
        """Give it a name when it has none."""
        return {"name": context.default_name()} | desired, []

    def hint(self, path: Path, before: Any, after: Any, old: Attributes, new: Attributes) -> Hint | None:
        """What can be done while it runs, and what loses data."""
        return hint(path, before, after, old, new)

    # -- making and removing -------------------------------------------------------------------

    def foretell(self, host: Host, wanted: Sequence[Attributes]) -> list[Attributes]:
        """Whether each will run with KVM or be emulated."""
        told: dict[tuple[str | None, str], Attributes] = {}
        out: list[Attributes] = []
        for attributes in wanted:
            uri, asked = attributes.get("uri"), attributes.get("accelerator", "auto")
            if not is_known(uri) or not is_known(asked):
                out.append({})
                continue
            if (uri, asked) not in told:
                hypervisor: Hypervisor = host.hypervisor(uri)
                known = {} if hypervisor.is_test else {"accelerated_by": accelerator(host, hypervisor, asked)}
                told[uri, asked] = known
            out.append(told[uri, asked])
        return out

    def create(self, context: Context, desired: Attributes) -> Attributes:
        """Make disks and seed, define, start, and wait until it is ready; what an interrupted call made is used."""
        hypervisor: Hypervisor = context.host.hypervisor(desired.get("uri"))
        name = desired["name"]
        there = look(hypervisor, name=name)
        if there is not None and there.uuid != uuid_of(context.identity):
            raise ProviderError(_taken(hypervisor, name, there, context.identity.lineage))
        return Maker(context, hypervisor, desired).make()

    def update(self, context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
        """Change it while it runs where that is possible, else with an orderly restart."""
        return change(context, context.host.hypervisor(desired.get("uri")), before, desired, changed)

    def delete(self, context: Context, before: Attributes) -> None:
        """Switch it off, and remove it with its own disks, its seed and its keys."""
        hypervisor: Hypervisor = context.host.hypervisor(before.get("uri"))
        name = before.get("name")
        what = f'Removing VM "{name}"'
        if before.get("protected"):
            raise ProviderError(
                error(
                    "Protected VM",
                    f"{what}: it is protected. Set `protected = false`, apply that, and then remove it.",
                )
            )
        context.progress(f"removing VM {name}")
        try:
            there = look(hypervisor, uuid=before.get("id") or uuid_of(context.identity))
            if there is not None:
                undefine(hypervisor, there.uuid)
            for volume in own_volumes(hypervisor, context.identity):
                pools.delete_volume(hypervisor, volume.pool, volume.name, what)
        except LibvirtError as failure:
            raise refused(failure, what) from failure
        pools.release_pool(hypervisor, before.get("pool") or pools.OWN)
        keys.forget(context.project, context.identity.id)

    # -- looking -------------------------------------------------------------------------------

    def read_many(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Observed]:
        """Observe VMs, with one list call for each hypervisor."""
        out: dict[str, Observed] = {}
        for uri in {r.attributes.get("uri") for r in requests}:
            own = [r for r in requests if r.attributes.get("uri") == uri]
            hypervisor: Hypervisor = context.host.hypervisor(uri)
            wanted = {r.id: _uuids(context.lineage, r) for r in own}
            found = look_at_many(hypervisor, {u for uuids in wanted.values() for u in uuids})
            for request in own:
                seen = next((found[u] for u in wanted[request.id] if u in found), None)
                out[request.id] = (
                    Presence.ABSENT if seen is None else observed(hypervisor, seen, request.attributes, context.host)
                )
        return out

    def find(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Found]:
        """VMs whose UUID is derived from the ids asked for, and disks that an interrupted call left without one."""
        found = {r.id: settled(context, context.host.hypervisor(r.attributes.get("uri")), r) for r in requests}
        return {id: seen for id, seen in found.items() if seen is not None}

    def find_owned(self, context: ReadContext) -> list[Owned]:
        """Every VM that carries the lineage."""
        out: list[Owned] = []
        for uri in context.uris:
            hypervisor: Hypervisor = context.host.hypervisor(uri)
            for seen in look_at_many(hypervisor, None).values():
                identity = identity_of(seen.config)
                if identity is not None and context.is_mine(identity):
                    attributes = observed(hypervisor, seen, {}, context.host)
                    out.append(Owned(identity, attributes | ({"uri": uri} if uri else {})))
        return out

    def recover(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Attributes]:
        """As they are, without waiting for their guests; with the keys that are still there."""
        found = {r.id: recovered(context, context.host.hypervisor(r.attributes.get("uri")), r) for r in requests}
        return {id: attributes for id, attributes in found.items() if attributes is not None}

    def import_object(self, context: Context, object_id: str) -> Attributes:
        """A VM by name or UUID."""
        return _selected(context.host, None, object_id, "Importing")

    def read_data(self, context: ReadContext, desired: Attributes) -> Attributes:
        """A VM by name or UUID."""
        found = _selected(context.host, desired.get("uri"), desired["name"], "Reading")
        return {k: v for k, v in found.items() if k in VmData.model_fields} | desired


def _uuids(lineage: str, request: ReadRequest) -> list[str]:
    derived = uuid_of(Identity(lineage, request.address, request.id))
    return [str(request.attributes["id"]), derived] if request.attributes.get("id") else [derived]


def _selected(host: Host, uri: str | None, wanted: str, doing: str) -> Attributes:
    hypervisor: Hypervisor = host.hypervisor(uri)
    seen = look(hypervisor, name=wanted) or look(hypervisor, uuid=wanted)
    if seen is None:
        raise ProviderError(
            error(
                "VM not found",
                f'{doing} VM "{wanted}": {hypervisor.uri} has none of that name or UUID. `virsh list --all` shows '
                "those "
                "it has.",
            )
        )
    known: Mapping[str, Any] = {"uri": uri} if uri else {}
    return observed(hypervisor, seen, known, host)


def _taken(hypervisor: Hypervisor, name: str, there: Seen, lineage: str) -> Diagnostic:
    return error(
        "Name already taken",
        f'Creating VM "{name}": {hypervisor.uri} has a VM of that name already. '
        f"{whose(identity_of(there.config), lineage)} "
        "Choose another name, remove that VM, or take it into the state with `hythe import`.",
    )
