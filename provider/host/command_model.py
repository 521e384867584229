"""Arguments of the ``command`` kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, model_validator

from hythe.provider.container.place import HostReference, host_argument
from hythe.provider.schema import Duration, Effect, Model, attr
from hythe.provider.units import duration_seconds

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LOGIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def _script(value: Any) -> str | list[str]:
    """A program with its arguments, or a script for ``sh``."""
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("this is empty: write a script, or a list of a program and its arguments")
        return _no_nul(value)
    if isinstance(value, (list, tuple)) and value:
        words = [_word(word) for word in value]
        if words[0]:
            return words
    raise ValueError(
        'write a script for `sh` as text, or a program with its arguments as a list, like ["systemctl", "restart", "x"]'
    )


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return str(value)
    if isinstance(value, str):
        return _no_nul(value)
    raise ValueError("each word of the list must be text")


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("a command cannot hold the character NUL")
    return value


def _environment(value: Mapping[str, str]) -> Mapping[str, str]:
    for name, text in value.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f'"{name}" is not the name of an environment variable')
        _no_nul(text)
    return value


def _login(value: str) -> str:
    if not _LOGIN.fullmatch(value):
        raise ValueError(f'"{value}" is not the name of a user')
    return value


def _folder(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError(f'"{value}" is not an absolute path: begin it with "/"')
    return _no_nul(value)


def _codes(value: list[int]) -> list[int]:
    if not value or any(not 0 <= code <= 255 for code in value):
        raise ValueError("write one or more codes from 0 to 255")
    return sorted(set(value))


def _positive(value: str) -> str:
    if duration_seconds(value) <= 0:
        raise ValueError("it must be longer than nothing")
    return value


Script = Annotated[Any, BeforeValidator(_script)]
Environment = Annotated[dict[str, str], AfterValidator(_environment)]
Folder = Annotated[str, AfterValidator(_folder)]
Login = Annotated[str, AfterValidator(_login)]
Codes = Annotated[list[int], AfterValidator(_codes)]
Limit = Annotated[Duration, AfterValidator(_positive)]

_TIMEOUT = "30m"


class CommandModel(Model):
    """A command on a host."""

    create: Script = attr(
        ...,
        description="What brings about what is wanted: a program with its arguments as a list, or a script for `sh` as "
        "text. It must do no harm when it is run again.",
        effect=Effect.LIVE,
    )
    check: Script | None = attr(
        description="Ends with code 0 when everything is as it should be. Each plan runs it, so it must change "
        "nothing; with any other code `create` is run again. Without it `create` is run once, and again when its "
        "arguments change.",
        effect=Effect.LIVE,
    )
    update: Script | None = attr(
        description="What is run in place of `create` when arguments change. By default `create`.", effect=Effect.LIVE
    )
    delete: Script | None = attr(
        description="What takes it back, when the resource is removed or replaced. By default nothing.",
        effect=Effect.LIVE,
    )
    triggers: dict[str, str] | None = attr(
        description="Any values: when one changes, `delete` and then `create` are run."
    )
    environment: Environment | None = attr(description="Environment variables.", effect=Effect.LIVE)
    sensitive_environment: Environment | None = attr(
        description="Environment variables whose values are never shown, in its output neither.",
        effect=Effect.LIVE,
        sensitive=True,
    )
    stdin: str | None = attr(description="What `create` and `update` read on standard input.", effect=Effect.LIVE)
    directory: Folder | None = attr(description="Folder in which it is run: an absolute path.", effect=Effect.LIVE)
    user: Login | None = attr(
        description="User as whom it is run. By default who is logged in; for others root, or sudo without a password, "
        "is needed.",
        effect=Effect.LIVE,
    )
    timeout: Limit = attr(_TIMEOUT, description="How long each run may take.", effect=Effect.LIVE)
    exit_codes: Codes | None = attr(
        description="Exit codes of `create`, `update` and `delete` that mean success. By default `[0]`.",
        effect=Effect.LIVE,
    )
    host: HostReference = host_argument()
    stdout: str | None = attr(
        description="What the last `create` or `update` printed on standard output, at most its last MiB.",
        computed=True,
        volatile=True,
        effect=Effect.LIVE,
    )
    exit_code: int | None = attr(
        description="The exit code of the last `create` or `update`.", computed=True, volatile=True, effect=Effect.LIVE
    )

    @model_validator(mode="after")
    def _one_value(self) -> CommandModel:
        twice = sorted(set(self.environment or ()) & set(self.sensitive_environment or ()))
        if twice:
            raise ValueError(f"`environment` and `sensitive_environment` both set {', '.join(twice)}")
        return self


class CommandData(Model):
    """What a command prints."""

    read: Script = attr(
        ...,
        description="What is run, as a list or as a script for `sh`. Each plan runs it, so it must change nothing.",
    )
    environment: Environment | None = attr(description="Environment variables.")
    sensitive_environment: Environment | None = attr(
        description="Environment variables whose values are never shown.", sensitive=True
    )
    stdin: str | None = attr(description="What it reads on standard input.")
    directory: Folder | None = attr(description="Folder in which it is run: an absolute path.")
    user: Login | None = attr(description="User as whom it is run. By default who is logged in.")
    timeout: Limit = attr("1m", description="How long it may take.")
    exit_codes: Codes | None = attr(description="Exit codes that mean success. By default `[0]`.")
    host: HostReference = host_argument()
    stdout: str | None = attr(description="What it printed on standard output.", computed=True)
    exit_code: int | None = attr(description="Its exit code.", computed=True)
