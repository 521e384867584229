"""Dates and times."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

from hythe.modules.language.functions import timestamps
from hythe.modules.language.functions.registry import Environment, FunctionError, Param, function
from hythe.modules.language.functions.timestamps import Timestamp, TimestampError
from hythe.value import NUMBER, STRING, Unknown, Value

_MONTHS = [
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]

_PART = re.compile(r"'(?:[^']|'')*'|([A-Za-z])\1*|[^A-Za-z']+|'", re.DOTALL)

_CLOCK: dict[str, Callable[[datetime], str]] = {
    "YYYY": lambda at: f"{at.year:04}",
    "YY": lambda at: f"{at.year % 100:02}",
    "MMMM": lambda at: _MONTHS[at.month - 1],
    "MMM": lambda at: _MONTHS[at.month - 1][:3],
    "MM": lambda at: f"{at.month:02}",
    "M": lambda at: str(at.month),
    "DD": lambda at: f"{at.day:02}",
    "D": lambda at: str(at.day),
    "EEEE": lambda at: _DAYS[at.weekday()],
    "EEE": lambda at: _DAYS[at.weekday()][:3],
    "hh": lambda at: f"{at.hour:02}",
    "h": lambda at: str(at.hour),
    "HH": lambda at: f"{(at.hour + 11) % 12 + 1:02}",
    "H": lambda at: str((at.hour + 11) % 12 + 1),
    "AA": lambda at: "AM" if at.hour < 12 else "PM",
    "aa": lambda at: "am" if at.hour < 12 else "pm",
    "mm": lambda at: f"{at.minute:02}",
    "m": lambda at: str(at.minute),
    "ss": lambda at: f"{at.second:02}",
    "s": lambda at: str(at.second),
}
_ZONE: dict[str, Callable[[Timestamp], str]] = {
    "ZZZZZ": lambda moment: moment.zone(":"),
    "ZZZZ": lambda moment: moment.zone(""),
    "ZZZ": lambda moment: moment.zone("") if moment.offset else "UTC",
    "Z": lambda moment: moment.zone(":") if moment.offset else "Z",
}


def _timestamp(text: str, index: int) -> Timestamp:
    try:
        return Timestamp.parse(text)
    except TimestampError as exc:
        raise FunctionError(str(exc), index) from None


@function(
    "formatdate",
    [Param("format", STRING), Param("time", STRING)],
    returns=STRING,
    description="The timestamp in a format such as YYYY-MM-DD hh:mm:ss.",
    examples=['formatdate("DD MMM YYYY", "2018-01-02T23:12:01Z") == "02 Jan 2018"'],
)
def formatdate(template: str, time: str) -> Value:
    moment = _timestamp(time, 1)
    at = moment.local()
    parts: list[str] = []
    for found in _PART.finditer(template):
        verb = found[0]
        if verb == "'":
            raise FunctionError("a quoted part of the format is not closed", 0)
        if verb.startswith("'"):
            # two quotes with nothing between them stand for one
            parts.append(verb[1:-1].replace("''", "'") or "'")
        elif not found[1]:
            parts.append(verb)
        elif verb in _CLOCK:
            parts.append(_CLOCK[verb](at))
        elif verb in _ZONE:
            parts.append(_ZONE[verb](moment))
        else:
            raise FunctionError("invalid date format verb {}", 0, shown=(verb,))
    return "".join(parts)


@function(
    "timeadd",
    [Param("timestamp", STRING), Param("duration", STRING)],
    returns=STRING,
    description="The timestamp after a duration such as 10m or -1h30m.",
    examples=['timeadd("2017-11-22T00:00:00Z", "10m") == "2017-11-22T00:10:00Z"'],
)
def timeadd(timestamp: str, duration: str) -> Value:
    moment = _timestamp(timestamp, 0)
    try:
        return moment.plus(timestamps.parse_duration(duration)).text()
    except TimestampError as exc:
        raise FunctionError(str(exc), 1) from None


@function(
    "timecmp",
    [Param("timestamp_a", STRING), Param("timestamp_b", STRING)],
    returns=NUMBER,
    description="-1, 0 or 1: whether the first timestamp is earlier, the same or later.",
    examples=['timecmp("2017-11-22T00:00:00Z", "2017-11-22T01:00:00Z") == -1'],
)
def timecmp(first: str, second: str) -> Value:
    a, b = _timestamp(first, 0).nanoseconds, _timestamp(second, 1).nanoseconds
    return (a > b) - (a < b)


@function(
    "timestamp",
    [],
    returns=STRING,
    description="The time of evaluation in UTC; unknown while planning.",
    examples=["length(timestamp()) == 20"],
)
def timestamp_(*, env: Environment) -> Value:
    return Unknown(STRING) if env.unknown_impure else Timestamp.of(env.now).text()


@function(
    "plantimestamp",
    [],
    returns=STRING,
    description="The time of the plan in UTC.",
    examples=["length(plantimestamp()) == 20"],
)
def plantimestamp(*, env: Environment) -> Value:
    return Timestamp.of(env.now).text()
