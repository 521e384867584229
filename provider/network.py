"""The ``network`` kind: the container engine's networks and the hypervisor's, told apart by ``mode``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hythe.provider.container.network import Network as EngineNetwork
from hythe.provider.network_model import NetworkData, NetworkModel, on_hypervisor
from hythe.provider.protocol import Attributes, Context, ReadContext
from hythe.provider.sides import TwoSided
from hythe.provider.vm.network import HypervisorNetwork


class Network(TwoSided):
    """A network for the containers or the VMs of one host, or for both.

    With mode `bridge`, `macvlan` or `ipvlan` it is the container engine's. With `nat`, `routed` or `isolated` it is
    the hypervisor's: VMs get their addresses and names from it. A `host_bridge` puts VMs onto a bridge of the host,
    beside machines outside. When one is replaced, the containers that Hythe made
    are joined to the new one.
    """

    name = "network"
    marked = True
    rebuild_note = "It is recovered by its mark."
    model = NetworkModel
    data_model = NetworkData
    lag = 10.0

    def __init__(self) -> None:
        super().__init__({"engine": EngineNetwork(), "hypervisor": HypervisorNetwork()})

    def part(self, attributes: Mapping[str, Any]) -> str:
        """By its mode, and whether it stands for a bridge of the host."""
        return "hypervisor" if on_hypervisor(attributes) else "engine"

    def import_object(self, context: Context, object_id: str) -> Attributes:
        """A network of the engine by name or id, or one of the hypervisor as ``libvirt:NAME``."""
        side, found = self.side_of_import(object_id)
        return side.import_object(context, found)

    def read_data(self, context: ReadContext, desired: Attributes) -> Attributes:
        """A network by name: the engine's, or with ``uri`` the hypervisor's."""
        side = self.sides["hypervisor" if desired.get("uri") else "engine"]
        found = side.read_data(context, desired)
        return {k: v for k, v in found.items() if k in NetworkData.model_fields}
