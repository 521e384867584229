"""What became of a VM whose creation was cut short."""

from __future__ import annotations

from typing import Any

from hythe.provider.protocol import Attributes, Found, Identity, ReadContext, ReadRequest
from hythe.provider.vm import keys, pools
from hythe.provider.vm.client import Hypervisor
from hythe.provider.vm.domain_read import is_seed, mac_of, source_of
from hythe.provider.vm.marks import uuid_of
from hythe.provider.vm.ready import NotReady, stage_of, wait_ready
from hythe.provider.vm.vm_align import is_owned
from hythe.provider.vm.vm_disks import has_implied_root, own_volumes
from hythe.provider.vm.vm_read import Seen, look, observed
from hythe.provider.vm.xml import Element


def settled(context: ReadContext, hypervisor: Hypervisor, request: ReadRequest) -> Found | None:
    """The VM of an instance id, or disks of it without one; None when there is neither.

    One that runs is complete: whatever waits for a creation is waited for here, as those that need it come next.
    """
    identity = Identity(context.lineage, request.address, request.id)
    seen = look(hypervisor, uuid=uuid_of(identity))
    if seen is None:
        left = own_volumes(hypervisor, identity)
        return Found({**request.attributes, "pool": left[0].pool}, complete=False) if left else None
    known = _known(request, hypervisor, seen, context.lineage)
    if _has_keys(known):
        login = keys.state_key(context.project, context.lineage)
        known["ssh"] = _access(known, login, keys.host_key(context.project, request.id))
    attributes = observed(hypervisor, seen, known, context.host)
    runs = seen.running or request.attributes.get("running") is False
    return Found(attributes, complete=runs and _becomes_ready(context, hypervisor, request.address, attributes))


def recovered(context: ReadContext, hypervisor: Hypervisor, request: ReadRequest) -> Attributes | None:
    """The VM of an instance id as a state that was lost had it; None when it is not there.

    Keys that are lost are not made anew: the guest would know nothing of them.
    """
    seen = look(hypervisor, uuid=uuid_of(Identity(context.lineage, request.address, request.id)))
    if seen is None:
        return None
    known = _known(request, hypervisor, seen, context.lineage)
    login = keys.kept_state_key(context.project, context.lineage)
    host = keys.kept_host_key(context.project, request.id)
    if login is not None and host is not None:
        known["ssh"] = _access(known, login, host)
    return observed(hypervisor, seen, known, context.host)


def _has_keys(known: Attributes) -> bool:
    return bool(known.get("cloud_init", True)) and known.get("image") is not None


def _access(known: Attributes, login: keys.KeyPair, host: keys.KeyPair) -> Attributes:
    return {
        "port": 22,
        "user": known.get("user", "root"),
        "host_key": " ".join(host.public.split()[:2]),
        "private_key": login.private,
    }


def _known(request: ReadRequest, hypervisor: Hypervisor, seen: Seen, lineage: str) -> Attributes:
    """What the state would know of it, but for its keys."""
    known = dict(request.attributes)
    disks = [d for d in seen.config.findall("devices/disk") if not is_seed(d)]
    if known.get("disk"):
        known["disk"] = told_apart(known, disks, request.id)
    if known.get("interface"):
        nics = seen.config.findall("devices/interface")
        known["interface"] = [{**b, **_nic_facts(n)} for b, n in zip(known["interface"], nics, strict=False)]
    known["id"] = seen.uuid
    log = seen.config.find("devices/serial/log")
    if log is not None:
        known["console_log"] = log.get("file")
    own = own_volumes(hypervisor, Identity(lineage, request.address, request.id))
    known["pool"] = own[0].pool if own else pools.OWN
    return known


def told_apart(known: Attributes, disks: list[Element], id: str) -> list[Attributes]:
    """The disk blocks with their files: the VM's own in the order of their names, the others by path, then in order.

    The hypervisor has disks in an order of its own. Pure.
    """
    files = sorted((f for d in disks if (f := source_of(d))), key=lambda f: (len(f), f))
    own = [f for f in files if f".{id[:8]}." in f][1 if has_implied_root(known) else 0 :]
    paths = {b.get("path") for b in known["disk"]}
    volumes = [f for d in disks if (f := source_of(d)) and f".{id[:8]}." not in f and f not in paths]
    out: list[Attributes] = []
    for block in known["disk"]:
        left = own if is_owned(block) else volumes
        file = block.get("path") or (left.pop(0) if left else None)
        out.append({**block, "file": file} if file else dict(block))
    return out


def _nic_facts(nic: Any) -> dict[str, str]:
    source = nic.find("source")
    out = {"mac": mac_of(nic)}
    if source is not None and source.get("network"):
        out["network_name"] = source.get("network")
    return out


def _becomes_ready(context: ReadContext, hypervisor: Hypervisor, address: str, attributes: Attributes) -> bool:
    """Waits as long as a creation would."""
    if not attributes.get("running", True) or stage_of(attributes) == "boot":
        return True
    try:
        wait_ready(hypervisor, context.host, attributes, lambda text: context.progress(address, text), lambda: None)
    except NotReady:
        return False
    return True
