"""The texts of configuration files: from a disk, or as a plan carries them."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from typing import Protocol

from hythe.diagnostic import Diagnostic, error

SUFFIXES = (".hcl", ".hcl.json")
_NOT_CONFIGURATION = (".lock.hcl", ".test.hcl", ".hythetest.hcl")
MAX_FILE_BYTES = 64 * 1024 * 1024
LIBRARY = "hythe//"


def is_configuration(name: str) -> bool:
    """Whether a file name is one that the loader reads."""
    return (
        name.endswith(SUFFIXES)
        and not name.endswith(_NOT_CONFIGURATION)
        and not name.startswith(".")
        and not name.endswith("~")
    )


def configuration_names(folder: str) -> list[str]:
    """The names in a folder that the loader reads, sorted. Raises OSError.

    A link that leads nowhere is one of them: leaving its blocks out would destroy what they declare.
    """
    return sorted(n for n in os.listdir(folder) if is_configuration(n) and not os.path.isdir(os.path.join(folder, n)))


def real_directory(root: str, directory: str) -> str:
    """Where a module's directory is: below or beside the root, anywhere, or in Hythe's own library."""
    if directory.startswith(LIBRARY):
        return os.path.join(os.path.dirname(os.path.abspath(__file__)), "library", directory.removeprefix(LIBRARY))
    return os.path.join(root, directory)


def read_files(root: str, directory: str = ".") -> tuple[dict[str, str], list[Diagnostic]]:
    """The texts of the configuration files directly in ``directory``, by their name from ``root``, sorted."""
    folder = real_directory(root, directory)
    try:
        names = configuration_names(folder)
    except OSError as failure:
        return {}, [error("Directory not readable", f"{folder} cannot be read: {failure.strerror}.")]
    files: dict[str, str] = {}
    found: list[Diagnostic] = []
    for name in names:
        path = os.path.join(folder, name)
        shown = posixpath.normpath(posixpath.join(directory, name))
        if os.path.exists(path) and not os.path.isfile(path):
            # reading a pipe would wait for ever
            found.append(error("File not readable", f"{shown} cannot be read: it is no regular file."))
            continue
        content, problem = read_text(path, shown)
        if problem is not None:
            found.append(problem)
        else:
            files[shown] = content
    return files, found


def read_text(path: str, name: str) -> tuple[str, Diagnostic | None]:
    """The UTF-8 text of a file, or why it cannot be had."""
    try:
        if os.path.getsize(path) > MAX_FILE_BYTES:
            return "", error("File too large", f"{name} is larger than {MAX_FILE_BYTES >> 20} MiB.")
        with open(path, "rb") as file:
            return file.read().decode("utf-8"), None
    except OSError as failure:
        why = failure.strerror
        if os.path.islink(path) and not os.path.exists(path):
            why = f"it is a link to {os.readlink(path)}, and there is no such file"
        return "", error("File not readable", f"{name} cannot be read: {why}.")
    except UnicodeDecodeError as failure:
        return "", error(
            "Invalid character encoding",
            f"{name} is not UTF-8 text: byte {failure.start + 1} cannot be read. Save the file as UTF-8.",
        )


class Texts(Protocol):
    """Where a configuration's texts come from."""

    def of(self, directory: str) -> tuple[dict[str, str], list[Diagnostic]]:
        """The texts of a directory's configuration files, by name from the root."""

    def exists(self, directory: str) -> bool:
        """Whether there is such a directory."""

    def single(self, name: str) -> str | None:
        """One file's text, None where there is none."""


class Disk:
    """Texts of files below and beside ``root``."""

    def __init__(self, root: str) -> None:
        self.root = root

    def of(self, directory: str) -> tuple[dict[str, str], list[Diagnostic]]:
        """See :class:`Texts`."""
        return read_files(self.root, directory)

    def exists(self, directory: str) -> bool:
        """See :class:`Texts`."""
        return os.path.isdir(real_directory(self.root, directory))

    def single(self, name: str) -> str | None:
        """See :class:`Texts`."""
        path = os.path.join(self.root, name)
        if not os.path.isfile(path):
            return None
        text, problem = read_text(path, name)
        return None if problem is not None else text


class Carried:
    """Texts that are given, as in a plan."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = files
        self._by_directory: dict[str, dict[str, str]] = {}
        for name in sorted(files):
            if is_configuration(posixpath.basename(name)):
                self._by_directory.setdefault(posixpath.dirname(name) or ".", {})[name] = files[name]

    def of(self, directory: str) -> tuple[dict[str, str], list[Diagnostic]]:
        """See :class:`Texts`."""
        return self._by_directory.get(directory, {}), []

    def exists(self, directory: str) -> bool:
        """See :class:`Texts`."""
        return directory in self._by_directory

    def single(self, name: str) -> str | None:
        """See :class:`Texts`."""
        return self.files.get(name)
