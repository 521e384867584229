"""Arguments of the ``file`` kind."""

from __future__ import annotations

import base64
import binascii
import posixpath
import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, model_validator

from hythe.provider.container.place import HostReference, host_argument
from hythe.provider.schema import Effect, Model, attr

CONTENT = ("content", "content_base64", "sensitive_content", "source")
"""The arguments that say what is in the file; exactly one is given."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?|\d+")


def _path(value: str) -> str:
    if not value.startswith("/") or "\0" in value:
        raise ValueError(
            f'"{value}" is not an absolute path: begin it with "/" (abspath() makes one of a path that is relative '
            "to the configuration)"
        )
    if value.endswith("/"):
        raise ValueError(f'"{value}" names a folder: name a file in it')
    return posixpath.normpath(value)


def mode_bits(value: object) -> str:
    """A mode in its one spelling, four octal digits. Raises ValueError."""
    if not isinstance(value, str) or not re.fullmatch(r"0?o?[0-7]{3,4}", value):
        raise ValueError(f'{value!r} is not a mode: write it in quotes with octal digits, like "0644"')
    return f"{int(value.lstrip('0o') or '0', 8):04o}"


def _base64(value: str) -> str:
    try:
        return base64.b64encode(base64.b64decode(value, validate=True)).decode()
    except binascii.Error as failure:
        raise ValueError(f"this is not base64: {failure}") from failure


def _account(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(f'"{value}" is neither the name nor the number of a user or group')
    return value


Account = Annotated[str, AfterValidator(_account)]


class FileModel(Model):
    """A file on a host."""

    path: Annotated[str, AfterValidator(_path)] = attr(..., description="Where the file is: an absolute path.")
    content: str | None = attr(description="Its content as text.", effect=Effect.LIVE)
    content_base64: Annotated[str, AfterValidator(_base64)] | None = attr(
        description="Its content as base64, for what is no text.", effect=Effect.LIVE
    )
    sensitive_content: str | None = attr(
        description="Its content as text that is never shown.", effect=Effect.LIVE, sensitive=True
    )
    source: str | None = attr(
        description="A file that it is copied from, relative to the configuration.", effect=Effect.LIVE
    )
    mode: Annotated[str, BeforeValidator(mode_bits)] | None = attr(
        description='Permissions as octal text. By default "0644", and "0600" with sensitive content.',
        effect=Effect.LIVE,
    )
    owner: Account | None = attr(
        description="User that owns it, by name or number. By default who runs Hythe.",
        effect=Effect.LIVE,
        engine_default=True,
    )
    group: Account | None = attr(
        description="Group that owns it, by name or number. By default that of who runs Hythe.",
        effect=Effect.LIVE,
        engine_default=True,
    )
    create_folders: bool = attr(
        True,
        description="Whether folders above it are made when they are missing. They are removed with it when empty.",
        effect=Effect.LIVE,
    )
    overwrite: bool = attr(
        False,
        description="Whether a file that is there already, made by somebody else, may be replaced.",
        effect=Effect.LIVE,
    )
    host: HostReference = host_argument()
    source_hash: str | None = attr(description="Digest of what `source` holds.", computed=True, effect=Effect.LIVE)
    folders: list[str] | None = attr(description="Folders that were made for it.", computed=True)

    @model_validator(mode="after")
    def _one_content(self) -> FileModel:
        given = [name for name in CONTENT if getattr(self, name) is not None]
        if len(given) != 1:
            found = f"{' and '.join(given)} are given" if given else "none is given"
            raise ValueError(f"exactly one of {', '.join(CONTENT)} is needed, and {found}")
        return self


class FileData(Model):
    """An existing file."""

    path: Annotated[str, AfterValidator(_path)] = attr(..., description="Where the file is: an absolute path.")
    host: HostReference = host_argument()
    content: str | None = attr(description="Its content, when it is text in UTF-8.", computed=True)
    content_base64: str | None = attr(description="Its content as base64.", computed=True)
    mode: str | None = attr(description="Permissions as octal text.", computed=True)
    owner: str | None = attr(description="User that owns it.", computed=True)
    group: str | None = attr(description="Group that owns it.", computed=True)
    hash: str | None = attr(description="`sha256:...` over its content.", computed=True)
