"""Modules that ``hythe init`` has fetched: where they are, and whether they are those of the lock file."""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from hythe.diagnostic import Diagnostic, error
from hythe.modules.config import ModuleCall
from hythe.modules.files import LIBRARY, real_directory
from hythe.modules.sources import ModuleSource

FOLDER = ".hythe/modules"
MANIFEST = f"{FOLDER}/modules.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """What the manifest tells of a module."""

    directory: str
    digest: str
    version: str | None = None
    revision: str | None = None


def key_of(call: ModuleCall, source: ModuleSource, caller: str) -> str:
    """What names a fetched module in manifest and lock file; ``caller`` is the directory of who calls it."""
    where = source.location
    if source.sort == "git":
        where = f"git::{where}" + (f"?ref={source.ref}" if source.ref is not None else "")
    elif "://" not in where:
        where = posixpath.normpath(posixpath.join(caller, where))
    if source.checksum is not None:
        where = f"{where}?checksum={source.checksum}"
    return where if call.version is None else f"{where} {call.version}"


def read_pins(root: str) -> dict[str, str]:
    """The digests of the lock file by key; what is wrong in it is told by those who write it."""
    from hythe.modules import lockfile

    return {key: pin.digest for key, pin in lockfile.load_modules(root)[0].items()}


def parse_manifest(text: str | None) -> dict[str, Entry]:
    """The manifest's entries by key. One that cannot be read counts as none: init writes it anew."""
    try:
        entries = json.loads(text or "{}")["modules"]
        return {str(k): Entry(**v) for k, v in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def render_manifest(entries: Mapping[str, Entry]) -> str:
    """The manifest's text."""
    return json.dumps({"modules": {k: asdict(e) for k, e in sorted(entries.items())}}, indent=2) + "\n"


class Installed:
    """What is there. ``pins`` are the lock file's digests, None where they do not matter."""

    def __init__(self, manifest: str | None, pins: Mapping[str, str] | None) -> None:
        self.entries = parse_manifest(manifest)
        self.pins = pins

    def find(self, call: ModuleCall, source: ModuleSource, caller: str) -> str | Diagnostic:
        """The directory that holds what a call's source gives, or why there is none."""
        key = key_of(call, source, caller)
        entry = self.entries.get(key)
        if entry is None:
            text = f'The module "{call.name}" has not been fetched yet. `hythe init` does.'
            return error("Module not installed", text, call.source_range)
        if self.pins is not None and self.pins.get(key) != entry.digest:
            text = f'The module "{call.name}" is not the one that hythe.lock.hcl names. `hythe init` fetches it.'
            return error("Module not installed", text, call.source_range)
        return entry.directory


def library_names() -> list[str]:
    """The ready-made modules."""
    folder = real_directory("", LIBRARY)
    try:
        return sorted(n for n in os.listdir(folder) if os.path.isdir(os.path.join(folder, n)) and n[0] not in "._")
    except OSError:
        return []
