"""Arguments of the ``network`` kind: those of the engine's networks, and those of the hypervisor's."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, model_validator

from hythe.provider.container import network_model as engine
from hythe.provider.schema import Duration, Effect, Model, attr, block

HYPERVISOR_MODES = ("nat", "routed", "isolated")
MODES = (*engine.MODES, *HYPERVISOR_MODES)
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
_INTERFACE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
_DNS_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.(?!-)[A-Za-z0-9_-]{1,63})*\.?")

_ENGINE_ONLY = ("ip_range", "aux_addresses", "subnet", "ipv6", "options", "labels")
_HYPERVISOR_ONLY = ("uri", "dhcp", "lease", "dns", "domain", "mtu", "bridge", "autostart", "active")


def _mode(value: Any) -> Any:
    if value == "vxlan":
        raise ValueError("networks between hosts (vxlan) come with a later version of Hythe")
    if value not in MODES:
        raise ValueError(f'"{value}" is not a mode: choose one of {", ".join(MODES)}')
    return value


def mac(value: str) -> str:
    """A MAC address in lower case. Raises ValueError."""
    lower = value.lower().replace("-", ":")
    if not _MAC.fullmatch(lower):
        raise ValueError(f'"{value}" is not a MAC address: write it like 52:54:00:12:34:56')
    return lower


def interface(value: str) -> str:
    """The name of a network interface. Raises ValueError."""
    if not _INTERFACE.fullmatch(value):
        raise ValueError(f'"{value}" is not the name of an interface: up to 15 letters, digits, "_", "-" and "."')
    return value


def dns_name(value: str) -> str:
    """A DNS name. Raises ValueError."""
    if not _DNS_NAME.fullmatch(value):
        raise ValueError(f'"{value}" is not a DNS name')
    return value


MacAddress = Annotated[str, AfterValidator(mac)]
Interface = Annotated[str, AfterValidator(interface)]
DnsName = Annotated[str, AfterValidator(dns_name)]


class Dhcp(Model):
    """Addresses that machines are given."""

    enabled: bool = attr(True, description="Whether machines are given addresses.")
    start: engine.Address | None = attr(description="First address to give. By default the second of `cidr`.")
    end: engine.Address | None = attr(
        description="Last address to give. By default three quarters up `cidr`; containers get the rest."
    )
    lease_time: Duration | None = attr(description="How long an address is given for. By default an hour.")


class Lease(Model):
    """An address that is always given to the same machine."""

    mac: MacAddress = attr(..., description="MAC address of the machine's interface.")
    address: engine.Address = attr(..., description="The address it gets.")
    name: DnsName | None = attr(description="The name it is known by in the network.")


class DnsHost(Model):
    """Names of an address."""

    address: engine.Address = attr(..., description="The address.")
    names: list[DnsName] = attr(..., description="Its names.", min_length=1)


class Dns(Model):
    """Names in the network."""

    enabled: bool = attr(True, description="Whether the network answers questions for names.")
    forwarders: list[engine.Address] | None = attr(
        description="Servers that are asked what the network does not know. By default those of the host."
    )
    host: list[DnsHost] = block(description="Names of addresses.", effect=Effect.LIVE, unordered=True)


class NetworkModel(engine.NetworkModel):
    """A network of the container engine (mode bridge, macvlan, ipvlan) or of the hypervisor (nat, routed, isolated)."""

    mode: Annotated[str, BeforeValidator(_mode)] = attr(
        "bridge",
        description="How the network is made. By the container engine: bridge, macvlan, ipvlan. By the hypervisor, for "
        "VMs and containers: nat, routed, isolated.",
    )
    uri: str | None = attr(description="Hypervisor (mode nat, routed, isolated). By default qemu:///system.")
    dhcp: Dhcp | None = block(description="Addresses given to VMs (hypervisor).", repeated=False)
    lease: list[Lease] = block(
        description="Fixed addresses of VMs (hypervisor).", effect=Effect.LIVE, unordered=True, repeated=True
    )
    dns: Dns | None = block(description="Names in the network (hypervisor).", repeated=False)
    domain: DnsName | None = attr(description="DNS domain of the network (hypervisor).")
    mtu: int | None = attr(description="Largest packet in bytes (hypervisor).", ge=68, le=65521)
    bridge: Interface | None = attr(
        description="Name of the bridge on the host (hypervisor). By default one made of the network's identity.",
        engine_default=True,
    )
    autostart: bool | None = attr(
        description="Whether it is up after the host has booted (hypervisor). By default true.", effect=Effect.LIVE
    )
    active: bool | None = attr(
        description="Whether it is up (hypervisor). By default true.",
        effect=Effect.LIVE,
    )

    @model_validator(mode="after")
    def _sides(self) -> NetworkModel:
        ours = self.mode in HYPERVISOR_MODES
        for name in _ENGINE_ONLY if ours else _HYPERVISOR_ONLY:
            value = getattr(self, name)
            if value is not None and value != []:
                where = ", ".join(engine.MODES if ours else HYPERVISOR_MODES)
                raise ValueError(f'`{name}` does not go with mode "{self.mode}": it is for {where}')
        if not ours:
            return self
        if self.internal:
            raise ValueError('`internal` is for networks of the engine: write mode = "isolated"')
        if self.attachable:
            raise ValueError("`attachable` is for networks of the engine")
        if self.cidr is None and (self.mode != "isolated" or self.dhcp is not None or self.lease):
            raise ValueError(f'mode "{self.mode}" needs `cidr`, like "10.20.0.0/24"')
        if self.cidr is not None:
            _check_addresses(self)
        return self


def _check_addresses(model: NetworkModel) -> None:
    network = ipaddress.ip_network(model.cidr or "")
    if network.version != 4 or network.num_addresses < 8:
        raise ValueError(f"{network}: a network of the hypervisor needs an IPv4 range of at least eight addresses")
    named = [("dhcp.start", model.dhcp.start), ("dhcp.end", model.dhcp.end)] if model.dhcp else []
    named += [("lease.address", lease.address) for lease in model.lease]
    for what, text in named:
        if text is not None and ipaddress.ip_address(text) not in network:
            raise ValueError(f"{what} {text} is not inside {network}")
    for what, values in (
        ("MAC address", [le.mac for le in model.lease]),
        ("address", [le.address for le in model.lease]),
    ):
        twice = {v for v in values if values.count(v) > 1}
        if twice:
            raise ValueError(f"two `lease` blocks have the {what} {sorted(twice)[0]}")


class NetworkData(engine.NetworkData):
    """An existing network, selected by name."""

    uri: str | None = attr(description="Hypervisor to look at. Without it the engine's networks are looked at.")
    bridge: str | None = attr(description="The bridge on the host (hypervisor).", computed=True)
    active: bool | None = attr(description="Whether it is up (hypervisor).", computed=True)
    autostart: bool | None = attr(description="Whether it is up after the host has booted.", computed=True)
    domain: str | None = attr(description="DNS domain (hypervisor).", computed=True)
