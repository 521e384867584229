"""A disk in memory that forgets what was not synced when its power fails: for tests of what survives.

It is as unkind as a file system may be. What was written to a file since its last sync may be there in part after a
power failure, sector by sector; the file may have its new length without the content, or the other way round. Names
in a folder that changed since the folder's last sync may have the old or the new meaning, each for itself. After a
sync that failed, the system takes what it could not write for written, and the next sync does not try again.
"""

from __future__ import annotations

import copy
import errno
import itertools
import os
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from hythe.state.backends.disk import Disk

SECTOR = 512
FULL = errno.ENOSPC, "No space left on device"
BROKEN = errno.EIO, "Input/output error"
_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class _File:
    """A file. ``durable`` is what the disk has, ``waiting`` what was done since.

    That is (place, bytes), or (size, None) where the file was cut off.
    """

    content: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    waiting: list[tuple[int, bytes | None]] = field(default_factory=list)
    is_folder: bool = False

    def synced(self) -> None:
        for at, data in self.waiting:
            _do(self.durable, at, data)
        self.waiting.clear()
        # the length is not among what a sync that failed gives up
        _do(self.durable, len(self.content), None)
        self.durable.extend(bytes(len(self.content) - len(self.durable)))

    def failed(self, chance: random.Random) -> None:
        self.durable = self.survivor(chance).durable
        self.waiting.clear()

    def survivor(self, chance: random.Random) -> _File:
        """The file after a power failure."""
        left = bytearray(self.durable)
        pieces = [piece for at, data in self.waiting for piece in _pieces(at, data)]
        by_sector: dict[int, list[tuple[int, bytes | None]]] = {}
        for piece in pieces:
            by_sector.setdefault(-1 if piece[1] is None else piece[0] // SECTOR, []).append(piece)
        # the disk fills a sector with what it was at some moment
        written = [s[: chance.randint(0, len(s))] for s in by_sector.values()]
        there = _some(chance, pieces) if chance.random() < 0.6 else [p for p in pieces if any(p in s for s in written)]
        for at, data in there:
            _do(left, at, data)
        if pieces and len(self.content) > len(left) and chance.random() < 0.4:
            left.extend(bytes(len(self.content) - len(left)))
        elif pieces and len(left) > len(self.durable) and chance.random() < 0.2:
            del left[len(self.durable) :]
        return _File(left, bytearray(left), is_folder=self.is_folder)


def _do(content: bytearray, at: int, data: bytes | None) -> None:
    if data is None:
        del content[at:]
        return
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    content[at : at + len(data)] = data


def _pieces(at: int, data: bytes | None) -> Iterator[tuple[int, bytes | None]]:
    """What the disk does at once."""
    if data is None:
        yield at, None
        return
    done = 0
    while done < len(data):
        size = SECTOR - (at + done) % SECTOR
        yield at + done, data[done : done + size]
        done += size


def _some(chance: random.Random, items: list[_T]) -> list[_T]:
    """None of them, all, or those before some moment."""
    return items[: chance.choice([0, len(items), chance.randint(0, len(items))])]


class MemoryDisk(Disk):
    """Files in memory. Safe for several threads.

    ``on_step`` is called before each operation that changes something, with its name (that of the method) and the
    path. What it gives makes the operation fail: an OSError is raised, and of a ``write`` no more bytes are written
    than a number says. ``room`` is how many bytes there is space for.
    """

    def __init__(self, seed: int = 0) -> None:
        """``seed`` decides what of it is written by a sync that fails."""
        self._chance = random.Random(seed)
        self.mutex = threading.RLock()
        self.on_step: Callable[[str, str], OSError | int | None] | None = None
        self.room: int | None = None
        self._names: dict[str, _File] = {"/": _File(is_folder=True)}
        self._durable = dict(self._names)
        self._changes: list[tuple[str, dict[str, _File | None]]] = []
        self._open: dict[int, tuple[_File, str]] = {}
        self._numbers = itertools.count(3)

    # -- what tests do to it --------------------------------------------------------------------

    def fork(self) -> MemoryDisk:
        """The disk as another process finds it after this one was killed: nothing is lost, nothing more is durable."""
        with self.mutex:
            other = MemoryDisk(self._chance.randrange(2**32))
            parts = copy.deepcopy((self._names, self._durable, self._changes))
            other._names, other._durable, other._changes = parts
            return other

    def power_failure(self, chance: random.Random) -> MemoryDisk:
        """The disk as it is found after a power failure."""
        with self.mutex:
            names = dict(self._durable)
            any_of_them = [c for c in self._changes if chance.random() < 0.5]
            for _, change in any_of_them if chance.random() < 0.3 else _some(chance, self._changes):
                for path, file in change.items():
                    if file is None:
                        names.pop(path, None)
                    else:
                        names[path] = file
            survivors: dict[_File, _File] = {}
            other = MemoryDisk(self._chance.randrange(2**32))
            other._names = {}
            for path in sorted(names):
                above = other._names.get(os.path.dirname(path))
                if path == "/" or (above is not None and above.is_folder):
                    file = names[path]
                    other._names[path] = survivors.setdefault(file, file.survivor(chance))
            other._durable = dict(other._names)
            return other

    def write_back(self) -> None:
        """Some time passes, and the system writes to the disk what it had not yet."""
        with self.mutex:
            self._durable, self._changes = dict(self._names), []
            for file in self._names.values():
                file.synced()

    def files(self) -> dict[str, bytes]:
        """What a user would see."""
        with self.mutex:
            return {p: bytes(f.content) for p, f in sorted(self._names.items()) if not f.is_folder}

    # -- files ----------------------------------------------------------------------------------

    def read(self, path: str) -> bytes | None:
        """All of a file, None when it is not there."""
        with self.mutex:
            file = self._names.get(path)
            if file is not None and file.is_folder:
                raise IsADirectoryError(errno.EISDIR, "Is a directory", path)
            return None if file is None else bytes(file.content)

    def written(self, path: str) -> float:
        """Long ago."""
        self._file(path)
        return 0.0

    def open(self, path: str) -> int:
        """A file that is there, for writing."""
        self._step("open", path)
        with self.mutex:
            number = next(self._numbers)
            self._open[number] = (self._file(path), path)
            return number

    def make(self, path: str) -> int:
        """A new file, for writing, in place of one that is there."""
        self._step("make", path)
        with self.mutex:
            if path in self._names:
                self._change(path, {path: None})
            self._change(path, {path: _File()})
            number = next(self._numbers)
            self._open[number] = (self._names[path], path)
            return number

    def write(self, file: int, data: memoryview, at: int) -> int:
        """Write at that place; returns how much of it was written."""
        target, path = self._open[file]
        most = self._step("write", path)
        with self.mutex:
            there = bytes(data) if most is None else bytes(data[: max(most, 1)])
            if self.room is not None:
                used = sum(len(f.content) for f in {*self._names.values()})
                there = there[: max(self.room - used + max(len(target.content) - at, 0), 0)]
                if not there:
                    raise OSError(*FULL)
            _do(target.content, at, there)
            target.waiting.append((at, there))
            return len(there)

    def truncate(self, file: int, size: int) -> None:
        """Cut a file off."""
        target, path = self._open[file]
        self._step("truncate", path)
        with self.mutex:
            _do(target.content, size, None)
            target.waiting.append((size, None))

    def sync(self, file: int) -> None:
        """Make a file's content durable."""
        target, path = self._open[file]
        try:
            self._step("sync", path)
        except OSError:
            with self.mutex:
                target.failed(self._chance)
            raise
        with self.mutex:
            target.synced()

    def close(self, file: int) -> None:
        """Close a file."""
        with self.mutex:
            del self._open[file]

    # -- folders --------------------------------------------------------------------------------

    def link(self, source: str, target: str) -> None:
        """Another name for a file."""
        self._step("link", target)
        with self.mutex:
            if target in self._names:
                raise FileExistsError(errno.EEXIST, "File exists", target)
            self._change(target, {target: self._file(source)})

    def replace(self, source: str, target: str) -> None:
        """Give a file another name, at once; nothing happens where both are names of one file."""
        self._step("replace", target)
        with self.mutex:
            file = self._file(source)
            if self._names.get(target) is not file:
                self._change(target, {target: file, source: None})

    def remove(self, path: str) -> None:
        """Remove a file's name."""
        self._step("remove", path)
        with self.mutex:
            self._file(path)
            self._change(path, {path: None})

    def hide(self, path: str) -> None:
        """Nobody else reads here."""
        self._step("hide", path)

    def make_folder(self, path: str) -> None:
        """Make a folder and those that it is in, durable when this returns."""
        above = os.path.dirname(path)
        if path in self._names:
            return
        self.make_folder(above)
        self._step("make_folder", path)
        with self.mutex:
            self._names[path] = self._durable[path] = _File(is_folder=True)

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder."""
        self._step("remove_folder", path)
        with self.mutex:
            if any(os.path.dirname(p) == path for p in self._names):
                raise OSError(errno.ENOTEMPTY, "Directory not empty", path)
            self._change(path, {path: None})

    def sync_folder(self, path: str) -> None:
        """Make the names in the folder that ``path`` is in durable."""
        folder = os.path.dirname(path)
        self._step("sync_folder", folder)
        with self.mutex:
            for where, change in self._changes:
                if where == folder:
                    for name, file in change.items():
                        if file is None:
                            self._durable.pop(name, None)
                        else:
                            self._durable[name] = file
            self._changes = [(w, c) for w, c in self._changes if w != folder]

    # -- within ---------------------------------------------------------------------------------

    def _step(self, op: str, path: str) -> int | None:
        fault = self.on_step(op, path) if self.on_step is not None else None
        if isinstance(fault, OSError):
            raise fault
        return fault

    def _file(self, path: str) -> _File:
        try:
            return self._names[path]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path) from None

    def _change(self, path: str, change: dict[str, _File | None]) -> None:
        folder = os.path.dirname(path)
        if folder not in self._names:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", folder)
        for name, file in change.items():
            if file is None:
                self._names.pop(name, None)
            else:
                self._names[name] = file
        self._changes.append((folder, change))
