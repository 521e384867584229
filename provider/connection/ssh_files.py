"""Files of a machine over SFTP."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import posixpath
import stat
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hythe.provider.connection.files import FileFacts
from hythe.provider.connection.local import NOT_FOUND

if TYPE_CHECKING:
    from hythe.provider.connection.ssh import SshHost

_BLOCK = 1 << 18
_SECONDS = 60.0
_SENT_BYTES = 1 << 20
"""Files up to this size are read to work out their digest."""
_HEX_DIGITS = 64
_EXTENDED = 200
"""Number of SFTP's extended requests."""


class SftpFiles:
    """Implements :class:`hythe.provider.connection.files.HostFiles`."""

    def __init__(self, host: SshHost) -> None:
        self._host = host

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        import paramiko

        with self._host.sftp() as client:
            try:
                yield client
            except (paramiko.SSHException, EOFError) as failure:
                raise self._host.lost(failure) from failure
            except OSError as failure:
                if failure.errno is None and client.get_channel().closed:
                    raise self._host.lost(failure) from failure
                raise

    def facts(self, path: str) -> FileFacts | None:
        """What is at ``path`` (a link is not followed), or None."""
        with self._client() as client:
            try:
                found = client.lstat(path)
            except FileNotFoundError:
                return None
        mode = found.st_mode or 0
        kinds = ((stat.S_ISREG, "file"), (stat.S_ISDIR, "folder"), (stat.S_ISLNK, "link"))
        kind = next((name for test, name in kinds if test(mode)), "other")
        uid, gid = found.st_uid or 0, found.st_gid or 0
        owner, group = self._names(uid, gid)
        return FileFacts(kind, stat.S_IMODE(mode), found.st_size or 0, uid, gid, owner, group)

    def read(self, path: str) -> bytes:
        """The content of a file."""
        with self._client() as client, client.open(path, "rb") as file:
            file.prefetch()
            content: bytes = file.read()
            return content

    def digest(self, path: str) -> str:
        """``sha256:...`` over the content of a file."""
        with self._client() as client:
            large = (client.stat(path).st_size or 0) > _SENT_BYTES
        if large:
            # the machine's own program spares sending the content
            done = self._host.run(["sha256sum", "--", path])
            found = done.stdout.decode("ascii", "replace").lstrip("\\").partition(" ")[0]
            if done.code == 0 and len(found) == _HEX_DIGITS:
                return f"sha256:{found}"
        total = hashlib.sha256()
        with self._client() as client, client.open(path, "rb") as file:
            file.prefetch()
            while piece := file.read(_BLOCK):
                total.update(piece)
        return f"sha256:{total.hexdigest()}"

    def make_folders(self, path: str) -> list[str]:
        """Make a folder and those above it; returns the ones that were not there, outermost first."""
        made: list[str] = []
        with self._client() as client:
            missing: list[str] = []
            at = path
            while at not in ("", "/"):
                try:
                    if not stat.S_ISDIR(client.stat(at).st_mode or 0):
                        raise NotADirectoryError(errno.ENOTDIR, "Not a directory", at)
                    break
                except FileNotFoundError:
                    if _is_there(client, at):
                        raise  # a link to nowhere
                    missing.append(at)
                    at = posixpath.dirname(at)
            for folder in reversed(missing):
                try:
                    client.mkdir(folder, 0o755)
                except OSError:
                    # another file's creation, in another thread, was quicker: the folder is that one's
                    if not stat.S_ISDIR(client.stat(folder).st_mode or 0):
                        raise
                    continue
                made.append(folder)
        return made

    def remove_empty(self, folders: Sequence[str]) -> None:
        """Remove folders, innermost first, as far as they are empty."""
        with self._client() as client:
            for folder in reversed(folders):
                try:
                    client.rmdir(folder)
                except OSError:
                    return

    def write(
        self, path: str, content: bytes, mode: int, owner: str | None, group: str | None, *, replace: bool
    ) -> None:
        """Put a file at ``path`` in one step, complete with mode and owner, safe on disk."""
        uid, gid = self._ids(owner, group)
        folder, name = posixpath.split(path)
        # one fixed name, so that what a killed run left behind is taken away by the next
        part = posixpath.join(folder, f".{name[:200]}.hythe-new")
        with self._client() as client:
            if not replace and _is_there(client, path):
                raise FileExistsError(errno.EEXIST, "File exists", path)
            with contextlib.suppress(FileNotFoundError):
                client.remove(part)
            try:
                self._put(client, part, content)
                _own(client, part, uid, gid)
                client.chmod(part, mode)
                if replace:
                    client.posix_rename(part, path)
                else:
                    _rename_to_new(client, part, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    client.remove(part)
                raise

    def _put(self, client: Any, part: str, content: bytes) -> None:
        try:
            with client.open(part, "wx") as file:
                file.chmod(0o600)
                file.set_pipelined(True)
                for at in range(0, len(content), _BLOCK):
                    file.write(content[at : at + _BLOCK])
                # paramiko does not look at answers to pipelined writes: a full disk would pass unseen
                while file._reqs:
                    client._read_response(file._reqs.popleft())
                _sync(client, file)
        except OSError as failure:
            # SFTP has no code for a full disk: the server says that it failed, and no more
            if failure.errno is None and self._is_full(posixpath.dirname(part), len(content)):
                raise OSError(errno.ENOSPC, "No space left on device", part) from failure
            raise

    def _is_full(self, folder: str, wanted: int) -> bool:
        lines = (
            self._host.run(["df", "-Pk", "--", folder], timeout=_SECONDS).stdout.decode("utf-8", "replace").split("\n")
        )
        cells = lines[1].split() if len(lines) > 1 else []
        return len(cells) > 3 and cells[3].isdigit() and int(cells[3]) * 1024 < wanted

    def set_access(self, path: str, mode: int, owner: str | None, group: str | None) -> None:
        """Change mode and owner of a file."""
        uid, gid = self._ids(owner, group)
        with self._client() as client:
            if not stat.S_ISREG(client.lstat(path).st_mode or 0):
                raise OSError(errno.ELOOP, "Not a regular file", path)
            _own(client, path, uid, gid)
            client.chmod(path, mode)

    def remove(self, path: str) -> None:
        """Remove a file or link; no error when it is gone."""
        with self._client() as client, contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(client.lstat(path).st_mode or 0):
                raise IsADirectoryError(errno.EISDIR, "Is a directory", path)
            client.remove(path)

    # -- names of users ---------------------------------------------------------------------------

    def _names(self, uid: int, gid: int) -> tuple[str, str]:
        if uid == 0 and gid == 0:
            return "root", "root"
        found = [self._entry("passwd", str(uid)), self._entry("group", str(gid))]
        user, group = (e.split(":")[0] if e else str(n) for e, n in zip(found, (uid, gid), strict=True))
        return user, group

    def _ids(self, owner: str | None, group: str | None) -> tuple[int | None, int | None]:
        return self._id("passwd", owner), self._id("group", group)

    def _id(self, table: str, name: str | None) -> int | None:
        if name is None:
            return None
        if name.isdigit():
            return int(name)
        entry = self._entry(table, name)
        if entry is None:
            raise LookupError(name)
        return int(entry.split(":")[2])

    def _entry(self, table: str, key: str) -> str | None:
        done = self._host.run(["getent", table, key], timeout=_SECONDS)
        if done.code != NOT_FOUND:
            return done.stdout.decode("utf-8", "replace").strip() or None if done.code == 0 else None
        # small systems have no getent, and nobody but those in the files
        for line in self.read(f"/etc/{table}").decode("utf-8", "replace").splitlines():
            if key in line.split(":")[:3:2]:
                return line
        return None


def _sync(client: Any, file: Any) -> None:
    """Have the content safe on disk, where the server can do that (OpenSSH's can)."""
    try:
        client._request(_EXTENDED, "fsync@openssh.com", file.handle)
    except OSError as failure:
        if "unsupported" not in str(failure).lower():
            raise


def _rename_to_new(client: Any, part: str, path: str) -> None:
    """A plain rename, which fails where something has come to be meanwhile."""
    try:
        client.rename(part, path)
    except OSError as failure:
        if failure.errno is None and _is_there(client, path):
            raise FileExistsError(errno.EEXIST, "File exists", path) from failure
        raise


def _own(client: Any, path: str, uid: int | None, gid: int | None) -> None:
    if uid is None and gid is None:
        return
    there = client.stat(path)
    client.chown(path, there.st_uid if uid is None else uid, there.st_gid if gid is None else gid)


def _is_there(client: Any, path: str) -> bool:
    try:
        client.lstat(path)
    except FileNotFoundError:
        return False
    return True
