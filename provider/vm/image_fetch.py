"""Disk images that somebody else made: fetched or read from a file, checked, and kept by their content."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import os
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from typing import Any

from hythe.diagnostic import error
from hythe.provider.protocol import ProviderError
from hythe.provider.vm.image_build import BuiltImage, cached, qemu_img, read_image, write_manifest
from hythe.provider.vm.image_download import download, forget, is_url

Progress = Callable[[str], None]
Check = Callable[[], None]

_CHUNK = 1 << 20
_DATA_FILE = 4
"""Bit of a qcow2 file's features: its data is in another file."""
_MAGIC = (
    (0, b"QFI\xfb", "qcow2"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (64, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vpc"),
)
_PACKED = ((b"\x1f\x8b", "gzip"), (b"\xfd7zXZ\x00", "xz"), (b"BZh", "bzip2"), (b"\x28\xb5\x2f\xfd", "zstd"))
_TEXT = (b"<!doctype", b"<html", b"<?xml")


def fetched(source: str, checksum: str | None, key: str, what: str, progress: Progress, check: Check) -> BuiltImage:
    """The image from a URL or the path of a local file, as qcow2 in the cache under ``key``.

    For a local file, ``key`` is its SHA-256 in hexadecimal. Raises ProviderError.
    """
    with cached(key, what, progress, check) as folder:
        known = os.path.exists(os.path.join(folder, "manifest.json"))
        if known and checksum is not None and not is_url(source) and checksum != f"sha256:{key}":
            # what is kept is of this content, which another sum has not been compared with
            _verify(source, checksum, source, what)
        if not known:
            _bring(source, checksum, folder, key, what, progress, check)
        return read_image(folder)


class _Unusable(ProviderError):
    """A file that would be no better if it were looked at again."""


def _bring(
    source: str, checksum: str | None, folder: str, key: str, what: str, progress: Progress, check: Check
) -> None:
    made = f"{folder}.{os.getpid()}.part"
    shutil.rmtree(made, ignore_errors=True)
    os.makedirs(made, mode=0o755)
    file = f"{folder}.download" if is_url(source) else source
    try:
        if is_url(source):
            download(source, file, what, progress, check)
        progress(f"{_begun(what)}: checking it")
        if checksum is not None:
            _verify(file, checksum, source, what)
        if not is_url(source):
            _verify_unchanged(source, key, what)
        capacity = _as_qcow2(file, os.path.join(made, "disk.qcow2"), made, what, progress, check)
        write_manifest(made, {"disk": "disk.qcow2", "capacity": capacity, "digest": key, "source": source})
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(made, folder)
    except _Unusable:
        if is_url(source):
            forget(file)
        raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    if is_url(source):
        forget(file)


def _begun(what: str) -> str:
    return f"{what[:1].lower()}{what[1:]}"


def _sum(path: str, kind: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _verify(path: str, checksum: str, source: str, what: str) -> None:
    kind, _, wanted = checksum.partition(":")
    found = _sum(path, kind)
    if found != wanted.lower():
        raise _Unusable(
            error(
                "Checksum does not match",
                f"{what}: {source} has the {kind} {found}, and the configuration asks for {wanted}. Either the file "
                "was published anew (take its new checksum from where you trust it), or it is not what you think.",
            )
        )


def _verify_unchanged(path: str, key: str, what: str) -> None:
    if _sum(path, "sha256") != key:
        raise _Unusable(
            error("File has changed", f"{what}: {path} is not what it was when the plan was made. Plan again.")
        )


# -- to one form ------------------------------------------------------------------------------------


def _as_qcow2(file: str, disk: str, work: str, what: str, progress: Progress, check: Check) -> int:
    """Write any format as qcow2; returns the size of the disk in bytes. Raises ProviderError."""
    unpacked = _unpacked(file, os.path.join(work, "unpacked"), what, progress, check)
    form = _format(unpacked, what)
    told = json.loads(qemu_img(["info", "-f", form, "--output=json", unpacked], what))
    progress(f"{_begun(what)}: writing the disk")
    qemu_img(["convert", "-f", form, "-O", "qcow2", unpacked, disk], what)
    return int(told["virtual-size"])


def _format(path: str, what: str) -> str:
    """What a file is by its first bytes, as qemu-img calls it. Raises ProviderError.

    It is told here and not by qemu-img, which opens whatever files a header names before it says anything: so any file
    of this machine could get into a disk.
    """
    with open(path, "rb") as file:
        head = file.read(512).ljust(512, b"\0")
    if not head.strip(b"\0") and not os.path.getsize(path):
        raise _Unusable(error("Disk image not understood", f"{what}: the file is empty."))
    if head.lstrip().lower().startswith(_TEXT):
        raise _Unusable(
            error(
                "Disk image not understood",
                f"{what}: what is there is a web page, and no disk image. Open the address in a browser: it may ask "
                "for a login, or have moved.",
            )
        )
    form = next((name for at, magic, name in _MAGIC if head[at : at + len(magic)] == magic), "raw")
    if form == "vmdk":
        raise _Unusable(
            error(
                "Disk image not understood",
                f"{what}: it is a VMDK file, which may name others as its parts. Convert it where it comes from: "
                "`qemu-img convert -O qcow2 IN OUT`.",
            )
        )
    version, backing, features = struct.unpack_from(">IQ56xQ", head, 4)
    if form == "qcow2" and (backing or (version > 2 and features & _DATA_FILE)):
        raise _Unusable(
            error(
                "Disk image leads to another file",
                f"{what}: it is a layer on another file, or keeps its data there. Flatten it first: `qemu-img convert "
                "-O qcow2 IN OUT`.",
            )
        )
    return form


def _unpacked(file: str, target: str, what: str, progress: Progress, check: Check) -> str:
    """The file, or what is packed in it, at ``target``. Raises ProviderError."""
    with open(file, "rb") as raw:
        head = raw.read(8)
    form = next((name for magic, name in _PACKED if head.startswith(magic)), None)
    if form is None:
        return file
    progress(f"{_begun(what)}: unpacking it")
    try:
        if form == "zstd":
            _unpack_zstd(file, target, what)
            return target
        openers: dict[str, Callable[[str], Any]] = {"gzip": gzip.open, "xz": lzma.open, "bzip2": bz2.open}
        with openers[form](file) as packed, open(target, "wb") as out:
            while piece := packed.read(_CHUNK):
                check()
                out.write(piece)
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as failure:
        raise _damaged(what, form, str(failure)) from failure
    except OSError as failure:
        if failure.errno is not None:
            raise
        raise _damaged(what, form, str(failure)) from failure
    return target


def _unpack_zstd(file: str, target: str, what: str) -> None:
    program = shutil.which("zstd")
    if program is None:
        raise ProviderError(
            error(
                "zstd is not installed",
                f"{what}: it is packed with zstd, which is not on this machine. Install it: "
                "`sudo apt-get install zstd`.",
            )
        )
    done = subprocess.run(
        [program, "-q", "-d", "-f", "--sparse", "-o", target, file], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise _damaged(what, "zstd", done.stderr.strip())


def _damaged(what: str, form: str, why: str) -> ProviderError:
    return _Unusable(error("Disk image is damaged", f"{what}: it cannot be unpacked as {form}: {why}."))
