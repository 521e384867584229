"""Evaluating a compiled configuration: blocks to instances, instances to wished attributes.

The same code serves plan and apply; they differ in the :class:`World` that tells what other instances
are: the planned ones, or those in state. Every evaluation records which instances it really read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from hythe.address import Address, Key, ModulePath, format_key, format_path
from hythe.diagnostic import Diagnostic, as_warning, error
from hythe.modules.blocks import traversal_path
from hythe.modules.language.compile import Compiled
from hythe.modules.language.elements import Elements, evaluate_elements
from hythe.modules.language.scope import Scope, SharedValues
from hythe.planner import ephemeral, modules
from hythe.planner.exposure import plain, references_in
from hythe.planner.lazy import Block, Calls, Computed, Kinds, Names
from hythe.planner.program import (
    CallPath,
    CompiledBlock,
    CompiledCall,
    CompiledImport,
    CompiledModule,
    CompiledRule,
    NodeId,
    Program,
)
from hythe.planner.repetition import Expansion, expand
from hythe.provider.protocol import Attributes, PrepareContext, Project, Reader
from hythe.provider.schema import Path
from hythe.value import Reference, Unknown, Value, is_known, unmark

if TYPE_CHECKING:
    from hythe.modules.language.functions.registry import Environment
    from hythe.modules.syntax.tree import Body


class World(Protocol):
    """Tells what other instances are while one is evaluated."""

    def instance(self, block: CompiledBlock, at: Address) -> Value:
        """The value of an instance: an :class:`~hythe.value.Instance`, or Unknown."""

    def open(self, block: CompiledBlock, at: Address, desired: Desired) -> Attributes | Diagnostic | None:
        """What opening an ephemeral instance gives, or what is wrong with it; None while that is not known."""


class Desired(NamedTuple):
    """What an instance shall be. ``given`` are the arguments that the configuration sets itself."""

    attributes: Attributes
    given: frozenset[str]
    sensitive: tuple[Path, ...]
    reads: frozenset[str]
    host: Reference | None


@dataclass(slots=True)
class _Shared:
    """What the evaluations of all module instances have in common."""

    program: Program
    environment: Environment
    world: World
    project: Project
    reader: Reader
    lock: Mapping[str, str]
    keep_unknown: bool
    defer: bool
    diagnostics: list[Diagnostic] = field(default_factory=list)


class Evaluation:
    """Evaluates one module instance of a program in one world, and makes those of the modules that it calls.

    Not for several threads at once.
    """

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
        defer: bool = False,
    ) -> None:
        """The root module. ``keep_unknown``: whether what holds unknowns may be remembered (not during apply).

        ``defer``: whether blocks may be expanded later, when their number depends on what is not known yet.
        """
        shared = _Shared(program, environment, world, project, reader, lock, keep_unknown, defer)
        self._begin(shared, program.root, (), None)
        self.roots["var"] = dict(variables)

    def _begin(self, shared: _Shared, module: CompiledModule, path: ModulePath, caller: Evaluation | None) -> None:
        self.shared = shared
        self.module = module
        self.path = path
        self.caller = caller
        self.diagnostics = shared.diagnostics
        self.world = shared.world
        self._expansions: dict[NodeId, Expansion] = {}
        self._addresses: dict[NodeId, str] = {}
        self._locals: dict[str, Elements] = {}
        self._variables: dict[str, Elements] = {}
        self._outputs: dict[str, Elements] = {}
        self._opened: dict[tuple[NodeId, Key], Elements] = {}
        self._children: dict[tuple[str, Key], Evaluation] = {}
        # during apply values become known, so that none is shared there
        self._shared_values: SharedValues | None = {} if shared.keep_unknown else None
        self._name_prefix = "".join(f"{step}-" for at in path for step in at if step is not None)
        self.outputs = Computed(self.output, module.outputs)
        self.roots = self._make_roots()

    def _make_roots(self) -> dict[str, Value]:
        blocks: dict[str, dict[str, dict[str, CompiledBlock]]] = {"managed": {}, "data": {}, ephemeral.MODE: {}}
        for (mode, kind, name), block in self.module.blocks.items():
            blocks[mode].setdefault(kind, {})[name] = block
        kinds = {mode: {k: Kinds(self, named) for k, named in found.items()} for mode, found in blocks.items()}
        settings = {"workspace": self.shared.project.workspace}
        return {
            **kinds["managed"],
            "var": Computed(self.variable, self.module.declared.variables),
            "local": Computed(self.local, self.module.locals),
            "module": Calls(self),
            "data": Names(kinds["data"]),
            "ephemeral": Names(kinds[ephemeral.MODE]),
            "path": {
                "module": self.module.declared.directory,
                "root": ".",
                "cwd": self.shared.program.config.root,
            },
            "hythe": settings,
            "terraform": settings,
        }

    # -- the tree of module instances -----------------------------------------------------------

    def child(self, name: str, key: Key) -> Evaluation:
        """An instance of a module that this one calls."""
        found = self._children.get((name, key))
        if found is None:
            found = Evaluation.__new__(Evaluation)
            module = self.shared.program.modules[*self.module.path, name]
            found._begin(self.shared, module, (*self.path, (name, key)), self)
            self._children[name, key] = found
        return found

    def at(self, path: ModulePath) -> Evaluation | None:
        """The module instance at a path below this one; None when the configuration has none there."""
        current = self
        for name, key in path:
            call = current.module.calls.get(name)
            if call is None or (*current.module.path, name) not in self.shared.program.modules:
                return None
            if key not in current.expansion(call).keys:
                return None
            current = current.child(name, key)
        return current

    def instances(self, path: CallPath) -> list[Evaluation]:
        """All instances of a module below this one."""
        found = [self]
        for name in path:
            found = [i.child(name, key) for i in found for key in i.expansion(i.module.calls[name]).keys]
        return found

    # -- names ----------------------------------------------------------------------------------

    def address(self, block: CompiledBlock, key: Key) -> Address:
        """The address of an instance of a block of this module."""
        return Address(self.path, block.block.mode, block.block.kind, block.block.name, key)

    def scope(self, address: str | None = None, **more: Value) -> Scope:
        """A scope over the module's names and ``more`` roots."""
        roots = {**self.roots, **more} if more else self.roots
        return Scope(roots, self.shared.environment, diagnostics=self.diagnostics, address=address)

    def local(self, name: str) -> Elements:
        """A local value with its reads."""
        found = self._locals.get(name)
        if found is None:
            found = evaluate_elements(self.module.locals[name], self.scope()).settled()
            self._keep(self._locals, name, found)
        return found

    def variable(self, name: str) -> Elements:
        """The value that a module's variable gets from the call, with its reads."""
        found = self._variables.get(name)
        if found is None:
            found = self._variables[name] = modules.variable(self, name)
            if not self.shared.keep_unknown:
                # the plan could not check it, or saw another value
                modules.validate(self, name)
                if not is_known(found.value):
                    del self._variables[name]
        return found

    def output(self, name: str) -> Elements:
        """The value of a module's output as its caller sees it, with its reads."""
        found = self._outputs.get(name)
        if found is None:
            found = modules.output(self, name)
            self._keep(self._outputs, name, found)
        return found

    def opened(self, block: CompiledBlock, key: Key) -> Elements:
        """The value of an ephemeral instance, with what it rests on."""
        found = self._opened.get((block.node, key))
        if found is None:
            found = ephemeral.opened(self, block, key)
            if self.shared.keep_unknown or is_known(found.value):
                self._opened[block.node, key] = found
        return found

    def _keep(self, table: dict[str, Elements], name: str, found: Elements) -> None:
        if self.shared.keep_unknown or is_known(found.value):
            table[name] = found

    def expansion(self, block: CompiledBlock | CompiledCall | CompiledImport) -> Expansion:
        """The instances of a block, module call or import block."""
        found = self._expansions.get(block.node)
        if found is None:
            found = expand(block, self.scope(), defer=self.shared.defer)
            if self.shared.keep_unknown or found.final:
                self._expansions[block.node] = found
        return found

    def instance_scope(self, block: CompiledBlock, key: Key) -> Scope:
        """The scope in which an instance's body is evaluated."""
        expansion = self.expansion(block)
        prefix = self._addresses.get(block.node)
        if prefix is None:
            prefix = self._addresses[block.node] = str(self.address(block, None))
        scope = expansion.bind(key, self.scope(prefix + format_key(key)))
        if expansion.several:
            scope.shared = self._shared_values
        return scope

    def call_scope(self, call: CompiledCall, key: Key) -> Scope:
        """The scope in which the arguments of a module call are evaluated."""
        address = format_path((*self.path, (call.block.name, key)))
        return self.expansion(call).bind(key, self.scope(address))

    def force(self, nodes: Iterable[NodeId], reads: set[str]) -> None:
        """Note everything as read that ``depends_on`` names, whole modules too."""
        for node in nodes:
            if node.sort == "module":
                modules.force(self, node.name, reads)
            else:
                Block(self, self.shared.program.blocks[node]).force(reads)

    def inherited(self, reads: set[str]) -> None:
        """Note as read what the ``depends_on`` of the calls that lead here name."""
        inner, caller = self, self.caller
        while caller is not None:
            call = caller.module.calls[inner.path[-1][0]]
            caller.force(call.depends_on, reads)
            expansion = caller.expansion(call)
            reads |= expansion.reads
            reads |= expansion.element_reads.get(inner.path[-1][1], set())
            inner, caller = caller, caller.caller

    def default_host(self, reads: set[str]) -> Value:
        """Where what is in this module is when it says nothing: as the nearest call says that has ``host``."""
        inner, caller = self, self.caller
        while caller is not None:
            name, key = inner.path[-1]
            call = caller.module.calls[name]
            if call.host is not None:
                scope = caller.call_scope(call, key)
                value = call.host.evaluate(scope)
                reads |= scope.reads
                if value is None:
                    caller._require_enabled(call.block.body, scope.address)
                return value
            inner, caller = caller, caller.caller
        return None

    def _require_enabled(self, body: Body, address: str | None) -> None:
        """Report a host that is not enabled: null, it would be this machine, which nobody wants who names another."""
        given = body.attributes.get("host")
        path = traversal_path(given.expression) if given is not None else None
        kind, name = map(str, path) if path and len(path) == 2 else ("", "")
        block = self.module.blocks.get(("managed", kind, name))
        if given is None or block is None or not self.expansion(block).disabled:
            return
        host = f"{kind}.{name}"
        text = (
            f"{host} is not enabled, so nothing can be on it. Give what is there the same `lifecycle {{ enabled }}`, "
            f"or say what else is its host: `{host} != null ? {host} : null` would be this machine."
        )
        place = body.source.range(given.expression.start, given.expression.end)
        self.diagnostics.append(error("Host is not enabled", text, place, address=address))

    # -- instances ------------------------------------------------------------------------------

    def desired(self, block: CompiledBlock, key: Key) -> Desired | None:
        """What an instance shall be; None, with diagnostics, when it cannot be told."""
        before = len(self.diagnostics)
        scope = self.instance_scope(block, key)
        address = scope.address
        if block.preconditions:
            self.check_rules(block.preconditions, scope, "Resource precondition failed")
        raw = block.body.evaluate(scope)
        if raw.get("host") is None and "host" in block.schema.attributes:
            self._require_enabled(block.block.body, address)
            if self.caller is not None:
                raw = {**raw, "host": self.default_host(scope.reads)}
        if block.depends_on:
            self.force(block.depends_on, scope.reads)
        if self.caller is not None:
            self.inherited(scope.reads)
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
        shared = self.shared
        name = self._name_prefix + block.block.name
        return PrepareContext(shared.reader, shared.project, shared.program.config.root, name, key, shared.lock)

    def check_rules(self, rules: Iterable[CompiledRule], scope: Scope, summary: str) -> None:
        """Evaluate conditions; one that is false becomes an error with its own message."""
        for rule in rules:
            value, _ = unmark(rule.condition.evaluate(scope))
            if isinstance(value, Unknown):
                continue
            if value is False or value == "false":
                message, marks = unmark(rule.message.evaluate(scope))
                hidden = bool(marks) or not isinstance(message, str)
                text = "The condition is false, and its message cannot be shown." if hidden else message
                self.diagnostics.append(error(summary, text, rule.range, address=scope.address))
            elif value is not True and value != "true":
                text = "The condition must be true or false."
                self.diagnostics.append(error("Invalid condition", text, rule.range, address=scope.address))

    def check_assertions(self) -> list[Diagnostic]:
        """What of the ``check`` blocks does not hold, as warnings; what cannot be told yet is passed over."""
        before = len(self.diagnostics)
        for path, module in self.shared.program.modules.items():
            for name, rules in module.checks.items():
                for instance in self.instances(path):
                    prefix = f"{format_path(instance.path)}." if instance.path else ""
                    scope = instance.scope(f"{prefix}check.{name}")
                    instance.check_rules(rules, scope, "Check block assertion failed")
        found = [as_warning(d) for d in self.diagnostics[before:]]
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
