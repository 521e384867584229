"""Names, attributes and indices: how an expression reaches into values."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hythe.modules.language import conversions, types
from hythe.modules.language.closure import Code, Compiler, Run, constant
from hythe.modules.language.references import literal_key
from hythe.modules.language.scope import Scope
from hythe.modules.syntax import tree
from hythe.value import (
    ANY,
    NUMBER,
    STRING,
    Instance,
    Lazy,
    List,
    Map,
    Marked,
    Set,
    Type,
    Unknown,
    Value,
    is_null,
    mark,
    normalized,
    unmark,
)

_KEYS_SHOWN = 10
_MISSING = object()
_NO_ATTRIBUTES = {
    "list": "Can't access attributes on a list. Did you mean an attribute of one element ([0].{name}), "
    "or of all of them ([*].{name})?",
    "tuple": "Can't access attributes on a tuple. Did you mean an attribute of one element ([0].{name}), "
    "or of all of them ([*].{name})?",
    "set": "Can't access attributes on a set. Did you mean an attribute of all elements ([*].{name})?",
}


def compile_variable(node: tree.Variable, compiler: Compiler) -> Code:
    """A root name, or a name that an enclosing construct binds."""
    name, source = node.name, compiler.source

    def run(scope: Scope) -> Value:
        names = scope.locals
        if name in names:
            return names[name]
        try:
            return scope.roots[name]
        except KeyError:
            return scope.report_unknown_name(source, node, name)

    def forced(scope: Scope) -> Value:
        names = scope.locals
        if name in names:
            value = names[name]
        elif name in scope.roots:
            value = scope.roots[name]
        else:
            return scope.report_unknown_name(source, node, name)
        return value.force(scope.reads) if isinstance(value, Lazy) else value

    return Code(run, lazy=True, forced=forced)


def compile_parentheses(node: tree.Parentheses, compiler: Compiler) -> Code:
    """``(x)``."""
    return compiler.compile(node.inner)


def compile_get_attr(node: tree.GetAttr, compiler: Compiler) -> Code:
    """``source.name``."""
    if isinstance(node.source, tree.Variable):
        return _root_attribute(node.source, node, compiler.source)
    inner = compiler.compile(node.source)
    base, name, source = inner.run, node.name, compiler.source

    def run(scope: Scope) -> Value:
        value = base(scope)
        if type(value) is dict or type(value) is Instance:
            if name in value:
                return value[name]  # type: ignore[index]
        elif isinstance(value, Lazy):
            try:
                return value.get(name, scope.reads)
            except KeyError:
                return _missing_lazy(value, name, scope, source, node)
        return get_attribute(value, name, scope, source, node)

    return Code(run, lazy=inner.lazy, pure=inner.pure)


def _root_attribute(root: tree.Variable, node: tree.GetAttr, source: tree.Source) -> Code:
    """``each.key``, ``local.name``: what most references are, in one step."""
    root_name, name = root.name, node.name

    def run(scope: Scope) -> Value:
        names = scope.locals if root_name in scope.locals else scope.roots
        value = names[root_name] if root_name in names else scope.report_unknown_name(source, root, root_name)
        if type(value) is dict and name in value:
            return value[name]
        if isinstance(value, Lazy):
            try:
                return value.get(name, scope.reads)
            except KeyError:
                return _missing_lazy(value, name, scope, source, node)
        return get_attribute(value, name, scope, source, node)

    def forced(scope: Scope) -> Value:
        # what run() does, once more, as this is what most expressions come down to
        names = scope.locals if root_name in scope.locals else scope.roots
        if root_name in names:
            value = names[root_name]
            if type(value) is dict and name in value:
                found = value[name]
                return found.force(scope.reads) if isinstance(found, Lazy) else found
        found = run(scope)
        return found.force(scope.reads) if isinstance(found, Lazy) else found

    return Code(run, lazy=True, forced=forced)


def _missing_lazy(value: Lazy, name: str | int, scope: Scope, source: tree.Source, node: tree.Node) -> Value:
    hint = scope.hint(str(name), value.keys())
    return scope.report(
        source, node, "Unsupported attribute", f'This object does not have an attribute named "{name}".{hint}'
    )


def get_attribute(value: Value, name: str | int, scope: Scope, source: tree.Source, node: tree.Node) -> Value:
    """The attribute of any value, with a diagnostic where there is none."""
    if isinstance(name, int):
        return get_index(value, name, scope, source, node)
    if type(value) is Marked:
        inner = scope.captured()
        found = get_attribute(value.value, name, inner, source, node)
        if inner.diagnostics:
            # what names there are may be the secret
            detail = f'There is no attribute named "{name}" in this value, which is not shown as it is sensitive.'
            return scope.report(source, node, inner.diagnostics[0].summary, detail)
        return mark(found, value.marks)
    if isinstance(value, dict):
        if name in value:
            return value[name]
        hint = scope.hint(name, value)
        if isinstance(value, Map):
            return scope.report(
                source,
                node,
                "Missing map element",
                f'This map does not have an element with the key "{name}".{hint}',
            )
        return scope.report(
            source, node, "Unsupported attribute", f'This object does not have an attribute named "{name}".{hint}'
        )
    if is_null(value):
        return scope.report(
            source,
            node,
            "Attempt to get attribute from null value",
            f'This value is null, so it does not have an attribute "{name}".',
        )
    if type(value) is Unknown:
        return _unknown_attribute(value.type, name, scope, source, node)
    return _no_attributes(types.type_of(value), name, scope, source, node)


def _unknown_attribute(kind: Type, name: str, scope: Scope, source: tree.Source, node: tree.Node) -> Value:
    if kind is ANY:
        return Unknown(ANY)
    if kind.name == "map":
        return Unknown(kind.element or ANY)
    if kind.name == "object":
        if name in kind.attributes:
            return Unknown(kind.attributes[name])
        hint = scope.hint(name, kind.attributes)
        return scope.report(
            source, node, "Unsupported attribute", f'This object does not have an attribute named "{name}".{hint}'
        )
    return _no_attributes(kind, name, scope, source, node)


def _no_attributes(kind: Type, name: str, scope: Scope, source: tree.Source, node: tree.Node) -> Value:
    detail = _NO_ATTRIBUTES.get(kind.name, "Can't access attributes on a primitive-typed value ({kind}).")
    return scope.report(source, node, "Unsupported attribute", detail.format(name=name, kind=kind))


def compile_index(node: tree.Index, compiler: Compiler) -> Code:
    """``source[key]``."""
    inner = compiler.compile(node.source)
    key_code = compiler.compile(node.key)
    base, source = inner.run, compiler.source
    literal = literal_key(node.key)
    if literal is not None:
        return Code(_literal_index(base, literal, source, node), lazy=inner.lazy, pure=inner.pure)
    key_run = key_code.strict()

    def run(scope: Scope) -> Value:
        value = base(scope)
        key = key_run(scope)
        kind = type(value)
        if kind is tuple or kind is List:
            if type(key) is int and 0 <= key < len(value):
                return value[key]
        elif (kind is dict or kind is Map) and type(key) is str and key in value:
            return value[key]
        return get_index(value, key, scope, source, node)

    return Code(run, lazy=inner.lazy, pure=inner.pure and key_code.pure)


def _literal_index(base: Run, key: str | int, source: tree.Source, node: tree.Index) -> Run:
    def run(scope: Scope) -> Value:
        value = base(scope)
        if isinstance(value, Lazy):
            try:
                return value.get(key, scope.reads)
            except KeyError:
                pass
        elif (type(value) is dict or type(value) is Map) and key in value:
            return value[str(key)]
        return get_index(value, key, scope, source, node)

    return run


def get_index(value: Value, key: Value, scope: Scope, source: tree.Source, node: tree.Node) -> Value:
    """The element of any value, with a diagnostic where there is none.

    A lazy value is read only at the key where the key is known.
    """
    if type(value) is Marked or type(key) is Marked:
        value, marks = unmark(value)
        key, key_marks = unmark(key)
        inner = scope.captured()
        found = get_index(value, key, inner, source, node)
        if inner.diagnostics:
            detail = "The key does not identify an element here. Neither is shown, as they are sensitive."
            return scope.report(source, node, inner.diagnostics[0].summary, detail)
        if isinstance(found, Lazy):
            found = found.force(scope.reads)
        return mark(found, marks | key_marks)
    if isinstance(value, Lazy):
        found = _lazy_element(value, key, scope)
        if found is not _MISSING:
            return found
        value = value.force(scope.reads)
        if type(value) is Marked:
            return get_index(value, key, scope, source, node)
    if is_null(value):
        return scope.report(
            source, node, "Attempt to index null value", "This value is null, so it does not have any indices."
        )
    if is_null(key):
        return _invalid(scope, source, node, "Can't use a null value as an indexing key.")
    if type(key) is Unknown and key.type is ANY:
        return Unknown(ANY)
    if type(value) is Unknown:
        return _unknown_element(value.type, key, scope, source, node)
    if isinstance(value, dict):
        return _dict_element(value, key, scope, source, node)
    if isinstance(value, (tuple, list)) and not isinstance(value, Set):
        return _sequence_element(value, key, scope, source, node)
    return _not_indexable(types.type_of(value), scope, source, node)


def _invalid(scope: Scope, source: tree.Source, node: tree.Node, detail: str) -> Value:
    return scope.report(source, node, "Invalid index", detail)


def _lazy_element(value: Lazy, key: Value, scope: Scope) -> Any:
    kind = type(key)
    if kind is bool:
        key = "true" if key else "false"
    elif kind is not str and kind is not int:
        return _MISSING
    try:
        return value.get(key, scope.reads)
    except KeyError:
        pass
    # a block with count has numbers for keys, one with for_each has strings
    other = str(key) if kind is int else int(key) if key.isdecimal() and len(key) < 10 else None
    try:
        return _MISSING if other is None else value.get(other, scope.reads)
    except KeyError:
        return _MISSING


def _converted_key(key: Value, kind: Type, scope: Scope, source: tree.Source, node: tree.Node) -> Value:
    """The key as string or number; _MISSING, with a diagnostic, when it is neither."""
    try:
        return conversions.convert(key, kind)
    except conversions.ConversionError as exc:
        _invalid(
            scope, source, node, f"The given key does not identify an element in this collection value: {exc.message}."
        )
        return _MISSING


def _dict_element(value: dict[str, Value], key: Value, scope: Scope, source: tree.Source, node: tree.Node) -> Value:
    if type(key) is not str:
        key = _converted_key(key, STRING, scope, source, node)
        if key is _MISSING:
            return Unknown(ANY)
        if type(key) is Unknown:
            return Unknown(value.element) if isinstance(value, Map) else Unknown(ANY)
    if key in value:
        return value[key]
    hint = scope.hint(key, value) or _keys(value)
    if isinstance(value, Instance):
        return scope.report(
            source, node, "Unsupported attribute", f'This object does not have an attribute named "{key}".{hint}'
        )
    return _invalid(
        scope, source, node, f'The given key "{key}" does not identify an element in this collection value.{hint}'
    )


def _keys(value: dict[str, Value]) -> str:
    """A sentence that says which keys there are, where these are few."""
    if isinstance(value, Instance) or len(value) > _KEYS_SHOWN:
        return ""
    listed = ", ".join(f'"{name}"' for name in value)
    return f" Its keys are: {listed}." if listed else " It has no elements."


def _sequence_element(
    value: list[Value] | tuple[Value, ...], key: Value, scope: Scope, source: tree.Source, node: tree.Node
) -> Value:
    if type(key) is not int:
        key = _converted_key(key, NUMBER, scope, source, node)
        if key is _MISSING:
            return Unknown(ANY)
        if type(key) is Unknown:
            return Unknown(value.element) if isinstance(value, List) else Unknown(ANY)
        if type(key) is Decimal:
            return _invalid(scope, source, node, f"An index must be a whole number, and {key} has a fractional part.")
    if 0 <= key < len(value):
        return value[key]
    if key < 0:
        why = "a negative number is not a valid index. Count from 0, or use length() to count from the end"
    elif not value:
        why = "the collection has no elements"
    else:
        why = f"the collection has {len(value)} element{'s' if len(value) > 1 else ''}, counted from 0"
    return _invalid(
        scope, source, node, f"The given index {key} does not identify an element in this collection value: {why}."
    )


def _unknown_element(kind: Type, key: Value, scope: Scope, source: tree.Source, node: tree.Node) -> Value:
    name = kind.name
    if name in ("list", "tuple"):
        key = _converted_key(key, NUMBER, scope, source, node)
        if key is _MISSING or name == "list":
            return Unknown(ANY if key is _MISSING else kind.element or ANY)
        if type(key) is not int:
            return Unknown(ANY)
        if 0 <= key < len(kind.elements):
            return Unknown(kind.elements[key])
        return _invalid(
            scope, source, node, f"The given index {key} does not identify an element in this collection value."
        )
    if name in ("map", "object"):
        key = _converted_key(key, STRING, scope, source, node)
        if key is _MISSING or name == "map":
            return Unknown(ANY if key is _MISSING else kind.element or ANY)
        if type(key) is not str:
            return Unknown(ANY)
        return _unknown_attribute(kind, key, scope, source, node)
    if kind is ANY:
        return Unknown(ANY)
    return _not_indexable(kind, scope, source, node)


def _not_indexable(kind: Type, scope: Scope, source: tree.Source, node: tree.Node) -> Value:
    if kind.name == "set":
        return _invalid(
            scope,
            source,
            node,
            "Elements of a set are identified only by their value and have no index or key to select with. "
            "Use a for expression, or convert the set with tolist().",
        )
    found = types.describe_with_article(kind)
    return _invalid(scope, source, node, f"This value is {found}, so it does not have any indices.")


def constant_of(node: tree.Literal) -> Code:
    """A literal."""
    return constant(normalized(node.value) if type(node.value) is str else node.value)
