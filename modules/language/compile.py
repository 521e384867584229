"""From a syntax tree to something that evaluates fast, many times.

:func:`compile_expression` turns an expression into closures once; ``evaluate`` then runs them in a
scope for each instance. What does not depend on the scope is computed at compile time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hythe.diagnostic import Range, error
from hythe.modules.language.calls import compile_call
from hythe.modules.language.closure import Code, Compiler, Run, constant
from hythe.modules.language.conditional import compile_conditional
from hythe.modules.language.constructors import (
    compile_for,
    compile_object,
    compile_splat,
    compile_splat_item,
    compile_tuple,
)
from hythe.modules.language.hoisting import Shareable
from hythe.modules.language.operators import compile_binary, compile_unary
from hythe.modules.language.references import Traversal, references
from hythe.modules.language.scope import Scope
from hythe.modules.language.templates import compile_template, compile_template_for, compile_template_wrap
from hythe.modules.language.traversal import (
    compile_get_attr,
    compile_index,
    compile_parentheses,
    compile_variable,
    constant_of,
)
from hythe.modules.syntax import tree
from hythe.value import ANY, Lazy, Unknown, Value

_COMPILERS: Mapping[type, Callable[[Any, Compiler], Code]] = {
    tree.Literal: lambda node, compiler: constant_of(node),
    tree.Template: compile_template,
    tree.TemplateWrap: compile_template_wrap,
    tree.TemplateIf: compile_conditional,
    tree.TemplateFor: compile_template_for,
    tree.Variable: compile_variable,
    tree.GetAttr: compile_get_attr,
    tree.Index: compile_index,
    tree.Splat: compile_splat,
    tree.SplatItem: compile_splat_item,
    tree.Call: compile_call,
    tree.Unary: compile_unary,
    tree.Binary: compile_binary,
    tree.Conditional: compile_conditional,
    tree.Parentheses: compile_parentheses,
    tree.TupleCons: compile_tuple,
    tree.ObjectCons: compile_object,
    tree.For: compile_for,
}


class ExpressionCompiler:
    """Compiles the expressions of one file."""

    __slots__ = ("source",)

    def __init__(self, source: tree.Source) -> None:
        self.source = source

    def compile(self, node: tree.Expression) -> Code:
        """The code of a node, computed already where it depends on nothing else."""
        return self.fold(_COMPILERS[type(node)](node, self))

    def fold(self, code: Code) -> Code:
        """The code, computed already where it depends on nothing else and has no errors."""
        if code.pure and not code.constant:
            scope = Scope({})
            value = code.run(scope)
            if not scope.diagnostics:  # an error is reported when evaluated, not here
                return constant(value)
        return code


class RepeatedCompiler(ExpressionCompiler):
    """Compiles expressions that many instances evaluate: what is the same for all of them is evaluated once."""

    __slots__ = ()

    def compile(self, node: tree.Expression) -> Code:
        """The code of a node, with as large parts as possible shared between instances."""
        shareable = Shareable.of(node)
        if shareable is None:
            return super().compile(node)
        code = ExpressionCompiler(self.source).compile(node)
        return code if code.constant else shareable.code(code)


class Compiled:
    """An expression ready to evaluate. ``constant`` says that ``value`` is its value everywhere."""

    __slots__ = ("_references", "_run", "constant", "expr", "source", "strict", "value")

    def __init__(self, expr: tree.Expression, source: tree.Source, code: Code) -> None:
        self.expr = expr
        self.source = source
        self.constant = code.constant
        self.value = code.value
        self._run = code.run
        self.strict = code.strict()
        self._references: tuple[Traversal, ...] | None = None

    def __repr__(self) -> str:
        return f"Compiled({self.source.text[self.expr.start : self.expr.end]!r})"

    @property
    def range(self) -> Range:
        """Where the expression stands."""
        return self.source.range(self.expr.start, self.expr.end)

    @property
    def references(self) -> tuple[Traversal, ...]:
        """All that the expression refers to by name; see :func:`~.references.references`."""
        if self._references is None:
            self._references = references(self.expr, self.source)
        return self._references

    def evaluate(self, scope: Scope) -> Value:
        """The value, never lazy. Errors go to ``scope.diagnostics``, with Unknown as the value."""
        try:
            return self.strict(scope)
        except RecursionError:
            return self.too_deep(scope)

    def evaluate_lazy(self, scope: Scope) -> Value | Lazy:
        """Like :meth:`evaluate`, but a reference that ends in something lazy gives that, unread."""
        try:
            return self._run(scope)
        except RecursionError:
            return self.too_deep(scope)

    def too_deep(self, scope: Scope) -> Unknown:
        """Report that the expression is nested too deeply, which ``strict`` raises RecursionError for."""
        return _report_depth(self.expr, self.source, scope)


def _report_depth(expr: tree.Expression, source: tree.Source, scope: Scope) -> Unknown:
    scope.diagnostics.append(
        error(
            "Expression nested too deeply",
            "This expression is nested too deeply to evaluate. Move parts of it into local values.",
            source.range(expr.start, expr.end),
            address=scope.address,
        )
    )
    return Unknown(ANY)


def compile_expression(expr: tree.Expression, source: tree.Source, *, repeated: bool = False) -> Compiled:
    """Compile an expression of a file. Never fails: what is wrong is reported on evaluation.

    ``repeated``: many instances will evaluate it, and may share what is the same for all of them.
    """
    try:
        code = (RepeatedCompiler if repeated else ExpressionCompiler)(source).compile(expr)
    except RecursionError:
        code = Code(_failing(expr, source))
    return Compiled(expr, source, code)


def _failing(expr: tree.Expression, source: tree.Source) -> Run:
    def run(scope: Scope) -> Value:
        return _report_depth(expr, source, scope)

    return run
