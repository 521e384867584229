"""What the local backend asks of a file system; tests put another one in its place."""

from __future__ import annotations

import contextlib
import os

from hythe.files import sync_folder


class Disk:
    """The machine's file system. Every method raises OSError. Files are made for their owner only (0600)."""

    # -- files ----------------------------------------------------------------------------------

    def read(self, path: str) -> bytes | None:
        """All of a file, None when it is not there."""
        try:
            with open(path, "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def written(self, path: str) -> float:
        """When the file was last written, in seconds since the epoch."""
        return os.stat(path).st_mtime

    def open(self, path: str) -> int:
        """A file that is there, for writing."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def make(self, path: str) -> int:
        """A new file, for writing, in place of one that is there: whatever that is, a link or others' to read."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, file: int, data: memoryview, at: int) -> int:
        """Write at that place; returns how much of it was written."""
        return os.pwrite(file, data, at)

    def truncate(self, file: int, size: int) -> None:
        """Cut a file off."""
        os.ftruncate(file, size)

    def sync(self, file: int) -> None:
        """Make a file's content durable."""
        os.fdatasync(file)

    def close(self, file: int) -> None:
        """Close a file."""
        os.close(file)

    # -- folders --------------------------------------------------------------------------------

    def link(self, source: str, target: str) -> None:
        """Another name for a file."""
        os.link(source, target)

    def replace(self, source: str, target: str) -> None:
        """Give a file another name, at once, and take the name from whatever has it."""
        os.replace(source, target)

    def remove(self, path: str) -> None:
        """Remove a file's name. Raises FileNotFoundError too."""
        os.unlink(path)

    def hide(self, path: str) -> None:
        """Let only its owner read a file."""
        os.chmod(path, 0o600)

    def make_folder(self, path: str) -> None:
        """Make a folder and those that it is in, durable when this returns; no matter if they are there."""
        above = os.path.dirname(path)
        if os.path.isdir(path) or above == path:
            return
        self.make_folder(above)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o755)
        self.sync_folder(path)

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder."""
        os.rmdir(path)

    def sync_folder(self, path: str) -> None:
        """Make the names in the folder that ``path`` is in durable."""
        sync_folder(path)


def write_all(disk: Disk, file: int, data: bytes, at: int) -> int:
    """Write all of it, however many steps that takes; returns where it ends. Raises OSError."""
    left = memoryview(data)
    while left:
        written = disk.write(file, left, at)
        left, at = left[written:], at + written
    return at
