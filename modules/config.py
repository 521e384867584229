"""The configuration as declared: what the loader makes of the syntax trees, before any evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hythe.address import Address
from hythe.diagnostic import Range
from hythe.modules.syntax.tree import Body, Expression, Source
from hythe.value import Type, Value


@dataclass(frozen=True, slots=True)
class Located:
    """An expression with the file it stands in."""

    expression: Expression
    source: Source

    @property
    def range(self) -> Range:
        """Where it stands."""
        return self.source.range(self.expression.start, self.expression.end)


@dataclass(frozen=True, slots=True)
class CheckRule:
    """A ``precondition``, ``postcondition`` or ``validation`` block."""

    condition: Located
    error_message: Located


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """A ``lifecycle`` block. ``ignore_changes`` holds attribute paths, ``ignore_all`` means ``all``.

    ``ignore_places`` tells where each of those paths stands.
    ``max_disruption`` refuses plans that do more than ``live``, ``restart`` or ``replace``.
    """

    create_before_destroy: bool = False
    prevent_destroy: bool = False
    ignore_changes: tuple[tuple[str | int, ...], ...] = ()
    ignore_places: tuple[Range, ...] = ()
    ignore_all: bool = False
    replace_triggered_by: tuple[Located, ...] = ()
    preconditions: tuple[CheckRule, ...] = ()
    postconditions: tuple[CheckRule, ...] = ()
    max_disruption: str | None = None
    range: Range | None = None


@dataclass(frozen=True, slots=True)
class ResourceBlock:
    """A ``resource`` (mode ``managed``) or ``data`` block. ``range`` is its header's."""

    mode: str
    kind: str
    name: str
    body: Body
    range: Range
    count: Located | None = None
    for_each: Located | None = None
    depends_on: tuple[Located, ...] = ()
    lifecycle: Lifecycle = field(default_factory=Lifecycle)


@dataclass(frozen=True, slots=True)
class VariableBlock:
    """An input variable. ``default`` is None when ``required``."""

    name: str
    range: Range
    type: Type
    required: bool
    default: Located | None = None
    description: str = ""
    sensitive: bool = False
    ephemeral: bool = False
    nullable: bool = True
    validations: tuple[CheckRule, ...] = ()


@dataclass(frozen=True, slots=True)
class OutputBlock:
    """An output value."""

    name: str
    range: Range
    value: Located
    description: str = ""
    sensitive: bool = False
    ephemeral: bool = False
    depends_on: tuple[Located, ...] = ()
    preconditions: tuple[CheckRule, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckBlock:
    """A ``check`` block: what should hold of the whole; what does not is a warning."""

    name: str
    range: Range
    assertions: tuple[CheckRule, ...]


@dataclass(frozen=True, slots=True)
class MovedBlock:
    """A ``moved`` block. Both without a key mean all instances of a resource, otherwise one instance each."""

    source: Address
    destination: Address
    range: Range

    @property
    def whole(self) -> bool:
        """Whether all instances of a resource move."""
        return self.source.key is None and self.destination.key is None


@dataclass(frozen=True, slots=True)
class RemovedBlock:
    """A ``removed`` block: what becomes of the objects of a resource that is no longer declared."""

    kind: str
    name: str
    destroy: bool
    range: Range


@dataclass(frozen=True, slots=True)
class Settings:
    """The ``hythe`` block. ``project`` is the name that default names begin with."""

    project: str | None = None
    state_path: str | None = None


@dataclass(slots=True)
class Module:
    """One module's declarations, by name; ``directory`` is where its files are."""

    directory: str
    variables: dict[str, VariableBlock] = field(default_factory=dict)
    locals: dict[str, Located] = field(default_factory=dict)
    outputs: dict[str, OutputBlock] = field(default_factory=dict)
    resources: dict[tuple[str, str, str], ResourceBlock] = field(default_factory=dict)
    checks: dict[str, CheckBlock] = field(default_factory=dict)
    removed: dict[tuple[str, str, str], RemovedBlock] = field(default_factory=dict)
    moved: list[MovedBlock] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Config:
    """A loaded configuration. ``files`` maps names, relative to ``root``, to their text."""

    root: str
    module: Module
    settings: Settings
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class InputValue:
    """A variable's value as given, and where it was given (for messages)."""

    value: Value
    origin: str
    range: Range | None = None
