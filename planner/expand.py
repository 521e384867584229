"""Evaluating a compiled configuration: blocks to instances, instances to wished attributes.

The same code serves plan and apply; they differ in the :class:`World` that tells what other instances
are: the planned ones, or those in state. Every evaluation records which instances it really read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from hythe.address import Key
from hythe.diagnostic import Diagnostic, Severity, error, has_errors
from hythe.modules.language.compile import Compiled
from hythe.modules.language.elements import Elements, evaluate_elements
from hythe.modules.language.scope import Scope
from hythe.planner.exposure import plain, references_in
from hythe.planner.lazy import Block, Kinds, Locals, Names
from hythe.planner.program import CompiledBlock, CompiledRule, NodeId, Program
from hythe.provider.protocol import Attributes, PrepareContext, Project, Reader
from hythe.provider.schema import Path
from hythe.value import (
    Instance,
    List,
    Map,
    Reference,
    Set,
    Unknown,
    Value,
    is_known,
    is_null,
    unmark,
)

if TYPE_CHECKING:
    from hythe.modules.language.functions.registry import Environment

MAX_INSTANCES = 1_000_000


class World(Protocol):
    """Tells what other instances are while one is evaluated."""

    def instance(self, block: CompiledBlock, key: Key) -> Value:
        """The value of an instance: an :class:`~hythe.value.Instance`, or Unknown."""


@dataclass(slots=True)
class Expansion:
    """A block's instances. ``values`` are what ``each.value`` is; ``reads`` what the choice rests on.

    ``repetition`` is "", "count" or "for_each". ``final``: nothing unknown took part.
    """

    repetition: str
    keys: tuple[Key, ...]
    values: Mapping[Key, Value] = field(default_factory=dict)
    reads: frozenset[str] = frozenset()
    element_reads: Mapping[Any, set[str]] = field(default_factory=dict)
    final: bool = True
    failed: bool = False


@dataclass(slots=True)
class Desired:
    """What an instance shall be. ``given`` are the arguments that the configuration sets itself."""

    attributes: Attributes
    given: frozenset[str]
    sensitive: tuple[Path, ...]
    reads: frozenset[str]
    host: Reference | None


class Evaluation:
    """Evaluates one program in one world. Not for several threads at once."""

    def __init__(
        self,
        program: Program,
        variables: Mapping[str, Value],
        environment: Environment,
        world: World,
        *,
        project: Project,
        reader: Reader,
        lock: Mapping[str, str],
        keep_unknown: bool = True,
    ) -> None:
        """``keep_unknown``: whether what holds unknowns may be remembered (not during apply)."""
        self.program = program
        self.environment = environment
        self.world = world
        self.project, self.reader, self.lock = project, reader, lock
        self.diagnostics: list[Diagnostic] = []
        self._keep_unknown = keep_unknown
        self._expansions: dict[NodeId, Expansion] = {}
        self._locals: dict[str, Elements] = {}
        self.roots = self._make_roots(variables)

    def _make_roots(self, variables: Mapping[str, Value]) -> dict[str, Value]:
        managed: dict[str, dict[str, CompiledBlock]] = {}
        data: dict[str, dict[str, CompiledBlock]] = {}
        for (mode, kind, name), block in ((b.node, b) for b in self.program.blocks.values()):
            (managed if mode == "managed" else data).setdefault(kind, {})[name] = block
        root = self.program.config.root
        settings = {"workspace": "default"}
        return {
            **{kind: Kinds(self, blocks) for kind, blocks in managed.items()},
            "var": dict(variables),
            "local": Locals(self),
            "data": Names({kind: Kinds(self, blocks) for kind, blocks in data.items()}),
            "path": {"module": ".", "root": ".", "cwd": root},
            "hythe": settings,
            "terraform": settings,
        }

    def scope(self, address: str | None = None, **more: Value) -> Scope:
        """A scope over the configuration's names and ``more`` roots."""
        roots = {**self.roots, **more} if more else self.roots
        return Scope(roots, self.environment, diagnostics=self.diagnostics, address=address)

    def local(self, name: str) -> Elements:
        """A local value with its reads."""
        found = self._locals.get(name)
        if found is None:
            found = evaluate_elements(self.program.locals[name], self.scope())
            if self._keep_unknown or is_known(found.value):
                self._locals[name] = found
        return found

    def expansion(self, block: CompiledBlock) -> Expansion:
        """The instances of a block."""
        found = self._expansions.get(block.node)
        if found is None:
            found = self._expand(block)
            if self._keep_unknown or found.final:
                self._expansions[block.node] = found
        return found

    def _expand(self, block: CompiledBlock) -> Expansion:
        if block.count is not None:
            return self._expand_count(block, block.count)
        if block.for_each is not None:
            return self._expand_for_each(block, block.for_each)
        return Expansion("", (None,))

    def _expand_count(self, block: CompiledBlock, count: Compiled) -> Expansion:
        scope = self.scope()
        before = len(self.diagnostics)
        value, marks = unmark(count.evaluate(scope))
        if isinstance(value, str) and value.isdecimal():
            value = int(value)
        problem = ""
        if isinstance(value, Unknown):
            problem = _UNKNOWN.format(what="count", part="how many instances there will be")
        elif "sensitive" in marks or "ephemeral" in marks:
            problem = "A sensitive or ephemeral value cannot decide how many instances there are."
        elif isinstance(value, bool) or not isinstance(value, int) or value < 0:
            problem = "count must be a whole number, 0 or more."
        elif value > MAX_INSTANCES:
            problem = f"count may be {MAX_INSTANCES:,} at most."
        if problem:
            if not self._explained(value, before):
                self.diagnostics.append(error("Invalid count argument", problem, count.range))
            return Expansion("count", (), failed=True, final=False)
        keys: tuple[Key, ...] = tuple(range(value))
        return Expansion("count", keys, dict.fromkeys(keys), frozenset(scope.reads))

    def _expand_for_each(self, block: CompiledBlock, for_each: Compiled) -> Expansion:
        before = len(self.diagnostics)
        elements = evaluate_elements(for_each, self.scope())
        value, marks = unmark(elements.value)
        problem = _for_each_problem(value, marks)
        if problem:
            if not self._explained(value, before):
                self.diagnostics.append(error("Invalid for_each argument", problem, for_each.range))
            return Expansion("for_each", (), failed=True, final=False)
        values: dict[Key, Value] = (
            {k: value[k] for k in sorted(value)} if isinstance(value, dict) else {unmark(v)[0]: v for v in value}
        )
        final = all(map(is_known, values.values()))
        return Expansion(
            "for_each", tuple(values), values, frozenset(elements.base_reads), elements.element_reads, final
        )

    def _explained(self, value: Value, before: int) -> bool:
        """Whether why a value cannot be used was told already: by itself, or by what made it unknown."""
        if len(self.diagnostics) > before:
            return True
        return isinstance(value, Unknown) and has_errors(self.diagnostics)

    def instance_scope(self, block: CompiledBlock, key: Key) -> Scope:
        """The scope in which an instance's body is evaluated."""
        expansion = self.expansion(block)
        address = str(block.address.instance(key))
        if expansion.repetition == "for_each":
            scope = self.scope(address, each={"key": key, "value": expansion.values[key]})
            scope.reads |= expansion.element_reads.get(key, set())
        elif expansion.repetition == "count":
            scope = self.scope(address, count={"index": key})
        else:
            scope = self.scope(address)
        scope.reads |= expansion.reads
        return scope

    def desired(self, block: CompiledBlock, key: Key) -> Desired | None:
        """What an instance shall be; None, with diagnostics, when it cannot be told."""
        before = len(self.diagnostics)
        scope = self.instance_scope(block, key)
        address = scope.address
        self.check_rules(block.preconditions, scope, "Resource precondition failed")
        raw = block.body.evaluate(scope)
        for node in block.depends_on:
            Block(self, self.program.blocks[node]).force(scope.reads)
        sensitive: list[Path] = []
        marks: set[str] = set()
        values = {}
        for name, value in raw.items():
            if value is not None:
                spec = block.schema.attributes.get(name)
                as_reference = spec is None or spec.nested is not None or bool(spec.reference)
                values[name] = plain(value, (name,), sensitive, marks, reference=as_reference)
        schema = block.schema
        problems: list[tuple[Path, str]] = []
        if block.block.mode == "data" and block.kind.data_model is None:
            # what selects an object of the kind need not be all that makes one
            attributes = values
        else:
            attributes, problems = schema.decode(values)
        for path, text in problems:
            place = block.body.range_of(path) or block.block.range
            if any(path[: len(hidden)] == hidden for hidden in sensitive):
                text = "the value is not suitable, and as it is sensitive the message about it is not shown"
            self.diagnostics.append(error("Invalid argument", _sentence(path, text), place, address=address))
        if len(self.diagnostics) > before and any(d.is_error for d in self.diagnostics[before:]):
            return None
        given = frozenset(attributes)
        if block.block.mode == "managed":
            attributes, found = block.kind.prepare(attributes, self._prepare_context(block, key))
            self.diagnostics += [d.at(block.block.range, address) for d in found]
            if any(d.is_error for d in found):
                return None
            for target, source in block.kind.mirrors.items():
                sensitive += [(target, *path[1:]) for path in sensitive if path[0] == source]
        host = attributes.get("host")
        return Desired(
            attributes,
            given,
            tuple(dict.fromkeys((*map(schema.stable_path, sensitive), *schema.sensitive_paths(attributes)))),
            frozenset(scope.reads),
            host if isinstance(host, Reference) else None,
        )

    def _prepare_context(self, block: CompiledBlock, key: Key) -> PrepareContext:
        return PrepareContext(self.reader, self.project, self.program.config.root, block.block.name, key, self.lock)

    def check_rules(self, rules: Iterable[CompiledRule], scope: Scope, summary: str) -> None:
        """Evaluate conditions; one that is false becomes an error with its own message."""
        for rule in rules:
            value, _ = unmark(rule.condition.evaluate(scope))
            if isinstance(value, Unknown):
                continue
            if value is False or value == "false":
                message, marks = unmark(rule.message.evaluate(scope))
                hidden = "sensitive" in marks or not isinstance(message, str)
                text = "The condition is false, and its message cannot be shown." if hidden else message
                self.diagnostics.append(error(summary, text, rule.range, address=scope.address))
            elif value is not True and value != "true":
                text = "The condition must be true or false."
                self.diagnostics.append(error("Invalid condition", text, rule.range, address=scope.address))

    def check_assertions(self) -> list[Diagnostic]:
        """What of the ``check`` blocks does not hold, as warnings; what cannot be told yet is passed over."""
        before = len(self.diagnostics)
        for name, rules in self.program.checks.items():
            self.check_rules(rules, self.scope(f"check.{name}"), "Check block assertion failed")
        found = [replace(d, severity=Severity.WARNING) for d in self.diagnostics[before:]]
        del self.diagnostics[before:]
        return found

    def triggers(self, block: CompiledBlock, key: Key) -> list[tuple[Compiled, set[str], Value]]:
        """What ``replace_triggered_by`` names: each expression, the instances it read, its value."""
        out = []
        for compiled in block.triggers:
            scope = self.instance_scope(block, key)
            scope.reads = set()
            out.append((compiled, scope.reads, compiled.evaluate(scope)))
        return out


_UNKNOWN = (
    'The value of "{what}" depends on what is known only after apply, so it cannot be told {part}. Let it depend '
    "on values that are known beforehand, or apply what it depends on first with --target."
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


def _sentence(path: Path, text: str) -> str:
    """What is wrong at a path, as a sentence; rules over a whole block have no path."""
    where = ""
    for step in path:
        where += f"[{step}]" if isinstance(step, int) else f".{step}" if where else step
    out = f"{where}: {text}" if where else text[:1].upper() + text[1:]
    return out if out.endswith((".", "?", "!")) else f"{out}."


def foreign_host_references(attributes: Attributes) -> list[tuple[Path, Reference]]:
    """References other than ``host`` itself."""
    found: list[tuple[Path, Reference]] = []
    references_in({k: v for k, v in attributes.items() if k != "host"}, found)
    return found
