"""Putting content into a new volume without running anything.

The engine unpacks an archive into a container that was created but never started, and that includes the
volumes mounted in it. The container needs some image, so one without any content is imported for the
purpose and removed afterwards. Both carry :data:`HELPER`, so that what a crash left is found and removed.
"""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

from hythe.provider.container.archive_check import refuse_unsafe, unreadable_archive
from hythe.provider.container.archive_write import packed
from hythe.provider.container.client import Engine, EngineError, segment
from hythe.provider.container.inputs import located, unreadable
from hythe.provider.container.labels import PREFIX
from hythe.provider.protocol import ProviderError

HELPER = PREFIX + "helper"
"""Label of helper objects; its value is the id of the instance they were made for."""

_TARGET = "/seed"
_SPOOL_BYTES = 16 << 20


def seed_archive(seed: Mapping[str, Any], base_dir: str, what: str) -> IO[bytes]:
    """The content of a ``seed`` block as a plain tar archive, at its start. Raises ProviderError.

    A folder's files belong to root unless ``uid`` and ``gid`` say otherwise, as with COPY in a
    Dockerfile; an archive's keep their owners unless those are given.
    """
    out = tempfile.SpooledTemporaryFile(_SPOOL_BYTES)  # noqa: SIM115 - the caller closes it
    owner = (seed.get("uid"), seed.get("gid"))
    source = seed.get("source")
    path = located(base_dir, source or seed["archive"])
    try:
        with packed(out) as target:
            if source:
                _add_tree(target, path, (owner[0] or 0, owner[1] or 0))
            else:
                _copy_members(target, path, owner, what)
    except tarfile.TarError as failure:
        raise ProviderError(unreadable_archive(path, what, failure)) from failure
    except OSError as failure:
        argument = "seed.source" if source else "seed.archive"
        raise ProviderError(unreadable(argument, source or seed["archive"], path, failure)) from failure
    return out


def _add_tree(target: tarfile.TarFile, root: str, owner: tuple[int, int]) -> None:
    def owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid, member.gid, member.uname, member.gname = owner[0], owner[1], "", ""
        return member

    if not os.path.isdir(root):
        raise NotADirectoryError(20, "not a folder: use `archive` for an archive", root)
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted([*files, *folders]):
            full = os.path.join(folder, name)
            # every entry by itself: adding a folder whole would not keep the order
            target.add(full, os.path.relpath(full, root), recursive=False, filter=owned)


def _copy_members(target: tarfile.TarFile, path: str, owner: tuple[int | None, int | None], what: str) -> None:
    with tarfile.open(path) as source:
        for member in source:
            wrong = refuse_unsafe(path, member, what)
            if wrong is not None:
                raise ProviderError(wrong)
            if owner[0] is not None:
                member.uid, member.uname = owner[0], ""
            if owner[1] is not None:
                member.gid, member.gname = owner[1], ""
            target.addfile(member, source.extractfile(member) if member.isreg() else None)


def put_content(engine: Engine, volume: str, archive: IO[bytes], owner_id: str) -> None:
    """Unpack ``archive`` into the volume. Raises :class:`EngineError`."""
    image = _empty_image(engine, owner_id)
    try:
        container = engine.request(
            "POST",
            "/containers/create",
            json={
                "Image": image,
                "Cmd": ["-"],
                "Labels": {HELPER: owner_id},
                "HostConfig": {
                    "NetworkMode": "none",
                    "Mounts": [{"Type": "volume", "Source": volume, "Target": _TARGET}],
                },
            },
        ).json()["Id"]
        try:
            engine.request(
                "PUT", f"/containers/{segment(container)}/archive", query={"path": _TARGET}, body=archive, timeout=0
            )
        finally:
            _quietly(engine, f"/containers/{segment(container)}", force=True)
    finally:
        _quietly(engine, f"/images/{segment(image)}")


def remove_helpers(engine: Engine, owner_id: str) -> None:
    """Remove helpers that an interrupted call for this instance left behind."""
    wanted = {"label": [f"{HELPER}={owner_id}"]}
    with suppress(EngineError):
        for item in engine.request("GET", "/containers/json", query={"all": True, "filters": wanted}).json() or ():
            _quietly(engine, f"/containers/{segment(item['Id'])}", force=True)
        for item in engine.request("GET", "/images/json", query={"filters": wanted}).json() or ():
            _quietly(engine, f"/images/{segment(item['Id'])}")


def _empty_image(engine: Engine, owner_id: str) -> str:
    content = io.BytesIO()
    tarfile.open(fileobj=content, mode="w").close()
    query = {"fromSrc": "-", "changes": f"LABEL {HELPER}={owner_id}"}
    image = ""
    with engine.stream("POST", "/images/create", query=query, body=content.getvalue()) as answer:
        for message in answer.json_lines():
            image = str(message.get("status") or image).strip()
    return image


def _quietly(engine: Engine, path: str, force: bool | None = None) -> None:
    with suppress(EngineError):
        engine.request("DELETE", path, query={"force": force})
