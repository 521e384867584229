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
    if path is None and block is not None and block.label == "pg":
        return _open_pg(cli, block)
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


def _open_pg(cli: Cli, block: SettingsBlock) -> Storage:
    from pydantic import ValidationError

    from hythe.cli.context import fail
    from hythe.modules.blocks import static_text
    from hythe.modules.syntax.tree import Literal
    from hythe.state.backends.pg import Settings, open_storage

    values = {name: attribute.expression for name, attribute in block.body.attributes.items()}
    given = {n: v.value if isinstance(v, Literal) else static_text(v) for n, v in values.items()}
    try:
        settings = Settings.model_validate(given)
    except ValidationError as failure:
        names = ", ".join(sorted({str(e["loc"][0]) for e in failure.errors() if e["loc"]}))
        raise fail("Invalid backend setting", f'The backend "pg" does not take {names} like that.') from None
    return open_storage(settings, cli.root, cli.environment)
