"""A connection that is made anew when it breaks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from hythe.state.backends.pg.failures import is_busy, is_passing, reason
from hythe.state.backends.waiting import Waiting

if TYPE_CHECKING:
    from psycopg import Connection

    from hythe.state.backends.pg.settings import Target

Result = TypeVar("Result")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_BUSY_PATIENCE = 10.0


class Link:
    """A connection to the server, made when it is first needed. Safe for threads, which take turns.

    Sessions are in autocommit; nothing relies on session state, so that a pooler may stand in between.
    """

    def __init__(self, target: Target, waiting: Waiting | None = None) -> None:
        self.target = target
        self._waiting = waiting or Waiting()
        self._turn = threading.RLock()
        self._connection: Connection[Any] | None = None
        self._name: str | None = None
        self._seen = False
        self._gave_up = False

    def run(self, work: Callable[[Connection[Any]], Result], patience: float = 0.0) -> Result:
        """Do the work; again on a new connection where the old one broke, for up to ``patience`` seconds.

        The work must come to the same when it is done twice: whether a commit that was cut off came
        through, nobody can know. Raises psycopg.Error.
        """
        import psycopg

        with self._turn:
            reused = self._connection is not None
            # who waited in vain once is not made to wait for each thing that is still to be said
            patience = 0.0 if self._gave_up else patience
            outage, pause = None, _FIRST_PAUSE
            while True:
                try:
                    result = work(self._connected())
                except psycopg.Error as failure:
                    if not is_passing(failure):
                        # a refusal is an answer too
                        if failure.sqlstate is not None:
                            self._waiting.answered(self.target.server)
                        raise
                    self.drop()
                    if outage is None:
                        outage = self._waiting.outage(self.target.server, self._patience(failure, patience))
                    if reused:
                        # it broke while nobody used it
                        reused = False
                        continue
                    if outage.over:
                        self._gave_up = self._gave_up or patience > 0
                        raise
                    self._log(failure)
                    outage.pause(pause, reason(failure, self.target))
                    pause = min(pause * 2, _LONGEST_PAUSE)
                else:
                    self._gave_up = False
                    self._waiting.answered(self.target.server)
                    return result

    def run_once(self, work: Callable[[Connection[Any]], Result]) -> Result:
        """Do the work on the connection that is there, for what another one would not do as well.

        Raises psycopg.Error; a connection that broke is dropped then.
        """
        import psycopg

        with self._turn:
            try:
                return work(self._connected())
            except psycopg.Error as failure:
                if is_passing(failure):
                    self.drop()
                raise

    def name(self, name: str) -> None:
        """Have the server show the session under that name (``application_name``), now and when made anew."""
        with self._turn:
            self._name = name
            if self._connection is not None:
                self.run(lambda c: c.execute("SELECT set_config('application_name', %s, false)", (name,)))

    def drop(self) -> None:
        """Close the connection; the next work makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    close = drop

    def _patience(self, failure: BaseException, patience: float) -> float:
        if is_busy(failure):
            return max(patience, _BUSY_PATIENCE)
        # what could not be reached even once is most likely a mistake in the settings
        return patience if self._seen else 0.0

    def _connected(self) -> Connection[Any]:
        if self._connection is None:
            import psycopg

            parameters: dict[str, Any] = dict(self.target.parameters)
            if self._name is not None:
                parameters["application_name"] = self._name
            # prepared statements would not survive a pooler that lends connections by transaction
            self._connection = psycopg.connect("", autocommit=True, prepare_threshold=None, **parameters)
            self._seen = True
        return self._connection

    def _log(self, failure: BaseException) -> None:
        import logging

        log = logging.getLogger("hythe.state.pg")
        log.info("%s: %s; trying again", self.target.server, reason(failure, self.target))
