"""A container's memberships of networks: as wished, as they are, and from one to the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hythe.provider.container.client import Engine, EngineError, refused, segment
from hythe.provider.container.container_spec import Membership, endpoint_body
from hythe.provider.container.labels import NETWORKS
from hythe.provider.protocol import Attributes, Referent
from hythe.value import Reference

Inspect = Mapping[str, Any]

DEFAULT_NETWORKS = ("bridge", "podman", "default")
_UNLISTED = ("host", "none")


def memberships(attributes: Attributes, resolve: Callable[[Reference], Referent]) -> list[Membership]:
    """The networks that a container is to be a member of, with the engine's names for them."""
    out = []
    for block in attributes.get("network", ()):
        given = block["network"]
        if isinstance(given, Reference):
            there = resolve(given)
            out.append(Membership(block, there.id, str(there.attributes["name"]), there.attributes.get("id")))
        else:
            out.append(Membership(block, given, given, None))
    return out


def default_network(engine: Engine) -> str:
    """The network that a container joins when nothing is said."""
    return "podman" if engine.kind == "podman" else "bridge"


def endpoints(inspect: Inspect) -> dict[str, Inspect]:
    """The engine's memberships by network name, without pseudo-networks."""
    found = (inspect.get("NetworkSettings") or {}).get("Networks") or {}
    return {name: end for name, end in sorted(found.items()) if name not in _UNLISTED and end is not None}


def identify(name: str, endpoint: Inspect) -> str:
    """What tells one network from another on this engine."""
    return str(endpoint.get("NetworkID") or name)


def matching(member: Membership, found: Mapping[str, Inspect]) -> str | None:
    """The name of the endpoint that is this membership, None when there is none."""
    for name, endpoint in found.items():
        # Podman with CNI tells a network's name where Docker tells its id
        if member.id is not None and endpoint.get("NetworkID") not in (None, "", name):
            if endpoint["NetworkID"] == member.id:
                return name
        elif member.name in (name, endpoint.get("NetworkID")):
            return name
    return None


def network_ids(members: Sequence[Membership], inspect: Inspect) -> dict[str, str]:
    """By recorded key the engine's id of each network that the container really is a member of."""
    found = endpoints(inspect)
    named = {member.key: matching(member, found) for member in members}
    return {key: identify(name, found[name]) for key, name in named.items() if name is not None}


def remembered(members: Sequence[Membership]) -> dict[str, str]:
    """The label by which a container tells its networks when state does not."""
    return {NETWORKS: "\n".join(f"{m.key}={m.name}" for m in members)} if members else {}


def recall(inspect: Inspect) -> dict[str, str]:
    """The network names of :func:`remembered`, by recorded key."""
    text = (inspect["Config"].get("Labels") or {}).get(NETWORKS, "")
    return dict(line.partition("=")[::2] for line in text.split("\n") if line)


def recalled_ids(inspect: Inspect) -> dict[str, str]:
    """What :func:`network_ids` gave when it was made: ids of the networks that it is still in, names of others."""
    found = endpoints(inspect)
    return {key: identify(name, found[name]) if name in found else name for key, name in recall(inspect).items()}


def linked_ids(attributes: Attributes, seen: Attributes) -> Attributes:
    """``network_ids`` of an imported container, whose blocks have references where ``seen`` has names."""
    ids = dict(attributes.get("network_ids") or {})
    for block, before in zip(attributes.get("network") or [], seen.get("network") or [], strict=False):
        given, name = block.get("network"), before.get("network")
        if isinstance(given, Reference) and isinstance(given.id, str) and name in ids:
            ids[given.id] = ids.pop(name)
    return {"network_ids": ids} if ids else {}


def observe_networks(inspect: Inspect) -> list[dict[str, Any]]:
    """``network`` blocks with raw names. The default network alone is what one gets without any."""
    found = endpoints(inspect)
    if list(found) in ([n] for n in DEFAULT_NETWORKS):
        return []
    return [_block(name, endpoint, inspect) for name, endpoint in found.items()]


def refresh_networks(before: Attributes, inspect: Inspect) -> list[dict[str, Any]]:
    """``network`` blocks as they are, in the recorded form (and order) where they are as recorded."""
    found = endpoints(inspect)
    recorded = before.get("network", [])
    if not recorded and list(found) in ([n] for n in DEFAULT_NETWORKS):
        return []
    ids = before.get("network_ids") or {}
    out, seen = [], set()
    for block in recorded:
        given = block["network"]
        key = given.id if isinstance(given, Reference) else given
        name = next((n for n, end in found.items() if ids.get(key, key) in (identify(n, end), n)), None)
        if name is not None:
            seen.add(name)
            out.append(_refreshed(block, name, found[name], inspect))
    return out + [_block(n, end, inspect) for n, end in found.items() if n not in seen]


def _refreshed(block: Mapping[str, Any], name: str, endpoint: Inspect, inspect: Inspect) -> dict[str, Any]:
    told = _block(name, endpoint, inspect)
    told["network"] = block["network"]
    for argument in ("mac_address", "driver_opts"):
        if argument in block:
            told[argument] = block[argument]
    # Podman does not tell which addresses were asked for, only which there are while it runs
    for argument, there in (("ipv4_address", "IPAddress"), ("ipv6_address", "GlobalIPv6Address")):
        if argument in block and argument not in told and endpoint.get(there) in (None, "", block[argument]):
            told[argument] = block[argument]
    for argument in ("aliases", "link_local_ips"):
        # its own name is an alias whether it is asked for or not
        asked = [v for v in block.get(argument, ()) if v not in _own_names(inspect)]
        if sorted(told.get(argument, ())) == sorted(asked):
            told.pop(argument, None)
            if argument in block:
                told[argument] = block[argument]
    return told


def _block(name: str, endpoint: Inspect, inspect: Inspect) -> dict[str, Any]:
    out: dict[str, Any] = {"network": name}
    aliases = sorted(a for a in endpoint.get("Aliases") or () if a not in _own_names(inspect))
    if aliases:
        out["aliases"] = aliases
    ipam = endpoint.get("IPAMConfig") or {}
    if ipam.get("IPv4Address"):
        out["ipv4_address"] = ipam["IPv4Address"]
    if ipam.get("IPv6Address"):
        out["ipv6_address"] = ipam["IPv6Address"]
    if ipam.get("LinkLocalIPs"):
        out["link_local_ips"] = ipam["LinkLocalIPs"]
    if endpoint.get("DriverOpts"):
        out["driver_opts"] = endpoint["DriverOpts"]
    return out


def _own_names(inspect: Inspect) -> set[str]:
    return {inspect["Id"][:12], inspect["Name"].lstrip("/")}


def connect(engine: Engine, container_id: str, member: Membership, what: str) -> None:
    """Make a container a member. Raises ProviderError."""
    body = {"Container": container_id, "EndpointConfig": endpoint_body(member.block)}
    try:
        engine.request("POST", f"/networks/{segment(member.handle)}/connect", json=body)
    except EngineError as failure:
        # after a crash it may be a member already
        if "already exists in network" in failure.message or "is already connected" in failure.message:
            return
        raise refused(failure, what) from failure


def disconnect(engine: Engine, container_id: str, network: str, what: str) -> None:
    """End a membership; none is fine. Raises ProviderError."""
    try:
        engine.request(
            "POST", f"/networks/{segment(network)}/disconnect", json={"Container": container_id, "Force": True}
        )
    except EngineError as failure:
        if failure.status == 404 or "is not connected" in failure.message:
            return
        raise refused(failure, what) from failure


def reconnect(engine: Engine, inspect: Inspect, members: Sequence[Membership], what: str) -> None:
    """Make the memberships what they are to be, leaving alone those that already are so."""
    found = endpoints(inspect)
    kept: set[str] = set()
    missing: list[Membership] = []
    for member in members:
        name = matching(member, found)
        if name is not None and _as_wished(member.block, _refreshed(member.block, name, found[name], inspect)):
            kept.add(name)
        else:
            missing.append(member)
    for name, endpoint in found.items():
        if name not in kept and not (not members and name in DEFAULT_NETWORKS):
            disconnect(engine, inspect["Id"], identify(name, endpoint), what)
    for member in missing:
        connect(engine, inspect["Id"], member, what)
    if not members and not any(name in DEFAULT_NETWORKS for name in found):
        default = default_network(engine)
        connect(engine, inspect["Id"], Membership({}, default, default, None), what)


def _as_wished(wished: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    """Whether a membership, refreshed from what was wished, still is that."""
    return all(
        (sorted(wished.get(n, ())) if isinstance(wished.get(n), list) else wished.get(n))
        == (sorted(told.get(n, ())) if isinstance(told.get(n), list) else told.get(n))
        for n in ("aliases", "ipv4_address", "ipv6_address", "link_local_ips", "driver_opts")
    )
