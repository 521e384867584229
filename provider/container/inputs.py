"""Files that arguments name: where they are, and their digests for planning."""

from __future__ import annotations

import os

from hythe.diagnostic import Diagnostic, error
from hythe.provider.protocol import PrepareContext


def located(base_dir: str, path: str) -> str:
    """The absolute path of one given relative to the configuration's folder; ``~`` is the user's home."""
    return os.path.normpath(os.path.join(base_dir, os.path.expanduser(path)))


def digest(
    context: PrepareContext, path: str, what: str, ignore_file: str | None = None
) -> tuple[str | None, list[Diagnostic]]:
    """The content's digest, or why there is none. ``what`` names the argument, like ``seed.source``."""
    full = located(context.base_dir, path)
    try:
        return context.reader.digest(full, ignore_file), []
    except OSError as failure:
        return None, [unreadable(what, path, full, failure)]


def unreadable(what: str, path: str, full: str, failure: OSError) -> Diagnostic:
    """The diagnostic of a file that an argument names and that cannot be read."""
    if isinstance(failure, FileNotFoundError):
        return error(
            "File not found",
            f'`{what}` names "{path}", and there is nothing at {full}. Paths are relative to the folder of the '
            "configuration; check how it is written.",
        )
    return error(
        "File not readable",
        f'`{what}` names "{path}", and reading {failure.filename or full} failed: {failure.strerror or failure}.',
    )
