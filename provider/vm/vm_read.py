"""Looking at VMs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hythe.provider.protocol import Attributes, Host, ProviderError
from hythe.provider.vm import pools
from hythe.provider.vm.client import Hypervisor, LibvirtError
from hythe.provider.vm.domain_read import bytes_of, is_seed, mac_of, observe, source_of
from hythe.provider.vm.marks import identity_of
from hythe.provider.vm.vm_power import is_paused
from hythe.provider.vm.xml import Element, parse

_INACTIVE, _SECURE = 2, 1
_ACTIVE, _PAUSED, _AUTOSTART, _HAS_SNAPSHOT = 1, 32, 1024, 4096
"""Which domains are listed (virConnectListAllDomainsFlags)."""
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
LEASE, AGENT, ARP = 0, 1, 2
"""Where addresses of a guest are looked up (virDomainInterfaceAddressesSource)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A domain as libvirt has it. ``live`` is its XML while it runs."""

    uuid: str
    name: str
    config: Element
    live: Element | None
    autostart: bool
    snapshots: tuple[tuple[str, str], ...] = ()
    paused: bool = False

    @property
    def running(self) -> bool:
        """Whether it runs, or would if it were not paused."""
        return self.live is not None

    @classmethod
    def of(cls, domain: Any, *, active: bool, autostart: bool, with_snapshots: bool, maybe_paused: bool = True) -> Seen:
        """Read a domain of which so much is known; ``paused`` is asked for where it may be. Raises libvirtError."""
        names = []
        for snapshot in domain.listAllSnapshots(0) if with_snapshots else ():
            root = parse(snapshot.getXMLDesc(0))
            names.append((str(snapshot.getName()), root.findtext("description") or ""))
        return cls(
            domain.UUIDString(),
            domain.name(),
            parse(domain.XMLDesc(_INACTIVE | _SECURE)),
            parse(domain.XMLDesc(0)) if active else None,
            autostart,
            tuple(sorted(names)),
            active and maybe_paused and is_paused(domain),
        )


def look(hypervisor: Hypervisor, *, name: str | None = None, uuid: str | None = None) -> Seen | None:
    """One domain, by name or UUID; None when it is not there."""
    if uuid is not None and not _UUID.fullmatch(uuid):
        return None

    def read(connection: Any) -> Seen:
        domain = connection.lookupByName(name) if uuid is None else connection.lookupByUUIDString(uuid)
        return Seen.of(
            domain,
            active=bool(domain.isActive()),
            autostart=bool(domain.autostart()),
            with_snapshots=bool(domain.snapshotNum(0)),
        )

    return hypervisor.find(read)


def look_at_many(hypervisor: Hypervisor, wanted: set[str] | None) -> dict[str, Seen]:
    """Domains by UUID, all of them or those wanted: one call for each, and a few for all."""

    def read(connection: Any) -> dict[str, Seen]:
        active, paused, autostart, snapshots = (
            {d.UUIDString() for d in connection.listAllDomains(flag)}
            for flag in (_ACTIVE, _PAUSED, _AUTOSTART, _HAS_SNAPSHOT)
        )
        out = {}
        for domain in connection.listAllDomains(0):
            uuid = domain.UUIDString()
            if wanted is None or uuid in wanted:
                out[uuid] = Seen.of(
                    domain,
                    active=uuid in active,
                    autostart=uuid in autostart,
                    with_snapshots=uuid in snapshots,
                    maybe_paused=uuid in paused,
                )
        return out

    return hypervisor.survey(read)


def files_of(hypervisor: Hypervisor, lineage: str) -> tuple[set[str], set[str]]:
    """The files of the disks of a state's VMs, and the files that these are layers on."""
    disks: set[str] = set()
    for seen in look_at_many(hypervisor, None).values():
        identity = identity_of(seen.config)
        if identity is not None and identity.lineage == lineage:
            disks |= {f for d in seen.config.findall("devices/disk") if not is_seed(d) and (f := source_of(d))}
    found = (pools.find_path(hypervisor, file) for file in sorted(disks))
    return disks, {facts.backing for facts in found if facts is not None and facts.backing}


def observed(hypervisor: Hypervisor, seen: Seen, known: Mapping[str, Any], host: Host) -> Attributes:
    """The arguments that describe a domain, with the sizes of its disks and its addresses."""
    roots = [seen.config, *([seen.live] if seen.live is not None else [])]
    disks = [d for root in roots for d in root.findall("devices/disk") if not is_seed(d)]
    files = list(dict.fromkeys(f for d in disks if (f := source_of(d))))
    sizes = _sizes(hypervisor, seen, files) if known.get("disk") else {}
    out = observe(seen.config, seen.live, known, sizes, balloon=balloon_works(hypervisor, seen))
    if seen.paused:
        # neither what is to run nor what is to be off
        out["running"] = out["consistent"] = False
    out["autostart"] = seen.autostart
    if seen.snapshots:
        out["snapshot"] = [{"name": n, **({"description": d} if d else {})} for n, d in seen.snapshots]
    _reach(out, hypervisor, seen, known, host)
    return {name: value for name, value in out.items() if value is not None}


def _reach(out: Attributes, hypervisor: Hypervisor, seen: Seen, known: Mapping[str, Any], host: Host) -> None:
    """Addresses, and how it is logged in to; those of a VM that is off or paused are not told."""
    if not seen.running or seen.paused:
        for name in ("address", "addresses"):
            out.pop(name, None)
        access = out.pop("ssh", None)
        if access:
            out["ssh"] = {k: v for k, v in access.items() if k != "address"}
        return
    macs = [mac_of(n) for n in seen.config.findall("devices/interface")]
    agent = bool(out.get("guest_agent"))
    found = addresses_of(hypervisor, seen.uuid, host, agent=agent, macs=out.get("macs") or macs)
    if known.get("address") and known["address"] not in found:
        found = found or list(known.get("addresses") or [known["address"]])
    if found:
        out["address"], out["addresses"] = found[0], found
    access = out.get("ssh")
    if access and out.get("address"):
        out["ssh"] = {**access, "address": out["address"]}


def addresses_of(hypervisor: Hypervisor, uuid: str, host: Host, *, agent: bool, macs: Sequence[str] = ()) -> list[str]:
    """IPv4 addresses of a guest as its agent tells, else the leases, else ARP; in the order of ``macs`` where given.

    A lease may be an old one, of what had the same MAC address before and asked in another way; the youngest is first.
    """
    for source in (*((AGENT,) if agent else ()), LEASE, ARP):
        nics = _nics(hypervisor, uuid, host, source)
        if macs:
            # an agent tells of the bridges of containers too
            nics = sorted((nic for nic in nics if nic[0] in macs), key=lambda nic: macs.index(nic[0]))
        out = [a for _, given in nics for a in given if not a.startswith("127.")]
        if out:
            return list(dict.fromkeys(out))
    return []


def _nics(hypervisor: Hypervisor, uuid: str, host: Host, source: int) -> list[tuple[str, list[str]]]:
    """MAC address and IPv4 addresses of each interface, as one source tells them."""
    try:
        found = hypervisor.read(lambda c: c.lookupByUUIDString(uuid).interfaceAddresses(source, 0))
    except LibvirtError:
        return _neighbours(hypervisor, uuid, host) if source == ARP else []
    out = []
    for nic in (found or {}).values():
        given = [str(a["addr"]) for a in nic.get("addrs") or () if a["type"] == 0]
        out.append((str(nic.get("hwaddr") or "").lower(), given[::-1] if source == LEASE else given))
    return out


def _neighbours(hypervisor: Hypervisor, uuid: str, host: Host) -> list[tuple[str, list[str]]]:
    """What the hypervisor's machine has in its ARP table: libvirt's own reading of it fails with some kernels."""
    try:
        xml = hypervisor.read(lambda c: c.lookupByUUIDString(uuid).XMLDesc(_INACTIVE))
        done = host.run(["ip", "-json", "-4", "neighbour", "show"], timeout=10)
        table = json.loads(done.stdout or b"[]")
    except (LibvirtError, ProviderError, ValueError):
        return []
    out = []
    for mac in (mac_of(nic).lower() for nic in parse(xml).findall("devices/interface")):
        given = [str(row["dst"]) for row in table if str(row.get("lladdr") or "").lower() == mac and "dst" in row]
        out.append((mac, given))
    return out


def balloon_works(hypervisor: Hypervisor, seen: Seen) -> bool:
    """Whether what a running guest holds tells anything: without a driver there it holds all, whatever it is told."""
    if seen.live is None:
        return True
    most, now = (bytes_of(seen.live.find(tag)) for tag in ("memory", "currentMemory"))
    if now != most or now == bytes_of(seen.config.find("currentMemory")):
        return True
    told = hypervisor.find(lambda c: c.lookupByUUIDString(seen.uuid).memoryStats())
    return any(name in (told or {}) for name in ("unused", "available", "usable"))


def _sizes(hypervisor: Hypervisor, seen: Seen, files: list[str]) -> dict[str, int]:
    """Sizes of disks in bytes, by file."""
    out: dict[str, int] = {}
    for file in files:
        if seen.running:
            try:
                told = hypervisor.read(lambda c, f=file: c.lookupByUUIDString(seen.uuid).blockInfo(f, 0))  # type: ignore[misc]
                out[file] = int(told[0])
                continue
            except LibvirtError:
                pass  # detached a moment ago, or the driver cannot tell
        facts = pools.find_path(hypervisor, file)
        if facts is not None:
            out[file] = facts.capacity
    return out
