"""The ``command`` kind: commands on a host that bring something about, and tell whether it is so.

Nothing on a machine tells that a command was run: the state says so, and ``check`` looks.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hythe.diagnostic import error, warning
from hythe.provider.host.command_model import CommandData, CommandModel
from hythe.provider.host.command_run import Ran, require, run, succeeded
from hythe.provider.protocol import (
    Attributes,
    Context,
    Found,
    Host,
    HostUnreachable,
    Identity,
    Kind,
    Observed,
    Owned,
    Presence,
    ProviderError,
    ReadContext,
    ReadRequest,
)

_COMPUTED = ("stdout", "exit_code")
_NOT_RUN_FOR = frozenset({"timeout", "delete", "exit_codes", *_COMPUTED})
"""Arguments whose change alone is only noted."""
_AT_ONCE = 4


class Command(Kind):
    """A command on a host, run when it is needed.

    With `check` it is run whenever `check` does not end with code 0: at the first apply only if it is not so already,
    and again when a later plan finds that it is so no longer. Without `check` it is run once, and again when its
    arguments change. A change of `triggers` runs `delete` and then `create`.

    A run that was cut short (Hythe was killed, the connection broke) is done again by the next apply, unless `check`
    tells that it had done its work. So a command must do no harm when it is run twice.

    Secrets belong into `sensitive_environment`: it goes to the command without being seen in the list of processes.
    `state rebuild` cannot recover commands, as nothing on a machine tells of them.
    """

    name = "command"
    rebuild_note = (
        "It leaves no mark: with a `check` that finds all well it is taken in as it is, and otherwise `create` is "
        "run once more."
    )
    model = CommandModel
    data_model = ephemeral_model = CommandData
    unique_name = False
    concurrency = _AT_ONCE

    def fitted(self, seen: Attributes, wanted: Mapping[str, Any]) -> Attributes:
        """It ran with all its arguments, where its script is the one that was given."""
        script, given = wanted.get("create"), str(seen.get("create"))
        if script == given or (isinstance(script, list) and shlex.join(map(str, script)) == given):
            return _without_computed(dict(wanted))
        return seen

    def create(self, context: Context, desired: Attributes) -> Attributes:
        """Run ``create``, unless ``check`` tells that there is nothing to do."""
        wanted = _without_computed(desired)
        if _is_so(context.host, wanted):
            return wanted
        return _run(context, wanted, "create")

    def update(self, context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
        """Run ``update`` or ``create``, where a change asks for it and ``check`` does not deny it."""
        wanted = _without_computed(desired)
        kept = wanted | {n: before[n] for n in _COMPUTED if n in before}
        asked = set(changed) - _NOT_RUN_FOR
        if not asked:
            return kept
        if "check" in wanted and ("update" not in wanted or asked <= {"check"}) and _is_so(context.host, wanted):
            return kept
        if "check" not in wanted and asked <= {"check", "update"}:
            return kept
        return _run(context, wanted, "update" if "update" in wanted else "create")

    def delete(self, context: Context, before: Attributes) -> None:
        """Run ``delete``, if there is one."""
        if "delete" not in before:
            return
        context.progress("running delete")
        ran = run(context.host, before, "delete", stdin=False)
        if not succeeded(ran, before) and "check" in before and not _is_so(context.host, before):
            return  # it was gone already
        require(context.host, ran, before, "delete")

    def read_many(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Observed]:
        """Run each ``check``: what is not as it should be counts as gone, and is made again."""

        def read(request: ReadRequest) -> Observed:
            known = dict(request.attributes)
            try:
                return known if "check" not in known or _is_so(context.host, known) else Presence.ABSENT
            except HostUnreachable:
                raise
            except ProviderError as failure:
                # not raised: a check that hangs must not keep the others from being read
                context.notices += [warning(d.summary, d.detail, address=request.address) for d in failure.diagnostics]
                return known

        if len(requests) == 1:
            return {requests[0].id: read(requests[0])}
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="check") as pool:
            return dict(zip((r.id for r in requests), pool.map(read, requests), strict=True))

    def find(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Found]:
        """Those whose ``check`` tells that they did their work; others are run again."""
        out: dict[str, Found] = {}
        for request in requests:
            wanted = _without_computed(dict(request.attributes))
            if "check" in wanted and _is_so(context.host, wanted):
                out[request.id] = Found(wanted, complete=True)
        return out

    def find_owned(self, context: ReadContext) -> list[Owned]:
        """None: commands leave no mark."""
        return []

    def recognise(self, context: ReadContext, requests: Sequence[ReadRequest]) -> list[Owned]:
        """Those whose ``check`` tells that they did their work."""
        found = self.find(context, requests)
        addresses = {r.id: r.address for r in requests}
        return [Owned(Identity(context.lineage, addresses[id], id), f.attributes) for id, f in found.items()]

    def import_object(self, context: Context, object_id: str) -> Attributes:
        """A command by its script or its command line, as one that was run already."""
        if not object_id.strip():
            raise ProviderError(error("No script", "A command is imported by its script, and none is given."))
        return {"create": object_id, "timeout": CommandModel.model_fields["timeout"].default}

    def read_data(self, context: ReadContext, desired: Attributes) -> Attributes:
        """What a command prints."""
        ran = run(context.host, desired, "read")
        require(context.host, ran, desired, "read")
        return desired | _result(ran)


def _without_computed(attributes: Attributes) -> Attributes:
    return {n: v for n, v in attributes.items() if n not in _COMPUTED}


def _is_so(host: Host, attributes: Attributes) -> bool:
    return "check" in attributes and run(host, attributes, "check", stdin=False).code == 0


def _run(context: Context, wanted: Attributes, name: str) -> Attributes:
    context.progress(f"running {name}")
    ran = run(context.host, wanted, name)
    # what it has done so far is taken back by `delete` before the next attempt
    partial: Any = wanted | _result(ran) if "delete" in wanted else None
    require(context.host, ran, wanted, name, partial)
    if "check" in wanted and not _is_so(context.host, wanted):
        raise ProviderError(
            error(
                "Command did not bring it about",
                f"`{name}` on {context.host.name} ended with code {ran.code}, and `check` still tells that things are "
                "not as they should be. One of the two is wrong: run both on the host by hand.",
            ),
            partial=partial,
        )
    return wanted | _result(ran)


def _result(ran: Ran) -> Attributes:
    return {"stdout": ran.stdout, "exit_code": ran.code}
