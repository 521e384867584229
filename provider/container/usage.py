"""Who uses an engine object: for refusals that name the users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hythe.provider.container.labels import identity_of
from hythe.provider.protocol import Identity


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
