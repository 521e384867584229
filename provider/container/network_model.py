"""Arguments of the ``network`` kind."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, model_validator

from hythe.provider.container.place import HostReference, host_argument
from hythe.provider.schema import Model, attr, block

MODES = ("bridge", "macvlan", "ipvlan")
_HYPERVISOR_MODES = ("nat", "routed", "isolated", "vxlan")
_BUILT_IN = ("bridge", "host", "none", "default", "container")
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            f'"{value}" is not the name of a network: it has letters, digits, "_", "." and "-", '
            "and begins with a letter or digit"
        )
    if value in _BUILT_IN:
        raise ValueError(f'"{value}" is the engine\'s own network: choose another name')
    return value


def _mode(value: Any) -> Any:
    if value in _HYPERVISOR_MODES:
        raise ValueError(
            f'networks of mode "{value}" belong to the hypervisor, and this version of Hythe makes only networks of '
            f"the container engine: {', '.join(MODES)}"
        )
    if value not in MODES:
        raise ValueError(f'"{value}" is not a mode: choose one of {", ".join(MODES)}')
    return value


def _cidr(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError as failure:
        try:
            meant = ipaddress.ip_network(value, strict=False)
        except ValueError:
            raise ValueError(f'"{value}" is not a range of addresses: write it like 10.20.0.0/24') from failure
        raise ValueError(f'"{value}" has host bits set: did you mean {meant}?') from failure


def _address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError as failure:
        raise ValueError(f'"{value}" is not an IP address') from failure


def _addresses(value: dict[str, str]) -> dict[str, str]:
    return {name: _address(text) for name, text in value.items()}


Cidr = Annotated[str, AfterValidator(_cidr)]
Address = Annotated[str, AfterValidator(_address)]


def check_range(cidr: str, gateway: str | None, ip_range: str | None, auxiliary: dict[str, str] | None) -> None:
    """Raises ValueError when something is not inside ``cidr``."""
    network = ipaddress.ip_network(cidr)
    named = [("gateway", gateway), *(("auxiliary address", a) for a in (auxiliary or {}).values())]
    for what, text in named:
        if text is not None and ipaddress.ip_address(text) not in network:
            raise ValueError(f"the {what} {text} is not inside {cidr}")
    if ip_range is not None:
        inner = ipaddress.ip_network(ip_range)
        if inner.version != network.version or not inner.subnet_of(network):  # type: ignore[arg-type]
            raise ValueError(f"the ip_range {ip_range} is not inside {cidr}")


class Subnet(Model):
    """One of several subnets of a network."""

    cidr: Cidr = attr(..., description="Range of addresses, IPv4 or IPv6, like 10.20.0.0/24.")
    gateway: Address | None = attr(description="Address of the gateway.", engine_default=True)
    ip_range: Cidr | None = attr(description="Part of the range that containers get addresses from.")
    aux_addresses: Annotated[dict[str, str], AfterValidator(_addresses)] | None = attr(
        description="Addresses, by a name of yours, that the engine must not give away."
    )

    @model_validator(mode="after")
    def _inside(self) -> Subnet:
        check_range(self.cidr, self.gateway, self.ip_range, self.aux_addresses)
        return self


class NetworkModel(Model):
    """A network of the container engine."""

    name: Annotated[str, AfterValidator(_name)] | None = attr(
        description="Name on the engine. By default made of the project's and the block's name.", engine_default=True
    )
    mode: Annotated[str, BeforeValidator(_mode)] = attr(
        "bridge", description="How the network is made: bridge, macvlan or ipvlan."
    )
    cidr: Cidr | None = attr(
        description="Range of addresses, like 10.20.0.0/24. By default a free one that the engine picks.",
        engine_default=True,
    )
    gateway: Address | None = attr(description="Address of the gateway inside `cidr`.", engine_default=True)
    ip_range: Cidr | None = attr(description="Part of `cidr` that containers get addresses from.")
    aux_addresses: Annotated[dict[str, str], AfterValidator(_addresses)] | None = attr(
        description="Addresses, by a name of yours, that the engine must not give away."
    )
    subnet: list[Subnet] = block(
        description="Several subnets, IPv6 ones too, in place of `cidr`.", unordered=True, repeated=True
    )
    ipv6: bool | None = attr(
        description="Whether containers get IPv6 addresses. By default when a subnet is an IPv6 one.",
        engine_default=True,
    )
    internal: bool = attr(False, description="Whether the network has no way out of the host.")
    attachable: bool = attr(
        False, description="Whether containers that are not part of a service may join. Podman knows no such mark."
    )
    options: dict[str, str] | None = attr(
        description="Options of the driver, such as `parent` for macvlan and ipvlan or "
        "`com.docker.network.bridge.name`."
    )
    labels: dict[str, str] | None = attr(description="Labels on the engine's object.")
    host: HostReference = host_argument()
    id: str | None = attr(description="The engine's id of the network.", computed=True)
    subnets: list[str] | None = attr(description="Ranges of addresses of the network.", computed=True)

    @model_validator(mode="after")
    def _ranges(self) -> NetworkModel:
        if self.cidr is not None and self.subnet:
            raise ValueError("write either `cidr` or `subnet` blocks, not both")
        if self.cidr is None:
            for name in ("ip_range", "aux_addresses", "gateway"):
                if getattr(self, name) is not None:
                    raise ValueError(f"`{name}` needs `cidr`" + (": write it in the block" if self.subnet else ""))
        else:
            check_range(self.cidr, self.gateway, self.ip_range, self.aux_addresses)
        _refuse_overlap([s.cidr for s in self.subnet])
        if self.mode == "bridge" and "parent" in (self.options or {}):
            raise ValueError("the option `parent` belongs to macvlan and ipvlan: set `mode`")
        reserved = [k for k in self.labels or {} if k.startswith("dev.hythe.")]
        if reserved:
            raise ValueError(f'the label "{reserved[0]}" is reserved: dev.hythe. is how Hythe marks its objects')
        return self


def _refuse_overlap(ranges: list[str]) -> None:
    networks = [ipaddress.ip_network(r) for r in ranges]
    for at, one in enumerate(networks):
        for other in networks[at + 1 :]:
            if one.version == other.version and one.overlaps(other):
                raise ValueError(f"the subnets {one} and {other} overlap")


class NetworkData(Model):
    """An existing network, selected by name."""

    name: str = attr(..., description="Name or id of the network on the engine.")
    host: HostReference = host_argument()
    id: str | None = attr(description="The engine's id of the network.", computed=True)
    mode: str | None = attr(description="The network's driver.", computed=True)
    cidr: str | None = attr(description="The first range of addresses.", computed=True)
    gateway: str | None = attr(description="The gateway of the first range.", computed=True)
    subnets: list[str] | None = attr(description="All ranges of addresses.", computed=True)
    ipv6: bool | None = attr(description="Whether IPv6 is on.", computed=True)
    internal: bool | None = attr(description="Whether the network has no way out.", computed=True)
    attachable: bool | None = attr(description="Whether any container may join.", computed=True)
    options: dict[str, str] | None = attr(description="Options of the driver.", computed=True)
    labels: dict[str, str] | None = attr(description="Labels of the network.", computed=True)
