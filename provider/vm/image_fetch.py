"""Disk images that somebody else made: fetched or read from a file, checked, and kept by their content."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import hashlib
import http.client
import json
import lzma
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import IO, Any

from hythe.diagnostic import Diagnostic, error
from hythe.provider.protocol import ProviderError
from hythe.provider.vm.image_build import BuiltImage, cache_folder, read_image, run

Progress = Callable[[str], None]
Check = Callable[[], None]

_CHUNK = 1 << 18
_TRIES = 5
_SECONDS = 60.0
_FORMATS = ("qcow2", "raw", "vmdk", "vdi", "vhdx", "vpc")


def is_url(source: str) -> bool:
    """Whether it is fetched over HTTP."""
    return source.startswith(("http://", "https://"))


def fetched(source: str, checksum: str | None, key: str, what: str, progress: Progress, check: Check) -> BuiltImage:
    """The image from a URL or local file, as qcow2 in the cache under ``key``. Raises ProviderError."""
    folder = os.path.join(cache_folder(), key)
    try:
        os.makedirs(cache_folder(), mode=0o755, exist_ok=True)
        with open(f"{folder}.lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(os.path.join(folder, "manifest.json")):
                _bring(source, checksum, folder, key, what, progress, check)
        return read_image(folder)
    except OSError as failure:
        place = failure.filename or folder
        raise ProviderError(
            error("Disk image not readable", f"{what}: {place}: {failure.strerror or failure}.")
        ) from failure


def _bring(
    source: str, checksum: str | None, folder: str, key: str, what: str, progress: Progress, check: Check
) -> None:
    made = f"{folder}.{os.getpid()}.part"
    shutil.rmtree(made, ignore_errors=True)
    os.makedirs(made, mode=0o755)
    try:
        if is_url(source):
            file = f"{folder}.download"
            download(source, file, what, progress, check)
        else:
            file = source.removeprefix("file://")
        if checksum is not None:
            progress(f"{what.lower()}: checking it")
            _verify(file, checksum, source, what, keep=not is_url(source))
        disk = os.path.join(made, "disk.qcow2")
        capacity = _as_qcow2(file, disk, made, what, progress)
        manifest = {"disk": "disk.qcow2", "capacity": capacity, "digest": key, "source": source}
        with open(os.path.join(made, "manifest.json"), "w", encoding="utf-8") as out:
            json.dump(manifest, out)
            out.flush()
            os.fsync(out.fileno())
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(made, folder)
        if is_url(source):
            for left in (file, f"{file}.etag"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(left)
    finally:
        shutil.rmtree(made, ignore_errors=True)


# -- fetching -------------------------------------------------------------------------------------


def download(url: str, path: str, what: str, progress: Progress, check: Check) -> None:
    """Fetch a URL into a file; one that was begun before is gone on with where the server can. Raises ProviderError."""
    last: BaseException | None = None
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(min(2**attempt, 10) / 4)
        try:
            if _download_some(url, path, what, progress, check):
                return
            last = EOFError("the server closed the connection early")
        except urllib.error.HTTPError as failure:
            if failure.code == 416:
                # what is there is all of it, or of another file: begin anew
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                last = failure
                continue
            if failure.code < 500:
                raise ProviderError(
                    _not_fetched(url, what, f"the server says {failure.code} {failure.reason}")
                ) from failure
            last = failure
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, EOFError) as failure:
            last = failure
    reason = getattr(last, "reason", None) or last
    raise ProviderError(_not_fetched(url, what, f"{reason}, {_TRIES} times in a row"))


def _download_some(url: str, path: str, what: str, progress: Progress, check: Check) -> bool:
    """Fetch what is missing; whether that is all of it now."""
    have = os.path.getsize(path) if os.path.exists(path) else 0
    request = urllib.request.Request(url, headers={"User-Agent": "hythe"})  # noqa: S310 - the scheme is checked
    if have:
        request.add_header("Range", f"bytes={have}-")
        with contextlib.suppress(FileNotFoundError), open(f"{path}.etag", encoding="utf-8") as file:
            request.add_header("If-Range", file.read())
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
        goes_on = answer.status == 206
        if not goes_on:
            have = 0
            etag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
            with open(f"{path}.etag", "w", encoding="utf-8") as file:
                file.write(etag)
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        with open(path, "ab" if goes_on else "wb") as out:
            _copy(answer, out, have, total, what, progress, check)
            got = out.tell()
    return total is None or got >= total


def _copy(
    answer: Any, out: IO[bytes], have: int, total: int | None, what: str, progress: Progress, check: Check
) -> None:
    told, began, first = 0.0, time.monotonic(), have
    while piece := answer.read(_CHUNK):
        check()
        out.write(piece)
        have += len(piece)
        now = time.monotonic()
        if now - told > 0.5:
            told = now
            speed = (have - first) / max(now - began, 0.001) / (1 << 20)
            of = f" of {total >> 20}" if total else ""
            progress(f"{what.lower()}: {have >> 20}{of} MiB, {speed:.1f} MiB/s")


def _not_fetched(url: str, what: str, why: str) -> Diagnostic:
    return error(
        "Disk image not fetched",
        f"{what}: {url} cannot be fetched: {why}. Check the address and the network; what was fetched is kept, and the "
        "next apply goes on from there.",
    )


def _verify(path: str, checksum: str, source: str, what: str, *, keep: bool) -> None:
    kind, _, wanted = checksum.partition(":")
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, kind).hexdigest()
    if found == wanted.lower():
        return
    if not keep:
        for left in (path, f"{path}.etag"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(left)
    raise ProviderError(
        error(
            "Checksum does not match",
            f"{what}: {source} has the {kind} {found}, and the configuration asks for {wanted}. Either the file was "
            "published anew (take its new checksum from where you trust it), or it is not what you think.",
        )
    )


# -- to one form ------------------------------------------------------------------------------------


def _as_qcow2(file: str, disk: str, work: str, what: str, progress: Progress) -> int:
    unpacked = _unpacked(file, os.path.join(work, "unpacked"), what, progress)
    # the format is looked for in a closed list, and a file that leads to others is refused: it could name any file here
    told = json.loads(run(["qemu-img", "info", "--output=json", unpacked], what))
    form = told.get("format")
    if form not in _FORMATS:
        raise ProviderError(error("Disk image not understood", f'{what}: "{form}" is no format of disk images.'))
    data = (told.get("format-specific") or {}).get("data") or {}
    if told.get("backing-filename") or data.get("data-file"):
        raise ProviderError(
            error(
                "Disk image leads to another file",
                f"{what}: it is a layer on {told.get('backing-filename') or data.get('data-file')}. Flatten it first: "
                "`qemu-img convert -O qcow2 IN OUT`.",
            )
        )
    progress(f"{what.lower()}: writing the disk")
    run(["qemu-img", "convert", "-f", form, "-O", "qcow2", unpacked, disk], what)
    return int(told["virtual-size"])


def _unpacked(file: str, target: str, what: str, progress: Progress) -> str:
    with open(file, "rb") as raw:
        head = raw.read(6)
    opener: Callable[[str], Any] | None = None
    if head.startswith(b"\x1f\x8b"):
        opener = gzip.open
    elif head == b"\xfd7zXZ\x00":
        opener = lzma.open
    if opener is None:
        return file
    progress(f"{what.lower()}: unpacking it")
    try:
        with opener(file) as packed, open(target, "wb") as out:
            shutil.copyfileobj(packed, out, _CHUNK)
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile) as failure:
        raise ProviderError(error("Disk image is damaged", f"{what}: it cannot be unpacked: {failure}.")) from failure
    return target
