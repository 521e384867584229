"""Sending images to registries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hythe.provider.container.client import Engine, EngineError, segment
from hythe.provider.container.image_engine import inspected, pushed_name, refuse_taken, tag, untag
from hythe.provider.container.image_reference import ImageName, is_loopback, parse_name
from hythe.provider.container.progress import Layers
from hythe.provider.container.registry_auth import credentials, explain_registry, header
from hythe.provider.container.registry_client import manifest_digest
from hythe.provider.protocol import Context, ProviderError


def push_all(context: Context, id: str, desired: Mapping[str, Any]) -> str | None:
    """Push the image to every registry that it shall be in; the digest it has there, None without any."""
    digest: str | None = None
    for wanted in desired.get("push") or ():
        digest = _push(context, id, desired, wanted) or digest
    return digest


def _push(context: Context, id: str, desired: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    engine: Engine = context.host.engine()
    name = pushed_name(desired, wanted)
    parsed = parse_name(name)
    what = f'Pushing "{name}"'
    image = inspected(engine, id)
    had_it = image is not None and image.has(name)
    if not had_it:
        refuse_taken(engine, [name], context.identity.lineage, what, id)
        tag(engine, id, [name], what)
    context.progress(f"pushing {name}")
    login = credentials(parsed.registry, wanted.get("auth") or desired.get("auth"))
    query: dict[str, Any] = {"tag": parsed.tag}
    if engine.kind == "podman":
        query = {"destination": parsed.full, "tlsVerify": "false" if is_loopback(parsed.registry) else None}
    layers = Layers(context.progress, f"pushing {name}")
    digest: str | None = None
    target = segment(parsed.full if engine.kind == "podman" else parsed.repository)
    try:
        with engine.stream("POST", f"/images/{target}/push", query=query, headers=header(login), timeout=0) as answer:
            for message in answer.json_lines():
                context.check()
                layers.tell(message)
                digest = (message.get("aux") or {}).get("Digest") or digest
    except EngineError as failure:
        if not had_it:
            untag(engine, id, [name], what)
        raise ProviderError(explain_registry(failure, what, parsed.registry)) from failure
    return digest or _asked_digest(parsed, login)


def _asked_digest(name: ImageName, login: Mapping[str, str]) -> str | None:
    try:
        return manifest_digest(name, login)
    except OSError:
        # the push is done; its digest is only told
        return None
