"""Compiled expressions: a closure per node, built once and run for each instance.

What runs for each instance is written with plain loops: a comprehension is a call of its own to Python 3.11, which
takes longer than what it saves on two or three elements.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

from hythe.modules.syntax.tree import Expression, Source
from hythe.value import Lazy, Value

if TYPE_CHECKING:
    from hythe.modules.language.scope import Scope

Run: TypeAlias = "Callable[[Scope], Value]"
"""Evaluates a node in a scope. Errors go to the scope's diagnostics, with an Unknown as the result."""


class Code:
    """One compiled node.

    ``lazy`` says that ``run`` may return a :class:`Lazy`; ``pure`` that the result depends on
    nothing outside the expression; ``constant`` that it was computed already and is ``value``.
    ``forced`` does what ``run`` does and forces a lazy result, where that can be had in one step.
    """

    __slots__ = ("_forced", "constant", "lazy", "pure", "run", "value")

    def __init__(self, run: Run, *, lazy: bool = False, pure: bool = False, forced: Run | None = None) -> None:
        self.run = run
        self._forced = forced
        self.lazy = lazy
        self.pure = pure
        self.constant = False
        self.value: Value = None

    def strict(self) -> Run:
        """``run`` with a lazy result forced."""
        if not self.lazy:
            return self.run
        if self._forced is not None:
            return self._forced
        run = self.run

        def forced(scope: Scope) -> Value:
            value = run(scope)
            return value.force(scope.reads) if isinstance(value, Lazy) else value

        return forced


def constant(value: Value) -> Code:
    """Code for a value known at compile time."""

    def run(scope: Scope) -> Value:
        return value

    code = Code(run, pure=True)
    code.constant = True
    code.value = value
    return code


class Compiler(Protocol):
    """What the compilers of the single node kinds need of the whole."""

    source: Source

    def compile(self, node: Expression) -> Code:
        """The code of any node."""

    def fold(self, code: Code) -> Code:
        """The code, computed already where it depends on nothing else and has no errors."""
