"""The working folder ``.hythe`` of a project: what Hythe keeps beside the configuration and can make again."""

from __future__ import annotations

import os

FOLDER = ".hythe"
_IGNORE = "# Hythe's working folder: nothing in it belongs into version control.\n*\n"


def make_folder(root: str) -> str:
    """The working folder, made where it is not there yet. Raises OSError."""
    folder = os.path.join(root, FOLDER)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    ignore = os.path.join(folder, ".gitignore")
    if not os.path.exists(ignore):
        with open(ignore, "w", encoding="utf-8") as file:
            file.write(_IGNORE)
    return folder
