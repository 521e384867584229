"""Commands that change the state: each keeps what was, and a lost state is rebuilt or told about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hythe.cli import main

TEXT = """
resource "value" "a" { input = "one" }
resource "value" "b" { input = value.a.output }
"""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    (tmp_path / "main.hcl").write_text(TEXT)
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str]:
        code = main.run(words)
        told = capsys.readouterr()
        return code, told.out + told.err

    return run


@pytest.mark.parametrize(
    ("words", "operation"),
    [
        (("state", "mv", "value.b", "value.c"), "state mv"),
        (("state", "rm", "value.b"), "state rm"),
        (("state", "push", "-force", "pulled.json"), "state push"),
        (("destroy", "-auto-approve"), "destroy"),
    ],
)
def test_every_change_can_be_taken_back(shell: Any, tmp_path: Path, words: tuple[str, ...], operation: str) -> None:
    assert shell("apply", "-auto-approve")[0] == 0
    code, pulled = shell("state", "pull")
    assert code == 0
    (tmp_path / "pulled.json").write_text(pulled)
    before = shell("state", "list")[1]
    code, told = shell(*words)
    assert code == 0, told
    now, first = json.loads(shell("state", "history", "-json")[1])["versions"]
    assert (now["operation"], first["operation"], first["objects"]) == (operation, "apply", 2)
    assert shell("state", "history", "-restore", first["id"], "-auto-approve")[0] == 0
    assert shell("state", "list")[1] == before
    assert shell("plan", "-detailed-exitcode")[0] == 0


def test_rebuild_refuses_a_state_with_objects(shell: Any, tmp_path: Path) -> None:
    assert shell("apply", "-auto-approve")[0] == 0
    before = (tmp_path / "hythe.state.json").read_bytes()
    code, told = shell("state", "rebuild", "-auto-approve")
    assert code == 1
    assert "State is there" in told
    assert (tmp_path / "hythe.state.json").read_bytes() == before


def test_a_copy_can_be_pushed_over_a_damaged_state_only_by_force(shell: Any, tmp_path: Path) -> None:
    assert shell("apply", "-auto-approve")[0] == 0
    (tmp_path / "copy.json").write_bytes((tmp_path / "hythe.state.json").read_bytes())
    (tmp_path / "hythe.state.json").write_text("damaged")
    assert shell("state", "push", "copy.json")[0] == 1
    assert (tmp_path / "hythe.state.json").read_text() == "damaged"
    assert shell("state", "push", "-force", "copy.json")[0] == 0
    assert shell("plan", "-detailed-exitcode")[0] == 0


def test_rebuild_sends_to_the_backup_of_a_damaged_state(shell: Any, tmp_path: Path) -> None:
    assert shell("apply", "-auto-approve")[0] == 0
    (tmp_path / "hythe.state.json").write_text("")
    code, told = shell("state", "rebuild", "-auto-approve")
    assert code == 1
    assert "Nothing is lost" in told
