"""Making containers in live tests the way apply does: decode, prepare, create."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hythe.planner.diff import FieldChange, compare
from hythe.provider.container.container import Container
from hythe.provider.protocol import Attributes, Identity, PrepareContext, Project, ReadRequest, Referent


class Disk:
    """A :class:`hythe.provider.protocol.Reader` over real files."""

    def digest(self, path: str, ignore_file: str | None = None) -> str:
        import hashlib

        return "sha256:" + hashlib.sha256(Path(path).read_bytes()).hexdigest()


@dataclass
class Yard:
    """Containers of one engine for one test."""

    bench: Any
    folder: Path
    kind: Container = field(default_factory=Container)
    referents: dict[str, Referent] = field(default_factory=dict)

    def desired(self, given: Mapping[str, Any]) -> Attributes:
        """Canonical attributes of arguments; image, name and a command that stays are filled in."""
        raw: dict[str, Any] = {"image": self.bench.image, "command": ["sleep", "600"], "stop_grace": "0s", **given}
        raw.setdefault("name", self.bench.name())
        decoded, problems = self.kind.schema.decode(raw)
        assert not problems, problems
        project = Project("live", "x", str(self.folder))
        context = PrepareContext(Disk(), project, str(self.folder), "x", None, {})  # type: ignore[arg-type]
        ready, diagnostics = self.kind.prepare(decoded, context)
        assert not diagnostics, diagnostics
        return ready

    def context(self, identity: Identity, **over: Any) -> Any:
        return self.bench.context(identity, self.referents, base_dir=str(self.folder), **over)

    def create(self, desired: Attributes, identity: Identity | None = None) -> tuple[Identity, Attributes]:
        """Create; identity and attributes."""
        mine = identity or self.bench.identity()
        attributes = self.kind.create(self.context(mine), desired)
        return mine, attributes

    def read(self, identity: Identity, attributes: Attributes) -> Any:
        """What a refresh sees."""
        requests = [ReadRequest(identity.id, identity.address, attributes)]
        return self.kind.read_many(self.bench.reading(), requests)[identity.id]

    def changes(self, observed: Attributes, desired: Attributes) -> list[FieldChange]:
        """What the planner would do."""
        return compare(self.kind, observed, desired)

    def drifted(self, prior: Attributes, observed: Attributes) -> list[str]:
        """Arguments that differ from state."""
        from hythe.planner.diff import same

        return [
            name
            for name, spec in self.kind.schema.attributes.items()
            if not spec.volatile and not same(spec, prior.get(name), observed.get(name))
        ]

    def names(self) -> list[str]:
        """Names of all containers of this run on the engine."""
        listed = self.bench.engine.request("GET", "/containers/json", query={"all": True}).json()
        return sorted(n.lstrip("/") for c in listed for n in c["Names"] if self.bench.prefix in n)


@pytest.fixture
def yard(bench: Any, tmp_path: Path) -> Iterator[Yard]:
    """A yard on each engine."""
    yield from _yard(bench, tmp_path)


@pytest.fixture
def docker_yard(docker: Any, tmp_path: Path) -> Iterator[Yard]:
    """A yard on Docker only."""
    yield from _yard(docker, tmp_path)


@pytest.fixture
def podman_yard(podman: Any, tmp_path: Path) -> Iterator[Yard]:
    """A yard on Podman only."""
    yield from _yard(podman, tmp_path)


def _yard(bench: Any, folder: Path) -> Iterator[Yard]:
    made = Yard(bench, folder)
    try:
        yield made
    finally:
        for name in made.names():
            bench.cli("rm", "-f", "-v", name, check=False)


@pytest.fixture
def a_network(yard: Yard) -> Iterator[Callable[..., str]]:
    """``a_network(subnet=...)`` makes a network; its name."""
    made: list[str] = []

    def make(*options: str) -> str:
        name = yard.bench.name("net")
        yard.bench.cli("network", "create", *options, name)
        made.append(name)
        return name

    yield make
    for name in yard.names():
        yard.bench.cli("rm", "-f", "-v", name, check=False)
    for name in made:
        yard.bench.cli("network", "rm", name, check=False)
