"""A configuration made ready to evaluate: compiled once, with the graph over its blocks.

The graph is over blocks, never over instances; its order is found without recursion, so that a chain
of thousands of blocks is no problem. A module that is called from two places is compiled twice, a module call with
many instances once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from hythe.address import Address, BlockAddress
from hythe.diagnostic import Diagnostic, Range, did_you_mean, error
from hythe.modules.config import (
    CheckRule,
    Config,
    ImportBlock,
    Located,
    Module,
    ModuleCall,
    OutputBlock,
    ResourceBlock,
)
from hythe.modules.declarations import CALL_ARGUMENTS
from hythe.modules.language.body import AttributeSpec, BlockSpec, BodySchema, CompiledBody, compile_body
from hythe.modules.language.compile import Compiled, compile_expression
from hythe.modules.language.references import Traversal
from hythe.modules.standing import address_steps
from hythe.planner import habits
from hythe.provider.protocol import Kind
from hythe.provider.registry import Registry
from hythe.provider.schema import Schema

META_ARGUMENTS = frozenset({"count", "for_each", "depends_on", "lifecycle", "provider"})

CallPath = tuple[str, ...]
"""The names of the module calls from the root down, without instance keys; () is the root module."""


class NodeId(NamedTuple):
    """A node of the graph.

    ``sort`` is managed, data, ephemeral, local, variable, output, check, import or module (a call).
    ``kind`` is that of a resource, "" for other sorts. A call stands in the module that has its block.
    """

    module: CallPath
    sort: str
    kind: str
    name: str

    def __str__(self) -> str:
        prefix = [f"module.{name}" for name in self.module]
        sort = {"managed": (), "variable": ("var",)}.get(self.sort, (self.sort,))
        return ".".join([*prefix, *sort, *([self.kind] if self.kind else []), self.name])


def node_of(at: Address | BlockAddress) -> NodeId:
    """The node of the block that an address belongs to."""
    return NodeId(tuple([name for name, _ in at.module]) if at.module else (), at.mode, at.kind, at.name)


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A condition with its message, compiled."""

    condition: Compiled
    message: Compiled
    range: Range

    @property
    def references(self) -> Iterator[Traversal]:
        """What both refer to."""
        yield from self.condition.references
        yield from self.message.references


@dataclass(slots=True)
class CompiledBlock:
    """A resource, data or ephemeral block, compiled. ``prevent_destroy`` is there where it is no literal."""

    node: NodeId
    block: ResourceBlock
    kind: Kind
    schema: Schema
    body: CompiledBody
    count: Compiled | None
    for_each: Compiled | None
    enabled: Compiled | None
    prevent_destroy: Compiled | None
    depends_on: tuple[NodeId, ...]
    triggers: tuple[Compiled, ...]
    preconditions: tuple[CompiledRule, ...]
    postconditions: tuple[CompiledRule, ...]


@dataclass(frozen=True, slots=True)
class CompiledOutput:
    """An output, compiled."""

    block: OutputBlock
    value: Compiled
    rules: tuple[CompiledRule, ...]
    depends_on: tuple[NodeId, ...] = ()


@dataclass(slots=True)
class CompiledCall:
    """A module call, compiled. ``arguments`` are the values for the module's variables.

    ``host`` is where everything in the module is that says nothing else, as long as it has no variable of that name.
    """

    node: NodeId
    block: ModuleCall
    count: Compiled | None
    for_each: Compiled | None
    enabled: Compiled | None
    arguments: dict[str, Compiled]
    host: Compiled | None = None
    depends_on: tuple[NodeId, ...] = ()


@dataclass(frozen=True, slots=True)
class CompiledImport:
    """An ``import`` block, compiled. ``to`` are the steps of the address with the expressions of their keys."""

    node: NodeId
    block: ImportBlock
    to: tuple[tuple[str, Compiled | None], ...]
    id: Compiled
    for_each: Compiled | None
    count: None = None
    enabled: None = None

    @property
    def target(self) -> NodeId:
        """The block whose instances it brings."""
        *path, (kind, _), (name, _) = self.to
        return NodeId(tuple(n for n, _ in path), "managed", kind, name)


@dataclass(slots=True)
class CompiledModule:
    """One module at one place of the tree."""

    path: CallPath
    declared: Module
    blocks: dict[tuple[str, str, str], CompiledBlock] = field(default_factory=dict)
    locals: dict[str, Compiled] = field(default_factory=dict)
    outputs: dict[str, CompiledOutput] = field(default_factory=dict)
    validations: dict[str, tuple[CompiledRule, ...]] = field(default_factory=dict)
    checks: dict[str, tuple[CompiledRule, ...]] = field(default_factory=dict)
    calls: dict[str, CompiledCall] = field(default_factory=dict)
    imports: list[CompiledImport] = field(default_factory=list)


@dataclass(slots=True)
class Program:
    """The compiled configuration. ``order`` lists blocks so that each comes after what it refers to."""

    config: Config
    modules: dict[CallPath, CompiledModule] = field(default_factory=dict)
    blocks: dict[NodeId, CompiledBlock] = field(default_factory=dict)
    order: tuple[NodeId, ...] = ()
    edges: dict[NodeId, tuple[NodeId, ...]] = field(default_factory=dict)

    @property
    def root(self) -> CompiledModule:
        """The root module."""
        return self.modules[()]

    def block(self, at: Address | BlockAddress) -> CompiledBlock | None:
        """The block that an address belongs to, None when the configuration has none."""
        return self.blocks.get(node_of(at))

    def below(self, path: CallPath) -> Iterator[CompiledModule]:
        """The module at a path and all that it calls."""
        for other, module in self.modules.items():
            if other[: len(path)] == path:
                yield module

    def closure(self, start: Iterable[NodeId]) -> set[NodeId]:
        """The nodes given and everything that they refer to, directly or not."""
        seen: set[NodeId] = set()
        left = list(start)
        while left:
            node = left.pop()
            if node not in seen:
                seen.add(node)
                left.extend(self.edges.get(node, ()))
        return seen

    def block_dependencies(self, node: NodeId) -> set[NodeId]:
        """The blocks that a node refers to, directly or through locals, variables, outputs and module calls."""
        out: set[NodeId] = set()
        left = list(self.edges.get(node, ()))
        seen: set[NodeId] = set()
        while left:
            other = left.pop()
            if other in seen:
                continue
            seen.add(other)
            if other.sort in ("managed", "data", "ephemeral"):
                out.add(other)
            else:
                left.extend(self.edges.get(other, ()))
        return out


def body_schema(schema: Schema, owner: str = "", *, ephemeral: bool = False) -> BodySchema:
    """What a block's body may hold, in the language's terms.

    ``owner`` is the kind, with nested blocks after dots, for advice. ``ephemeral``: nothing of it is kept.
    """
    attributes: dict[str, AttributeSpec] = {}
    blocks: dict[str, BlockSpec] = {}
    for name, spec in schema.attributes.items():
        if spec.nested is not None:
            nested = body_schema(spec.nested, f"{owner}.{name}", ephemeral=ephemeral)
            blocks[name] = BlockSpec(schema=nested, repeated=spec.repeated)
        elif not spec.computed:
            attributes[name] = AttributeSpec(
                type=spec.type,
                required=spec.required,
                reference=bool(spec.reference),
                ephemeral_ok=ephemeral or spec.write_only,
            )
    return BodySchema(attributes=attributes, blocks=blocks, foreign=habits.ARGUMENTS.get(owner, {}))


def compile_config(config: Config, registry: Registry) -> tuple[Program, list[Diagnostic]]:
    """Compile a configuration. Everything that is wrong without evaluating anything is reported."""
    from hythe.planner.link import Linker

    program = Program(config)
    found: list[Diagnostic] = []
    schemas: dict[tuple[str, str], BodySchema] = {}
    for path, module in config.module.walk():
        program.modules[path] = _compile_module(program, CompiledModule(path, module), registry, schemas, found)
    linker = Linker(program, registry, found)
    linker.link()
    # a module that is called twice has its faults once
    return program, list(dict.fromkeys(found)) if len(program.modules) > 1 else found


def _compile_module(
    program: Program,
    made: CompiledModule,
    registry: Registry,
    schemas: dict[tuple[str, str], BodySchema],
    found: list[Diagnostic],
) -> CompiledModule:
    path, declared = made.path, made.declared
    for key, block in sorted(declared.resources.items()):
        compiled = _compile_block(path, block, registry, schemas, found)
        if compiled is not None:
            program.blocks[compiled.node] = made.blocks[key] = compiled
    for name, expression in sorted(declared.locals.items()):
        made.locals[name] = compile_expression(expression.expression, expression.source)
    for name, output in sorted(declared.outputs.items()):
        value = compile_expression(output.value.expression, output.value.source)
        made.outputs[name] = CompiledOutput(output, value, compile_rules(output.preconditions))
    for name, check in sorted(declared.checks.items()):
        made.checks[name] = compile_rules(check.assertions)
    if path:
        # those of the root module are checked as soon as their values are given
        made.validations = {n: compile_rules(v.validations) for n, v in sorted(declared.variables.items())}
    made.imports += [_compile_import(path, number, taken) for number, taken in enumerate(declared.imports)]
    for name, call in sorted(declared.calls.items()):
        made.calls[name] = _compile_call(path, call, declared.children.get(name))
    return made


def _compile_call(path: CallPath, call: ModuleCall, called: Module | None) -> CompiledCall:
    arguments = {
        n: compile_expression(a.expression, call.body.source)
        for n, a in call.body.attributes.items()
        if n not in CALL_ARGUMENTS
    }
    host = arguments.pop("host", None) if called is not None and "host" not in called.variables else None
    node = NodeId(path, "module", "", call.name)
    return CompiledCall(
        node, call, _compile(call.count), _compile(call.for_each), _compile(call.enabled), arguments, host
    )


def _compile_import(path: CallPath, number: int, block: ImportBlock) -> CompiledImport:
    source = block.to.source
    steps = address_steps(block.to.expression) or []
    return CompiledImport(
        NodeId(path, "import", "", str(number)),
        block,
        tuple((name, compile_expression(key, source) if key is not None else None) for name, key in steps),
        compile_expression(block.id.expression, block.id.source),
        _compile(block.for_each),
    )


def _compile(expression: Located | None) -> Compiled | None:
    return None if expression is None else compile_expression(expression.expression, expression.source)


def compile_rules(rules: Iterable[CheckRule]) -> tuple[CompiledRule, ...]:
    """Compile conditions with their messages."""
    out = []
    for rule in rules:
        condition, message = _compile(rule.condition), _compile(rule.error_message)
        assert condition is not None
        assert message is not None
        out.append(CompiledRule(condition, message, rule.condition.range))
    return tuple(out)


def _compile_block(
    path: CallPath,
    block: ResourceBlock,
    registry: Registry,
    schemas: dict[tuple[str, str], BodySchema],
    found: list[Diagnostic],
) -> CompiledBlock | None:
    if block.kind not in registry:
        told = habits.kind_advice(block.mode, block.kind)
        hint = f" {told}" if told is not None else did_you_mean(block.kind, registry.names())
        found.append(error("Unknown kind", f'There is no kind "{block.kind}".{hint}', block.range))
        return None
    kind = registry.kind(block.kind)
    own = _schema_of(block, kind, registry, found)
    if own is None:
        return None
    key = (block.mode, block.kind)
    if key not in schemas:
        schemas[key] = body_schema(own, block.kind, ephemeral=block.mode == "ephemeral")
    schema = schemas[key]
    if block.mode == "data" and kind.data_model is None:
        # selecting an existing object needs few of the arguments that make one
        schema = BodySchema(
            attributes={
                n: AttributeSpec(type=a.type, required=False, reference=a.reference, ephemeral_ok=a.ephemeral_ok)
                for n, a in schema.attributes.items()
            },
            blocks=schema.blocks,
        )
    computed = _computed_arguments(block, own, found)
    body, problems = compile_body(block.body, schema, ignore=META_ARGUMENTS | computed)
    found += problems
    _check_ignored(block, kind, found)
    lifecycle = block.lifecycle
    return CompiledBlock(
        node=NodeId(path, block.mode, block.kind, block.name),
        block=block,
        kind=kind,
        schema=own,
        body=body,
        count=_compile(block.count),
        for_each=_compile(block.for_each),
        enabled=_compile(lifecycle.enabled),
        prevent_destroy=_compile(lifecycle.prevent_expression),
        depends_on=(),
        triggers=tuple(c for c in map(_compile, lifecycle.replace_triggered_by) if c is not None),
        preconditions=compile_rules(lifecycle.preconditions),
        postconditions=compile_rules(lifecycle.postconditions),
    )


def _schema_of(block: ResourceBlock, kind: Kind, registry: Registry, found: list[Diagnostic]) -> Schema | None:
    """What a block of the kind takes and gives in its mode; None, with a diagnostic, when there are no such blocks."""
    if block.mode != "ephemeral":
        return kind.data_schema if block.mode == "data" else kind.schema
    if kind.ephemeral_schema is None:
        others = [name for name in registry.names() if registry.kind(name).ephemeral_schema is not None]
        text = f"There are no ephemeral blocks of the kind {block.kind}"
        text += f": there are those of {', '.join(others)}." if others else "."
        text += f' An existing {block.kind} is read by a block data "{block.kind}".'
        found.append(error("No ephemeral blocks of this kind", text, block.range))
    return kind.ephemeral_schema


def _computed_arguments(block: ResourceBlock, schema: Schema, found: list[Diagnostic]) -> set[str]:
    """The arguments given that only Hythe sets, each one reported."""
    out: set[str] = set()
    for name, attribute in block.body.attributes.items():
        spec = schema.attributes.get(name)
        if spec is not None and spec.computed:
            out.add(name)
            told = habits.ARGUMENTS.get(block.kind, {}).get(name, "Remove the argument.")
            text = f'"{name}" cannot be set: it tells what the {block.kind} has become. {told}'
            place = block.body.source.range(attribute.start, attribute.name_end)
            found.append(error("Value is set by Hythe", text, place))
    return out


def _check_ignored(block: ResourceBlock, kind: Kind, found: list[Diagnostic]) -> None:
    for path, place in zip(block.lifecycle.ignore_changes, block.lifecycle.ignore_places, strict=True):
        if path[0] not in kind.schema.attributes:
            text = f'ignore_changes names "{path[0]}", and the kind {block.kind} has no such argument.'
            told = habits.ARGUMENTS.get(block.kind, {}).get(str(path[0]))
            text += did_you_mean(str(path[0]), kind.schema.attributes) if told is None else f" {told}"
            found.append(error("Unsupported argument", text, place))
