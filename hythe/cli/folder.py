"""The working folder ``.hythe``: what Hythe keeps beside a configuration, for its own use."""

from __future__ import annotations

import os

from hythe.cli.context import Cli, fail
from hythe.files import WORKING_FOLDER as FOLDER
from hythe.files import make_working_folder, replace_file

WORKSPACE_FILE = "workspace"
WORKSPACE_VARIABLE = "HYTHE_WORKSPACE"


def make_folder(root: str) -> None:
    """Make it where it is not there yet. Raises DiagnosticError."""
    try:
        make_working_folder(root)
    except OSError as failure:
        raise _not_writable(os.path.join(root, FOLDER), failure) from None


def read_kept(root: str, name: str) -> bytes | None:
    """A file of the folder, None when it is not there. Raises DiagnosticError."""
    path = os.path.join(root, FOLDER, name)
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as failure:
        raise fail("Working folder not readable", f"{path} cannot be read: {failure.strerror}.") from None


def keep(root: str, name: str, data: bytes) -> None:
    """Put a file into the folder by atomic replace, readable only by its owner. Raises DiagnosticError."""
    make_folder(root)
    path = os.path.join(root, FOLDER, name)
    try:
        replace_file(path, data)
    except OSError as failure:
        raise _not_writable(path, failure) from None


def drop(root: str, name: str) -> None:
    """Take a file out of the folder, if it is there. Raises DiagnosticError."""
    path = os.path.join(root, FOLDER, name)
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as failure:
        raise _not_writable(path, failure) from None


def _not_writable(path: str, failure: OSError) -> Exception:
    return fail(
        "Working folder not writable", f"{path} cannot be written: {failure.strerror}. Hythe keeps its files there."
    )


def chosen_workspace(cli: Cli) -> tuple[str, bool]:
    """The workspace to work in, and whether the environment names it, which wins. Raises DiagnosticError."""
    from hythe.state.backends.base import DEFAULT_WORKSPACE

    given = cli.environment.get(WORKSPACE_VARIABLE, "")
    if given:
        check_workspace_name(given, f"the environment variable {WORKSPACE_VARIABLE}")
        return given, True
    data = read_kept(cli.root, WORKSPACE_FILE)
    name = (data or b"").decode(errors="replace").strip()
    if not name:
        return DEFAULT_WORKSPACE, False
    check_workspace_name(name, os.path.join(FOLDER, WORKSPACE_FILE))
    return name, False


def check_workspace_name(name: str, origin: str = "") -> None:
    """Refuse what cannot name a workspace: it becomes a part of paths and addresses. Raises DiagnosticError."""
    import re

    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,89}", name):
        return
    where = f", from {origin}," if origin else ""
    raise fail(
        "Invalid workspace name",
        f'"{name}"{where} cannot name a workspace: a name holds at most 90 letters, digits, underscores, dashes and '
        "dots, and begins with none of the last two.",
    )
