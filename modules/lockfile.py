"""The lock file ``hythe.lock.hcl``: what a name resolved to, so that it resolves to that again.

::

    image "docker.io/library/nginx:1.27" {
      digest = "sha256:..."
    }
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping

from hythe.diagnostic import Diagnostic, DiagnosticError, error
from hythe.modules.blocks import static_text
from hythe.modules.loader import read_text

NAME = "hythe.lock.hcl"
_HEADER = "# Kept by Hythe: commit this file, so that everyone gets the same content.\n"


def load(root: str) -> tuple[dict[str, str], list[Diagnostic]]:
    """The locked digests, by ``<kind>:<name>``."""
    from hythe.modules import syntax

    path = os.path.join(root, NAME)
    if not os.path.exists(path):
        return {}, []
    text, problem = read_text(path, NAME)
    if problem is not None:
        return {}, [problem]
    body, found = syntax.parse(text, NAME)
    locked: dict[str, str] = {}
    for block in body.blocks:
        attribute = block.body.attributes.get("digest")
        digest = static_text(attribute.expression) if attribute is not None else None
        if len(block.labels) != 1 or not digest:
            place = body.source.range(block.start, block.header_end)
            text_ = 'An entry must read like: image "name" { digest = "sha256:..." }. Remove it to resolve it anew.'
            found.append(error("Invalid lock file entry", text_, place))
            continue
        locked[f"{block.type}:{block.labels[0].text}"] = digest
    return locked, found


def render(locked: Mapping[str, str]) -> str:
    """The file's text, in order of name."""
    out = [_HEADER]
    for key in sorted(locked):
        kind, _, name = key.partition(":")
        quoted = name.replace("\\", "\\\\").replace('"', '\\"').replace("${", "$${").replace("%{", "%%{")
        out.append(f'\n{kind} "{quoted}" {{\n  digest = "{locked[key]}"\n}}\n')
    return "".join(out)


def save(root: str, locked: Mapping[str, str]) -> None:
    """Write the file by atomic replace. Raises :class:`DiagnosticError`."""
    path = os.path.join(root, NAME)
    try:
        handle, temporary = tempfile.mkstemp(dir=root, prefix=".hythe.lock.")
        with os.fdopen(handle, "w") as file:
            os.fchmod(handle, 0o644)
            file.write(render(locked))
            file.flush()
            os.fsync(handle)
        os.replace(temporary, path)
    except OSError as failure:
        raise DiagnosticError(
            error("Lock file not written", f"{path} cannot be written: {failure.strerror}. What was pulled stays.")
        ) from failure
