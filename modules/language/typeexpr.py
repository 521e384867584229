"""Type expressions: ``list(string)``, ``object({ name = string, port = optional(number, 80) })``."""

from __future__ import annotations

from hythe.diagnostic import Diagnostic, did_you_mean, error
from hythe.modules.language import conversions
from hythe.modules.language.compile import compile_expression
from hythe.modules.language.references import uses
from hythe.modules.language.scope import Scope
from hythe.modules.syntax import tree
from hythe.value import ANY, BOOL, NUMBER, STRING, Type, Value, is_null, object_of, tuple_of

_SUMMARY = "Invalid type specification"
_PRIMITIVES = {"bool": BOOL, "number": NUMBER, "string": STRING}
_NEEDS = {
    "list": "The list type constructor requires one argument specifying the element type.",
    "set": "The set type constructor requires one argument specifying the element type.",
    "map": "The map type constructor requires one argument specifying the element type.",
    "object": "The object type constructor requires one argument specifying the attribute types as a map.",
    "tuple": "The tuple type constructor requires one argument specifying the element types as a list.",
}
_KEYWORDS = (*_PRIMITIVES, *_NEEDS, "any")


def parse_type(text: str, *, constraint: bool = True) -> tuple[Type | None, list[Diagnostic]]:
    """Parse a type expression from text; None, with diagnostics, when it is none."""
    from hythe.modules import syntax

    expr, source, diagnostics = syntax.parse_expression(text, "<type>")
    if expr is None or diagnostics:
        return None, list(diagnostics)
    kind, diagnostics = type_from_expression(expr, source, constraint)
    return (None if diagnostics else kind), diagnostics


def type_from_expression(
    expr: tree.Expression, source: tree.Source, constraint: bool = True
) -> tuple[Type, list[Diagnostic]]:
    """The type that an expression spells. Parts in error become ANY.

    A constraint may hold ``any`` and ``optional``; an exact type may not.
    """
    reader = _TypeReader(source, constraint)
    try:
        return reader.read(expr), reader.diagnostics
    except RecursionError:
        reader.fail(expr, "This type is nested too deeply.")
        return ANY, reader.diagnostics


class _TypeReader:
    def __init__(self, source: tree.Source, constraint: bool) -> None:
        self._source = source
        self._constraint = constraint
        self.diagnostics: list[Diagnostic] = []

    def fail(self, node: tree.Node, detail: str) -> Type:
        """Note an error; ANY stands for the type."""
        self.diagnostics.append(error(_SUMMARY, detail, self._source.range(node.start, node.end)))
        return ANY

    def read(self, expr: tree.Expression) -> Type:
        """Any type expression."""
        if isinstance(expr, tree.Variable):
            return self._keyword(expr, expr.name)
        if isinstance(expr, tree.Literal) and (expr.value is None or type(expr.value) is bool):
            return self._keyword(expr, "null" if expr.value is None else str(expr.value).lower())
        if isinstance(expr, tree.Call):
            return self._call(expr)
        return self.fail(
            expr,
            "A type specification is either a primitive type keyword (bool, number, string) "
            "or a complex type constructor call, like list(string).",
        )

    def _keyword(self, expr: tree.Expression, name: str) -> Type:
        if name in _PRIMITIVES:
            return _PRIMITIVES[name]
        if name == "any":
            if self._constraint:
                return ANY
            return self.fail(
                expr,
                'The keyword "any" cannot be used in this type specification: an exact type is required.',
            )
        if name in _NEEDS:
            return self.fail(expr, _NEEDS[name])
        return self.fail(
            expr, f'The keyword "{name}" is not a valid type specification.{did_you_mean(name, _KEYWORDS)}'
        )

    def _call(self, expr: tree.Call) -> Type:
        name = expr.name
        if name in _PRIMITIVES:
            return self.fail(expr, f'Primitive type keyword "{name}" does not expect arguments.')
        if name == "any":
            return self.fail(expr, 'Type constraint keyword "any" does not expect arguments.')
        if name == "optional":
            return self.fail(expr, 'The keyword "optional" is valid only for the attributes of an object type.')
        if name not in _NEEDS:
            hint = did_you_mean(name, _KEYWORDS)
            return self.fail(expr, f'Keyword "{name}" is not a valid type constructor.{hint}')
        if len(expr.args) != 1:
            return self.fail(expr, _NEEDS[name])
        argument = expr.args[0]
        if name == "object":
            return self._object(argument)
        if name == "tuple":
            if not isinstance(argument, tree.TupleCons):
                return self.fail(argument, "Tuple type constructor requires a list of element types.")
            return tuple_of(self.read(item) for item in argument.items)
        return Type(name, self.read(argument))

    def _object(self, argument: tree.Expression) -> Type:
        if not isinstance(argument, tree.ObjectCons):
            return self.fail(
                argument,
                "Object type constructor requires a map whose keys are attribute names "
                "and whose values are the corresponding attribute types.",
            )
        attributes: dict[str, Type] = {}
        optional: dict[str, Value] = {}
        for key, value in argument.items:
            name = _attribute_name(key)
            if name is None:
                self.fail(key, "Object constructor map keys must be attribute names.")
            elif name in attributes:
                self.fail(key, f'The attribute "{name}" is given twice.')
            elif isinstance(value, tree.Call) and value.name == "optional":
                attributes[name], optional[name] = self._optional(value)
            else:
                attributes[name] = self.read(value)
        return object_of(attributes, optional)

    def _optional(self, call: tree.Call) -> tuple[Type, Value]:
        if not self._constraint:
            self.fail(call, "An exact type has no optional attributes: optional() is for type constraints.")
            return ANY, None
        if not call.args:
            return self.fail(call, "optional() takes the attribute's type, and maybe its default."), None
        if len(call.args) > 2:
            return self.fail(call, "optional() takes no more than the attribute's type and its default."), None
        default = self._constant(call.args[1]) if len(call.args) == 2 else None
        kind = self.read(call.args[0])
        return kind, (None if is_null(default) else self._default(call.args[1], default, kind))

    def _constant(self, expr: tree.Expression) -> Value:
        """The value of a default, None with a diagnostic where it has none."""
        compiled = compile_expression(expr, self._source)
        if compiled.references:
            detail = "A default in optional() is the same everywhere: it names nothing."
            self.diagnostics.append(error("Default is not constant", detail, compiled.references[0].range))
            return None
        if uses(expr)[1]:
            detail = "A default in optional() is the same everywhere: it calls no functions."
            self.diagnostics.append(error("Default is not constant", detail, compiled.range))
            return None
        scope = Scope({})
        value = compiled.evaluate(scope)
        self.diagnostics += scope.diagnostics
        return None if scope.diagnostics else value

    def _default(self, expr: tree.Expression, value: Value, kind: Type) -> Value:
        try:
            return conversions.convert(value, kind)
        except conversions.ConversionError as exc:
            place = "".join(f"element {part}: " for part in exc.path)
            self.diagnostics.append(
                error(
                    "Invalid default value for optional attribute",
                    f"This default value is not compatible with the attribute's type: {place}{exc.message}.",
                    self._source.range(expr.start, expr.end),
                )
            )
            return None


def _attribute_name(key: tree.Expression) -> str | None:
    """The name that a key spells; only a bare word does."""
    return key.value if isinstance(key, tree.Literal) and type(key.value) is str else None
