"""Files that are put into a container before it starts."""

from __future__ import annotations

import base64
import io
import os
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

from hythe.diagnostic import Diagnostic, error
from hythe.provider.container.archive_write import packed
from hythe.provider.container.client import Engine, EngineError, refused
from hythe.provider.protocol import Attributes, PrepareContext, ProviderError
from hythe.value import Unknown, is_known


def digests(blocks: Sequence[Any], context: PrepareContext) -> tuple[list[Any], list[Diagnostic]]:
    """``file`` blocks with the digest of each source, which decides whether the container is replaced."""
    out: list[Any] = []
    problems: list[Diagnostic] = []
    for block in blocks:
        if not isinstance(block, Mapping) or not is_known(block.get("source")) or block.get("source") is None:
            out.append(block)
            continue
        path = os.path.join(context.base_dir, block["source"])
        try:
            out.append({**block, "digest": context.reader.digest(path)})
        except OSError as failure:
            problems.append(
                error(
                    "File cannot be read",
                    f'The file "{block["source"]}" for {block.get("target")} cannot be read: '
                    f"{failure.strerror or failure}. Its path is relative to the folder of the module.",
                )
            )
            out.append(block)
    return out, problems


def put_files(engine: Engine, container_id: str, attributes: Attributes, base_dir: str, what: str) -> None:
    """Put the declared files in place. Raises ProviderError."""
    blocks = attributes.get("file", ())
    if not blocks:
        return
    archive = io.BytesIO()
    with packed(archive) as tar:
        for block in sorted(blocks, key=lambda b: str(b["target"])):
            content = _content(block, base_dir, what)
            entry = tarfile.TarInfo(block["target"].lstrip("/"))
            entry.size = len(content)
            entry.mode = int(block.get("mode") or ("0755" if block.get("executable") else "0644"), 8)
            entry.uid, entry.gid = int(block.get("uid", 0)), int(block.get("gid", 0))
            tar.addfile(entry, io.BytesIO(content))
    try:
        engine.request("PUT", f"/containers/{container_id}/archive", query={"path": "/"}, body=archive.getvalue())
    except EngineError as failure:
        raise refused(failure, f"{what}: putting its files in place") from failure


def _content(block: Mapping[str, Any], base_dir: str, what: str) -> bytes:
    assert not isinstance(block.get("content"), Unknown)
    if "content" in block:
        return str(block["content"]).encode()
    if "content_base64" in block:
        return base64.b64decode(block["content_base64"])
    path = os.path.join(base_dir, block["source"])
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as failure:
        detail = f"{what}: the file {block['source']} cannot be read: {failure.strerror or failure}."
        raise ProviderError(error("File cannot be read", detail)) from failure
