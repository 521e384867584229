"""The ``command`` kind: something that is done on a host by commands, and looked at by one.

A command's doing carries no mark; state alone knows of it. A creation that was cut short is done again, so commands
have to bear that, as they should.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import model_validator

from hythe.diagnostic import error
from hythe.provider.container.place import HostReference, host_argument
from hythe.provider.protocol import (
    Attributes,
    Completed,
    Context,
    Found,
    Hint,
    Host,
    Kind,
    Observed,
    Owned,
    Presence,
    ProviderError,
    ReadContext,
    ReadRequest,
)
from hythe.provider.schema import Duration, Effect, Model, Path, attr
from hythe.provider.units import duration_seconds

_LINES = 8
_KEPT = 64 << 10
"""Bytes of output that are kept."""


class CommandModel(Model):
    """Commands that bring something about on a host, and take it away again."""

    host: HostReference = host_argument()
    create: str = attr(
        ...,
        description="What is run to bring it about, by `sh`. Run again when it or `environment` changes, unless "
        "`update` is given.",
        effect=Effect.LIVE,
    )
    update: str | None = attr(description="What is run in place of `create` when it exists.", effect=Effect.LIVE)
    delete: str | None = attr(description="What is run to take it away.", effect=Effect.LIVE)
    check: str | None = attr(
        description="What is run to see whether it is there: with code 0 it is. Without it, it is believed to be.",
        effect=Effect.LIVE,
    )
    environment: dict[str, str] | None = attr(description="Environment variables.", effect=Effect.LIVE)
    secrets: dict[str, str] | None = attr(
        description="Environment variables that are not shown.", sensitive=True, effect=Effect.LIVE
    )
    directory: str | None = attr(description="Folder that it is run in.", effect=Effect.LIVE)
    stdin: str | None = attr(description="What it reads.", effect=Effect.LIVE)
    timeout: Duration = attr("10m", description="How long each may take.", effect=Effect.LIVE)
    triggers: dict[str, str] | None = attr(
        description="Values that, when one changes, have it taken away and done anew."
    )
    stdout: str | None = attr(description="What `create` or `update` printed.", computed=True, volatile=True)

    @model_validator(mode="after")
    def _named(self) -> CommandModel:
        for name in (*(self.environment or {}), *(self.secrets or {})):
            if not name.replace("_", "a").isalnum() or name[0].isdigit():
                raise ValueError(f'"{name}" is not the name of an environment variable')
        return self


class Command(Kind):
    """Something on a host that commands bring about.

    `check` is run at each plan: when it fails, `create` is run again. Without it the commands run once, and again when
    they change. `triggers` have it done anew.
    """

    name = "command"
    model = CommandModel
    unique_name = False

    def hint(self, path: Path, before: Any, after: Any, old: Attributes, new: Attributes) -> Hint | None:
        """Everything but triggers and the host is done in place."""
        return None

    def create(self, context: Context, desired: Attributes) -> Attributes:
        """Run ``create``, unless ``check`` finds it there, and look whether it is there now."""
        if desired.get("check") and _is_there(context.host, desired):
            return dict(desired)
        return self._bring_about(context, desired, "create")

    def update(self, context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
        """Run ``update``, or ``create`` where there is none, when what they are run with changes."""
        means = {"create", "update", "environment", "secrets", "directory", "stdin"}
        if not means.intersection(changed):
            return {**desired, **({"stdout": before["stdout"]} if before.get("stdout") else {})}
        return self._bring_about(context, desired, "update" if desired.get("update") else "create")

    def _bring_about(self, context: Context, desired: Attributes, which: str) -> Attributes:
        context.progress(f"running {which}")
        done = _run(context.host, desired, desired[which])
        if done.code != 0:
            raise ProviderError(_failed(which, done, context.host))
        if desired.get("check") and not _is_there(context.host, desired):
            raise ProviderError(
                error(
                    "Command had no effect",
                    f"`{which}` ended well on {context.host.name}, and `check` does not find what it should have "
                    "brought about. One of the two is wrong.",
                )
            )
        text = done.stdout[-_KEPT:].decode("utf-8", "replace")
        return {**desired, **({"stdout": text} if text else {})}

    def delete(self, context: Context, before: Attributes) -> None:
        """Run ``delete``."""
        if not before.get("delete"):
            return
        done = _run(context.host, before, before["delete"])
        if done.code != 0 and (not before.get("check") or _is_there(context.host, before)):
            raise ProviderError(_failed("delete", done, context.host))

    def read_many(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Observed]:
        """Run each ``check``."""
        out: dict[str, Observed] = {}
        for request in requests:
            there = not request.attributes.get("check") or _is_there(context.host, request.attributes)
            out[request.id] = dict(request.attributes) if there else Presence.ABSENT
        return out

    def find(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Found]:
        """What ``check`` finds of commands that were cut short; without one they are run again."""
        return {
            r.id: Found(dict(r.attributes), complete=True)
            for r in requests
            if r.attributes.get("check") and _is_there(context.host, r.attributes)
        }

    def find_owned(self, context: ReadContext) -> list[Owned]:
        """None: what commands do carries no mark."""
        return []

    def import_object(self, context: Context, object_id: str) -> Attributes:
        """Not possible: there is nothing that could be looked at."""
        raise ProviderError(
            error(
                "Commands cannot be imported",
                "There is no object behind a command. Declare it with a `check` that finds what is there already: then "
                "nothing is run.",
            )
        )


def _is_there(host: Host, attributes: Mapping[str, Any]) -> bool:
    return _run(host, attributes, attributes["check"]).code == 0


def _run(host: Host, attributes: Mapping[str, Any], script: str) -> Completed:
    """Run a script of the user's. Values reach it as arguments of env, never as a part of the script."""
    given = {**(attributes.get("environment") or {}), **(attributes.get("secrets") or {})}
    argv = ["env", *(f"{k}={v}" for k, v in sorted(given.items()))] if given else []
    text = script
    if attributes.get("directory"):
        argv += ["sh", "-c", 'cd "$1" && shift && exec sh -c "$1"', "sh", attributes["directory"], text]
    else:
        argv += ["sh", "-c", text]
    stdin = attributes.get("stdin")
    timeout = float(duration_seconds(attributes.get("timeout") or "10m"))
    return host.run(argv, stdin=stdin.encode() if stdin is not None else None, timeout=timeout)


def _failed(which: str, done: Completed, host: Host) -> Any:
    lines = (done.stdout + done.stderr).decode("utf-8", "replace").strip().splitlines()[-_LINES:]
    shown = "".join(f"\n  {line}" for line in lines) or " It printed nothing."
    return error("Command failed", f"`{which}` ended with code {done.code} on {host.name}:{shown}")
