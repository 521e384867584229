"""From a ``backend`` block, and what ``init --backend-config`` adds to it, to a backend with its arguments.

The block is evaluated before anything else is (see :mod:`hythe.modules.settings`). Every mistake is a diagnostic at
its argument; sensitive values are in none.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hythe.cli.backends import ALIASES, BACKENDS, Chosen, backend_module, fitted, secret_arguments, secrets_in
from hythe.cli.context import Cli, fail, raise_errors
from hythe.cli.logs_setup import remember_secrets
from hythe.diagnostic import Diagnostic, did_you_mean, error
from hythe.value import EPHEMERAL, SENSITIVE, Lazy, Unknown, Value, is_null, unmark_deep

if TYPE_CHECKING:
    from hythe.diagnostic import Range
    from hythe.modules.config import Config, SettingsBlock
    from hythe.modules.language.references import Traversal

_EARLY = "Where the state is must be known before anything else"
_LATE_ROOTS = frozenset({"data", "module", "each", "count", "self"})


@dataclass(slots=True)
class BlockReader:
    """Reads the backend block of one configuration.

    ``values`` are the variables, where they are known already; else those that the block needs are taken from
    ``inputs``, files and the environment. ``lenient``: what is not known, or not given yet, is no mistake.
    """

    cli: Cli
    config: Config
    inputs: Sequence[tuple[str, str]] = ()
    values: Mapping[str, Value] | None = None
    lenient: bool = False
    found: list[Diagnostic] = field(default_factory=list)

    def read(self, workspace: str, given: Mapping[str, Any]) -> Chosen:
        """The backend that the block names. What is wrong goes to ``found``."""
        block = self.config.settings.backend
        if block is None:
            return Chosen("local", workspace=workspace)
        label = ALIASES.get(block.label, block.label)
        if label not in BACKENDS:
            text = f'There is no backend "{block.label}".{did_you_mean(block.label, BACKENDS)}'
            self.found.append(error("Unsupported backend", text, block.range))
            return Chosen("local", workspace=workspace)
        arguments, marks, open_ones = self._arguments(block, workspace)
        sensitive = {n for n, m in marks.items() if SENSITIVE in m or EPHEMERAL in m}
        unkept = frozenset(n for n, m in marks.items() if EPHEMERAL in m and n not in given)
        arguments |= given
        remember_secrets(secrets_in(label, arguments, sensitive))
        chosen = Chosen(label, arguments, dict(given), workspace, unkept)
        if not (given.keys() | arguments.keys()) and not open_ones and label == "local":
            return chosen
        self._check(block, chosen, sensitive, open_ones)
        return chosen

    # -- evaluation -----------------------------------------------------------------------------

    def _arguments(
        self, block: SettingsBlock, workspace: str
    ) -> tuple[dict[str, Any], dict[str, frozenset[str]], set[str]]:
        """The arguments as plain values, the marks of each, and the names of those that cannot be told."""
        from hythe.modules.blocks import header
        from hythe.modules.settings import evaluate_arguments, static_scope

        body, found = block.body, self.found
        for nested in body.blocks:
            text = f'The backend "{block.label}" takes no block of type "{nested.type}".'
            found.append(error("Unsupported block type", text, header(body, nested)))
        needed, late = self._names(block)
        scope = static_scope(self.config, self._variables(block, needed), self._environment(), workspace, found)
        early = {n: a for n, a in body.attributes.items() if n not in late}
        before = len(found)
        values = evaluate_arguments(replace(body, attributes=early), scope)
        failed = len(found) > before
        out: dict[str, Any] = {}
        marks: dict[str, frozenset[str]] = {}
        unknown = set(late)
        for name, value in values.items():
            bare, marks[name] = unmark_deep(value.force(set()) if isinstance(value, Lazy) else value)
            if is_null(bare):
                continue
            try:
                out[name] = _plain(bare)
            except _NotKnown:
                unknown.add(name)
                if not (self.lenient or failed):
                    place = body.source.range(early[name].expression.start, early[name].expression.end)
                    text = f"The value of {name} is known only during an apply. {_EARLY}."
                    found.append(error("Backend argument not known", text, place))
        return out, marks, unknown

    def _environment(self) -> Any:
        from hythe.cli.variables import environment_of

        return replace(environment_of(self.config.root), unknown_impure=True)

    def _names(self, block: SettingsBlock) -> tuple[set[str], set[str]]:
        """The variables that the block needs, and the arguments that need what is not known early."""
        from hythe.modules.language.references import references

        needed: set[str] = set()
        late: set[str] = set()
        for name, attribute in block.body.attributes.items():
            for reference in references(attribute.expression, block.body.source):
                problem = self._follow(reference, reference, needed, set())
                if problem is not None:
                    late.add(name)
                    self.found.append(problem)
                    break
        return needed, late

    def _follow(self, first: Traversal, at: Traversal, needed: set[str], seen: set[str]) -> Diagnostic | None:
        """Note which variables a reference needs, through locals too; gives what is wrong with it."""
        from hythe.modules.language.references import references

        module = self.config.module
        name = at.steps[0] if at.steps else None
        if at.root == "var":
            needed |= {name} if isinstance(name, str) else set(module.variables)
        elif at.root == "local":
            for local in [name] if isinstance(name, str) else list(module.locals):
                if local in seen or local not in module.locals:
                    continue
                seen.add(local)
                made = module.locals[local]
                for inner in references(made.expression, made.source):
                    problem = self._follow(first, inner, needed, seen)
                    if problem is not None:
                        return problem
        elif at.root in _LATE_ROOTS or at.root in {kind for _, kind, _ in module.resources}:
            what = ".".join([at.root, *(str(s) for s in at.steps if isinstance(s, str))][:3])
            through = f" {first.root}.{first.steps[0]} is made of it." if first is not at and first.steps else ""
            text = (
                f"{what} is known only when the configuration is planned.{through} {_EARLY}: use variables, locals "
                "made of them, functions, path and hythe.workspace."
            )
            related = (("it is used here", at.range),) if first is not at else ()
            return error("Backend argument not known", text, first.range, related=related)
        return None

    def _variables(self, block: SettingsBlock, needed: Iterable[str]) -> Mapping[str, Value]:
        """The variables, those that nobody needs here unknown."""
        if self.values is not None:
            return self.values
        from hythe.modules import variables

        wanted = set(needed)
        declared = self.config.module.variables
        if not wanted:
            return {name: Unknown(v.type) for name, v in declared.items()}
        given, problems = variables.collect(self.config, self.inputs, self.cli.environment)
        self.found += [d for d in problems if d.is_error]
        values: dict[str, Value] = {}
        for name, declaration in sorted(declared.items()):
            if name not in wanted or (self.lenient and declaration.required and name not in given):
                values[name] = Unknown(declaration.type)
                continue
            problems = []
            values[name] = variables.resolve_one(declaration, given.get(name), problems)
            here = (("the backend needs it", block.range),)
            self.found += [replace(d, related=(*d.related, *here)) for d in problems]
        return values

    # -- checks ---------------------------------------------------------------------------------

    def _check(self, block: SettingsBlock, chosen: Chosen, sensitive: set[str], open_ones: set[str]) -> None:
        from pydantic_core import ValidationError

        model = backend_module(chosen.label).Settings
        try:
            model.model_validate(fitted(model, chosen.arguments))
        except ValidationError as failure:
            hidden = sensitive | secret_arguments(model)
            for problem in failure.errors(include_url=False):
                told = self._told(block, chosen, model.model_fields, problem, hidden, open_ones)
                if told is not None and told not in self.found:
                    self.found.append(told)

    def _told(
        self,
        block: SettingsBlock,
        chosen: Chosen,
        fields: Iterable[str],
        problem: Any,
        hidden: set[str],
        open_ones: set[str],
    ) -> Diagnostic | None:
        """What pydantic found wrong, as a diagnostic; None for what only seems so because it is not known yet."""
        steps = [str(step) for step in problem["loc"]]
        name = steps[0] if steps else None
        owner = f'The backend "{block.label}"'
        given = name is not None and name in chosen.given
        if problem["type"] == "extra_forbidden" and name is not None:
            origin = " (given with --backend-config)" if given else ""
            text = f'{owner} takes no argument named "{name}"{origin}.{did_you_mean(name, fields)}'
            return error("Unsupported argument", text, None if given else _name_range(block, name))
        if problem["type"] == "missing":
            if self.lenient or name in open_ones:
                return None
            text = (
                f'{owner} needs the argument "{name}". Write it into the block, or give it with '
                f"`hythe init --backend-config={name}=...`."
            )
            return error("Missing required argument", text, block.range)
        if open_ones and (name is None or name in open_ones):
            return None
        said = problem["msg"].removeprefix("Value error, ").replace("Input should be", "it must be")
        if name in hidden or (name is None and hidden & chosen.arguments.keys()):
            said = "the value is not suitable, and as it is sensitive the message about it is not shown"
        if name is None:
            return error("Invalid backend argument", f"{said[:1].upper()}{said[1:]}.", block.range)
        origin = "given with --backend-config " if given else ""
        text = f'The argument "{name}" {origin}is not suitable: {said}.'
        return error("Invalid backend argument", text, None if given else _value_range(block, name))


class _NotKnown(Exception):
    """A value that holds something unknown."""


def _plain(value: Any) -> Any:
    """A value without marks as Python's plain types."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if is_null(value):
        return None
    if isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Iterable):
        return [_plain(v) for v in value]
    raise _NotKnown


def _name_range(block: SettingsBlock, name: str) -> Range:
    attribute = block.body.attributes.get(name)
    if attribute is None:
        return block.range
    return block.body.source.range(attribute.start, attribute.name_end)


def _value_range(block: SettingsBlock, name: str) -> Range:
    attribute = block.body.attributes.get(name)
    if attribute is None:
        return block.range
    return block.body.source.range(attribute.expression.start, attribute.expression.end)


def given_arguments(cli: Cli, texts: Sequence[str]) -> dict[str, Any]:
    """What --backend-config gives: ``key=value``, or the path of a file of arguments. Raises DiagnosticError."""
    out: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            out |= _file_arguments(cli, text)
        elif not name.strip().replace("-", "_").isidentifier():
            raise fail("Invalid --backend-config", f'"{name}=..." must read name=value, or name a file of arguments.')
        else:
            out[name.strip()] = _written(name.strip(), value)
    return out


def _written(name: str, text: str) -> Any:
    """A value from the command line: text, or a list or map as the language writes them."""
    if not text.lstrip().startswith(("[", "{")):
        return text
    from hythe.modules import language

    value, problems = language.evaluate(text, {})
    if any(d.is_error for d in problems):
        raise fail("Invalid --backend-config", f"The value of {name} is no list or map as the language writes them.")
    return _plain(value)


def _file_arguments(cli: Cli, path: str) -> dict[str, Any]:
    from hythe.modules import syntax
    from hythe.modules.files import read_text
    from hythe.modules.language.compile import compile_expression
    from hythe.modules.language.scope import Scope

    text, problem = read_text(os.path.join(cli.root, os.path.expanduser(path)), path)
    raise_errors([problem] if problem is not None else [])
    body, found = (syntax.parse_json if path.endswith(".json") else syntax.parse)(text, path)
    for block in body.blocks:
        place = body.source.range(block.start, block.header_end)
        found.append(
            error("Unexpected block", "A file of backend arguments holds only lines like name = value.", place)
        )
    out = {}
    for name, attribute in body.attributes.items():
        scope = Scope({}, source=body.source)
        value = unmark_deep(compile_expression(attribute.expression, body.source).evaluate(scope))[0]
        found += scope.diagnostics
        if not scope.diagnostics and value is not None:
            out[name] = _plain(value)
    raise_errors(found)
    return out
