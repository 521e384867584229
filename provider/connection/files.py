"""Files of a host, as the ``file`` kind needs them."""

from __future__ import annotations

import contextlib
import errno
import grp
import hashlib
import os
import pwd
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hythe.diagnostic import error
from hythe.provider.protocol import Host, ProviderError

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is at a path. ``type`` is file, folder, link or other; ``mode`` holds the permission bits.

    ``owner`` and ``group`` are names, or numbers as text where the host has no name for them.
    """

    type: str
    mode: int
    size: int
    uid: int
    gid: int
    owner: str
    group: str


class HostFiles(Protocol):
    """Access to files of a host. Calls raise OSError, and :class:`HostUnreachable`."""

    def facts(self, path: str) -> FileFacts | None:
        """What is at ``path`` (a link is not followed), or None."""

    def read(self, path: str) -> bytes:
        """The content of a file."""

    def digest(self, path: str) -> str:
        """``sha256:...`` over the content of a file."""

    def make_folders(self, path: str) -> list[str]:
        """Make a folder and those above it; returns the ones that were not there, outermost first."""

    def remove_empty(self, folders: Sequence[str]) -> None:
        """Remove folders, innermost first, as far as they are empty."""

    def write(
        self, path: str, content: bytes, mode: int, owner: str | None, group: str | None, *, replace: bool
    ) -> None:
        """Put a file at ``path`` in one step, complete with mode and owner, safe on disk.

        Without ``replace`` raises FileExistsError when something is there. Raises LookupError for an
        unknown owner or group.
        """

    def set_access(self, path: str, mode: int, owner: str | None, group: str | None) -> None:
        """Change mode and owner of a file. Raises LookupError as :meth:`write`."""

    def remove(self, path: str) -> None:
        """Remove a file or link; no error when it is gone."""


def files_of(host: Host) -> HostFiles:
    """The files of a host. Raises :class:`ProviderError` where its connection cannot carry files."""
    give = getattr(host, "files", None)
    if give is None:
        raise ProviderError(
            error(
                "Files are not possible on this host",
                f"The connection to {host.name} carries no files. Put the file on another host.",
            )
        )
    found: HostFiles = give()
    return found


class LocalFiles:
    """:class:`HostFiles` of this machine."""

    def facts(self, path: str) -> FileFacts | None:
        """What is at ``path``, or None."""
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        types = ((stat.S_ISREG, "file"), (stat.S_ISDIR, "folder"), (stat.S_ISLNK, "link"))
        type = next((name for test, name in types if test(found.st_mode)), "other")
        return FileFacts(
            type,
            stat.S_IMODE(found.st_mode),
            found.st_size,
            found.st_uid,
            found.st_gid,
            _user(found.st_uid),
            _group(found.st_gid),
        )

    def read(self, path: str) -> bytes:
        """The content of a file."""
        with open(path, "rb") as file:
            return file.read()

    def digest(self, path: str) -> str:
        """``sha256:...`` over the content of a file."""
        total = hashlib.sha256()
        with open(path, "rb") as file:
            while piece := file.read(_BLOCK):
                total.update(piece)
        return f"sha256:{total.hexdigest()}"

    def make_folders(self, path: str) -> list[str]:
        """Make a folder and those above it; returns the ones that were not there."""
        missing: list[str] = []
        while path and not os.path.isdir(path):
            missing.append(path)
            path = os.path.dirname(path)
        made: list[str] = []
        for folder in reversed(missing):
            try:
                os.mkdir(folder, 0o755)
            except FileExistsError:
                # another file's creation, in another thread, was quicker: the folder is that one's
                if not os.path.isdir(folder):
                    raise
                continue
            made.append(folder)
        return made

    def remove_empty(self, folders: Sequence[str]) -> None:
        """Remove folders, innermost first, as far as they are empty."""
        for folder in sorted(folders, key=len, reverse=True):
            with contextlib.suppress(OSError):
                os.rmdir(folder)

    def write(
        self, path: str, content: bytes, mode: int, owner: str | None, group: str | None, *, replace: bool
    ) -> None:
        """Put a file at ``path`` in one step, complete with mode and owner, safe on disk."""
        folder, name = os.path.split(path)
        # one fixed name, so that what a killed run left behind is taken away by the next
        temporary = os.path.join(folder, f".{name[:200]}.hythe-new")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                _own(file.fileno(), owner, group)
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            if replace:
                os.rename(temporary, path)
            else:
                # unlike rename, link never replaces what somebody else put there in the meantime
                os.link(temporary, path)
                os.unlink(temporary)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        _sync_folder(folder)

    def set_access(self, path: str, mode: int, owner: str | None, group: str | None) -> None:
        """Change mode and owner of a file."""
        # through a descriptor, so that nobody can put a link there between looking and changing; O_PATH,
        # because a file may be one that its own owner cannot open
        descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            through = f"/proc/self/fd/{descriptor}"
            _own(through, owner, group)
            os.chmod(through, mode)
        finally:
            os.close(descriptor)

    def remove(self, path: str) -> None:
        """Remove a file or link; no error when it is gone."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(path)
            _sync_folder(os.path.dirname(path))


def _own(file: int | str, owner: str | None, group: str | None) -> None:
    uid = -1 if owner is None else int(owner) if owner.isdigit() else pwd.getpwnam(owner).pw_uid
    gid = -1 if group is None else int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    found = os.stat(file)
    if uid in (-1, found.st_uid) and gid in (-1, found.st_gid):
        return
    os.chown(file, uid, gid)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
