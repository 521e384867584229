"""What a block body may contain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hythe.diagnostic import did_you_mean
from hythe.value import ANY, Type


@dataclass(frozen=True, slots=True)
class AttributeSpec:
    """An argument.

    ``type`` is what its value is converted to. ``reference`` arguments name other instances: their
    value stays as it is (an :class:`~hythe.value.Instance`, usually), so ``type`` is ANY.
    ``ephemeral_ok`` says that values which must not be stored may be given.
    """

    type: Type = ANY
    required: bool = False
    reference: bool = False
    ephemeral_ok: bool = False


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """A nested block type.

    ``repeated`` blocks decode to a tuple of dicts in source order, single ones to a dict or None.
    ``min`` and ``max`` bound how often a repeated one may stand; ``required`` is ``min`` 1.
    ``labels`` is the number of labels, which decode to a tuple of strings under the key ``labels``.
    """

    schema: BodySchema
    repeated: bool = True
    required: bool = False
    min: int = 0
    max: int | None = None
    labels: int = 0

    @property
    def least(self) -> int:
        """How often it must stand at least."""
        return max(self.min, 1 if self.required else 0)

    @property
    def most(self) -> int | None:
        """How often it may stand at most, None for any number."""
        return self.max if self.repeated else 1


@dataclass(frozen=True, slots=True)
class BodySchema:
    """The arguments and nested blocks of a body, by name.

    ``foreign`` are names that it does not have and users of other tools write, each with the sentence that tells
    them what to write here.
    """

    attributes: Mapping[str, AttributeSpec] = field(default_factory=dict)
    blocks: Mapping[str, BlockSpec] = field(default_factory=dict)
    foreign: Mapping[str, str] = field(default_factory=dict)

    def advice(self, name: str, known: Iterable[str]) -> str:
        """What to write in place of a name that is not there, as a sentence after a space; empty when that is unknown.

        ``known`` are the names that could be meant.
        """
        told = self.foreign.get(name)
        return f" {told}" if told is not None else did_you_mean(name, known)
