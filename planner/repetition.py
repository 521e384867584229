"""How many instances a block or a module call has: ``count``, ``for_each``, ``lifecycle { enabled }``. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hythe.address import Key
from hythe.diagnostic import Diagnostic, Range, error, has_errors
from hythe.modules.language.compile import Compiled
from hythe.modules.language.elements import evaluate_elements
from hythe.modules.language.scope import Scope
from hythe.value import Instance, List, Map, Set, Unknown, Value, is_known, is_null, unmark

MAX_INSTANCES = 1_000_000


class Repeated(Protocol):
    """What may be there several times."""

    @property
    def count(self) -> Compiled | None:
        """The argument of that name."""

    @property
    def for_each(self) -> Compiled | None:
        """The argument of that name."""

    @property
    def enabled(self) -> Compiled | None:
        """The argument of that name in the block ``lifecycle``."""


@dataclass(slots=True)
class Expansion:
    """A block's instances. ``values`` are what ``each.value`` is; ``reads`` what the choice rests on.

    ``repetition`` is "", "count", "for_each" or "enabled". ``final``: nothing unknown took part. ``failed``: the
    instances cannot be told; ``unknown``: that is no mistake, but what they depend on is known only after apply.
    ``several``: instances have keys; otherwise there is one, or none, which is null for others (``disabled``).
    """

    repetition: str
    keys: tuple[Key, ...]
    values: Mapping[Key, Value] = field(default_factory=dict)
    reads: frozenset[str] = frozenset()
    element_reads: Mapping[Any, set[str]] = field(default_factory=dict)
    final: bool = True
    failed: bool = False
    unknown: bool = False
    several: bool = field(init=False)
    disabled: bool = field(init=False)

    def __post_init__(self) -> None:
        self.several = self.repetition in ("count", "for_each")
        self.disabled = self.repetition == "enabled" and not self.keys and not self.failed

    def bind(self, key: Key, scope: Scope) -> Scope:
        """Make a fresh scope that of one instance."""
        if self.repetition == "for_each":
            scope.roots = {**scope.roots, "each": {"key": key, "value": self.values[key]}}
            own = self.element_reads.get(key)
            if own:
                scope.reads |= own
        elif self.repetition == "count":
            scope.roots = {**scope.roots, "count": {"index": key}}
        scope.reads |= self.reads
        return scope


def expand(block: Repeated, scope: Scope, *, defer: bool = False) -> Expansion:
    """The instances of what is repeated; what is wrong goes to the scope's diagnostics.

    ``defer``: that they are known only after apply is nothing wrong.
    """
    if block.count is not None:
        return _count(block.count, scope, defer)
    if block.for_each is not None:
        return _for_each(block.for_each, scope, defer)
    if block.enabled is not None:
        return _enabled(block.enabled, scope, defer)
    return Expansion("", (None,))


def _count(count: Compiled, scope: Scope, defer: bool) -> Expansion:
    before = len(scope.diagnostics)
    value, marks = unmark(count.evaluate(scope))
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    problem = ""
    if isinstance(value, Unknown) and defer and not _explained(value, scope.diagnostics, before):
        return Expansion("count", (), failed=True, final=False, unknown=True)
    if isinstance(value, Unknown):
        problem = _UNKNOWN.format(what="count", part="how many instances there will be")
    elif "sensitive" in marks or "ephemeral" in marks:
        problem = "A sensitive or ephemeral value cannot decide how many instances there are."
    elif isinstance(value, bool) or not isinstance(value, int) or value < 0:
        problem = "count must be a whole number, 0 or more."
    elif value > MAX_INSTANCES:
        problem = f"count may be {MAX_INSTANCES:,} at most."
    if problem:
        if not _explained(value, scope.diagnostics, before):
            scope.diagnostics.append(error("Invalid count argument", problem, count.range))
        return Expansion("count", (), failed=True, final=False)
    keys: tuple[Key, ...] = tuple(range(value))
    return Expansion("count", keys, dict.fromkeys(keys), frozenset(scope.reads))


def _for_each(for_each: Compiled, scope: Scope, defer: bool) -> Expansion:
    before = len(scope.diagnostics)
    elements = evaluate_elements(for_each, scope)
    value, marks = unmark(elements.value)
    untold = isinstance(value, Unknown) or (isinstance(value, Set) and any(not is_known(v) for v in value))
    if untold and defer and not marks and not _explained(Unknown(), scope.diagnostics, before):
        return Expansion("for_each", (), failed=True, final=False, unknown=True)
    problem = _for_each_problem(value, marks)
    if problem:
        if not _explained(value, scope.diagnostics, before):
            scope.diagnostics.append(error("Invalid for_each argument", problem, for_each.range))
        return Expansion("for_each", (), failed=True, final=False)
    values: dict[Key, Value] = (
        {k: value[k] for k in sorted(value)} if isinstance(value, dict) else {unmark(v)[0]: v for v in value}
    )
    final = all(map(is_known, values.values()))
    return Expansion("for_each", tuple(values), values, frozenset(elements.base_reads), elements.element_reads, final)


def _enabled(enabled: Compiled, scope: Scope, defer: bool) -> Expansion:
    before = len(scope.diagnostics)
    value, marks = unmark(enabled.evaluate(scope))
    if isinstance(value, str) and value in ("true", "false"):
        value = value == "true"
    problem = ""
    if isinstance(value, Unknown) and defer and not _explained(value, scope.diagnostics, before):
        return Expansion("enabled", (), failed=True, final=False, unknown=True)
    if isinstance(value, Unknown):
        problem = _UNKNOWN.format(what="enabled", part="whether there will be an instance")
    elif "sensitive" in marks or "ephemeral" in marks:
        problem = "A sensitive or ephemeral value cannot decide whether there is an instance."
    elif not isinstance(value, bool):
        problem = "enabled must be true or false, and not null."
    if problem:
        if not _explained(value, scope.diagnostics, before):
            scope.diagnostics.append(error("Invalid enabled argument", problem, enabled.range))
        return Expansion("enabled", (), failed=True, final=False)
    return Expansion("enabled", (None,) if value else (), reads=frozenset(scope.reads))


def unknown_number(block: Repeated) -> tuple[str, str, Range | None]:
    """What to say of a block whose instances can never be told: summary, detail and place."""
    if block.count is not None:
        text = _UNKNOWN.format(what="count", part="how many instances there will be")
        return "Invalid count argument", text, block.count.range
    if block.enabled is not None:
        text = _UNKNOWN.format(what="enabled", part="whether there will be an instance")
        return "Invalid enabled argument", text, block.enabled.range
    text = _UNKNOWN.format(what="for_each", part="which instances there will be")
    return "Invalid for_each argument", text, block.for_each.range if block.for_each is not None else None


def _explained(value: Value, found: list[Diagnostic], before: int) -> bool:
    """Whether why a value cannot be used was told already: by itself, or by what made it unknown."""
    if len(found) > before:
        return True
    return isinstance(value, Unknown) and has_errors(found)


_UNKNOWN = (
    'The value of "{what}" depends on what is known only after apply, so it cannot be told {part}. Let it depend '
    "on values that are known beforehand."
)


def _for_each_problem(value: Value, marks: frozenset[str]) -> str:
    if "sensitive" in marks or "ephemeral" in marks:
        return "A sensitive or ephemeral value cannot be used: its keys would show in addresses."
    if isinstance(value, Unknown):
        return _UNKNOWN.format(what="for_each", part="which instances there will be")
    if is_null(value):
        return "for_each must be a map, or a set of strings, and not null."
    if isinstance(value, (Map, dict)) and not isinstance(value, Instance):
        return ""
    if isinstance(value, Set):
        for item in value:
            plain_item, item_marks = unmark(item)
            if item_marks:
                return "A set with sensitive or ephemeral elements cannot be used: they would show in addresses."
            if isinstance(plain_item, Unknown):
                return _UNKNOWN.format(what="for_each", part="which instances there will be")
            if not isinstance(plain_item, str):
                return "The elements of a set used here must be strings."
        return ""
    what = "a list" if isinstance(value, (List, tuple, list)) else "a single value"
    return f"for_each must be a map, or a set of strings, and this is {what}. toset() makes a set of a list."
