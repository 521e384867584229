"""Block bodies: checked and compiled against a schema once, evaluated for each instance."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Protocol

from hythe.diagnostic import Diagnostic, Range, error
from hythe.modules.language import conversions
from hythe.modules.language.bodyschema import AttributeSpec, BlockSpec, BodySchema
from hythe.modules.language.compile import Compiled, compile_expression
from hythe.modules.language.ranges import PathPart, inner_range, parse_path
from hythe.modules.language.references import Traversal
from hythe.modules.language.scope import Scope
from hythe.modules.syntax import tree
from hythe.modules.syntax.json import with_blocks
from hythe.value import (
    ANY,
    BOOL,
    EPHEMERAL,
    NUMBER,
    STRING,
    Type,
    Unknown,
    Value,
    is_marked,
    is_null,
    unmark,
    unmark_deep,
)

__all__ = ["AttributeSpec", "BlockSpec", "BodySchema", "CompiledAttribute", "CompiledBody", "compile_body"]

_EXACT: dict[type, Type] = {str: STRING, int: NUMBER, bool: BOOL}


class CompiledAttribute:
    """One argument: its expression, and how its value is checked and converted."""

    __slots__ = ("compiled", "name", "node", "spec")

    def __init__(self, node: tree.Attribute, spec: AttributeSpec, source: tree.Source) -> None:
        self.node = node
        self.name = node.name
        self.spec = spec
        self.compiled = compile_expression(node.expression, source)

    @property
    def constant(self) -> bool:
        """Whether the value is the same for every instance."""
        return self.compiled.constant

    def evaluate(self, scope: Scope) -> Value:
        """The value converted to the argument's type; null is None."""
        value = self.compiled.evaluate(scope)
        spec = self.spec
        kind = spec.type
        if kind is _EXACT.get(type(value)):
            return value
        if not spec.ephemeral_ok and has_mark(value, EPHEMERAL):
            self._report(
                scope,
                "Invalid use of ephemeral value",
                f'The argument "{self.name}" is stored in the state, and this value is ephemeral: it must '
                "not be stored. Use a write-only argument, or a value that is not ephemeral.",
            )
        if not spec.reference and kind is not ANY:
            value = self._converted(value, kind, scope)
        plain = unmark(value)[0]
        if is_null(plain) and (plain is None or spec.reference or kind is not ANY):
            if spec.required:
                self._report(
                    scope,
                    "Missing required argument",
                    f'The argument "{self.name}" is required, but its value is null. Give it a value.',
                )
            return None
        return value

    def _converted(self, value: Value, kind: Type, scope: Scope) -> Value:
        try:
            return conversions.convert(value, kind)
        except conversions.ConversionError as exc:
            place = "".join(f"element {_spell(part)}: " for part in exc.path)
            self._report(
                scope,
                "Incorrect attribute value type",
                f'Inappropriate value for attribute "{self.name}": {place}{exc.message}.',
            )
            return Unknown(kind)

    def _report(self, scope: Scope, summary: str, detail: str) -> None:
        scope.report(self.compiled.source, self.node.expression, summary, detail)


def _spell(part: str | int) -> str:
    return str(part) if isinstance(part, int) else f'"{part}"'


def has_mark(value: Value, wanted: str) -> bool:
    """Whether a mark stands anywhere in a value."""
    return is_marked(value) and wanted in unmark_deep(value)[1]


class BlockSource(Protocol):
    """Something in a body that gives blocks of one type: a block itself, or a dynamic one."""

    @property
    def constant(self) -> bool:
        """Whether it gives the same blocks for every instance."""

    def produce(self, scope: Scope) -> list[dict[str, Value]] | None:
        """The decoded blocks; None when it is not known yet how many there are."""

    def references(self) -> Iterator[Traversal]:
        """What it refers to."""

    def range_of(self, path: tuple[PathPart, ...]) -> Range:
        """Where a part of the block stands."""


class StaticBlock:
    """A nested block as written."""

    __slots__ = ("_block", "_body", "_labels")

    def __init__(self, block: tree.Block, spec: BlockSpec, body: CompiledBody) -> None:
        self._block = block
        self._body = body
        self._labels = tuple(label.text for label in block.labels) if spec.labels else None

    @property
    def constant(self) -> bool:
        """Whether nothing in it depends on the instance."""
        return self._body.constant

    def produce(self, scope: Scope) -> list[dict[str, Value]] | None:
        """The one block."""
        values = self._body.evaluate(scope)
        if self._labels is not None:
            values["labels"] = self._labels
        return [values]

    def references(self) -> Iterator[Traversal]:
        """What its arguments refer to."""
        return iter(self._body.references)

    def range_of(self, path: tuple[PathPart, ...]) -> Range:
        """The range of a part, or of the header."""
        inner = self._body.range_of(path) if path else None
        return inner or self._block.body.source.range(self._block.start, self._block.header_end)


class BlockGroup:
    """All blocks of one type in a body."""

    __slots__ = ("_source", "name", "place", "sources", "spec")

    def __init__(
        self, name: str, spec: BlockSpec, sources: list[BlockSource], source: tree.Source, place: tree.Node
    ) -> None:
        self.name = name
        self.spec = spec
        self.sources = sources
        self._source = source
        self.place = place

    @property
    def constant(self) -> bool:
        """Whether the blocks are the same for every instance."""
        return all(source.constant for source in self.sources)

    def evaluate(self, scope: Scope) -> Value:
        """A tuple of dicts, or one dict or None; Unknown when the number of blocks is."""
        blocks: list[dict[str, Value]] = []
        known = True
        for source in self.sources:
            produced = source.produce(scope)
            if produced is None:
                known = False
            else:
                blocks += produced
        if not known:
            return Unknown(ANY)
        self._check_count(len(blocks), scope)
        if self.spec.repeated:
            return tuple(blocks)
        return blocks[0] if blocks else None

    def _check_count(self, count: int, scope: Scope) -> None:
        least, most = self.spec.least, self.spec.most
        if count < least:
            scope.report(
                self._source,
                self.place,
                f"Insufficient {self.name} blocks",
                f'At least {least} "{self.name}" block{"s are" if least > 1 else " is"} required here.',
            )
        elif most is not None and count > most:
            scope.report(
                self._source,
                self.place,
                f"Too many {self.name} blocks",
                f'No more than {most} "{self.name}" block{"s are" if most > 1 else " is"} allowed here.',
            )


class CompiledBody:
    """A body ready to evaluate."""

    __slots__ = ("_attributes", "_fixed", "_groups", "_places", "_references", "_source", "_varying")

    def __init__(
        self,
        attributes: list[CompiledAttribute],
        groups: list[BlockGroup],
        absent: dict[str, Value],
        places: dict[str, tree.Node],
        source: tree.Source,
        diagnostics: list[Diagnostic],
    ) -> None:
        self._attributes = {attribute.name: attribute for attribute in attributes}
        self._groups = {group.name: group for group in groups}
        self._places = places
        self._source = source
        self._references: tuple[Traversal, ...] | None = None
        # Constants are decoded here, once; a mistake in one is reported here and not per instance.
        scope = Scope({}, diagnostics=diagnostics)
        self._fixed = dict(absent)
        varying: list[tuple[str, Callable[[Scope], Value]]] = []
        parts: list[CompiledAttribute | BlockGroup] = [*attributes, *groups]
        for part in parts:
            if part.constant:
                self._fixed[part.name] = part.evaluate(scope)
            else:
                varying.append((part.name, part.evaluate))
        self._varying = tuple(varying)

    @property
    def constant(self) -> bool:
        """Whether the values are the same for every instance."""
        return not self._varying

    def evaluate(self, scope: Scope) -> dict[str, Value]:
        """The values by name: arguments converted, those left out None, blocks decoded.

        A single block is a dict or None, repeated ones a tuple of dicts. What could not be evaluated
        is Unknown, and why is in ``scope.diagnostics``.
        """
        values = self._fixed.copy()
        for name, evaluate in self._varying:
            values[name] = evaluate(scope)
        return values

    @property
    def references(self) -> tuple[Traversal, ...]:
        """All that arguments and nested blocks refer to."""
        if self._references is None:
            found = [ref for attribute in self._attributes.values() for ref in attribute.compiled.references]
            for group in self._groups.values():
                for source in group.sources:
                    found += source.references()
            self._references = tuple(found)
        return self._references

    @property
    def ranges(self) -> dict[str, Range]:
        """Where each top-level argument, and the first block of each type, is written."""
        return {name: self._source.range(node.start, node.end) for name, node in self._places.items()}

    def expression(self, name: str) -> Compiled | None:
        """The expression of an argument, None where it is not given."""
        attribute = self._attributes.get(name)
        return None if attribute is None else attribute.compiled

    def range_of(self, path: str | tuple[PathPart, ...]) -> Range | None:
        """Where a part stands: ``"port[0].container"`` or ``("port", 0, "container")``.

        The nearest enclosing thing that is written where the part itself is not; None when nothing is.
        """
        parts = parse_path(path) if isinstance(path, str) else path
        if not parts:
            return None
        name, rest = str(parts[0]), parts[1:]
        attribute = self._attributes.get(name)
        if attribute is not None:
            if not rest:
                return self._source.range(attribute.node.start, attribute.node.end)
            return inner_range(attribute.node.expression, rest, self._source)
        group = self._groups.get(name)
        if group is None or not group.sources:
            return None
        index = 0
        if rest and isinstance(rest[0], int):
            index, rest = rest[0], rest[1:]
        return group.sources[min(index, len(group.sources) - 1)].range_of(rest)


def compile_body(
    body: tree.Body, schema: BodySchema, *, ignore: Collection[str] = ()
) -> tuple[CompiledBody, list[Diagnostic]]:
    """Check a body against a schema and compile it.

    ``ignore`` names top-level arguments and blocks that somebody else handles (``count``,
    ``lifecycle``). The diagnostics are those that hold for every instance.
    """
    diagnostics: list[Diagnostic] = []
    compiled = _compile(body, schema, frozenset(ignore), diagnostics, tree.Node(body.start, body.start))
    return compiled, diagnostics


def _compile(
    body: tree.Body,
    schema: BodySchema,
    ignore: frozenset[str],
    diagnostics: list[Diagnostic],
    place: tree.Node,
) -> CompiledBody:
    source = body.source
    if source.filename.endswith(".json"):
        body = with_blocks(body, schema.blocks)
    places: dict[str, tree.Node] = {}
    attributes: list[CompiledAttribute] = []
    for name, node in body.attributes.items():
        spec = schema.attributes.get(name)
        if spec is not None:
            attributes.append(CompiledAttribute(node, spec, source))
            places[name] = node
        elif name not in ignore:
            diagnostics.append(_unsupported_argument(node, schema, source))
    absent: dict[str, Value] = {}
    for name, spec in schema.attributes.items():
        if name not in body.attributes:
            absent[name] = None
            if spec.required:
                diagnostics.append(
                    error(
                        "Missing required argument",
                        f'The argument "{name}" is required, but no definition was found.',
                        source.range(place.start, place.end),
                    )
                )
    groups = _compile_blocks(body, schema, ignore, diagnostics, place)
    for group in groups:
        if group.sources:
            places[group.name] = group.place
    return CompiledBody(attributes, groups, absent, places, source, diagnostics)


def _compile_blocks(
    body: tree.Body,
    schema: BodySchema,
    ignore: frozenset[str],
    diagnostics: list[Diagnostic],
    place: tree.Node,
) -> list[BlockGroup]:
    from hythe.modules.language.dynamic import compile_dynamic

    source = body.source
    sources: dict[str, list[BlockSource]] = {name: [] for name in schema.blocks}
    places: dict[str, tree.Node] = {}
    for block in body.blocks:
        name = block.type
        if name in ignore:
            continue
        if name == "dynamic" and name not in schema.blocks:
            produced = compile_dynamic(block, schema, source, diagnostics, _compile_nested)
            if produced is None:
                continue
            name, block_source = produced
        else:
            spec = schema.blocks.get(name)
            if spec is None:
                diagnostics.append(_unsupported_block(block, schema, source))
                continue
            if not _check_labels(block, spec, source, diagnostics):
                continue
            block_source = StaticBlock(block, spec, _compile_nested(block, spec, diagnostics))
        sources[name].append(block_source)
        if name not in places:
            places[name] = tree.Node(block.start, block.header_end)
    return [
        BlockGroup(name, spec, sources[name], source, places.get(name, place)) for name, spec in schema.blocks.items()
    ]


def _compile_nested(block: tree.Block, spec: BlockSpec, diagnostics: list[Diagnostic]) -> CompiledBody:
    return _compile(block.body, spec.schema, frozenset(), diagnostics, tree.Node(block.start, block.header_end))


def _check_labels(block: tree.Block, spec: BlockSpec, source: tree.Source, diagnostics: list[Diagnostic]) -> bool:
    if len(block.labels) == spec.labels:
        return True
    wanted = f"{spec.labels} label{'' if spec.labels == 1 else 's'}" if spec.labels else "no labels"
    diagnostics.append(
        error(
            "Wrong number of block labels",
            f'A "{block.type}" block takes {wanted}, but {len(block.labels)} were given.',
            source.range(block.start, block.header_end),
        )
    )
    return False


def _unsupported_argument(node: tree.Attribute, schema: BodySchema, source: tree.Source) -> Diagnostic:
    where = source.range(node.start, node.name_end)
    if node.name in schema.blocks:
        detail = (
            f'An argument named "{node.name}" is not expected here. Did you mean to define a block of type '
            f'"{node.name}"? Then write it without the equals sign.'
        )
    else:
        hint = schema.advice(node.name, schema.attributes)
        detail = f'An argument named "{node.name}" is not expected here.{hint}'
    return error("Unsupported argument", detail, where)


def _unsupported_block(block: tree.Block, schema: BodySchema, source: tree.Source) -> Diagnostic:
    where = source.range(block.start, block.header_end)
    if block.type in schema.attributes:
        detail = (
            f'Blocks of type "{block.type}" are not expected here. Did you mean to define an argument '
            f'"{block.type}"? Then use the equals sign to give it a value.'
        )
    else:
        hint = schema.advice(block.type, schema.blocks)
        detail = f'Blocks of type "{block.type}" are not expected here.{hint}'
    return error("Unsupported block type", detail, where)
