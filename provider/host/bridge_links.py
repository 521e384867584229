"""Looking at the interfaces of a host and changing them: by netlink on this machine, by iproute2 over SSH."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any

from hythe.diagnostic import error
from hythe.provider.connection.local import LocalHost
from hythe.provider.host.bridge import BRIDGE, Link, Step, argv
from hythe.provider.protocol import Host, ProviderError

_SECONDS = 30.0
_UP = 1
_NOT_PERMITTED, _NO_SUCH_DEVICE, _EXISTS, _NOT_SUPPORTED, _NO_ADDRESS = 1, 19, 17, 95, 99


def links_of(host: Host, what: str) -> dict[str, Link]:
    """The interfaces of a host by name. Raises ProviderError."""
    if isinstance(host, LocalHost):
        return _by_netlink()
    done = host.run(["ip", "-json", "-details", "address", "show"], timeout=_SECONDS)
    if done.code:
        said = done.stderr.decode(errors="replace").strip()
        detail = f"{what}: `ip address` failed: {said}. Install it: `sudo apt-get install iproute2`."
        raise ProviderError(error("Interfaces cannot be read", detail))
    return {item["ifname"]: _told(item) for item in json.loads(done.stdout or b"[]") if item.get("ifname")}


def carry_out(host: Host, steps: Sequence[Step], what: str) -> None:
    """Change the interfaces of a host. Raises ProviderError."""
    if not steps:
        return
    if isinstance(host, LocalHost):
        _netlink(steps, what)
        return
    for step in steps:
        done = host.run(argv(step), timeout=_SECONDS)
        if done.code:
            raise _failed(step, done.stderr.decode(errors="replace").strip(), what)


def _failed(step: Step, said: str, what: str) -> ProviderError:
    if "not permitted" in said:
        fix = "Only root may change interfaces: run Hythe as root, or reach the host over SSH as root."
    elif step.verb == "add" and ("Unknown device type" in said or "not supported" in said):
        kind = str(step.details.get("kind"))
        module = "bridge" if kind == BRIDGE else "8021q"
        fix = f"The host's kernel has no interfaces of the type {kind}: load the module (`sudo modprobe {module}`)."
    else:
        fix = "`ip -details link` on the host shows its interfaces."
    return ProviderError(error("Bridge not made", f'{what}: interface "{step.name}" ({step.verb}): {said}. {fix}'))


def _told(item: dict[str, Any]) -> Link:
    """An interface as ``ip -json`` tells it."""
    info = item.get("linkinfo") or {}
    data = info.get("info_data") or {}
    kind = str(info.get("info_kind") or "")
    return Link(
        str(item["ifname"]),
        kind,
        str(item.get("ifalias") or ""),
        item.get("master"),
        "UP" in (item.get("flags") or ()),
        item.get("link") if kind == "vlan" else None,
        data.get("id") if kind == "vlan" else None,
        bool(data.get("stp_state")) if kind == BRIDGE else False,
        tuple(f"{a['local']}/{a['prefixlen']}" for a in item.get("addr_info") or () if a.get("local")),
    )


# -- netlink --------------------------------------------------------------------------------------


def _by_netlink() -> dict[str, Link]:
    from pyroute2 import IPRoute

    with IPRoute() as netlink:
        found = list(netlink.get_links())
        addresses: dict[int, list[str]] = {}
        for item in netlink.get_addr():
            local = item.get_attr("IFA_LOCAL") or item.get_attr("IFA_ADDRESS")
            addresses.setdefault(item["index"], []).append(f"{local}/{item['prefixlen']}")
    names = {item["index"]: str(item.get_attr("IFLA_IFNAME")) for item in found}
    return {names[i["index"]]: _seen(i, names, tuple(addresses.get(i["index"], ()))) for i in found}


def _seen(item: Any, names: dict[int, str], addresses: tuple[str, ...]) -> Link:
    info = item.get_attr("IFLA_LINKINFO")
    kind = str((info.get_attr("IFLA_INFO_KIND") if info is not None else None) or "")
    data = info.get_attr("IFLA_INFO_DATA") if info is not None and kind in (BRIDGE, "vlan") else None
    number = data.get_attr("IFLA_VLAN_ID") if data is not None and kind == "vlan" else None
    return Link(
        names[item["index"]],
        kind,
        str(item.get_attr("IFLA_IFALIAS") or ""),
        names.get(item.get_attr("IFLA_MASTER")),
        bool(item["flags"] & _UP),
        names.get(item.get_attr("IFLA_LINK")) if kind == "vlan" else None,
        number,
        bool(data.get_attr("IFLA_BR_STP_STATE")) if data is not None and kind == BRIDGE else False,
        addresses,
    )


def _netlink(steps: Sequence[Step], what: str) -> None:
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    with IPRoute() as netlink:
        for step in steps:
            try:
                _one(netlink, step)
            except NetlinkError as failure:
                if (step.verb, failure.code) in (("delete", _NO_SUCH_DEVICE), ("no-address", _NO_ADDRESS)):
                    continue
                if failure.code == _EXISTS and step.verb == "add":
                    continue
                raise _failed(step, _words(failure), what) from failure


def _words(failure: Any) -> str:
    if failure.code == _NOT_PERMITTED:
        return "operation not permitted"
    if failure.code == _NOT_SUPPORTED:
        return "operation not supported"
    return str(failure.args[1] if len(failure.args) > 1 else failure)


def _one(netlink: Any, step: Step) -> None:
    told = step.details
    if step.verb == "add":
        if told["kind"] == BRIDGE:
            netlink.link("add", ifname=step.name, kind="bridge", br_stp_state=0, br_forward_delay=0)
        else:
            parent = _index(netlink, told["parent"])
            netlink.link("add", ifname=step.name, kind="vlan", link=parent, vlan_id=told["id"])
        return
    index = _index(netlink, step.name)
    match step.verb:
        case "delete":
            netlink.link("del", index=index)
        case "rename":
            netlink.link("set", index=index, ifname=told["to"])
        case "alias":
            netlink.link("set", index=index, ifalias=told["to"])
        case "master":
            netlink.link("set", index=index, master=_index(netlink, told["of"]) if told["of"] else 0)
        case "stp":
            netlink.link("set", index=index, kind="bridge", br_stp_state=1 if told["on"] else 0)
        case "up":
            netlink.link("set", index=index, state="up")
        case _:
            address, _, prefix = told["address"].partition("/")
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            verb = "replace" if step.verb == "address" else "del"
            netlink.addr(verb, index=index, address=address, prefixlen=int(prefix), family=family)


def _index(netlink: Any, name: str) -> int:
    from pyroute2.netlink.exceptions import NetlinkError

    found = netlink.link_lookup(ifname=name)
    if not found:
        raise NetlinkError(_NO_SUCH_DEVICE, "no such interface")
    return int(found[0])
