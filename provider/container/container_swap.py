"""Replacing a container by another of the same name, without losing the old one before the new one is well.

The steps: make the new one under a temporary name; stop the old one when both cannot run at once;
start the new one and wait for health; remove the old one; give the new one its name. Which steps are
done shows in what exists, found by the marks of both identities, so a run after a crash goes on from
there. Until the old one is removed, every failure ends with the new one gone and the old one running.
"""

from __future__ import annotations

import contextlib
from typing import Any

from hythe.provider.container.client import Engine, EngineError, refused
from hythe.provider.container.container_find import ours
from hythe.provider.container.container_links import links
from hythe.provider.container.container_make import build, made, never_started, run
from hythe.provider.container.container_run import inspect, remove, start, stop
from hythe.provider.container.container_spec import port_pairs
from hythe.provider.protocol import Attributes, Context, HostUnreachable, Identity, ProviderError

_FIXED = ("ipv4_address", "ipv6_address", "mac_address")


def swap(context: Context, old: Identity, before: Attributes, desired: Attributes) -> Attributes:
    """See :meth:`hythe.provider.protocol.Kind.swap`."""
    engine: Engine = context.host.engine()
    name = desired["name"]
    what = f'Replacing container "{name}"'
    there = ours(engine, old, before.get("id"))
    new = ours(engine, context.identity, None)
    if new is not None and never_started(new):
        # the last run may have stopped anywhere in making it
        remove(engine, new["Id"], what, force=True)
        new = None
    if new is None:
        context.progress("making the new one")
        new_id, found = build(context, engine, desired, _temporary(name, context.identity))
    else:
        new_id, found = new["Id"], links(context, engine, desired, what)
    try:
        _take_over(context, engine, there, new_id, before, desired)
    except HostUnreachable:
        raise  # nothing can be cleaned up now; the next run goes on
    except BaseException as failure:
        if there is not None or isinstance(failure, ProviderError):
            _roll_back(engine, there, new_id, before, what)
        raise
    if there is not None:
        context.progress("removing the old one")
        stop(engine, there, before, what)
        remove(engine, there["Id"], what, force=True)
    rename(engine, new_id, name, what)
    told = inspect(engine, new_id)
    assert told is not None
    return made(engine, desired, found, told)


def _temporary(name: str, identity: Identity) -> str:
    return f"{name}-{identity.id[:8]}"


def _take_over(
    context: Context, engine: Engine, there: dict[str, Any] | None, new_id: str, before: Attributes, desired: Attributes
) -> None:
    if there is not None and clash(before, desired) and there["State"].get("Running"):
        context.progress("stopping the old one")
        stop(engine, there, before, f'Stopping container "{before.get("name")}"')
    run(context, engine, new_id, desired)


def clash(before: Attributes, desired: Attributes) -> bool:
    """Whether the two cannot run at once: they publish one port, have one address, or share the host's network."""
    if {"host"} == {before.get("network_mode"), desired.get("network_mode")}:
        return True
    return bool(_claims(before) & _claims(desired))


def _claims(attributes: Attributes) -> set[tuple[str, str]]:
    out = {
        (block.get("protocol", "tcp"), host)
        for block in attributes.get("port", ())
        for _, host in port_pairs(block)
        if host
    }
    for block in attributes.get("network", ()):
        out |= {(argument, str(block[argument])) for argument in _FIXED if argument in block}
    if "mac_address" in attributes:
        out.add(("mac_address", str(attributes["mac_address"])))
    return out


def _roll_back(engine: Engine, there: dict[str, Any] | None, new_id: str, before: Attributes, what: str) -> None:
    """The failure at hand matters more than one in cleaning up: the next run finds what is left by its mark."""
    with contextlib.suppress(ProviderError, EngineError):
        remove(engine, new_id, what, force=True)
    if there is not None and before.get("running", True):
        with contextlib.suppress(ProviderError, EngineError):
            start(engine, there["Id"], what)


def rename(engine: Engine, container_id: str, name: str, what: str) -> None:
    """Give a container its name; having it already is fine. Raises ProviderError."""
    told = inspect(engine, container_id)
    if told is not None and told["Name"].lstrip("/") == name:
        return
    try:
        engine.request("POST", f"/containers/{container_id}/rename", query={"name": name})
    except EngineError as failure:
        raise refused(failure, what) from failure
