"""The ``volume`` kind: the container engine's volumes and the disks of VMs, told apart by ``type``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hythe.provider.container.volume import Volume as EngineVolume
from hythe.provider.protocol import Attributes, Context, ReadContext
from hythe.provider.sides import TwoSided
from hythe.provider.vm.volume import DiskVolume
from hythe.provider.volume_model import DISK, VolumeData, VolumeModel


class Volume(TwoSided):
    """A volume of the engine, or with `type = "disk"` a disk for VMs.

    It outlives what uses it. Replacing it loses what is in it, and needs `allow_data_loss`; removing it is refused
    while it is `protected`. A disk grows in place, while a VM uses it too.
    """

    name = "volume"
    rebuild_note = (
        "A volume of the engine is recovered by its mark; take one that was imported in again. A disk has no "
        "mark: it is known by its name while a VM of the state has it. Otherwise take it in with `hythe import` "
        "before the next apply, which would make another one."
    )
    model = VolumeModel
    data_model = VolumeData
    lag = 10.0

    def __init__(self) -> None:
        super().__init__({"engine": EngineVolume(), "hypervisor": DiskVolume()})

    def part(self, attributes: Mapping[str, Any]) -> str:
        """By its type."""
        return "hypervisor" if attributes.get("type") == DISK else "engine"

    def import_object(self, context: Context, object_id: str) -> Attributes:
        """A volume of the engine by name, or a disk as ``libvirt:POOL/NAME``."""
        side, found = self.side_of_import(object_id)
        return side.import_object(context, found)

    def read_data(self, context: ReadContext, desired: Attributes) -> Attributes:
        """A volume by name: the engine's, or with ``pool`` the hypervisor's."""
        side = self.sides["hypervisor" if desired.get("pool") else "engine"]
        found = side.read_data(context, desired)
        return {k: v for k, v in found.items() if k in VolumeData.model_fields}
