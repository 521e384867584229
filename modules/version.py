"""Version constraints: ``">= 1.2, < 2.0"``, ``"~> 1.4"``, ``"!= 1.3.1"``."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TERM = re.compile(r"\s*(=|!=|>=|<=|>|<|~>)?\s*v?(\d+(?:\.\d+){0,3})(?:-[0-9A-Za-z.-]+)?\s*")


class VersionError(ValueError):
    """The text is no version constraint."""


def numbers(text: str) -> tuple[int, ...]:
    """The numbers of a version. Raises :class:`VersionError`."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", text)
    if match is None:
        raise VersionError(f'"{text}" is not a version')
    return tuple(int(p) for p in match[1].split("."))


def _padded(numbers: tuple[int, ...]) -> tuple[int, ...]:
    return (*numbers, *(0,) * (4 - len(numbers)))


@dataclass(frozen=True, slots=True)
class Constraint:
    """All of the terms must hold."""

    terms: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Parse comma-separated terms. Raises :class:`VersionError`."""
        terms = []
        for part in text.split(","):
            match = _TERM.fullmatch(part)
            if match is None:
                raise VersionError(f'"{part.strip()}" is not a version constraint like ">= 1.2"')
            terms.append((match[1] or "=", numbers(match[2])))
        return cls(tuple(terms))

    def allows(self, version: str) -> bool:
        """Whether the version fits."""
        have = _padded(numbers(version))
        return all(_fits(have, op, want) for op, want in self.terms)


def _fits(have: tuple[int, ...], op: str, want: tuple[int, ...]) -> bool:
    bound = _padded(want)
    if op == "~>":
        # the last number given may grow: ~> 1.4 allows 1.9 but not 2.0
        fixed = max(len(want) - 1, 1)
        return have >= bound and have[:fixed] == bound[:fixed]
    return {
        "=": have == bound,
        "!=": have != bound,
        ">": have > bound,
        ">=": have >= bound,
        "<": have < bound,
        "<=": have <= bound,
    }[op]
