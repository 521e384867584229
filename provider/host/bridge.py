"""Bridges of a host and their VLANs: what is there, what shall be, and the steps from one to the other. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hythe.diagnostic import Diagnostic, error
from hythe.provider.protocol import Identity

BRIDGE, VLAN = "bridge", "vlan"
_MARK = "hythe"
_PASSING = frozenset({"tun", "veth"})
"""Sorts of interfaces that engines and hypervisors put onto a bridge and take away again."""


@dataclass(frozen=True, slots=True)
class Link:
    """An interface of a host. ``parent`` and ``vlan`` are of a VLAN, ``stp`` is of a bridge."""

    name: str
    kind: str = ""
    alias: str = ""
    master: str | None = None
    up: bool = False
    parent: str | None = None
    vlan: int | None = None
    stp: bool = False
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One change. ``verb``: add, delete, rename, alias, master, up, address, no-address, stp."""

    verb: str
    name: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wish:
    """The bridge that shall be. ``own`` and ``own_vlan`` are the names that are made of the network's identity."""

    name: str
    own: str
    own_vlan: str
    mark: str
    ports: tuple[str, ...]
    vlan: tuple[int, str] | None
    addresses: tuple[str, ...]
    stp: bool


def mark_of(identity: Identity) -> str:
    """What the alias of an interface says that is ours; the kernel keeps up to 255 letters."""
    return f"{_MARK} {identity.lineage} {identity.id} {identity.address}"[:255]


def is_marked(link: Link, lineage: str, id: str) -> bool:
    """Whether an interface was made for that instance."""
    return link.alias.split(" ")[:3] == [_MARK, lineage, id]


def _ours(link: Link, wish: Wish) -> bool:
    return is_marked(link, *wish.mark.split(" ")[1:3])


def is_made(block: Mapping[str, Any]) -> bool:
    """Whether a ``host_bridge`` block is one that Hythe makes, and not one that is there."""
    return block.get("name") is None or any(block.get(n) is not None for n in ("ports", "vlan", "addresses"))


def wish_of(block: Mapping[str, Any], identity: Identity, uuid: str) -> Wish:
    """The bridge of a ``host_bridge`` block."""
    digits = uuid.replace("-", "")[:10]
    vlan = block.get("vlan")
    return Wish(
        block.get("name") or f"hy-{digits}",
        f"hy-{digits}",
        f"hv-{digits}",
        mark_of(identity),
        tuple(block.get("ports") or ()),
        (int(vlan["id"]), str(vlan["parent"])) if vlan else None,
        tuple(block.get("addresses") or ()),
        bool(block.get("stp")),
    )


def problem(links: Mapping[str, Link], wish: Wish, what: str) -> Diagnostic | None:
    """Why a bridge cannot be made so, if it cannot."""
    there = links.get(wish.name)
    if there is not None and not _ours(there, wish):
        return error(
            "Name already taken",
            f'{what}: the host has an interface "{wish.name}" that Hythe did not make for this network. To use that '
            "bridge as it is, write its `name` alone; else choose another name.",
        )
    for port in (*wish.ports, *((wish.vlan[1],) if wish.vlan else ())):
        if port not in links:
            have = ", ".join(sorted(links))
            return error("Interface not found", f'{what}: the host has no interface "{port}". It has {have}.')
    for port in wish.ports:
        link = links[port]
        if link.master not in (None, wish.name):
            return error(
                "Interface in use",
                f'{what}: interface "{port}" is part of "{link.master}" already. Take it away from there first '
                f"(`ip link set {port} nomaster`), or name another one.",
            )
        own = [a for a in link.addresses if not a.lower().startswith("fe80:")]
        if own:
            return error(
                "Interface in use",
                f'{what}: interface "{port}" has addresses of its own ({", ".join(own)}), which would no longer be '
                "reached once it is part of a bridge. Name another interface, use a `vlan` of it, or make the bridge "
                "in the network settings of the system and write its `name` alone.",
            )
    return None


def steps(links: Mapping[str, Link], wish: Wish, released: Sequence[str] = ()) -> list[Step]:
    """What is to be done, in order. An interface is marked before it bears the name that it is known by.

    ``released`` are ports that it had by our doing. Guests' and containers' ports are left alone.
    """
    out: list[Step] = []
    there = links.get(wish.name)
    if there is None:
        out += _made(links, wish.own, wish, {"kind": BRIDGE})
        if wish.name != wish.own:
            out.append(Step("rename", wish.own, {"to": wish.name}))
    if (there.stp if there else False) != wish.stp:
        out.append(Step("stp", wish.name, {"on": wish.stp}))
    ports = list(wish.ports)
    made = _vlan(links, wish)
    out += made
    if wish.vlan:
        ports.append(wish.own_vlan)
    if any(step.verb == "delete" for step in made):
        links = {name: link for name, link in links.items() if name != wish.own_vlan}
    for name in sorted(ports):
        link = links.get(name)
        if link is None or link.master != wish.name or there is None:
            out.append(Step("master", name, {"of": wish.name}))
        if link is None or not link.up:
            out.append(Step("up", name))
    on = {name: link for name, link in links.items() if link.master == wish.name and name not in ports}
    out += [
        Step("master", name, {"of": None})
        for name, link in sorted(on.items())
        if name != wish.own_vlan and (name in released or link.kind not in _PASSING)
    ]
    out += _addresses(there.addresses if there else (), wish)
    if there is None or not there.up:
        out.append(Step("up", wish.name))
    return out


def _addresses(have: Sequence[str], wish: Wish) -> list[Step]:
    gone = [a for a in have if a not in wish.addresses and not a.lower().startswith("fe80:")]
    # with the first address of a range the kernel takes away the others of it
    missing = [a for a in wish.addresses if a not in have or (gone and ":" not in a)]
    out = [Step("no-address", wish.name, {"address": a}) for a in gone]
    return out + [Step("address", wish.name, {"address": a}) for a in missing]


def _made(links: Mapping[str, Link], name: str, wish: Wish, details: Mapping[str, Any]) -> list[Step]:
    """A new interface; one that an earlier, interrupted call left is taken up."""
    link = links.get(name)
    out = [] if link is not None else [Step("add", name, details)]
    return out if link is not None and _ours(link, wish) else [*out, Step("alias", name, {"to": wish.mark})]


def _vlan(links: Mapping[str, Link], wish: Wish) -> list[Step]:
    there = links.get(wish.own_vlan)
    fits = there is not None and wish.vlan == (there.vlan, there.parent)
    out = [Step("delete", wish.own_vlan)] if there is not None and not fits else []
    if wish.vlan is None:
        return out
    # the kernel brings no VLAN up whose parent is down
    if not links[wish.vlan[1]].up:
        out.append(Step("up", wish.vlan[1]))
    if fits:
        return [*out, *_made(links, wish.own_vlan, wish, {})]
    details = {"kind": VLAN, "id": wish.vlan[0], "parent": wish.vlan[1]}
    return [*out, *_made({}, wish.own_vlan, wish, details)]


def removal(links: Mapping[str, Link], lineage: str, id: str, names: Sequence[str]) -> list[Step]:
    """What removes everything that was made for an instance. ``names`` are those that are made of its identity."""
    gone = [n for n, link in sorted(links.items()) if is_marked(link, lineage, id) or (n in names and not link.alias)]
    return [Step("delete", name) for name in gone]


def observe(links: Mapping[str, Link], block: Mapping[str, Any], name: str) -> tuple[dict[str, Any], bool]:
    """A ``host_bridge`` block as it is, without the bridge's name, and whether the bridge is there and up."""
    out: dict[str, Any] = {}
    there = links.get(name)
    if not is_made(block) or there is None:
        return out, there is not None and there.up
    asked = list(block.get("ports") or ())
    on = [p for p in asked if p in links and links[p].master == name and links[p].up]
    on += [link.name for link in _others(links, name) if link.name not in asked and link.kind != VLAN]
    if block.get("ports") is not None or on:
        out["ports"] = on
    vlans = (v for v in links.values() if v.kind == VLAN and v.master == name and v.name.startswith("hv-") and v.up)
    vlan = next(vlans, None)
    if vlan is not None:
        out["vlan"] = {"id": vlan.vlan, "parent": vlan.parent}
    own = [a for a in there.addresses if not a.lower().startswith("fe80:")]
    if block.get("addresses") is not None or own:
        out["addresses"] = own
    if block.get("stp") is not None or there.stp:
        out["stp"] = there.stp
    return out, there.up


def _others(links: Mapping[str, Link], bridge: str) -> list[Link]:
    """Ports of a bridge that stay there, unlike those of guests and containers."""
    return [link for _, link in sorted(links.items()) if link.master == bridge and link.kind not in _PASSING]


def argv(step: Step) -> list[str]:
    """A step as a command of iproute2."""
    name, told = step.name, step.details
    match step.verb:
        case "add" if told["kind"] == BRIDGE:
            return ["ip", "link", "add", name, "type", "bridge", "stp_state", "0", "forward_delay", "0"]
        case "add":
            return ["ip", "link", "add", "link", told["parent"], "name", name, "type", "vlan", "id", str(told["id"])]
        case "delete":
            return ["ip", "link", "delete", name]
        case "rename":
            return ["ip", "link", "set", name, "name", told["to"]]
        case "alias":
            return ["ip", "link", "set", name, "alias", told["to"]]
        case "master":
            return ["ip", "link", "set", name, *(("master", told["of"]) if told["of"] else ("nomaster",))]
        case "stp":
            return ["ip", "link", "set", name, "type", "bridge", "stp_state", "1" if told["on"] else "0"]
        case "up":
            return ["ip", "link", "set", name, "up"]
        case "address":
            return ["ip", "address", "replace", told["address"], "dev", name]
        case _:
            return ["ip", "address", "delete", told["address"], "dev", name]
