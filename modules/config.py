"""The configuration as declared: what the loader makes of the syntax trees, before any evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hythe.address import Address, Key, ModulePath
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

    ``ignore_places`` tells where each of those paths stands. ``enabled`` says whether there is an instance at all.
    ``prevent_expression`` stands in place of ``prevent_destroy`` where that is no literal. Without ``destroy`` an
    object that is to go is let go of as it is.
    ``max_disruption`` refuses plans that do more than ``live``, ``restart`` or ``replace``.
    """

    create_before_destroy: bool = False
    prevent_destroy: bool = False
    prevent_expression: Located | None = None
    destroy: bool = True
    ignore_changes: tuple[tuple[str | int, ...], ...] = ()
    ignore_places: tuple[Range, ...] = ()
    ignore_all: bool = False
    replace_triggered_by: tuple[Located, ...] = ()
    preconditions: tuple[CheckRule, ...] = ()
    postconditions: tuple[CheckRule, ...] = ()
    max_disruption: str | None = None
    enabled: Located | None = None
    range: Range | None = None


@dataclass(frozen=True, slots=True)
class ResourceBlock:
    """A ``resource`` (mode ``managed``), ``data`` or ``ephemeral`` block. ``range`` is its header's.

    ``check`` is the name of the check block that a data source belongs to, which alone may refer to it.
    """

    mode: str
    kind: str
    name: str
    body: Body
    range: Range
    count: Located | None = None
    for_each: Located | None = None
    depends_on: tuple[Located, ...] = ()
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    check: str | None = None


@dataclass(frozen=True, slots=True)
class VariableBlock:
    """An input variable. ``default`` is None when ``required``; ``deprecated`` is what whoever sets it is told."""

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
    deprecated: str | None = None


@dataclass(frozen=True, slots=True)
class OutputBlock:
    """An output value. ``deprecated`` is what whoever uses it is told, as with a variable."""

    name: str
    range: Range
    value: Located
    description: str = ""
    sensitive: bool = False
    ephemeral: bool = False
    depends_on: tuple[Located, ...] = ()
    preconditions: tuple[CheckRule, ...] = ()
    deprecated: str | None = None


@dataclass(frozen=True, slots=True)
class CheckBlock:
    """A ``check`` block: what should hold of the whole; what does not is a warning."""

    name: str
    range: Range
    assertions: tuple[CheckRule, ...]


@dataclass(frozen=True, slots=True)
class ModuleCall:
    """A ``module`` block. ``body`` holds the arguments for the module's variables beside those of the call.

    ``early`` holds the expressions of ``source`` and ``version`` that are no literals: loading puts their values in.
    """

    name: str
    range: Range
    source: str
    source_range: Range
    body: Body
    version: str | None = None
    count: Located | None = None
    for_each: Located | None = None
    enabled: Located | None = None
    depends_on: tuple[Located, ...] = ()
    early: tuple[tuple[str, Located], ...] = ()


@dataclass(frozen=True, slots=True)
class MovedBlock:
    """A ``moved`` block: resources, or whole modules. Its ends are relative to the module that it stands in.

    Both without a key mean all instances of a resource or module call, otherwise one instance each.
    """

    source: Address | ModulePath
    destination: Address | ModulePath
    range: Range

    @property
    def whole(self) -> bool:
        """Whether all instances move."""
        return last_key(self.source) is None and last_key(self.destination) is None


@dataclass(frozen=True, slots=True)
class ImportBlock:
    """An ``import`` block: which existing object becomes which instance. ``range`` is its header's."""

    to: Located
    id: Located
    range: Range
    for_each: Located | None = None


def last_key(end: Address | ModulePath) -> Key:
    """The instance key at the end of an address."""
    return end.key if isinstance(end, Address) else end[-1][1]


@dataclass(frozen=True, slots=True)
class RemovedBlock:
    """A ``removed`` block: what becomes of the objects of what is no longer declared.

    ``resource`` is mode, kind and name; None means all that was in the module ``module``. Both are relative to the
    module that the block stands in.
    """

    module: tuple[str, ...]
    resource: tuple[str, str, str] | None
    destroy: bool
    range: Range

    def __str__(self) -> str:
        steps = [f"module.{name}" for name in self.module]
        return ".".join([*steps, *self.resource[1:]] if self.resource else steps)

    def names(self, module: tuple[str, ...], resource: tuple[str, str, str]) -> bool:
        """Whether a resource in a module is meant, both as seen from where the block stands."""
        if self.resource is not None:
            return (module, resource) == (self.module, self.resource)
        return module[: len(self.module)] == self.module


@dataclass(frozen=True, slots=True)
class SettingsBlock:
    """A block of settings that is evaluated before anything else is known (see :mod:`hythe.modules.settings`)."""

    label: str
    body: Body
    range: Range


@dataclass(frozen=True, slots=True)
class Settings:
    """The ``hythe`` block. ``project`` is the name that default names begin with."""

    project: str | None = None
    backend: SettingsBlock | None = None
    encryption: SettingsBlock | None = None


@dataclass(slots=True)
class Module:
    """One module's declarations, by name.

    ``directory`` is where its files are, as ``path.module`` tells it. ``children`` holds the modules that it calls;
    calls of one source share one.
    """

    directory: str
    variables: dict[str, VariableBlock] = field(default_factory=dict)
    locals: dict[str, Located] = field(default_factory=dict)
    outputs: dict[str, OutputBlock] = field(default_factory=dict)
    resources: dict[tuple[str, str, str], ResourceBlock] = field(default_factory=dict)
    checks: dict[str, CheckBlock] = field(default_factory=dict)
    removed: list[RemovedBlock] = field(default_factory=list)
    moved: list[MovedBlock] = field(default_factory=list)
    imports: list[ImportBlock] = field(default_factory=list)
    calls: dict[str, ModuleCall] = field(default_factory=dict)
    children: dict[str, Module] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)

    def walk(self, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Module]]:
        """The module and all below it, each with the names of the calls that lead there."""
        yield path, self
        for name, child in self.children.items():
            yield from child.walk((*path, name))


@dataclass(frozen=True, slots=True)
class Config:
    """A loaded configuration. ``files`` maps names, relative to ``root``, to their text.

    ``withheld`` names root variables that plans do not carry: keys are made of them.
    """

    root: str
    module: Module
    files: Mapping[str, str]
    withheld: frozenset[str] = frozenset()

    @property
    def settings(self) -> Settings:
        """The settings of the root module."""
        return self.module.settings


@dataclass(frozen=True, slots=True)
class InputValue:
    """A variable's value as given, and where it was given (for messages)."""

    value: Value
    origin: str
    range: Range | None = None
