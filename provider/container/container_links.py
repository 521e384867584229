"""What the references of a container stand for on its engine."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Mapping
from typing import Any

from hythe.diagnostic import error
from hythe.provider.container.client import Engine, EngineError
from hythe.provider.container.container_networks import default_network, memberships
from hythe.provider.container.container_spec import Links
from hythe.provider.container.image_carry import carry
from hythe.provider.container.shared_network import is_shared, joined, refuse_host_bridge, resolver
from hythe.provider.protocol import Attributes, Context, ProviderError, Referent
from hythe.value import Reference

FRESH_SECONDS = 5.0
"""How long an image's name is taken to mean what it meant: one look-up serves a burst of creations."""

_lock = threading.Lock()
_seen: weakref.WeakKeyDictionary[Engine, dict[str, tuple[float, str]]] = weakref.WeakKeyDictionary()


def links(context: Context, engine: Engine, attributes: Attributes, what: str) -> Links:
    """Resolve image, networks and volumes. Raises ProviderError."""
    shared: list[Referent] = []

    def resolve(reference: Reference) -> Referent:
        there = context.resolve(reference)
        refuse_host_bridge(there, what)
        if not is_shared(there):
            return there
        shared.append(there)
        return joined(engine, there, what)

    volumes = {}
    for block in attributes.get("mount", ()):
        if "volume" in block:
            given = block["volume"]
            is_reference = isinstance(given, Reference)
            volumes[block["target"]] = str(context.resolve(given).attributes["name"]) if is_reference else given
    return Links(
        image=image(context, engine, attributes["image"], what),
        networks=memberships(attributes, resolve),
        volumes=volumes,
        default_network=default_network(engine),
        shared=tuple(shared),
        dns=resolver(attributes, shared),
    )


def image(context: Context, engine: Engine, given: Any, what: str) -> str:
    """What to ask the engine for: the name where it means the image referred to, for it reads better; else the id.

    An image that was made on the local engine is carried to this one when it is missing here.
    """
    if not isinstance(given, Reference):
        return str(given)
    there = context.resolve(given)
    wanted, name = str(there.attributes["id"]), str(there.attributes.get("name") or "")
    if name and image_id(engine, name) == wanted:
        return name
    if image_id(engine, wanted) is not None:
        return wanted
    if there.host is None and context.local.name != context.host.name:
        return carry(context, engine, there, what)
    raise ProviderError(
        error(
            "Image not found",
            f"{what}: {there.address} ({name or wanted}) is not on this engine any more. Plan again to make it anew.",
        )
    )


def image_id(engine: Engine, name: str) -> str | None:
    """The id of the image that a name means now; None when there is none."""
    now = time.monotonic()
    with _lock:
        known = _seen.setdefault(engine, {}).get(name)
    if known is not None and now - known[0] < FRESH_SECONDS:
        return known[1]
    told = inspect_image(engine, name)
    if told is None:
        return None
    found = str(told["Id"])
    with _lock:
        _seen[engine][name] = (now, found)
    return found


def inspect_image(engine: Engine, name: str) -> Mapping[str, Any] | None:
    """What the engine says of an image; None when there is none."""
    try:
        told: Mapping[str, Any] = engine.request("GET", f"/images/{name}/json").json()
    except EngineError as failure:
        if failure.status == 404:
            return None
        raise
    return told


def moved_reference(context: Context, engine: Engine, before: Attributes, desired: Attributes, what: str) -> None:
    """Check that a name and a reference which replaces it (after an import) mean the same. Raises ProviderError."""
    found = links(context, engine, desired, what)
    if image_id(engine, found.image) not in (None, before.get("image_id")):
        raise _not_the_same(what, "image")
    recorded = {b["target"]: b.get("volume") for b in before.get("mount", ())}
    for target, name in found.volumes.items():
        was = recorded.get(target)
        if isinstance(was, str) and was != name:
            raise _not_the_same(what, f"volume at {target}")


def _not_the_same(what: str, thing: str) -> ProviderError:
    return ProviderError(
        error(
            "Not the object it was made with",
            f"{what}: the {thing} that the configuration now refers to is not the one that the container was made "
            "with. That cannot be changed in place: apply with --replace and the container's address.",
        )
    )
