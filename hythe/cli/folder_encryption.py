"""The encryption of the folder that a command works in: its settings, and what they are evaluated in.

Cheap where there are no such settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hythe.cli.context import Cli, raise_errors
from hythe.diagnostic import Diagnostic, DiagnosticError

if TYPE_CHECKING:
    from hythe.cli.encryption import Encryption
    from hythe.modules.config import Config
    from hythe.modules.language.scope import Scope
    from hythe.value import Value

ENVIRONMENT = "HYTHE_ENCRYPTION"


def _is_configured(cli: Cli, config: Config) -> bool:
    return config.settings.encryption is not None or bool(cli.environment.get(ENVIRONMENT, "").strip())


def read_folder(root: str) -> Config:
    """The configuration as far as it can be read. Raises DiagnosticError where that may be too little."""
    from hythe.modules.loader import load

    config, found = load(root)
    # what cannot be read may be the encryption block, and without it all would be written in clear
    if config.settings.encryption is None and any("encryption" in text for text in config.files.values()):
        raise_errors(found)
    return config


def encryption_of(
    cli: Cli,
    config: Config,
    inputs: Sequence[tuple[str, str]],
    values: Mapping[str, Value] | None,
    workspace: str,
) -> Encryption | None:
    """What seals the states and plans of a folder, None where nothing does.

    ``values`` are those of the root variables; where they are not known
    yet, they are taken from ``inputs``, files and the environment, and it does no harm if some have none. Raises
    DiagnosticError.
    """
    if not _is_configured(cli, config):
        return None
    from hythe.cli.encryption import open_encryption

    problems: list[Diagnostic] = []
    scope = _scope(cli, config, inputs, values, workspace, problems)
    try:
        return open_encryption(cli, config, scope)
    except DiagnosticError as failure:
        # a file of variables that cannot be read may be why
        raise DiagnosticError(*problems, *failure.diagnostics) from None


def _scope(
    cli: Cli,
    config: Config,
    inputs: Sequence[tuple[str, str]],
    values: Mapping[str, Value] | None,
    workspace: str,
    problems: list[Diagnostic],
) -> Scope:
    from hythe.cli.variables import environment_of
    from hythe.modules import settings, variables

    if values is None:
        given, found = variables.collect(config, inputs, cli.environment)
        problems += [d for d in found if d.is_error]
        declared = sorted(config.module.variables.items())
        # those that are missing are told of where the settings need them
        values = {name: variables.resolve_one(block, given.get(name), []) for name, block in declared}
    return settings.static_scope(config, values, environment_of(config.root), workspace, [])


def check(cli: Cli, config: Config) -> list[Diagnostic]:
    """What is wrong with the settings as they are written."""
    if not _is_configured(cli, config):
        return []
    from hythe.modules.encryption import read_settings

    return read_settings(config.settings.encryption, cli.environment.get(ENVIRONMENT, ""))[1]


def without_keys(cli: Cli, config: Config) -> Config:
    """The configuration, told that plans do not carry the variables that keys are made of."""
    if not _is_configured(cli, config):
        return config
    from hythe.modules.encryption import withheld

    return replace(config, withheld=withheld(config, cli.environment.get(ENVIRONMENT, "")))
