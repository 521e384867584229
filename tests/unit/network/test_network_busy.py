"""A network that Docker holds for in use: by whom, or by nobody, as it lost count."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hythe.provider.container import usage
from hythe.provider.container.errors import EngineError
from hythe.provider.container.network import Network
from hythe.provider.protocol import Identity, ProviderError

BUSY = "error while removing network: network n id abc has active endpoints"


class Answer:
    def __init__(self, value: Any) -> None:
        self.value = value

    def json(self) -> Any:
        return self.value


class Engine:
    """One that refuses to remove a network. ``connected`` are the containers that it shows there."""

    kind = "docker"

    def __init__(self, connected: dict[str, Any]) -> None:
        self.connected = connected

    def request(self, method: str, path: str, **more: Any) -> Answer:
        if method == "DELETE":
            raise EngineError(403, BUSY, f"{method} {path}")
        if path == "/networks":
            return Answer([{"Id": "abc", "Name": "n", "Labels": {}}])
        return Answer([] if path == "/containers/json" else {"Id": "abc", "Containers": self.connected})


class Surroundings:
    identity = Identity("lineage", "network.n", "1")

    def __init__(self, engine: Engine) -> None:
        self.host = self
        self.engine = lambda: engine
        self.check = lambda: None


@pytest.mark.parametrize(
    ("connected", "summary"), [({}, "Docker lost count"), ({"1": {"Name": "web"}}, "The engine refused")]
)
def test_who_is_to_blame(monkeypatch: pytest.MonkeyPatch, connected: dict[str, Any], summary: str) -> None:
    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr(usage, "time", SimpleNamespace(monotonic=clock.__next__, sleep=lambda seconds: None))
    with pytest.raises(ProviderError) as failure:
        Network().delete(Surroundings(Engine(connected)), {"id": "abc", "name": "n"})  # type: ignore[arg-type]
    assert failure.value.diagnostics[0].summary == summary
