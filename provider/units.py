"""Sizes and durations, as users write them and as they are kept."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmMgGtTpP]?)(i?)[bB]?")
_SIZE_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def parse_size(value: Any) -> int:
    """Bytes of a number or of a string like ``512MiB``, ``1.5GB``, ``64m`` (as docker reads it: 1024s).

    ``k``, ``m``, ``g`` alone and ``KiB`` mean powers of 1024, ``KB`` powers of 1000. Raises ValueError.
    """
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        raise ValueError('a size is needed: a number of bytes or text like "512MiB"')
    if not isinstance(value, str):
        size = Decimal(value)
    else:
        match = _SIZE.fullmatch(value.strip())
        if match is None:
            raise ValueError(f'"{value}" is not a size: write a number of bytes or text like "512MiB" or "1.5GB"')
        decimal_unit = value.strip()[-1:] in "bB" and match[2] and not match[3]
        size = Decimal(match[1]) * (1000 if decimal_unit else 1024) ** _SIZE_POWER[match[2].lower()]
    if size != int(size) or size < 0:
        raise ValueError(f"{value} is not a whole number of bytes")
    return int(size)


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)")
_SECONDS = {
    "ns": Decimal("1e-9"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}


def duration_seconds(value: Any) -> Decimal:
    """Seconds of a number or of a string like ``90s``, ``1m30s``, ``500ms``. Raises ValueError."""
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        total = Decimal(value)
    elif isinstance(value, str) and re.fullmatch(rf"(?:{_DURATION.pattern})+", value.strip()):
        total = sum((Decimal(n) * _SECONDS[u] for n, u in _DURATION.findall(value)), Decimal(0))
    elif value == "0":
        total = Decimal(0)
    else:
        raise ValueError(f'"{value}" is not a duration: write it like "30s", "1m30s" or "500ms"')
    if total < 0:
        raise ValueError("a duration cannot be negative")
    return total


def format_duration(seconds: Decimal | int) -> str:
    """The canonical text of a duration: ``1h30m``, ``1m30s``, ``500ms``, ``0s``."""
    left = Decimal(seconds)
    if left == 0:
        return "0s"
    out = ""
    for unit in ("h", "m", "s"):
        count = int(left // _SECONDS[unit])
        left -= count * _SECONDS[unit]
        out += f"{count}{unit}" if count else ""
    if left:
        for unit in ("ms", "us", "ns"):
            count = int(left // _SECONDS[unit])
            left -= count * _SECONDS[unit]
            out += f"{count}{unit}" if count else ""
    return out or "0s"
