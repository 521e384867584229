"""Sources and versions of modules that are made of variables and locals (OpenTofu calls it early evaluation).

They are evaluated while the configuration is read, with what is known then: the root module's variables, what calls
hand down of them, locals, functions, ``path`` and ``hythe.workspace``. A plan carries what came of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hythe.diagnostic import Diagnostic, did_you_mean, error
from hythe.modules.config import Config, InputValue, Located, Module, ModuleCall
from hythe.value import Lazy, Unknown, Value, unmark_deep

if TYPE_CHECKING:
    from hythe.modules.language.functions.registry import Environment
    from hythe.modules.language.references import Traversal

RECORD = ".hythe/modules/sources.json"
"""Under this name the files of a configuration hold the sources that were evaluated."""
_KNOWN = frozenset({"var", "local", "path", "hythe", "terraform"})
_NEEDED = (
    "It must be known before anything else: use variables, locals made of them, functions, path and hythe.workspace."
)


@dataclass(frozen=True, slots=True)
class Early:
    """What is known from the start. ``variables`` gives the values of the root module's, without those not given."""

    variables: Callable[[Config], Mapping[str, Value]]
    environment: Callable[[], Environment]
    workspace: Callable[[], str]


class Surroundings:
    """What is known in one module while it is loaded; ``caller`` and ``call`` are None for the root module."""

    def __init__(
        self,
        early: Early,
        root: str,
        module: Module,
        caller: Surroundings | None = None,
        call: ModuleCall | None = None,
    ) -> None:
        self.early, self.root, self.module, self.caller, self.call = early, root, module, caller, call
        self._given: Mapping[str, Value] | None = None

    def below(self, call: ModuleCall, module: Module) -> Surroundings:
        """Those of a module that is called here."""
        return Surroundings(self.early, self.root, module, self, call)

    def text(self, what: str, expression: Located, found: list[Diagnostic]) -> str | None:
        """The string that an argument of a call is; None, with a diagnostic, when it cannot be told."""
        if self._undeclared(expression, found):
            return None
        late = self._late(expression, set())
        if late is not None:
            text = f"{late} is known only when the configuration is planned. {_NEEDED}"
            found.append(error(f"Module {what} not known", text, expression.range))
            return None
        before = len(found)
        value, marks = unmark_deep(self.value(expression, found))
        problem = ""
        if isinstance(value, Unknown):
            problem = "It depends on a variable that has no value yet: give it one, for example with --var."
        elif marks:
            problem = "A sensitive or ephemeral value cannot be used: it would show where modules are kept."
        elif not isinstance(value, str):
            problem = "It must be a string."
        if problem and len(found) == before:
            found.append(error(f"Module {what} not known", problem, expression.range))
        return value if isinstance(value, str) and not problem else None

    def value(self, expression: Located, found: list[Diagnostic]) -> Value:
        """An expression's value; Unknown where a variable has none."""
        from hythe.modules.language.compile import compile_expression
        from hythe.modules.settings import static_scope

        config = Config(self.root, self.module, {})
        values: dict[str, Value] = dict.fromkeys(self.module.variables, Unknown())
        values |= {name: self.variable(name, found) for name in self._variables(expression, set())}
        scope = static_scope(config, values, self.early.environment(), self.early.workspace(), found)
        made = compile_expression(expression.expression, expression.source).evaluate(scope)
        return made.force(set()) if isinstance(made, Lazy) else made

    def variable(self, name: str, found: list[Diagnostic]) -> Value:
        """The value of a variable of the module."""
        from hythe.modules.variables import resolve_one

        block = self.module.variables[name]
        if self.caller is None or self.call is None:
            if self._given is None:
                self._given = self.early.variables(Config(self.root, self.module, {}))
            return self._given.get(name, Unknown(block.type))
        attribute = self.call.body.attributes.get(name)
        if attribute is None:
            return Unknown(block.type) if block.required else resolve_one(block, None, found)
        argument = Located(attribute.expression, self.call.body.source)
        value = self.caller.value(argument, found)
        if isinstance(value, Unknown):
            return Unknown(block.type)
        return resolve_one(block, InputValue(value, "the module call", argument.range), found)

    def _undeclared(self, expression: Located, found: list[Diagnostic]) -> bool:
        """Report names of variables and locals that there are not."""
        before = len(found)
        for reference in _references(expression):
            name = reference.steps[0] if reference.steps else None
            for root, what, known in (
                ("var", "variable", self.module.variables),
                ("local", "local value", self.module.locals),
            ):
                if reference.root == root and isinstance(name, str) and name not in known:
                    text = f'There is no {what} named "{name}".{did_you_mean(name, known)}'
                    found.append(error(f"Reference to undeclared {what}", text, reference.range))
        return len(found) > before

    def _late(self, expression: Located, seen: set[str]) -> str | None:
        """What an expression needs that is not known from the start, None when there is no such thing."""
        for reference in _references(expression):
            name = reference.steps[0] if reference.steps else None
            if reference.root not in _KNOWN:
                return ".".join([reference.root, *(str(s) for s in reference.steps if isinstance(s, str))][:3])
            for caller, inner in self._behind(reference, seen):
                late = caller._late(inner, seen if caller is self else set())
                if late is not None:
                    return late if caller is self else f"var.{name}, which is made of {late},"
        return None

    def _behind(self, reference: Traversal, seen: set[str]) -> Iterator[tuple[Surroundings, Located]]:
        """The expressions that a reference to locals or variables stands for, each with where it is evaluated."""
        name = reference.steps[0] if reference.steps else None
        if reference.root == "local":
            for local in [name] if isinstance(name, str) else list(self.module.locals):
                if local in self.module.locals and local not in seen:
                    seen.add(local)
                    yield self, self.module.locals[local]
        elif reference.root == "var" and self.caller is not None and self.call is not None:
            for variable in [name] if isinstance(name, str) else list(self.module.variables):
                attribute = self.call.body.attributes.get(str(variable))
                if attribute is not None:
                    yield self.caller, Located(attribute.expression, self.call.body.source)

    def _variables(self, expression: Located, seen: set[str]) -> set[str]:
        """The variables of the module that an expression needs, through its locals too."""
        needed: set[str] = set()
        for reference in _references(expression):
            name = reference.steps[0] if reference.steps else None
            if reference.root == "var":
                needed |= {name} if isinstance(name, str) else set(self.module.variables)
            for caller, inner in self._behind(reference, seen) if reference.root == "local" else ():
                needed |= caller._variables(inner, seen)
        return needed & set(self.module.variables)


def _references(expression: Located) -> tuple[Traversal, ...]:
    from hythe.modules.language.references import references

    return tuple(references(expression.expression, expression.source))


def parse_record(text: str | None) -> dict[str, list[str | None]]:
    """The record that a configuration carries; empty where it has none."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def render_record(sources: Mapping[str, list[str | None]]) -> str:
    """The record as text: source and version of calls, by the names of the calls that lead there."""
    return json.dumps(dict(sorted(sources.items())), indent=2) + "\n"
