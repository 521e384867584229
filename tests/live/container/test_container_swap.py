"""Replacing a container while its old one still exists, on real engines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from hythe.provider.container import container_swap
from hythe.provider.protocol import Presence, ProviderError


class Killed(BaseException):
    """Stands for a kill: nothing that cleans up may run after it."""


def served(yard: Any, name: str) -> str:
    """What the container says it is."""
    return str(yard.bench.cli("exec", name, "sh", "-c", "echo $VERSION"))


def pair(yard: Any, **more: Any) -> tuple[Any, Any, Any, Any]:
    """An old container that runs, and what is to replace it."""
    before = yard.desired({"env": {"VERSION": "one"}, **more})
    old, attributes = yard.create(before)
    after = yard.desired({"name": before["name"], "env": {"VERSION": "two"}, **more})
    return old, attributes, yard.bench.identity(), after


PORT = {"port": [{"container": 80, "host": 18300}]}


@pytest.mark.parametrize("more", [{}, PORT], ids=["side by side", "one port"])
def test_the_new_one_takes_the_name_and_the_old_one_goes(yard: Any, more: dict[str, Any]) -> None:
    old, attributes, new, after = pair(yard, **more)
    made = yard.kind.swap(yard.context(new), old, attributes, after)
    assert yard.names() == [after["name"]]
    assert served(yard, after["name"]) == "two"
    assert made["id"] != attributes["id"]
    observed = yard.read(new, made)
    assert yard.changes(observed, after) == []
    assert yard.read(old, attributes) is Presence.ABSENT


def test_side_by_side_there_is_never_none(yard: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    old, attributes, new, after = pair(yard)
    running: list[bool] = []
    honest = container_swap.run

    def watched(*given: Any) -> Any:
        running.append(yard.bench.inspect(after["name"])["State"]["Running"])
        return honest(*given)

    monkeypatch.setattr(container_swap, "run", watched)
    yard.kind.swap(yard.context(new), old, attributes, after)
    assert running == [True]


@pytest.mark.parametrize("more", [{}, PORT], ids=["side by side", "one port"])
def test_when_the_new_one_is_not_well_the_old_one_runs_on(yard: Any, more: dict[str, Any]) -> None:
    old, attributes, new, after = pair(yard, **more)
    after["healthcheck"] = {"test": ["CMD", "false"], "interval": "200ms", "retries": 1}
    with pytest.raises(ProviderError, match="unhealthy") as failure:
        yard.kind.swap(yard.context(new), old, attributes, after)
    assert failure.value.partial is None
    assert yard.names() == [after["name"]]
    assert served(yard, after["name"]) == "one"
    observed = yard.read(old, attributes)
    assert yard.drifted(attributes, observed) == []


STEPS = ("build", "stop", "run", "remove", "rename")


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_is_gone_on_from(yard: Any, monkeypatch: pytest.MonkeyPatch, step: str, late: bool) -> None:
    old, attributes, new, after = pair(yard, **PORT)
    honest: Callable[..., Any] = getattr(container_swap, step)

    def killed(*given: Any, **more: Any) -> Any:
        if late:
            honest(*given, **more)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(container_swap, step, killed)
        patch.setattr(container_swap, "_roll_back", lambda *given: None)
        with contextlib.suppress(Killed):
            yard.kind.swap(yard.context(new), old, attributes, after)
    made = yard.kind.swap(yard.context(new), old, attributes, after)
    assert yard.names() == [after["name"]]
    assert served(yard, after["name"]) == "two"
    assert yard.changes(yard.read(new, made), after) == []
