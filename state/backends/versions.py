"""Versions of a local state: snapshots from before, kept in a folder beside it.

Each is the file that the snapshot was, by a second name (a hard link): keeping one writes no data, however
large the state is. It is named by its serial: ``<state>.history/000012.json``.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from dataclasses import dataclass

from hythe.files import sync_folder
from hythe.state.backends.base import Version

KEPT = 10
"""How many versions are kept: a day of work on one project, and few enough to be listed on a screen."""
KEPT_BYTES = 256 << 20
"""How large all of them may be together: a state of 100,000 objects has about 50 MiB, so some are kept of any."""

_NAME = re.compile(r"(\d+)(?:\.(\d+))?\.json")
_SERIAL = re.compile(rb'"serial":(\d{1,15})[,}]')
_HEAD = 4096


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    serial: int
    copy: int
    written: float
    size: int

    @property
    def id(self) -> str:
        return f"{self.serial}.{self.copy}" if self.copy else str(self.serial)


class Versions:
    """The folder of versions. Methods raise OSError."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def keep(self, path: str) -> None:
        """Keep the file at ``path``, which is about to be replaced, as a version."""
        with open(path, "rb") as file:
            head = file.read(_HEAD)
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        found = _SERIAL.search(head)
        serial = int(found[1]) if found is not None else 0
        copy = 0
        while os.path.lexists(target := self._path(serial, copy)):
            if _same(path, target, head):
                return
            # a state of the same serial that was put there by hand
            copy += 1
        try:
            os.link(path, target)
            os.chmod(target, 0o600)
        except OSError:
            # file systems without hard links get a copy
            self._copy(path, target)
        sync_folder(target)

    def prune(self) -> None:
        """Remove the oldest of those that are too many, or too much together."""
        size = 0
        for number, kept in enumerate(self._files()):
            size += kept.size
            if number >= KEPT or (size > KEPT_BYTES and number > 0):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(self.folder, kept.name))

    def kept(self) -> list[Version]:
        """All of them, the latest first."""
        return [Version(k.id, k.serial, k.written, k.size) for k in self._files()]

    def read(self, version: str) -> bytes | None:
        """The bytes of one, None when it is not there."""
        for kept in self._files():
            if kept.id == version:
                with contextlib.suppress(FileNotFoundError), open(os.path.join(self.folder, kept.name), "rb") as file:
                    return file.read()
        return None

    def delete(self) -> None:
        """Remove the folder with what this class put there."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return
        for name in names:
            if _NAME.fullmatch(name.removesuffix(".new")):
                os.unlink(os.path.join(self.folder, name))
        with contextlib.suppress(OSError):
            os.rmdir(self.folder)

    def _files(self) -> list[_File]:
        found = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                match = _NAME.fullmatch(entry.name)
                if match is not None and entry.is_file(follow_symlinks=False):
                    facts = entry.stat(follow_symlinks=False)
                    serial, copy = int(match[1]), int(match[2] or 0)
                    found.append(_File(entry.name, serial, copy, facts.st_mtime, facts.st_size))
        return sorted(found, key=lambda k: (k.written, k.serial, k.copy), reverse=True)

    def _path(self, serial: int, copy: int) -> str:
        return os.path.join(self.folder, f"{serial:06d}{f'.{copy}' if copy else ''}.json")

    def _copy(self, path: str, target: str) -> None:
        fresh = target + ".new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)
        out = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(path, "rb") as source, open(out, "wb") as file:
            shutil.copyfileobj(source, file)
            file.flush()
            os.fsync(out)
        shutil.copystat(path, fresh)
        os.chmod(fresh, 0o600)
        os.replace(fresh, target)


def _same(path: str, other: str, head: bytes) -> bool:
    """Whether both are the same snapshot: one file, or one that begins alike, checksum and all."""
    if os.path.samefile(path, other):
        return True
    with open(other, "rb") as file:
        return os.path.getsize(path) == os.path.getsize(other) and file.read(_HEAD) == head
