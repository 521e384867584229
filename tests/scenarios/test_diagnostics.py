"""What a user is told about mistakes: which, where, and what to do. The cases are in mistakes.txt."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_CASE = re.compile(
    r"^### (?P<name>.+) \((?P<command>validate|plan)\)\n(?P<text>.*?)\n"
    r"--- (?P<summary>.+)\n--- (?P<line>\d+):(?: (?P<pointed>.*))?\n--- (?P<phrase>.+)$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Mistake:
    """One wrong configuration and what is to be said of it."""

    name: str
    command: str
    text: str
    summary: str
    line: int
    pointed: str
    phrase: str


def _mistakes() -> list[Mistake]:
    out: list[Mistake] = []
    for part in re.split(r"\n(?=### )", (Path(__file__).parent / "mistakes.txt").read_text())[1:]:
        found = _CASE.match(part.rstrip())
        assert found is not None, part
        name, command, text, summary, line, pointed, phrase = found.groups(default="")
        out.append(Mistake(name, command, f"{text}\n", summary, int(line), pointed, phrase))
    return out


def _pointed_at(message: str) -> str:
    """What the first row of carets points at."""
    lines = message.splitlines()
    at = next(i for i, line in enumerate(lines) if re.fullmatch(r" *\^+", line))
    return lines[at - 1][lines[at].index("^") : len(lines[at])].rstrip()


@pytest.mark.parametrize("mistake", _mistakes(), ids=lambda m: m.name)
def test_mistake_is_explained(mistake: Mistake, tmp_path: Path, run_here: Any) -> None:
    (tmp_path / "main.hcl").write_text(mistake.text)
    done = run_here(tmp_path, mistake.command)
    assert done.code == 1
    assert done.out == ""
    message = done.err.strip().split("\nError: ")[0]
    assert message.splitlines()[0] == f"Error: {mistake.summary}"
    assert f"on main.hcl line {mistake.line}" in message
    assert _pointed_at(message) == mistake.pointed
    assert mistake.phrase in " ".join(message.split())


def test_everything_wrong_is_told_in_one_run(tmp_path: Path, run: Any) -> None:
    (tmp_path / "a.hcl").write_text('resource "volume" "v" {\n  nmae = "x"\n}\n')
    (tmp_path / "b.hcl").write_text('resource "netwrok" "n" {}\noutput "o" { value = local.x }\n')
    done = run(tmp_path, "validate")
    assert done.code == 1
    assert done.err.count("Error: ") == 3
    assert "on a.hcl line 2" in done.err
    assert "on b.hcl line 1" in done.err
    assert "on b.hcl line 2" in done.err


def test_names_of_kinds_are_there_though_their_blocks_are_wrong(tmp_path: Path, run: Any) -> None:
    """One mistake is one message: what refers to a wrong block is not wrong too."""
    (tmp_path / "main.hcl").write_text(
        'resource "volume" "v" {\n  nmae = "x"\n}\noutput "o" { value = volume.v.name }\n'
    )
    done = run(tmp_path, "plan")
    assert done.err.count("Error: ") == 1


def test_messages_for_programs(tmp_path: Path, run: Any) -> None:
    (tmp_path / "main.hcl").write_text('resource "volume" "v" {\n  nmae = "x"\n}\n')
    done = run(tmp_path, "validate", "--json")
    assert done.code == 1
    told = json.loads(done.out)
    assert told["valid"] is False
    assert told["error_count"] == 1
    (only,) = told["diagnostics"]
    assert only["summary"] == "Unsupported argument"
    assert only["range"]["filename"] == "main.hcl"
    assert only["range"]["start"]["line"] == 2
    assert only["snippet"]["code"] == '  nmae = "x"'
