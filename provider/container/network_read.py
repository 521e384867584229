"""Networks as the engine tells of them, in the configuration's terms. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from hythe.provider.container.labels import strip
from hythe.provider.protocol import Attributes

_PODMAN_INTERFACE = {"bridge": "com.docker.network.bridge.name", "macvlan": "parent", "ipvlan": "parent"}
_PODMAN_OPTIONS = {
    "com.docker.network.driver.mtu": "mtu",
    "com.docker.network.mtu": "mtu",
    "macvlan_mode": "mode",
    "ipvlan_mode": "mode",
}
"""Docker's options by what Podman calls them."""


def podman_options(options: Mapping[str, str]) -> dict[str, str]:
    """Driver options in Podman's own words."""
    return {_PODMAN_OPTIONS.get(name, name): value for name, value in options.items()}


def from_docker(item: Mapping[str, Any], known: Mapping[str, Any]) -> Attributes:
    """Attributes of a network in Docker's words; ``known`` are those in state."""
    ranges = [_docker_range(c) for c in (item.get("IPAM") or {}).get("Config") or ()]
    return _attributes(
        item["Name"],
        item["Id"],
        item.get("Driver", ""),
        ranges,
        known,
        ipv6=bool(item.get("EnableIPv6")),
        internal=bool(item.get("Internal")),
        attachable=bool(item.get("Attachable")),
        options={k: str(v) for k, v in sorted((item.get("Options") or {}).items())},
        labels=strip(item.get("Labels")),
    )


def from_podman(item: Mapping[str, Any], known: Mapping[str, Any]) -> Attributes:
    """Attributes of a network in Podman's own words; ``known`` are those in state."""
    ranges = [_podman_range(s) for s in item.get("subnets") or ()]
    return _attributes(
        item["name"],
        item["id"],
        item.get("driver", ""),
        ranges,
        known,
        ipv6=bool(item.get("ipv6_enabled")),
        internal=bool(item.get("internal")),
        attachable=bool(known.get("attachable", False)),
        options=_podman_observed_options(item, known.get("options") or {}),
        labels=strip(item.get("labels")),
    )


def _attributes(
    name: str, id: str, driver: str, ranges: list[dict[str, Any]], known: Mapping[str, Any], **rest: Any
) -> Attributes:
    out: Attributes = {"name": name, "mode": driver, "id": id, "subnets": [r["cidr"] for r in ranges]}
    out |= {k: v for k, v in rest.items() if v != {}}
    if "host" in known:
        out["host"] = known["host"]
    first: dict[str, Any] = ranges[0] if ranges else {}
    if known.get("subnet") or (len(ranges) > 1 and not known.get("cidr")):
        out["subnet"] = ranges
    else:
        # further ranges that the engine adds by itself (IPv6 on Podman) are told in `subnets` only
        out |= first
    if first.get("cidr"):
        out["cidr"] = first["cidr"]
        if first.get("gateway"):
            out["gateway"] = first["gateway"]
    return out


def _docker_range(config: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {"cidr": _cidr(config["Subnet"])}
    gateway = config.get("Gateway") or ""
    if gateway:
        out["gateway"] = gateway.partition("/")[0]
    if config.get("IPRange"):
        out["ip_range"] = _cidr(config["IPRange"])
    if config.get("AuxiliaryAddresses"):
        out["aux_addresses"] = dict(sorted(config["AuxiliaryAddresses"].items()))
    return out


def _podman_range(subnet: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {"cidr": _cidr(subnet["subnet"])}
    if subnet.get("gateway"):
        out["gateway"] = subnet["gateway"]
    lease = subnet.get("lease_range") or {}
    if lease.get("start_ip") and lease.get("end_ip"):
        # Podman leaves out the first address of an ip_range, as it leaves out that of a subnet
        first = ipaddress.ip_address(lease["start_ip"]) - 1
        last = ipaddress.ip_address(lease["end_ip"])
        spans = list(ipaddress.summarize_address_range(first, last))
        out["ip_range"] = str(spans[0]) if len(spans) == 1 else f"{lease['start_ip']}-{lease['end_ip']}"
    return out


def _podman_observed_options(item: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, str]:
    told = {k: str(v) for k, v in (item.get("options") or {}).items()}
    interface = _PODMAN_INTERFACE.get(item.get("driver", ""), "")
    if interface and item.get("network_interface"):
        told[interface] = item["network_interface"]
    out: dict[str, str] = {}
    for name in known:
        own = _PODMAN_OPTIONS.get(name, name)
        if own in told:
            out[name] = told.pop(own)
    # what is left are Podman's choices (the bridge's name, `isolate`) and not the user's
    return dict(sorted(out.items()))


def _cidr(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return text
