"""The ``disk_image`` kind: what disks of VMs are layers on.

It is built or fetched on the machine that Hythe runs on, into a cache that is kept by content, and then put into a
storage pool of the hypervisor, once for all VMs. Volumes of a pool carry no marks: their names tell which instance they
are of, and a last, empty volume tells that all is there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, model_validator

from hythe.diagnostic import Diagnostic, error, warning
from hythe.provider.container.image_model import Packages
from hythe.provider.container.inputs import digest, located
from hythe.provider.container.place import HostReference, host_argument
from hythe.provider.protocol import (
    Attributes,
    Context,
    Found,
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
from hythe.provider.schema import Model, Size, attr, block
from hythe.provider.vm import pools
from hythe.provider.vm.client import Hypervisor
from hythe.provider.vm.image_build import BuiltImage, build_key, build_packages
from hythe.provider.vm.image_fetch import fetched, is_url
from hythe.provider.vm.xml import parse
from hythe.value import STRING, Unknown, is_known

if TYPE_CHECKING:
    from hythe.provider.vm.pools import VolumeFacts

_CHECKSUM = re.compile(r"(sha256|sha512):([0-9a-fA-F]+)")
_LENGTHS = {"sha256": 64, "sha512": 128}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,62}")
_PARTS = ("disk.qcow2", "kernel", "initrd")
_COMPLETE = "complete"


def _checksum(value: str) -> str:
    found = _CHECKSUM.fullmatch(value)
    if found is None or len(found[2]) != _LENGTHS[found[1]]:
        raise ValueError(f'"{value}" is no checksum: write it like sha256:0123...')
    return value.lower()


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(f'"{value}" is not the name of a disk image: letters, digits, "_", ".", "+" and "-"')
    return value


class DiskPackages(Packages):
    """A disk made of a distribution's packages, with mmdebstrap."""

    kernel: str | None = attr(description="Package of the kernel. By default the distribution's smallest for VMs.")


class DiskImageModel(Model):
    """An image of a disk that VMs begin with."""

    name: Annotated[str, AfterValidator(_name)] | None = attr(
        description="Name. By default made of the project's and the block's name.", engine_default=True
    )
    host: HostReference = host_argument()
    uri: str | None = attr(description="Hypervisor. By default qemu:///system.")
    pool: str | None = attr(
        description="Storage pool. By default `default` where there is one, else one that Hythe makes.",
        engine_default=True,
    )
    source: str | None = attr(description="Where it is fetched from: a URL, or the path of a file on this machine.")
    checksum: Annotated[str, AfterValidator(_checksum)] | None = attr(
        description="What the file at `source` must be, like sha256:0123..."
    )
    packages: DiskPackages | None = block(description="Packages that it is made of.", repeated=False)
    size: Size | None = attr(
        description="Size of the disk when it is made of packages. By default what is in it and some room; disks of "
        "VMs may be larger."
    )
    kernel: str | None = attr(description="Kernel to boot it with, a path on the hypervisor's machine.")
    initrd: str | None = attr(description="Initial RAM disk that goes with `kernel`.")
    cmdline: str | None = attr(description="Kernel command line. By default one that fits an image of packages.")
    content_hash: str | None = attr(description="Digest of what it is made of.", computed=True)
    path: str | None = attr(description="Its file on the hypervisor's machine.", computed=True)
    format: str | None = attr(description="Format of the file.", computed=True)
    capacity: Size | None = attr(description="Size of the disk.", computed=True)
    kernel_path: str | None = attr(description="Kernel that VMs boot directly.", computed=True)
    initrd_path: str | None = attr(description="Its initial RAM disk.", computed=True)
    boot_cmdline: str | None = attr(description="Its command line.", computed=True)

    @model_validator(mode="after")
    def _one_source(self) -> DiskImageModel:
        if (self.source is None) == (self.packages is None):
            raise ValueError("write either `source` or `packages`")
        if self.packages is not None and self.checksum is not None:
            raise ValueError("`checksum` is for a `source`: a disk of packages is made here")
        if self.size is not None and self.packages is None:
            raise ValueError("`size` is for disks of packages: give the VM's `disk` the size")
        if self.source is not None and "://" in self.source and not self.source.startswith(("http", "file://")):
            raise ValueError(f'"{self.source}" cannot be fetched: a URL begins with https:// or http://')
        return self


class DiskImageData(Model):
    """An existing volume, selected by name."""

    name: str = attr(..., description="Name of the volume.")
    host: HostReference = host_argument()
    uri: str | None = attr(description="Hypervisor. By default qemu:///system.")
    pool: str = attr("default", description="Storage pool.")
    path: str | None = attr(description="Its file on the hypervisor's machine.", computed=True)
    format: str | None = attr(description="Format of the file.", computed=True)
    capacity: Size | None = attr(description="Size of the disk.", computed=True)


class DiskImage(Kind):
    """An image that disks of VMs are layers on: built of a distribution's packages, fetched, or a file.

    It is made once on the machine that Hythe runs on, kept there by its content, and put into a storage pool of the
    hypervisor, where all VMs share it. An image of packages keeps its kernel, which VMs boot directly. When it changes,
    the new one is made before VMs are replaced and the old one goes.
    """

    name = "disk_image"
    model = DiskImageModel
    data_model = DiskImageData
    unique_name = False
    concurrency = 2
    lag = 10.0

    def prepare(self, desired: Attributes, context: PrepareContext) -> tuple[Attributes, list[Diagnostic]]:
        """Name it, and tell what it is made of."""
        out = {"name": context.default_name()} | desired
        source, packages = desired.get("source"), desired.get("packages")
        found: list[Diagnostic] = []
        if not is_known(source) or not is_known(packages) or not is_known(desired.get("checksum")):
            return out | {"content_hash": Unknown(STRING)}, found
        if packages is not None:
            out["content_hash"] = f"sha256:{build_key(packages, desired.get('size'))}"
        elif source is None:
            return out, found
        elif is_url(source):
            out["content_hash"] = desired.get("checksum") or f"sha256:{hashlib.sha256(source.encode()).hexdigest()}"
            if not desired.get("checksum"):
                found.append(
                    warning(
                        "Disk image without a checksum",
                        f"{context.block}: what {source} gives is taken as it is, and a new content under the same "
                        "address is not noticed. Write `checksum`.",
                    )
                )
        else:
            told, found = digest(context, source.removeprefix("file://"), "source")
            out |= {"content_hash": told} if told is not None else {}
        return out, found

    def created_first(self, attributes: Attributes) -> bool:
        """VMs go from the old one to the new one."""
        return True

    # -- making and removing -------------------------------------------------------------------

    def create(self, context: Context, desired: Attributes) -> Attributes:
        """Build or fetch it, and put it into the pool; what an earlier, interrupted call put there is put again."""
        hypervisor: Hypervisor = context.host.hypervisor(desired.get("uri"))
        what = f'Making disk image "{desired["name"]}"'
        built = _built(context, desired, what)
        pool = pools.ensure_pool(hypervisor, desired.get("pool"))
        try:
            self._put(context, hypervisor, pool, desired, built, what)
        except BaseException:
            _remove(hypervisor, pool.name, context.identity, what)
            pools.release_pool(hypervisor, pool.name)
            raise
        found = _volumes(hypervisor, pool.name, context.identity.id, refresh=True)
        return _observe(found, desired | {"pool": pool.name, "boot_cmdline": desired.get("cmdline") or built.cmdline})

    def _put(
        self,
        context: Context,
        hypervisor: Hypervisor,
        pool: pools.PoolInfo,
        desired: Attributes,
        built: BuiltImage,
        what: str,
    ) -> None:
        for part, file in zip(_PARTS, (built.disk, built.kernel, built.initrd), strict=True):
            if file is None:
                continue
            name = _volume_name(desired["name"], context.identity, part)
            pools.delete_volume(hypervisor, pool.name, name, what)
            import os

            size = os.path.getsize(file)
            pools.create_volume(hypervisor, pool.name, name, capacity=size, format="raw", what=what)
            pools.upload(hypervisor, pool.name, name, file, what, context.progress, context.check)
        mark = _volume_name(desired["name"], context.identity, _COMPLETE)
        if pools.find_volume(hypervisor, pool.name, mark) is None:
            pools.create_volume(hypervisor, pool.name, mark, capacity=512, format="raw", what=what)

    def delete(self, context: Context, before: Attributes) -> None:
        """Remove it from the pool; the cache keeps it."""
        hypervisor: Hypervisor = context.host.hypervisor(before.get("uri"))
        what, pool = f'Removing disk image "{before.get("name")}"', before.get("pool") or pools.OWN
        users = _users(hypervisor, str(before.get("path")), context.identity.lineage)
        if users:
            raise ProviderError(
                error(
                    "Disk image still in use",
                    f"{what}: disks of {', '.join(users)} are layers on it, and would be lost. Remove these VMs first.",
                )
            )
        _remove(hypervisor, pool, context.identity, what)
        pools.release_pool(hypervisor, pool)

    def update(self, context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
        """Nothing of an image changes in place."""
        raise ProviderError(error("Disk images cannot be changed in place", "Replace it: --replace and its address."))

    # -- looking -------------------------------------------------------------------------------

    def read_many(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Observed]:
        """Observe images with one list call for each pool."""
        out: dict[str, Observed] = {}
        listed: dict[tuple[Any, Any], dict[str, VolumeFacts]] = {}
        for request in requests:
            uri, pool = request.attributes.get("uri"), request.attributes.get("pool") or pools.OWN
            if (uri, pool) not in listed:
                listed[uri, pool] = pools.list_volumes(context.host.hypervisor(uri), pool)
            found = _own(listed[uri, pool], request.id)
            whole = "disk.qcow2" in found and _COMPLETE in found
            out[request.id] = _observe(found, request.attributes) if whole else Presence.ABSENT
        return out

    def find(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Found]:
        """Images whose volumes carry the ids asked for; complete when the last of them is there."""
        out: dict[str, Found] = {}
        for request in requests:
            hypervisor: Hypervisor = context.host.hypervisor(request.attributes.get("uri"))
            wanted = request.attributes.get("pool")
            for pool in (wanted,) if wanted else (pools.DEFAULT, pools.OWN):
                found = _volumes(hypervisor, str(pool), request.id, refresh=True)
                if found:
                    known = dict(request.attributes) | {"pool": pool}
                    if "kernel" in found:
                        from hythe.provider.vm.image_build import CMDLINE

                        known["boot_cmdline"] = known.get("cmdline") or CMDLINE
                    out[request.id] = Found(_observe(found, known), complete=_COMPLETE in found)
                    break
        return out

    def find_owned(self, context: ReadContext) -> list[Owned]:
        """None: volumes carry no marks, so state alone knows which are whose."""
        return []

    def import_object(self, context: Context, object_id: str) -> Attributes:
        """Not possible: an image is known by what it was made of."""
        raise ProviderError(
            error(
                "Disk images cannot be imported",
                "A disk image is known by what it is made of, which nothing can be read from a file. Declare it, "
                "and let it be "
                'made; or name the file itself: image = "/path/of/file.qcow2".',
            )
        )

    def read_data(self, context: ReadContext, desired: Attributes) -> Attributes:
        """A volume by name."""
        hypervisor: Hypervisor = context.host.hypervisor(desired.get("uri"))
        facts = pools.find_volume(hypervisor, desired["pool"], desired["name"])
        if facts is None:
            raise ProviderError(
                error(
                    "Volume not found",
                    f'Reading disk image "{desired["name"]}": pool "{desired["pool"]}" of {hypervisor.uri} has none '
                    "of that "
                    "name. `virsh vol-list POOL` shows those it has.",
                )
            )
        return desired | {"path": facts.path, "format": facts.format, "capacity": facts.capacity}


def _built(context: Context, desired: Attributes, what: str) -> BuiltImage:
    key = str(desired["content_hash"]).partition(":")[2]
    if desired.get("packages"):
        return build_packages(desired["packages"], desired.get("size"), what, context.progress, context.check)
    source = desired["source"]
    if not is_url(source):
        source = located(context.base_dir, source.removeprefix("file://"))
    return fetched(source, desired.get("checksum"), key, what, context.progress, context.check)


def _volume_name(name: str, identity: Identity, part: str) -> str:
    return f"{name}.{identity.id[:8]}.{part}"


def _own(listed: Mapping[str, VolumeFacts], id: str) -> dict[str, VolumeFacts]:
    """The volumes of an instance by part."""
    out: dict[str, VolumeFacts] = {}
    for name, facts in listed.items():
        _, mark, part = name.partition(f".{id[:8]}.")
        if mark and part in (*_PARTS, _COMPLETE):
            out[part] = facts
    return out


def _volumes(hypervisor: Hypervisor, pool: str, id: str, *, refresh: bool = False) -> dict[str, VolumeFacts]:
    return _own(pools.list_volumes(hypervisor, pool, refresh=refresh), id)


def _remove(hypervisor: Hypervisor, pool: str, identity: Identity, what: str) -> None:
    found = _volumes(hypervisor, pool, identity.id, refresh=True)
    for part in (_COMPLETE, *_PARTS):
        if part in found:
            pools.delete_volume(hypervisor, pool, found[part].name, what)


def _observe(found: Mapping[str, VolumeFacts], known: Mapping[str, Any]) -> Attributes:
    out = dict(known)
    disk = found.get("disk.qcow2")
    if disk is not None:
        out |= {"path": disk.path, "format": "qcow2", "capacity": disk.capacity, "pool": disk.pool}
    for part in ("kernel", "initrd"):
        if part in found or known.get(part):
            out[f"{part}_path"] = known.get(part) or found[part].path
    if not out.get("boot_cmdline") or not out.get("kernel_path"):
        out.pop("boot_cmdline", None)
        if out.get("kernel_path") and known.get("cmdline"):
            out["boot_cmdline"] = known["cmdline"]
    return out


def _users(hypervisor: Hypervisor, path: str, lineage: str) -> list[str]:
    """VMs with a disk that is a layer on the file."""

    def read(connection: Any) -> list[str]:
        out = set()
        for pool in connection.listAllStoragePools(2):
            for volume in pool.listAllVolumes():
                root = parse(volume.XMLDesc(0))
                if root.findtext("backingStore/path") == path:
                    out.add(str(root.findtext("name")).split(".")[0])
        return sorted(out)

    return hypervisor.survey(read)
