"""What the engine's progress messages come down to for a person."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

_EVERY_SECONDS = 0.5


class Layers:
    """Sums up the messages of a pull or push: how many layers are done, how many megabytes moved."""

    def __init__(self, say: Callable[[str], None], what: str) -> None:
        self._say, self._what = say, what
        self._bytes: dict[str, tuple[int, int]] = {}
        self._done: set[str] = set()
        self._said = 0.0

    def tell(self, message: Mapping[str, Any]) -> None:
        """Take a message; now and then say how far it is."""
        layer = message.get("id")
        if not layer:
            return
        detail = message.get("progressDetail") or {}
        if detail.get("total"):
            self._bytes[layer] = (int(detail.get("current") or 0), int(detail["total"]))
        status = str(message.get("status", ""))
        if status in ("Pull complete", "Already exists", "Pushed", "Layer already exists"):
            self._done.add(layer)
        now = time.monotonic()
        if self._bytes and now - self._said >= _EVERY_SECONDS:
            self._said = now
            current, total = (sum(column) for column in zip(*self._bytes.values(), strict=True))
            self._say(f"{self._what}: {current / 1e6:.1f} of {total / 1e6:.1f} MB, {len(self._done)} layers done")
