"""Going through a collection, for ``for`` expressions, templates and dynamic blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hythe.modules.language import types
from hythe.modules.language.closure import Compiler
from hythe.modules.language.scope import Scope
from hythe.modules.syntax import tree
from hythe.value import ANY, Lazy, Marked, Set, Unknown, Value, is_null, mark

Pairs = list[tuple[Value, Value]]
Condition = Callable[[Scope], tuple[bool | None, frozenset[str]]]
"""Whether an element is in (None: not known yet), and the marks of that answer."""

_NO_MARKS: frozenset[str] = frozenset()
_ITERABLE = ("list", "set", "map", "tuple", "object")


def pairs_of(value: Value) -> Pairs | None:
    """The keys and elements of a known, unmarked collection in the language's order; None for others.

    Maps and objects go by key; the key of a set's element is the element.
    """
    if isinstance(value, dict):
        return [(key, value[key]) for key in sorted(value)]
    if isinstance(value, Set):
        return [(element, element) for element in value]
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    return None


def lazy_pairs(value: Lazy) -> Pairs | None:
    """The elements of a lazy collection, themselves unread; None when it does not tell them apart."""
    elements = value.elements()
    if elements is None:
        return None
    pairs = list(elements)
    if pairs and isinstance(pairs[0][0], str):
        pairs.sort(key=_first)
    return pairs


def _first(pair: tuple[Value, Value]) -> Value:
    return pair[0]


def iterable_type(value: Unknown) -> bool:
    """Whether an unknown value may turn out to be a collection."""
    return value.type is ANY or value.type.name in _ITERABLE


class Loop:
    """The head of a ``for``: evaluates the collection, and binds key and element in a child scope."""

    __slots__ = ("_collection", "_key", "_node", "_place", "_source", "_value")

    def __init__(
        self, node: tree.Node, collection: tree.Expression, key: str | None, value: str, compiler: Compiler
    ) -> None:
        self._node = node
        self._place = collection
        self._collection = compiler.compile(collection).run
        self._key = key
        self._value = value
        self._source = compiler.source

    def start(
        self, scope: Scope, condition: Condition | None = None
    ) -> tuple[Scope, Pairs | None, frozenset[str]] | None:
        """The scope of the body, the elements (None: not known yet) and the collection's marks.

        None when the collection is in error. A ``condition`` is checked also where there are no elements to check it
        with, unless even the collection's type is unknown; its marks are the result's where that is unknown.
        """
        found = self._collect(scope)
        if found is None:
            return None
        pairs, marks, typed = found
        if condition is not None and typed and not pairs:
            before = len(scope.diagnostics)
            more = condition(self._bind_unknown(scope))[1]
            if len(scope.diagnostics) > before:
                return None
            if pairs is None:
                marks |= more
        child = scope.child({})
        if pairs and not child.spend(len(pairs), self._source, self._node):
            return None
        return child, pairs, marks

    def _collect(self, scope: Scope) -> tuple[Pairs | None, frozenset[str], bool] | None:
        """The elements (None: not known yet), the collection's marks, whether its type is known; None when in error."""
        value = self._collection(scope)
        if type(value) is tuple:
            return list(enumerate(value)), _NO_MARKS, True
        if isinstance(value, Lazy):
            pairs = lazy_pairs(value)
            if pairs is not None:
                return pairs, _NO_MARKS, True
            value = value.force(scope.reads)
        marks = _NO_MARKS
        if type(value) is Marked:
            value, marks = value.value, value.marks
        pairs = pairs_of(value)
        if pairs is not None:
            return pairs, marks, True
        if type(value) is Unknown and iterable_type(value):
            return None, marks, value.type is not ANY
        self._report(value, scope)
        return None

    def _report(self, value: Value, scope: Scope) -> None:
        if is_null(value):
            scope.report(
                self._source,
                self._place,
                "Iteration over null value",
                "A null value cannot be used as the collection in a 'for' expression.",
            )
            return
        found = types.describe_with_article(types.type_of(value))
        scope.report(
            self._source,
            self._place,
            "Iteration over non-iterable value",
            f"The collection of a 'for' expression must be a list, set, tuple, map or object, but this is {found}.",
        )

    def bind(self, child: Scope, pairs: Pairs) -> Iterator[Value]:
        """Bind each pair in ``child`` in turn, yielding its key."""
        names = child.locals
        key_name, value_name = self._key, self._value
        if key_name is None:
            for key, names[value_name] in pairs:  # binds the element as it goes
                yield key
        else:
            for key, value in pairs:
                names[key_name] = key
                names[value_name] = value
                yield key

    def _bind_unknown(self, scope: Scope) -> Scope:
        """A scope in which key and element are unknown, to check what does not depend on them."""
        names: dict[str, Value] = {self._value: Unknown(ANY)}
        if self._key is not None:
            names[self._key] = Unknown(ANY)
        return scope.child(names)


def with_marks(pairs: Pairs, marks: frozenset[str]) -> Pairs:
    """The pairs with marks on each element and key."""
    return [(mark(key, marks), mark(value, marks)) for key, value in pairs] if marks else pairs
