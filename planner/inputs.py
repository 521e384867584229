"""Reading files for evaluation, and remembering what was read.

Pure steps read files only through a :class:`RecordingReader`; the digests go into the plan, and apply
refuses to run when one of the files has changed since.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
from collections.abc import Mapping

from hythe.diagnostic import Diagnostic, error

MAX_BYTES = 256 * 1024 * 1024
_ABSENT, _PRESENT = "absent", "present"
_SEP = "\0"  # the one character that neither paths nor patterns hold


class RecordingReader:
    """Implements :class:`hythe.provider.protocol.Reader` on real files below ``root``.

    Every answer is given once and remembered, so that one plan sees one content of a file.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.inputs: dict[str, str] = {}
        self._contents: dict[str, bytes] = {}
        self._digests: dict[tuple[str, str | None], str] = {}
        self._lock = threading.Lock()

    def path(self, path: str) -> str:
        """The absolute path of one given relative to the configuration."""
        return os.path.normpath(os.path.join(self.root, os.path.expanduser(path)))

    def read(self, path: str) -> bytes:
        """The content of a file. Raises OSError."""
        full = self.path(path)
        with self._lock:
            known = self._contents.get(full)
            if known is not None:
                return known
            try:
                info = os.stat(full)
            except FileNotFoundError:
                self.inputs.setdefault(f"file:{full}", _ABSENT)
                raise
            _require_regular(info.st_mode, full)
            if info.st_size > MAX_BYTES:
                raise OSError(27, f"File larger than {MAX_BYTES >> 20} MiB", full)
            with open(full, "rb") as file:
                content = file.read()
            self._contents[full] = content
            self.inputs[f"file:{full}"] = "sha256:" + hashlib.sha256(content).hexdigest()
            return content

    def exists(self, path: str) -> bool:
        """Whether a regular file is there. Raises OSError when something else is."""
        full = self.path(path)
        try:
            mode = os.stat(full).st_mode
        except FileNotFoundError:
            self.inputs.setdefault(f"exists:{full}", _ABSENT)
            return False
        _require_regular(mode, full)
        self.inputs.setdefault(f"exists:{full}", _PRESENT)
        return True

    def glob(self, base: str, pattern: str) -> list[str]:
        """Regular files below ``base`` that match; ``**`` spans folders, ``{a,b}`` alternatives."""
        full = self.path(base)
        names = _matching(full, pattern)
        self.inputs[f"glob:{full}{_SEP}{pattern}"] = _digest_names(names)
        return names

    def digest(self, path: str, ignore_file: str | None = None) -> str:
        """``sha256:...`` over a file, or over a tree's names, modes and contents. Raises OSError."""
        full = self.path(path)
        key = (full, ignore_file)
        found = self._digests.get(key)
        if found is None:
            found = _digest(full, ignore_file)
            self._digests[key] = found
            self.inputs[f"digest:{full}{_SEP}{ignore_file or ''}"] = found
        return found


def _require_regular(mode: int, path: str) -> None:
    """Folders cannot be read, and pipes and devices may never end. Raises OSError."""
    if not stat.S_ISREG(mode):
        raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL, "not a regular file", path)


def _digest_names(names: list[str]) -> str:
    return "sha256:" + hashlib.sha256("\0".join(names).encode(errors="surrogateescape")).hexdigest()


def _walk(root: str) -> list[str]:
    out: list[str] = []
    for folder, folders, files in os.walk(root):
        folders.sort()
        relative = os.path.relpath(folder, root)
        for name in files:
            if os.path.isfile(os.path.join(folder, name)):
                out.append(name if relative == "." else f"{relative}/{name}")
    return sorted(out)


def _matching(root: str, pattern: str) -> list[str]:
    from hythe.modules.language.functions.globbing import compile_pattern

    matches = compile_pattern(pattern).fullmatch
    return [name for name in _walk(root) if matches(name)]


def _ignored(root: str, ignore_file: str | None) -> list[str]:
    if ignore_file is None:
        return []
    try:
        with open(os.path.join(root, ignore_file), encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file]
    except FileNotFoundError:
        return []
    return [line for line in lines if line and not line.startswith("#")]


def _tree(root: str, ignore_file: str | None) -> list[str]:
    patterns = _ignored(root, ignore_file)
    if patterns:
        # the engine's own reading of .dockerignore: what is sent is what is hashed
        from docker.utils.build import exclude_paths

        return sorted(p for p in exclude_paths(root, patterns) if p)
    out: list[str] = []
    for folder, folders, files in os.walk(root):
        relative = os.path.relpath(folder, root)
        out += [name if relative == "." else f"{relative}/{name}" for name in (*folders, *files)]
    return sorted(out)


def _digest(path: str, ignore_file: str | None) -> str:
    total = hashlib.sha256()
    if not os.path.isdir(path):
        _require_regular(os.stat(path).st_mode, path)
        _add_content(total, path)
        return "sha256:" + total.hexdigest()
    for name in _tree(path, ignore_file):
        full = os.path.join(path, name)
        info = os.lstat(full)
        total.update(
            f"{name}\0{stat.S_IMODE(info.st_mode):o}\0{stat.S_IFMT(info.st_mode):o}\0".encode(errors="surrogateescape")
        )
        if stat.S_ISLNK(info.st_mode):
            total.update(os.readlink(full).encode(errors="surrogateescape"))
        elif stat.S_ISREG(info.st_mode):
            _add_content(total, full)
        total.update(b"\0")
    return "sha256:" + total.hexdigest()


def _add_content(total: hashlib._Hash, path: str) -> None:
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            total.update(piece)


def verify(inputs: Mapping[str, str]) -> list[Diagnostic]:
    """What changed among the files that a plan had read."""
    changed: list[str] = []
    for key, then in sorted(inputs.items()):
        sort, _, rest = key.partition(":")
        try:
            now = _current(sort, rest)
        except OSError:
            now = _ABSENT
        if now != then:
            changed.append(rest.partition(_SEP)[0])
    if not changed:
        return []
    changed = list(dict.fromkeys(changed))
    shown = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
    return [
        error(
            "Stale plan",
            f"Files that this plan was made from have changed since: {shown}. Make a new plan.",
        )
    ]


def _current(sort: str, rest: str) -> str:
    if sort == "file":
        with open(rest, "rb") as file:
            return "sha256:" + hashlib.sha256(file.read()).hexdigest()
    if sort == "exists":
        return _PRESENT if os.path.isfile(rest) else _ABSENT
    base, _, detail = rest.partition(_SEP)
    if sort == "glob":
        return _digest_names(_matching(base, detail))
    return _digest(base, detail or None)
