"""What the engine was asked for before a kill, and makes only when the next run is at work already."""

from __future__ import annotations

from typing import Any

import pytest

from hythe.provider.container.labels import mark
from hythe.provider.container.network import Network
from hythe.provider.container.volume import Volume
from hythe.provider.protocol import Identity, ProviderError


def _labels(identity: Identity) -> list[str]:
    return [word for key, value in mark(identity).items() for word in ("--label", f"{key}={value}")]


def _cut_off(bench: Any, name: str, identity: Identity, network: str = "none") -> str:
    """A container as an interrupted creation leaves it."""
    made: str = bench.cli("create", "--network", network, "--name", name, *_labels(identity), bench.image, "true")
    return made


def test_a_late_container_gives_way(yard: Any) -> None:
    desired = yard.desired({"network_mode": "none"})
    identity = yard.bench.identity()
    late = _cut_off(yard.bench, desired["name"], identity)
    _, attributes = yard.create(desired, identity)
    assert attributes["id"] != late
    assert yard.bench.inspect(desired["name"])["State"]["Running"]


def test_whose_a_container_is_that_stands_in_the_way(yard: Any) -> None:
    desired = yard.desired({"network_mode": "none"})
    for identity, words in (
        (Identity(yard.bench.prefix, "container.lost", "1"), "container.lost of this very state"),
        (Identity("elsewhere", "container.other", "1"), "container.other of another state"),
    ):
        _cut_off(yard.bench, desired["name"], identity)
        with pytest.raises(ProviderError) as caught:
            yard.create(desired)
        detail = caught.value.diagnostics[0].detail
        assert words in detail
        assert "hythe import" in detail
        yard.bench.cli("rm", "-f", desired["name"])


def test_late_networks_and_volumes_are_taken_up(bench: Any) -> None:
    for kind, argument in ((Network(), "network"), (Volume(), "volume")):
        name, identity = bench.name(), bench.identity(f"{argument}.late")
        bench.cli(argument, "create", *_labels(identity), name)
        desired, problems = kind.schema.decode({"name": name})
        assert not problems
        attributes = kind.create(bench.context(identity), desired)
        assert attributes["name"] == name
        assert bench.cli(argument, "ls", "--format", "{{.Name}}").split().count(name) == 1
        with pytest.raises(ProviderError, match="already taken"):
            kind.create(bench.context(bench.identity()), desired)
