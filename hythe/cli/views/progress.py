"""Progress of plan and apply for a person: lines, and on a terminal a live area below them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from hythe.cli.views.terminal import Terminal, clean
from hythe.cli.views.verbs import elapsed, skipped_because, verb
from hythe.diagnostic import Diagnostic
from hythe.event import (
    ApplyStarted,
    Event,
    IntentProgress,
    IntentSettled,
    Notice,
    OperationFailed,
    OperationFinished,
    OperationProgress,
    OperationSkipped,
    OperationStarted,
    RefreshFinished,
    RefreshStarted,
)

STILL_EVERY = 10.0
"""Seconds between "Still creating..." lines."""

Report = Callable[[list[Diagnostic]], None]


@dataclass(slots=True)
class Running:
    """An operation under way."""

    address: str
    action: str
    since: float
    said: float
    text: str = ""


@dataclass(slots=True)
class Tally:
    """What came of an apply so far.

    ``replacing`` are addresses whose creation and deletion count together, as one replacement.
    """

    total: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0
    by_action: dict[str, int] = field(default_factory=dict)
    replacing: frozenset[str] = frozenset()

    def finished(self, address: str, action: str) -> None:
        """Count an operation that succeeded."""
        self.done += 1
        if address in self.replacing:
            if action in ("delete", "deposed-delete"):
                return
            action = "replace"
        self.by_action[action] = self.by_action.get(action, 0) + 1

    def __getitem__(self, action: str) -> int:
        return self.by_action.get(action, 0)


class Progress:
    """Takes events from any thread and writes plain lines. Use as a context manager."""

    def __init__(self, terminal: Terminal, report: Report, *, now: Callable[[], float] = time.time) -> None:
        self.terminal, self.report, self.now = terminal, report, now
        self.running: dict[str, Running] = {}
        self.reading: dict[tuple[str, str], int] = {}
        self.tally = Tally()
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._ticker: threading.Thread | None = None

    def __enter__(self) -> Progress:
        self._ticker = threading.Thread(target=self._tick, name="progress", daemon=True)
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._ticker is not None:
            self._ticker.join(timeout=2)
        self.close()

    def close(self) -> None:
        """Take down what is live."""

    def line(self, text: str) -> None:
        """Write one finished line."""
        self.terminal.write(text)
        self.terminal.flush()

    def changed(self) -> None:
        """Something in the live part may have changed."""

    def __call__(self, event: Event) -> None:
        """The sink."""
        with self._lock:
            try:
                self._take(event)
                self.changed()
            except (OSError, ValueError):
                # nobody reads any more: the apply must go on and write its state all the same
                self._stop.set()

    def _take(self, event: Event) -> None:
        match event:
            case ApplyStarted(operations=count):
                self.tally.total = count
            case RefreshStarted(host=host, kind=kind, addresses=addresses):
                self.reading[host, kind] = len(addresses)
            case RefreshFinished(host=host, kind=kind):
                self.reading.pop((host, kind), None)
            case OperationStarted(address=address, action=action, id=id):
                self.running[address] = Running(address, action, event.time, event.time)
                known = f" [id={id}]" if id and action != "create" else ""
                self.started(f"{address}: {verb(action).doing}...{known}")
            case OperationProgress(address=address, text=text):
                self._progress(address, clean(text))
            case OperationFinished():
                self._finished(event)
            case OperationFailed(address=address, action=action, seconds=seconds):
                self.running.pop(address, None)
                self.tally.failed += 1
                text = f"{address}: {verb(action).done} failed after {elapsed(seconds)}"
                self.line(self.terminal.paint(text, "red"))
            case OperationSkipped(address=address, because=because):
                self.tally.skipped += 1
                self.line(self.terminal.paint(f"{address}: Skipped, {clean(skipped_because(because))}", "yellow"))
            case IntentProgress(address=address, text=text):
                self.line(f"{address}: An operation that an earlier run left open: {clean(text)}")
            case IntentSettled(address=address, outcome=outcome, detail=detail):
                said = f" ({clean(detail)})" if detail else ""
                self.line(f"{address}: An operation that an earlier run left open: {outcome}{said}")
            case Notice(diagnostic=diagnostic):
                self.notice(diagnostic)
            case _:
                pass

    def notice(self, diagnostic: Diagnostic) -> None:
        """Show a diagnostic while the run goes on."""
        self.report([diagnostic])

    def started(self, text: str) -> None:
        """An operation began."""
        self.line(text)

    def _progress(self, address: str, text: str) -> None:
        running = self.running.get(address)
        if running is None or running.text == text:
            return
        running.text = text

    def _finished(self, event: OperationFinished) -> None:
        self.running.pop(event.address, None)
        self.tally.finished(event.address, event.action)
        known = f" [id={event.id}]" if event.id and event.action not in ("delete", "deposed-delete") else ""
        self.line(f"{event.address}: {verb(event.action).done} complete after {elapsed(event.seconds)}{known}")

    def _tick(self) -> None:
        while not self._stop.wait(self.period):
            with self._lock:
                try:
                    self.tick(self.now())
                except (OSError, ValueError):
                    return

    period = 1.0

    def tick(self, now: float) -> None:
        """Say what still runs. ``now`` in seconds since the epoch."""
        for running in list(self.running.values()):
            if now - running.said >= STILL_EVERY:
                running.said = now
                text = f", {running.text}" if running.text else ""
                doing = verb(running.action).doing
                still = f"Still {doing[0].lower()}{doing[1:]}"
                self.line(f"{running.address}: {still}... [{elapsed(now - running.since)} elapsed{text}]")


def open_progress(terminal: Terminal, report: Report) -> Progress:
    """Live progress on a terminal, plain lines elsewhere."""
    if terminal.live:
        from hythe.cli.views.live import LiveProgress

        return LiveProgress(terminal, report)
    return Progress(terminal, report)
