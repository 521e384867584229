"""Disks for VMs: volumes of a storage pool that outlive the VMs that use them.

A volume of a pool carries no mark, so its file's name tells which instance it is. What state cannot recover: what it
was filled with.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from hythe.diagnostic import Diagnostic, error
from hythe.provider.container.inputs import digest, located
from hythe.provider.protocol import (
    Attributes,
    Context,
    Found,
    Hint,
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
from hythe.provider.vm import pools
from hythe.provider.vm.client import Hypervisor, LibvirtError, refused
from hythe.provider.vm.recognising import recognise
from hythe.provider.vm.volume_upload import upload
from hythe.provider.vm.xml import parse
from hythe.value import STRING, Reference, Unknown, is_known

_KEPT = (
    "host",
    "uri",
    "name",
    "backing",
    "source",
    "content_hash",
    "protected",
    "allow_data_loss",
    "imported",
    "format",
)
_BYTES = 1
_SECTOR, _EXTENT = 512, 4 << 20
"""What sizes are rounded up to in a file, and in a volume group."""
_NO_SUPPORT = 3
_DATA_FILE = 4
"""Bit of a qcow2 file's features: its data is in another file."""
_EXTEND_SECONDS = 60.0
_QCOW = b"QFI\xfb"


class DiskVolume(Kind):
    """A disk for VMs. The other half of the ``volume`` kind is the engine's."""

    name = "volume"

    def prepare(self, desired: Attributes, context: PrepareContext) -> tuple[Attributes, list[Diagnostic]]:
        """Give it a name when it has none, and hash what it is filled with."""
        out = {"name": context.default_name()} | desired
        source = desired.get("source")
        if source is None:
            return out, []
        if not is_known(source):
            return out | {"content_hash": Unknown(STRING)}, []
        found, problems = digest(context, source, "source")
        return (out if found is None else out | {"content_hash": found}), problems

    def hint(self, path: Path, before: Any, after: Any, old: Attributes, new: Attributes) -> Hint | None:
        """Growing is done in place; everything else would lose the content."""
        if path == ("size",):
            if before is None or after is None or not isinstance(after, int) or after >= before:
                return Hint(Effect.LIVE)
            return Hint(Effect.REPLACE, "a disk cannot be made smaller", data_loss=True)
        if path == ("host",):
            return Hint(Effect.REPLACE, "content does not move with it", data_loss=True)
        if path in (("content_hash",), ("source",), ("backing",)):
            return Hint(Effect.REPLACE, "a disk is filled only when it is made", data_loss=True)
        return None

    def equal(self, path: Path, before: Any, after: Any, old: Attributes, new: Attributes) -> bool:
        """A size that the pool rounded up is the one asked for; qcow2 is what a disk is that says nothing."""
        if path == ("size",) and isinstance(before, int) and isinstance(after, int):
            grain = _EXTENT if str(old.get("path", "")).startswith("/dev/") else _SECTOR
            return 0 <= before - after < grain
        return path == ("format",) and (before or "qcow2") == after

    # -- making and removing -------------------------------------------------------------------

    def create(self, context: Context, desired: Attributes) -> Attributes:
        """Make and fill the disk; one that an earlier, interrupted call left is made anew."""
        hypervisor: Hypervisor = context.host.hypervisor(desired.get("uri"))
        what = f'Creating volume "{desired["name"]}"'
        pool = pools.ensure_pool(hypervisor, desired.get("pool"))
        context.progress(f"creating volume {desired['name']}")
        try:
            form = _format(context, pool, desired, what)
        except BaseException:
            pools.release_pool(hypervisor, pool.name)
            raise
        name = file_name({**desired, "format": form}, context.identity)
        try:
            pools.delete_volume(hypervisor, pool.name, name, what)
            if desired.get("source"):
                self._fill(context, hypervisor, pool, name, desired, what)
            else:
                backing = _backing(context, desired)
                capacity = desired.get("size") or (backing[2] if backing else 0)
                pools.create_volume(
                    hypervisor,
                    pool.name,
                    name,
                    capacity=capacity,
                    format=form,
                    what=what,
                    backing=backing[:2] if backing else None,
                    allocation=pool.allocation(capacity),
                )
        except BaseException:
            pools.delete_volume(hypervisor, pool.name, name, what)
            pools.release_pool(hypervisor, pool.name)
            raise
        facts = pools.find_volume(hypervisor, pool.name, name)
        if facts is None:
            raise ProviderError(error("Volume vanished", f"{what}: it is gone again. Plan again."))
        return _observe(facts, {**desired, "format": form})

    def _fill(
        self, context: Context, hypervisor: Hypervisor, pool: pools.PoolInfo, name: str, desired: Attributes, what: str
    ) -> None:
        path, size = located(context.base_dir, desired["source"]), desired.get("size") or 0
        length = os.path.getsize(path)
        # a volume that is no file gets its full size at once, as libvirt grows files only
        first = length if pool.holds_files else max(length, size)
        allocation = pool.allocation(first)
        pools.create_volume(hypervisor, pool.name, name, capacity=first, format="raw", what=what, allocation=allocation)
        upload(hypervisor, pool.name, name, path, what, context.progress, context.check)
        pools.list_volumes(hypervisor, pool.name, refresh=True)
        facts = pools.find_volume(hypervisor, pool.name, name)
        if facts is not None and facts.capacity < size:
            pools.resize_volume(hypervisor, pool.name, name, size, what)

    def update(self, context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
        """Grow the disk, while a VM uses it too; the guest is told of its new size."""
        hypervisor: Hypervisor = context.host.hypervisor(before.get("uri"))
        what = f'Changing volume "{before["name"]}"'
        facts = pools.find_path(hypervisor, str(before.get("path")))
        if facts is None:
            raise ProviderError(error("Volume not found", f"{what}: the hypervisor no longer has it. Plan again."))
        wanted = desired.get("size")
        if "size" in changed and isinstance(wanted, int) and wanted > facts.capacity:
            context.progress(f"growing volume {before['name']}")
            user = _running_user(hypervisor, facts.path)
            wanted = -(-wanted // _SECTOR) * _SECTOR
            if facts.path.startswith("/dev/"):
                wanted = _extend(context, hypervisor, facts, wanted, what, before.get("uri"))
            elif user is None:
                _grow(hypervisor, facts, wanted, what)
            if user is not None:
                uuid, target = user
                try:
                    hypervisor.call(lambda c: c.lookupByUUIDString(uuid).blockResize(target, wanted, _BYTES))
                    pools.refresh_pool(hypervisor, facts.pool)
                except LibvirtError as failure:
                    raise refused(failure, what) from failure
        found = pools.find_path(hypervisor, facts.path) or facts
        return _observe(found, before | desired | {"path": facts.path})

    def delete(self, context: Context, before: Attributes) -> None:
        """Remove the disk and its content."""
        hypervisor: Hypervisor = context.host.hypervisor(before.get("uri"))
        what = f'Removing volume "{before["name"]}"'
        if before.get("protected"):
            raise ProviderError(
                error(
                    "Protected volume",
                    f"{what}: it is protected, so that its content cannot be lost by mistake. "
                    "Set `protected = false`, apply that, and then remove it.",
                )
            )
        pool, name = before.get("pool") or pools.OWN, file_name(before, context.identity)
        user = _running_user(hypervisor, str(before.get("path")))
        if user is not None:
            vm = hypervisor.find(lambda c: c.lookupByUUIDString(user[0]).name())
            raise ProviderError(
                error("Volume still in use", f"{what}: the VM {vm} runs with it. Take it away from that first.")
            )
        pools.delete_volume(hypervisor, pool, name, what)
        pools.release_pool(hypervisor, pool)

    # -- looking -------------------------------------------------------------------------------

    def read_many(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Observed]:
        """Observe disks with one list call for each pool."""
        out: dict[str, Observed] = {}
        listed: dict[tuple[Any, str], Mapping[str, pools.VolumeFacts]] = {}
        for request in requests:
            uri, pool = request.attributes.get("uri"), str(request.attributes.get("pool") or pools.OWN)
            if (uri, pool) not in listed:
                listed[uri, pool] = pools.list_volumes(context.host.hypervisor(uri), pool, refresh=True)
            identity = Identity(context.lineage, request.address, request.id)
            facts = listed[uri, pool].get(file_name(request.attributes, identity))
            out[request.id] = Presence.ABSENT if facts is None else _observe(facts, request.attributes)
        return out

    def find(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Found]:
        """Disks whose names carry the ids asked for. Whether one was filled cannot be told, so then it is not."""
        out: dict[str, Found] = {}
        for request in requests:
            hypervisor: Hypervisor = context.host.hypervisor(request.attributes.get("uri"))
            identity = Identity(context.lineage, request.address, request.id)
            # which format a disk got that asks for none depends on the pool
            names = [file_name({**request.attributes, "format": form}, identity) for form in ("qcow2", "raw")]
            wanted = request.attributes.get("pool")
            for pool in (wanted,) if wanted else (pools.DEFAULT, pools.OWN):
                there = pools.list_volumes(hypervisor, str(pool), refresh=True)
                facts = next((there[name] for name in names if name in there), None)
                if facts is not None:
                    made = _observe(facts, request.attributes)
                    out[request.id] = Found(made, complete=not request.attributes.get("source"))
                    break
        return out

    def find_owned(self, context: ReadContext) -> list[Owned]:
        """None: volumes of a pool carry no marks."""
        return []

    def recognise(self, context: ReadContext, requests: Sequence[ReadRequest]) -> list[Owned]:
        """Disks that the state's VMs have, by their names."""
        return recognise(context, requests, "(?:qcow2|img)", self.find, below=False)

    def import_object(self, context: Context, object_id: str) -> Attributes:
        """A disk as ``POOL/NAME``."""
        pool, _, name = object_id.partition("/")
        facts = _selected(context.host.hypervisor(None), pool, name, "Importing")
        return _observe(facts, {"name": name, "size": facts.capacity, "imported": True})

    def read_data(self, context: ReadContext, desired: Attributes) -> Attributes:
        """A disk by pool and name."""
        hypervisor = context.host.hypervisor(desired.get("uri"))
        facts = _selected(hypervisor, str(desired["pool"]), desired["name"], "Reading")
        return desired | {"path": facts.path, "format": facts.format, "capacity": facts.capacity}


def file_name(attributes: Mapping[str, Any], identity: Identity) -> str:
    """The name in the pool: of one that is there its own, else one made of the instance's id."""
    if attributes.get("path"):
        return os.path.basename(str(attributes["path"]))
    if attributes.get("imported"):
        return str(attributes["name"])
    form = attributes.get("format") or ("raw" if attributes.get("source") else "qcow2")
    return f"{attributes['name']}.{identity.id[:8]}.{form if form == 'qcow2' else 'img'}"


def _format(context: Context, pool: pools.PoolInfo, desired: Attributes, what: str) -> str:
    """The format of a new disk: the one asked for, else that of the file, else the pool's. Raises ProviderError."""
    wanted = desired.get("format")
    source = desired.get("source")
    found = wanted or ("qcow2" if pool.holds_files else "raw")
    if source:
        path = located(context.base_dir, source)
        found = _format_of(path, what)
        if wanted not in (None, found):
            raise ProviderError(
                error(
                    "File of another format",
                    f'{what}: {path} is {found}, and the disk shall be {wanted}. Write format = "{found}", or convert '
                    f"the file (`qemu-img convert -O {wanted}`).",
                )
            )
    if not pool.holds_files and (found == "qcow2" or desired.get("backing")):
        raise ProviderError(
            error(
                "Pool without files",
                f'{what}: storage pool "{pool.name}" (type {pool.type}) keeps no files, so its disks are raw, and not '
                'layers on an image. Write format = "raw" without `backing`, or name a pool of type dir.',
            )
        )
    return str(found)


def _format_of(path: str, what: str) -> str:
    """What a file is. One that leads to other files is refused: it could name any file of the hypervisor's machine."""
    try:
        with open(path, "rb") as file:
            head = file.read(80).ljust(80, b"\0")
    except OSError as failure:
        raise ProviderError(error("File cannot be read", f"{what}: {path}: {failure.strerror}.")) from failure
    magic, version, backing, features = struct.unpack_from(">4sIQ56xQ", head)
    if magic != _QCOW:
        return "raw"
    if backing or (version > 2 and features & _DATA_FILE):
        raise ProviderError(
            error(
                "Disk image leads to another file",
                f"{what}: {path} is a layer on other files, or keeps its data in one. Flatten it first: `qemu-img "
                "convert -O qcow2 IN OUT`.",
            )
        )
    return "qcow2"


def _grow(hypervisor: Hypervisor, facts: pools.VolumeFacts, wanted: int, what: str) -> None:
    """Make a disk larger that no running VM uses. Raises ProviderError."""
    try:
        hypervisor.call(
            lambda c: c.storagePoolLookupByName(facts.pool).storageVolLookupByName(facts.name).resize(wanted, 0)
        )
    except LibvirtError as failure:
        if failure.code != _NO_SUPPORT:
            raise refused(failure, what) from failure
        raise ProviderError(_cannot_grow(facts, wanted, what, "libvirt cannot do that")) from failure


def _extend(
    context: Context, hypervisor: Hypervisor, facts: pools.VolumeFacts, wanted: int, what: str, uri: str | None
) -> int:
    """Make a logical volume larger, which libvirt cannot; its size after that, in bytes. Raises ProviderError.

    That is done on the host, which is the hypervisor's machine unless a URI of its own was given.
    """
    if uri is not None:
        raise ProviderError(
            _cannot_grow(facts, wanted, what, f"its pool is on the machine of {uri}, where Hythe runs nothing")
        )
    script = 'PATH=$PATH:/usr/sbin:/sbin; exec lvextend --size "$1" "$2"'
    done = context.host.run(["sh", "-c", script, "sh", f"{wanted}b", facts.path], timeout=_EXTEND_SECONDS)
    if done.code != 0:
        said = done.stderr.decode("utf-8", "replace").strip() or "no reason given"
        raise ProviderError(_cannot_grow(facts, wanted, what, f"lvextend on {context.host.name} refused ({said})"))
    pools.refresh_pool(hypervisor, facts.pool)
    found = pools.find_path(hypervisor, facts.path)
    return found.capacity if found is not None else wanted


def _cannot_grow(facts: pools.VolumeFacts, wanted: int, what: str, why: str) -> Diagnostic:
    return error(
        "Pool cannot grow volumes",
        f'{what}, in pool "{facts.pool}": {why}. Do it on the machine (in a volume group: `sudo lvextend --size '
        f"{wanted}b {facts.path}`, then `virsh pool-refresh {facts.pool}`), and plan again.",
    )


def _backing(context: Context, desired: Attributes) -> tuple[str, str, int] | None:
    backing = desired.get("backing")
    if backing is None:
        return None
    if isinstance(backing, Reference):
        told = context.resolve(backing).attributes
        return str(told["path"]), str(told.get("format") or "qcow2"), int(told.get("capacity") or 0)
    return str(backing), "qcow2", 0


def _observe(facts: pools.VolumeFacts, known: Mapping[str, Any]) -> Attributes:
    out: Attributes = {"type": "disk", "driver": "local", "protected": False, "allow_data_loss": False}
    out |= {k: known[k] for k in _KEPT if known.get(k) is not None}
    out |= {"pool": facts.pool, "path": facts.path, "capacity": facts.capacity}
    out.setdefault("name", facts.name)
    # the format is never what the pool takes the content for: a guest could write a raw disk that looks like qcow2,
    # and so have files of the machine opened for it
    if known.get("size") is not None:
        out["size"] = facts.capacity
    if known.get("imported") and facts.format != "qcow2":
        out["format"] = facts.format
    return out


def _selected(hypervisor: Hypervisor, pool: str, name: str, doing: str) -> pools.VolumeFacts:
    facts = pools.find_volume(hypervisor, pool, name) if pool and name else None
    if facts is None:
        raise ProviderError(
            error(
                "Volume not found",
                f'{doing} volume "{name}": {hypervisor.uri} has none of that name in pool "{pool}". `virsh '
                "pool-list` and "
                "`virsh vol-list POOL` show those it has; name it as POOL/NAME.",
            )
        )
    return facts


def _running_user(hypervisor: Hypervisor, path: str) -> tuple[str, str] | None:
    """UUID of a running VM that uses a file as a disk, and the disk's name there."""

    def read(connection: Any) -> tuple[str, str] | None:
        for domain in connection.listAllDomains(1):
            for disk in parse(domain.XMLDesc(0)).findall("devices/disk"):
                source, target = disk.find("source"), disk.find("target")
                if source is not None and target is not None and path in (source.get("file"), source.get("dev")):
                    return domain.UUIDString(), str(target.get("dev"))
        return None

    return hypervisor.survey(read)
