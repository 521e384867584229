"""What a host tells before an object is made is in the plan; a host that cannot be asked holds nothing up."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from hythe.planner.foretold import foretold
from hythe.planner.plan import Action, Change
from hythe.state.model import InstanceState, State
from hythe.value import STRING, Unknown


class Oven:
    """A kind whose hosts tell how hot it gets."""

    foretells = True

    def __init__(self) -> None:
        self.calls: list[tuple[str | None, int]] = []

    def foretell(self, host: Any, wanted: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        self.calls.append((host, len(wanted)))
        if host == "broken":
            raise OSError("no oven")
        return [{"heat": f"{each['name']} on {host}", "name": "never this one"} for each in wanted]


def _change(name: str, action: Action, host: str | None, kind: str = "oven") -> Change:
    return Change(
        address=f"{kind}.{name}", kind=kind, action=action, host=host, after={"name": name, "heat": Unknown(STRING)}
    )


@pytest.fixture
def oven() -> Oven:
    return Oven()


def _heats(oven: Oven, *changes: Change) -> list[Any]:
    kinds = {"oven": oven, "pan": SimpleNamespace(foretells=False)}
    state = State("lineage")
    for name in ("near", "broken", "old"):
        made = InstanceState(f"vm.{name}", name, "vm", {"name": name})
        state.instances[made.address] = made
    hosts = SimpleNamespace(get=lambda address, attributes: attributes["name"] if attributes else "local")
    registry = SimpleNamespace(kind=kinds.__getitem__)
    return [(c.after or {})["heat"] for c in foretold(changes, state, registry, hosts)]  # type: ignore[arg-type]


def test_each_host_is_asked_once(oven: Oven) -> None:
    made = [_change(n, Action.CREATE, host) for n, host in (("a", None), ("b", "vm.near"), ("c", None))]
    assert _heats(oven, *made) == ["a on local", "b on near", "c on local"]
    assert sorted(oven.calls, key=str) == [("local", 2), ("near", 1)]


def test_who_cannot_be_asked_leaves_it_unknown(oven: Oven) -> None:
    old = Change(address="vm.old", kind="pan", action=Action.REPLACE, after={"heat": Unknown(STRING)})
    found = _heats(
        oven,
        old,
        _change("broken", Action.CREATE, "vm.broken"),
        _change("coming", Action.CREATE, "vm.old"),
        _change("nowhere", Action.CREATE, "vm.nobody"),
        _change("kept", Action.NOOP, None),
        _change("replaced", Action.REPLACE, None),
    )
    assert found == [Unknown(STRING)] * 5 + ["replaced on local"]
    assert oven.calls == [("broken", 1), ("local", 1)]
