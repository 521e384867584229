"""Making a container: created with its mark, joined to networks, filled with files, then started."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from hythe.diagnostic import Diagnostic, error
from hythe.provider.container.client import Engine, EngineError, explain, segment
from hythe.provider.container.container_files import put_files
from hythe.provider.container.container_limits import unsupported
from hythe.provider.container.container_links import links
from hythe.provider.container.container_networks import connect, network_ids, remembered
from hythe.provider.container.container_observe import HYTHES_OWN, computed
from hythe.provider.container.container_run import inspect, remove, settle, start
from hythe.provider.container.container_spec import Links, create_body
from hythe.provider.container.labels import identity_of, mark, whose
from hythe.provider.container.shared_network import is_shared, publish
from hythe.provider.protocol import Attributes, Context, HostUnreachable, Identity, ProviderError, Referent
from hythe.value import Reference

_NAME_TRIES = 20
_NAME_PAUSE = 0.25


def build(context: Context, engine: Engine, desired: Attributes, name: str) -> tuple[str, Links]:
    """Create the container under ``name``, ready to be started; its engine id.

    Whatever fails, nothing is left behind. Raises ProviderError.
    """
    what = f'Creating container "{desired.get("name", name)}"'
    refusals = unsupported(desired, engine.info)
    if refusals:
        raise ProviderError(*refusals)
    found = links(context, engine, desired, what)
    container_id, dropped = _create(engine, desired, found, context, name, what)
    try:
        if dropped:
            raise ProviderError(_not_possible(what, dropped))
        for member in found.networks[1:]:
            connect(engine, container_id, member, what)
        put_files(engine, container_id, desired, context.base_dir, what)
    except HostUnreachable:
        raise
    except BaseException:
        with contextlib.suppress(ProviderError):
            remove(engine, container_id, what, force=True)
        raise
    return container_id, found


def _not_possible(what: str, warnings: list[str]) -> Diagnostic:
    return error(
        "Resource limit not possible on this host",
        f"{what}: the engine would leave a limit out ({' '.join(warnings)}). The kernel or the cgroup version of the "
        "host lacks what it needs; leave the argument out there.",
    )


def _create(
    engine: Engine, desired: Attributes, found: Links, context: Context, name: str, what: str
) -> tuple[str, list[str]]:
    """The engine id, and the engine's warnings about limits that it has dropped."""
    body = create_body(desired, found, {**mark(context.identity), **remembered(found.networks)})
    query = {"name": name, "platform": desired.get("platform")}
    for attempt in range(_NAME_TRIES):
        try:
            told = engine.request("POST", "/containers/create", query=query, json=body).json()
            return str(told["Id"]), [w for w in told.get("Warnings") or () if "discarded" in w.lower()]
        except EngineError as failure:
            reason: Diagnostic | None = explain(failure, what)
            if reason is not None and reason.summary == "Name already taken" and attempt + 1 < _NAME_TRIES:
                reason = _freed(engine, name, context.identity, what)
            if reason is not None:
                raise ProviderError(reason) from failure
        time.sleep(_NAME_PAUSE)
    raise AssertionError("the last attempt raises")


def _freed(engine: Engine, name: str, identity: Identity, what: str) -> Diagnostic | None:
    """See to it that a name becomes free; what says whose the container is that stands in the way.

    Engines hold a name before there is a container to be seen, and a little longer than it.
    """
    there = inspect(engine, segment(name))
    if there is None:
        return None
    owner = identity_of(there["Config"].get("Labels"))
    if owner == identity:
        # what an interrupted call of ours asked for came after all
        remove(engine, there["Id"], what, force=True)
        return None
    return error(
        "Name already taken",
        f'There is a container "{name}" already ({there["Id"][:12]}, image {there["Config"].get("Image")}, '
        f"{there['State'].get('Status')}). {whose(owner, identity.lineage)} Choose another name, remove it, or take it "
        "into the state with `hythe import`.",
    )


def run(context: Context, engine: Engine, container_id: str, desired: Attributes) -> dict[str, Any]:
    """Start a built container, as far as it is to run, and wait until it is as declared; its inspection.

    Raises ProviderError, without ``partial``; what to do with the container is the caller's business.
    """
    if desired.get("running", True):
        start(engine, container_id, f'Starting container "{desired.get("name", container_id[:12])}"')
        settled = settle(context, engine, container_id, desired)
        shared = _shared(context, desired)
        if shared:
            publish(context, shared, engine, settled, _names(desired))
        return settled
    told = inspect(engine, container_id)
    if told is None:
        raise ProviderError(error("Container vanished", f"The container {container_id[:12]} was removed meanwhile."))
    return told


def _shared(context: Context, desired: Attributes) -> list[Referent]:
    given = (b["network"] for b in desired.get("network", ()))
    return [t for t in (context.resolve(g) for g in given if isinstance(g, Reference)) if is_shared(t)]


def _names(desired: Attributes) -> list[str]:
    aliases = (a for b in desired.get("network", ()) for a in b.get("aliases") or ())
    return list(dict.fromkeys([desired["name"], *aliases]))


def made(engine: Engine, desired: Attributes, found: Links, told: dict[str, Any]) -> Attributes:
    """The attributes of a container that is as desired."""
    ids = network_ids(found.networks, told)
    return {**HYTHES_OWN, **desired, **computed(told, engine.info), "network_ids": ids}


def create(context: Context, desired: Attributes) -> Attributes:
    """See :meth:`hythe.provider.protocol.Kind.create`."""
    engine: Engine = context.host.engine()
    container_id, found = build(context, engine, desired, desired["name"])
    try:
        told = run(context, engine, container_id, desired)
    except HostUnreachable:
        raise
    except ProviderError as failure:
        raise _with_partial(engine, desired, found, container_id, failure) from failure
    return made(engine, desired, found, told)


def _with_partial(
    engine: Engine, desired: Attributes, found: Links, container_id: str, failure: ProviderError
) -> ProviderError:
    """What never ran is removed; what ran and failed is kept to be looked at, as tainted."""
    told = inspect(engine, container_id)
    if told is None:
        return failure
    if never_started(told):
        remove(engine, container_id, "Removing what could not be started", force=True)
        return failure
    return ProviderError(*failure.diagnostics, partial=made(engine, desired, found, told))


def never_started(told: dict[str, Any]) -> bool:
    """Whether a container has been created only."""
    return str(told["State"].get("StartedAt", "0001-")).startswith("0001-")
