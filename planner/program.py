"""A configuration made ready to evaluate: compiled once, with the graph over its blocks.

The graph is over blocks, never over instances; its order is found without recursion, so that a chain
of thousands of blocks is no problem.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from hythe.address import BlockAddress
from hythe.diagnostic import Diagnostic, Range, did_you_mean, error
from hythe.modules.config import CheckRule, Config, Located, OutputBlock, ResourceBlock
from hythe.modules.language.body import AttributeSpec, BlockSpec, BodySchema, CompiledBody, compile_body
from hythe.modules.language.compile import Compiled, compile_expression
from hythe.modules.language.references import Traversal
from hythe.provider.protocol import Kind
from hythe.provider.registry import Registry
from hythe.provider.schema import Schema

META_ARGUMENTS = frozenset({"count", "for_each", "depends_on", "lifecycle", "provider"})
BUILT_IN_ROOTS = frozenset({"var", "local", "data", "each", "count", "self", "path", "hythe", "terraform"})

NodeId = tuple[str, ...]
"""A node of the graph: ("managed", kind, name), ("data", kind, name), ("local", name), ("output", name),
("check", name)."""


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A condition with its message, compiled."""

    condition: Compiled
    message: Compiled
    range: Range


@dataclass(slots=True)
class CompiledBlock:
    """A resource or data block, compiled."""

    block: ResourceBlock
    kind: Kind
    schema: Schema
    body: CompiledBody
    count: Compiled | None
    for_each: Compiled | None
    depends_on: tuple[NodeId, ...]
    triggers: tuple[Compiled, ...]
    preconditions: tuple[CompiledRule, ...]
    postconditions: tuple[CompiledRule, ...]

    @property
    def address(self) -> BlockAddress:
        """The block's address."""
        return BlockAddress((), self.block.mode, self.block.kind, self.block.name)

    @property
    def node(self) -> NodeId:
        """The block's node in the graph."""
        return (self.block.mode, self.block.kind, self.block.name)


@dataclass(slots=True)
class Program:
    """The compiled configuration. ``order`` lists blocks so that each comes after what it refers to."""

    config: Config
    blocks: dict[NodeId, CompiledBlock] = field(default_factory=dict)
    locals: dict[str, Compiled] = field(default_factory=dict)
    outputs: dict[str, tuple[OutputBlock, Compiled, tuple[CompiledRule, ...]]] = field(default_factory=dict)
    checks: dict[str, tuple[CompiledRule, ...]] = field(default_factory=dict)
    order: tuple[NodeId, ...] = ()
    edges: dict[NodeId, tuple[NodeId, ...]] = field(default_factory=dict)

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
        """The blocks that a node refers to, directly or through locals."""
        out: set[NodeId] = set()
        left = list(self.edges.get(node, ()))
        seen: set[NodeId] = set()
        while left:
            other = left.pop()
            if other in seen:
                continue
            seen.add(other)
            if other[0] == "local":
                left.extend(self.edges.get(other, ()))
            elif other[0] in ("managed", "data"):
                out.add(other)
        return out


def body_schema(schema: Schema) -> BodySchema:
    """What a block's body may hold, in the language's terms."""
    attributes: dict[str, AttributeSpec] = {}
    blocks: dict[str, BlockSpec] = {}
    for name, spec in schema.attributes.items():
        if spec.nested is not None:
            blocks[name] = BlockSpec(schema=body_schema(spec.nested), repeated=spec.repeated)
        elif not spec.computed:
            attributes[name] = AttributeSpec(
                type=spec.type,
                required=spec.required,
                reference=bool(spec.reference),
                ephemeral_ok=spec.write_only,
            )
    return BodySchema(attributes=attributes, blocks=blocks)


def compile_config(config: Config, registry: Registry) -> tuple[Program, list[Diagnostic]]:
    """Compile a configuration. Everything that is wrong without evaluating anything is reported."""
    program = Program(config)
    found: list[Diagnostic] = []
    schemas: dict[tuple[str, str], BodySchema] = {}
    for key, block in sorted(config.module.resources.items()):
        compiled = _compile_block(block, registry, schemas, found)
        if compiled is not None:
            program.blocks[key] = compiled
    for name, expression in sorted(config.module.locals.items()):
        program.locals[name] = compile_expression(expression.expression, expression.source)
    for name, output in sorted(config.module.outputs.items()):
        value = compile_expression(output.value.expression, output.value.source)
        program.outputs[name] = (output, value, _rules(output.preconditions))
    for name, check in sorted(config.module.checks.items()):
        program.checks[name] = _rules(check.assertions)
    _Linker(program, registry, found).link()
    return program, found


def _compile(expression: Located | None) -> Compiled | None:
    return None if expression is None else compile_expression(expression.expression, expression.source)


def _rules(rules: Iterable[CheckRule]) -> tuple[CompiledRule, ...]:
    out = []
    for rule in rules:
        condition, message = _compile(rule.condition), _compile(rule.error_message)
        assert condition is not None
        assert message is not None
        out.append(CompiledRule(condition, message, rule.condition.range))
    return tuple(out)


def _compile_block(
    block: ResourceBlock, registry: Registry, schemas: dict[tuple[str, str], BodySchema], found: list[Diagnostic]
) -> CompiledBlock | None:
    if block.kind not in registry:
        hint = did_you_mean(block.kind, registry.names())
        found.append(error("Unknown kind", f'There is no kind "{block.kind}".{hint}', block.range))
        return None
    kind = registry.kind(block.kind)
    own = kind.data_schema if block.mode == "data" else kind.schema
    key = (block.mode, block.kind)
    if key not in schemas:
        schemas[key] = body_schema(own)
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
        block=block,
        kind=kind,
        schema=own,
        body=body,
        count=_compile(block.count),
        for_each=_compile(block.for_each),
        depends_on=(),
        triggers=tuple(c for c in map(_compile, lifecycle.replace_triggered_by) if c is not None),
        preconditions=_rules(lifecycle.preconditions),
        postconditions=_rules(lifecycle.postconditions),
    )


def _computed_arguments(block: ResourceBlock, schema: Schema, found: list[Diagnostic]) -> set[str]:
    """The arguments given that only Hythe sets, each one reported."""
    out: set[str] = set()
    for name, attribute in block.body.attributes.items():
        spec = schema.attributes.get(name)
        if spec is not None and spec.computed:
            out.add(name)
            text = f'"{name}" cannot be set: it tells what the {block.kind} has become. Remove the argument.'
            place = block.body.source.range(attribute.start, attribute.name_end)
            found.append(error("Value is set by Hythe", text, place))
    return out


def _check_ignored(block: ResourceBlock, kind: Kind, found: list[Diagnostic]) -> None:
    for path, place in zip(block.lifecycle.ignore_changes, block.lifecycle.ignore_places, strict=True):
        if path[0] not in kind.schema.attributes:
            text = f'ignore_changes names "{path[0]}", and the kind {block.kind} has no such argument.'
            text += did_you_mean(str(path[0]), kind.schema.attributes)
            found.append(error("Unsupported argument", text, place))


class _Linker:
    """Finds what each node refers to, and an order in which to evaluate."""

    def __init__(self, program: Program, registry: Registry, found: list[Diagnostic]) -> None:
        self.program = program
        self.registry = registry
        self.found = found
        self.declared = program.config.module

    def link(self) -> None:
        program = self.program
        for name, compiled in program.locals.items():
            self._edges(("local", name), compiled.references)
        for node, block in program.blocks.items():
            own = {"each"} if block.for_each is not None else {"count"} if block.count is not None else set()
            block.depends_on = tuple(self._depends_on(block.block.depends_on))
            self._edges(node, self._block_references(block, own), block.depends_on, own)
        for name, (output, compiled, rules) in program.outputs.items():
            references = [*compiled.references, *(r for rule in rules for r in rule.condition.references)]
            self._edges(("output", name), references, self._depends_on(output.depends_on))
        for name, rules in program.checks.items():
            self._edges(("check", name), (r for c in rules for r in (*c.condition.references, *c.message.references)))
        self._order()

    def _block_references(self, block: CompiledBlock, own: set[str]) -> Iterator[Traversal]:
        yield from block.body.references
        for trigger in block.triggers:
            yield from trigger.references
        for compiled in (block.count, block.for_each):
            if compiled is not None:
                for reference in compiled.references:
                    if reference.root in own:
                        self.found.append(
                            error(
                                "Invalid reference",
                                f'"{reference.root}" is not available in the argument that decides how many '
                                "instances there are.",
                                reference.range,
                            )
                        )
                    yield reference
        for rule in block.preconditions:
            yield from rule.condition.references
            yield from rule.message.references
        for rule in block.postconditions:
            for reference in (*rule.condition.references, *rule.message.references):
                if reference.root != "self":
                    yield reference

    def _depends_on(self, items: Iterable[Located]) -> Iterator[NodeId]:
        from hythe.modules.blocks import traversal_path

        for item in items:
            path = traversal_path(item.expression)
            steps = tuple(path[1:]) if path else ()
            node = self._resource(Traversal(str(path[0]), steps, item.range)) if path else None
            if node is None:
                self.found.append(
                    error(
                        "Invalid depends_on reference",
                        "depends_on takes names of resources or data sources, like container.web.",
                        item.range,
                    )
                )
            elif self._exists(node, item.range):
                yield node

    def _edges(
        self,
        node: NodeId,
        references: Iterable[Traversal],
        more: Iterable[NodeId] = (),
        own: Iterable[str] = (),
    ) -> None:
        targets = dict.fromkeys(more)
        for reference in references:
            target = self._target(reference, node, set(own))
            if target is not None:
                targets[target] = None
        self.program.edges[node] = tuple(targets)

    def _target(self, reference: Traversal, node: NodeId, own: set[str]) -> NodeId | None:
        root, steps = reference.root, reference.steps
        if root == "var":
            self._check_name("variable", steps, self.declared.variables, reference)
            return None
        if root == "local":
            return (
                ("local", str(steps[0]))
                if self._check_name("local value", steps, self.declared.locals, reference)
                else None
            )
        if root in ("each", "count"):
            if root not in own and node[0] != "local":
                need = "for_each" if root == "each" else "count"
                text = f'"{root}" can only be used in a block that has the argument "{need}".'
                self.found.append(error("Invalid reference", text, reference.range))
            return None
        if root == "self":
            text = '"self" can only be used in postconditions. Elsewhere, an instance cannot read itself.'
            self.found.append(error("Invalid reference", text, reference.range))
            return None
        if root in BUILT_IN_ROOTS and root != "data":
            return None
        target = self._resource(reference)
        if target is None:
            self.found.append(
                error(
                    "Invalid reference",
                    f"A reference to a resource needs its kind and its name, like {root}.name.",
                    reference.range,
                )
            )
            return None
        return target if self._exists(target, reference.range) else None

    def _check_name(self, what: str, steps: tuple[object, ...], known: Iterable[str], reference: Traversal) -> bool:
        if not steps or not isinstance(steps[0], str):
            root = reference.root
            text = f'"{root}" is no value by itself: name one of the {what}s, like {root}.name.'
            self.found.append(error("Invalid reference", text, reference.range))
            return False
        if steps[0] in known:
            return True
        hint = did_you_mean(steps[0], known)
        text = f'There is no {what} named "{steps[0]}".{hint}'
        self.found.append(error(f"Reference to undeclared {what}", text, reference.range))
        return False

    @staticmethod
    def _resource(reference: Traversal) -> NodeId | None:
        names = (reference.root, *reference.steps)
        mode = "managed"
        if names[0] == "data":
            mode, names = "data", names[1:]
        if len(names) < 2 or not isinstance(names[0], str) or not isinstance(names[1], str):
            return None
        return (mode, names[0], names[1])

    def _exists(self, node: NodeId, place: Range) -> bool:
        mode, kind, name = node
        if (mode, kind, name) in self.declared.resources:
            return (mode, kind, name) in self.program.blocks
        shown = f"{'data.' if mode == 'data' else ''}{kind}.{name}"
        same_kind = [n for m, k, n in self.declared.resources if (m, k) == (mode, kind)]
        if kind not in self.registry and not same_kind:
            known = [*self.registry.names(), *BUILT_IN_ROOTS]
            text = f'"{kind}" is neither a kind of resource nor a name known here.{did_you_mean(kind, known)}'
        else:
            text = f"No {'data source' if mode == 'data' else 'resource'} {shown} is declared."
            text += did_you_mean(name, same_kind)
        self.found.append(error("Reference to undeclared resource", text, place))
        return False

    def _order(self) -> None:
        sorter: TopologicalSorter[NodeId] = TopologicalSorter(self.program.edges)
        try:
            self.program.order = tuple(sorter.static_order())
        except CycleError as failure:
            cycle = [_shown(n) for n in reversed(failure.args[1])]
            place = next((self._place(n) for n in failure.args[1] if self._place(n)), None)
            if len(set(cycle)) == 1:
                text = f"{cycle[0]} refers to itself, so its value can never be told."
                if failure.args[1][0][0] == "managed":
                    text += " In its postconditions, write self."
                self.found.append(error("Self-referential block", text, place))
                return
            text = f"These refer to each other in a circle, so none can come first: {' -> '.join(cycle)}."
            self.found.append(error("Cycle", text, place))

    def _place(self, node: NodeId) -> Range | None:
        if node[0] == "local":
            return self.declared.locals[node[1]].range
        block = self.program.blocks.get(node)
        return block.block.range if block is not None else None


def _shown(node: NodeId) -> str:
    if node[0] == "managed":
        return f"{node[1]}.{node[2]}"
    return ".".join(node)
