"""Files fetched over HTTP: gone on with after a cut, and tried again when a server or the network fails."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import IO, Any

from hythe.diagnostic import Diagnostic, error
from hythe.provider.protocol import ProviderError

Progress = Callable[[str], None]
Check = Callable[[], None]

_CHUNK = 1 << 18
_TRIES = 5
_SECONDS = 60.0
_PASSING = frozenset({408, 425, 429})
"""Answers below 500 that may be another one in a moment."""
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


def is_url(source: str) -> bool:
    """Whether it is fetched over HTTP."""
    return source.startswith(("http://", "https://"))


def download(url: str, path: str, what: str, progress: Progress, check: Check) -> None:
    """Fetch a URL into a file; one that was begun before is gone on with where the server can.

    It gives up after some failures in a row that brought nothing. Raises ProviderError, and OSError where the file
    cannot be written.
    """
    failures, last = 0, ""
    while failures < _TRIES:
        if failures:
            _pause(min(2**failures, 10) / 4, check)
        before = _size(path)
        try:
            if _fetch(url, path, what, progress, check):
                return
            last = "the server closed the connection early"
        except urllib.error.HTTPError as failure:
            failure.close()
            last = f"the server says {failure.code} {failure.reason}"
            if failure.code == 416:
                # what is there is all of another file, or more: begin anew
                forget(path)
                before = 0
            elif failure.code < 500 and failure.code not in _PASSING:
                raise ProviderError(_not_fetched(url, what, last)) from failure
        except urllib.error.URLError as failure:
            last = str(failure.reason)
        except (http.client.HTTPException, ConnectionError, TimeoutError) as failure:
            last = str(failure) or type(failure).__name__
        except ValueError as failure:
            # an address that is none, such as a port that is no number
            raise ProviderError(_not_fetched(url, what, str(failure))) from failure
        failures = 1 if _size(path) > before else failures + 1
    raise ProviderError(_not_fetched(url, what, f"{last}, {_TRIES} times in a row"))


def forget(path: str) -> None:
    """Remove what was fetched into a file, and what is known of it."""
    for left in (path, f"{path}.etag"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(left)


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


def _pause(seconds: float, check: Check) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        check()
        time.sleep(min(left, 0.2))


def _fetch(url: str, path: str, what: str, progress: Progress, check: Check) -> bool:
    """Fetch what is missing; whether that is all of it now."""
    request = urllib.request.Request(url, headers={"User-Agent": "hythe"})  # noqa: S310 - the scheme is checked
    have = _size(path)
    version = _version(path)
    if have and version:
        # the rest of that very file, or all of another one
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", version)
    else:
        have = 0
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
        if answer.status == 206:
            told = _RANGE.fullmatch(answer.headers.get("Content-Range") or "")
            if told is None or int(told[1]) != have:
                forget(path)
                return False
        else:
            have = 0
            forget(path)
            _remember(path, answer.headers)
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        with open(path, "ab") as out:
            got = _copy(answer, out, have, total, what, progress, check)
            out.flush()
            os.fsync(out.fileno())
    return total is None or got >= total


def _version(path: str) -> str:
    try:
        with open(f"{path}.etag", encoding="latin-1") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _remember(path: str, headers: Any) -> None:
    etag = headers.get("ETag") or ""
    # a weak one does not say that the bytes are the same
    version = headers.get("Last-Modified") or "" if not etag or etag.startswith("W/") else etag
    with open(f"{path}.etag", "w", encoding="latin-1", errors="ignore") as file:
        file.write(version)


def _copy(
    answer: Any, out: IO[bytes], have: int, total: int | None, what: str, progress: Progress, check: Check
) -> int:
    told, began, first = 0.0, time.monotonic(), have
    while piece := answer.read(_CHUNK):
        check()
        out.write(piece)
        have += len(piece)
        now = time.monotonic()
        if now - told > 0.5 or have == total:
            told = now
            speed = (have - first) / max(now - began, 0.001) / (1 << 20)
            of = f" of {total >> 20}" if total else ""
            progress(f"{what[:1].lower()}{what[1:]}: {have >> 20}{of} MiB, {speed:.1f} MiB/s")
    return have


def _not_fetched(url: str, what: str, why: str) -> Diagnostic:
    return error(
        "Disk image not fetched",
        f"{what}: {url} cannot be fetched: {why}. Check the address and the network; what was fetched is kept, and the "
        "next apply goes on from there.",
    )
