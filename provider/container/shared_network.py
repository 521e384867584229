"""Containers on a network of the hypervisor: VMs and containers of one host side by side.

The engine gets a network of its own that sits on the hypervisor's bridge, with the same addresses; containers are given
the upper quarter, which the hypervisor's DHCP leaves alone. It is made when the first container needs it, and goes with
the hypervisor's network. Containers ask the network's own name server, which knows the VMs by their host names, and
their names are told to that server while they run.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from hythe.diagnostic import error
from hythe.provider.container.client import Engine, EngineError, refused, segment
from hythe.provider.container.labels import PREFIX
from hythe.provider.protocol import Attributes, Context, Host, ProviderError, Referent
from hythe.value import Reference

OF = PREFIX + "shared"
"""On an engine's network: the id of the hypervisor's network that it sits on."""
DNS = PREFIX + "dns"
"""On a container: the name server that it asks because of its network, and not because it is told to."""
_MODES = ("nat", "routed", "isolated")
_making = threading.Lock()
_BRIDGE = "com.docker.network.bridge.name"


def is_shared(there: Referent) -> bool:
    """Whether a network is the hypervisor's."""
    return there.kind == "network" and there.attributes.get("mode") in _MODES


def refuse_host_bridge(there: Referent, what: str) -> None:
    """Raise ProviderError for a network that stands for a bridge of the host."""
    if there.kind == "network" and there.attributes.get("host_bridge") is not None:
        raise ProviderError(
            error(
                "Network of another sort",
                f"{what}: {there.address} is a bridge of the host for VMs, on which the engine can give no addresses. "
                'For a container beside machines outside, use a network with mode = "macvlan" and the bridge as its '
                "`parent`.",
            )
        )


def joined(engine: Engine, there: Referent, what: str) -> Referent:
    """The engine's network on that of the hypervisor, made when it is not there. Raises ProviderError."""
    if engine.kind == "podman":
        raise ProviderError(
            error(
                "Not possible on Podman",
                f"{what}: {there.address} is a network of the hypervisor, and Podman 4 cannot sit on a bridge that "
                "it did not make with addresses of its own. Use Docker for this container, or a network of mode "
                "bridge.",
            )
        )
    told = there.attributes
    if not told.get("cidr"):
        raise ProviderError(
            error("Network has no addresses", f"{what}: {there.address} has no `cidr`, so no container can join it.")
        )
    with _making:
        found = _made(engine, there, what)
    attributes: Mapping[str, Any] = {"name": found["Name"], "id": found["Id"]}
    return Referent(there.kind, there.address, there.id, attributes, there.host)


def _made(engine: Engine, there: Referent, what: str) -> dict[str, Any]:
    from hythe.provider.vm.network_xml import container_range

    told = there.attributes
    found = _of(engine, there.id)
    if found is None:
        body = {
            "Name": f"hythe-{told['bridge']}",
            "CheckDuplicate": True,
            "Driver": "bridge",
            "IPAM": {
                "Driver": "default",
                "Config": [
                    {"Subnet": told["cidr"], "Gateway": told["gateway"], "IPRange": container_range(dict(told))}
                ],
            },
            "Options": {_BRIDGE: told["bridge"], "com.docker.network.bridge.enable_ip_masquerade": "false"},
            "Labels": {OF: there.id},
        }
        try:
            engine.request("POST", "/networks/create", json=body)
        except EngineError as failure:
            # another run may have been quicker
            if _of(engine, there.id) is None:
                raise refused(failure, f"{what}: joining {there.address}") from failure
        found = _of(engine, there.id)
    if found is None:
        raise ProviderError(
            error("Network vanished", f"{what}: the engine's network for {there.address} is gone again.")
        )
    return found


def _of(engine: Engine, id: str) -> dict[str, Any] | None:
    found = engine.request("GET", "/networks", query={"filters": {"label": [f"{OF}={id}"]}}).json() or []
    return found[0] if found else None


def remove(host: Host, id: str) -> None:
    """Remove the engine's network on a hypervisor's that goes; no error when there is none, or no engine."""
    with contextlib.suppress(ProviderError, EngineError):
        engine: Engine = host.engine()
        found = _of(engine, id)
        if found is not None:
            engine.request("DELETE", f"/networks/{segment(found['Id'])}")


def resolver(attributes: Attributes, shared: Sequence[Referent]) -> str | None:
    """The name server of a container because of its networks; None where it is told one, or has none of them."""
    if attributes.get("dns") or not shared:
        return None
    return str(shared[0].attributes["gateway"])


def publish(
    context: Context, shared: Sequence[Referent], engine: Engine, told: Mapping[str, Any], names: Sequence[str]
) -> None:
    """Tell the name server of each shared network the address of a container that runs.

    Never fails: names are a convenience, and the next start tells them again.
    """
    for there in shared:
        with contextlib.suppress(ProviderError, EngineError):
            found = _of(engine, there.id)
            ends = (told.get("NetworkSettings") or {}).get("Networks") or {}
            address = (ends.get(found["Name"]) or {}).get("IPAddress") if found else None
            if address:
                _update(context.host, there, address, names)


def withdraw(context: Context, before: Attributes, told: Mapping[str, Any]) -> None:
    """Take back what was told of a container that goes."""
    if DNS not in ((told.get("Config") or {}).get("Labels") or {}) and not before.get("dns"):
        return
    ends = (told.get("NetworkSettings") or {}).get("Networks") or {}
    addresses = [end["IPAddress"] for end in ends.values() if end and end.get("IPAddress")]
    for block in before.get("network", ()):
        with contextlib.suppress(ProviderError, EngineError):
            there = context.resolve(block["network"]) if isinstance(block["network"], Reference) else None
            if there is not None and is_shared(there):
                for address in addresses:
                    _update(context.host, there, address, ())


def _update(host: Host, there: Referent, address: str, names: Sequence[str]) -> None:
    from hythe.provider.vm.network import tell_names

    tell_names(host.hypervisor(there.attributes.get("uri")), str(there.attributes["name"]), address, names)
