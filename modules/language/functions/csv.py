"""Comma separated values as RFC 4180 has them, without the leniency of Python's reader."""

from __future__ import annotations

from collections.abc import Iterator


class CsvError(Exception):
    """The text is no CSV. The message says where."""


def read_rows(source: str) -> Iterator[tuple[int, list[str]]]:
    """The rows and the numbers of the lines they begin on; empty lines are left out. Raises CsvError."""
    lines = source.replace("\r\n", "\n").split("\n")
    index = 0
    while index < len(lines):
        start = index
        line = lines[index]
        index += 1
        if not line or (line == "\r" and index == len(lines)):
            continue
        row: list[str] = []
        position = 0
        while True:
            if line.startswith('"', position):
                field, line, position, index = _quoted(lines, line, position + 1, index)
            else:
                end = line.find(",", position)
                end = len(line) if end < 0 else end
                field = line[position:end]
                if '"' in field:
                    raise CsvError(f"a quote in a field without quotes, on line {index}")
                position = end
            row.append(field)
            if position >= len(line):
                break
            position += 1
        yield start + 1, row


def _quoted(lines: list[str], line: str, position: int, index: int) -> tuple[str, str, int, int]:
    """A quoted field, which may go over several lines: the field, the line and position after it, the next line."""
    parts: list[str] = []
    while True:
        end = line.find('"', position)
        if end < 0:
            parts.append(line[position:])
            if index >= len(lines):
                raise CsvError(f"a quoted field is not closed, on line {index}")
            parts.append("\n")
            line, position, index = lines[index], 0, index + 1
            continue
        parts.append(line[position:end])
        position = end + 1
        if line.startswith('"', position):
            parts.append('"')
            position += 1
            continue
        if position < len(line) and line[position] != ",":
            raise CsvError(f"a quote inside a quoted field must be doubled, on line {index}")
        return "".join(parts), line, position, index
