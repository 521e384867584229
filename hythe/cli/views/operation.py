"""What plan and apply show, for a person or for a program, behind one interface."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from hythe.cli.views.human import LayoutOf, PlanStyle, no_layout, render_plan
from hythe.cli.views.progress import Tally, open_progress
from hythe.diagnostic import Diagnostic
from hythe.event import Sink
from hythe.planner.plan import Mode, Plan
from hythe.state.model import OutputState

if TYPE_CHECKING:
    from hythe.cli.context import Cli


class OperationView(Protocol):
    """Shows an operation from beginning to end."""

    @property
    def tally(self) -> Tally:
        """What came of the apply so far."""

    def begin(self) -> None:
        """Before anything else."""

    def watching(self) -> AbstractContextManager[Sink]:
        """The sink for events, live as long as the context."""

    def report(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Diagnostics."""

    def plan(self, plan: Plan, layout: LayoutOf) -> None:
        """A finished plan."""

    def say(self, text: str) -> None:
        """A sentence for people."""

    def applied(self, mode: Mode, complete: bool) -> None:
        """The apply ended; ``complete``: nothing failed or was left out."""

    def outputs(self, outputs: Mapping[str, OutputState]) -> None:
        """The outputs after an apply."""


class HumanOperation:
    """For people."""

    def __init__(self, cli: Cli, *, full: bool = False, show_sensitive: bool = False) -> None:
        self.cli, self.full, self.show_sensitive = cli, full, show_sensitive
        self._tally = Tally()

    @property
    def tally(self) -> Tally:
        """What came of the apply so far."""
        return self._tally

    def begin(self) -> None:
        """Nothing to say yet."""

    def watching(self) -> AbstractContextManager[Sink]:
        """Progress lines, or the live area."""
        progress = open_progress(self.cli.out, self.cli.report)
        self._tally = progress.tally
        return progress

    def report(self, diagnostics: Iterable[Diagnostic]) -> None:
        """On standard error."""
        self.cli.report(diagnostics)

    def plan(self, plan: Plan, layout: LayoutOf = no_layout) -> None:
        """The human plan."""
        self.cli.say(render_plan(plan, PlanStyle(self.cli.out.paint, self.full, self.show_sensitive, layout)))

    def say(self, text: str) -> None:
        """A line."""
        self.cli.say(text)
        self.cli.out.flush()

    def applied(self, mode: Mode, complete: bool) -> None:
        """``Apply complete! Resources: 3 added, 0 changed, 0 replaced, 0 destroyed.``"""
        paint = self.cli.out.paint
        done = self.tally
        changed = done["update"] + done["update-restart"]
        parts = [f"{done['create']:,} added", f"{changed:,} changed", f"{done['replace']:,} replaced"]
        destroyed = f"{done['delete'] + done['deposed-delete']:,} destroyed"
        imported = [f"{done['adopt']:,} imported"] if done["adopt"] else []
        forgotten = [f"{done['forget']:,} forgotten"] if done["forget"] else []
        word = "Destroy" if mode is Mode.DESTROY else "Apply"
        counts = [destroyed] if mode is Mode.DESTROY else [*imported, *parts, destroyed, *forgotten]
        if complete:
            head = paint(f"{word} complete!", "bold", "green")
        else:
            head = paint(f"{word} did not finish.", "bold", "red")
            counts += [f"{self.tally.failed:,} failed", f"{self.tally.skipped:,} skipped"]
        self.cli.say(f"\n{head} Resources: {', '.join(counts)}.")

    def outputs(self, outputs: Mapping[str, OutputState]) -> None:
        """The outputs, if there are any."""
        from hythe.cli.views.outputs import render_outputs

        if outputs:
            self.cli.say("\n" + self.cli.out.paint("Outputs:", "bold") + "\n")
            self.cli.say(render_outputs(outputs, self.cli.out.paint, show_sensitive=self.show_sensitive))


class JsonOperation:
    """OpenTofu's UI event lines."""

    def __init__(self, cli: Cli, *, show_sensitive: bool = False) -> None:
        from hythe.cli.context import sources_for
        from hythe.cli.views.json_ui import JsonLines

        self.lines = JsonLines(cli.out, sources_for(cli), show_sensitive=show_sensitive)
        self.operation = "plan"

    @property
    def tally(self) -> Tally:
        """What came of the apply so far."""
        return self.lines.tally

    def begin(self) -> None:
        """The version line."""
        self.lines.version()

    def watching(self) -> AbstractContextManager[Sink]:
        """Hook lines."""
        return self.lines

    def report(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Diagnostic lines."""
        self.lines.report(diagnostics)

    def plan(self, plan: Plan, layout: LayoutOf = no_layout) -> None:
        """Drift, changes, summary and outputs."""
        self.lines.plan(plan, operation="plan")

    def say(self, text: str) -> None:
        """A log line."""
        if text.strip():
            self.lines.log(text.strip())

    def applied(self, mode: Mode, complete: bool) -> None:
        """The summary of what was done."""
        self.lines.applied("destroy" if mode is Mode.DESTROY else "apply")

    def outputs(self, outputs: Mapping[str, OutputState]) -> None:
        """An outputs line."""
        self.lines.outputs(outputs)


def open_operation(cli: Cli, *, json: bool, full: bool, show_sensitive: bool) -> OperationView:
    """The view that the options ask for."""
    if json:
        return JsonOperation(cli, show_sensitive=show_sensitive)
    return HumanOperation(cli, full=full, show_sensitive=show_sensitive)
