"""What an expression is evaluated in: names, environment, and what evaluation leaves behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias

from hythe.diagnostic import Diagnostic, did_you_mean, error
from hythe.modules.syntax.tree import Node, Source
from hythe.value import ANY, Lazy, Unknown, Value

if TYPE_CHECKING:
    from hythe.modules.language.functions.registry import Environment

MAX_ITERATIONS = 10_000_000
"""Iterations that one outermost ``for`` may take, the nested ones included."""

SharedValues: TypeAlias = "dict[object, tuple[Value, frozenset[str] | None]]"
"""Values that instances share, by the code that gives them, with what was read for each (None: cannot be shared)."""

_MISSING = object()
_UNEXPLAINED = error("Evaluation failed", "Evaluated to see whether it fails.")


class Scope:
    """The names an expression can refer to, and the recorders of one evaluation.

    ``roots`` maps root names (``var``, ``local``, ``vm``, ``each``) to values or :class:`Lazy`;
    ``locals`` holds the names that an enclosing ``for`` or ``dynamic`` block binds, which win.
    Evaluation adds the addresses of the instances it read to ``reads`` and its findings to
    ``diagnostics``; ``address`` is the instance being evaluated and is put on each finding.
    ``source`` is the file for code that has no own (compiled expressions bring theirs). ``shared``
    is where values are kept that are the same for all instances; None keeps none. ``explains``: what
    errors say matters, not only that there are some.
    """

    __slots__ = ("address", "budget", "diagnostics", "env", "explains", "locals", "reads", "roots", "shared", "source")

    def __init__(
        self,
        roots: Mapping[str, Value | Lazy],
        env: Environment | None = None,
        *,
        reads: set[str] | None = None,
        diagnostics: list[Diagnostic] | None = None,
        source: Source | None = None,
        address: str | None = None,
    ) -> None:
        self.roots = roots
        self.locals: dict[str, Value | Lazy] = {}
        self.env = env
        self.reads: set[str] = set() if reads is None else reads
        self.diagnostics: list[Diagnostic] = [] if diagnostics is None else diagnostics
        self.source = source
        self.address = address
        self.shared: SharedValues | None = None
        self.explains = True
        self.budget: list[int] | None = None

    def _copy(self, reads: set[str], diagnostics: list[Diagnostic]) -> Scope:
        new = Scope.__new__(Scope)
        new.roots = self.roots
        new.locals = self.locals
        new.env = self.env
        new.reads = reads
        new.diagnostics = diagnostics
        new.source = self.source
        new.address = self.address
        new.shared = self.shared
        new.explains = self.explains
        new.budget = self.budget
        return new

    def child(self, names: Mapping[str, Value | Lazy]) -> Scope:
        """A scope with more names, sharing the recorders of this one."""
        new = self._copy(self.reads, self.diagnostics)
        new.locals = {**self.locals, **names}
        return new

    def recording(self, reads: set[str]) -> Scope:
        """The same names, with what is read noted in ``reads`` instead."""
        return self._copy(reads, self.diagnostics)

    def captured(self) -> Scope:
        """The same names and ``reads``, with a list of diagnostics of its own."""
        return self._copy(self.reads, [])

    def attempting(self) -> Scope:
        """As :meth:`captured`, for an evaluation of which only counts whether it fails."""
        new = self.captured()
        new.explains = False
        return new

    def discarding(self) -> Scope:
        """The same names, with recorders of its own: for what must leave no trace here."""
        return self._copy(set(), [])

    def names(self) -> Iterator[str]:
        """All names that an expression may begin with here."""
        yield from self.locals
        for name in self.roots:
            if name not in self.locals:
                yield name

    def lookup(self, name: str) -> Value | Lazy | None:
        """The value of a root name; None when there is none (null is never bound to a root)."""
        found = self.locals.get(name, _MISSING)
        return self.roots.get(name) if found is _MISSING else found

    def hint(self, word: str, known: Iterable[str]) -> str:
        """A sentence that names the nearest known word, with a leading space, or ''."""
        return did_you_mean(word, known) if self.explains else ""

    def report(self, source: Source, node: Node, summary: str, detail: str) -> Unknown:
        """Note an error at a node, and give the value that stands for the failed evaluation."""
        if not self.explains:
            self.diagnostics.append(_UNEXPLAINED)
            return Unknown(ANY)
        self.diagnostics.append(error(summary, detail, source.range(node.start, node.end), address=self.address))
        return Unknown(ANY)

    def report_unknown_name(self, source: Source, node: Node, name: str) -> Unknown:
        """Note that a root name does not exist."""
        hint = self.hint(name, self.names())
        return self.report(source, node, "Unknown variable", f'There is no variable named "{name}".{hint}')

    def spend(self, count: int, source: Source, node: Node) -> bool:
        """Take ``count`` iterations from the budget; False, with a diagnostic, when it is used up."""
        budget = self.budget
        if budget is None:
            self.budget = [MAX_ITERATIONS - count]
            return True
        budget[0] -= count
        if budget[0] >= 0:
            return True
        self.report(
            source,
            node,
            "Too many iterations",
            f"This expression goes through more than {MAX_ITERATIONS:,} elements. "
            "Use smaller collections or fewer nested for expressions.",
        )
        return False
