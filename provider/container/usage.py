"""Who uses an engine object: for refusals that name the users."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hythe.provider.container.errors import EngineError
from hythe.provider.container.labels import identity_of
from hythe.provider.protocol import Identity

_IN_USE = ("has active endpoints", "has associated containers", "volume is in use", "is being used by")
"""What Docker and Podman say of networks and volumes that a container uses."""
_PAUSE = 0.1


@dataclass(frozen=True, slots=True)
class User:
    """A container, running or not, that uses an object. ``image`` is its image's id."""

    id: str
    name: str
    image: str
    state: str
    identity: Identity | None


def containers(engine: Any, **filters: Sequence[str]) -> list[User]:
    """Containers that match the engine's ``filters``, stopped ones too, by name."""
    query = {"all": True, "filters": {name: list(values) for name, values in filters.items()}}
    found = engine.request("GET", "/containers/json", query=query).json() or []
    users = [
        User(
            id=item["Id"],
            name=next((n.lstrip("/") for n in item.get("Names") or ()), item["Id"][:12]),
            image="sha256:" + str(item.get("ImageID") or "").removeprefix("sha256:"),
            state=item.get("State") or "",
            identity=identity_of(item.get("Labels")),
        )
        for item in found
    ]
    return sorted(users, key=lambda u: u.name)


def listed(users: Sequence[User], most: int = 5) -> str:
    """The users' names for a sentence: ``container web (container.web), container db``."""
    shown = [f"container {u.name}" + (f" ({u.identity.address})" if u.identity else "") for u in users[:most]]
    left = len(users) - len(shown)
    return ", ".join(shown) + (f" and {left} more" if left > 0 else "")


def when_free(remove: Callable[[], None], check: Callable[[], None], seconds: float = 10.0) -> None:
    """Call ``remove`` until the engine no longer says that the object is in use, for up to ``seconds``.

    While a container goes, by a call of a run that was killed say, what it uses outlives its entry in the
    engine's list for a moment. ``check`` is called between tries. Raises the last :class:`EngineError`.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            return remove()
        except EngineError as failure:
            if time.monotonic() >= end or not any(words in failure.message for words in _IN_USE):
                raise
        check()
        time.sleep(_PAUSE)
