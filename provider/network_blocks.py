"""Blocks of networks of the hypervisor: addresses, names, ports of the host, bridges of the host."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, model_validator

from hythe.provider.container import network_model as engine
from hythe.provider.schema import Duration, Effect, Model, attr, block

_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
_INTERFACE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
_DNS_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.(?!-)[A-Za-z0-9_-]{1,63})*\.?")


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


def _interfaces(values: list[str]) -> list[str]:
    out = []
    for value in values:
        try:
            found = ipaddress.ip_interface(value)
        except ValueError:
            raise ValueError(f'"{value}" is not an address with a prefix, like 10.30.0.1/24') from None
        if "/" not in value:
            raise ValueError(f'"{value}" has no prefix: write it like {value}/24')
        out.append(str(found))
    return out


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


class Forward(Model):
    """A port of the host that leads to a machine of the network. Not reached by way of 127.0.0.1."""

    host: int = attr(..., description="Port of the host.", ge=1, le=65535)
    address: engine.Address = attr(..., description="Address of the machine in the network; see `lease`.")
    guest: int | None = attr(description="Port of the machine. By default the same.", ge=1, le=65535)
    protocol: Literal["tcp", "udp"] = attr("tcp", description="tcp or udp.")
    ip: engine.Address | None = attr(description="Address of the host that is listened on. By default all of them.")


class Vlan(Model):
    """A VLAN of an interface of the host."""

    id: int = attr(..., description="Number of the VLAN.", ge=1, le=4094)
    parent: Interface = attr(..., description="Interface of the host that carries it.")


class HostBridge(Model):
    """A bridge of the host: one that is there (`name` alone), or one that Hythe makes.

    A bridge that Hythe makes, with its VLAN, is gone when the host has booted; the next apply makes it again.
    """

    name: Interface | None = attr(
        description="Name of the bridge. Alone, without the other arguments, it must be there. Left out, the bridge "
        "that is made gets a name of the network's identity, which `bridge` tells.",
    )
    ports: list[Interface] | None = attr(
        description="Interfaces of the host that are put onto it, such as a second network card. Must have no "
        "addresses of their own. An empty list makes a bridge without any.",
        effect=Effect.LIVE,
        unordered=True,
    )
    vlan: Vlan | None = block(
        description="A VLAN that is put onto it; its interface is made too.", effect=Effect.LIVE, repeated=False
    )
    addresses: Annotated[list[str], AfterValidator(_interfaces)] | None = attr(
        description="Addresses of the host on the bridge, like 10.30.0.1/24.", effect=Effect.LIVE, unordered=True
    )
    stp: bool | None = attr(
        description="Whether the bridge takes part in the spanning tree. By default false.", effect=Effect.LIVE
    )

    @model_validator(mode="after")
    def _made(self) -> HostBridge:
        if self.stp is not None and self.name is not None and not self.is_made:
            raise ValueError("`stp` is for a bridge that Hythe makes: write `ports` (which may be empty) too")
        return self

    @property
    def is_made(self) -> bool:
        """Whether Hythe makes it."""
        return self.name is None or any(v is not None for v in (self.ports, self.vlan, self.addresses))
