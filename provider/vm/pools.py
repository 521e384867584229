"""Storage pools and their volumes: found or made, listed, filled.

Every file that Hythe gives to a hypervisor is a volume of a pool, so that all of this works over any connection, and
libvirt sees to owners and labels of files.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from hythe.diagnostic import error
from hythe.provider.protocol import HostUnreachable, ProviderError
from hythe.provider.vm.client import Hypervisor, LibvirtError, explain, refused
from hythe.provider.vm.errors import NO_POOL
from hythe.provider.vm.xml import add, element, parse, render

DEFAULT, OWN = "default", "hythe"
"""The pool that is used where there is one, and the one that Hythe makes otherwise."""
_SYSTEM_FOLDER = "/var/lib/libvirt/images/hythe"
_DEVICES = frozenset({"logical", "disk", "iscsi", "iscsi-direct", "scsi", "mpath", "rbd", "zfs"})
_SHRINK = 4
_REFRESHES = 20
_TRIES = 20
_INACTIVE = "is not active"
_BUSY = "asynchronous jobs running"

_T = TypeVar("_T")
_removing = threading.Lock()
"""Held while Hythe's own pool is looked at and removed, and while a volume is put into it."""


@dataclass(frozen=True, slots=True)
class PoolInfo:
    """A pool. ``path`` is its folder (or device) on the hypervisor's machine; ``available`` is in bytes."""

    name: str
    path: str
    type: str
    available: int

    @property
    def holds_files(self) -> bool:
        """Whether its volumes are files, unlike those of a volume group or a whole disk."""
        return self.type not in _DEVICES

    def allocation(self, capacity: int) -> int:
        """How much of a volume's capacity, in bytes, is to be taken at once.

        Files grow as they are written to. A logical volume with less than all would be made as a snapshot of
        nothing (libvirt's storage documentation calls it sparse), and is lost with all its data when that is full.
        """
        return 0 if self.holds_files else capacity


@dataclass(frozen=True, slots=True)
class VolumeFacts:
    """A volume. ``path`` is its file on the hypervisor's machine; sizes are in bytes."""

    pool: str
    name: str
    path: str
    format: str
    capacity: int
    allocation: int
    backing: str | None = None


def ensure_pool(hypervisor: Hypervisor, name: str | None) -> PoolInfo:
    """The pool of that name, started when it is not running; without a name the one to use, made when there is none.

    Raises ProviderError when the named one is not there.
    """
    what = f'Opening storage pool "{name or DEFAULT}"'
    for _ in range(_TRIES):
        found = _opened(hypervisor, name, what)
        if found is not None:
            return found
        time.sleep(0.1)
    raise ProviderError(
        error(
            "Storage pool vanished",
            f"{what}: it is removed again and again by somebody else. Let other runs of Hythe end, and apply again.",
        )
    )


def _opened(hypervisor: Hypervisor, name: str | None, what: str) -> PoolInfo | None:
    """The pool; None where Hythe's own one was removed by another operation just now."""
    try:
        pool = hypervisor.find(lambda c: c.storagePoolLookupByName(name or DEFAULT))
        if pool is None and name in (None, OWN):
            pool = _own_pool(hypervisor)
        if pool is None:
            known = hypervisor.read(lambda c: sorted(p.name() for p in c.listAllStoragePools()))
            have = f"it has {', '.join(known)}" if known else "it has none"
            raise ProviderError(
                error(
                    "Storage pool not found",
                    f"{what}: {hypervisor.uri} has no pool of that name ({have}). Name one of these, define it "
                    "(`virsh pool-define-as`), or leave `pool` out.",
                )
            )
        _start(hypervisor, pool)
        return hypervisor.read(lambda c: _info(pool))
    except LibvirtError as failure:
        if failure.missing and name in (None, OWN):
            return None
        raise refused(failure, what) from failure


def find_pool(hypervisor: Hypervisor, name: str) -> PoolInfo | None:
    """The pool of that name, None when there is none or it is not running."""
    pool = hypervisor.find(lambda c: c.storagePoolLookupByName(name))
    if pool is None or not hypervisor.read(lambda c: pool.isActive()):
        return None
    return hypervisor.read(lambda c: _info(pool))


def release_pool(hypervisor: Hypervisor, name: str) -> None:
    """Remove the pool that Hythe made itself when nothing is in it any more."""
    if name != OWN:
        return
    with _removing, contextlib.suppress(LibvirtError):
        pool = hypervisor.find(lambda c: c.storagePoolLookupByName(OWN))
        if pool is None:
            return
        if hypervisor.read(lambda c: pool.isActive()):
            if hypervisor.read(lambda c: pool.numOfVolumes()):
                return
            refresh_pool(hypervisor, OWN)
            if hypervisor.read(lambda c: pool.numOfVolumes()):
                return
            hypervisor.call(lambda c: pool.destroy())
        try:
            # removes the folder, and refuses when there is something in it after all
            hypervisor.call(lambda c: pool.delete(0))
        except LibvirtError:
            # another process has just begun to use it
            hypervisor.call(lambda c: pool.create(0))
            return
        hypervisor.call(lambda c: pool.undefine())


def _own_pool(hypervisor: Hypervisor) -> Any:
    folder = _SYSTEM_FOLDER
    if "session" in hypervisor.uri:
        base = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
        folder = os.path.join(base, "libvirt", "images", "hythe")
    root = element("pool", type="dir")
    add(root, "name", OWN)
    add(add(root, "target"), "path", folder)
    text = render(root)
    pool = hypervisor.find(lambda c: c.storagePoolLookupByName(OWN))
    if pool is None:
        try:
            pool = hypervisor.call(lambda c: c.storagePoolDefineXML(text, 0))
        except LibvirtError:
            # two operations at once: the other one was quicker
            pool = hypervisor.call(lambda c: c.storagePoolLookupByName(OWN))
    hypervisor.call(lambda c: pool.setAutostart(1))
    return pool


def _start(hypervisor: Hypervisor, pool: Any) -> None:
    for attempt in range(20):
        if hypervisor.read(lambda c: pool.isActive()):
            return
        try:
            if not hypervisor.is_test:
                hypervisor.call(lambda c: pool.build(0))
        except LibvirtError:
            pass  # its folder is there already, or cannot be made, which starting it tells
        try:
            hypervisor.call(lambda c: pool.create(0))
        except LibvirtError as failure:
            # being started by another operation right now
            if attempt == 19 or failure.missing:
                raise
            time.sleep(0.1)


def _info(pool: Any) -> PoolInfo:
    root = parse(pool.XMLDesc(0))
    return PoolInfo(
        pool.name(), root.findtext("target/path") or "", root.get("type") or "", int(root.findtext("available") or 0)
    )


# -- volumes --------------------------------------------------------------------------------------


def list_volumes(hypervisor: Hypervisor, pool: str, *, refresh: bool = False) -> dict[str, VolumeFacts]:
    """The volumes of a pool by name; empty when the pool is not there.

    Raises HostUnreachable when it does not run: nothing is known then of what is in it.
    """

    def read(c: Any) -> dict[str, VolumeFacts]:
        return {v.name(): _facts(pool, v) for v in c.storagePoolLookupByName(pool).listAllVolumes()}

    for _ in range(_TRIES):
        active = hypervisor.find(lambda c: c.storagePoolLookupByName(pool).isActive())
        if active is None:
            return {}
        try:
            if active:
                if refresh:
                    refresh_pool(hypervisor, pool)
                return hypervisor.survey(read)
        except LibvirtError as failure:
            if not failure.missing and _INACTIVE not in failure.message:
                raise
        # removed or looked at anew by another operation right now
        time.sleep(0.1)
    raise HostUnreachable(
        error(
            "Storage pool is not running",
            f'Storage pool "{pool}" of {hypervisor.uri} does not run, so nothing is known of its volumes. Start it: '
            f"`virsh pool-start {pool}` (and `virsh pool-autostart {pool}`, to have it after the next boot).",
        )
    )


def refresh_pool(hypervisor: Hypervisor, pool: str) -> None:
    """Have the hypervisor look at what is in a pool. Raises LibvirtError.

    It refuses while somebody fills a volume there; then what it knows has to do, after a while. Where a file goes just
    while it looks, it takes the pool down, which then is started again.
    """
    for attempt in range(_REFRESHES):
        try:
            hypervisor.call(lambda c: c.storagePoolLookupByName(pool).refresh(0))
            return
        except LibvirtError as failure:
            if failure.missing:
                raise
            if _BUSY not in failure.message and not _started_again(hypervisor, pool):
                raise
            if attempt + 1 < _REFRESHES:
                time.sleep(0.25 if _BUSY in failure.message else 0.05)


def _started_again(hypervisor: Hypervisor, pool: str) -> bool:
    """Start a pool that looking at it took down; False when that was not so, or cannot be done."""
    found = hypervisor.find(lambda c: c.storagePoolLookupByName(pool))
    if found is None or hypervisor.read(lambda c: found.isActive()):
        return False
    with contextlib.suppress(LibvirtError):
        hypervisor.call(lambda c: found.create(0))
    return bool(hypervisor.read(lambda c: found.isActive()))


def steady(hypervisor: Hypervisor, function: Callable[[Any], _T]) -> _T:
    """A call on a volume, made again where its pool is down for a moment because somebody looks at it."""
    for _ in range(_TRIES):
        try:
            return hypervisor.call(function)
        except LibvirtError as failure:
            if _INACTIVE not in failure.message:
                raise
            time.sleep(0.1)
    return hypervisor.call(function)


def find_volume(hypervisor: Hypervisor, pool: str, name: str) -> VolumeFacts | None:
    """A volume by name. What was put into the pool's folder by other means is seen too."""
    found = _lookup(hypervisor, pool, name)
    return None if found is None else hypervisor.read(lambda c: _facts(pool, found))


def find_path(hypervisor: Hypervisor, path: str) -> VolumeFacts | None:
    """The volume whose file that is."""

    def read(c: Any) -> VolumeFacts:
        volume = c.storageVolLookupByPath(path)
        return _facts(volume.storagePoolLookupByVolume().name(), volume)

    return hypervisor.find(read)


def _lookup(hypervisor: Hypervisor, pool: str, name: str) -> Any:
    """A volume, looked for in the folder too; None when it or the pool is not there. Raises LibvirtError."""

    def look(c: Any) -> Any:
        return c.storagePoolLookupByName(pool).storageVolLookupByName(name)

    for left in reversed(range(_TRIES)):
        try:
            found = hypervisor.find(look)
            if found is None and hypervisor.find(lambda c: c.storagePoolLookupByName(pool)) is not None:
                refresh_pool(hypervisor, pool)
                found = hypervisor.find(look)
            return found
        except LibvirtError as failure:
            if not failure.missing and (_INACTIVE not in failure.message or not left):
                raise
            time.sleep(0.1)
    return None


def _facts(pool: str, volume: Any) -> VolumeFacts:
    root = parse(volume.XMLDesc(0))
    form = root.find("target/format")
    return VolumeFacts(
        pool,
        root.findtext("name") or "",
        root.findtext("target/path") or root.findtext("key") or "",
        (form.get("type") if form is not None else None) or "raw",
        int(root.findtext("capacity") or 0),
        int(root.findtext("allocation") or 0),
        root.findtext("backingStore/path"),
    )


def create_volume(
    hypervisor: Hypervisor,
    pool: str,
    name: str,
    *,
    capacity: int,
    format: str,
    what: str,
    backing: tuple[str, str] | None = None,
    allocation: int = 0,
) -> VolumeFacts:
    """Make a volume. ``backing`` is the file that it is a layer on, and its format. Raises ProviderError."""
    root = element("volume")
    add(root, "name", name)
    add(root, "capacity", capacity, unit="bytes")
    add(root, "allocation", allocation, unit="bytes")
    target = add(root, "target")
    add(target, "format", type=format)
    add(add(target, "permissions"), "mode", "0600")
    if backing is not None:
        store = add(root, "backingStore")
        add(store, "path", backing[0])
        add(store, "format", type=backing[1])
    text = render(root)
    try:
        made = _made(hypervisor, pool, text)
        return hypervisor.read(lambda c: _facts(pool, made))
    except LibvirtError as failure:
        raise refused(failure, what) from failure


def _made(hypervisor: Hypervisor, pool: str, text: str) -> Any:
    """A new volume. Its pool may have been removed (if it is Hythe's own) or gone down since it was opened."""
    for left in reversed(range(_TRIES)):
        with _removing if pool == OWN else contextlib.nullcontext():
            try:
                return hypervisor.call(lambda c: c.storagePoolLookupByName(pool).createXML(text, 0))
            except LibvirtError as failure:
                gone = pool == OWN and failure.code == NO_POOL
                if not left or not (gone or _INACTIVE in failure.message):
                    raise
        ensure_pool(hypervisor, pool)
    raise AssertionError("unreachable")


def resize_volume(
    hypervisor: Hypervisor, pool: str, name: str, capacity: int, what: str, *, shrink: bool = False
) -> None:
    """Give a volume another size, in bytes. Raises ProviderError."""
    flags = _SHRINK if shrink else 0
    try:
        steady(
            hypervisor,
            lambda c: c.storagePoolLookupByName(pool).storageVolLookupByName(name).resize(capacity, flags),
        )
    except LibvirtError as failure:
        raise refused(failure, what) from failure


def delete_volume(hypervisor: Hypervisor, pool: str, name: str, what: str) -> None:
    """Remove a volume; no error when it is gone. Raises ProviderError."""
    try:
        found = _lookup(hypervisor, pool, name)
        if found is not None:
            steady(hypervisor, lambda c: found.delete(0))
    except LibvirtError as failure:
        if not failure.missing:
            raise ProviderError(explain(failure, what)) from failure
