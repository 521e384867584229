"""Fetching the modules of a configuration: ``hythe init``.

What is fetched is kept below ``.hythe/modules``, each content once; the lock file holds what each source resolved
to, so that it is the same content everywhere until ``hythe init --upgrade``.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable

from hythe.diagnostic import Diagnostic, error, has_errors
from hythe.files import replace_file
from hythe.modules import lockfile, packages
from hythe.modules.config import Config, ModuleCall
from hythe.modules.early import Early
from hythe.modules.files import Disk
from hythe.modules.installed import FOLDER, MANIFEST, Entry, Installed, key_of, render_manifest
from hythe.modules.loader import Loader
from hythe.modules.lockfile import Pin
from hythe.modules.packages import FetchError
from hythe.modules.parsecache import ParseCache
from hythe.modules.sources import ModuleSource
from hythe.modules.version import VersionError


def install(
    root: str, say: Callable[[str], None], *, upgrade: bool = False, read_only: bool = False, early: Early | None = None
) -> tuple[Config, list[Diagnostic]]:
    """Load a configuration, fetching the modules that are missing; ``upgrade`` finds all of them anew.

    With ``read_only`` the lock file stays as it is: what is not in it is an error.

    Raises DiagnosticError when the lock file cannot be written.
    """
    pins, found = lockfile.load_modules(root)
    if found:
        from hythe.modules.loader import load

        config, more = load(root, early)
        return config, [*found, *more]
    texts = Disk(root)
    installer = _Installer(root, texts.single(MANIFEST), pins, say, upgrade, read_only)
    config, found = Loader(root, texts, installer, ParseCache(root).parse, early).load()
    config = Config(config.root, config.module, {**config.files, **installer.finish(keep=has_errors(found))})
    return config, found


class _Installer(Installed):
    """Finds modules, and fetches what is not there."""

    def __init__(
        self,
        root: str,
        manifest: str | None,
        pins: dict[str, Pin],
        say: Callable[[str], None],
        upgrade: bool,
        read_only: bool,
    ) -> None:
        super().__init__(manifest, None)
        self.root, self.say, self.upgrade, self.read_only = root, say, upgrade, read_only
        self.locked = dict(pins)
        self.used: dict[str, Entry] = {}

    def find(self, call: ModuleCall, source: ModuleSource, caller: str) -> str | Diagnostic:
        """See :class:`~hythe.modules.installed.Installed`."""
        key = key_of(call, source, caller)
        if key in self.used:
            return self.used[key].directory
        entry, pin = self.entries.get(key), None if self.upgrade else self.locked.get(key)
        if pin is None and self.read_only:
            text = (
                f'The module "{call.name}" comes from {key}, which is not in {lockfile.NAME}, and that is read-only. '
            )
            return error("Module not locked", f"{text}Run `hythe init` without --lockfile.", call.source_range)
        there = entry is not None and os.path.isdir(os.path.join(self.root, entry.directory))
        if entry is None or not there or pin is None or pin.digest != entry.digest:
            try:
                entry = self._fetch(call, source, caller, key, pin)
            except (FetchError, VersionError) as failure:
                text = f'The module "{call.name}" could not be fetched from {key}. {failure}.'
                return error("Module not fetched", text, call.source_range)
            except OSError as failure:
                text = f"{os.path.join(self.root, FOLDER)} cannot be written: {failure.strerror}."
                return error("Module not fetched", text, call.source_range)
        self.used[key] = entry
        self.locked[key] = Pin(entry.digest, entry.version, entry.revision)
        return entry.directory

    def _fetch(self, call: ModuleCall, source: ModuleSource, caller: str, key: str, pin: Pin | None) -> Entry:
        folder = os.path.join(self.root, FOLDER)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as temporary:
            target = os.path.join(temporary, "module")
            if source.sort == "git":
                entry = self._clone(call, source, target, pin)
            else:
                entry = self._unpack(source, caller, target)
            if pin is not None and pin.digest != entry.digest:
                raise FetchError(
                    "What is there now is not what hythe.lock.hcl names. If that is meant, `hythe init --upgrade` "
                    "takes it"
                )
            name = re.sub(r"[^A-Za-z0-9_-]", "-", call.name)
            directory = f"{FOLDER}/{name}-{entry.digest.removeprefix('sha256:')[:12]}"
            place = os.path.join(self.root, directory)
            if not os.path.isdir(place):
                os.rename(target, place)
        told = entry.version or (entry.revision or "")[:12]
        self.say(f"Fetched module {call.name} from {key}" + (f" ({told})." if told else "."))
        return Entry(directory, entry.digest, entry.version, entry.revision)

    def _clone(self, call: ModuleCall, source: ModuleSource, target: str, pin: Pin | None) -> Entry:
        version, ref = None, source.ref
        if pin is not None and pin.revision is not None:
            version, ref = pin.version, pin.revision
        elif call.version is not None:
            if source.ref is not None:
                raise FetchError("ref and version both say which one is wanted: delete one of them")
            version, ref = packages.newest_version(source.location, call.version)
        revision = packages.clone(source, ref, target)
        packages.check_links(target)
        return Entry("", packages.digest(target), version, revision)

    def _unpack(self, source: ModuleSource, caller: str, target: str) -> Entry:
        location = source.location
        if "://" not in location:
            location = os.path.join(self.root, caller, location)
        with tempfile.TemporaryDirectory(dir=os.path.dirname(target), prefix=".archive-") as folder:
            archive = os.path.join(folder, "archive")
            packages.copy_archive(source, location, archive)
            packages.unpack(archive, source.archive or ".zip", target)
        return Entry("", packages.digest(target))

    def finish(self, *, keep: bool) -> dict[str, str]:
        """Write manifest and lock file, and delete what nothing uses any more; gives the manifest as a file.

        ``keep`` what was not used: where something is wrong, not all could be looked at.
        """
        if not self.used and not self.entries and not self.locked:
            return {}
        folder = os.path.join(self.root, FOLDER)
        entries = {**self.entries, **self.used} if keep else self.used
        pins = self.locked if keep else {k: p for k, p in self.locked.items() if k in self.used}
        text = render_manifest(entries)
        if entries or os.path.isdir(folder):
            os.makedirs(folder, mode=0o700, exist_ok=True)
            replace_file(os.path.join(self.root, MANIFEST), text.encode())
            kept = {os.path.basename(e.directory) for e in entries.values()}
            for name in os.listdir(folder):
                path = os.path.join(folder, name)
                if name not in kept and os.path.isdir(path) and not os.path.islink(path):
                    shutil.rmtree(path, ignore_errors=True)
        if not self.read_only and pins != lockfile.load_modules(self.root)[0]:
            lockfile.save(self.root, modules=pins)
        return {MANIFEST: text}
