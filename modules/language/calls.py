"""Function calls; ``try`` and ``can``, which catch errors; and ``convert``, which takes a type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from hythe.diagnostic import did_you_mean
from hythe.modules.language import types
from hythe.modules.language.closure import Code, Compiler, Run
from hythe.modules.language.functions import registry
from hythe.modules.language.functions.registry import Environment, FunctionError
from hythe.modules.language.references import TAKES_TYPE
from hythe.modules.language.rendering import with_templates
from hythe.modules.language.scope import Scope
from hythe.modules.syntax import tree
from hythe.value import ANY, BOOL, Unknown, Value, is_known, is_null, mark, unmark, unmark_deep

_NOTHING: frozenset[type] = frozenset()
"""Until a function is known, no argument is known to suit it."""


def compile_call(node: tree.Call, compiler: Compiler) -> Code:
    """``name(args)``, the last argument expanded where it ends in ``...``."""
    name = node.name.removeprefix("core::")
    if name in ("try", "can"):
        args = tuple(compiler.compile(arg).strict() for arg in node.args)
        return _compile_try(node, args, compiler) if name == "try" else _compile_can(node, args, compiler)
    if name == TAKES_TYPE:
        return _compile_convert(node, compiler)
    args = tuple(compiler.compile(arg).strict() for arg in node.args)
    source = compiler.source
    steps: tuple[tuple[Run, frozenset[type]], ...] = tuple((arg, _NOTHING) for arg in args)
    found: registry.Function | None = None
    checked = False  # whether as many arguments are given as the function takes
    simple: Callable[..., Value] | None = None  # what does it all, where the arguments are ready

    def find(scope: Scope) -> registry.Function | None:
        """Look the function up when it is first called, as its family may have to be imported."""
        nonlocal found, steps, checked, simple
        found = registry.lookup(name)
        if found is None:
            scope.report(source, node, "Call to unknown function", _unknown(name))
        elif not node.expand and found.takes(len(args)):
            steps = tuple((arg, param.ready) for arg, param in zip(args, found.params_for(len(args)), strict=True))
            checked = True
            simple = found.implementation if found.simple else None
        return found

    def run(scope: Scope) -> Value:
        diagnostics = scope.diagnostics
        before = len(diagnostics)
        values: list[Value] = []
        ready = checked
        for arg, classes in steps:
            value = arg(scope)
            values.append(value)
            if type(value) not in classes:
                ready = False
        function = found or find(scope)
        if function is None or (len(diagnostics) > before and any(d.is_error for d in diagnostics[before:])):
            return Unknown(ANY)
        if node.expand:
            return _invoke_expanded(node, function, values, scope, source)
        try:
            if ready and simple is not None:
                return simple(*values)
            return registry.call_function(function, values, scope.env or _default_environment(), ready=ready)
        except FunctionError as exc:
            return _failed(node, registry.without_secrets(exc, values), scope, source)
        except RecursionError:
            return _failed(node, FunctionError(registry.TOO_DEEP), scope, source)

    return Code(run)


def _invoke_expanded(
    node: tree.Call, function: registry.Function, values: list[Value], scope: Scope, source: tree.Source
) -> Value:
    """A call whose last argument stands for as many as it has elements."""
    expanded = _expand(values.pop(), scope, source, node)
    if expanded is None:
        return Unknown(ANY)
    last, marks = expanded
    if last is None:
        return mark(Unknown(ANY), marks)
    try:
        result = registry.call_function(function, [*values, *last], scope.env or _default_environment())
    except FunctionError as exc:
        result = _failed(node, exc, scope, source)
    return mark(result, marks)


def _unknown(name: str) -> str:
    """What to say of a function that is not there."""
    *spaces, last = name.split("::")
    text = f'There is no function named "{name}"'
    if not spaces:
        return f"{text}.{did_you_mean(name, registry.names())}"
    same = f" There is {last}(), without a namespace." if registry.lookup(last) is not None else ""
    if spaces[0] == "provider":
        return (
            f"{text}: Hythe has no providers, whose functions have such names in OpenTofu.{same} "
            'What else a function of a provider gives, a block data "command" can compute.'
        )
    return f'{text}: the only namespace of functions is "core", as in core::upper.{same}'


def _expand(
    value: Value, scope: Scope, source: tree.Source, node: tree.Call
) -> tuple[list[Value] | None, frozenset[str]] | None:
    """The elements of a final ``list...`` argument (None: not known yet) and its marks."""
    place = node.args[-1]
    value, marks = unmark(value)
    if isinstance(value, (list, tuple)):
        return list(value), marks
    if type(value) is Unknown and value.type.name in ("any", "list", "set", "tuple"):
        return None, marks
    detail = "it is null" if is_null(value) else f"it is {types.describe_with_article(types.type_of(value))}"
    scope.report(
        source,
        place,
        "Invalid expanding argument value",
        f"The expanding argument (indicated by ...) must be a list, tuple or set, but {detail}.",
    )
    return None


def _failed(node: tree.Call, failure: FunctionError, scope: Scope, source: tree.Source) -> Value:
    """Report why a call has no result, at the argument to blame where there is one."""
    name = node.name.removeprefix("core::")
    index = failure.argument_index
    if index is None or not node.args:
        detail = _sentence(f'Call to function "{name}" failed: {failure}')
        return scope.report(source, node, "Error in function call", detail)
    place = node.args[min(index, len(node.args) - 1)]
    detail = _sentence(f'Invalid value for argument {index + 1} of function "{name}": {failure}')
    return scope.report(source, place, "Invalid function argument", detail)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else text + "."


@cache
def _default_environment() -> Environment:
    return with_templates(Environment())


def _attempt(run: Run, scope: Scope) -> tuple[Value, bool]:
    """Evaluate with diagnostics of its own, and tell whether that fails; what is read counts, as it decides that."""
    inner = scope.attempting()
    value = run(inner)
    return value, any(d.is_error for d in inner.diagnostics)


def _compile_try(node: tree.Call, args: tuple[Run, ...], compiler: Compiler) -> Code:
    source = compiler.source

    def failures(scope: Scope) -> Iterator[str]:
        for arg, place in zip(args, node.args, strict=True):
            inner = scope.captured()
            arg(inner)
            line = source.range(place.start, place.end).line
            yield from (f"- {d.summary} (line {line}): {d.detail}" for d in inner.diagnostics if d.is_error)

    def run(scope: Scope) -> Value:
        for arg in args:
            value, failed = _attempt(arg, scope)
            if failed:
                continue
            # an argument that is not known may still fail and another one win, of any type
            return value if is_known(value) else mark(Unknown(ANY), unmark_deep(value)[1])
        if not args:
            detail = "At least one argument is required."
        elif not scope.explains:
            detail = "No expression succeeded."
        else:
            detail = "No expression succeeded:\n" + "\n".join(failures(scope))
        return scope.report(source, node, "Error in function call", f'Call to function "try" failed: {detail}')

    return Code(run)


def _compile_can(node: tree.Call, args: tuple[Run, ...], compiler: Compiler) -> Code:
    source = compiler.source

    def run(scope: Scope) -> Value:
        if len(args) != 1:
            return scope.report(
                source,
                node,
                "Error in function call",
                f'Call to function "can" failed: exactly one argument is required, but {len(args)} were given.',
            )
        value, failed = _attempt(args[0], scope)
        if failed:
            return False
        return True if is_known(value) else Unknown(BOOL)

    return Code(run)


def _compile_convert(node: tree.Call, compiler: Compiler) -> Code:
    """``convert(value, type)``: the type is read once, whatever the value is."""
    # typeexpr.py evaluates defaults, so it needs compile.py, which needs this module
    from hythe.modules.language.typeexpr import type_from_expression

    source = compiler.source
    if node.expand or len(node.args) != 2:
        return Code(_miscalled(node, source))
    argument = compiler.compile(node.args[0]).strict()
    target, problems = type_from_expression(node.args[1], source)

    def run(scope: Scope) -> Value:
        diagnostics = scope.diagnostics
        before = len(diagnostics)
        value = argument(scope)
        diagnostics += [problem.at(address=scope.address) for problem in problems]
        if any(d.is_error for d in diagnostics[before:]):
            return Unknown(ANY)
        try:
            return registry.call(TAKES_TYPE, (value, target), scope.env or _default_environment())
        except FunctionError as exc:
            return _failed(node, exc, scope, source)

    return Code(run)


def _miscalled(node: tree.Call, source: tree.Source) -> Run:
    """What a call of ``convert`` reports whose arguments are not a value and a type."""

    def run(scope: Scope) -> Value:
        if node.expand:
            detail = f'Call to function "{TAKES_TYPE}" failed: a value and a type are wanted, which "..." cannot give.'
            return scope.report(source, node.args[-1], "Error in function call", detail)
        function = registry.lookup(TAKES_TYPE)
        assert function is not None
        try:
            function.params_for(len(node.args))
        except FunctionError as exc:
            return _failed(node, exc, scope, source)
        raise AssertionError("the number of arguments is right")

    return run
