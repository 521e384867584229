"""Arguments of the ``network`` kind: those of the engine's networks, and those of the hypervisor's."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, model_validator

from hythe.provider.container import network_model as engine
from hythe.provider.network_blocks import Dhcp, Dns, DnsName, Forward, HostBridge, Interface, Lease
from hythe.provider.schema import Effect, attr, block

HYPERVISOR_MODES = ("nat", "routed", "isolated")
MODES = (*engine.MODES, *HYPERVISOR_MODES)

_ENGINE_ONLY = ("ip_range", "aux_addresses", "subnet", "ipv6", "options", "labels")
_ADDRESSED_ONLY = ("dhcp", "lease", "dns", "domain", "mtu", "bridge", "forward")
_HYPERVISOR_ONLY = ("uri", *_ADDRESSED_ONLY, "autostart", "active")
_SYSTEM = (None, "qemu:///system")


def _mode(value: Any) -> Any:
    if value == "vxlan":
        raise ValueError("networks between hosts (vxlan) come with a later version of Hythe")
    if value not in MODES:
        raise ValueError(f'"{value}" is not a mode: choose one of {", ".join(MODES)}')
    return value


def on_hypervisor(attributes: Mapping[str, Any]) -> bool:
    """Whether a network is the hypervisor's: by its mode, or because it stands for a bridge of the host."""
    return attributes.get("mode") in HYPERVISOR_MODES or attributes.get("host_bridge") is not None


class NetworkModel(engine.NetworkModel):
    """A network of the container engine (mode bridge, macvlan, ipvlan) or of the hypervisor (nat, routed, isolated)."""

    mode: Annotated[str, BeforeValidator(_mode)] = attr(
        "bridge",
        description="How the network is made. By the container engine: bridge, macvlan, ipvlan. By the hypervisor, for "
        "VMs and containers: nat, routed, isolated. With a `host_bridge` block, bridge stands for a bridge of the "
        "host, for VMs.",
    )
    uri: str | None = attr(description="Hypervisor (mode nat, routed, isolated). By default qemu:///system.")
    dhcp: Dhcp | None = block(description="Addresses given to VMs (hypervisor).", repeated=False)
    lease: list[Lease] = block(
        description="Fixed addresses of VMs (hypervisor).", effect=Effect.LIVE, unordered=True, repeated=True
    )
    dns: Dns | None = block(description="Names in the network (hypervisor).", repeated=False)
    forward: list[Forward] = block(
        description="Ports of the host that lead to machines of the network (nat, routed). Changed while it is up; "
        "the rules are found missing after the host has booted, and set again by the next apply.",
        effect=Effect.LIVE,
        unordered=True,
        repeated=True,
    )
    host_bridge: HostBridge | None = block(
        description="A bridge of the host that VMs are put onto, with machines outside (mode bridge).", repeated=False
    )
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
        if self.host_bridge is not None:
            _check_host_bridge(self)
        ours = self.mode in HYPERVISOR_MODES
        wrong = () if self.host_bridge is not None else _ENGINE_ONLY if ours else _HYPERVISOR_ONLY
        for name in wrong:
            if _given(self, name):
                where = ", ".join(engine.MODES if ours else HYPERVISOR_MODES)
                raise ValueError(f'`{name}` does not go with mode "{self.mode}": it is for {where}')
        if not ours:
            return self
        if self.internal:
            raise ValueError('`internal` is for networks of the engine: write mode = "isolated"')
        if self.attachable:
            raise ValueError("`attachable` is for networks of the engine")
        needs = self.mode != "isolated" or self.dhcp is not None or self.lease
        if self.cidr is None and needs:
            raise ValueError(f'mode "{self.mode}" needs `cidr`, like "10.20.0.0/24"')
        if self.cidr is not None:
            _check_addresses(self)
        _check_forwards(self)
        return self


def _given(model: NetworkModel, name: str) -> bool:
    return getattr(model, name) not in (None, [], False)


def _check_host_bridge(model: NetworkModel) -> None:
    if model.mode != "bridge":
        raise ValueError(f'`host_bridge` goes with mode = "bridge", not with "{model.mode}"')
    for name in ("cidr", *_ENGINE_ONLY, "internal", "attachable", *_ADDRESSED_ONLY):
        if _given(model, name):
            raise ValueError(f"`{name}` does not go with `host_bridge`: addresses come from the network outside")
    if model.uri not in _SYSTEM:
        raise ValueError("`host_bridge` is for qemu:///system; name another machine by `host`, not by `uri`")


def _check_forwards(model: NetworkModel) -> None:
    if not model.forward:
        return
    if model.mode == "isolated":
        raise ValueError("`forward` does not go with an isolated network, which nothing leads into")
    if model.uri not in _SYSTEM:
        raise ValueError("`forward` is for qemu:///system; name another machine by `host`, not by `uri`")
    seen: set[tuple[str, int, str | None]] = set()
    for item in model.forward:
        _inside(model, "forward.address", item.address)
        if (item.protocol, item.host, item.ip) in seen:
            raise ValueError(f"two `forward` blocks take port {item.host}/{item.protocol} of the host")
        seen.add((item.protocol, item.host, item.ip))


def _inside(model: NetworkModel, what: str, address: str) -> None:
    network = ipaddress.ip_network(model.cidr or "")
    if ipaddress.ip_address(address) not in network:
        raise ValueError(f"{what} {address} is not inside {network}")


def _check_addresses(model: NetworkModel) -> None:
    network = ipaddress.ip_network(model.cidr or "")
    if network.version != 4 or network.num_addresses < 8:
        raise ValueError(f"{network}: a network of the hypervisor needs an IPv4 range of at least eight addresses")
    named = [("dhcp.start", model.dhcp.start), ("dhcp.end", model.dhcp.end)] if model.dhcp else []
    named += [("lease.address", lease.address) for lease in model.lease]
    for what, text in named:
        if text is not None:
            _inside(model, what, text)
    if model.lease and model.dhcp is not None and not model.dhcp.enabled:
        raise ValueError("`lease` needs addresses to be given: leave `enabled = false` out of `dhcp`")
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
