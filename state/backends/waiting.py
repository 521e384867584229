"""Waiting for a server that does not answer: who watches is told, and may end it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import Protocol

SILENCE = 3.0
"""Seconds of waiting that nobody is told of."""
_SLICE = 0.1


class Flag(Protocol):
    """Something that may be set from a signal handler, when the waiting is to end."""

    def is_set(self) -> bool:
        """Whether it is."""
        ...


class Waiting:
    """The pauses of one backend between tries. Safe for threads."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tell: Callable[[str], None] | None = None
        self._end: Flag = Event()

    @contextlib.contextmanager
    def watched(self, tell: Callable[[str], None], end: Flag) -> Iterator[None]:
        """Meanwhile ``tell`` hears of waits in a sentence, and none goes on when ``end`` is set."""
        before = self._tell, self._end
        self._tell, self._end = tell, end
        try:
            yield
        finally:
            self._tell, self._end = before

    @property
    def ended(self) -> bool:
        """Whether nothing is to be waited for any more."""
        return self._end.is_set()

    def outage(self, server: str, longest: float) -> Outage:
        """Begin to wait for a server, for ``longest`` seconds at most."""
        return Outage(self, server, self._clock() + longest)

    def _sleep(self, seconds: float) -> None:
        end = self._clock() + seconds
        while not self.ended and (left := end - self._clock()) > 0:
            time.sleep(min(left, _SLICE))

    def _say(self, text: str) -> bool:
        if self._tell is None:
            return False
        self._tell(text)
        return True


class Outage:
    """The time in which a server does not answer."""

    def __init__(self, waiting: Waiting, server: str, end: float) -> None:
        self._waiting, self._server, self._until = waiting, server, end
        self._began = waiting._clock()
        self._told = False

    @property
    def over(self) -> bool:
        """Whether there is no time left, or nobody wants to wait."""
        return self._waiting.ended or self._waiting._clock() >= self._until

    def pause(self, seconds: float, why: str) -> None:
        """Wait, no longer than there is time left. ``why`` is what the server's last failure was."""
        waiting = self._waiting
        now = waiting._clock()
        left = max(self._until - now, 0.001)
        if not self._told and now - self._began >= SILENCE:
            self._told = waiting._say(
                f"{self._server} does not answer ({why}). The run goes on when it does, and gives up after "
                f"{left:.0f} s more. Ctrl-C twice ends the wait; all that was done so far is recorded."
            )
        waiting._sleep(min(seconds, left))

    def ended(self) -> None:
        """The server answers again."""
        if self._told:
            seconds = self._waiting._clock() - self._began
            self._waiting._say(f"{self._server} answers again after {seconds:.0f} s.")
