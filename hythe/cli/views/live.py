"""The live area of a terminal: what runs, for how long, how much is left. Finished lines scroll above."""

from __future__ import annotations

import contextlib
from typing import Any

from hythe.cli.views.progress import Progress, Report
from hythe.cli.views.terminal import Terminal
from hythe.cli.views.verbs import elapsed, verb
from hythe.diagnostic import Diagnostic

_ROWS = 12


class LiveProgress(Progress):
    """Progress with rich's live display, which is started by the first event worth it."""

    period = 0.25

    def __init__(self, terminal: Terminal, report: Report) -> None:
        super().__init__(terminal, report)
        self._live: Any = None

    def started(self, text: str) -> None:
        """Shown in the live area only: the line that stays is the one of its end."""

    def line(self, text: str) -> None:
        """Write one finished line above the live area."""
        if self._live is None:
            super().line(text)
            return
        from rich.text import Text

        self._live.console.print(Text.from_ansi(text), soft_wrap=True)

    def notice(self, diagnostic: Diagnostic) -> None:
        """Take the live area down while a diagnostic is written below."""
        self.close()
        super().notice(diagnostic)

    def changed(self) -> None:
        """Start, refresh or end the live area."""
        if not self.running and not self.reading:
            self.close()
            return
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            paint = self.terminal.paint.enabled
            console = Console(
                file=self.terminal.stream,
                force_terminal=True,
                width=self.terminal.width,
                no_color=not paint,
                highlight=False,
                emoji=False,
            )
            self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stderr=False)
            self._live.start()
            self._draw()

    def tick(self, now: float) -> None:
        """Redraw the clocks."""
        if self._live is not None:
            self._draw()

    def close(self) -> None:
        """Take the live area down."""
        with self._lock:
            live, self._live = self._live, None
            if live is not None:
                # a terminal that was closed under it cannot be tidied up, and the work is not over
                with contextlib.suppress(OSError, ValueError, LookupError):
                    live.stop()

    def _draw(self) -> None:
        from rich.text import Text

        now = self.now()
        out = Text()
        rows = sorted(self.running.values(), key=lambda r: r.since)
        for row in rows[:_ROWS]:
            text = f"  {row.text}" if row.text else ""
            line = Text(f"  {row.address}: {verb(row.action).doing}... {elapsed(now - row.since)}", style="bold")
            line.append(text, style="not bold dim")
            line.truncate(max(self._live.console.width - 1, 20), overflow="ellipsis")
            out.append_text(line).append("\n")
        if len(rows) > _ROWS:
            out.append(f"  and {len(rows) - _ROWS} more\n", style="dim")
        out.append(self._footer(), style="cyan")
        self._live.update(out, refresh=True)

    def _footer(self) -> str:
        if not self.running:
            parts = [f"{count:,} {kind} on {host}" for (host, kind), count in sorted(self.reading.items())]
            return (
                "  Reading " + ", ".join(parts[:4]) + ("..." if len(parts) <= 4 else f" and {len(parts) - 4} more...")
            )
        tally = self.tally
        waiting = max(tally.total - tally.done - tally.failed - tally.skipped - len(self.running), 0)
        failed = f", {tally.failed:,} failed" if tally.failed else ""
        return f"  {tally.done:,} of {tally.total:,} done, {len(self.running):,} running, {waiting:,} waiting{failed}"
