"""What is kept locally of a state on a server: below ``.hythe/http/``, one set of files an address and workspace.

==================  ================================================================================
``<key>.journal``   what was done since the snapshot; there only during an apply, or after one was killed
``<key>.lock``      the lock of this folder: the journal has one writer
``<key>.marks``     IDs of locks that were asked for and not given up, and of the journal's note
``<key>.names``     the workspaces used, for all addresses of one configuration
==================  ================================================================================
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import orjson

from hythe.files import WORKING_FOLDER, make_working_folder, replace_file

FOLDER = os.path.join(WORKING_FOLDER, "http")
_MOST_LOCKS = 20


class LocalFiles:
    """The files of one state. Whoever writes holds the lock at ``lock``."""

    def __init__(self, root: str, address: str, workspace: str) -> None:
        self.root = root
        self.folder = os.path.join(root, FOLDER)
        stem = os.path.join(self.folder, f"{quote(workspace, safe='')}-{_key(address)}")
        self.journal, self.lock, self._marks = stem + ".journal", stem + ".lock", stem + ".marks"

    def prepare(self) -> None:
        """Make the folder. Raises OSError."""
        make_folder(self.root)

    def locks(self) -> list[str]:
        """IDs of locks that runs in this folder asked for, and of which it is not known that they were given up."""
        found = _load(self._marks).get("locks")
        return [i for i in found if isinstance(i, str)] if isinstance(found, list) else []

    def remember_lock(self, lock_id: str) -> None:
        """Before a lock is asked for: so that it is known whose it is if this process ends before it is given up."""
        self._save(locks=[*self.locks(), lock_id][-_MOST_LOCKS:])

    def forget_lock(self, lock_id: str) -> None:
        """It is certain that this lock is not held."""
        if lock_id in self.locks():
            self._save(locks=[i for i in self.locks() if i != lock_id])

    def note(self) -> str:
        """The ID of the last note that was made here, empty when there was none."""
        return str(_load(self._marks).get("note") or "")

    def remember_journal(self, note_id: str, base: str) -> None:
        """Before a journal is begun that goes on from the snapshot with the digest ``base``, and a note stored of it.

        Raises OSError: without this, the journal would not be known for its own.
        """
        self._save(note=note_id, base=base, end="", strict=True)

    def remember_end(self, digest: str) -> None:
        """Before the snapshot of that digest, which takes the journal in, is stored. Raises OSError."""
        self._save(end=digest, strict=True)

    def has_ended(self, digest: str) -> bool | None:
        """Whether the snapshot of that digest has taken the journal in (True), or is what it goes on from (False).

        None for any other.
        """
        marks = _load(self._marks)
        if digest == marks.get("base"):
            return False
        return True if digest == marks.get("end") else None

    def delete(self) -> None:
        """Remove them all, the lock's last."""
        for path in (self.journal, self._marks, self.lock):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def _save(self, *, strict: bool = False, **changed: Any) -> None:
        try:
            self.prepare()
            save(self._marks, {**_load(self._marks), **changed})
        except OSError:
            if strict:
                raise


class Names:
    """The workspaces that were used from this folder: a server cannot be asked for them."""

    def __init__(self, root: str, address: str) -> None:
        self._root = root
        self._path = os.path.join(root, FOLDER, _key(address) + ".names")

    def all(self) -> list[str]:
        """Those names, sorted."""
        found = _load(self._path).get("workspaces")
        return sorted({n for n in found if isinstance(n, str)}) if isinstance(found, list) else []

    def add(self, name: str) -> None:
        """Remember one."""
        if name not in self.all():
            self._save({*self.all(), name})

    def remove(self, name: str) -> None:
        """Forget one."""
        if name in self.all():
            self._save({*self.all()} - {name})

    def _save(self, names: Collection[str]) -> None:
        # where that fails, a name is missing from a list, and nothing else
        with contextlib.suppress(OSError):
            make_folder(self._root)
            save(self._path, {"workspaces": sorted(names)})


def make_folder(root: str) -> None:
    """Make ``.hythe/http`` below ``root``, kept out of version control. Raises OSError."""
    make_working_folder(root)
    os.makedirs(os.path.join(root, FOLDER), mode=0o700, exist_ok=True)


def save(path: str, told: dict[str, Any]) -> None:
    """Replace a file at once, durably. Raises OSError."""
    replace_file(path, orjson.dumps(told) + b"\n")


def _load(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            told = orjson.loads(file.read())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _key(address: str) -> str:
    return sha256(address.encode()).hexdigest()[:16]
