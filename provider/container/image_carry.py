"""Carrying an image from the engine it was made on to another one that uses it, without a registry.

What the other engine has already is not sent: an image of the same id is left alone, and layers that it has of other
images are left out. The rest goes as one compressed stream.
"""

from __future__ import annotations

import json
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from hythe.diagnostic import error
from hythe.provider.container.archive_check import unreadable_archive
from hythe.provider.container.client import Engine, EngineError, refused, segment
from hythe.provider.container.image_archive import Loadable, load, saved_image
from hythe.provider.container.image_engine import inspected, own_names, remove, tag, untag
from hythe.provider.protocol import Context, HostUnreachable, ProviderError, Referent

_MOST_IMAGES = 200
"""Of how many images of the other engine the layers are looked at."""
_SAY_SECONDS = 0.5

_lock = threading.Lock()
_under_way: dict[tuple[str, str], threading.Lock] = {}


def carry(context: Context, engine: Engine, there: Referent, what: str) -> str:
    """Have the local image that ``there`` stands for on ``engine``; the name or id to ask that engine for.

    Raises ProviderError.
    """
    id, name = str(there.attributes["id"]), str(there.attributes.get("name") or "")
    with _one_at_a_time(context.host.name, id):
        image = inspected(engine, id)
        if image is None:
            _send(context, engine, there, what)
            image = inspected(engine, copy_name(there.id))
            if image is None:
                raise ProviderError(
                    error(
                        "Image not carried",
                        f"{what}: {there.address} was sent to {context.host.name}, and its engine does not have it. "
                        "Something removes images there; apply again.",
                    )
                )
        elif image.names:
            # there by another's doing, who names it: then taking back ends with our names
            tag(engine, image.id, [copy_name(there.id)], what)
        names = own_names(there.attributes)
        tag(engine, image.id, names, what)
    return name if name in names else image.id


def copy_name(id: str) -> str:
    """The name that marks a copy as one of the image instance with that id."""
    return f"hythe/copy:{id}"


def take_back(context: Context, names: Sequence[str], what: str) -> None:
    """Remove the copies of an image from the machines it was carried to. ``names`` are those that it has there.

    What is out of reach keeps its copy; that is told. Raises ProviderError.
    """
    mark = copy_name(context.identity.id)
    for host, engine, id in _copies(context):
        remove(engine, id, [mark, *names], f"{what} from {host}")


def rename_copies(context: Context, before: Sequence[str], after: Sequence[str], what: str) -> None:
    """Give the copies of an image the names that it has now. Raises ProviderError."""
    if list(before) == list(after):
        return
    for host, engine, id in _copies(context):
        tag(engine, id, after, f"{what} on {host}")
        untag(engine, id, [name for name in before if name not in after], f"{what} on {host}")


def _copies(context: Context) -> Iterator[tuple[str, Engine, str]]:
    """Where an image has copies: the host's name, its engine and the copy's id."""
    mark = copy_name(context.identity.id)
    for host in context.others():
        try:
            engine: Engine = host.engine()
            image = inspected(engine, mark)
        except HostUnreachable:
            context.progress(f"a copy may be left as it is on {host.name}, which cannot be reached")
            continue
        if image is not None and image.has(mark):
            yield host.name, engine, image.id


@contextmanager
def _one_at_a_time(host: str, id: str) -> Iterator[None]:
    """Containers of one image that start at the same time have it carried once."""
    with _lock:
        mine = _under_way.setdefault((host, id), threading.Lock())
    with mine:
        yield


def _send(context: Context, engine: Engine, there: Referent, what: str) -> None:
    with tempfile.TemporaryFile(prefix="hythe-carry-") as file:
        _save(context, file, there, what)
        with _opened(file, there, what) as tar:
            image = saved_image(tar, f"what the engine saved of {there.address}", None, what)
            known = _layers_there(engine, image, what)
            try:
                _load(context, engine, image, there, what, known)
                return
            except ProviderError:
                # an engine that wants every layer, or one whose layers went just now
                if not known:
                    raise
            _load(context, engine, image, there, what, 0)


@contextmanager
def _opened(file: IO[bytes], there: Referent, what: str) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            yield tar
    except tarfile.TarError as failure:
        raise ProviderError(unreadable_archive(f"what the engine saved of {there.address}", what, failure)) from failure


def _save(context: Context, file: IO[bytes], there: Referent, what: str) -> None:
    id = str(there.attributes["id"])
    source: Engine = context.local.engine()
    if inspected(source, id) is None:
        raise ProviderError(
            error(
                "Image not found",
                f"{what}: {there.address} has to be carried to {context.host.name}, and the engine of "
                f"{context.local.name} no longer has it. Plan again, and it is made again.",
            )
        )
    try:
        with source.stream("GET", f"/images/{segment(id)}/get", timeout=0) as saved:
            for piece in saved.chunks(1 << 20):
                context.check()
                file.write(piece)
    except EngineError as failure:
        raise refused(failure, what) from failure
    except OSError as failure:
        raise ProviderError(
            error(
                "Image not carried",
                f"{what}: {there.address} does not fit into {tempfile.gettempdir()} on its way: {failure.strerror}. "
                "Make room there, or name a larger folder in TMPDIR.",
            )
        ) from failure
    file.seek(0)


def _load(context: Context, engine: Engine, image: Loadable, there: Referent, what: str, known: int) -> None:
    total = sum({layer.name: layer.size for layer in image.layers[known:]}.values())
    head = f"carrying {there.attributes.get('name') or there.address} to {context.host.name}"
    kept = f", {known} of {len(image.layers)} layers are there" if known else ""
    context.progress(head + kept)
    sent = _teller(context.progress, head, total)
    load(
        engine,
        image,
        what,
        context.check,
        # with the mark from the first moment on: a copy that a killed run sent is found, and taken back
        name=copy_name(there.id),
        leave_out=known,
        # Podman's engine reads plain archives only
        pack=engine.kind == "docker",
        sent=sent,
    )


def _teller(progress: Callable[[str], None], head: str, total: int) -> Callable[[int], None]:
    told = time.monotonic()

    def sent(size: int) -> None:
        nonlocal told
        if time.monotonic() - told > _SAY_SECONDS:
            told = time.monotonic()
            progress(f"{head}: {min(size, total) >> 20} of {total >> 20} MiB")

    return sent


def _layers_there(engine: Engine, image: Loadable, what: str) -> int:
    """How many of the image's lowest layers the engine has.

    A layer counts with all that is below it, as engines know layers by the whole stack. Podman's engine reads every
    layer of an archive, so there it is none.
    """
    if engine.kind != "docker":
        return 0
    wanted = json.loads(image.config).get("rootfs", {}).get("diff_ids") or []
    if len(wanted) != len(image.layers):
        return 0
    most = 0
    try:
        for item in engine.request("GET", "/images/json").json()[:_MOST_IMAGES]:
            told = engine.request("GET", f"/images/{segment(item['Id'])}/json").json()
            most = max(most, _common(wanted, (told.get("RootFS") or {}).get("Layers") or ()))
    except EngineError as failure:
        # one that was removed between the two questions
        if failure.status != 404:
            raise refused(failure, what) from failure
    return most


def _common(one: Sequence[Any], other: Sequence[Any]) -> int:
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count
