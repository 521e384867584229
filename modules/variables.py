"""Values of root variables: where they come from, and how they become values of their types.

Later sources win, as in OpenTofu: environment (``HYTHE_VAR_name``), ``hythe.hclvars``,
``*.auto.hclvars`` in order of name, then ``--var`` and ``--var-file`` in the order given.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from hythe.diagnostic import Diagnostic, did_you_mean, error, has_errors, warning
from hythe.modules.config import CheckRule, Config, InputValue, VariableBlock
from hythe.modules.files import read_text
from hythe.modules.parsecache import ParseCache
from hythe.value import (
    ANY,
    BOOL,
    EPHEMERAL,
    NUMBER,
    SENSITIVE,
    STRING,
    Unknown,
    Value,
    is_null,
    mark,
    unmark,
    unmark_deep,
)

ENV_PREFIX = "HYTHE_VAR_"
DEFAULT_FILES = ("hythe.hclvars", "hythe.hclvars.json")
AUTO_SUFFIXES = (".auto.hclvars", ".auto.hclvars.json")

RuleCheck = Callable[[Sequence[CheckRule], Mapping[str, Value], str], list[Diagnostic]]


def collect(
    config: Config, arguments: Sequence[tuple[str, str]], environment: Mapping[str, str]
) -> tuple[dict[str, InputValue], list[Diagnostic]]:
    """The given values by variable name.

    ``arguments`` are the command line's in order: ``("var", "name=value")`` and ``("file", path)``.
    """
    values: dict[str, InputValue] = {}
    found: list[Diagnostic] = []
    declared = config.module.variables
    for name, text in sorted(environment.items()):
        if name.startswith(ENV_PREFIX) and name[len(ENV_PREFIX) :] in declared:
            block = declared[name[len(ENV_PREFIX) :]]
            _take_text(block, text, f"the environment variable {name}", values, found)
    for path in _automatic_files(config.root):
        _take_file(config, path, os.path.basename(path), values, found, explicit=False)
    for sort, text in arguments:
        if sort == "file":
            _take_file(config, text, text, values, found, explicit=True)
            continue
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            found.append(error("Invalid --var", f'"{text}" must read name=value, for example --var region=north.'))
        elif name not in declared:
            hint = did_you_mean(name, declared)
            found.append(
                error("Undeclared variable", f'--var sets "{name}", and no variable of that name is declared.{hint}')
            )
        else:
            _take_text(declared[name], value, "--var", values, found)
    return values, found


def _automatic_files(root: str) -> list[str]:
    try:
        names = sorted(os.listdir(root))
    except OSError:
        return []
    chosen = [n for n in DEFAULT_FILES if n in names] + [n for n in names if n.endswith(AUTO_SUFFIXES)]
    return [os.path.join(root, n) for n in chosen]


def _take_text(
    block: VariableBlock, text: str, origin: str, values: dict[str, InputValue], found: list[Diagnostic]
) -> None:
    if block.type in (STRING, ANY, NUMBER, BOOL):
        values[block.name] = InputValue(text, origin)
        return
    from hythe.modules import language

    value, problems = language.evaluate(text, {})
    if has_errors(problems):
        found.append(
            error(
                "Invalid value for variable",
                f'The value of "{block.name}" from {origin} must be written as an expression of type {block.type}, '
                f'for example ["a", "b"]: {problems[0].detail or problems[0].summary}',
                block.range,
            )
        )
        return
    values[block.name] = InputValue(value, origin)


def _take_file(
    config: Config, path: str, shown: str, values: dict[str, InputValue], found: list[Diagnostic], *, explicit: bool
) -> None:
    from hythe.modules.language.compile import compile_expression
    from hythe.modules.language.scope import Scope

    text, problem = read_text(path, shown)
    if problem is not None:
        found.append(problem)
        return
    body, problems = ParseCache(config.root).parse(text, shown)
    found += problems
    for block in body.blocks:
        place = body.source.range(block.start, block.header_end)
        text_ = "A variables file holds only arguments like name = value."
        found.append(error("Unexpected block", text_, place))
    for name, attribute in body.attributes.items():
        place = body.source.range(attribute.start, attribute.end)
        if name not in config.module.variables:
            hint = did_you_mean(name, config.module.variables)
            text_ = f'No variable named "{name}" is declared, so this value is not used.{hint}'
            found.append(warning("Value for undeclared variable", text_, place))
            continue
        scope = Scope({}, source=body.source)
        value = compile_expression(attribute.expression, body.source).evaluate(scope)
        found += scope.diagnostics
        values[name] = InputValue(value, shown, place)


def missing(config: Config, given: Mapping[str, InputValue]) -> list[VariableBlock]:
    """Required variables that were given no value."""
    return [v for v in config.module.variables.values() if v.required and v.name not in given]


def resolve(
    config: Config, given: Mapping[str, InputValue], check: RuleCheck
) -> tuple[dict[str, Value], list[Diagnostic]]:
    """Every root variable's value: converted, defaulted, marked and validated.

    ``check`` evaluates validation rules in a scope that holds ``var``.
    """
    values: dict[str, Value] = {}
    found: list[Diagnostic] = []
    for name, block in sorted(config.module.variables.items()):
        value = given.get(name)
        values[name] = resolve_one(block, value, found)
        if block.deprecated is not None and value is not None:
            text = f'The variable "{name}" is deprecated: {block.deprecated}'
            found.append(warning("Deprecated variable", text, value.range or block.range))
    if not has_errors(found):
        for name, block in sorted(config.module.variables.items()):
            if block.validations:
                found += check(block.validations, values, f"var.{name}")
    return values, found


def _default(block: VariableBlock, found: list[Diagnostic]) -> Value:
    from hythe.modules.language.compile import compile_expression
    from hythe.modules.language.scope import Scope

    if block.default is None:
        return None
    scope = Scope({}, source=block.default.source)
    value = compile_expression(block.default.expression, block.default.source).evaluate(scope)
    found += scope.diagnostics
    return value


def resolve_one(block: VariableBlock, given: InputValue | None, found: list[Diagnostic]) -> Value:
    from hythe.modules.language.conversions import ConversionError, convert

    value = given.value if given is not None else None
    place = (given.range if given is not None else None) or block.range
    from_default = False
    if given is None or (not block.nullable and is_null(unmark(value)[0]) and block.default is not None):
        if given is None and block.required:
            found.append(
                error(
                    "No value for required variable",
                    f'The variable "{block.name}" has no default and was given no value. Give one with '
                    f"--var '{block.name}=...', in hythe.hclvars, or as {ENV_PREFIX}{block.name}.",
                    block.range,
                )
            )
            return Unknown(block.type)
        value, from_default = _default(block, found), True
        place = block.default.range if block.default is not None else block.range
    try:
        value = convert(value, block.type)
    except ConversionError as failure:
        where = "".join(f"[{p!r}]" if isinstance(p, int) else f'["{p}"]' for p in failure.path)
        origin = "default" if from_default or given is None else f"value from {given.origin}"
        found.append(
            error(
                "Invalid value for variable",
                f"The {origin} of var.{block.name}{where} is not suitable: {failure}. "
                f"The variable's type is {block.type}.",
                place,
            )
        )
        return Unknown(block.type)
    if not block.nullable and is_null(unmark(value)[0]):
        text = f'The variable "{block.name}" cannot be null, because it says nullable = false.'
        found.append(error("Invalid value for variable", text, place))
    marks = {m for m, on in ((SENSITIVE, block.sensitive), (EPHEMERAL, block.ephemeral)) if on}
    return mark(value, frozenset(marks))


def storable(config: Config, values: Mapping[str, Value]) -> tuple[dict[str, Value], tuple[str, ...]]:
    """The values that a plan may carry (none that are ephemeral or withheld), and the names of sensitive ones."""
    kept: dict[str, Value] = {}
    sensitive: list[str] = []
    for name, value in values.items():
        plain, marks = unmark_deep(value)
        block = config.module.variables[name]
        if block.ephemeral or EPHEMERAL in marks or name in config.withheld:
            continue
        kept[name] = plain
        if block.sensitive or SENSITIVE in marks:
            sensitive.append(name)
    return kept, tuple(sensitive)
