"""Pulling images, by the digest that the lock file remembers."""

from __future__ import annotations

from typing import Any

from hythe.provider.container.client import Engine, EngineError, segment
from hythe.provider.container.image_engine import EngineImage, digest_in, inspected, tag
from hythe.provider.container.image_reference import ImageName, is_loopback, parse_name
from hythe.provider.container.progress import Layers
from hythe.provider.container.registry_auth import credentials, explain_registry, header
from hythe.provider.container.registry_client import manifest_digest
from hythe.provider.protocol import Attributes, Context, Host, ProviderError


def lock_key(name: str) -> str:
    """The lock file's key of an image name."""
    return f"image:{parse_name(name)}"


def pull(context: Context, desired: Attributes) -> tuple[EngineImage, str | None, bool]:
    """Have the image on the engine: it, its digest, and whether it was brought now.

    A name is resolved once; its digest is then remembered in the lock file, and that digest is what is
    pulled from there on, wherever the tag has moved to. Raises ProviderError.
    """
    engine: Engine = context.host.engine()
    name = desired["name"]
    parsed = parse_name(name)
    pinned = parsed.digest or desired.get("digest") or context.lock.get(lock_key(name))
    there = _already(engine, parsed, pinned, desired)
    if there is not None:
        return there, pinned or _known_digest(engine, there, name), False
    before = inspected(engine, str(parsed.at(pinned))) if pinned else inspected(engine, name)
    context.progress(f"pulling {name}" + (f" at {pinned[:19]}" if pinned else ""))
    wanted = parsed.at(pinned) if pinned else parsed
    _fetch(context, engine, wanted, desired)
    image = inspected(engine, str(wanted))
    if image is None:
        raise ProviderError(
            explain_registry(EngineError(404, "not found after the pull"), f'Pulling "{name}"', parsed.registry)
        )
    if not parsed.digest and not image.has(name):
        tag(engine, image.id, [name], f'Pulling "{name}"')
        image = inspected(engine, image.id) or image
    digest = pinned or digest_in(image, name)
    if digest and not parsed.digest:
        context.remember_lock(lock_key(name), digest)
    return image, digest, before is None or before.id != image.id


def there(engine: Engine, desired: Attributes) -> EngineImage | None:
    """The image that a pull would find on the engine already; None where it would have to be brought."""
    parsed = parse_name(desired["name"])
    return _already(engine, parsed, parsed.digest or desired.get("digest"), {**desired, "pull": "missing"})


def digest_of(engine: Engine, image: EngineImage, desired: Attributes) -> Attributes:
    """The digest of an image that is there, as an attribute; nothing where it has none."""
    found = parse_name(desired["name"]).digest or desired.get("digest") or _known_digest(engine, image, desired["name"])
    return {"digest": found} if found else {}


def _already(engine: Engine, parsed: ImageName, pinned: str | None, desired: Attributes) -> EngineImage | None:
    if desired.get("pull") == "always" and not parsed.digest:
        return None
    there = inspected(engine, str(parsed))
    if there is None or pinned is None:
        return there
    return there if digest_in(there, str(parsed)) == pinned or there.has(str(parsed.at(pinned))) else None


def _known_digest(engine: Engine, image: EngineImage, name: str) -> str | None:
    # Podman makes up a digest for images that never were in a registry
    return digest_in(image, name) if engine.kind == "docker" else None


def _fetch(context: Context, engine: Engine, wanted: ImageName, desired: Attributes) -> None:
    login = credentials(wanted.registry, desired.get("auth"))
    headers = header(login) if login else {}
    if engine.kind == "podman":
        path = "/libpod/images/pull"
        query: dict[str, Any] = {"reference": wanted.full, "policy": "always"}
        if is_loopback(wanted.registry):
            query["tlsVerify"] = "false"
        query |= _podman_platform(desired.get("platform"))
    else:
        path = "/images/create"
        query = {
            "fromImage": wanted.repository,
            "tag": wanted.digest or wanted.tag,
            "platform": desired.get("platform"),
        }
    layers = Layers(context.progress, f"pulling {desired['name']}")
    try:
        with engine.stream("POST", path, query=query, headers=headers, timeout=0) as answer:
            for message in answer.json_lines():
                context.check()
                layers.tell(message)
    except EngineError as failure:
        what = f'Pulling "{desired["name"]}"'
        raise ProviderError(explain_registry(failure, what, wanted.registry)) from failure


def _podman_platform(platform: str | None) -> dict[str, str]:
    if not platform:
        return {}
    os, _, rest = platform.partition("/")
    arch, _, variant = rest.partition("/")
    return {k: v for k, v in (("OS", os), ("Arch", arch), ("Variant", variant)) if v}


def latest_digest(host: Host, attributes: Attributes) -> str:
    """The digest that the image's tag stands for at its registry now, for ``--upgrade``.

    Docker's engine asks the registry; Podman's has no such request, so Hythe asks it. Raises ProviderError.
    """
    engine: Engine = host.engine()
    name = attributes["name"]
    parsed = parse_name(name)
    login = credentials(parsed.registry, attributes.get("auth"))
    what = f'Looking for the newest "{name}"'
    try:
        if engine.kind == "docker":
            path = f"/distribution/{segment(str(parsed))}/json"
            told = engine.request("GET", path, headers=header(login)).json()
            return str(told["Descriptor"]["digest"])
        return manifest_digest(parsed, login)
    except EngineError as failure:
        raise ProviderError(explain_registry(failure, what, parsed.registry)) from failure
    except OSError as failure:
        status = getattr(failure, "code", 500)
        raise ProviderError(explain_registry(EngineError(status, str(failure)), what, parsed.registry)) from failure
