"""What is the same for all instances of a block is evaluated once.

The arguments of a block with ``for_each`` or ``count`` are evaluated for each instance. Parts of them often depend on
nothing but locals, variables and outputs of modules, which have one value as long as a plan is made. Such a part is
evaluated for the first instance, and its value, with what was read for it, serves the others. Where it is kept is up
to whoever makes the scopes: see :attr:`.scope.Scope.shared`.
"""

from __future__ import annotations

from hythe.modules.language.closure import Code, Run
from hythe.modules.language.functions import registry
from hythe.modules.language.references import uses
from hythe.modules.language.scope import Scope
from hythe.modules.syntax import tree
from hythe.value import Value

_SHARED_ROOTS = frozenset({"var", "local", "module", "path", "hythe", "terraform"})
"""Names whose values no instance has to itself."""

_COMPUTED = (
    tree.Template,
    tree.TemplateIf,
    tree.TemplateFor,
    tree.Call,
    tree.Binary,
    tree.Conditional,
    tree.TupleCons,
    tree.ObjectCons,
    tree.For,
    tree.Splat,
)
"""Expressions worth remembering the value of: looking up a name takes no longer than that."""


class Shareable:
    """An expression that has one value for all instances; ``of`` tells whether it is one."""

    __slots__ = ("functions", "roots")

    def __init__(self, roots: frozenset[str], functions: frozenset[str]) -> None:
        self.roots = roots
        self.functions = functions

    @classmethod
    def of(cls, node: tree.Expression) -> Shareable | None:
        """What the expression uses, where that is the same for all instances."""
        if not isinstance(node, _COMPUTED):
            return None
        roots, functions = uses(node)
        return cls(frozenset(roots), frozenset(functions)) if roots <= _SHARED_ROOTS else None

    def code(self, code: Code) -> Code:
        """Code that runs ``code`` once where the scope has a place for shared values."""
        run = code.strict()
        key = object()

        def run_once(scope: Scope) -> Value:
            shared = scope.shared
            # a name that a "for" binds may be one of ours
            if shared is None or not self.roots.isdisjoint(scope.locals):
                return run(scope)
            found = shared.get(key)
            if found is None:
                found = shared[key] = self._first(run, scope)
            value, reads = found
            if reads is None:
                return run(scope)
            if reads:
                scope.reads |= reads
            return value

        return Code(run_once)

    def _first(self, run: Run, scope: Scope) -> tuple[Value, frozenset[str] | None]:
        """The value with its reads; None in place of these when each instance must evaluate it.

        That is so for errors, which are reported for each instance, and for functions that give
        another result each time, or depend on more than their arguments.
        """
        for name in self.functions:
            found = registry.lookup(name)
            if found is None or "env" in found.keywords:
                return None, None
        trial = scope.discarding()
        value = run(trial)
        return (None, None) if trial.diagnostics else (value, frozenset(trial.reads))
