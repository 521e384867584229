"""Build contexts: which files belong to one, and their archive."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Mapping
from typing import IO

_SPOOL_BYTES = 16 << 20
OUTSIDE = ".hythe.Dockerfile"
"""Name in the archive of a Dockerfile that lies outside the context."""


def ignore_file(context: str, dockerfile: str, exists: object = os.path.isfile) -> str | None:
    """The context's ignore file, relative to it: the Dockerfile's own one, else .dockerignore, or None.

    ``exists`` says whether a path is a file.
    """
    assert callable(exists)
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        if exists(os.path.join(context, name)):
            return name
    return None


def context_files(context: str, dockerfile: str) -> list[str]:
    """Files and folders of a context that its ignore file leaves in, sorted, relative to it."""
    name = ignore_file(context, dockerfile)
    patterns: list[str] = []
    if name is not None:
        with open(os.path.join(context, name), encoding="utf-8", errors="replace") as file:
            patterns = [text for line in file if (text := line.strip()) and not text.startswith("#")]
    if patterns:
        from docker.utils.build import exclude_paths

        return sorted(p for p in exclude_paths(context, patterns, dockerfile=os.path.normpath(dockerfile)) if p)
    out: list[str] = []
    for folder, folders, files in os.walk(context):
        relative = os.path.relpath(folder, context)
        out += [name if relative == "." else f"{relative}/{name}" for name in (*folders, *files)]
    return sorted(out)


def context_archive(context: str, dockerfile: str, extra: Mapping[str, bytes] | None = None) -> tuple[IO[bytes], str]:
    """The context as a tar archive at its start, and the Dockerfile's name in it.

    Owners are root, as the docker command sends them. ``extra`` adds files (secrets of Podman's builder).
    Raises OSError.
    """
    out = tempfile.SpooledTemporaryFile(_SPOOL_BYTES)  # noqa: SIM115 - the caller closes it
    inside = os.path.normpath(dockerfile)
    added = dict(extra or {})
    if inside.startswith("..") or os.path.isabs(inside):
        with open(os.path.join(context, dockerfile), "rb") as file:
            added[OUTSIDE] = file.read()
        inside = OUTSIDE
    if not os.path.isdir(context):
        raise NotADirectoryError(20, "not a folder", context)
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in context_files(context, dockerfile):
            tar.add(os.path.join(context, name), name, recursive=False, filter=_as_root)
        for name, content in added.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o600
            tar.addfile(member, io.BytesIO(content))
    out.seek(0)
    return out, inside


def _as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    # whole seconds need no extended header, and the builder looks at contents only
    member.mtime = int(member.mtime)
    return member
