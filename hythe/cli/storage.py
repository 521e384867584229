"""From settings to the place where state is kept."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hythe.cli.context import Cli
from hythe.diagnostic import Diagnostic, DiagnosticError

if TYPE_CHECKING:
    from hythe.modules.config import Config, SettingsBlock
    from hythe.state.backends.base import Storage

DEFAULT_STATE = "hythe.state.json"


def open_storage(cli: Cli, config: Config | None, given_path: str | None) -> Storage:
    """The place that the settings name; ``given_path`` (--state) is a file all the same. Raises DiagnosticError."""
    from hythe.state.backends.local import LocalStorage

    block = config.settings.backend if config is not None else None
    path = given_path
    if path is None and block is not None and block.label == "http":
        return _http(cli, block)
    if path is None and block is not None:
        path = _local_path(cli, block)
    return LocalStorage(os.path.join(cli.root, os.path.expanduser(path or DEFAULT_STATE)))


def _local_path(cli: Cli, block: SettingsBlock) -> str | None:
    from hythe.modules.blocks import check_shape, text

    found: list[Diagnostic] = []
    check_shape(block.body, 'The backend "local"', ("path",), (), found)
    path = text(block.body, "path", found)
    if found:
        raise DiagnosticError(*found)
    return path


def _http(cli: Cli, block: SettingsBlock) -> Storage:
    from pydantic import ValidationError

    from hythe.cli.logs_setup import remember_secrets
    from hythe.diagnostic import error
    from hythe.modules.language.functions.registry import Environment
    from hythe.modules.language.scope import Scope
    from hythe.modules.settings import evaluate_arguments
    from hythe.state.backends import http

    found: list[Diagnostic] = []
    values = evaluate_arguments(block.body, Scope({}, Environment(), diagnostics=found))
    if found:
        raise DiagnosticError(*found)
    try:
        settings = http.Settings.model_validate(values)
    except ValidationError as failure:
        names = ", ".join(str(e["loc"][0]) for e in failure.errors())
        raise DiagnosticError(error("Invalid backend", f"Check {names}.", block.range)) from None
    storage = http.open_storage(settings, cli.root, cli.environment)
    remember_secrets(storage.secrets)
    return storage
