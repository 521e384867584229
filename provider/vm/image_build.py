"""Disks of virtual machines made of a distribution's packages: mmdebstrap, mke2fs and qemu-img.

A disk is one ext4 file system without a partition table, so that it grows with a plain resize2fs; kernel and initrd
are taken out of it for direct boot. Everything is kept by what it is made of: the same inputs are made once.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from hythe.diagnostic import error
from hythe.provider.container.image_packages import cache_key, root_file_system
from hythe.provider.protocol import ProviderError
from hythe.provider.vm.image_guest import guest_files, guest_packages, guest_setup

Progress = Callable[[str], None]
Check = Callable[[], None]

LABEL = "hythe-root"
"""Label of the root file system; the kernel finds it by this."""
CMDLINE = f"root=LABEL={LABEL} rw console=tty0 console=ttyS0 net.ifnames=0 quiet"
"""Kernel command line of the disks made here. One NIC is eth0, whatever the machine type."""

_RECIPE = 1
"""Part of the cache's key: raise it when the same arguments make something else."""
_SPARE = 1.3
_LEAST = 2 << 30
_TIME = 1
"""When everything in a disk was made, in seconds of Unix time (mke2fs takes 0 for now)."""
_FAKE_TIME = {"E2FSPROGS_FAKE_TIME": str(_TIME)}
_ROOT_INODE, _FIRST_INODE = 2, 11
_DEBIAN = {"mke2fs": "e2fsprogs", "dumpe2fs": "e2fsprogs", "debugfs": "e2fsprogs", "qemu-img": "qemu-utils"}
"""Debian packages of programs."""
_NAMESPACE = uuid.UUID("5bb4b0a5-2f0c-4c3a-8f55-0d6a70f7b6c1")


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """Files of an image in the cache. ``capacity`` is the disk's size for the guest, in bytes."""

    disk: str
    kernel: str | None
    initrd: str | None
    cmdline: str
    capacity: int
    digest: str


def cache_folder() -> str:
    """Where disk images are kept: below $XDG_CACHE_HOME."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "hythe", "disk-images")


def build_key(packages: Mapping[str, Any], size: int | None) -> str:
    """What an image is made of, as hexadecimal digits."""
    told = {"recipe": _RECIPE, "rootfs": cache_key(_all_packages(packages), None), "size": size or 0}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def build_packages(
    packages: Mapping[str, Any], size: int | None, what: str, progress: Progress, check: Check
) -> BuiltImage:
    """The image of these packages, made when it is not in the cache.

    ``packages`` are the canonical arguments of a ``packages`` block, ``size`` the disk's size in bytes (by default
    what is in it and some room). Raises ProviderError.
    """
    key = build_key(packages, size)
    with cached(key, what, progress, check) as folder:
        if not os.path.exists(os.path.join(folder, "manifest.json")):
            for program in ("mke2fs", "qemu-img"):
                _found(program, what)
            tree = root_file_system(_all_packages(packages), None, what, progress, check)
            check()
            _assemble(tree, key, folder, size, what, progress)
        return read_image(folder)


@contextlib.contextmanager
def cached(key: str, what: str, progress: Progress, check: Check) -> Iterator[str]:
    """The folder of the cache for an image, for one apply at a time: two that need one image make it once.

    Failures of the disk in the block are told as ProviderError.
    """
    folder = os.path.join(cache_folder(), key)
    try:
        os.makedirs(cache_folder(), mode=0o755, exist_ok=True)
        with open(f"{folder}.lock", "w", encoding="ascii") as lock:
            _wait_for(lock, what, progress, check)
            yield folder
    except OSError as failure:
        place = failure.filename or folder
        if failure.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_space(what, place) from failure
        raise ProviderError(error("Cache not usable", f"{what}: {place}: {failure.strerror or failure}.")) from failure


def _wait_for(lock: IO[str], what: str, progress: Progress, check: Check) -> None:
    told = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not told:
                progress(f"{_begun(what)}: another one makes it right now")
            told = True
            check()
            time.sleep(0.2)


def _no_space(what: str, place: str) -> ProviderError:
    return ProviderError(
        error(
            "No space left",
            f"{what}: the disk that holds {place} is full. Free some space, or have the cache elsewhere: set "
            f"XDG_CACHE_HOME. Images in {cache_folder()} that no configuration needs any more may be removed.",
        )
    )


def write_manifest(folder: str, manifest: Mapping[str, Any]) -> None:
    """Say what is in a folder of the cache, as the last thing put there. Raises OSError."""
    with open(os.path.join(folder, "manifest.json"), "w", encoding="utf-8") as file:
        json.dump(manifest, file)
        file.flush()
        os.fsync(file.fileno())


def read_image(folder: str) -> BuiltImage:
    """The image that was made in this folder of the cache. Raises OSError."""
    with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as file:
        told = json.load(file)

    def path(name: str) -> str | None:
        return os.path.join(folder, told[name]) if told.get(name) else None

    return BuiltImage(
        os.path.join(folder, told["disk"]),
        path("kernel"),
        path("initrd"),
        told.get("cmdline", ""),
        told["capacity"],
        told["digest"],
    )


def _all_packages(packages: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments for the root file system: what every guest needs, and what the user adds."""
    include = {*guest_packages(packages["suite"], machine()), *(packages.get("include") or ())}
    kernel = packages.get("kernel")
    if kernel:
        include = {p for p in include if not p.startswith("linux-image-")} | {kernel}
    return {
        "suite": packages["suite"],
        "variant": packages.get("variant") or "minbase",
        "components": packages.get("components"),
        "mirror": packages.get("mirror"),
        "include": sorted(include),
        "files": {**guest_files(LABEL), **(packages.get("files") or {})},
        "setup": [*guest_setup(), *(packages.get("setup") or ()), *guest_setup(last=True)],
    }


def machine() -> str:
    """Debian's name of this machine's architecture."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _assemble(tree: str, key: str, folder: str, size: int | None, what: str, progress: Progress) -> None:
    made = f"{folder}.{os.getpid()}.part"
    shutil.rmtree(made, ignore_errors=True)
    os.makedirs(made, mode=0o755)
    try:
        progress(f"{_begun(what)}: making the file system")
        raw = os.path.join(made, "disk.raw")
        capacity = _file_system(tree, key, raw, made, size, what)
        progress(f"{_begun(what)}: writing the disk")
        qemu_img(["convert", "-f", "raw", "-O", "qcow2", raw, os.path.join(made, "disk.qcow2")], what)
        os.unlink(raw)
        manifest = {"disk": "disk.qcow2", "cmdline": CMDLINE, "capacity": capacity, "digest": key}
        manifest |= {n: n for n in ("kernel", "initrd") if os.path.exists(os.path.join(made, n))}
        write_manifest(made, manifest)
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _file_system(tree: str, key: str, raw: str, made: str, size: int | None, what: str) -> int:
    """Unpack the tree and make the file system of it; returns the disk's size in bytes."""
    with tempfile.TemporaryDirectory(prefix="hythe-disk-", dir=made) as work:
        root = os.path.join(work, "root")
        os.mkdir(root, 0o755)
        try:
            run(
                [*_as_owner(), "tar", "-xf", tree, "-C", root, "--numeric-owner", "--xattrs", "--xattrs-include=*"],
                what,
            )
            _take_out(root, made, what)
            used = int(run(["du", "-s", "--block-size=1", root], what, codes=(0, 1)).split()[0])
            least = max(_LEAST, int(used * _SPARE) + (256 << 20))
            if size is not None and size < least - (256 << 20):
                raise ProviderError(
                    error(
                        "Disk image too small",
                        f"{what}: what is to be in it takes {used >> 20} MiB, and `size` is {size >> 20} MiB. "
                        f"Leave `size` out, or set at least {least >> 20} MiB.",
                    )
                )
            capacity = _aligned(size or least)
            _make_file_system(root, raw, capacity, key, what)
        finally:
            # as another user's files they may need that user to go
            run([*_as_owner(), "rm", "-rf", "--one-file-system", root], what)
    return capacity


def _make_file_system(root: str, raw: str, capacity: int, key: str, what: str) -> None:
    # the same inputs give the same bytes: everything that mke2fs would choose by chance is told
    identity = str(uuid.uuid5(_NAMESPACE, key))
    argv = [*_as_owner(), _found("mke2fs", what), "-q", "-t", "ext4", "-L", LABEL, "-U", identity, "-m", "1"]
    argv += [
        "-E",
        f"hash_seed={identity},lazy_itable_init=1,lazy_journal_init=1",
        "-d",
        root,
        raw,
        f"{capacity >> 10}k",
    ]
    run(argv, what, environment=_FAKE_TIME)
    _set_times(raw, what)


def _set_times(raw: str, what: str) -> None:
    """Give all files one time of their last change and use, which mke2fs takes from when they were unpacked."""
    told = run([_found("dumpe2fs", what), raw], what)
    count = re.search(r"^Inode count: +(\d+)$", told, re.MULTILINE)
    free: set[int] = set()
    for line in re.findall(r"^  Free inodes: (.*)$", told, re.MULTILINE):
        for first, last in re.findall(r"(\d+)(?:-(\d+))?", line):
            free.update(range(int(first), int(last or first) + 1))
    assert count is not None
    used = (n for n in (_ROOT_INODE, *range(_FIRST_INODE, int(count[1]) + 1)) if n not in free)
    script = f"{raw}.times"
    with open(script, "w", encoding="ascii") as file:
        for number in used:
            file.writelines(f"set_inode_field <{number}> {name} @{_TIME}\n" for name in ("ctime", "atime"))
    try:
        run([_found("debugfs", what), "-w", "-f", script, raw], what, environment=_FAKE_TIME)
    finally:
        os.unlink(script)


def _take_out(root: str, made: str, what: str) -> None:
    """Copy the newest kernel and its initrd out of a root file system."""
    kernels = sorted(glob.glob(os.path.join(root, "boot", "vmlinuz-*")), key=_version)
    if not kernels:
        raise ProviderError(
            error(
                "No kernel in the image", f"{what}: its packages bring no kernel. Name one by `kernel` in `packages`."
            )
        )
    release = os.path.basename(kernels[-1]).removeprefix("vmlinuz-")
    shutil.copyfile(kernels[-1], os.path.join(made, "kernel"))
    initrd = os.path.join(root, "boot", f"initrd.img-{release}")
    if os.path.exists(initrd):
        shutil.copyfile(initrd, os.path.join(made, "initrd"))


def _version(path: str) -> list[tuple[int, str]]:
    return [(int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"(\d+)", os.path.basename(path))]


def _aligned(size: int) -> int:
    return (size + (1 << 20) - 1) >> 20 << 20


def _as_owner() -> Sequence[str]:
    """What lets a user that is not root keep the owners of files."""
    return () if os.geteuid() == 0 else ("unshare", "--map-root-user", "--map-auto", "--")


def _begun(what: str) -> str:
    return f"{what[:1].lower()}{what[1:]}"


def _found(program: str, what: str) -> str:
    """The path of a program. Raises ProviderError."""
    path = shutil.which(program) or shutil.which(program, path="/usr/local/sbin:/usr/sbin:/sbin")
    if path is None:
        raise ProviderError(
            error(
                f"{program} is not installed",
                f"{what}: a disk is made with {program}, which is not on this machine. Install it: "
                f"`sudo apt-get install {_DEBIAN[program]}`.",
            )
        )
    return path


def qemu_img(arguments: Sequence[str], what: str) -> str:
    """Run qemu-img; its output. Raises ProviderError."""
    return run([_found("qemu-img", what), *arguments], what)


def run(
    argv: Sequence[str], what: str, *, environment: Mapping[str, str] | None = None, codes: Sequence[int] = (0,)
) -> str:
    """Run a program; its output. Raises ProviderError with its last words when it fails."""
    try:
        done = subprocess.run(
            list(argv), capture_output=True, text=True, env={**os.environ, **(environment or {})}, check=False
        )
    except OSError as failure:
        raise ProviderError(error("Program not usable", f"{what}: {argv[0]}: {failure.strerror}.")) from failure
    if done.returncode not in codes:
        said = "\n  ".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        if "No space left" in said:
            raise _no_space(what, cache_folder())
        raise ProviderError(
            error(
                "Disk image could not be made",
                f"{what}: `{os.path.basename(argv[0])}` ended with code {done.returncode}:\n  {said}",
            )
        )
    return done.stdout
