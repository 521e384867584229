"""When Hythe itself is wrong: a diagnostic and a report file, never a bare traceback."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
import traceback
from typing import TYPE_CHECKING

from hythe import __version__
from hythe.cli.logs_setup import masked
from hythe.diagnostic import error

if TYPE_CHECKING:
    from hythe.cli.context import Cli

FOLDER = ".hythe"


def _write(root: str, text: str) -> str | None:
    name = f"crash-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.getpid()}.log"
    for folder in (os.path.join(root, FOLDER), tempfile.gettempdir()):
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            path = os.path.join(folder, name)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            return path
        except OSError:
            continue
    return None


def report_crash(cli: Cli, command: str, failure: BaseException) -> None:
    """Say that this is a bug, and where the account of it is."""
    trace = "".join(traceback.format_exception(failure))
    head = f"hythe {__version__} {command}\nPython {sys.version}\n{platform.platform()}\n\n"
    path = _write(cli.root, masked(head + trace))
    where = f"What happened is written in {path}" if path else f"What happened:\n\n{masked(trace)}"
    said = masked(f"{type(failure).__name__}: {failure}").splitlines()[0][:300]
    cli.report(
        [
            error(
                "This is a bug in Hythe",
                f'The command "{command}" stopped because of a mistake in Hythe itself, not in your configuration '
                f"({said}). What was finished before is kept in the state. {where}; please report it with that file.",
            )
        ]
    )
