"""Whether a folder holds a configuration."""

from __future__ import annotations

import os

from hythe.cli.context import Cli, fail
from hythe.modules.files import configuration_names

_COMPOSE = {"compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"}


def has_configuration(cli: Cli) -> bool:
    """Whether the folder holds a configuration. Raises DiagnosticError when it cannot be listed."""
    try:
        return bool(configuration_names(cli.root))
    except OSError as failure:
        raise fail("Folder not readable", f"{cli.root} cannot be listed: {failure.strerror}.") from None


def require_folder(cli: Cli) -> None:
    """Refuse to work in a folder without configuration. Raises DiagnosticError."""
    if not has_configuration(cli):
        raise fail(
            "No configuration files",
            f"There is no configuration (*.hcl) in {cli.root}. Write one there, or name another folder with --chdir."
            + _others_files(cli.root),
        )


def _others_files(folder: str) -> str:
    """What to do about the configuration of another tool that is there, as sentences."""
    names = sorted(os.listdir(folder))
    found = next((n for n in names if n.endswith((".tf", ".tofu", ".tf.json"))), None)
    if found is not None:
        return (
            f" {found} is OpenTofu's. The language is the same here, the kinds are Hythe's own, and files end in .hcl: "
            "copy it, and `hythe validate` says what to write in place of what it does not know."
        )
    if not _COMPOSE.isdisjoint(names):
        return ' Compose files are not read: each service is a resource "container" here.'
    return ""
