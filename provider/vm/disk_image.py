"""The ``disk_image`` kind: what disks of VMs are layers on.

It is built or fetched on the machine that Hythe runs on, into a cache that is kept by content, and then put into a
storage pool of the hypervisor, once for all VMs. Volumes of a pool carry no marks: their names tell which instance they
are of, and a last, empty volume tells that all is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
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
    Hint,
    Kind,
    Observed,
    Owned,
    PrepareContext,
    Presence,
    ProviderError,
    ReadContext,
    ReadRequest,
)
from hythe.provider.schema import Effect, Model, Path, Size, attr, block
from hythe.provider.vm import pools
from hythe.provider.vm.client import Hypervisor, LibvirtError
from hythe.provider.vm.image_build import CMDLINE, BuiltImage, build_key, build_packages
from hythe.provider.vm.image_download import is_url
from hythe.provider.vm.image_fetch import fetched
from hythe.provider.vm.recognising import recognise
from hythe.provider.vm.volume_upload import upload
from hythe.provider.vm.xml import parse
from hythe.value import STRING, Unknown, is_known

if TYPE_CHECKING:
    from hythe.provider.vm.pools import VolumeFacts

_CHECKSUM = re.compile(r"(sha256|sha512):([0-9a-fA-F]+)")
_LENGTHS = {"sha256": 64, "sha512": 128}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,62}")
_DISK = "disk.qcow2"
_PARTS = (_DISK, "kernel", "initrd")
_COMPLETE = "complete"
_CONTENT = frozenset({"content_hash", "source", "checksum", "packages", "size"})
"""Arguments that tell what is in an image, and change nothing where that stays the same."""
_LACKS = " without its "
_LAYER = re.compile(r"(.+)\.[0-9a-f]{8}\.[^.]+(?:\.[^.]+)?")


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
    imported: bool | None = attr(description="Whether it was taken into the state as it was.", computed=True)

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
    rebuild_note = (
        "It has no mark: it is known by its name while disks of the state's VMs are layers on it. Otherwise it is "
        "made anew."
    )
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
            wanted = desired.get("checksum")
            if told is not None and wanted and wanted.startswith("sha256:") and wanted != told:
                found = [
                    error(
                        "Checksum does not match",
                        f"{context.block}: {source} has the {told}, and `checksum` asks for {wanted}. Correct "
                        "`checksum` if this is the file you mean.",
                    )
                ]
        return out, found

    def hint(self, path: Path, before: Any, after: Any, old: Attributes, new: Attributes) -> Hint | None:
        """The same content from elsewhere is the same image, and one that was imported is what is declared."""
        if path[0] not in _CONTENT:
            return None
        has, wanted = old.get("content_hash"), new.get("content_hash")
        if has is None and old.get("imported"):
            return Hint(Effect.LIVE, "what was imported is taken for what is declared")
        if not isinstance(has, str) or not is_known(wanted):
            return None
        if has == wanted:
            return Hint(Effect.LIVE, "its content stays the same")
        content, lacks, part = has.partition(_LACKS)
        if lacks and content == wanted:
            return Hint(Effect.LIVE, f"its {part} is put there again")
        return None

    def created_first(self, attributes: Attributes) -> bool:
        """VMs go from the old one to the new one."""
        return True

    # -- making and removing -------------------------------------------------------------------

    def create(self, context: Context, desired: Attributes) -> Attributes:
        """Build or fetch it, and put it into the pool; what an earlier, interrupted call put there is put again."""
        hypervisor: Hypervisor = context.host.hypervisor(desired.get("uri"))
        what = f'Making disk image "{desired["name"]}"'
        # what cannot be put anywhere need not be made
        pool = pools.ensure_pool(hypervisor, desired.get("pool"))
        if not pool.holds_files:
            raise ProviderError(
                error(
                    "Pool without files",
                    f'{what}: storage pool "{pool.name}" (type {pool.type}) keeps no files, and disk images are files '
                    "that the disks of VMs are layers on. Leave `pool` out, or name a pool of type dir.",
                )
            )
        try:
            built = _built(context, desired, what)
            # an empty pool may have gone in the meantime, with the last image of another project
            pool = pools.ensure_pool(hypervisor, desired.get("pool"))
            _put(context, hypervisor, pool.name, desired, built, what)
        except BaseException:
            with contextlib.suppress(ProviderError, LibvirtError):
                _remove(hypervisor, pool.name, desired, context.identity.id, what)
                pools.release_pool(hypervisor, pool.name)
            raise
        found = _own(pools.list_volumes(hypervisor, pool.name, refresh=True), desired, context.identity.id)
        return _observe(found, desired | {"pool": pool.name, "boot_cmdline": desired.get("cmdline") or built.cmdline})

    def delete(self, context: Context, before: Attributes) -> None:
        """Remove it from the pool; the cache keeps it."""
        hypervisor: Hypervisor = context.host.hypervisor(before.get("uri"))
        what, pool = f'Removing disk image "{before.get("name")}"', before.get("pool") or pools.OWN
        users = _users(hypervisor, str(before.get("path")))
        if users:
            raise ProviderError(
                error(
                    "Disk image still in use",
                    f"{what}: disks of {', '.join(users)} are layers on it, and would be lost. Remove these VMs first.",
                )
            )
        _remove(hypervisor, pool, before, context.identity.id, what)
        pools.release_pool(hypervisor, pool)

    def update(self, context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
        """Note where the same content comes from now, and put what is missing beside the disk there again."""
        hypervisor: Hypervisor = context.host.hypervisor(before.get("uri"))
        pool = str(before["pool"])
        known = before | desired | {"pool": pool}
        found = _own(pools.list_volumes(hypervisor, pool, refresh=True), before, context.identity.id)
        if _LACKS in str(before.get("content_hash")):
            what = f'Mending disk image "{before["name"]}"'
            built = _built(context, desired, what)
            # VMs are layers on the disk itself, which is not touched
            _put(context, hypervisor, pool, desired, built, what, there=frozenset(found))
            found = _own(pools.list_volumes(hypervisor, pool, refresh=True), before, context.identity.id)
        for name in _CONTENT & before.keys() - desired.keys():
            del known[name]
        return _observe(found, known)

    # -- looking -------------------------------------------------------------------------------

    def read_many(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Observed]:
        """Observe images with one list call for each pool."""
        out: dict[str, Observed] = {}
        listed: dict[tuple[Any, Any], dict[str, VolumeFacts]] = {}
        for request in requests:
            known = request.attributes
            uri, pool = known.get("uri"), known.get("pool") or pools.OWN
            if (uri, pool) not in listed:
                listed[uri, pool] = pools.list_volumes(context.host.hypervisor(uri), pool, refresh=True)
            found = _own(listed[uri, pool], known, request.id)
            out[request.id] = _observe(found, known) if _DISK in found else Presence.ABSENT
        return out

    def find(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Found]:
        """Images whose volumes carry the ids asked for; complete when the last of them is there."""
        out: dict[str, Found] = {}
        for request in requests:
            hypervisor: Hypervisor = context.host.hypervisor(request.attributes.get("uri"))
            wanted = request.attributes.get("pool")
            for pool in (wanted,) if wanted else (pools.DEFAULT, pools.OWN):
                listed = pools.list_volumes(hypervisor, str(pool), refresh=True)
                found = _own(listed, request.attributes, request.id)
                if found:
                    known = dict(request.attributes) | {"pool": pool}
                    if "kernel" in found:
                        known["boot_cmdline"] = known.get("cmdline") or CMDLINE
                    out[request.id] = Found(_observe(found, known), complete=_COMPLETE in found)
                    break
        return out

    def find_owned(self, context: ReadContext) -> list[Owned]:
        """None: volumes carry no marks, so state alone knows which are whose."""
        return []

    def recognise(self, context: ReadContext, requests: Sequence[ReadRequest]) -> list[Owned]:
        """Images that disks of the state's VMs are layers on, by their names."""
        return recognise(context, requests, re.escape(_DISK), self.find, below=True)

    def import_object(self, context: Context, object_id: str) -> Attributes:
        """A volume as `POOL/NAME`; what is in it is then taken for what the configuration says."""
        pool, _, name = object_id.rpartition("/")
        facts = _selected(context.host.hypervisor(None), pool or pools.DEFAULT, name, "Importing")
        return _observe({_DISK: facts}, {"name": name, "imported": True})

    def read_data(self, context: ReadContext, desired: Attributes) -> Attributes:
        """A volume by name."""
        facts = _selected(context.host.hypervisor(desired.get("uri")), desired["pool"], desired["name"], "Reading")
        return desired | {"path": facts.path, "format": facts.format, "capacity": facts.capacity}


def _selected(hypervisor: Hypervisor, pool: str, name: str, doing: str) -> VolumeFacts:
    facts = pools.find_volume(hypervisor, pool, name)
    if facts is None:
        raise ProviderError(
            error(
                "Volume not found",
                f'{doing} disk image "{name}": {hypervisor.uri} has no volume of that name in pool "{pool}". `virsh '
                f"pool-list` shows its pools, `virsh vol-list {pool}` what is in this one.",
            )
        )
    return facts


def _built(context: Context, desired: Attributes, what: str) -> BuiltImage:
    key = str(desired["content_hash"]).partition(":")[2]
    if desired.get("packages"):
        return build_packages(desired["packages"], desired.get("size"), what, context.progress, context.check)
    source = desired["source"]
    if not is_url(source):
        source = located(context.base_dir, source.removeprefix("file://"))
    return fetched(source, desired.get("checksum"), key, what, context.progress, context.check)


def _put(
    context: Context,
    hypervisor: Hypervisor,
    pool: str,
    desired: Attributes,
    built: BuiltImage,
    what: str,
    there: frozenset[str] = frozenset(),
) -> None:
    """Put the files of an image into a pool, but for those that are ``there``. Raises ProviderError."""

    def named(part: str) -> str:
        return f"{desired['name']}.{context.identity.id[:8]}.{part}"

    for part, file in zip(_PARTS, (built.disk, built.kernel, built.initrd), strict=True):
        if file is None or part in there:
            continue
        name = named(part)
        pools.delete_volume(hypervisor, pool, name, what)
        size = os.path.getsize(file)
        pools.create_volume(hypervisor, pool, name, capacity=size, format="raw", what=what)
        upload(hypervisor, pool, name, file, what, context.progress, context.check)
    if pools.find_volume(hypervisor, pool, named(_COMPLETE)) is None:
        pools.create_volume(hypervisor, pool, named(_COMPLETE), capacity=512, format="raw", what=what)


def _own(listed: Mapping[str, VolumeFacts], known: Mapping[str, Any], id: str) -> dict[str, VolumeFacts]:
    """The volumes of an instance by part. One that was imported is a single file with a name of its own."""
    if known.get("imported"):
        facts = listed.get(os.path.basename(str(known.get("path"))))
        return {} if facts is None else {_DISK: facts}
    out: dict[str, VolumeFacts] = {}
    for name, facts in listed.items():
        _, mark, part = name.partition(f".{id[:8]}.")
        if mark and part in (*_PARTS, _COMPLETE):
            out[part] = facts
    return out


def _remove(hypervisor: Hypervisor, pool: str, known: Mapping[str, Any], id: str, what: str) -> None:
    found = _own(pools.list_volumes(hypervisor, pool, refresh=True), known, id)
    for part in (_COMPLETE, *_PARTS):
        if part in found:
            pools.delete_volume(hypervisor, pool, found[part].name, what)


def _observe(found: Mapping[str, VolumeFacts], known: Mapping[str, Any]) -> Attributes:
    out = dict(known)
    disk = found.get(_DISK)
    if disk is not None:
        form = disk.format if known.get("imported") else "qcow2"
        out |= {"path": disk.path, "format": form, "capacity": disk.capacity, "pool": disk.pool}
    content = str(known.get("content_hash") or "").partition(_LACKS)[0]
    if content:
        out["content_hash"] = content
    for part in ("kernel", "initrd"):
        if part in found or known.get(part):
            out[f"{part}_path"] = known.get(part) or found[part].path
        elif out.get(f"{part}_path") and content and not known.get("imported"):
            out["content_hash"] = f"{content}{_LACKS}{part}"
    if not out.get("boot_cmdline") or not out.get("kernel_path"):
        out.pop("boot_cmdline", None)
        if out.get("kernel_path") and known.get("cmdline"):
            out["boot_cmdline"] = known["cmdline"]
    return out


def _users(hypervisor: Hypervisor, path: str) -> list[str]:
    """VMs with a disk that is a layer on the file, or files that are one and are of no VM."""

    def read(connection: Any) -> list[str]:
        out = set()
        for pool in connection.listAllStoragePools(2):
            for volume in pool.listAllVolumes():
                root = parse(volume.XMLDesc(0))
                if root.findtext("backingStore/path") == path:
                    name = str(root.findtext("name"))
                    layer = _LAYER.fullmatch(name)
                    out.add(layer[1] if layer else name)
        return sorted(out)

    return hypervisor.survey(read)
