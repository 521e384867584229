"""HYTHE_LOG: what Hythe does, on standard error, with secrets masked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging

    from hythe.cli.context import Cli
    from hythe.event import Event, Sink

LEVELS = ("trace", "debug", "info", "warn", "error", "off")
_secrets: set[str] = set()
_lock = threading.Lock()
_enabled = False


def remember_secrets(values: Iterable[Any]) -> None:
    """Never let these values (strings at any depth) into logs or crash reports."""
    found: set[str] = set()
    pending = list(values)
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            found.add(value)
        elif isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, (list, tuple)):
            pending += value
    with _lock:
        _secrets.update(found)


def masked(text: str) -> str:
    """The text without any secret that is known."""
    from hythe.cli.views.sensitive import mask_text

    with _lock:
        known = set(_secrets)
    return mask_text(text, known) if known else text


def debug(name: str, text: Callable[[], str]) -> None:
    """Log at level debug, if anything is logged at all; ``text`` is only called then."""
    if _enabled:
        import logging

        logger = logging.getLogger(name)
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s", text())


def logged(sink: Sink) -> Sink:
    """The sink, with every event logged too."""
    if not _enabled:
        return sink

    def take(event: Event) -> None:
        debug("hythe.event", lambda: repr(event))
        sink(event)

    return take


def configure(cli: Cli) -> None:
    """Set logging up as HYTHE_LOG says (trace, debug, info, warn, error, off)."""
    global _enabled
    _enabled = False
    wanted = cli.environment.get("HYTHE_LOG", "").strip().lower()
    if wanted in ("", "off"):
        return
    import logging

    if wanted not in LEVELS:
        from hythe.diagnostic import warning

        text = f'HYTHE_LOG is "{wanted}", which is none of {", ".join(LEVELS)}; nothing is logged.'
        cli.report([warning("Unknown log level", text)])
        return
    _enabled = True
    handler = logging.StreamHandler(cli.err.stream)
    handler.setFormatter(_formatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel({"trace": 5, "warn": logging.WARNING}.get(wanted) or getattr(logging, wanted.upper()))


def _formatter() -> logging.Formatter:
    import logging

    class Masking(logging.Formatter):
        """Formats a record, then masks: secrets may come in by any of its parts."""

        def format(self, record: logging.LogRecord) -> str:
            return masked(super().format(record))

    return Masking("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
