"""Tuples and objects: constructors, ``for`` expressions and splats."""

from __future__ import annotations

from hythe.modules.language import conversions, types
from hythe.modules.language.closure import Code, Compiler, Run, constant
from hythe.modules.language.iteration import Condition, Loop
from hythe.modules.language.scope import Scope
from hythe.modules.syntax import tree
from hythe.value import (
    ANY,
    BOOL,
    STRING,
    Lazy,
    List,
    Marked,
    Set,
    Type,
    Unknown,
    Value,
    is_null,
    list_of,
    mark,
    tuple_of,
    unmark,
)

_NO_MARKS: frozenset[str] = frozenset()
_SPLAT_ITEM = "*"


def compile_tuple(node: tree.TupleCons, compiler: Compiler) -> Code:
    """``[a, b]``."""
    items = [compiler.compile(item) for item in node.items]
    if all(item.constant for item in items):
        return constant(tuple(item.value for item in items))
    runs = tuple(item.strict() for item in items)

    def run(scope: Scope) -> Value:
        values = []
        for item in runs:
            values.append(item(scope))
        return tuple(values)

    return Code(run, pure=all(item.pure for item in items))


def compile_object(node: tree.ObjectCons, compiler: Compiler) -> Code:
    """``{ k = v }``."""
    keys = [compile_key(key, compiler) for key, _ in node.items]
    values = [compiler.compile(value) for _, value in node.items]
    pure = all(code.pure for code in keys) and all(code.pure for code in values)
    if all(key.constant and type(key.value) is str for key in keys):
        if all(value.constant for value in values):
            return constant({key.value: value.value for key, value in zip(keys, values, strict=True)})
        fixed = tuple((key.value, value.strict()) for key, value in zip(keys, values, strict=True))

        def run_fixed(scope: Scope) -> Value:
            values = {}
            for key, value in fixed:
                values[key] = value(scope)
            return values

        return Code(run_fixed, pure=pure)
    source = compiler.source
    pairs = tuple(
        (key.strict(), value.strict(), place) for key, value, (place, _) in zip(keys, values, node.items, strict=True)
    )

    def run(scope: Scope) -> Value:
        result: dict[str, Value] = {}
        marks = _NO_MARKS
        known = True
        for key_run, value_run, place in pairs:
            key, more = unmark(key_run(scope))
            value = value_run(scope)
            marks |= more
            key = object_key(key, scope, source, place)
            if key is None:
                known = False
            else:
                result[key] = value
        return mark(result if known else Unknown(ANY), marks)

    return Code(run, pure=pure)


def compile_key(node: tree.Expression, compiler: Compiler) -> Code:
    """The key of an object item; a reference as key must stand in parentheses or quotes."""
    if not isinstance(node, (tree.GetAttr, tree.Index)):
        return compiler.compile(node)
    inner: tree.Expression = node
    while isinstance(inner, (tree.GetAttr, tree.Index)):
        inner = inner.source
    if not isinstance(inner, (tree.Variable, tree.Literal)):
        return compiler.compile(node)
    source = compiler.source

    def run(scope: Scope) -> Value:
        return scope.report(
            source,
            node,
            "Ambiguous attribute key",
            "A key with dots or brackets may be meant as a reference or as a name. "
            "Put a reference into parentheses, and a name into quotes.",
        )

    return Code(run)


def object_key(key: Value, scope: Scope, source: tree.Source, node: tree.Node) -> str | None:
    """The unmarked key as a string; None when it is unknown, or unsuitable (with a diagnostic)."""
    if type(key) is str:
        return key
    if is_null(key):
        scope.report(source, node, "Null value as key", "Can't use a null value as a key.")
        return None
    try:
        converted = conversions.convert(key, STRING)
    except conversions.ConversionError as exc:
        scope.report(source, node, "Incorrect key type", f"Can't use this value as a key: {exc.message}.")
        return None
    return converted if type(converted) is str else None


def compile_for(node: tree.For, compiler: Compiler) -> Code:
    """``[for ...]`` and ``{for ...}``."""
    loop = Loop(node, node.collection, node.key_name, node.value_name, compiler)
    condition = compile_condition(node, compiler)
    value = compiler.compile(node.value).strict()
    key = None if node.key is None else compiler.compile(node.key).strict()

    def run(scope: Scope) -> Value:
        iteration = loop.start(scope, condition)
        if iteration is None:
            return Unknown(ANY)
        child, pairs, marks = iteration
        if pairs is None:
            return mark(Unknown(ANY), marks)
        if key is None and condition is None:
            results = []
            for _ in loop.bind(child, pairs):
                results.append(value(child))
            return mark(tuple(results), marks) if marks else tuple(results)
        collector = ObjectCollector(node, compiler.source) if key is not None else TupleCollector()
        collector.marks = marks
        for _ in loop.bind(child, pairs):
            if condition is not None:
                included, more = condition(child)
                collector.marks |= more
                if not included:
                    collector.known &= included is not None
                    continue
            if key is None:
                collector.add(None, value(child), child)
            else:
                collector.add(key(child), value(child), child)
        return collector.result()

    return Code(run)


def compile_condition(node: tree.For, compiler: Compiler) -> Condition | None:
    """The ``if`` clause: whether the element is in (None: not known yet), and the clause's marks."""
    if node.condition is None:
        return None
    run, place, source = compiler.compile(node.condition).strict(), node.condition, compiler.source

    def condition(scope: Scope) -> tuple[bool | None, frozenset[str]]:
        value, marks = unmark(run(scope))
        if type(value) is bool:
            return value, marks
        detail = "The value of the 'if' clause must not be null."
        if not is_null(value):
            try:
                plain = conversions.convert(value, BOOL)
            except conversions.ConversionError as exc:
                detail = f"The 'if' clause value is invalid: {exc.message}."
            else:
                return (plain if type(plain) is bool else None), marks
        scope.report(source, place, "Invalid 'for' condition", detail)
        return None, marks

    return condition


class TupleCollector:
    """Gathers the results of a ``[for]``."""

    def __init__(self) -> None:
        self.marks: frozenset[str] = _NO_MARKS
        self.known = True
        self._items: list[Value] = []

    def add(self, key: Value, value: Value, scope: Scope) -> str | int | None:
        """Take one result; gives the key under which it stands."""
        self._items.append(value)
        return len(self._items) - 1

    def result(self) -> Value:
        """The whole."""
        return mark(tuple(self._items) if self.known else Unknown(ANY), self.marks)


class ObjectCollector(TupleCollector):
    """Gathers the results of a ``{for}``, grouped where asked for."""

    def __init__(self, node: tree.For, source: tree.Source) -> None:
        super().__init__()
        self._node = node
        self._source = source
        self._values: dict[str, Value] = {}
        self._groups: dict[str, list[Value]] = {}

    def add(self, key: Value, value: Value, scope: Scope) -> str | int | None:
        """Take one result; gives the key under which it stands, None where there is none."""
        more = _NO_MARKS
        if type(key) is str:
            name: str | None = key
        else:
            key, more = unmark(key)
            self.marks |= more
            name = self._key(key, scope)
        if name is None:
            self.known = False
        elif self._node.group:
            self._groups.setdefault(name, []).append(value)
        elif name in self._values:
            shown = "same sensitive key" if more else f'key "{name}"'
            scope.report(
                self._source,
                self._node.key or self._node,
                "Duplicate object key",
                f"Two different items produced the {shown} in this 'for' expression. If duplicates are "
                "expected, put an ellipsis (...) after the value expression to group by key.",
            )
            return None
        else:
            self._values[name] = value
        return name

    def _key(self, key: Value, scope: Scope) -> str | None:
        if type(key) is str:
            return key
        place = self._node.key or self._node
        if is_null(key):
            detail = "Key expression in 'for' expression must not produce a null value."
        else:
            try:
                converted = conversions.convert(key, STRING)
            except conversions.ConversionError as exc:
                if type(key) is Unknown:
                    return None
                detail = f"The key expression produced an invalid result: {exc.message}."
            else:
                return converted if type(converted) is str else None
        scope.report(self._source, place, "Invalid object key", detail)
        return None

    def result(self) -> Value:
        """The whole."""
        if not self.known:
            return mark(Unknown(ANY), self.marks)
        if self._node.group:
            return mark({key: tuple(items) for key, items in self._groups.items()}, self.marks)
        return mark(self._values, self.marks)


def compile_splat_item(node: tree.SplatItem, compiler: Compiler) -> Code:
    """The element that the nearest enclosing splat is at."""

    def run(scope: Scope) -> Value:
        return scope.locals[_SPLAT_ITEM]

    return Code(run, lazy=True)


def compile_splat(node: tree.Splat, compiler: Compiler) -> Code:
    """``source[*]...``: each element of a sequence; another value counts as a sequence of one, null of none."""
    base, each = compiler.compile(node.source).run, compiler.compile(node.each).strict()
    source = compiler.source

    def run(scope: Scope) -> Value:
        value = base(scope)
        if isinstance(value, Lazy):
            lazily = _lazy_sequence(value)
            if lazily is not None:
                return tuple(_apply(each, lazily, scope))
            value = value.force(scope.reads)
        marks = _NO_MARKS
        if type(value) is Marked:
            value, marks = value.value, value.marks
        return mark(_splat(value, marks, each, scope, source, node), marks)

    return Code(run)


def _lazy_sequence(value: Lazy) -> list[Value] | None:
    """The unread elements of a lazy block under ``count``."""
    elements = value.elements()
    pairs = None if elements is None else list(elements)
    return [element for _, element in pairs] if pairs and isinstance(pairs[0][0], int) else None


def _apply(each: Run, elements: list[Value], scope: Scope) -> list[Value]:
    child = scope.child({})
    names = child.locals
    results = []
    for element in elements:
        names[_SPLAT_ITEM] = element
        results.append(each(child))
    return results


def _splat(
    value: Value, marks: frozenset[str], each: Run, scope: Scope, source: tree.Source, node: tree.Splat
) -> Value:
    kind = types.type_of(value) if type(value) is Unknown or is_null(value) else None
    if kind is not None:
        if is_null(value):
            if kind.name not in ("list", "set", "tuple"):
                return ()
            return scope.report(
                source,
                node.source,
                "Splat of null value",
                "Splat expressions (with the * symbol) cannot be applied to null sequences.",
            )
        return _splat_unknown(kind, each, scope)
    if isinstance(value, (List, Set)):
        results = _apply(each, list(value) or [Unknown(value.element)], scope)
        element = _element_type(results, nested=_holds_splat(node.each))
        if element is None:
            detail = "The inner splat gives parts of different types, which no list can hold. Use a for expression."
            return scope.report(source, node, "Invalid nested splat expressions", detail)
        return List(results if value else (), element)
    if isinstance(value, (tuple, list)):
        return tuple(_apply(each, list(value), scope))
    return (mark(_apply(each, [mark(value, marks)], scope)[0], marks),)


def _holds_splat(node: tree.Expression) -> bool:
    while isinstance(node, (tree.GetAttr, tree.Index)):
        node = node.source
    return isinstance(node, tree.Splat)


def _element_type(results: list[Value], *, nested: bool) -> Type | None:
    """The type of a list's elements; None where they differ, as only those of a ``nested`` splat do."""
    found = ANY
    for result in results:
        kind = types.type_of(unmark(result)[0])
        if found is ANY:
            found = kind
        elif kind is not ANY and kind is not found:
            return None
        if found is not ANY and not nested:
            break
    return found


def _splat_unknown(kind: Type, each: Run, scope: Scope) -> Value:
    if kind is ANY:
        return Unknown(ANY)
    if kind.name in ("list", "set"):
        result = _apply(each, [Unknown(kind.element or ANY)], scope)[0]
        return Unknown(list_of(types.type_of(unmark(result)[0])))
    if kind.name == "tuple":
        results = _apply(each, [Unknown(element) for element in kind.elements], scope)
        return Unknown(tuple_of(types.type_of(unmark(result)[0]) for result in results))
    # Whether this becomes a sequence of one or, if null, of none is open; errors are not.
    _apply(each, [Unknown(kind)], scope)
    return Unknown(ANY)
