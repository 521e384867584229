"""Root file systems made of a distribution's packages, with mmdebstrap, kept by what they are made of."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import shlex
import shutil
import subprocess
import tarfile
import tempfile
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from hythe.diagnostic import error
from hythe.provider.protocol import ProviderError

_RECIPE = 1
"""Part of the cache's key: raise it when the same arguments make something else."""

_KEPT_LINES = 20


def cache_folder() -> str:
    """Where root file systems are kept: below $XDG_CACHE_HOME."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "hythe", "rootfs")


def cache_key(packages: Mapping[str, Any], platform: str | None) -> str:
    """What a root file system is made of, as hexadecimal digits."""
    told = {"recipe": _RECIPE, "packages": packages, "platform": platform or "", "epoch": _epoch()}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def root_file_system(
    packages: Mapping[str, Any],
    platform: str | None,
    what: str,
    progress: Callable[[str], None],
    check: Callable[[], None],
) -> str:
    """The path of the tar of these packages, made when it is not in the cache. Raises ProviderError."""
    folder = cache_folder()
    path = os.path.join(folder, cache_key(packages, platform) + ".tar")
    try:
        os.makedirs(folder, mode=0o755, exist_ok=True)
        with open(path + ".lock", "w", encoding="ascii") as lock:
            # two images of the same packages are made once
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(path):
                _make(packages, platform, path, what, progress, check)
    except OSError as failure:
        raise ProviderError(
            error("Cache not usable", f"{what}: {failure.filename or folder}: {failure.strerror or failure}.")
        ) from failure
    return path


def _make(
    packages: Mapping[str, Any],
    platform: str | None,
    path: str,
    what: str,
    progress: Callable[[str], None],
    check: Callable[[], None],
) -> None:
    program = shutil.which("mmdebstrap")
    if program is None:
        raise ProviderError(
            error(
                "mmdebstrap is not installed",
                f"{what}: an image of packages is made with mmdebstrap, which is not on this machine. "
                "Install it: apt-get install mmdebstrap.",
            )
        )
    with tempfile.TemporaryDirectory(prefix="hythe-packages-") as work:
        made = f"{path}.{os.getpid()}.part"
        argv = [program, *arguments(packages, platform, work), packages["suite"], made]
        argv += [packages["mirror"]] if packages.get("mirror") else []
        progress(f"{what.lower()}: installing packages of {packages['suite']}")
        try:
            code, tail = _run(argv, what, progress, check)
            if code != 0:
                said = "".join(f"\n  {line}" for line in tail)
                raise ProviderError(error("mmdebstrap failed", f"{what}: mmdebstrap ended with code {code}:{said}"))
            os.replace(made, path)
        finally:
            if os.path.exists(made):
                os.unlink(made)


def arguments(packages: Mapping[str, Any], platform: str | None, work: str) -> list[str]:
    """mmdebstrap's options; what it needs as files is written below ``work``."""
    out = [f"--variant={packages['variant']}", "--format=tar", "--quiet"]
    out.append(f"--components={','.join(packages.get('components') or ['main'])}")
    if packages.get("include"):
        out.append(f"--include={','.join(sorted(packages['include']))}")
    if platform:
        out.append(f"--architectures={platform.split('/')[1] if '/' in platform else platform}")
    # the variant that only unpacks has no later moment than this one
    hook = "extract-hook" if packages["variant"] == "extract" else "customize-hook"
    if packages.get("files"):
        overlay = os.path.join(work, "files.tar")
        _write_files(overlay, packages["files"])
        out.append(f"--{hook}=tar-in {shlex.quote(overlay)} /")
    for command in packages.get("setup") or ():
        # hooks are read by a shell: the command must reach the inner one unread
        out.append(f'--{hook}=chroot "$1" sh -c {shlex.quote(command)}')
    return out


def _write_files(path: str, files: Mapping[str, str]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, text in sorted(files.items()):
            data = text.encode()
            member = tarfile.TarInfo("./" + name.lstrip("/"))
            member.size, member.mode, member.mtime = len(data), 0o755 if text.startswith("#!") else 0o644, _epoch()
            tar.addfile(member, io.BytesIO(data))


def _epoch() -> int:
    told = os.environ.get("SOURCE_DATE_EPOCH", "")
    return int(told) if told.isdigit() else 0


def _run(
    argv: list[str], what: str, progress: Callable[[str], None], check: Callable[[], None]
) -> tuple[int, list[str]]:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(_epoch()), "LC_ALL": "C.UTF-8"}
    running = subprocess.Popen(
        argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    tail: deque[str] = deque(maxlen=_KEPT_LINES)
    try:
        assert running.stdout is not None
        for raw in running.stdout:
            check()
            line = raw.decode("utf-8", "replace").strip()
            if line:
                tail.append(line)
                progress(f"{what.lower()}: {line}")
        return running.wait(), list(tail)
    finally:
        if running.poll() is None:
            # it removes its work folder when it is asked to end
            running.terminate()
            running.wait()
