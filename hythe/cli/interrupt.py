"""Ctrl-C while things are being changed: once ends after what runs, twice ends at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

SOFT_WORDS = (
    "\nStopping: what runs is finished and recorded, nothing new is begun. "
    "Press Ctrl-C again to stop at once (the next run settles what was under way)."
)
HARD_WORDS = "\nStopping at once. The state is being written; the next run settles what was under way."


class StopSwitch:
    """Set by signals. ``soft``: begin nothing new; ``hard``: give up waiting too.

    A context manager that listens to SIGINT, SIGTERM and SIGHUP (a terminal that was closed; not where that
    is ignored, as under nohup). A third signal interrupts the hard way.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.soft = threading.Event()
        self.hard = threading.Event()
        self._say = say
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopSwitch:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                    continue
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @property
    def pressed(self) -> bool:
        """Whether the user asked to stop."""
        return self.soft.is_set()

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.hard.is_set():
            raise KeyboardInterrupt
        words = HARD_WORDS if self.soft.is_set() else SOFT_WORDS
        (self.hard if self.soft.is_set() else self.soft).set()
        # said in a thread of its own: the signal may have come while the output's lock is held
        threading.Thread(target=self._say, args=(words,), daemon=True).start()
