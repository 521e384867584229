"""Disk images in storage pools: their arguments, drift, adoption, users, kills and full pools."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hythe.provider.protocol import Interrupted, Presence, ProviderError, ReadRequest
from hythe.provider.vm import image_build
from tests.live import runs
from tests.live.disk_image.conftest import KIND, MIB, Images, Site, files_of, run, same

GUEST = {"suite": "bookworm", "include": ["docker.io", "apparmor"]}
"""The same packages as in the examples: it is built once, and then taken from the cache."""


@contextlib.contextmanager
def pool(folder: Path) -> Iterator[str]:
    """A pool of its own."""
    name = runs.claim("hyipool")
    folder.mkdir(exist_ok=True)
    run("virsh", "pool-define-as", name, "dir", "--target", str(folder))
    try:
        run("virsh", "pool-start", name)
        yield name
    finally:
        run("virsh", "pool-destroy", name, check=False)
        run("virsh", "pool-undefine", name)


@pytest.fixture
def source(images: Images, qcow2: Path) -> str:
    """A file that images are made of."""
    path = Path(images.folder) / "disk.qcow2"
    path.write_bytes(qcow2.read_bytes())
    return path.name


def test_arguments_that_replace(images: Images, source: str) -> None:
    (Path(images.folder) / "other.raw").write_bytes(b"1" * MIB)
    with pool(Path(images.folder) / "pool") as name:
        wish: dict[str, Any] = {"source": source, "pool": name}
        wish |= {"kernel": "/boot/vmlinuz", "initrd": "/boot/initrd.img", "cmdline": "console=ttyS0"}
        identity, made = images.create(**wish)
        assert made["path"].startswith(f"{images.folder}/pool/{made['name']}.{identity.id[:8]}.")
        assert (made["kernel_path"], made["initrd_path"]) == ("/boot/vmlinuz", "/boot/initrd.img")
        assert made["boot_cmdline"] == "console=ttyS0"
        assert images.observed(identity, made) == made
        assert images.changes(identity, made, **wish) == []
        for changed in (
            {"name": images.name()},
            {"source": "other.raw"},
            {"kernel": "/boot/other"},
            {"initrd": None},
            {"cmdline": "quiet"},
            {"uri": "qemu:///session"},
            {"pool": "elsewhere"},
        ):
            found = images.changes(identity, made, **{**wish, **changed})
            assert "REPLACE" in {c.effect.name for c in found}, changed
        images.delete(identity, made)


def test_the_pool_that_is_left_out(images: Images, source: str) -> None:
    identity, made = images.create(source=source)
    assert made["pool"] in ("default", "hythe")
    assert images.changes(identity, made, source=source) == []


def test_a_pool_that_is_not_there(images: Images, source: str) -> None:
    told = images.refused(source=source, pool="nowhere")
    assert told.summary == "Storage pool not found"
    # nothing was made for it
    assert not os.path.exists(os.path.join(images.folder, "cache"))


def test_a_full_pool(images: Images, source: str) -> None:
    folder = Path(images.folder) / "small"
    folder.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder))
    try:
        with pool(folder) as name:
            told = images.refused(source=source, pool=name)
            assert told.summary == "Storage pool is full"
            assert list(folder.iterdir()) == []
    finally:
        run("umount", str(folder))


def test_a_full_cache(images: Images, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(images.folder) / "small"
    folder.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    try:
        told = images.refused(source=source)
        assert told.summary == "No space left"
        assert "XDG_CACHE_HOME" in told.detail
    finally:
        run("umount", str(folder))


def test_drift(images: Images, source: str) -> None:
    identity, made = images.create(source=source)
    os.unlink(made["path"])
    assert images.observed(identity, made) is Presence.ABSENT
    KIND.delete(images.context(identity), made)
    assert files_of(identity) == []


def test_adopted(images: Images, source: str, raw: Path) -> None:
    with pool(Path(images.folder) / "pool") as name:
        run("qemu-img", "convert", "-O", "qcow2", str(raw), f"{images.folder}/pool/base.img")
        identity = images.identity()
        found = KIND.import_object(images.context(identity), f"{name}/base.img")
        assert found["path"] == f"{images.folder}/pool/base.img"
        assert (found["format"], found["capacity"]) == ("qcow2", 16 * MIB)
        wish = {"name": "base.img", "pool": name, "source": source}
        assert {c.effect.name for c in images.changes(identity, found, **wish)} == {"LIVE"}
        made = images.change(identity, found, **wish)
        assert same(made, raw)
        # from then on it is like any other
        (Path(images.folder) / source).write_bytes(b"1" * MIB)
        assert "REPLACE" in {c.effect.name for c in images.changes(identity, made, **wish)}
        images.delete(identity, made)
        with pytest.raises(ProviderError, match="vol-list"):
            KIND.import_object(images.context(identity), f"{name}/base.img")


def test_as_data(images: Images, raw: Path) -> None:
    with pool(Path(images.folder) / "pool") as name:
        run("qemu-img", "convert", "-O", "qcow2", str(raw), f"{images.folder}/pool/base.img")
        told = KIND.read_data(images.reading(), {"name": "base.img", "pool": name})
        assert (told["path"], told["format"]) == (f"{images.folder}/pool/base.img", "qcow2")
        assert told["capacity"] == 16 * MIB
        with pytest.raises(ProviderError, match="Volume not found"):
            KIND.read_data(images.reading(), {"name": "other", "pool": name})


def test_an_image_with_layers_stays(images: Images, source: str) -> None:
    identity, made = images.create(source=source)
    layer = f"{images.prefix}.vm.0a1b2c3d.vda.qcow2"
    where = ["--backing-vol", made["path"], "--backing-vol-format", "qcow2"]
    run("virsh", "vol-create-as", made["pool"], layer, "16M", "--format", "qcow2", *where)
    try:
        with pytest.raises(ProviderError, match=rf"disks of {images.prefix}\.vm are layers"):
            KIND.delete(images.context(identity), made)
        assert images.observed(identity, made) == made
    finally:
        run("virsh", "vol-delete", "--pool", made["pool"], layer)
    images.delete(identity, made)


def test_stopped_by_the_user(images: Images, source: str) -> None:
    identity = images.identity()
    wish = images.wish(source=source)

    def check() -> None:
        if files_of(identity):
            raise Interrupted

    with pytest.raises(Interrupted):
        KIND.create(images.context(identity, check=check), wish)
    assert files_of(identity) == []


_KILLED = """\
import os, sys, time
from pathlib import Path
from hythe.provider.vm import image_build
from tests.live.disk_image.conftest import KIND, Images
from hythe.provider.protocol import Identity
images = Images(Path(sys.argv[1]))
def check():
    # slow enough to be killed within
    time.sleep(0.05)
KIND.create(images.context(Identity("l", "disk_image.x", sys.argv[2]), check=check), images.wish(**eval(sys.argv[3])))
"""


def test_killed_while_it_is_put_there(images: Images, source: str, raw: Path) -> None:
    identity = images.identity()
    wish = {"source": source, "name": images.name()}
    argv = [sys.executable, "-c", _KILLED, images.folder, identity.id, repr(wish)]
    running = subprocess.Popen(argv)
    end = time.monotonic() + 60
    while not files_of(identity):
        assert running.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    prepared = images.wish(**wish)
    images.made.append((identity, prepared))
    request = ReadRequest(identity.id, "disk_image.x", prepared)
    found = KIND.find(images.reading(), [request])[identity.id]
    assert not found.complete
    made = KIND.create(images.context(identity), prepared)
    assert same(made, raw)
    found = KIND.find(images.reading(), [request])[identity.id]
    assert found.complete
    assert found.attributes == made
    images.delete(identity, made)
    assert KIND.find(images.reading(), [request]) == {}


# -- of packages ------------------------------------------------------------------------------------


@pytest.fixture
def guests(tmp_path: Path) -> Iterator[Images]:
    """Images with the cache that all tests share."""
    made = Images(tmp_path)
    try:
        yield made
    finally:
        made.sweep()


def test_of_packages(guests: Images) -> None:
    identity, made = guests.create(packages=GUEST)
    assert guests.observed(identity, made) == made
    assert guests.changes(identity, made, packages=GUEST) == []
    assert len(files_of(identity)) == 4
    assert "root=LABEL=hythe-root" in made["boot_cmdline"]
    for part in ("kernel", "initrd"):
        assert made[f"{part}_path"] == made["path"].replace("disk.qcow2", part)
    told = run("file", "-s", made["kernel_path"])
    assert "Linux kernel" in told
    for other in ({**GUEST, "suite": "trixie"}, {**GUEST, "setup": ["true"]}, {**GUEST, "include": ["docker.io"]}):
        found = {c.name: c.effect.name for c in guests.changes(identity, made, packages=other)}
        assert found["content_hash"] == "REPLACE"
    found = {c.name: c.effect.name for c in guests.changes(identity, made, packages=GUEST, size="9GiB")}
    assert found["content_hash"] == "REPLACE"
    # the order of packages says nothing
    assert guests.changes(identity, made, packages={**GUEST, "include": ["apparmor", "docker.io"]}) == []

    # what VMs are layers on stays as it is when the rest is mended
    there = os.stat(made["path"])
    run("virsh", "vol-delete", "--pool", made["pool"], os.path.basename(made["kernel_path"]))
    (drift,) = guests.changes(identity, made, packages=GUEST)
    assert (drift.name, drift.effect.name) == ("content_hash", "LIVE")
    assert "kernel" in drift.reason
    assert guests.change(identity, made, packages=GUEST) == made
    now = os.stat(made["path"])
    assert (now.st_ino, now.st_mtime) == (there.st_ino, there.st_mtime)
    assert os.path.getsize(made["kernel_path"]) > MIB
    guests.delete(identity, made)


def test_a_disk_too_small(guests: Images) -> None:
    told = guests.refused(packages=GUEST, size="600MiB")
    assert told.summary == "Disk image too small"
    assert "Leave `size` out" in told.detail


@pytest.mark.parametrize(
    ("arguments", "summary", "words"),
    [
        ({"suite": "nosuchsuite", "mirror": "http://deb.debian.org/debian"}, "Suite not found", "nosuchsuite"),
        ({"mirror": "http://127.0.0.1:9/debian"}, "Packages not fetched", "Connection refused"),
        ({"include": ["no-such-package"]}, "Package not found", "no-such-package"),
        ({"mirror": "NEW"}, "Archive not trusted", "keyring"),
    ],
    ids=["suite", "network", "package", "key"],
)
def test_packages_that_cannot_be_had(
    images: Images, site: Site, arguments: dict[str, Any], summary: str, words: str
) -> None:
    if arguments.get("mirror") == "NEW":
        # an archive that nobody has signed
        arguments = {"mirror": f"deb {site.url} ./"}
        site.content = b"Suite: bookworm\nCodename: bookworm\n"
    told = images.refused(packages={"suite": "bookworm", **arguments})
    assert told.summary == summary
    assert words in told.detail
    assert "I: " not in told.detail


def test_the_same_files_make_the_same_disk(tmp_path: Path) -> None:
    made = []
    for order in (1, -1):
        root, raw = tmp_path / f"root{order}", tmp_path / f"disk{order}"
        root.mkdir()
        for number in range(300)[::order]:
            path = root / f"folder{number % 7}" / f"file{number}"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{number}" * number)
            os.utime(path, (1000, 1000))
        for path in (*root.iterdir(), root):
            os.utime(path, (1000, 1000))
        image_build._make_file_system(str(root), str(raw), 64 * MIB, "key", "Making it")
        run("/sbin/e2fsck", "-fn", str(raw))
        made.append(raw.read_bytes())
        time.sleep(1.1)
    assert made[0] == made[1]
