"""Which kinds there are. A kind is imported when it is first used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from hythe.address import parse_address
from hythe.provider.protocol import Kind

_BUILT_IN = {
    "command": "hythe.provider.host.command:Command",
    "container": "hythe.provider.container.container:Container",
    "disk_image": "hythe.provider.vm.disk_image:DiskImage",
    "file": "hythe.provider.host.file:File",
    "host": "hythe.provider.host.host:HostKind",
    "image": "hythe.provider.container.image:Image",
    "network": "hythe.provider.network:Network",
    "random": "hythe.provider.generated.random_kind:Random",
    "tls": "hythe.provider.generated.tls_kind:Tls",
    "value": "hythe.provider.host.value:ValueKind",
    "vm": "hythe.provider.vm.vm:Vm",
    "volume": "hythe.provider.volume:Volume",
}

ENTRY_POINTS = "hythe.kinds"
"""Entry point group through which third parties add kinds: ``name = package.module:Class``."""


class Registry:
    """Kinds by name: built-in ones, those of installed plug-ins, and ``extra`` ones (tests)."""

    def __init__(self, extra: Mapping[str, Kind] | None = None) -> None:
        self._loaded: dict[str, Kind] = dict(extra or {})
        self._plugins: dict[str, str] | None = None

    def names(self) -> list[str]:
        """All kind names, sorted."""
        return sorted({*_BUILT_IN, *self._loaded, *self._plugin_targets()})

    def __contains__(self, name: str) -> bool:
        return name in self._loaded or name in _BUILT_IN or name in self._plugin_targets()

    def kind(self, name: str) -> Kind:
        """The kind of that name. Raises KeyError when there is none."""
        found = self._loaded.get(name)
        if found is None:
            target = _BUILT_IN.get(name) or self._plugin_targets()[name]
            module, _, attribute = target.partition(":")
            made = getattr(importlib.import_module(module), attribute)()
            if not isinstance(made, Kind):
                raise TypeError(f"{target} is not a kind")
            # setdefault: two threads that race here must end with one object
            found = self._loaded.setdefault(name, made)
        return found

    def _plugin_targets(self) -> dict[str, str]:
        if self._plugins is None:
            from importlib.metadata import entry_points

            self._plugins = {e.name: e.value for e in entry_points(group=ENTRY_POINTS)}
        return self._plugins


def takes_along(registry: Registry, address: str) -> bool:
    """Whether the instance at that address is a machine with which everything on it ends."""
    try:
        name = parse_address(address).kind
    except ValueError:
        return False
    return name in registry and registry.kind(name).takes_along
