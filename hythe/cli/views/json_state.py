"""OpenTofu's state representation, for ``show --json``, and the outputs of ``output --json``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hythe import __version__
from hythe.address import Address, AddressError, Key, ModulePath, format_path, parse_address, sort_key
from hythe.cli.views.json_values import plain, resource_facts, sensitive_parts, type_json
from hythe.cli.views.sensitive import hidden_tree
from hythe.state.model import InstanceState, OutputState, State

FORMAT_VERSION = "1.0"

Entry = tuple[Address, dict[str, Any]]
"""A resource's address with its representation."""


def module_tree(entries: Iterable[Entry]) -> dict[str, Any]:
    """Resources gathered under their modules: ``{"resources": [...], "child_modules": [...]}``."""
    modules: dict[ModulePath, list[Entry]] = {(): []}
    for address, facts in entries:
        for depth in range(len(address.module) + 1):
            modules.setdefault(address.module[:depth], [])
        modules[address.module].append((address, facts))
    return _module((), modules)


def _module(path: ModulePath, modules: Mapping[ModulePath, list[Entry]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if path:
        out["address"] = format_path(path)
    own = sorted(modules[path], key=lambda e: sort_key(e[0]))
    if own:
        out["resources"] = [facts for _, facts in own]
    depth = len(path) + 1
    children = sorted((p for p in modules if len(p) == depth and p[:-1] == path), key=_path_order)
    if children:
        out["child_modules"] = [_module(child, modules) for child in children]
    return out


def _path_order(path: ModulePath) -> list[tuple[str, int, Key | str]]:
    return [(name, key if isinstance(key, int) else -1, str(key or "")) for name, key in path]


def _resource(instance: InstanceState, address: Address, *, show: bool) -> dict[str, Any]:
    hidden = hidden_tree(instance.sensitive)
    facts = resource_facts(address)
    facts["schema_version"] = instance.schema_version
    facts["values"] = plain(instance.attributes, hidden, show=show)
    facts["sensitive_values"] = sensitive_parts(instance.attributes, hidden)
    if instance.dependencies:
        facts["depends_on"] = sorted(instance.dependencies)
    if instance.tainted:
        facts["tainted"] = True
    return facts


def instance_json(instance: InstanceState, *, show: bool) -> dict[str, Any]:
    """One object's representation."""
    return _resource(instance, parse_address(instance.address), show=show)


def _entries(state: State, *, show: bool) -> list[Entry]:
    out: list[Entry] = []
    for text, instance in state.instances.items():
        try:
            address = parse_address(text)
        except AddressError:
            continue
        out.append((address, _resource(instance, address, show=show)))
    for identity, instance in state.deposed.items():
        address = parse_address(instance.address)
        out.append((address, {**_resource(instance, address, show=show), "deposed_key": identity}))
    return out


def output_json(output: OutputState, *, show: bool) -> dict[str, Any]:
    """An output: ``{"sensitive", "type", "value"}``; a sensitive value is masked unless ``show``."""
    value = plain(output.value, output.sensitive, show=show)
    return {"sensitive": output.sensitive, "type": type_json(output.type), "value": value}


def state_values(state: State, *, show: bool) -> dict[str, Any]:
    """The ``values`` of a state representation."""
    outputs = {name: output_json(o, show=show) for name, o in sorted(state.outputs.items())}
    values: dict[str, Any] = {"outputs": outputs} if outputs else {}
    return {**values, "root_module": module_tree(_entries(state, show=show))}


def state_json(state: State, *, show: bool = False) -> dict[str, Any]:
    """The state representation. ``show``: sensitive values as they are, not masked."""
    out: dict[str, Any] = {"format_version": FORMAT_VERSION, "terraform_version": __version__}
    if not state.is_empty:
        out["values"] = state_values(state, show=show)
    return out
