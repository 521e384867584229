"""Collections with what was read for each single element.

``for_each = vm.node`` makes one instance per element, and each shall depend on its own element
only; the same holds for the elements of a local value. So collections are evaluated here element by
element where the expression allows it.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from hythe.modules.language.closure import Code
from hythe.modules.language.compile import Compiled, ExpressionCompiler
from hythe.modules.language.conditional import as_type, common_type, decide
from hythe.modules.language.constructors import (
    ObjectCollector,
    TupleCollector,
    compile_condition,
    compile_key,
    object_key,
)
from hythe.modules.language.iteration import Loop, lazy_pairs
from hythe.modules.language.scope import Scope
from hythe.modules.syntax import tree
from hythe.value import ANY, Lazy, Unknown, Value, mark, unmark

Key: TypeAlias = str | int


class Elements(NamedTuple):
    """A value, what was read for the whole of it, and what for each element alone.

    ``base_reads`` holds for every element. Elements without reads of their own may be missing from
    ``element_reads``. Its keys are those of the object or map, or the indices of the tuple.
    """

    value: Value
    base_reads: set[str]
    element_reads: dict[Key, set[str]]

    def settled(self) -> Elements:
        """The same, without telling elements apart where nothing was read at all."""
        if not self.element_reads or self.base_reads or any(self.element_reads.values()):
            return self
        return Elements(self.value, self.base_reads, {})


def evaluate_elements(compiled: Compiled, scope: Scope) -> Elements:
    """Evaluate an expression, telling apart what its elements read.

    All that was read goes to ``scope.reads`` too.
    """
    try:
        result = _elements(compiled.expr, compiled.source, scope)
    except RecursionError:
        result = _whole(compiled, scope)
    scope.reads |= result.base_reads
    for reads in result.element_reads.values():
        scope.reads |= reads
    return result


def _whole(compiled: Compiled, scope: Scope) -> Elements:
    inner = scope.recording(set())
    return Elements(compiled.evaluate(inner), inner.reads, {})


def _code(expr: tree.Expression, source: tree.Source) -> Code:
    return ExpressionCompiler(source).compile(expr)


def _elements(expr: tree.Expression, source: tree.Source, scope: Scope) -> Elements:
    match expr:
        case tree.Parentheses(inner=inner) | tree.TemplateWrap(wrapped=inner):
            return _elements(inner, source, scope)
        case tree.ObjectCons():
            return _object(expr, source, scope)
        case tree.TupleCons():
            return _tuple(expr, source, scope)
        case tree.For():
            return _for(expr, source, scope)
        case tree.Conditional():
            return _conditional(expr, source, scope)
    return _reference(expr, source, scope)


def _reference(expr: tree.Expression, source: tree.Source, scope: Scope) -> Elements:
    base = scope.recording(set())
    value = _code(expr, source).run(base)
    if not isinstance(value, Lazy):
        return Elements(value, base.reads, {})
    pairs = lazy_pairs(value)
    if not pairs:
        return Elements(value.force(base.reads), base.reads, {})
    own: dict[Key, set[str]] = {}
    values: dict[Key, Value] = {}
    for key, element in pairs:
        reads: set[str] = set()
        values[key] = element.force(reads) if isinstance(element, Lazy) else element
        own[key] = reads
    whole: Value = tuple(values.values()) if isinstance(pairs[0][0], int) else values
    return Elements(whole, base.reads, own)


def _object(expr: tree.ObjectCons, source: tree.Source, scope: Scope) -> Elements:
    base = scope.recording(set())
    own: dict[Key, set[str]] = {}
    result: dict[str, Value] = {}
    marks: frozenset[str] = frozenset()
    known = True
    compiler = ExpressionCompiler(source)
    for key_expr, value_expr in expr.items:
        raw, more = unmark(compile_key(key_expr, compiler).strict()(base))
        marks |= more
        inner = scope.recording(set())
        value = compiler.compile(value_expr).strict()(inner)
        key = object_key(raw, scope, source, key_expr)
        if key is None:
            known = False
            base.reads |= inner.reads
        else:
            result[key] = value
            own[key] = inner.reads
    return Elements(mark(result if known else Unknown(ANY), marks), base.reads, own)


def _tuple(expr: tree.TupleCons, source: tree.Source, scope: Scope) -> Elements:
    own: dict[Key, set[str]] = {}
    items: list[Value] = []
    for index, item in enumerate(expr.items):
        inner = scope.recording(set())
        items.append(_code(item, source).strict()(inner))
        own[index] = inner.reads
    return Elements(tuple(items), set(), own)


def _for(expr: tree.For, source: tree.Source, scope: Scope) -> Elements:
    base = scope.recording(set())
    compiler = ExpressionCompiler(source)
    loop = Loop(expr, expr.collection, expr.key_name, expr.value_name, compiler)
    condition = compile_condition(expr, compiler)
    value = compiler.compile(expr.value).strict()
    key = None if expr.key is None else compiler.compile(expr.key).strict()
    iteration = loop.start(base, condition)
    if iteration is None:
        return Elements(Unknown(ANY), base.reads, {})
    child, pairs, marks = iteration
    if pairs is None:
        return Elements(mark(Unknown(ANY), marks), base.reads, {})
    collector = TupleCollector() if key is None else ObjectCollector(expr, source)
    collector.marks = marks
    own: dict[Key, set[str]] = {}
    for _ in loop.bind(child, pairs):
        reads: set[str] = set()
        child.reads = reads
        included: bool | None = True
        if condition is not None:
            included, more = condition(child)
            collector.marks |= more
        if not included:
            # an element that is surely left out concerns no other; an undecided one concerns all
            (scope if included is False else base).reads.update(reads)
            collector.known &= included is not None
            continue
        name = collector.add(None if key is None else key(child), value(child), child)
        if name is None:
            base.reads |= reads
        else:
            own.setdefault(name, set()).update(reads)
    return Elements(collector.result(), base.reads, own)


def _conditional(expr: tree.Conditional, source: tree.Source, scope: Scope) -> Elements:
    base = scope.recording(set())
    before = len(scope.diagnostics)
    chosen, marks = decide(_code(expr.condition, source).strict()(base), base, source, expr.condition)
    if chosen is None:
        # undecided or in error: both branches count, for everything alike
        del scope.diagnostics[before:]
        base.reads.clear()
        return Elements(_code(expr, source).strict()(base), base.reads, {})
    taken, other = (expr.then, expr.otherwise) if chosen else (expr.otherwise, expr.then)
    elements = _elements(taken, source, scope)
    value, more = unmark(elements.value)
    rest, rest_marks = unmark(_code(other, source).strict()(scope.discarding()))
    kind = common_type(expr, *((value, rest) if chosen else (rest, value)), scope, source)
    value = as_type(value, kind, scope, source, expr)
    return Elements(mark(value, marks | more | rest_marks), base.reads | elements.base_reads, elements.element_reads)
