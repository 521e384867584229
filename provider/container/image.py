"""The ``image`` kind: images that are pulled, built, made from an archive or from packages.

What is built or made from a root file system or packages carries the ownership mark as labels. An image
that is pulled, and one that an archive holds ready made, cannot be marked without becoming another one:
those are owned by the state, and one whose creation was cut short by a crash, or of which a state that was
lost knew, counts as there before (``owned`` is false), so that it is never removed by mistake.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

from hythe.diagnostic import Diagnostic, error
from hythe.provider.container import image_archive, image_build, image_engine, image_packages, image_pull, image_push
from hythe.provider.container.client import Engine
from hythe.provider.container.context_tar import ignore_file
from hythe.provider.container.image_carry import rename_copies, take_back
from hythe.provider.container.image_engine import EngineImage, inspected, observe, own_names, pushed_name
from hythe.provider.container.image_model import ImageData, ImageModel, source_of
from hythe.provider.container.image_reference import parse_name, repository_from
from hythe.provider.container.inputs import digest, located, unreadable
from hythe.provider.container.labels import filters, mark
from hythe.provider.protocol import (
    Attributes,
    Context,
    Found,
    Hint,
    Host,
    Identity,
    Kind,
    Observed,
    Owned,
    PrepareContext,
    Presence,
    ProviderError,
    ReadContext,
    ReadRequest,
)
from hythe.provider.schema import Effect, Path
from hythe.value import STRING, Unknown, is_known

_BUILD_HOW = ("no_cache", "pull", "cache_from", "secrets", "ssh", "builder")
"""Arguments of ``build`` that say how, not what: a change of them alone builds nothing."""


class Image(Kind):
    """An OCI image: pulled, built, or made from an archive or a distribution's packages.

    The digest of a pulled one is kept in `hythe.lock.hcl`, so that its name means the same content until
    `hythe init --upgrade`. Pulled images carry no ownership mark: the state owns them.
    """

    name = "image"
    rebuild_note = (
        "What is built, or made of packages or of a root file system, is recovered by its mark. A pulled image "
        "that is still there is taken in; as nobody knows any more who brought it, it stays when the resource is "
        "removed. A saved image of an archive is loaded once more."
    )
    carried = True
    model = ImageModel
    data_model = ImageData
    unique_name = False
    lag = 10.0
    concurrency = 4

    # -- pure ----------------------------------------------------------------------------------

    def prepare(self, desired: Attributes, context: PrepareContext) -> tuple[Attributes, list[Diagnostic]]:
        """Give it a name when it has none, the digest that the lock file holds, and hash its files."""
        out = {"name": f"{repository_from(context.default_name())}:latest"} | desired
        source = source_of(out)
        if source == "pull":
            return _pinned(out, context), []
        if source == "build":
            return _hashed_build(out, context)
        if source == "archive":
            if not is_known(out["archive"]):
                return out | {"content_hash": Unknown(STRING)}, []
            found, problems = digest(context, out["archive"], "archive")
            return (out if found is None else out | {"content_hash": found}), problems
        return out, []

    def hint(self, path: Path, before: Any, after: Any, old: Attributes, new: Attributes) -> Hint | None:
        """What a change means, where that depends on where the image comes from."""
        if path == ("name",) and before is None:
            return Hint(Effect.LIVE, "the name had moved to another image")
        if path == ("name",) and source_of(new) != "pull":
            return Hint(Effect.LIVE)
        if path == ("content_hash",):
            what = "the build context" if source_of(new) == "build" else "the archive"
            return Hint(Effect.REPLACE, f"{what} changed")
        if path == ("digest",):
            return Hint(Effect.REPLACE, "the lock file holds another digest")
        if path == ("build",) and isinstance(before, dict) and isinstance(after, dict):
            differ = [n for n in (*before, *after) if before.get(n) != after.get(n) and n not in _BUILD_HOW]
            return Hint(Effect.REPLACE, ", ".join(dict.fromkeys(differ)))
        return None

    def equal(self, path: Path, before: Any, after: Any, old: Attributes, new: Attributes) -> bool:
        """Logins and the manner of building make no difference to what there is."""
        if path == ("auth",):
            return True
        if path == ("build",) and before and after:
            return _what(before) == _what(after)
        if path == ("push",):
            return sorted(map(_target, before or ())) == sorted(map(_target, after or ()))
        return False

    def created_first(self, attributes: Attributes) -> bool:
        """What is built stays until the new one is: a build that fails leaves all as it was, cached steps are kept."""
        return source_of(attributes) in ("build", "packages")

    # -- making and removing -------------------------------------------------------------------

    def latest(self, host: Host, attributes: Attributes) -> tuple[str, str] | None:
        """The digest that a pulled image's tag stands for now."""
        if source_of(attributes) != "pull":
            return None
        from hythe.provider.container.image_pull import latest_digest, lock_key

        return lock_key(attributes["name"]), latest_digest(host, attributes)

    def create(self, context: Context, desired: Attributes) -> Attributes:
        """Make or pull the image, name it and push it."""
        engine: Engine = context.host.engine()
        what = f'Making image "{desired["name"]}"'
        source = source_of(desired)
        names = own_names(desired)
        lineage = context.identity.lineage
        known_digest = None
        stages: Sequence[str] = ()
        if source == "pull":
            image, known_digest, owned = image_pull.pull(context, desired)
            id = image.id
            image_engine.refuse_taken(engine, names[1:], lineage, what, id)
            image_engine.tag(engine, id, names[1:], what)
        else:
            image_engine.refuse_taken(engine, names, lineage, what)
            id, owned, stages = self._make(context, engine, desired, what)
            image_engine.tag(engine, id, names, what)
        made = desired | {"owned": owned} | ({"stages": list(stages)} if stages else {})
        if known_digest:
            made["digest"] = known_digest
        try:
            pushed = image_push.push_all(context, id, desired)
        except ProviderError as failure:
            failure.partial = _told(engine, id, made, what)
            raise
        if pushed:
            made["digest"] = pushed
        return _told(engine, id, made, what)

    def _make(
        self, context: Context, engine: Engine, desired: Attributes, what: str
    ) -> tuple[str, bool, Sequence[str]]:
        """Its id, whether it is ours, and what its building left besides."""
        if desired.get("build"):
            built = image_build.build(context, desired)
            return built.id, True, built.stages
        labels = mark(context.identity)
        config = desired.get("config") or {}
        platform = desired.get("platform")
        if desired.get("packages"):
            path = image_packages.root_file_system(desired["packages"], platform, what, context.progress, context.check)
            image = image_archive.root_file_system(path, config, labels, engine, platform, what)
            return image_archive.load(engine, image, what, context.check), True, ()
        path = located(context.base_dir, desired["archive"])
        if not os.path.isfile(path):
            failure = FileNotFoundError(2, "No such file", path)
            raise ProviderError(unreadable("archive", desired["archive"], path, failure))
        context.progress(f"loading {desired['archive']}")
        if image_archive.is_saved_image(path, what):
            return *_load_saved(context, engine, path, desired, what), ()
        with image_archive.plain_tar(path, what) as plain:
            image = image_archive.root_file_system(plain, config, labels, engine, platform, what)
            return image_archive.load(engine, image, what, context.check), True, ()

    def update(self, context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
        """Rename, retag and push; the image itself stays."""
        engine: Engine = context.host.engine()
        id = before["id"]
        what = f'Changing image "{desired["name"]}"'
        image = inspected(engine, id)
        if image is None:
            raise ProviderError(error("Image not found", f"{what}: the engine no longer has it. Plan again."))
        names = own_names(desired)
        # a name that was ours and moved away is taken back; a new one must be free
        held = {*own_names(before), *(own_names(desired) if before.get("name") is None else ())}
        fresh = [n for n in names if n not in held and not image.has(n)]
        image_engine.refuse_taken(engine, fresh, context.identity.lineage, what, id)
        image_engine.tag(engine, id, [n for n in names if not image.has(n)], what)
        made = {k: v for k, v in before.items() if k not in changed} | {k: desired[k] for k in changed if k in desired}
        if "push" in changed:
            pushed = image_push.push_all(context, id, desired)
            if pushed:
                made["digest"] = pushed
        if context.host.name == context.local.name:
            rename_copies(context, own_names(before), names, what)
        kept = {*names, *_pushed(desired)}
        image_engine.untag(engine, id, [n for n in (*own_names(before), *_pushed(before)) if n not in kept], what)
        return _told(engine, id, made, what)

    def delete(self, context: Context, before: Attributes) -> None:
        """Take its names away, and the image when nobody else names or uses it. Registries keep theirs."""
        if before.get("keep"):
            return
        engine: Engine = context.host.engine()
        what = f'Removing image "{before.get("name") or before["id"][7:19]}"'
        names = [*own_names(before), *_pushed(before)]
        if context.host.name == context.local.name:
            take_back(context, own_names(before), what)
        if before.get("owned", True):
            image_engine.remove(engine, before["id"], names, what)
            image_engine.remove_unnamed(engine, before.get("stages") or ())
        else:
            first = own_names({"name": before.get("name")})
            image_engine.untag(engine, before["id"], [n for n in names if n not in first], what)

    # -- looking -------------------------------------------------------------------------------

    def read_many(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Observed]:
        """Observe images with one list call."""
        by_id = {image.id: image for image in image_engine.listed(context.host.engine())}
        out: dict[str, Observed] = {}
        for request in requests:
            image = by_id.get(request.attributes.get("id", ""))
            out[request.id] = Presence.ABSENT if image is None else observe(image, request.attributes)
        return out

    def find(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Found]:
        """Images that carry the ids asked for. Whether a push was done cannot be told, so that is no."""
        marked = _marked(context.host.engine(), filters())
        out: dict[str, Found] = {}
        for request in requests:
            image = marked.get(request.id)
            if image is not None:
                wanted = request.attributes
                complete = all(map(image.has, own_names(wanted))) and not wanted.get("push")
                out[request.id] = Found(observe(image, {**wanted, "owned": True}), complete)
        return out

    def find_owned(self, context: ReadContext) -> list[Owned]:
        """Every image that carries the lineage."""
        found = _marked(context.host.engine(), filters(lineage=context.lineage))
        return [
            Owned(image.identity, _imported(image))
            for image in found.values()
            if image.identity is not None and context.is_mine(image.identity)
        ]

    def recognise(self, context: ReadContext, requests: Sequence[ReadRequest]) -> list[Owned]:
        """Pulled images that are there. Who brought them is not known, so removing the resource lets them stay."""
        engine: Engine = context.host.engine()
        out: list[Owned] = []
        for request in requests:
            wanted = dict(request.attributes)
            if source_of(wanted) != "pull" or not wanted.get("name"):
                continue
            image = image_pull.there(engine, wanted)
            if image is not None and all(map(image.has, own_names(wanted)[1:])):
                identity = Identity(context.lineage, request.address, request.id)
                digest = image_pull.digest_of(engine, image, wanted)
                out.append(Owned(identity, observe(image, wanted | {"owned": False} | digest)))
        return out

    def import_object(self, context: Context, object_id: str) -> Attributes:
        """An image by name or id."""
        return _imported(_selected(context.host, object_id, "Importing"), object_id)

    def read_data(self, context: ReadContext, desired: Attributes) -> Attributes:
        """An image by name or id."""
        image = _selected(context.host, desired["name"], "Reading")
        out: Attributes = {"name": desired["name"], "id": image.id, "size": image.size}
        out["tags"] = _spelled(image)
        out["repo_digests"] = list(image.digests)
        if image.digests:
            out["digest"] = image.digests[0].partition("@")[2]
        return out


def _pinned(desired: Attributes, context: PrepareContext) -> Attributes:
    if not is_known(desired["name"]):
        return desired
    pinned = parse_name(desired["name"]).digest or context.lock.get(image_pull.lock_key(desired["name"]))
    return desired | {"digest": pinned} if pinned else desired


def _hashed_build(desired: Attributes, context: PrepareContext) -> tuple[Attributes, list[Diagnostic]]:
    build = desired["build"]
    if not (is_known(build.get("context")) and is_known(build.get("dockerfile"))):
        return desired | {"content_hash": Unknown(STRING)}, []
    folder, dockerfile = located(context.base_dir, build["context"]), build["dockerfile"]
    try:
        ignored = ignore_file(folder, dockerfile, context.reader.exists)
    except OSError as failure:
        return desired, [unreadable("build.context", build["context"], folder, failure)]
    tree, problems = digest(context, build["context"], "build.context", ignored)
    recipe, more = digest(context, os.path.join(folder, dockerfile), "build.dockerfile")
    if tree is None or recipe is None:
        return desired, problems or more
    import hashlib

    both = hashlib.sha256(f"{tree}\0{recipe}".encode()).hexdigest()
    return desired | {"content_hash": f"sha256:{both}"}, []


def _what(build: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in build.items() if k not in _BUILD_HOW}


def _target(push: Mapping[str, Any]) -> tuple[str, str]:
    return str(push.get("registry")), str(push.get("name") or "")


def _load_saved(context: Context, engine: Engine, path: str, desired: Attributes, what: str) -> tuple[str, bool]:
    if desired.get("config"):
        raise ProviderError(
            error(
                "Image has its own configuration",
                f"{what}: {path} holds a whole image, which says itself what it does when started. "
                "Leave out `config`, or give an archive of a root file system.",
            )
        )
    with tarfile.open(path) as tar:
        image = image_archive.saved_image(tar, path, desired.get("platform"), what)
        there = inspected(engine, image.id) is not None
        return image_archive.load(engine, image, what, context.check), not there


def _pushed(attributes: Mapping[str, Any]) -> list[str]:
    if not attributes.get("name"):
        return []
    return [pushed_name(attributes, push) for push in attributes.get("push") or ()]


def _told(engine: Engine, id: str, known: Attributes, what: str) -> Attributes:
    image = inspected(engine, id)
    if image is None:
        raise ProviderError(error("Image vanished", f"{what}: the engine made it and no longer has it."))
    return observe(image, known)


def _marked(engine: Engine, wanted: Mapping[str, Any]) -> dict[str, EngineImage]:
    return {i.identity.id: i for i in image_engine.listed(engine, wanted) if i.identity is not None}


def _spelled(image: EngineImage) -> list[str]:
    return sorted(str(parse_name(name)) for name in image.names)


def _imported(image: EngineImage, name: str | None = None) -> Attributes:
    names = _spelled(image)
    first = names[0] if names else None
    if name is not None and not image.id.startswith((name, f"sha256:{name}")):
        first = name
    out: Attributes = {"pull": "missing", "keep": False, "owned": True}
    if first is not None:
        out["name"] = first
    return observe(image, out)


def _selected(host: Host, name: str, doing: str) -> EngineImage:
    engine: Engine = host.engine()
    image = inspected(engine, name)
    if image is None:
        raise ProviderError(
            error(
                "Image not found",
                f'{doing} image "{name}": the engine of {host.name} has none of that name or id. '
                f"`{engine.kind} image ls` shows those it has.",
            )
        )
    return image
