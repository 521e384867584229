"""Telling that something is waited for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from hythe.cli.context import Cli

_PATIENCE = 2.0
"""Seconds after which a wait for the lock is told."""


@contextmanager
def told_to_wait(cli: Cli, seconds: float) -> Iterator[None]:
    """Whoever waits for the state lock, for up to so many seconds, is told so on standard error."""
    if seconds <= _PATIENCE:
        yield
        return
    text = f"The state is locked: waiting for it, for up to {seconds:g} seconds ..."
    told = threading.Timer(_PATIENCE, _tell, (cli, text))
    told.daemon = True
    told.start()
    try:
        yield
    finally:
        told.cancel()


def _tell(cli: Cli, text: str) -> None:
    # whoever closed standard error wants no word
    with suppress(OSError):
        cli.err.write(text)
        cli.err.flush()
