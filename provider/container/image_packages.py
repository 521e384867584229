"""Root file systems made of a distribution's packages, with mmdebstrap, kept by what they are made of."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import tarfile
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hythe.diagnostic import Diagnostic, error
from hythe.provider.protocol import ProviderError

_RECIPE = 1
"""Part of the cache's key: raise it when the same arguments make something else."""

_KEPT_LINES = 40
_TOLD_LINES = 12
_CHATTER = ("I: ", "W: ", "Get:", "Hit:", "Ign:", "Reading ", "Building ", "E: mmdebstrap failed to run")
_CAUSES = (
    (
        re.compile(r"does not have a Release file"),
        "Suite not found",
        'there is no suite "{suite}" at {mirror}. Correct `suite`, or name a `mirror` that has it. ',
    ),
    (
        re.compile(r"Unable to locate package|has no installation candidate"),
        "Package not found",
        '"{suite}" has no such package in its `components` (by default main). Correct `include`. ',
    ),
    (
        re.compile(r"NO_PUBKEY|is not signed|not trusted"),
        "Archive not trusted",
        "this machine has no key for {mirror}. Install the distribution's keyring (as debian-archive-keyring, "
        "ubuntu-keyring). ",
    ),
    (
        re.compile(r"No space left"),
        "No space left",
        "the disk is full that holds the cache, or temporary files. Free some space, or set XDG_CACHE_HOME and TMPDIR "
        "to folders with more. ",
    ),
    (
        re.compile(r"Could not connect|Could not resolve|Temporary failure|timed out|Failed to fetch"),
        "Packages not fetched",
        "{mirror} cannot be reached. Check the network and its proxy (http_proxy), or name another `mirror`. ",
    ),
)
"""What mmdebstrap and apt say, and what that is in the user's terms."""


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
        progress(f"{what[:1].lower()}{what[1:]}: installing packages of {packages['suite']}")
        try:
            code, tail = _run(argv, what, progress, check)
            if code != 0:
                raise ProviderError(explain(tail, code, packages, what))
            os.replace(made, path)
        finally:
            if os.path.exists(made):
                os.unlink(made)


def explain(tail: Sequence[str], code: int, packages: Mapping[str, Any], what: str) -> Diagnostic:
    """The diagnostic of an mmdebstrap that ended with ``code``; ``tail`` are its last lines."""
    said = [line for line in tail if not line.startswith(_CHATTER)]
    whole = "\n".join(said)
    summary, fix = next(
        ((summary, fix) for pattern, summary, fix in _CAUSES if pattern.search(whole)), ("mmdebstrap failed", "")
    )
    suite, mirror = packages["suite"], packages.get("mirror") or "the distribution's own servers"
    fix = fix.format(suite=suite, mirror=mirror)
    lines = "".join(f"\n  {line}" for line in said[-_TOLD_LINES:])
    return error(summary, f"{what}: {fix}mmdebstrap ended with code {code}:{lines}")


def arguments(packages: Mapping[str, Any], platform: str | None, work: str) -> list[str]:
    """mmdebstrap's options; what it needs as files is written below ``work``."""
    out = [f"--variant={packages['variant']}", "--format=tar"]
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
            # a command of the user's may hold what is not for the screen
            if line and not line.startswith("I: running --"):
                progress(f"{what[:1].lower()}{what[1:]}: {line.removeprefix('I: ').removesuffix('...')}")
        return running.wait(), list(tail)
    finally:
        if running.poll() is None:
            # it removes its work folder when it is asked to end
            running.terminate()
            running.wait()
