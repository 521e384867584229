"""``dynamic`` blocks: one nested block per element of a collection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from hythe.diagnostic import Diagnostic, Range, did_you_mean, error
from hythe.modules.language import conversions, types
from hythe.modules.language.body import BlockSource, CompiledBody
from hythe.modules.language.bodyschema import BlockSpec, BodySchema
from hythe.modules.language.compile import Compiled, compile_expression
from hythe.modules.language.iteration import Pairs, iterable_type, lazy_pairs, pairs_of, with_marks
from hythe.modules.language.ranges import PathPart
from hythe.modules.language.references import Traversal
from hythe.modules.language.scope import Scope
from hythe.modules.syntax import tree
from hythe.value import STRING, Lazy, Unknown, Value, is_null, unmark

CompileNested = Callable[[tree.Block, BlockSpec, list[Diagnostic]], CompiledBody]

_ARGUMENTS = ("for_each", "iterator", "labels")
_OWN = ("key", "value")


class IterationElement(Lazy):
    """What the iterator's name stands for inside ``content``: the element's ``key`` and ``value``.

    Where the name is that of something outside too (a kind, often), all but ``key`` and ``value``
    still reaches that.
    """

    __slots__ = ("_key", "_outer", "_value")

    def __init__(self, key: Value, value: Value, outer: Value) -> None:
        self._key, self._value, self._outer = key, value, outer

    def get(self, key: str | int, reads: set[str]) -> Value:
        """``key``, ``value``, or what the outer meaning of the name has."""
        if key == "key":
            return self._key
        if key == "value":
            return self._value
        if isinstance(self._outer, Lazy):
            return self._outer.get(key, reads)
        if isinstance(self._outer, Mapping):
            return self._outer[key]
        raise KeyError(key)

    def force(self, reads: set[str]) -> Value:
        """An object of key and value."""
        return {name: _forced(item, reads) for name, item in zip(_OWN, (self._key, self._value), strict=True)}

    def keys(self) -> Iterator[str]:
        """The iterator's own attributes."""
        return iter(_OWN)


def _forced(value: Value, reads: set[str]) -> Value:
    return value.force(reads) if isinstance(value, Lazy) else value


class DynamicBlock:
    """One compiled ``dynamic`` block."""

    __slots__ = ("_body", "_for_each", "_iterator", "_labels", "_range", "_wanted_labels")

    def __init__(
        self,
        iterator: str,
        for_each: Compiled,
        labels: Compiled | None,
        wanted_labels: int,
        body: CompiledBody,
        place: Range,
    ) -> None:
        self._iterator = iterator
        self._for_each = for_each
        self._labels = labels
        self._wanted_labels = wanted_labels
        self._body = body
        self._range = place

    @property
    def constant(self) -> bool:
        """Never: the content is evaluated for each element."""
        return False

    def produce(self, scope: Scope) -> list[dict[str, Value]] | None:
        """A block per element in the collection's order; None when the collection is not known yet."""
        pairs = self._elements(scope)
        if pairs is None:
            return None
        expr, source = self._for_each.expr, self._for_each.source
        if not scope.child({}).spend(len(pairs), source, expr):
            return None
        outer = scope.lookup(self._iterator)
        blocks = []
        for key, value in pairs:
            child = scope.child({self._iterator: IterationElement(key, value, outer)})
            values = self._body.evaluate(child)
            if self._wanted_labels:
                values["labels"] = self._label_values(child)
            blocks.append(values)
        return blocks

    def _elements(self, scope: Scope) -> Pairs | None:
        value = self._for_each.evaluate_lazy(scope)
        if isinstance(value, Lazy):
            pairs = lazy_pairs(value)
            if pairs is not None:
                return pairs
            value = value.force(scope.reads)
        value, marks = unmark(value)
        pairs = pairs_of(value)
        if pairs is not None:
            return with_marks(pairs, marks)
        if type(value) is Unknown and iterable_type(value):
            return None
        found = "it is null" if is_null(value) else f"it is {types.describe_with_article(types.type_of(value))}"
        scope.report(
            self._for_each.source,
            self._for_each.expr,
            "Invalid dynamic for_each value",
            f"The for_each of a dynamic block must be a list, set, tuple, map or object, but {found}.",
        )
        return None

    def _label_values(self, scope: Scope) -> Value:
        if self._labels is None:
            return Unknown(STRING)
        value = unmark(self._labels.evaluate(scope))[0]
        if not isinstance(value, (list, tuple)):
            return Unknown(STRING)
        source, expr = self._labels.source, self._labels.expr
        if len(value) != self._wanted_labels:
            scope.report(
                source,
                expr,
                "Wrong number of block labels",
                f"The block takes {self._wanted_labels} labels, but {len(value)} were given.",
            )
            return Unknown(STRING)
        try:
            return tuple(conversions.convert(unmark(label)[0], STRING) for label in value)
        except conversions.ConversionError as exc:
            return scope.report(source, expr, "Invalid dynamic block label", f"A label must be a string: {exc}.")

    def references(self) -> Iterator[Traversal]:
        """What collection, labels and content refer to, the iterator's own attributes left out."""
        yield from self._for_each.references
        inner = list(self._body.references)
        if self._labels is not None:
            inner += self._labels.references
        for reference in inner:
            own = reference.root == self._iterator and (not reference.steps or reference.steps[0] in _OWN)
            if not own:
                yield reference

    def range_of(self, path: tuple[PathPart, ...]) -> Range:
        """The range of a part of ``content``, or of the header."""
        return (self._body.range_of(path) if path else None) or self._range


def compile_dynamic(
    block: tree.Block,
    schema: BodySchema,
    source: tree.Source,
    diagnostics: list[Diagnostic],
    compile_nested: CompileNested,
) -> tuple[str, BlockSource] | None:
    """Check and compile a ``dynamic`` block: the type of the blocks it makes, and what makes them."""
    where = source.range(block.start, block.header_end)
    if len(block.labels) != 1:
        diagnostics.append(
            error("Invalid dynamic block", "A dynamic block takes one label: the type of the blocks to make.", where)
        )
        return None
    name = block.labels[0].text
    spec = schema.blocks.get(name)
    if spec is None:
        hint = schema.advice(name, schema.blocks)
        diagnostics.append(
            error("Unsupported block type", f'Blocks of type "{name}" are not expected here.{hint}', where)
        )
        return None
    attributes = block.body.attributes
    for given, node in attributes.items():
        if given not in _ARGUMENTS:
            diagnostics.append(
                error(
                    "Unsupported argument",
                    f'An argument named "{given}" is not expected in a dynamic block. The arguments of the '
                    f'"{name}" block go into its content block.{did_you_mean(given, _ARGUMENTS)}',
                    source.range(node.start, node.name_end),
                )
            )
    contents = [inner for inner in block.body.blocks if inner.type == "content"]
    _check_parts(block, contents, spec, where, source, diagnostics)
    iterator = _iterator_name(attributes.get("iterator"), name, source, diagnostics)
    if len(contents) != 1 or "for_each" not in attributes:
        return None
    labels = attributes.get("labels")
    produced = DynamicBlock(
        iterator,
        compile_expression(attributes["for_each"].expression, source),
        None if labels is None else compile_expression(labels.expression, source),
        spec.labels,
        compile_nested(contents[0], spec, diagnostics),
        where,
    )
    return name, produced


def _check_parts(
    block: tree.Block,
    contents: list[tree.Block],
    spec: BlockSpec,
    where: Range,
    source: tree.Source,
    diagnostics: list[Diagnostic],
) -> None:
    for inner in block.body.blocks:
        if inner.type != "content":
            diagnostics.append(
                error(
                    "Unsupported block type",
                    f'Blocks of type "{inner.type}" are not expected in a dynamic block, only "content".',
                    source.range(inner.start, inner.header_end),
                )
            )
    if len(contents) != 1:
        diagnostics.append(
            error(
                "Invalid dynamic block",
                f"A dynamic block needs exactly one content block, but {len(contents)} were given.",
                where,
            )
        )
    if "for_each" not in block.body.attributes:
        diagnostics.append(error("Missing required argument", 'A dynamic block needs the argument "for_each".', where))
    if spec.labels and "labels" not in block.body.attributes:
        diagnostics.append(
            error(
                "Missing required argument",
                f'Blocks of this type have labels, so the dynamic block needs the argument "labels" '
                f"with a list of {spec.labels}.",
                where,
            )
        )


def _iterator_name(
    attribute: tree.Attribute | None, default: str, source: tree.Source, diagnostics: list[Diagnostic]
) -> str:
    if attribute is None:
        return default
    if isinstance(attribute.expression, tree.Variable):
        return attribute.expression.name
    diagnostics.append(
        error(
            "Invalid dynamic iterator name",
            "The iterator of a dynamic block must be a single name without quotes, as in: iterator = port.",
            source.range(attribute.expression.start, attribute.expression.end),
        )
    )
    return default
