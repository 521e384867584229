"""Fetching what a module's source names: git repositories and archives, into a directory.

Everything is checked before it is unpacked, and nothing of what is fetched is run.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import shutil
import stat
import subprocess
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from hythe.modules.sources import ModuleSource
from hythe.modules.version import Constraint, numbers

MAX_BYTES = 1 << 30
MAX_FILES = 100_000
_SECONDS = 600
_PIECE = 1 << 20
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_TAG = re.compile(r"refs/tags/(v?\d+(?:\.\d+){1,2})")


class FetchError(Exception):
    """Why something could not be fetched, as a sentence without its end."""


# -- git ----------------------------------------------------------------------------------------


_PROTOCOLS = "https:ssh:git:http"


def git(*argv: str, cwd: str | None = None, protocols: str = f"{_PROTOCOLS}:file") -> str:
    """What a git command prints. Raises :class:`FetchError` with git's last words."""
    environment = {
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
        **os.environ,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": protocols,
        "LC_ALL": "C",
    }
    # a checkout must not depend on the folder that it happens to be made in
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        environment.pop(name, None)
    fixed = ("-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false", "-c", "protocol.ext.allow=never")
    try:
        done = subprocess.run(
            ["git", *fixed, *argv],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise FetchError("git is not installed here (apt install git)") from None
    except subprocess.TimeoutExpired:
        raise FetchError(f"git did not end within {_SECONDS} seconds") from None
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        told = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines
        raise FetchError(told[0].rstrip(".") if told else f"git ended with {done.returncode}")
    return done.stdout


def newest_version(url: str, constraint: str) -> tuple[str, str]:
    """The highest version among a repository's tags that a constraint allows, and its tag.

    Raises FetchError; VersionError for a constraint that cannot be read.
    """
    allowed = Constraint.parse(constraint)
    tags = {m[1] for m in map(_TAG.search, git("ls-remote", "--tags", "--", url).splitlines()) if m}
    fitting = [t for t in tags if allowed.allows(t)]
    if not fitting:
        shown = ", ".join(sorted(tags, key=numbers)[-5:]) or "none"
        raise FetchError(f'No tag fits the version "{constraint}"; its versions are: {shown}')
    best = max(fitting, key=numbers)
    return best.removeprefix("v"), best


def clone(source: ModuleSource, ref: str | None, target: str) -> str:
    """Check a repository out into ``target``, without its history; gives the commit. Raises FetchError."""
    git("init", "-q", target)
    wanted = ref or "HEAD"
    depth = ("--depth", str(source.depth or 1))
    try:
        git("fetch", "-q", *depth, "--", source.location, wanted, cwd=target)
        commit = "FETCH_HEAD"
    except FetchError as failure:
        if ref is None or (source.depth is not None and not _COMMIT.fullmatch(ref)):
            raise
        commit = _from_all(source.location, ref, target, failure)
    git("checkout", "-q", commit, cwd=target)
    revision = git("rev-parse", "HEAD", cwd=target).strip()
    if os.path.exists(os.path.join(target, ".gitmodules")):
        # a module from elsewhere has no business with repositories of this machine
        allowed = f"{_PROTOCOLS}:file" if source.location.startswith("file:") else _PROTOCOLS
        git("submodule", "-q", "update", "--init", "--recursive", "--depth", "1", cwd=target, protocols=allowed)
    for folder, folders, files in os.walk(target):
        for name in [n for n in (*folders, *files) if n == ".git"]:
            path = os.path.join(folder, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        folders[:] = [n for n in folders if n != ".git"]
    return revision


def _from_all(url: str, ref: str, target: str, failure: FetchError) -> str:
    """A commit that servers do not give by itself, or a shortened one: from the whole history."""
    if not re.fullmatch(r"[0-9a-f]{7,64}", ref):
        raise failure
    git("fetch", "-q", "--tags", "--", url, "+refs/heads/*:refs/remotes/origin/*", cwd=target)
    return git("rev-parse", "--verify", f"{ref}^{{commit}}", cwd=target).strip()


# -- archives -----------------------------------------------------------------------------------


class _OnlySafer(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not from https to anything else."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.full_url.startswith("https://") and not newurl.startswith("https://"):
            raise FetchError("The server leads from https to an address without it")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def _opened(location: str) -> Iterator[IO[bytes]]:
    if "://" not in location:
        with open(location, "rb") as file:
            yield file
        return
    opener = urllib.request.build_opener(_OnlySafer)
    request = urllib.request.Request(location, headers={"User-Agent": "hythe"})  # noqa: S310 - http or https by now
    with opener.open(request, timeout=60) as answer:
        yield answer


def copy_archive(source: ModuleSource, location: str, path: str) -> None:
    """Copy or download an archive and check its checksum. Raises FetchError."""
    algorithm, _, expected = (source.checksum or "sha256:").partition(":")
    if algorithm not in ("sha256", "sha512"):
        raise FetchError(f'There is no checksum "{algorithm}" here: write sha256:... or sha512:...')
    total, size = hashlib.new(algorithm), 0
    try:
        with _opened(location) as content, open(path, "wb") as out:
            while piece := content.read(_PIECE):
                size += len(piece)
                if size > MAX_BYTES:
                    raise FetchError(f"It is larger than {MAX_BYTES >> 30} GiB")
                total.update(piece)
                out.write(piece)
    except urllib.error.HTTPError as failure:
        raise FetchError(f"The server answers {failure.code} {failure.reason}") from None
    except urllib.error.URLError as failure:
        raise FetchError(f"The server cannot be reached: {failure.reason}") from None
    except OSError as failure:
        raise FetchError(f"{failure.strerror or failure}") from None
    if expected and total.hexdigest() != expected.lower():
        raise FetchError(f"Its {algorithm} is {total.hexdigest()}, and {expected} is expected")


def unpack(path: str, form: str, target: str) -> None:
    """Unpack an archive, refusing what would write or lead outside of ``target``. Raises FetchError."""
    os.makedirs(target)
    # the folder may be reached through a link of the user's own
    target = os.path.realpath(target)
    budget = _Budget()
    try:
        if form == ".zip":
            with zipfile.ZipFile(path) as archive:
                for info in archive.infolist():
                    _unzip(archive, info, target, budget)
        else:
            with tarfile.open(path) as tar:
                for member in tar:
                    _untar(tar, member, target, budget)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as failure:
        raise FetchError(f"It is no {form} archive that can be read: {failure}") from None
    except OSError as failure:
        raise FetchError(f"It cannot be unpacked: {failure.strerror or failure}") from None
    check_links(target)


class _Budget:
    """What an archive may unpack to: a small one can hold a very large one."""

    def __init__(self) -> None:
        self.files, self.size = MAX_FILES, MAX_BYTES

    def file(self) -> None:
        self.files -= 1
        if self.files < 0:
            raise FetchError(f"It holds more than {MAX_FILES:,} files")

    def copy(self, source: IO[bytes], out: IO[bytes]) -> None:
        while piece := source.read(_PIECE):
            self.size -= len(piece)
            if self.size < 0:
                raise FetchError(f"It holds more than {MAX_BYTES >> 30} GiB")
            out.write(piece)


def _place(name: str, target: str) -> str:
    steps = [s for s in name.replace("\\", "/").split("/") if s not in ("", ".")]
    if name.startswith("/") or ".." in steps or "\0" in name:
        raise FetchError(f'It holds the name "{name}", which leads out of it')
    place = os.path.join(target, *steps)
    # a link that an earlier member made must not be written through
    if os.path.realpath(os.path.dirname(place) if steps else place) != os.path.dirname(place) and steps:
        raise FetchError(f'It holds the name "{name}", which goes through a link')
    return place


def _write(place: str, source: IO[bytes], executable: bool, budget: _Budget) -> None:
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, "xb") as out:
        budget.copy(source, out)
    os.chmod(place, 0o755 if executable else 0o644)


def _untar(tar: tarfile.TarFile, member: tarfile.TarInfo, target: str, budget: _Budget) -> None:
    budget.file()
    place = _place(member.name, target)
    if member.isdir():
        os.makedirs(place, exist_ok=True)
    elif member.issym():
        os.makedirs(os.path.dirname(place), exist_ok=True)
        os.symlink(member.linkname, place)
    elif member.isreg():
        content = tar.extractfile(member)
        assert content is not None
        with content:
            _write(place, content, bool(member.mode & 0o100), budget)
    else:
        raise FetchError(f'It holds "{member.name}", which is no file, folder or symbolic link')


def _unzip(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: str, budget: _Budget) -> None:
    budget.file()
    place, mode = _place(info.filename, target), info.external_attr >> 16
    if info.is_dir():
        os.makedirs(place, exist_ok=True)
    elif stat.S_ISLNK(mode):
        os.makedirs(os.path.dirname(place), exist_ok=True)
        os.symlink(archive.read(info)[:4096].decode(errors="replace"), place)
    else:
        with archive.open(info) as content:
            _write(place, content, bool(mode & 0o100), budget)


def check_links(target: str) -> None:
    """Refuse symbolic links that lead out of a tree. Raises FetchError."""
    root = os.path.realpath(target)
    for folder, folders, files in os.walk(target):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            if os.path.islink(path) and os.path.commonpath([root, os.path.realpath(path)]) != root:
                raise FetchError(f'It holds the link "{os.path.relpath(path, target)}", which leads out of it')


def digest(target: str) -> str:
    """``sha256:...`` over the names, kinds, executable bits and contents of a tree."""
    total = hashlib.sha256()
    paths = [os.path.join(folder, name) for folder, folders, files in os.walk(target) for name in (*folders, *files)]
    for path in sorted(paths):
        name = posixpath.join(*os.path.relpath(path, target).split(os.sep))
        if os.path.islink(path):
            total.update(f"link\0{name}\0{os.readlink(path)}\0".encode(errors="surrogateescape"))
        elif os.path.isfile(path):
            executable = bool(os.stat(path).st_mode & 0o100)
            content = hashlib.sha256()
            with open(path, "rb") as file:
                while piece := file.read(_PIECE):
                    content.update(piece)
            total.update(f"file\0{name}\0{executable}\0{content.hexdigest()}\0".encode(errors="surrogateescape"))
    return "sha256:" + total.hexdigest()
