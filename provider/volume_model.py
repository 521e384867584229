"""Arguments of the ``volume`` kind: those of the engine's volumes, and those of disks of VMs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, model_validator

from hythe.provider.container import volume_model as engine
from hythe.provider.schema import Effect, Ref, Size, attr

if TYPE_CHECKING:
    DiskImageReference: TypeAlias = Any
else:
    DiskImageReference = Ref("disk_image")

DISK = "disk"
_ENGINE_ONLY = ("driver_options", "labels", "seed")
_DISK_ONLY = ("uri", "pool", "size", "format", "backing", "source")


def _type(value: str) -> str:
    if value not in ("engine", DISK):
        raise ValueError(f'"{value}" is not a type of volume: write "engine", "disk", or leave it out')
    return value


class VolumeModel(engine.VolumeModel):
    """A volume of the container engine, or (`type = "disk"`) a disk for VMs."""

    type: Annotated[str, AfterValidator(_type)] = attr(
        "engine",
        description="What it is: engine (a volume for containers) or disk (for VMs, in a storage pool of the "
        "hypervisor).",
        data_loss=True,
    )
    uri: str | None = attr(description="Hypervisor (disk). By default qemu:///system.", data_loss=True)
    pool: str | None = attr(
        description="Storage pool (disk). By default `default` where there is one, else one that Hythe makes.",
        engine_default=True,
        data_loss=True,
    )
    size: Size | None = attr(
        description="Size (disk). It grows while a VM uses it; making it smaller loses its content.", effect=Effect.LIVE
    )
    format: Literal["qcow2", "raw"] | None = attr(
        description="Format (disk). By default that of `source`, else qcow2, in a pool without files (such as a volume "
        "group) raw.",
        engine_default=True,
        data_loss=True,
    )
    backing: DiskImageReference | None = attr(description="Disk image that it is a layer on (disk).", data_loss=True)
    source: str | None = attr(
        description="File of this machine that it is filled with when it is made (disk).", data_loss=True
    )
    path: str | None = attr(description="Its file on the hypervisor's machine (disk).", computed=True)
    capacity: Size | None = attr(description="Its size as it is (disk).", computed=True, volatile=True)

    @model_validator(mode="after")
    def _sides(self) -> VolumeModel:
        disk = self.type == DISK
        for name in _ENGINE_ONLY if disk else _DISK_ONLY:
            if getattr(self, name) is not None:
                raise ValueError(f'`{name}` does not go with type = "{self.type}"')
        if not disk:
            return self
        if self.driver != "local":
            raise ValueError("`driver` is for volumes of the engine")
        if self.size is None and self.source is None and self.backing is None:
            raise ValueError("a disk needs `size`, `source` or `backing`")
        if self.source is not None and self.backing is not None:
            raise ValueError("write either `source` or `backing`, not both")
        if self.backing is not None and self.format == "raw":
            raise ValueError("a layer on a disk image has the format qcow2")
        return self


class VolumeData(engine.VolumeData):
    """An existing volume, selected by name."""

    uri: str | None = attr(description="Hypervisor (disk).")
    pool: str | None = attr(description="Storage pool. With it a disk is looked for, else a volume of the engine.")
    path: str | None = attr(description="Its file on the hypervisor's machine (disk).", computed=True)
    format: str | None = attr(description="Format of the file (disk).", computed=True)
    capacity: Size | None = attr(description="Its size (disk).", computed=True)
