"""The disks of a VM: which files they are, and making those that belong to it."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hythe.diagnostic import error
from hythe.provider.protocol import Attributes, Context, Identity, ProviderError, Referent
from hythe.provider.vm import pools
from hythe.provider.vm.client import Hypervisor
from hythe.provider.vm.domain_xml import SEED, DiskPlace
from hythe.provider.vm.vm_align import align_disks, is_owned, root_index
from hythe.value import Reference

Resolve = Callable[[Reference], Referent]

_PREFIX = {"virtio": "vd", "scsi": "sd", "sata": "sd", "ide": "hd"}
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Base:
    """What a root disk is a layer on. Sizes are in bytes."""

    path: str
    format: str
    capacity: int
    kernel: str | None = None
    initrd: str | None = None
    cmdline: str | None = None


def base_of(attributes: Mapping[str, Any], hypervisor: Hypervisor, resolve: Resolve, what: str) -> Base | None:
    """The image of a VM. Raises ProviderError when it is not there."""
    image = attributes.get("image")
    if image is None:
        return None
    if isinstance(image, Reference):
        told = resolve(image).attributes
        return Base(
            told["path"],
            told.get("format", "qcow2"),
            int(told.get("capacity") or 0),
            told.get("kernel_path"),
            told.get("initrd_path"),
            told.get("boot_cmdline"),
        )
    facts = pools.find_path(hypervisor, image)
    if facts is not None:
        return Base(image, facts.format, facts.capacity)
    return Base(image, "qcow2" if image.endswith((".qcow2", ".qcow")) else "raw", 0)


def blocks_of(attributes: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The disk blocks, led by the root disk that an image brings where none of them is one."""
    blocks = list(attributes.get("disk") or ())
    if has_implied_root(attributes):
        return [{"device": "disk", "readonly": False}, *blocks]
    return blocks


def has_implied_root(attributes: Mapping[str, Any]) -> bool:
    """Whether the root disk is not written down."""
    blocks = [b for b in attributes.get("disk") or () if isinstance(b, Mapping)]
    return attributes.get("image") is not None and root_index(blocks) is None


def root_place(disks: Sequence[DiskPlace]) -> DiskPlace | None:
    """The disk that the guest boots from, where it belongs to the VM."""
    return next((d for d in disks if d.volume is not None), None)


def bus_of(block: Mapping[str, Any]) -> str:
    """How a disk is attached."""
    return str(block.get("bus") or ("sata" if block.get("device") == "cdrom" else "virtio"))


def volume_name(vm: str, identity: Identity, what: str) -> str:
    """The name of a volume of a VM: it tells which instance it is of."""
    return f"{vm}.{identity.id[:8]}.{what}"


def places(
    attributes: Attributes,
    identity: Identity,
    pool: pools.PoolInfo,
    resolve: Resolve,
    there: Sequence[Mapping[str, Any]] = (),
) -> list[DiskPlace]:
    """Where each disk is. ``there`` are the disks that the VM has already, which keep their files and names."""
    blocks = blocks_of(attributes)
    had = [there[at] if at is not None else None for at in align_disks(there, blocks)]
    used: set[str] = {SEED, *(str(b["target"]) for b in there if b.get("target"))}
    out: list[DiskPlace] = []
    for block, old in zip(blocks, had, strict=True):
        bus = bus_of(block)
        kept = str(old["target"]) if old is not None and old.get("target") else None
        target = kept if kept is not None and kept.startswith(_PREFIX[bus]) else _free(_PREFIX[bus], used)
        used.add(target)
        if not is_owned(block):
            file, form = _given(block, resolve)
            out.append(DiskPlace(block, file, form, target, bus, is_device=file.startswith("/dev/")))
            continue
        name = volume_name(attributes["name"], identity, f"{target}.qcow2")
        file = f"{pool.path}/{name}"
        if old is not None and old.get("file"):
            # on another bus the disk has another name, and its file the one that it was made with
            file, name = str(old["file"]), str(old["file"]).rpartition("/")[2]
        out.append(DiskPlace(block, file, "qcow2", target, bus, volume=name, pool=pool.name))
    return out


def _free(prefix: str, used: set[str]) -> str:
    names: list[str] = [*string.ascii_lowercase]
    names += [a + b for a in string.ascii_lowercase for b in string.ascii_lowercase]
    return next(prefix + letters for letters in names if prefix + letters not in used)


def _given(block: Mapping[str, Any], resolve: Resolve) -> tuple[str, str]:
    volume = block.get("volume")
    if isinstance(volume, Reference):
        told = resolve(volume).attributes
        if told.get("type") != "disk" or not told.get("path"):
            raise ProviderError(
                error(
                    "Volume is no disk",
                    f"{volume.address} is a volume of the container engine, which no VM can use. "
                    'Set type = "disk" for it.',
                )
            )
        return str(told["path"]), str(told.get("format", "qcow2"))
    return str(volume or block["path"]), str(block.get("format") or "raw")


def make_own(
    context: Context, hypervisor: Hypervisor, attributes: Attributes, disks: Sequence[DiskPlace], base: Base | None
) -> None:
    """Make the disks that belong to the VM; those that an earlier, interrupted call made are kept."""
    blocks = [d.block for d in disks]
    root = root_index(blocks)
    for at, disk in enumerate(disks):
        if disk.volume is None or disk.pool is None:
            continue
        context.check()
        what = f'Making disk {disk.target} of VM "{attributes["name"]}"'
        layer = base if at == root else None
        size = _size(disk.block, layer, what)
        if pools.find_volume(hypervisor, disk.pool, disk.volume) is not None:
            continue
        backing = (layer.path, layer.format) if layer is not None else None
        pools.create_volume(
            hypervisor, disk.pool, disk.volume, capacity=size, format="qcow2", what=what, backing=backing
        )


def _size(block: Mapping[str, Any], layer: Base | None, what: str) -> int:
    size = block.get("size")
    if layer is None:
        return int(size or _GIB)
    if size is None:
        return layer.capacity or _GIB
    if size < layer.capacity:
        raise ProviderError(
            error(
                "Disk smaller than its image",
                f"{what}: its size is {size >> 20} MiB, and the image takes {layer.capacity >> 20} MiB. "
                "Set a `size` of at least that.",
            )
        )
    return int(size)


def own_volumes(hypervisor: Hypervisor, identity: Identity) -> list[pools.VolumeFacts]:
    """Every volume that was made for an instance, in whichever pool."""
    mark = f".{identity.id[:8]}."
    names = hypervisor.read(lambda c: [p.name() for p in c.listAllStoragePools() if p.isActive()])
    found: list[pools.VolumeFacts] = []
    for name in names:
        listed = hypervisor.find(
            lambda c, n=name: [v.name() for v in c.storagePoolLookupByName(n).listAllVolumes()]  # type: ignore[misc]
        )
        for volume in listed or ():
            if mark in volume:
                facts = pools.find_volume(hypervisor, name, volume)
                if facts is not None:
                    found.append(facts)
    return found
