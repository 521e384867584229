"""Loading a configuration: the root module, and every module that it calls.

Modules beside the configuration are read where they are; those of git repositories and archives are read where
``hythe init`` has put them (see :mod:`hythe.modules.installed`). Everything found wrong is collected, so that one
run reports all of it.
"""

from __future__ import annotations

import gc
import posixpath
from collections.abc import Mapping
from dataclasses import replace

from hythe import __version__
from hythe.diagnostic import Diagnostic, did_you_mean, error
from hythe.modules import installed, syntax
from hythe.modules.config import Config, Module, ModuleCall, Settings
from hythe.modules.declarations import collect
from hythe.modules.early import RECORD, Early, Surroundings, parse_record, render_record
from hythe.modules.files import LIBRARY, Carried, Disk, Texts, real_directory
from hythe.modules.parsecache import ParseCache
from hythe.modules.sources import SourceError, parse_source
from hythe.modules.standing import check_moved, check_removed
from hythe.modules.syntax import Parse
from hythe.modules.version import Constraint, VersionError

MAX_DEPTH = 100


def load(root: str, early: Early | None = None) -> tuple[Config, list[Diagnostic]]:
    """Load the configuration in a directory. The result is usable as far as the files were.

    ``early`` is what sources of modules may be made of; without it those that are no literals are errors.
    """
    texts = Disk(root)
    manifest = texts.single(installed.MANIFEST)
    # without fetched modules the lock file has nothing to say here
    pins = installed.read_pins(root) if manifest is not None else None
    return Loader(root, texts, installed.Installed(manifest, pins), ParseCache(root).parse, early).load()


def load_texts(
    root: str, files: Mapping[str, str], parse: Parse = syntax.parse_file
) -> tuple[Config, list[Diagnostic]]:
    """Load a configuration from texts (a plan carries its own)."""
    texts = Carried(files)
    loader = Loader(root, texts, installed.Installed(texts.single(installed.MANIFEST), None), parse)
    loader.carried = texts.single(RECORD)
    return loader.load()


class Loader:
    """Loads one configuration; modules of one directory are read once."""

    def __init__(
        self, root: str, texts: Texts, there: installed.Installed, parse: Parse, early: Early | None = None
    ) -> None:
        self.root = root
        self.early = early
        self.carried: str | None = None
        self._sources: dict[str, list[str | None]] = {}
        self._tries = 0
        self.parse = parse
        self.texts = texts
        self.found: list[Diagnostic] = []
        self.files: dict[str, str] = {}
        manifest = texts.single(installed.MANIFEST)
        if manifest is not None:
            self.files[installed.MANIFEST] = manifest
        self.installed = there
        self._modules: dict[str, Module] = {}
        self._empty: set[str] = set()

    def load(self) -> tuple[Config, list[Diagnostic]]:
        """The configuration, and what is wrong with it. The garbage collector rests: all that is made is kept."""
        was_on = gc.isenabled()
        gc.disable()
        try:
            return self._load()
        finally:
            if was_on:
                gc.enable()

    def _load(self) -> tuple[Config, list[Diagnostic]]:
        root = self._module(".", (), None, ())
        check_removed(root, self.found)
        check_moved(root, self.found)
        if self._sources:
            self.files[RECORD] = render_record(self._sources)
        if self._tries:
            # a module was read anew for each of its callers
            self.found = list(dict.fromkeys(self.found))
        return Config(self.root, root, self.files), self.found

    def _module(
        self,
        directory: str,
        above: tuple[str, ...],
        package: str | None,
        path: tuple[str, ...],
        outside: tuple[Surroundings, ModuleCall] | None = None,
    ) -> Module:
        """The module in a directory. ``above`` are the directories of its callers, ``package`` what was fetched.

        ``path`` are the names of the calls that lead to it, the last of them made in the surroundings ``outside``.
        """
        known = self._modules.get(directory)
        if known is not None:
            return known
        module = Module(self._shown(directory))
        tries = self._tries
        files, problems = self.texts.of(directory)
        self.files |= files
        self.found += problems
        collect(module, files, self.found, self.parse)
        if not files and not problems:
            self._empty.add(directory)
        for block in module.imports if above else ():
            text = "Which objects are taken in is for the root module to say: move this block there."
            self.found.append(error("Import block in a module", text, block.range))
        if above and module.settings != Settings():
            # it is the root module that decides where the state is
            module.settings = Settings()
        inside = self._surroundings(module, outside)
        for name, call in module.calls.items():
            made = self._evaluated(call, (*path, name), inside) if call.early else call
            if made is None:
                continue
            module.calls[name] = made
            beneath = (inside, made) if inside is not None else None
            child = self._called(made, directory, (*above, directory), package, (*path, name), beneath)
            if child is not None:
                module.children[name] = child
        if self._tries == tries:
            # what is below depends on who calls it, otherwise
            self._modules[directory] = module
        return module

    def _surroundings(self, module: Module, outside: tuple[Surroundings, ModuleCall] | None) -> Surroundings | None:
        if self.early is None:
            return None
        if outside is None:
            return Surroundings(self.early, self.root, module)
        caller, call = outside
        return caller.below(call, module)

    def _evaluated(self, call: ModuleCall, path: tuple[str, ...], inside: Surroundings | None) -> ModuleCall | None:
        """A call with the source and version that its expressions give; None, with diagnostics, without them."""
        key = ".".join(path)
        self._tries += 1
        if self.carried is not None:
            source, version = parse_record(self.carried).get(key) or [None, None]
            values: dict[str, str | None] = {"source": source, "version": version}
        elif inside is None:
            text = "It is made of variables, and those are not known here."
            self.found.append(error("Module source not known", text, call.early[0][1].range))
            return None
        else:
            values = {"source": call.source, "version": call.version}
            values |= {what: inside.text(what, expression, self.found) for what, expression in call.early}
        if values["source"] is None or any(values[what] is None for what, _ in call.early):
            return None
        self._sources[key] = [values["source"], values["version"]]
        return replace(call, source=values["source"], version=values["version"])

    def _shown(self, directory: str) -> str:
        return real_directory(self.root, directory) if directory.startswith(LIBRARY) else directory

    def _called(
        self,
        call: ModuleCall,
        caller: str,
        above: tuple[str, ...],
        package: str | None,
        path: tuple[str, ...],
        outside: tuple[Surroundings, ModuleCall] | None,
    ) -> Module | None:
        place = self._place(call, caller, package)
        if place is None:
            return None
        directory, package = place
        if directory in above or len(above) > MAX_DEPTH:
            text = f'The module "{call.name}" is one that calls this one, so it would hold itself without end.'
            self.found.append(error("Module calls itself", text, call.source_range))
            return None
        if not self.texts.exists(directory):
            text = f"There is no directory {self._shown(directory)}, where the module should be."
            self.found.append(error("Module not found", text, call.source_range))
            return None
        module = self._module(directory, above, package, path, outside)
        if directory in self._empty:
            text = f"{self._shown(directory)} holds no configuration files (*.hcl)."
            self.found.append(error("Module is empty", text, call.source_range))
        return module

    def _place(self, call: ModuleCall, caller: str, package: str | None) -> tuple[str, str | None] | None:
        """The directory that a call means, and the package that it lies in."""
        try:
            source = parse_source(call.source)
        except SourceError as failure:
            self.found.append(error("Invalid module source", f"{failure}.", call.source_range))
            return None
        if call.version is not None and source.sort in ("local", "archive"):
            text = "A path or an archive has no versions to choose from. Delete the argument version."
            self.found.append(error("Invalid version constraint", text, call.source_range))
            return None
        if source.sort == "library":
            return self._library(call, source.location)
        if source.sort == "local":
            directory = posixpath.normpath(posixpath.join(caller, source.location))
            if package is not None and not _inside(directory, package):
                text = f"{call.source} leads out of what was fetched, so it would be another one on each machine."
                self.found.append(error("Module outside its package", text, call.source_range))
                return None
            return directory, package
        fetched = self.installed.find(call, source, caller)
        if isinstance(fetched, Diagnostic):
            self.found.append(fetched)
            return None
        return posixpath.join(fetched, source.subdirectory) if source.subdirectory else fetched, fetched

    def _library(self, call: ModuleCall, name: str) -> tuple[str, None] | None:
        directory = LIBRARY + name
        if self.texts.exists(directory):
            self._check_version(call)
            return directory, None
        known = installed.library_names()
        hint = did_you_mean(name, known) or f" There are: {', '.join(known) or 'none'}."
        text = f'There is no ready-made module "{name}".{hint}'
        self.found.append(error("Module not found", text, call.source_range))
        return None

    def _check_version(self, call: ModuleCall) -> None:
        """The ready-made modules have Hythe's own version."""
        if call.version is None:
            return
        try:
            fits = Constraint.parse(call.version).allows(__version__)
        except VersionError as failure:
            self.found.append(error("Invalid version constraint", f"{failure}.", call.range))
            return
        if not fits:
            text = f"The ready-made modules are those of Hythe {__version__}, and {call.version} is asked for."
            self.found.append(error("No such version", text, call.range))


def _inside(directory: str, package: str) -> bool:
    return directory == package or directory.startswith(package + "/")
