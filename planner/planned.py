"""What planning an instance leaves behind for those that refer to it, and what it asks of the edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hythe.provider.protocol import Attributes
from hythe.provider.schema import Path
from hythe.value import Unknown


@dataclass(frozen=True, slots=True)
class DataRequest:
    """A data source to read, or an ephemeral block to open, before the plan can be finished."""

    address: str
    kind: str
    attributes: Attributes
    host: str | None
    ephemeral: bool = False


@dataclass(slots=True)
class Planned:
    """An instance as planned: what references to it see."""

    attributes: Mapping[str, object]
    sensitive: tuple[Path, ...]
    id: str | Unknown
    host: str | None
    replaced: bool = False
