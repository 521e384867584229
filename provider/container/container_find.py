"""Finding containers, one or many at once. Only what carries our mark, or the engine id in state, is ours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hythe.provider.container.client import Engine
from hythe.provider.container.container_links import inspect_image
from hythe.provider.container.container_observe import observe, refresh
from hythe.provider.container.container_run import inspect
from hythe.provider.container.labels import filters, identity_of
from hythe.provider.protocol import Attributes, Identity, Observed, Presence, ReadRequest

READERS = 4
"""Inspections at once: the engine takes a lock for each container, so few are enough to keep it busy."""


def inspect_many(engine: Engine, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Inspections by engine id; those that are not there are left out."""
    wanted = list(ids)
    if len(wanted) < 2 * READERS:
        return {i: told for i in wanted if (told := inspect(engine, i)) is not None}
    with ThreadPoolExecutor(READERS, thread_name_prefix="inspect") as threads:
        found = threads.map(lambda i: inspect(engine, i), wanted)
        return {i: told for i, told in zip(wanted, found, strict=True) if told is not None}


def marked(engine: Engine, *, lineage: str | None = None, id: str | None = None) -> dict[str, list[str]]:
    """Engine ids of marked containers by instance id, newest first."""
    query = {"all": True, "filters": filters(lineage=lineage, id=id)}
    out: dict[str, list[str]] = {}
    for item in engine.request("GET", "/containers/json", query=query).json():
        identity = identity_of(item.get("Labels"))
        if identity is not None:
            out.setdefault(identity.id, []).append(item["Id"])
    return out


def ours(engine: Engine, identity: Identity, engine_id: str | None) -> dict[str, Any] | None:
    """The container of an instance: the one recorded in state, else one that carries its id."""
    told = inspect(engine, engine_id) if engine_id else None
    if told is not None and told["Id"] == engine_id:
        return told
    candidates = marked(engine, lineage=identity.lineage, id=identity.id).get(identity.id, ())
    return next((found for i in candidates if (found := inspect(engine, i)) is not None), None)


def observe_full(engine: Engine, told: dict[str, Any], images: dict[str, Any] | None = None) -> Attributes:
    """All attributes of a container that state does not know; ``images`` caches inspections by id."""
    cache: dict[str, Any] = {} if images is None else images
    image_id = told.get("Image")
    if image_id is not None and image_id not in cache:
        cache[image_id] = inspect_image(engine, image_id)
    return observe(told, cache.get(image_id or ""), engine.info)


def read_many(engine: Engine, lineage: str, requests: Sequence[ReadRequest]) -> dict[str, Observed]:
    """See :meth:`hythe.provider.protocol.Kind.read_many`."""
    recorded = {r.id: str(r.attributes["id"]) for r in requests if r.attributes.get("id")}
    found = inspect_many(engine, recorded.values())
    lost = [r for r in requests if recorded.get(r.id, "") not in found]
    # made anew behind our back, or never recorded: the mark tells
    by_mark = marked(engine, lineage=lineage) if lost else {}
    others = inspect_many(engine, [by_mark[r.id][0] for r in lost if r.id in by_mark])
    images: dict[str, Any] = {}
    out: dict[str, Observed] = {}
    for request in requests:
        told = found.get(recorded.get(request.id, ""))
        if told is not None:
            out[request.id] = refresh(dict(request.attributes), told, engine.info)
            continue
        other = next((others[i] for i in by_mark.get(request.id, []) if i in others), None)
        out[request.id] = Presence.ABSENT if other is None else observe_full(engine, other, images)
    return out
