"""Cases of the language from outside: functions called directly, and conversions."""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hythe.modules.language.conversions import ConversionError, convert, set_value
from hythe.modules.language.functions import registry
from hythe.modules.language.rendering import with_templates
from hythe.modules.language.types import type_of, without_optional
from hythe.value import (
    ANY,
    EPHEMERAL,
    SENSITIVE,
    List,
    Map,
    Marked,
    Null,
    Set,
    Type,
    Unknown,
    Value,
    is_null,
    mark,
    parse_type_text,
)

CLOSE_ENOUGH = Decimal("1e-30")


def _folder() -> Path | None:
    named = os.environ.get("HYTHE_CONFORMANCE")
    return Path(named) if named else None


__test__ = _folder() is not None  # without cases there is nothing to collect


def _rows(name: str) -> list[dict[str, Any]]:
    folder = _folder()
    if folder is None or not (folder / name).exists():
        return []
    return json.loads((folder / name).read_text(), parse_float=Decimal)


def _type(text: str) -> Type:
    return parse_type_text(text.replace('"not csv at all"', "not csv at all"))


def _value(plain: Any, kind: Type) -> Value:
    if isinstance(plain, dict) and set(plain) == {"$unknown"}:
        return Unknown(plain["$unknown"])
    if isinstance(plain, dict) and set(plain) == {"$sensitive"}:
        return mark(_value(plain["$sensitive"], kind), frozenset({SENSITIVE}))
    if isinstance(plain, dict) and set(plain) == {"$ephemeral"}:
        return mark(_value(plain["$ephemeral"], kind), frozenset({EPHEMERAL}))
    if plain is None:
        return None if kind is ANY else Null(without_optional(kind))
    if kind.name == "list":
        return List([_value(item, kind.element) for item in plain], kind.element)
    if kind.name == "set":
        return set_value([_value(item, kind.element) for item in plain], kind.element)
    if kind.name == "map":
        return Map({key: _value(item, kind.element) for key, item in plain.items()}, kind.element)
    if kind.name == "tuple":
        return tuple(_value(item, part) for item, part in zip(plain, kind.elements, strict=True))
    if kind.name == "object":
        return {key: _value(item, kind.attributes[key]) for key, item in plain.items()}
    return plain


def _same(got: Value, want: Value) -> bool:
    if isinstance(got, Marked) or isinstance(want, Marked):
        return (
            isinstance(got, Marked)
            and isinstance(want, Marked)
            and got.marks == want.marks
            and _same(got.value, want.value)
        )
    if is_null(got) or is_null(want):
        return is_null(got) and is_null(want)
    if isinstance(got, Unknown) or isinstance(want, Unknown):
        return got == want
    if isinstance(got, bool) or isinstance(want, bool) or isinstance(got, str):
        return type(got) is type(want) and got == want
    if isinstance(got, (int, Decimal)):
        return isinstance(want, (int, Decimal)) and abs(got - want) <= CLOSE_ENOUGH
    if isinstance(got, dict):
        return isinstance(want, dict) and got.keys() == want.keys() and all(_same(got[k], want[k]) for k in got)
    if isinstance(got, Set):
        return len(got) == len(want) and all(any(_same(a, b) for b in want) for a in got)
    return len(got) == len(want) and all(_same(a, b) for a, b in zip(got, want, strict=True))


class FolderReader:
    """Reads the folder that the cases bring."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def read(self, path: str) -> bytes:
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]

    def exists(self, path: str) -> bool:
        if any(name.startswith(path + "/") for name in self.files):
            raise IsADirectoryError(path)
        return path in self.files

    def glob(self, base: str, pattern: str) -> list[str]:
        prefix = "" if base == "." else base + "/"
        return [name.removeprefix(prefix) for name in self.files if name.startswith(prefix)]


def _environment() -> registry.Environment:
    folder = _folder()
    assert folder is not None
    files = json.loads((folder / "files.json").read_text())["functions_unit.json"]
    return with_templates(
        registry.Environment(
            reader=FolderReader({name: base64.b64decode(content) for name, content in files.items()}),
            now=datetime(2004, 4, 25, 15, tzinfo=UTC),
        )
    )


def _function_rows() -> list[dict[str, Any]]:
    known = set(registry.names())
    rows = []
    for name in ("functions_unit.json", "functions_unknown.json"):
        for row in _rows(name):
            if row["function"] in known and "args" in row and "error_only_without_conversion" not in row:
                rows.append(row)
    return rows


def _accepted() -> dict[str, list[Any]]:
    """What is wanted of one source; a few rows contradict each other, as they are named after another function."""
    wanted: dict[str, list[Any]] = defaultdict(list)
    for row in _function_rows():
        wanted[row["src"] + json.dumps(row["args"], default=str)].append(row)
    return wanted


@pytest.mark.parametrize("row", _function_rows(), ids=lambda row: row["src"][:80])
def test_function(row: dict[str, Any]) -> None:
    args = [_value(arg["value"], _type(arg["type"])) for arg in row["args"]]
    results = _accepted()[row["src"] + json.dumps(row["args"], default=str)]
    got, problem = None, None
    try:
        got = registry.call(row["function"], args, _environment())
    except registry.FunctionError as exc:
        problem = exc.message
    if problem is not None:
        assert any("error" in one for one in results), problem
        return
    successes = [one for one in results if "error" not in one]
    assert successes, f"got {got!r}"
    if row["function"] == "base64gzip":
        got, row["want"] = (zlib.decompress(base64.b64decode(text), wbits=31) for text in (got, row["want"]))
    wants = [_value(one["want"], _type(one["type"])) for one in successes]
    assert any(_same(got, want) for want in wants), f"got {got!r}, want {wants!r}"
    assert str(type_of(got)) in {str(_type(one["type"])) for one in successes}


@pytest.mark.parametrize("row", _rows("conversions.json"), ids=lambda row: f"{row['from']}-{row['to']}"[:80])
def test_conversion(row: dict[str, Any]) -> None:
    value = _value(row["value"], _type(row["from"]))
    got, problem = None, None
    try:
        got = convert(value, _type(row["to"]))
    except ConversionError as exc:
        problem = exc.message
    assert ("error" in row) is (problem is not None), problem or f"got {got!r}"
    if problem is not None:
        return
    assert type_of(got) is _type(row["type"])
    assert _same(got, _value(row["want"], _type(row["type"])))
