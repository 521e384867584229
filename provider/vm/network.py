"""Networks of the hypervisor: nat, routed, isolated, with addresses and names given by libvirt's dnsmasq, and bridges.

Fixed leases, names, forwarded ports and what is on a bridge are changed while machines are on the network; everything
else replaces it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hythe.diagnostic import Diagnostic, error
from hythe.provider.container import shared_network
from hythe.provider.container.labels import whose
from hythe.provider.host.bridge import Link
from hythe.provider.protocol import (
    Attributes,
    Context,
    Found,
    Hint,
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
from hythe.provider.schema import Effect, Path
from hythe.provider.vm import forwards, network_bridge
from hythe.provider.vm.client import Hypervisor, LibvirtError, refused
from hythe.provider.vm.marks import identity_of, uuid_of
from hythe.provider.vm.network_xml import dhcp_host, dns_host, network_xml, observe
from hythe.provider.vm.xml import Element, parse, render

_MODIFY, _DELETE, _ADD = 1, 2, 3
_DHCP_HOST, _DNS_HOST = 4, 10
_LIVE, _CONFIG = 1, 2
_INACTIVE = 1


class HypervisorNetwork(Kind):
    """A network of the hypervisor. The other half of the ``network`` kind is the engine's."""

    name = "network"

    def prepare(self, desired: Attributes, context: PrepareContext) -> tuple[Attributes, list[Diagnostic]]:
        """Give it a name when it has none, and let it be up."""
        out = {"name": context.default_name(), "active": True, "autostart": True} | desired
        given = out.get("forward")
        if isinstance(given, list):
            out["forward"] = [
                {**f, "guest": f["host"]} if isinstance(f, dict) and "host" in f and "guest" not in f else f
                for f in given
            ]
        return out, []

    def hint(self, path: Path, before: Any, after: Any, old: Attributes, new: Attributes) -> Hint | None:
        """Names may be changed while the network is up, how they are answered may not."""
        if path == ("host_bridge",):
            return network_bridge.hint(before, after, old)
        if path != ("dns",):
            return None
        some, more = ({k: v for k, v in (d or {"enabled": True}).items() if k != "host"} for d in (before, after))
        return Hint(Effect.LIVE if some == more else Effect.REPLACE)

    # -- making and removing -------------------------------------------------------------------

    def create(self, context: Context, desired: Attributes) -> Attributes:
        """Define and start the network; one that an earlier, interrupted call made is taken up."""
        hypervisor: Hypervisor = context.host.hypervisor(desired.get("uri"))
        name, identity = desired["name"], context.identity
        what = f'Creating network "{name}"'
        there = hypervisor.find(lambda c: parse(c.networkLookupByName(name).XMLDesc(0)))
        if there is not None and there.findtext("uuid") != uuid_of(identity):
            raise ProviderError(_taken(hypervisor, name, there, identity.lineage))
        context.progress(f"creating network {name}")
        try:
            network_bridge.put(context, desired, what)
            text = render(network_xml(desired, identity))
            # defining the same one again is no error, and brings one that was left half-made up to date
            hypervisor.call(lambda c: c.networkDefineXML(text))
            _set_up(hypervisor, name, desired)
            _forward(context, uuid_of(identity), desired, what)
        except (LibvirtError, ProviderError) as failure:
            _discard(hypervisor, uuid_of(identity))
            self._clear(context, desired, uuid_of(identity))
            raise refused(failure, what) if isinstance(failure, LibvirtError) else failure from failure
        return _read_back(context, hypervisor, uuid_of(identity), desired)

    def update(self, context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
        """Leases, names, ports, a bridge's members, whether it is up and whether it comes up with the host."""
        hypervisor: Hypervisor = context.host.hypervisor(desired.get("uri"))
        id, what = before["id"], f'Changing network "{before.get("name")}"'
        try:
            if "lease" in changed:
                _update(hypervisor, id, _DHCP_HOST, _leases(before), _leases(desired))
            if "dns" in changed:
                _update(hypervisor, id, _DNS_HOST, _names(before), _names(desired))
            network_bridge.put(context, desired, what, before)
            _set_up(hypervisor, before["name"], desired)
            if "forward" in changed or "active" in changed:
                _forward(context, id, desired, what)
        except LibvirtError as failure:
            raise refused(failure, what) from failure
        return _read_back(context, hypervisor, id, desired)

    def delete(self, context: Context, before: Attributes) -> None:
        """Take the network down and remove it."""
        hypervisor: Hypervisor = context.host.hypervisor(before.get("uri"))
        id, what = before["id"], f'Removing network "{before.get("name")}"'
        try:
            users = _strange_users(hypervisor, str(before.get("name")), context.identity.lineage)
            if users:
                raise ProviderError(
                    error(
                        "Network still in use",
                        f"{what}: the VM {', '.join(users)}, not made by this configuration, still uses it. Shut it "
                        "down or put it on another network, and apply again.",
                    )
                )
            # the engine's network that sits on the bridge goes first
            shared_network.remove(context.host, context.identity.id)
            _discard(hypervisor, id)
            self._clear(context, before, id)
        except LibvirtError as failure:
            raise refused(failure, what) from failure

    @staticmethod
    def _clear(context: Context, attributes: Attributes, id: str) -> None:
        """Remove what belongs to a network and is not libvirt's."""
        if attributes.get("forward"):
            forwards.remove(context.host, id)
        if attributes.get("host_bridge") is not None:
            network_bridge.remove(context, attributes, f'Removing the bridge of network "{attributes.get("name")}"')

    # -- looking -------------------------------------------------------------------------------

    def read_many(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Observed]:
        """Observe networks with one list call for each hypervisor, and one look at the host where that is needed."""
        out: dict[str, Observed] = {}
        look = _Look(context.host)
        for uri in {r.attributes.get("uri") for r in requests}:
            found = _listed(context.host.hypervisor(uri))
            for request in requests:
                if request.attributes.get("uri") != uri:
                    continue
                item = found.get(str(request.attributes.get("id"))) or found.get(
                    uuid_of(Identity(context.lineage, request.address, request.id))
                )
                out[request.id] = Presence.ABSENT if item is None else look.observe(item, request.attributes)
        return out

    def find(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Found]:
        """Networks whose UUID is derived from the ids asked for. One that is not up was not finished."""
        found = self.read_many(context, [ReadRequest(r.id, r.address, _without_id(r.attributes)) for r in requests])
        out = {id: Found(o, complete=bool(o.get("active"))) for id, o in found.items() if isinstance(o, dict)}
        for request in requests:
            if request.id not in out and request.attributes.get("host_bridge") is not None:
                id = uuid_of(Identity(context.lineage, request.address, request.id))
                if network_bridge.left(context, request.id, id):
                    out[request.id] = Found({**request.attributes, "id": id}, complete=False)
        return out

    def find_owned(self, context: ReadContext) -> list[Owned]:
        """Every network that carries the lineage."""
        found = [(uri, item) for uri in context.uris for item in _listed(context.host.hypervisor(uri)).values()]
        pairs = [(identity_of(item["xml"]), uri, item) for uri, item in found]
        return [
            Owned(i, _observe(item, {}) | ({"uri": uri} if uri else {}))
            for i, uri, item in pairs
            if i is not None and context.is_mine(i)
        ]

    def import_object(self, context: Context, object_id: str) -> Attributes:
        """A network by name or UUID."""
        return _selected(context.host.hypervisor(None), object_id, "Importing")

    def read_data(self, context: ReadContext, desired: Attributes) -> Attributes:
        """A network by name or UUID."""
        found = _selected(context.host.hypervisor(desired.get("uri")), desired["name"], "Reading")
        return found | {k: desired[k] for k in ("name", "uri") if desired.get(k) is not None}


def _without_id(attributes: Any) -> Attributes:
    return {k: v for k, v in attributes.items() if k != "id"}


def _listed(hypervisor: Hypervisor) -> dict[str, dict[str, Any]]:
    """Networks by UUID: the definition, and whether it is up and comes up by itself."""

    def read(connection: Any) -> dict[str, dict[str, Any]]:
        out = {}
        for network in connection.listAllNetworks():
            active = bool(network.isActive())
            flags = _INACTIVE if active else 0
            facts = {"active": active, "autostart": bool(network.autostart()), "xml": parse(network.XMLDesc(flags))}
            out[network.UUIDString()] = facts
        return out

    return hypervisor.survey(read)


def _observe(item: dict[str, Any], known: Any) -> Attributes:
    return observe(item["xml"], known) | {"active": item["active"], "autostart": item["autostart"]}


class _Look:
    """What is not in a network's definition, looked at once where an instance has it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._saved: str | None = None
        self._links: dict[str, Link] | None = None

    def observe(self, item: dict[str, Any], known: Any) -> Attributes:
        """The arguments that describe a network."""
        out = _observe(item, known)
        if known.get("forward"):
            found = forwards.parse(self._rules(), forwards.chain_of(out["id"]))
            out |= {"forward": found} if found else {}
        if known.get("host_bridge") is not None and "host_bridge" in out:
            if self._links is None:
                self._links = network_bridge.look(self.host, f'Reading network "{out["name"]}"')
            network_bridge.observe(out, known["host_bridge"], self._links, self._rules())
        return out

    def _rules(self) -> str:
        if self._saved is None:
            self._saved = forwards.saved(self.host)
        return self._saved


def _forward(context: Context, id: str, desired: Attributes, what: str) -> None:
    forwards.put(context.host, id, str(desired.get("cidr")), desired.get("forward") or (), what)


def _read_back(context: Context, hypervisor: Hypervisor, id: str, known: Attributes) -> Attributes:
    item = _listed(hypervisor).get(id)
    if item is None:
        raise ProviderError(error("Network vanished", f'Network "{known.get("name")}" is gone again. Plan again.'))
    return _Look(context.host).observe(item, known)


def _selected(hypervisor: Hypervisor, wanted: str, doing: str) -> Attributes:
    found = _listed(hypervisor)
    item = found.get(wanted) or next((i for i in found.values() if i["xml"].findtext("name") == wanted), None)
    if item is None:
        raise ProviderError(
            error(
                "Network not found",
                f'{doing} network "{wanted}": {hypervisor.uri} has none of that name or UUID. `virsh net-list --all` '
                "shows those it has.",
            )
        )
    return _observe(item, {})


def _taken(hypervisor: Hypervisor, name: str, there: Element, lineage: str) -> Diagnostic:
    return error(
        "Name already taken",
        f'Creating network "{name}": {hypervisor.uri} has a network of that name already. '
        f"{whose(identity_of(there), lineage)} "
        "Choose another name, remove that network, or take it into the state with `hythe import`.",
    )


def _set_up(hypervisor: Hypervisor, name: str, desired: Attributes) -> None:
    def change(connection: Any) -> None:
        network = connection.networkLookupByName(name)
        network.setAutostart(1 if desired.get("autostart", True) else 0)
        wanted = desired.get("active", True)
        if wanted and not network.isActive():
            network.create()
        elif not wanted and network.isActive():
            network.destroy()

    hypervisor.call(change)


def _discard(hypervisor: Hypervisor, id: str) -> None:
    network = hypervisor.find(lambda c: c.networkLookupByUUIDString(id))
    if network is None:
        return
    try:
        if hypervisor.read(lambda c: network.isActive()):
            hypervisor.call(lambda c: network.destroy())
        hypervisor.call(lambda c: network.undefine())
    except LibvirtError as failure:
        if not failure.missing:
            raise


def _leases(attributes: Attributes) -> dict[str, Element]:
    return {str(i["mac"]): dhcp_host(i) for i in attributes.get("lease") or ()}


def _names(attributes: Attributes) -> dict[str, Element]:
    return {str(h["address"]): dns_host(h) for h in (attributes.get("dns") or {}).get("host") or ()}


def _update(
    hypervisor: Hypervisor, id: str, section: int, before: dict[str, Element], after: dict[str, Element]
) -> None:
    """Give a running network (and its definition) other leases or names, the ones that go first."""

    def change(connection: Any) -> None:
        network = connection.networkLookupByUUIDString(id)
        flags = _CONFIG | (_LIVE if network.isActive() else 0)
        for key, item in before.items():
            if key not in after or render(after[key]) != render(item):
                network.update(_DELETE, section, -1, render(item), flags)
        for key, item in after.items():
            if key not in before or render(before[key]) != render(item):
                network.update(_ADD, section, -1, render(item), flags)

    hypervisor.call(change)


def _strange_users(hypervisor: Hypervisor, name: str, lineage: str) -> list[str]:
    """Running machines on a network that are not this state's."""

    def read(connection: Any) -> list[str]:
        out = []
        for domain in connection.listAllDomains(1):
            root = parse(domain.XMLDesc(0))
            mark = identity_of(root)
            sources = [s.get("network") for s in root.findall("devices/interface/source")]
            if name in sources and (mark is None or mark.lineage != lineage):
                out.append(str(domain.name()))
        return sorted(out)

    return hypervisor.survey(read)


def tell_names(hypervisor: Hypervisor, network: str, address: str, names: Sequence[str]) -> None:
    """Let the name server of a running network know an address by these names, and by no others.

    Only while it is up: the definition does not hold them, so that they are no drift.
    """

    def change(connection: Any) -> None:
        found = connection.networkLookupByName(network)
        for host in parse(found.XMLDesc(0)).findall("dns/host"):
            if host.get("ip") == address:
                found.update(_DELETE, _DNS_HOST, -1, render(host), _LIVE)
        if names:
            found.update(_ADD, _DNS_HOST, -1, render(dns_host({"address": address, "names": list(names)})), _LIVE)

    try:
        hypervisor.call(change)
    except LibvirtError as failure:
        raise refused(failure, f'Telling names to network "{network}"') from failure
