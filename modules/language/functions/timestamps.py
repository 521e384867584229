"""RFC 3339 timestamps with nanoseconds, and durations."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

NANOSECONDS = 1_000_000_000

_EPOCH = date(1970, 1, 1).toordinal()
_TIMESTAMP = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]+))?"
    r"(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)
_DURATION_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": NANOSECONDS,
    "m": 60 * NANOSECONDS,
    "h": 3600 * NANOSECONDS,
}
_MAX_DURATION = 2**63


class TimestampError(Exception):
    """The text is no timestamp or duration, or the result has no place in the calendar."""


@dataclass(frozen=True)
class Timestamp:
    """A moment: nanoseconds since 1970 in UTC, and the zone's offset in seconds for showing it."""

    nanoseconds: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> Timestamp:
        """The moment that an RFC 3339 text names. Raises TimestampError."""
        found = _TIMESTAMP.fullmatch(text)
        if found is None:
            raise TimestampError("not a valid RFC3339 timestamp")
        year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
        zone_hour, zone_minute = int(found[9] or 0), int(found[10] or 0)
        if not 1 <= month <= 12 or not 1 <= day <= _days(year, month):
            raise TimestampError("not a valid RFC3339 timestamp: there is no such day")
        if hour > 23 or minute > 59 or second > 59 or zone_hour > 23 or zone_minute > 59:
            raise TimestampError("not a valid RFC3339 timestamp: there is no such time of day")
        offset = (zone_hour * 3600 + zone_minute * 60) * (-1 if found[8] == "-" else 1)
        if year < 1:
            raise TimestampError("years before 1 are not supported")
        days = date(year, month, day).toordinal() - _EPOCH
        seconds = days * 86400 + hour * 3600 + minute * 60 + second - offset
        fraction = int((found[7] or "0")[:9].ljust(9, "0"))
        return cls(seconds * NANOSECONDS + fraction, offset)

    @classmethod
    def of(cls, moment: datetime) -> Timestamp:
        """The moment in UTC."""
        since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        return cls((since // timedelta(microseconds=1)) * 1000, 0)

    def plus(self, nanoseconds: int) -> Timestamp:
        """A later moment, in the same zone."""
        return Timestamp(self.nanoseconds + nanoseconds, self.offset)

    def local(self) -> datetime:
        """Date and time of day in the zone, without the zone. Raises TimestampError."""
        seconds = self.nanoseconds // NANOSECONDS + self.offset
        try:
            return datetime(1970, 1, 1) + timedelta(seconds=seconds)  # noqa: DTZ001
        except OverflowError:
            raise TimestampError("the result lies outside the years 1 to 9999") from None

    def text(self) -> str:
        """The moment as RFC 3339 has it, to the second. Raises TimestampError."""
        return self.local().isoformat(timespec="seconds") + (self.zone(":") if self.offset else "Z")

    def zone(self, separator: str) -> str:
        """The zone as +hh and mm, with a separator between them."""
        minutes = abs(self.offset) // 60
        return f"{'-' if self.offset < 0 else '+'}{minutes // 60:02}{separator}{minutes % 60:02}"


def _days(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1] if year else 31


def parse_duration(text: str) -> int:
    """The nanoseconds that a duration such as ``1h30m`` or ``-1.5s`` stands for. Raises TimestampError."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    total = 0
    if rest != "0":
        position = 0
        while position < len(rest) or not rest:
            found = _DURATION_PART.match(rest, position)
            if found is None or len(found[1]) > 40:
                raise TimestampError("not a valid duration: it is a number with a unit, such as 10m or 1h30m")
            total += int(Decimal(found[1]) * _UNITS[found[2]])
            position = found.end()
    if total >= _MAX_DURATION:
        raise TimestampError("not a valid duration: it is too long")
    return -total if text.startswith("-") else total
