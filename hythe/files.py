"""Files of Hythe's own, as every room writes them: whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile

WORKING_FOLDER = ".hythe"
"""What Hythe keeps beside a configuration and can make again."""
SCRATCH = ".new-"
"""How the names of files begin that are not whole yet; a killed run leaves them behind."""
_IGNORE = "# Hythe's working folder: nothing in it belongs into version control.\n*\n"


def replace_file(path: str, data: bytes, mode: int = 0o600, *, durable: bool = True) -> None:
    """Put ``data`` at ``path`` at once, in place of what is there.

    Whatever fails or is killed, what was there stays. ``durable``: it survives a power failure when this returns.
    Raises OSError.
    """
    scratch = write_scratch(path, data, mode, durable=durable)
    try:
        os.replace(scratch, path)
        if durable:
            sync_folder(path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(scratch)
        raise


def write_scratch(path: str, data: bytes, mode: int = 0o600, *, durable: bool = True) -> str:
    """Write ``data`` into a new file beside ``path``; gives its path. Leaves none behind when it raises OSError."""
    handle, scratch = tempfile.mkstemp(dir=os.path.dirname(os.path.abspath(path)), prefix=SCRATCH)
    try:
        with open(handle, "wb") as file:
            os.fchmod(handle, mode)
            file.write(data)
            if durable:
                file.flush()
                os.fsync(handle)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(scratch)
        raise
    return scratch


def sync_folder(path: str) -> None:
    """Make the names in the folder that ``path`` is in durable. Raises OSError."""
    folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def make_working_folder(root: str) -> str:
    """The working folder below ``root``, made where it is not there yet. Raises OSError."""
    folder = os.path.join(root, WORKING_FOLDER)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    ignore = os.path.join(folder, ".gitignore")
    if not os.path.exists(ignore):
        with open(ignore, "w", encoding="utf-8") as file:
            file.write(_IGNORE)
    return folder
