"""Waiting for a server that does not answer: who watches is told, and may end it."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from threading import Event, Lock
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
        self._turn = Lock()
        self._told_of: float | None = None
        self._answered_at = -math.inf

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

    def answered(self, server: str) -> None:
        """The server answered somebody, be it with a refusal. Who was told of its silence is told of that, once."""
        with self._turn:
            began, self._told_of = self._told_of, None
            self._answered_at = now = self._clock()
            if began is not None:
                self._say(f"{server} answers again after {now - began:.0f} s.")

    def _silent(self, server: str, began: float, left: float, why: str) -> None:
        """Somebody had no answer since ``began``. One is told for all who wait, and not of short times."""
        with self._turn:
            began = max(began, self._answered_at)
            if self._told_of is not None or self._clock() - began < SILENCE:
                return
            said = self._say(
                f"{server} does not answer ({why}). The run goes on when it does, and gives up after "
                f"{left:.0f} s more. Ctrl-C twice ends the wait; all that was done so far is recorded."
            )
            if said:
                self._told_of = began

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
    """The time in which a server does not answer one who asks."""

    def __init__(self, waiting: Waiting, server: str, end: float) -> None:
        self._waiting, self._server, self._until = waiting, server, end
        self._began = waiting._clock()

    @property
    def over(self) -> bool:
        """Whether there is no time left, or nobody wants to wait."""
        return self._waiting.ended or self._waiting._clock() >= self._until

    def pause(self, seconds: float, why: str) -> None:
        """Wait, no longer than there is time left. ``why`` is what the server's last failure was."""
        left = max(self._until - self._waiting._clock(), 0.001)
        self._waiting._silent(self._server, self._began, left, why)
        self._waiting._sleep(min(seconds, left))
