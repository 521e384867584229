"""Quoted templates and heredocs: literal text, interpolation and directives."""

from __future__ import annotations

from decimal import Decimal

from hythe.modules.language import conversions
from hythe.modules.language.closure import Code, Compiler, constant
from hythe.modules.language.iteration import Loop
from hythe.modules.language.scope import Scope
from hythe.modules.syntax import tree
from hythe.value import STRING, Marked, Unknown, Value, is_null, mark, normalized, unmark

MAX_LENGTH = 1 << 28
"""Longest text that a template makes, in characters."""

_NO_MARKS: frozenset[str] = frozenset()
_SUMMARY = "Invalid template interpolation value"


def compile_template(node: tree.Template, compiler: Compiler) -> Code:
    """The parts converted to strings and joined."""
    parts = [compiler.compile(part) for part in node.parts]
    if all(part.constant and type(part.value) is str for part in parts):
        return constant(normalized("".join(part.value for part in parts)))
    source = compiler.source
    literals = [part.value if part.constant and type(part.value) is str else "" for part in parts]
    holes = tuple(
        (index, part.strict(), own)
        for index, (part, own) in enumerate(zip(parts, node.parts, strict=True))
        if not (part.constant and type(part.value) is str)
    )

    def run(scope: Scope) -> Value:
        texts = literals.copy()
        marks = _NO_MARKS
        known = True
        for index, part, own in holes:
            value = part(scope)
            kind = type(value)
            if kind is int:
                value = str(value)
            elif kind is not str:
                if kind is Marked:
                    marks |= value.marks
                    value = value.value
                value = as_text(value, scope, source, own)
                if value is None:
                    known = False
                    continue
            texts[index] = value
        if not known:
            return mark(Unknown(STRING), marks)
        if sum(map(len, texts)) > MAX_LENGTH:
            return mark(_too_long(scope, source, node), marks)
        text = "".join(texts)
        if not text.isascii():
            text = normalized(text)
        return mark(text, marks) if marks else text

    return Code(run, pure=all(part.pure for part in parts))


def _too_long(scope: Scope, source: tree.Source, node: tree.Node) -> Value:
    scope.report(
        source,
        node,
        "Template result too long",
        f"The text would have more than {MAX_LENGTH:,} characters. Put large contents into a file instead.",
    )
    return Unknown(STRING)


def as_text(value: Value, scope: Scope, source: tree.Source, node: tree.Node) -> str | None:
    """An unmarked value as a template shows it; None when unknown, or unsuitable (with a diagnostic)."""
    kind = type(value)
    if kind is str:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is int or kind is Decimal:
        return conversions.number_to_string(value)
    if kind is Unknown:
        return None
    if is_null(value):
        scope.report(
            source, node, _SUMMARY, "The expression result is null. Cannot include a null value in a string template."
        )
        return None
    try:
        text = conversions.convert(value, STRING)
    except conversions.ConversionError as exc:
        scope.report(source, node, _SUMMARY, f"Cannot include the given value in a string template: {exc.message}.")
        return None
    return text if type(text) is str else None


def compile_template_wrap(node: tree.TemplateWrap, compiler: Compiler) -> Code:
    """``"${x}"``: the value itself."""
    return compiler.compile(node.wrapped)


def compile_template_for(node: tree.TemplateFor, compiler: Compiler) -> Code:
    """``%{ for }``: the body's text once per element."""
    loop = Loop(node, node.collection, node.key_name, node.value_name, compiler)
    body = compiler.compile(node.body).strict()
    source = compiler.source

    def run(scope: Scope) -> Value:
        texts: list[str] = []
        known = True
        iteration = loop.start(scope)
        if iteration is None:
            return Unknown(STRING)
        child, pairs, marks = iteration
        if pairs is None:
            return mark(Unknown(STRING), marks)
        for _ in loop.bind(child, pairs):
            value, more = unmark(body(child))
            marks |= more
            if type(value) is str:
                texts.append(value)
            else:
                known = False
        if not known:
            return mark(Unknown(STRING), marks)
        if sum(map(len, texts)) > MAX_LENGTH:
            return mark(_too_long(scope, source, node), marks)
        return mark(normalized("".join(texts)), marks)

    return Code(run)
