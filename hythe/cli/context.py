"""What every command is given: terminals, environment, the folder to work in; and how it reports."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TextIO

from hythe.cli.views.diagnostics import DiagnosticView, Sources
from hythe.cli.views.terminal import Terminal, open_terminal
from hythe.diagnostic import Diagnostic, DiagnosticError, error

FINE, FAILED, CHANGES = 0, 1, 2
"""Exit codes: fine, an error, and (with --detailed-exitcode) changes."""


@dataclass(slots=True)
class Cli:
    """The outside world as commands see it. ``root`` is the folder of the configuration."""

    out: Terminal
    err: Terminal
    input: TextIO
    root: str
    environment: Mapping[str, str]
    compact_warnings: bool = False
    sources: Sources | None = None
    reported: set[Diagnostic] = field(default_factory=set)
    closing: ExitStack = field(default_factory=ExitStack)
    """What is given up when the command ends."""

    def report(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Show diagnostics on standard error; one shown before is not shown again."""
        new = [d for d in dict.fromkeys(diagnostics) if d not in self.reported]
        if not new:
            return
        self.reported.update(new)
        self.out.flush()
        sources = sources_for(self)
        view = DiagnosticView(
            self.err.paint, self.err.width, box=self.err.live, sources=sources, compact_warnings=self.compact_warnings
        )
        self.err.write(view.render_all(new))
        self.err.flush()

    def say(self, text: str = "") -> None:
        """A line on standard output."""
        self.out.write(text)

    @property
    def interactive(self) -> bool:
        """Whether somebody can be asked."""
        return self.input.isatty()

    def ask(self, prompt: str, *, secret: bool = False) -> str | None:
        """A line from the user; None at end of input. ``secret``: what is typed is not shown."""
        self.out.flush()
        if secret and self.interactive:
            import getpass

            try:
                return getpass.getpass(prompt)
            except EOFError:
                return None
        self.out.put(prompt)
        self.out.flush()
        line = self.input.readline()
        return line.rstrip("\n") if line else None


def sources_for(cli: Cli) -> Sources:
    """Where diagnostics find the text they point at: loaded files, else those in the folder."""
    from hythe.cli.views.diagnostics import sources_of

    return cli.sources or sources_of({}, cli.root)


def open_cli(root: str, *, color: bool = True) -> Cli:
    """The real outside world."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    return Cli(
        open_terminal(sys.stdout, os.environ, color=color),
        open_terminal(sys.stderr, os.environ, color=color),
        sys.stdin,
        root,
        os.environ,
    )


def fail(summary: str, detail: str) -> DiagnosticError:
    """An error to raise."""
    return DiagnosticError(error(summary, detail))


def raise_errors(diagnostics: Sequence[Diagnostic]) -> None:
    """Raise all of them when one is an error. Raises DiagnosticError."""
    if any(d.is_error for d in diagnostics):
        raise DiagnosticError(*diagnostics)
