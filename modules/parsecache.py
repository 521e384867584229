"""Syntax trees kept between runs, so that a large configuration that has not changed is not parsed again.

Each entry is a file in ``.hythe/cache``. Its name is a digest of the text and of all that makes a tree from it: this
program's own source and the Python that runs it. A configuration folder may come from elsewhere, with a cache that
somebody made up, so an entry counts only with a code that needs this user's key, which is kept in the user's own cache
folder. Whatever cannot be read or written, or looks odd in any way, is as if it were not there.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import marshal
import os
import re
import stat
import sys
import time
from functools import cache

from hythe import __version__, value
from hythe.diagnostic import Diagnostic
from hythe.files import SCRATCH, WORKING_FOLDER, make_working_folder, replace_file, write_scratch
from hythe.modules import syntax
from hythe.modules.syntax.tree import Body, Source

LEAST_CHARACTERS = 16 * 1024
"""Smaller texts are parsed faster than it pays to keep anything."""
MAX_TOTAL = 64 * 1024 * 1024
"""Bytes of all entries together; an entry takes about four times the bytes of its text."""

_ENTRY = re.compile(r"[0-9a-f]{64}")
_ABANDONED = 3600
_CODE_BYTES = 32
_KEY_BYTES = 32
# an entry is what this program has packed, so this is for mistakes of its own
_UNREADABLE = (ValueError, TypeError, EOFError, KeyError, IndexError, RecursionError)


class ParseCache:
    """The trees of one project's files."""

    def __init__(self, root: str) -> None:
        self.root = root

    def parse(self, text: str, filename: str) -> tuple[Body, list[Diagnostic]]:
        """As :func:`hythe.modules.syntax.parse_file`."""
        if len(text) < LEAST_CHARACTERS:
            return syntax.parse_file(text, filename)
        key, grammar = user_key(self.root), grammar_digest()
        if key is None or grammar is None:
            return syntax.parse_file(text, filename)
        name = _name(text, filename, grammar)
        body = self._read(name, key, Source(filename, text))
        if body is not None:
            return body, []
        body, found = syntax.parse_file(text, filename)
        if not found:
            self._write(name, key, body)
        return body, found

    @property
    def _folder(self) -> str:
        return os.path.join(self.root, WORKING_FOLDER, "cache")

    def _read(self, name: str, key: bytes, source: Source) -> Body | None:
        from hythe.modules.syntax.packed import unpack

        data = _read_own(os.path.join(self._folder, name), MAX_TOTAL)
        if data is None:
            return None
        code, content = data[:_CODE_BYTES], data[_CODE_BYTES:]
        if not hmac.compare_digest(code, _code(name, key, content)):
            return None
        syntax.allow_depth()
        try:
            return unpack(content, source)
        except _UNREADABLE:
            return None

    def _write(self, name: str, key: bytes, body: Body) -> None:
        from hythe.modules.syntax.packed import pack

        content = pack(body)
        if content is None or len(content) > MAX_TOTAL // 2:
            return
        with contextlib.suppress(OSError):
            if os.path.isdir(self.root):
                make_working_folder(self.root)
                os.makedirs(self._folder, mode=0o700, exist_ok=True)
                if _own_folder(self._folder):
                    data = _code(name, key, content) + content
                    replace_file(os.path.join(self._folder, name), data, durable=False)
                    _make_room(self._folder)


def _name(text: str, filename: str, grammar: bytes) -> str:
    form = b"json" if filename.endswith(".json") else b"hcl"
    made = hashlib.sha256(b"%s\0%s\0" % (grammar, form))
    made.update(text.encode("utf-8", "surrogatepass"))
    return made.hexdigest()


def _code(name: str, key: bytes, content: bytes) -> bytes:
    made = hashlib.blake2b(name.encode(), key=key, digest_size=_CODE_BYTES)
    made.update(content)
    return made.digest()


@cache
def grammar_digest() -> bytes | None:
    """A digest of all that decides which tree a text has; None when that cannot be told."""
    python = f"{__version__} {sys.implementation.name} {sys.version} {marshal.version}"
    made = hashlib.sha256(python.encode())
    folder = os.path.dirname(syntax.__file__)
    try:
        names = [os.path.join(folder, n) for n in sorted(os.listdir(folder)) if n.endswith(".py")]
        # without source, as from an archive, there is nothing that would change with the parser
        if not names:
            return None
        for path in (*names, value.__file__):
            with open(path, "rb") as file:
                made.update(hashlib.sha256(file.read()).digest())
    except OSError:
        return None
    return made.digest()


# -- the user's key ---------------------------------------------------------------------------------------------------


def user_key(root: str) -> bytes | None:
    """This user's key, made when there is none; None where none can be kept, or only inside the project."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = os.path.realpath(os.path.join(base, "hythe"))
    if not os.path.isabs(base) or os.path.commonpath([folder, os.path.realpath(root)]) == os.path.realpath(root):
        return None
    path = os.path.join(folder, "parse.key")
    key = _read_own(path, _KEY_BYTES)
    if key is None and not os.path.lexists(path):
        with contextlib.suppress(OSError):
            os.makedirs(folder, mode=0o700, exist_ok=True)
            _create(path, os.urandom(_KEY_BYTES))
        key = _read_own(path, _KEY_BYTES)
    return key if key is not None and len(key) == _KEY_BYTES else None


# -- files of one's own -----------------------------------------------------------------------------------------------


def _read_own(path: str, most: int) -> bytes | None:
    """A plain file that is this user's and nobody else's to read or write; None for anything else."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        told = os.fstat(handle)
        if not (stat.S_ISREG(told.st_mode) and _own(told) and told.st_size <= most):
            return None
        with open(handle, "rb", closefd=False) as file:
            data = file.read()
        with contextlib.suppress(OSError):
            os.utime(handle)  # what was used last is dropped last
        return data
    except OSError:
        return None
    finally:
        os.close(handle)


def _own(told: os.stat_result) -> bool:
    return told.st_uid == os.geteuid() and not told.st_mode & 0o077


def _own_folder(path: str) -> bool:
    told = os.lstat(path)
    return stat.S_ISDIR(told.st_mode) and _own(told)


def _create(path: str, data: bytes) -> None:
    """Write a file at once where there is none; of two who do so, both find the first one's. Raises OSError."""
    scratch = write_scratch(path, data, durable=False)
    try:
        os.link(scratch, path)
    finally:
        os.unlink(scratch)


def _make_room(folder: str) -> None:
    """Drop what was not used for longest, and what killed runs left. Raises OSError."""
    entries = []
    for entry in os.scandir(folder):
        told = entry.stat(follow_symlinks=False)
        if _ENTRY.fullmatch(entry.name):
            entries.append((told.st_mtime, told.st_size, entry.path))
        elif entry.name.startswith(SCRATCH) and time.time() - told.st_mtime > _ABANDONED:
            os.unlink(entry.path)
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= MAX_TOTAL:
            return
        os.unlink(path)
        total -= size
