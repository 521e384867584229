"""The ownership mark: labels on engine objects that say which instance of which state they are."""

from __future__ import annotations

from collections.abc import Mapping

from hythe.provider.protocol import Identity

PREFIX = "dev.hythe."
NETWORKS = PREFIX + "networks"
"""On containers: which network stood for which reference when it was made, ``key=name`` by line."""
LINEAGE, ADDRESS, ID = PREFIX + "lineage", PREFIX + "address", PREFIX + "id"


def mark(identity: Identity) -> dict[str, str]:
    """The labels of an object of this identity."""
    return {LINEAGE: identity.lineage, ADDRESS: identity.address, ID: identity.id}


def identity_of(labels: Mapping[str, str] | None) -> Identity | None:
    """Whose an object is, or None when it carries no mark."""
    if not labels or ID not in labels or LINEAGE not in labels:
        return None
    return Identity(labels[LINEAGE], labels.get(ADDRESS, ""), labels[ID])


def whose(owner: Identity | None, lineage: str) -> str:
    """A sentence on whose an object is that stands in the way of the state of that lineage."""
    if owner is None:
        return "It was not made by Hythe."
    if owner.lineage == lineage:
        return (
            f"It carries the mark of {owner.address} of this very state, which does not hold it: `hythe state rebuild "
            "--force` takes back what carries its marks."
        )
    return (
        f"It belongs to {owner.address} of another state: of another folder, or of one that was lost or moved, which "
        "`hythe state rebuild` brings back."
    )


def strip(labels: Mapping[str, str] | None) -> dict[str, str]:
    """Labels without any of ours, sorted by name."""
    return {k: v for k, v in sorted((labels or {}).items()) if not k.startswith(PREFIX)}


def filters(*, lineage: str | None = None, id: str | None = None) -> dict[str, list[str]]:
    """The ``filters`` of a list request that select marked objects."""
    wanted = [f"{LINEAGE}={lineage}"] if lineage else []
    wanted += [f"{ID}={id}"] if id else []
    return {"label": wanted or [ID]}
