"""The lock file ``hythe.lock.hcl``: what a name resolved to, so that it resolves to that again.

::

    image "docker.io/library/nginx:1.27" {
      digest = "sha256:..."
    }

    module "git::https://example.com/net.git?ref=v1.2" {
      revision = "5f1c..."
      digest   = "sha256:..."
    }
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields

from hythe.diagnostic import Diagnostic, DiagnosticError, error
from hythe.files import replace_file
from hythe.modules.blocks import static_text
from hythe.modules.files import read_text
from hythe.modules.syntax.tree import Block

NAME = "hythe.lock.hcl"
_HEADER = "# Kept by Hythe: commit this file, so that everyone gets the same content.\n"


@dataclass(frozen=True, slots=True)
class Pin:
    """What a module's source resolved to. ``revision`` is a git commit, ``version`` that of its tag."""

    digest: str
    version: str | None = None
    revision: str | None = None


def load(root: str) -> tuple[dict[str, str], list[Diagnostic]]:
    """The locked digests of everything but modules, by ``<kind>:<name>``."""
    digests, _, found = _read(root)
    return digests, found


def load_modules(root: str) -> tuple[dict[str, Pin], list[Diagnostic]]:
    """The locked modules by source, with the version constraint where there is one."""
    _, modules, found = _read(root)
    return modules, found


def _read(root: str) -> tuple[dict[str, str], dict[str, Pin], list[Diagnostic]]:
    from hythe.modules import syntax

    path = os.path.join(root, NAME)
    if not os.path.exists(path):
        return {}, {}, []
    text, problem = read_text(path, NAME)
    if problem is not None:
        return {}, {}, [problem]
    body, found = syntax.parse(text, NAME)
    locked: dict[str, str] = {}
    modules: dict[str, Pin] = {}
    for block in body.blocks:
        values = {f.name: _text(block, f.name) for f in fields(Pin)}
        digest = values.pop("digest")
        if len(block.labels) != 1 or not digest:
            place = body.source.range(block.start, block.header_end)
            text_ = 'An entry must read like: image "name" { digest = "sha256:..." }. Remove it to resolve it anew.'
            found.append(error("Invalid lock file entry", text_, place))
        elif block.type == "module":
            modules[block.labels[0].text] = Pin(digest, **values)
        else:
            locked[f"{block.type}:{block.labels[0].text}"] = digest
    return locked, modules, found


def _text(block: Block, name: str) -> str | None:
    attribute = block.body.attributes.get(name)
    return static_text(attribute.expression) if attribute is not None else None


def render(locked: Mapping[str, str], modules: Mapping[str, Pin] | None = None) -> str:
    """The file's text, in order of name."""
    out = [_HEADER]
    for key in sorted(locked):
        kind, _, name = key.partition(":")
        out.append(f'\n{kind} {_quoted(name)} {{\n  digest = "{locked[key]}"\n}}\n')
    for key, pin in sorted((modules or {}).items()):
        given = {n: v for n in ("version", "revision", "digest") if (v := getattr(pin, n))}
        width = max(map(len, given))
        lines = "".join(f"  {n:<{width}} = {_quoted(v)}\n" for n, v in given.items())
        out.append(f"\nmodule {_quoted(key)} {{\n{lines}}}\n")
    return "".join(out)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "$${").replace("%{", "%%{") + '"'


def save(root: str, locked: Mapping[str, str] | None = None, modules: Mapping[str, Pin] | None = None) -> None:
    """Write the file by atomic replace; what is not given stays as it is in it. Raises :class:`DiagnosticError`."""
    digests, pins, _ = _read(root)
    text = render(digests if locked is None else locked, pins if modules is None else modules)
    path = os.path.join(root, NAME)
    try:
        replace_file(path, text.encode(), 0o644)
    except OSError as failure:
        raise DiagnosticError(
            error("Lock file not written", f"{path} cannot be written: {failure.strerror}. What was fetched stays.")
        ) from failure
