"""State in local files: the snapshot, its backup, the journal and the lock, side by side.

=========================  =================================================================
``<state>``                the snapshot
``<state>.journal``        what was done since; there only during an apply, or after one was killed
``<state>.lock``           the lock
``<state>.backup``         the snapshot before
``<state>.backup.journal`` what was done between the two: with it, the backup is as good as the state
``<state>.history``        a folder of some snapshots from before (see :mod:`hythe.state.backends.versions`)
=========================  =================================================================
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hythe.diagnostic import DiagnosticError, error
from hythe.state import lock as locking
from hythe.state.backends.base import DEFAULT_WORKSPACE, Backend, Paths, Records, Storage, Version
from hythe.state.backends.disk import Disk, write_all
from hythe.state.backends.versions import Versions
from hythe.state.frames import JournalFile, decode_journal

if TYPE_CHECKING:
    from hythe.state.backends.local_settings import Settings as LocalSettings

DEFAULT_STATE = "hythe.state.json"


def _nothing(step: str) -> None:
    pass


class LocalBackend(Backend):
    """The files of one state.

    ``on_step`` is called before each step that changes a file, with its name: tests stop there. ``disk`` is
    where the files are, but for the lock's, which is always on the machine's own.
    """

    name = "local"
    paths: Paths

    def __init__(self, path: str, *, on_step: Callable[[str], None] = _nothing, disk: Disk | None = None) -> None:
        # a state that is a symbolic link stays one: what it points at is replaced
        self.path = os.path.realpath(path)
        self.backup = self.path + ".backup"
        self.journal = self.path + ".journal"
        self.old_journal = self.path + ".backup.journal"
        self.lock_path = self.path + ".lock"
        self._versions = Versions(self.path + ".history")
        self.where, self.journal_where = self.path, self.journal
        self.paths = Paths(self.path, self.backup, self.journal, self.old_journal)
        self._on_step = on_step
        self._disk = disk or Disk()

    def read(self) -> bytes | None:
        """The snapshot's bytes, None when there is none."""
        return self._disk.read(self.path)

    def read_backup(self) -> bytes | None:
        """The backup's bytes, None when there is none."""
        return self._disk.read(self.backup)

    def read_journal(self) -> Records:
        """The journal, a last frame that was cut short left out."""
        return self._records(self.journal)

    def read_old_journal(self) -> Records:
        """The journal that belongs to the backup."""
        return self._records(self.old_journal)

    def last_written(self) -> float | None:
        """When the snapshot or the journal was last written, in seconds since the epoch."""
        times = []
        for path in (self.path, self.journal):
            with contextlib.suppress(OSError):
                times.append(self._disk.written(path))
        return max(times, default=None)

    def lock(self, operation: str, timeout: float) -> locking.Lock:
        """Take the lock. Raises DiagnosticError when another holds it."""
        folder = os.path.dirname(self.path)
        try:
            self._disk.make_folder(folder)
        except OSError as failure:
            text = f"The folder {folder} for the state cannot be made: {failure.strerror or failure}."
            raise DiagnosticError(error("State cannot be locked", text)) from failure
        return locking.acquire(self.lock_path, operation, timeout)

    def holder(self) -> locking.Holder | None:
        """Who holds the lock now."""
        return locking.read_holder(self.lock_path)

    def open_journal(self, header: bytes, position: Any) -> JournalFile:
        """The journal's file."""
        self._on_step("open journal")
        self._disk.make_folder(os.path.dirname(self.path))

        def fsync(file: int) -> None:
            self._on_step("sync journal")
            self._disk.sync(file)
            self._on_step("journal synced")

        return JournalFile(self.journal, header, position, disk=self._disk, fsync=fsync)

    def write(self, data: bytes, *, serial: int, keep_journal: bool) -> None:
        """Replace the snapshot at once, keep the one before as backup, and put the journal aside.

        ``keep_journal``: the journal holds all that happened since the one before.
        """
        self._disk.make_folder(os.path.dirname(self.path))
        fresh = self.path + ".new"
        try:
            self._on_step("write snapshot")
            self._write_synced(fresh, data)
            self._on_step("keep backup")
            self._keep_backup()
            # a version less is better than a state that is not written
            with contextlib.suppress(OSError):
                self._on_step("keep version")
                self._versions.keep(self.path)
            self._on_step("replace snapshot")
            self._disk.replace(fresh, self.path)
        except OSError:
            with contextlib.suppress(OSError):
                self._disk.remove(fresh)
            raise
        self._disk.sync_folder(self.path)
        self._on_step("put journal aside")
        # from here on all is well, so nothing below may fail the write
        with contextlib.suppress(OSError):
            if keep_journal:
                self._disk.replace(self.journal, self.old_journal)
            else:
                for path in (self.journal, self.old_journal):
                    with contextlib.suppress(FileNotFoundError):
                        self._disk.remove(path)
            self._on_step("sync folder")
            self._disk.sync_folder(self.path)
        with contextlib.suppress(OSError):
            self._on_step("remove old versions")
            self._versions.prune()

    def delete(self) -> None:
        """Remove the state's files, and the folder that is then empty. The lock's file goes last."""
        self._versions.delete()
        for path in (self.path, self.journal, self.backup, self.old_journal, self.lock_path):
            with contextlib.suppress(FileNotFoundError):
                self._disk.remove(path)
        with contextlib.suppress(OSError):
            self._disk.remove_folder(os.path.dirname(self.path))

    def _records(self, path: str) -> Records:
        content = decode_journal(self._disk.read(path) or b"")
        return Records(content.records, content if content.end else None)

    def versions(self) -> list[Version]:
        """The snapshots from before that are kept, the latest first."""
        return self._versions.kept()

    def read_version(self, version: str) -> bytes | None:
        """The snapshot of that id, None when it is not there (any more)."""
        return self._versions.read(version)

    def _write_synced(self, path: str, data: bytes) -> None:
        file = self._disk.make(path)
        try:
            write_all(self._disk, file, data, 0)
            self._disk.sync(file)
        finally:
            self._disk.close(file)

    def _keep_backup(self) -> None:
        spare = self.backup + ".new"
        with contextlib.suppress(FileNotFoundError):
            self._disk.remove(spare)
        try:
            self._disk.link(self.path, spare)
        except FileNotFoundError:
            return
        except OSError:
            # file systems without hard links get a copy
            data = self.read()
            if data is None:
                return
            self._write_synced(spare, data)
        self._disk.hide(spare)
        self._disk.replace(spare, self.backup)
        # where both are names of one file already, after a crash, the system takes nothing away
        with contextlib.suppress(FileNotFoundError):
            self._disk.remove(spare)


class LocalStorage(Storage):
    """States in files: that of ``default`` at ``path``, others in folders of their own beside it."""

    name = "local"

    def __init__(self, path: str, folder: str | None = None) -> None:
        """``folder`` is for the other workspaces; by default ``hythe.state.d`` for ``hythe.state.json``."""
        self.path = path
        self.folder = folder or os.path.splitext(path)[0] + ".d"

    def backend(self, workspace: str) -> LocalBackend:
        """The files of that workspace."""
        if workspace == DEFAULT_WORKSPACE:
            return LocalBackend(self.path)
        return LocalBackend(os.path.join(self.folder, workspace, os.path.basename(self.path)))

    def workspaces(self) -> list[str]:
        """Those with a folder that holds a state, or the journal of one that was never finished."""
        try:
            names = [entry.name for entry in os.scandir(self.folder) if entry.is_dir()]
        except FileNotFoundError:
            names = []
        except OSError as failure:
            text = f"{self.folder} cannot be listed: {failure.strerror or failure}. Check its permissions."
            raise DiagnosticError(error("Workspaces not readable", text)) from failure
        there = {n for n in names if any(map(os.path.exists, (self.backend(n).path, self.backend(n).journal)))}
        return sorted({DEFAULT_WORKSPACE} | there)

    @property
    def where(self) -> str:
        """The path of the default workspace's state."""
        return self.path


def __getattr__(name: str) -> Any:
    # pydantic takes a while to load, and most users set nothing
    if name == "Settings":
        from hythe.state.backends.local_settings import Settings

        return Settings
    raise AttributeError(name)


def open_storage(settings: LocalSettings | None, root: str, environment: Mapping[str, str]) -> LocalStorage:
    """The files that the settings name, relative to ``root``; None is for whoever sets nothing."""
    path = (settings.path if settings is not None else None) or DEFAULT_STATE
    folder = settings.workspace_dir if settings is not None else None
    return LocalStorage(_full(root, path), None if folder is None else _full(root, folder))


def place(settings: LocalSettings | None) -> dict[str, str]:
    """What of the settings decides which files are meant. Different spellings of one path are the same."""
    path = os.path.normpath((settings.path if settings is not None else None) or DEFAULT_STATE)
    folder = settings.workspace_dir if settings is not None else None
    return {"path": path, "workspace_dir": os.path.normpath(folder) if folder else LocalStorage(path).folder}


def _full(root: str, path: str) -> str:
    return os.path.join(root, os.path.expanduser(path))
