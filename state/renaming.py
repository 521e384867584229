"""New addresses in a state. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from hythe.state.model import InstanceState, Intent, State
from hythe.value import List, Map, Reference, Set


def renamed(state: State, names: Mapping[str, str]) -> State:
    """The state with new addresses (by old ones), in everything that mentions them."""
    made = state.copy()
    made.instances = {names.get(a, a): _renamed(i, names) for a, i in state.instances.items()}
    made.deposed = {identity: _renamed(i, names) for identity, i in state.deposed.items()}
    return made


def renamed_intents(pending: Iterable[Intent], names: Mapping[str, str]) -> tuple[Intent, ...]:
    """Operations left open, with the new addresses: they are looked up by what they are on, and what they made."""
    return tuple(replace(i, instance=_renamed(i.instance, names)) for i in pending)


def _renamed(instance: InstanceState, names: Mapping[str, str]) -> InstanceState:
    return replace(
        instance,
        address=names.get(instance.address, instance.address),
        attributes=_rename_values(instance.attributes, names),
        dependencies=tuple(names.get(d, d) for d in instance.dependencies),
        host=names.get(instance.host, instance.host) if instance.host is not None else None,
    )


def _rename_values(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Reference):
        new = names.get(value.address)
        return value if new is None else Reference(value.kind, new, value.id)
    if isinstance(value, dict):
        items = {k: _rename_values(v, names) for k, v in value.items()}
        return Map(items, value.element) if isinstance(value, Map) else items
    if isinstance(value, list):
        made = [_rename_values(v, names) for v in value]
        return type(value)(made, value.element) if isinstance(value, (List, Set)) else made
    return value
