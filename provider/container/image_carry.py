"""Carrying an image from the engine it was made on to another one that uses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hythe.diagnostic import error
from hythe.provider.container.client import Engine, EngineError, refused, segment
from hythe.provider.container.image_archive import loaded_id
from hythe.provider.container.image_engine import inspected, own_names, tag
from hythe.provider.protocol import Host, ProviderError


def ensure_on(host: Host, local: Host, attributes: Mapping[str, Any], progress: Callable[[str], None]) -> str:
    """Have the image of these attributes on ``host``; its id there.

    What is missing is streamed from ``local``, nothing is written to a disk on the way. Raises ProviderError.
    """
    target: Engine = host.engine()
    source: Engine = local.engine()
    id = attributes["id"]
    if target.endpoint == source.endpoint or inspected(target, id) is not None:
        return str(id)
    name = attributes.get("name") or id[7:19]
    what = f'Carrying image "{name}" to {host.name}'
    if inspected(source, id) is None:
        raise ProviderError(
            error(
                "Image not found",
                f"{what}: the engine of {local.name} no longer has it. Plan again, and it is made again.",
            )
        )
    progress(f"carrying image {name} to {host.name}")
    try:
        with (
            source.stream("GET", f"/images/{segment(id)}/get", timeout=0) as content,
            target.stream("POST", "/images/load", query={"quiet": True}, body=content.chunks(), timeout=0) as answer,
        ):
            there = loaded_id(list(answer.json_lines())) or id
    except EngineError as failure:
        raise refused(failure, what) from failure
    image = inspected(target, id) or inspected(target, there)
    if image is None:
        raise ProviderError(error("Image not carried", f"{what}: the engine took it and does not have it."))
    tag(target, image.id, own_names(attributes), what)
    return image.id
