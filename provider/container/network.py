"""The ``network`` kind: networks of the container engine.

Engines cannot change a network, so every change but none at all replaces it. Two networks can have one
name on Docker, so a name is looked up before it is taken. What state cannot recover: on Podman whether
the network is ``attachable``, which Podman does not keep.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hythe.diagnostic import Diagnostic, error
from hythe.provider.container import usage
from hythe.provider.container.client import Engine, EngineError, explain, refused, segment
from hythe.provider.container.labels import filters, identity_of, mark, whose
from hythe.provider.container.network_model import NetworkData, NetworkModel
from hythe.provider.container.network_read import from_docker, from_podman, podman_options
from hythe.provider.protocol import (
    Attributes,
    Context,
    Found,
    Host,
    Identity,
    Kind,
    Observed,
    Owned,
    PrepareContext,
    Presence,
    ProviderError,
    ReadContext,
    ReadRequest,
)

_INTERFACE_GONE = "route ip+net: no such network interface"
"""Said when an interface of somebody else goes while the engine looks through all of them for a free subnet."""
_TRIES, _PAUSE = 10, 0.1


class Network(Kind):
    """A network of the engine, for containers of one host.

    Two of one name are refused, although engines allow them. When it is replaced, the containers that Hythe
    made are joined to the new one.
    """

    name = "network"
    model = NetworkModel
    data_model = NetworkData
    lag = 10.0

    def prepare(self, desired: Attributes, context: PrepareContext) -> tuple[Attributes, list[Diagnostic]]:
        """Give it a name when it has none."""
        return ({"name": context.default_name()} | desired, [])

    # -- making and removing -------------------------------------------------------------------

    def create(self, context: Context, desired: Attributes) -> Attributes:
        """Make the network; one that an earlier, interrupted call made is taken up."""
        engine: Engine = context.host.engine()
        what = f'Creating network "{desired["name"]}"'
        _refuse_impossible(engine, desired, what)
        there = _taken_up(engine, desired["name"], context.identity)
        if there is not None:
            return _observe(engine, there, desired)
        context.progress(f"creating network {desired['name']}")
        return _observe(engine, _made(engine, desired, context.identity, what), desired)

    def update(self, context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
        """Nothing of a network can be changed in place: every argument replaces it."""
        raise ProviderError(
            error(
                "Networks cannot be changed in place",
                f'The engine cannot change {", ".join(changed)} of network "{before.get("name")}". '
                "Replace it: run apply with --replace and its address.",
            )
        )

    def delete(self, context: Context, before: Attributes) -> None:
        """Remove the network. Containers of the same state leave it; others keep it, and are named."""
        engine: Engine = context.host.engine()
        id = before["id"]
        what = f'Removing network "{before.get("name", id)}"'
        if not any(_id(i) == id for i in _listed(engine)):
            return

        def remove() -> None:
            _empty(engine, before, context.identity.lineage, what)
            engine.request("DELETE", f"/networks/{segment(id)}")

        try:
            usage.when_free(remove, context.check)
        except EngineError as failure:
            if failure.status == 404:
                return
            raise (_miscounted(engine, before, failure, what) or refused(failure, what)) from failure

    # -- looking -------------------------------------------------------------------------------

    def read_many(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Observed]:
        """Observe networks with one list call."""
        engine: Engine = context.host.engine()
        items = _listed(engine)
        by_id = {_id(item): item for item in items}
        by_mark = _by_mark(items)
        out: dict[str, Observed] = {}
        for request in requests:
            item = by_id.get(request.attributes.get("id", "")) or by_mark.get(request.id)
            out[request.id] = Presence.ABSENT if item is None else _observe(engine, item, request.attributes)
        return out

    def find(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Found]:
        """Networks that carry the ids asked for; the engine makes a network wholly or not at all."""
        engine: Engine = context.host.engine()
        by_mark = _by_mark(_listed(engine))
        return {
            r.id: Found(_observe(engine, by_mark[r.id], r.attributes), complete=True)
            for r in requests
            if r.id in by_mark
        }

    def find_owned(self, context: ReadContext) -> list[Owned]:
        """Every network that carries the lineage."""
        engine: Engine = context.host.engine()
        out: list[Owned] = []
        for item in _listed(engine, filters(lineage=context.lineage)):
            identity = identity_of(_labels(item))
            if identity is not None and context.is_mine(identity):
                out.append(Owned(identity, _observe(engine, item, {})))
        return out

    def import_object(self, context: Context, object_id: str) -> Attributes:
        """A network by name or id."""
        return _selected(context.host, object_id, "Importing")

    def read_data(self, context: ReadContext, desired: Attributes) -> Attributes:
        """A network by name or id."""
        found = _selected(context.host, desired["name"], "Reading")
        known = NetworkData.model_fields
        return {k: v for k, v in found.items() if k in known} | {"name": desired["name"]}


def _selected(host: Host, wanted: str, doing: str) -> Attributes:
    engine: Engine = host.engine()
    items = [i for i in _listed(engine) if wanted in (_name(i), _id(i)) or _is_short(wanted, _id(i))]
    if not items:
        raise ProviderError(
            error(
                "Network not found",
                f'{doing} network "{wanted}": the engine of {host.name} has none of that name or id. '
                f"`{engine.kind} network ls` shows those it has.",
            )
        )
    if len(items) > 1:
        ids = ", ".join(_id(i)[:12] for i in items)
        raise ProviderError(
            error(
                "Several networks of that name",
                f'{doing} network "{wanted}": the engine of {host.name} has {len(items)} of that name ({ids}). '
                "Give the id in place of the name.",
            )
        )
    return _observe(engine, items[0], {})


def _is_short(wanted: str, id: str) -> bool:
    return len(wanted) >= 12 and id.startswith(wanted)


def _listed(engine: Engine, wanted: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    path = "/libpod/networks/json" if engine.kind == "podman" else "/networks"
    try:
        found: list[dict[str, Any]] = engine.request("GET", path, query={"filters": wanted}).json() or []
    except EngineError as failure:
        raise refused(failure, "Listing networks") from failure
    return found


def _observe(engine: Engine, item: Mapping[str, Any], known: Mapping[str, Any]) -> Attributes:
    return from_podman(item, known) if "subnets" in item or "name" in item else from_docker(item, known)


def _name(item: Mapping[str, Any]) -> str:
    return str(item.get("Name") or item.get("name"))


def _id(item: Mapping[str, Any]) -> str:
    return str(item.get("Id") or item.get("id"))


def _labels(item: Mapping[str, Any]) -> Mapping[str, str]:
    labels: Mapping[str, str] = item.get("Labels") or item.get("labels") or {}
    return labels


def _by_mark(items: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    for item in items:
        identity = identity_of(_labels(item))
        if identity is not None:
            out[identity.id] = item
    return out


def _made(engine: Engine, desired: Attributes, identity: Identity, what: str) -> dict[str, Any]:
    for attempt in range(_TRIES):
        try:
            made = engine.request("POST", "/networks/create", json=_body(engine, desired, identity)).json()
            return next(i for i in _listed(engine) if _id(i) == made["Id"])
        except EngineError as failure:
            # an engine that was still busy with an interrupted call may have been quicker
            there = _taken_up(engine, desired["name"], identity)
            if there is not None:
                return there
            if _INTERFACE_GONE not in failure.message or attempt + 1 == _TRIES:
                raise refused(failure, what) from failure
        time.sleep(_PAUSE)
    raise AssertionError("the last attempt raises")


def _taken_up(engine: Engine, name: str, identity: Identity) -> dict[str, Any] | None:
    """The network of that name if it is this very instance's. Raises ProviderError when it is another's."""
    for item in _listed(engine):
        if _name(item) == name:
            if identity_of(_labels(item)) == identity:
                return item
            raise ProviderError(_taken(name, item, identity.lineage))
    return None


def _taken(name: str, item: Mapping[str, Any], lineage: str) -> Diagnostic:
    return error(
        "Name already taken",
        f'Creating network "{name}": the engine has a network of that name already ({_id(item)[:12]}). '
        f"{whose(identity_of(_labels(item)), lineage)} "
        "Choose another name, remove that network, or take it into the state with `hythe import`.",
    )


def _refuse_impossible(engine: Engine, desired: Attributes, what: str) -> None:
    if engine.kind != "podman":
        return
    if any(s.get("aux_addresses") for s in [desired, *desired.get("subnet", ())]):
        raise ProviderError(
            error(
                "Not possible on Podman",
                f"{what}: Podman cannot keep single addresses back, so `aux_addresses` cannot be kept. "
                "Use `ip_range` to leave them out of what it gives away.",
            )
        )


def _body(engine: Engine, desired: Attributes, identity: Identity) -> dict[str, Any]:
    ranges = desired.get("subnet") or ([desired] if desired.get("cidr") else [])
    options = dict(desired.get("options") or {})
    ipv6 = desired.get("ipv6")
    if ipv6 is None:
        ipv6 = any(ipaddress.ip_network(r["cidr"]).version == 6 for r in ranges)
    body: dict[str, Any] = {
        "Name": desired["name"],
        "CheckDuplicate": True,
        "Driver": desired["mode"],
        "Internal": desired["internal"],
        "Attachable": desired["attachable"],
        "EnableIPv6": ipv6,
        "Options": podman_options(options) if engine.kind == "podman" else options,
        "Labels": {**(desired.get("labels") or {}), **mark(identity)},
    }
    if ranges:
        body["IPAM"] = {"Driver": "default", "Config": [_ipam(r) for r in ranges]}
    return body


def _ipam(range: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {"Subnet": range["cidr"]}
    for ours, theirs in (("gateway", "Gateway"), ("ip_range", "IPRange"), ("aux_addresses", "AuxiliaryAddresses")):
        if range.get(ours):
            out[theirs] = range[ours]
    return out


def _empty(engine: Engine, attributes: Attributes, lineage: str, what: str) -> None:
    """Take our containers off a network. Raises ProviderError when others use it, before any is touched."""
    users = usage.containers(engine, network=[attributes["id"], attributes["name"]])
    foreign = [u for u in users if u.identity is None or u.identity.lineage != lineage]
    if foreign:
        raise ProviderError(
            error(
                "Network still in use",
                f"{what}: {usage.listed(foreign)} not made by this configuration still uses it. "
                f"Disconnect what uses it (`{engine.kind} network disconnect {attributes['name']} NAME`) "
                "and apply again.",
            )
        )
    for user in users:
        _disconnect(engine, attributes["id"], user)


def _miscounted(engine: Engine, attributes: Attributes, failure: EngineError, what: str) -> ProviderError | None:
    """What to say where Docker holds a network for in use that nothing uses; None where that is not so.

    It counts endpoints apart from the endpoints themselves, and may lose count when containers come and go fast
    (moby/moby#42119); nothing but its start corrects that.
    """
    if "has active endpoints" not in failure.message:
        return None
    try:
        used = usage.containers(engine, network=[attributes["id"], attributes["name"]])
        there = engine.request("GET", f"/networks/{segment(attributes['id'])}").json()
    except EngineError:
        return None
    if used or there.get("Containers"):
        return None
    text = (
        f"{what}: Docker counts endpoints in it, and no container is on it: it lost count. Only a restart of Docker "
        "corrects that (`systemctl restart docker`; containers stop meanwhile, unless it has `live-restore`). Do that, "
        "and then this again."
    )
    return ProviderError(error("Docker lost count", text))


def _disconnect(engine: Engine, id: str, user: usage.User) -> None:
    try:
        engine.request("POST", f"/networks/{segment(id)}/disconnect", json={"Container": user.id, "Force": True})
    except EngineError as failure:
        # between listing and now it may have gone, or never have been connected (not started yet)
        if failure.status != 404 and "is not connected" not in failure.message:
            raise ProviderError(explain(failure, f"Disconnecting container {user.name} from its network")) from failure
