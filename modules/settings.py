"""Settings that must be known before anything else is: where the state is kept, and how it is encrypted.

They are evaluated with what is known from the start (OpenTofu calls it early evaluation): root variables,
locals that refer to nothing else, functions, ``path`` and ``hythe.workspace``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from hythe.diagnostic import Diagnostic
from hythe.modules.config import Config
from hythe.modules.language.compile import compile_expression
from hythe.modules.language.scope import Scope
from hythe.value import Lazy, Unknown, Value

if TYPE_CHECKING:
    from hythe.modules.language.functions.registry import Environment
    from hythe.modules.syntax.tree import Body


class _Locals(Lazy):
    """The root module's locals, each evaluated when it is asked for."""

    __slots__ = ("config", "open", "scope")

    def __init__(self, config: Config) -> None:
        self.config = config
        self.scope: Scope | None = None
        self.open: set[str] = set()

    def get(self, key: str | int, reads: set[str]) -> Value:
        """The value of a local. Raises KeyError when there is none."""
        name = str(key)
        declared = self.config.module.locals[name]
        if self.scope is None or name in self.open:
            # that a local depends on itself is told when the configuration is read whole
            return Unknown()
        self.open.add(name)
        try:
            return compile_expression(declared.expression, declared.source).evaluate(self.scope)
        finally:
            self.open.discard(name)

    def force(self, reads: set[str]) -> Value:
        """All of them."""
        return {name: self.get(name, reads) for name in self.config.module.locals}

    def keys(self) -> Iterator[str]:
        """Their names."""
        return iter(self.config.module.locals)


def static_scope(
    config: Config, variables: Mapping[str, Value], environment: Environment, workspace: str, found: list[Diagnostic]
) -> Scope:
    """What settings are evaluated in. Diagnostics go to ``found``."""
    module, names = config.module, _Locals(config)
    roots: dict[str, Value | Lazy] = {
        "var": dict(variables),
        "local": names,
        "path": {"module": module.directory, "root": ".", "cwd": config.root},
        "hythe": {"workspace": workspace},
        "terraform": {"workspace": workspace},
    }
    names.scope = Scope(roots, environment, diagnostics=found)
    return names.scope


def evaluate_arguments(body: Body, scope: Scope) -> dict[str, Value]:
    """The arguments of a block as values, marks and all; what is wrong goes to the scope's diagnostics."""
    return {
        name: compile_expression(attribute.expression, body.source).evaluate(scope)
        for name, attribute in body.attributes.items()
    }
