"""Which parts of a value must not be shown: a tree made of paths, stepped along with the value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from hythe.value import Instance, Marked, Unknown

Hidden: TypeAlias = "bool | dict[str | int, Hidden]"
"""True: all of it; False: nothing; a dict: what lies at those steps."""

MASK = "(sensitive value)"
MASKED_NOTE = "Hythe hides sensitive values; --show-sensitive shows them."


def hidden_tree(paths: Iterable[tuple[str | int, ...]]) -> Hidden:
    """The tree of sensitive paths."""
    root: dict[str | int, Hidden] = {}
    for path in paths:
        if not path:
            return True
        node = root
        for step in path[:-1]:
            below = node.setdefault(step, {})
            if not isinstance(below, dict):
                break
            node = below
        else:
            node[path[-1]] = True
    return root or False


def below(hidden: Hidden, step: str | int) -> Hidden:
    """What is hidden one step further down."""
    return hidden.get(step, False) if isinstance(hidden, dict) else hidden


def hides(hidden: Hidden, value: Any) -> bool:
    """Whether the value as a whole must not be shown."""
    return hidden is True or type(value) is Marked


def mask(value: Any, hidden: Hidden) -> Any:
    """The value with what is hidden replaced by :data:`MASK`; what is unknown stays unknown."""
    if type(value) is Unknown:
        return value
    if hides(hidden, value):
        return MASK
    if hidden is False and not isinstance(value, (dict, list, tuple)):
        return value
    if isinstance(value, dict) and not isinstance(value, Instance):
        return {k: mask(v, below(hidden, k)) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [mask(v, below(hidden, at)) for at, v in enumerate(value)]
    return value


def mask_text(text: str, secrets: Iterable[str]) -> str:
    """The text without any of the secrets (longest first, so that none is left in part)."""
    for secret in sorted({s for s in secrets if len(s) >= 3}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text
