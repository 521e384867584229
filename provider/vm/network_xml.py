"""The XML of libvirt's networks, from arguments and back. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from hythe.provider.protocol import Attributes, Identity
from hythe.provider.units import duration_seconds, format_duration
from hythe.provider.vm.marks import metadata, uuid_of
from hythe.provider.vm.xml import Element, add, element

_FORWARD = {"nat": "nat", "routed": "route"}
_MODE = {"nat": "nat", "route": "routed", None: "isolated", "bridge": "bridge", "open": "open"}


def bridge_name(identity: Identity) -> str:
    """The bridge of a network whose configuration names none: an interface's name has at most 15 letters."""
    return f"hy-{uuid_of(identity).replace('-', '')[:10]}"


def gateway_of(attributes: Mapping[str, Any]) -> str | None:
    """The host's address in the network."""
    if attributes.get("gateway"):
        return str(attributes["gateway"])
    cidr = attributes.get("cidr")
    return str(ipaddress.ip_network(cidr)[1]) if cidr else None


def dhcp_range(attributes: Mapping[str, Any]) -> tuple[str, str] | None:
    """First and last address that machines are given; the upper quarter is left to containers."""
    dhcp = attributes.get("dhcp") or {}
    if not attributes.get("cidr") or dhcp.get("enabled") is False:
        return None
    network = ipaddress.ip_network(attributes["cidr"])
    gateway = ipaddress.ip_address(gateway_of(attributes) or network[1])
    start = dhcp.get("start") or str(network[2] if gateway == network[1] else network[1])
    end = dhcp.get("end") or str(network[network.num_addresses * 3 // 4 - 1])
    return start, end


def container_range(attributes: Mapping[str, Any]) -> str:
    """The part of the addresses that containers are given: the upper quarter."""
    network = ipaddress.ip_network(attributes["cidr"])
    return str(list(network.subnets(prefixlen_diff=2))[-1])


def network_xml(attributes: Attributes, identity: Identity) -> Element:
    """The definition of a network that is ours."""
    root = element("network")
    add(root, "name", attributes["name"])
    add(root, "uuid", uuid_of(identity))
    root.append(metadata(identity))
    if attributes.get("host_bridge") is not None:
        add(root, "forward", mode="bridge")
        add(root, "bridge", name=attributes["host_bridge"].get("name") or bridge_name(identity))
        return root
    if attributes["mode"] in _FORWARD:
        add(root, "forward", mode=_FORWARD[attributes["mode"]])
    # no spanning tree: nothing is on this bridge that could make a loop, and the first packets are not held back
    add(root, "bridge", name=attributes.get("bridge") or bridge_name(identity), stp="off", delay=0)
    if attributes.get("mtu"):
        add(root, "mtu", size=attributes["mtu"])
    if attributes.get("domain"):
        add(root, "domain", name=attributes["domain"], localOnly=True)
    _dns(root, attributes.get("dns") or {})
    if attributes.get("cidr"):
        _ip(root, attributes)
    return root


def _dns(root: Element, dns: Mapping[str, Any]) -> None:
    if not dns:
        return
    made = add(root, "dns", enable=None if dns.get("enabled", True) else False)
    for server in dns.get("forwarders") or ():
        add(made, "forwarder", addr=server)
    for host in sorted(dns.get("host") or (), key=lambda h: str(h["address"])):
        made.append(dns_host(host))


def dns_host(host: Mapping[str, Any]) -> Element:
    """The element of a DNS name."""
    made = element("host", ip=host["address"])
    for name in host["names"]:
        add(made, "hostname", name)
    return made


def _ip(root: Element, attributes: Attributes) -> None:
    network = ipaddress.ip_network(attributes["cidr"])
    ip = add(root, "ip", address=gateway_of(attributes), prefix=network.prefixlen)
    span = dhcp_range(attributes)
    if span is None:
        return
    dhcp = add(ip, "dhcp")
    made = add(dhcp, "range", start=span[0], end=span[1])
    lease_time = (attributes.get("dhcp") or {}).get("lease_time")
    if lease_time:
        add(made, "lease", expiry=int(duration_seconds(lease_time)), unit="seconds")
    for lease in sorted(attributes.get("lease") or (), key=lambda item: str(item["mac"])):
        dhcp.append(dhcp_host(lease))


def dhcp_host(lease: Mapping[str, Any]) -> Element:
    """The element of a fixed lease."""
    return element("host", mac=lease["mac"], name=lease.get("name"), ip=lease["address"])


# -- back -----------------------------------------------------------------------------------------


def observe(root: Element, known: Mapping[str, Any]) -> Attributes:
    """The arguments that describe a network. What libvirt fills in by itself is left out where it was not given."""
    forward = root.find("forward")
    out: Attributes = {"internal": False, "attachable": False, "name": root.findtext("name") or ""}
    kind = forward.get("mode") if forward is not None else None
    out["mode"] = _MODE.get(kind, str(kind))
    out["id"] = root.findtext("uuid") or ""
    for name in ("host", "uri"):
        if known.get(name) is not None:
            out[name] = known[name]
    bridge = root.find("bridge")
    if bridge is not None and bridge.get("name"):
        out["bridge"] = bridge.get("name")
    if out["mode"] == "bridge":
        out["host_bridge"] = {"name": out.get("bridge", "")}
        return out
    mtu, domain = root.find("mtu"), root.find("domain")
    if mtu is not None:
        out["mtu"] = int(mtu.get("size", "0"))
    if domain is not None:
        out["domain"] = domain.get("name")
    dns = _observe_dns(root.find("dns"), known.get("dns") or {})
    if dns:
        out["dns"] = dns
    ip = next((i for i in root.findall("ip") if i.get("family", "ipv4") == "ipv4"), None)
    if ip is not None:
        _observe_ip(out, ip, known)
    return out


def _observe_dns(dns: Element | None, known: Mapping[str, Any]) -> Attributes:
    if dns is None:
        return {}
    out: Attributes = {"enabled": dns.get("enable", "yes") == "yes"}
    forwarders = [f.get("addr", "") for f in dns.findall("forwarder") if f.get("addr")]
    if forwarders:
        out["forwarders"] = forwarders
    hosts = [
        {"address": h.get("ip", ""), "names": [n.text or "" for n in h.findall("hostname")]}
        for h in dns.findall("host")
    ]
    if hosts:
        out["host"] = hosts
    return out if known or out != {"enabled": True} else {}


def _observe_ip(out: Attributes, ip: Element, known: Mapping[str, Any]) -> None:
    network = ipaddress.ip_interface(f"{ip.get('address')}/{ip.get('prefix') or ip.get('netmask')}").network
    out["cidr"], out["gateway"] = str(network), ip.get("address")
    out["subnets"] = [str(network)]
    dhcp = ip.find("dhcp")
    given = known.get("dhcp")
    span = dhcp.find("range") if dhcp is not None else None
    found: Attributes = {"enabled": span is not None}
    if span is not None:
        defaults = dhcp_range({"cidr": str(network), "gateway": ip.get("address")}) or ("", "")
        for name, default in zip(("start", "end"), defaults, strict=True):
            value = span.get(name, "")
            if value != default or (given or {}).get(name):
                found[name] = value
        lease = span.find("lease")
        if lease is not None:
            found["lease_time"] = format_duration(_seconds(lease))
    if given or found != {"enabled": True}:
        out["dhcp"] = found
    hosts = dhcp.findall("host") if dhcp is not None else []
    leases = [
        {"mac": h.get("mac", ""), "address": h.get("ip", ""), **({"name": h.get("name")} if h.get("name") else {})}
        for h in hosts
        if h.get("mac") and h.get("ip")
    ]
    if leases:
        out["lease"] = leases


def _seconds(lease: Element) -> int:
    number = int(lease.get("expiry", "0"))
    return number * {"seconds": 1, "minutes": 60, "hours": 3600}.get(lease.get("unit", "minutes"), 60)
