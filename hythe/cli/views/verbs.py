"""What operations are called while they run: "Creating", "Still creating", "Creation complete"."""

from __future__ import annotations

from typing import NamedTuple


class Verb(NamedTuple):
    """``doing`` begins a sentence; ``done`` is the noun before "complete"."""

    doing: str
    done: str


_VERBS = {
    "create": Verb("Creating", "Creation"),
    "update": Verb("Modifying", "Modification"),
    "update-restart": Verb("Modifying and restarting", "Modification and restart"),
    "replace": Verb("Replacing", "Replacement"),
    "delete": Verb("Destroying", "Destruction"),
    "deposed-delete": Verb("Destroying the old object", "Destruction of the old object"),
    "forget": Verb("Forgetting", "Forgetting"),
    "adopt": Verb("Adopting", "Adoption"),
    "read": Verb("Reading", "Read"),
}


def verb(action: str) -> Verb:
    """The words for an action's value."""
    return _VERBS.get(action) or Verb(f"Carrying out {action}", action.capitalize())


def elapsed(seconds: float) -> str:
    """``0s``, ``12s``, ``3m04s``, ``1h02m``."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"


def skipped_because(because: str) -> str:
    """``because container.a failed``, or the reason as it is where it is no address."""
    from hythe.address import AddressError, parse_address

    try:
        parse_address(because)
    except AddressError:
        return because
    return f"because {because} failed"
