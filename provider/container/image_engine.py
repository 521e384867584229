"""What the ``image`` kind asks of an engine: listing, tagging, removing, with refusals as diagnostics."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hythe.diagnostic import error
from hythe.provider.container import usage
from hythe.provider.container.client import Engine, EngineError, refused, segment
from hythe.provider.container.image_model import storable
from hythe.provider.container.image_reference import additional_tag, normal, parse_name
from hythe.provider.container.labels import identity_of
from hythe.provider.protocol import Attributes, Identity, ProviderError


@dataclass(frozen=True, slots=True)
class EngineImage:
    """An image as its engine lists it. ``names`` and ``digests`` are complete spellings."""

    id: str
    names: frozenset[str]
    digests: tuple[str, ...]
    size: int
    labels: Mapping[str, str]

    @property
    def identity(self) -> Identity | None:
        """Whose it is."""
        return identity_of(self.labels)

    def has(self, name: str) -> bool:
        """Whether it carries a name, or a name with a digest."""
        wanted = normal(name)
        return wanted in self.names or wanted in {normal(d) for d in self.digests}


def listed(engine: Engine, wanted: Mapping[str, Any] | None = None) -> list[EngineImage]:
    """All images, or those that match the engine's filters and are no mere steps of a build."""
    try:
        # the classic builder makes a step of each label, so a step before the last may carry the mark already;
        # Podman answers nothing at all when it is asked for digests, and tells them anyway
        query = {"all": wanted is None, "digests": True if engine.kind == "docker" else None, "filters": wanted}
        found = engine.request("GET", "/images/json", query=query).json() or []
    except EngineError as failure:
        raise refused(failure, "Listing images") from failure
    return [_image(item, item.get("Labels")) for item in found]


def inspected(engine: Engine, name: str) -> EngineImage | None:
    """The image of a name or id, or None."""
    try:
        item = engine.request("GET", f"/images/{segment(name)}/json").json()
    except EngineError as failure:
        if failure.status == 404:
            return None
        raise refused(failure, f'Looking for image "{name}"') from failure
    return _image(item, (item.get("Config") or {}).get("Labels"))


def _image(item: Mapping[str, Any], labels: Mapping[str, str] | None) -> EngineImage:
    names = [n for n in item.get("RepoTags") or () if n != "<none>:<none>"]
    digests = sorted(d for d in item.get("RepoDigests") or () if not d.startswith("<none>"))
    id = item["Id"] if item["Id"].startswith("sha256:") else f"sha256:{item['Id']}"
    return EngineImage(id, frozenset(map(normal, names)), tuple(digests), int(item.get("Size") or 0), labels or {})


def own_names(attributes: Mapping[str, Any]) -> list[str]:
    """Names that the configuration gives to the image on the engine: ``name`` and ``tags``."""
    name = attributes.get("name") or ""
    first = [name] if name and "@" not in name else []
    return first + [additional_tag(name, t) for t in attributes.get("tags") or ()]


def pushed_name(attributes: Mapping[str, Any], push: Mapping[str, Any]) -> str:
    """The name that a ``push`` block sends the image by."""
    rest = push.get("name")
    if not rest:
        own = parse_name(attributes["name"])
        rest = f"{own.path.removeprefix('library/')}:{own.tag or 'latest'}"
    return str(parse_name(f"{push['registry']}/{rest}"))


def observe(image: EngineImage, known: Mapping[str, Any]) -> Attributes:
    """Attributes of an image in the configuration's terms; what cannot be seen is taken from ``known``."""
    computed = ("id", "repo_digests", "size")
    out: Attributes = {k: v for k, v in storable(known).items() if k not in computed}
    name = known.get("name") or ""
    if name and not image.has(name):
        del out["name"]
    if known.get("tags"):
        out["tags"] = [t for t in known["tags"] if image.has(additional_tag(name, t))]
    return out | {"id": image.id, "repo_digests": list(image.digests), "size": image.size}


def digest_in(image: EngineImage, name: str) -> str | None:
    """The digest under which the engine knows the image in the repository of ``name``."""
    repository = parse_name(name).full_repository
    for text in image.digests:
        found = parse_name(text)
        if found.full_repository == repository:
            return found.digest
    return None


def refuse_taken(engine: Engine, names: Iterable[str], lineage: str, what: str, id: str | None = None) -> None:
    """Raise when a name belongs to an image that this state did not make."""
    for name in names:
        there = inspected(engine, name)
        if there is None or there.id == id or not there.has(name):
            continue
        if there.identity is None or there.identity.lineage != lineage:
            whose = f"belongs to {there.identity.address} of another state" if there.identity else "is not Hythe's"
            raise ProviderError(
                error(
                    "Name already taken",
                    f'{what}: the engine has an image "{name}" already, and it {whose} ({there.id[7:19]}). '
                    "Choose another name, remove that image, or take it into the state with `hythe import`.",
                )
            )


def tag(engine: Engine, id: str, names: Sequence[str], what: str) -> None:
    """Give names to an image; each leaves the image that had it."""
    for name in names:
        parsed = parse_name(name)
        # Podman resolves a short name against its own list of registries: it gets the complete one
        repository = parsed.full_repository if engine.kind == "podman" else parsed.repository
        try:
            query = {"repo": repository, "tag": parsed.tag}
            engine.request("POST", f"/images/{segment(id)}/tag", query=query)
        except EngineError as failure:
            raise refused(failure, f"{what}: tagging it {name}") from failure


def untag(engine: Engine, id: str, names: Iterable[str], what: str) -> None:
    """Take names away from an image, where it still has them. The last one takes the image along."""
    image = inspected(engine, id)
    for name in dict.fromkeys(map(normal, names)):
        if image is None or name not in image.names:
            continue
        try:
            engine.request("DELETE", f"/images/{segment(name)}", query={"noprune": False})
        except EngineError as failure:
            if failure.status != 404:
                raise refused(failure, f"{what}: removing its name {name}") from failure


def remove(engine: Engine, id: str, names: Sequence[str], what: str) -> None:
    """Take ``names`` away, and remove the image when it has no other name and no other image needs it."""
    image = inspected(engine, id)
    if image is None:
        return
    ours = set(map(normal, names))
    if image.names - ours:
        untag(engine, id, names, what)
        return
    users = [u for u in usage.containers(engine, ancestor=[id.removeprefix("sha256:")]) if u.image == id]
    if users:
        raise ProviderError(
            error(
                "Image still in use",
                f"{what}: {usage.listed(users)} still uses it. Remove what uses it and apply again, "
                "or set `keep = true` to leave the image there.",
            )
        )
    untag(engine, id, names, what)
    if inspected(engine, id) is None:
        return
    try:
        engine.request("DELETE", f"/images/{segment(id)}", query={"force": bool(image.digests)})
    except EngineError as failure:
        if failure.status == 404 or "dependent child" in failure.message:
            return
        raise refused(failure, what) from failure


def remove_unnamed(engine: Engine, ids: Iterable[str]) -> None:
    """Remove images that nobody has named and nothing uses; others stay. Best effort."""
    for id in ids:
        image = inspected(engine, id)
        if image is None or image.names or image.digests:
            continue
        with contextlib.suppress(EngineError):
            engine.request("DELETE", f"/images/{segment(image.id)}")
