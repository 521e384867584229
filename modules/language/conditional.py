"""``condition ? then : otherwise``, also as the ``%{ if }`` of templates."""

from __future__ import annotations

from decimal import Decimal

from hythe.modules.language import conversions, types
from hythe.modules.language.closure import Code, Compiler
from hythe.modules.language.scope import Scope
from hythe.modules.syntax import tree
from hythe.value import (
    ANY,
    BOOL,
    NUMBER,
    Instance,
    List,
    Map,
    Null,
    Set,
    Type,
    Unknown,
    Value,
    is_null,
    mark,
    unmark,
)

_NO_MARKS: frozenset[str] = frozenset()
_ATOMS = frozenset({str, int, bool, Decimal})


def compile_conditional(node: tree.Conditional | tree.TemplateIf, compiler: Compiler) -> Code:
    """Both branches are evaluated, as the result has a type that fits both; one gives the value.

    Only the taken branch counts as read and may fail; an undecided condition counts both as read.
    Marks are those of the condition and of both branches, so that a result's marks do not depend
    on a condition that may itself be secret.
    """
    test = compiler.compile(node.condition)
    then, otherwise = compiler.compile(node.then), compiler.compile(node.otherwise)
    source = compiler.source
    test_run, branches = test.strict(), (otherwise, then)
    runs = (otherwise.strict(), then.strict())

    def run(scope: Scope) -> Value:
        condition = test_run(scope)
        chosen, marks = (
            (condition, _NO_MARKS) if type(condition) is bool else decide(condition, scope, source, node.condition)
        )
        if chosen is None:
            return mark(_undecided(node, runs[1](scope.captured()), runs[0](scope.captured()), scope, source), marks)
        value = runs[chosen](scope)
        other_code = branches[not chosen]
        other = other_code.value if other_code.constant else runs[not chosen](scope.discarding())
        if type(value) is type(other) and type(value) in _ATOMS and not marks:
            return value
        value, value_marks = unmark(value)
        other, other_marks = unmark(other)
        values = (value, other) if chosen else (other, value)
        kind = common_type(node, *values, scope, source)
        return mark(as_type(value, kind, scope, source, node), marks | value_marks | other_marks)

    return Code(run, pure=test.pure and then.pure and otherwise.pure)


def decide(condition: Value, scope: Scope, source: tree.Source, node: tree.Node) -> tuple[bool | None, frozenset[str]]:
    """What a condition says (None: not known yet, or in error), and its marks."""
    condition, marks = unmark(condition)
    if type(condition) is bool:
        return condition, marks
    if type(condition) is Unknown:
        return None, marks  # of whatever type: only what is known is asked for more
    if is_null(condition):
        scope.report(
            source, node, "Null condition", "The condition value is null. Conditions must either be true or false."
        )
        return None, marks
    try:
        plain = conversions.convert(condition, BOOL)
    except conversions.ConversionError as exc:
        scope.report(source, node, "Incorrect condition type", f"The condition must be true or false: {exc.message}.")
        return None, marks
    return bool(plain), marks


def _is_untyped_null(value: Value) -> bool:
    return value is None or (type(value) is Null and value.type is ANY)


def common_type(
    node: tree.Conditional | tree.TemplateIf, then: Value, otherwise: Value, scope: Scope, source: tree.Source
) -> Type | None:
    """The type that both branches' values convert to; None when they have it already, or have none.

    Reports branches that cannot agree.
    """
    kind = type(then)
    if kind is type(otherwise) and kind in (str, int, bool, Decimal):
        return None
    if isinstance(then, Instance) or isinstance(otherwise, Instance):
        other = otherwise if isinstance(then, Instance) else then
        if isinstance(other, Instance) or is_null(other):
            return None  # a reference stays one
    if _is_untyped_null(then):
        return None if _is_untyped_null(otherwise) else types.type_of(otherwise)
    if _is_untyped_null(otherwise):
        return types.type_of(then)
    first, second = types.type_of(then), types.type_of(otherwise)
    if first is second or first is ANY or second is ANY:
        return None
    unified = types.unify([first, second])
    if unified is None:
        scope.report(
            source,
            node,
            "Inconsistent conditional result types",
            f"The true and false result expressions must have consistent types. {describe_mismatch(first, second)}.",
        )
        return ANY
    return unified


def as_type(value: Value, kind: Type | None, scope: Scope, source: tree.Source, node: tree.Node) -> Value:
    """The taken branch's value in the common type."""
    if kind is None:
        return value
    if kind is ANY:
        return Unknown(ANY)
    if types.type_of(value) is kind:
        return value  # converting would make plain objects of the instances in it
    try:
        return conversions.convert(value, kind)
    except conversions.ConversionError as exc:
        return scope.report(
            source, node, "Inconsistent conditional result types", f"The result has the wrong type: {exc.message}."
        )


def _undecided(
    node: tree.Conditional | tree.TemplateIf, then: Value, otherwise: Value, scope: Scope, source: tree.Source
) -> Value:
    """The result while the condition is unknown: of the common type, and no less known than certain."""
    then, marks = unmark(then)
    otherwise, more = unmark(otherwise)
    marks |= more
    kind = common_type(node, then, otherwise, scope, source) or _shared(types.type_of(then), types.type_of(otherwise))
    if is_null(then) and is_null(otherwise):
        return mark(None if kind is ANY else Null(kind), marks)
    return mark(_narrowed(then, otherwise, kind), marks)


def _shared(first: Type, second: Type) -> Type:
    if first is second:
        return first
    return ANY if first is ANY or second is ANY else types.unify([first, second]) or ANY


def _narrowed(then: Value, otherwise: Value, kind: Type) -> Value:
    if kind is NUMBER and type(then) in (int, Decimal) and then == otherwise:
        return then
    first, second = type(then), type(otherwise)
    if first is second and first in (List, Set, Map) and then.element is otherwise.element:
        size = len(then)
        if size == len(otherwise):
            if size == 0:
                return then
            unknown = Unknown(then.element)
            if first is List:
                return List([unknown] * size, then.element)
            if first is Set and size == 1:
                return Set([unknown], then.element)
    return Unknown(kind)


def describe_mismatch(first: Type, second: Type) -> str:
    """Where two types that cannot be unified differ, without a full stop."""
    if first.name == second.name == "object":
        found = _describe_objects(first, second)
        if found:
            return found
    elif first.name == second.name == "tuple":
        if len(first.elements) != len(second.elements):
            return (
                f"The 'true' tuple has length {len(first.elements)}, "
                f"but the 'false' tuple has length {len(second.elements)}"
            )
        for index, (a, b) in enumerate(zip(first.elements, second.elements, strict=True)):
            if a is not b:
                return f"Type mismatch for tuple element {index}: {describe_mismatch(a, b)}"
    elif first.name == second.name and first.element is not None and second.element is not None:
        return f"Mismatched {first.name} element types: {describe_mismatch(first.element, second.element)}"
    return f"The 'true' value is {first.name}, but the 'false' value is {second.name}"


def _describe_objects(first: Type, second: Type) -> str:
    for name, kind in first.attributes.items():
        if name not in second.attributes:
            return f"The 'true' value includes object attribute \"{name}\", which is absent in the 'false' value"
        if kind is not second.attributes[name]:
            return f'Type mismatch for object attribute "{name}": {describe_mismatch(kind, second.attributes[name])}'
    for name in second.attributes:
        if name not in first.attributes:
            return f"The 'false' value includes object attribute \"{name}\", which is absent in the 'true' value"
    return ""
