"""Where output goes: colours, width, and whether somebody is watching."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TextIO

_CODES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
DEFAULT_WIDTH = 100


def clean(text: str) -> str:
    """Text without control characters: what an engine or a file says must not steer the terminal."""
    return _CONTROL.sub(lambda m: "" if m[0] == "\r" else f"\\x{ord(m[0]):02x}", text)


class Paint:
    """Colours, or none. Each method returns the text in that colour."""

    __slots__ = ("enabled",)

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled

    def __call__(self, text: str, *names: str) -> str:
        """The text in the colours of those names (bold, dim, red, green, yellow, blue, magenta, cyan)."""
        if not self.enabled or not names or not text:
            return text
        return f"\x1b[{';'.join(_CODES[n] for n in names)}m{text}\x1b[0m"


NO_PAINT = Paint(False)


@dataclass(slots=True)
class Terminal:
    """One output stream. ``width`` is in columns; ``live`` when a person watches a terminal.

    ``broken`` is why something could not be written.
    """

    stream: TextIO
    paint: Paint = field(default=NO_PAINT)
    width: int = DEFAULT_WIDTH
    live: bool = False
    broken: BrokenPipeError | None = None

    def write(self, text: str) -> None:
        """Write text and a line feed. Raises BrokenPipeError when nobody reads any more."""
        self.put(text + "\n")

    def put(self, text: str) -> None:
        """Write just this text. Raises BrokenPipeError when nobody reads any more."""
        try:
            self.stream.write(text)
        except OSError as failure:
            raise self._unread(failure) from failure

    def flush(self) -> None:
        """Bring out what was written. Raises BrokenPipeError when nobody reads any more."""
        try:
            self.stream.flush()
        except OSError as failure:
            raise self._unread(failure) from failure

    def _unread(self, failure: OSError) -> BrokenPipeError:
        """A closed terminal and a full disk are as good as a closed pipe: the work goes on without words."""
        self.broken = BrokenPipeError(failure.errno, failure.strerror)
        return self.broken


def open_terminal(stream: TextIO, environment: Mapping[str, str] = os.environ, *, color: bool = True) -> Terminal:
    """The terminal behind a stream. Colours need a terminal (or FORCE_COLOR) and no NO_COLOR."""
    live = stream.isatty() and environment.get("TERM") != "dumb"
    wanted = live or environment.get("FORCE_COLOR", "") not in ("", "0")
    enabled = color and wanted and not environment.get("NO_COLOR")
    width = shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns if live else DEFAULT_WIDTH
    return Terminal(stream, Paint(enabled), max(width, 40), live)
