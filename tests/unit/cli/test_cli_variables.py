"""Validation rules of variables."""

from __future__ import annotations

from pathlib import Path

from hythe.cli.variables import rule_check
from hythe.modules import loader, variables
from hythe.modules.config import InputValue

TEXT = """
variable "v" {
  SENSITIVE
  validation {
    condition     = CONDITION
    error_message = MESSAGE
  }
}
"""


def told(root: Path, condition: str, message: str = '"No: ${var.v}."', *, sensitive: bool = False) -> list[str]:
    text = TEXT.replace("CONDITION", condition).replace("MESSAGE", message)
    text = text.replace("SENSITIVE", "sensitive = true" if sensitive else "")
    config, found = loader.load_texts(str(root), {"main.hcl": text})
    assert not found
    _, found = variables.resolve(config, {"v": InputValue("a.txt", "a test")}, rule_check(str(root)))
    return [d.detail for d in found]


def test_conditions_read_files_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("yes")
    assert told(tmp_path, "fileexists(var.v)") == []
    assert told(tmp_path, 'file(var.v) == "no"') == ["No: a.txt."]


def test_messages_are_expressions_and_hide_what_is_sensitive(tmp_path: Path) -> None:
    assert told(tmp_path, "false", 'upper("no ${var.v}")') == ["NO A.TXT"]
    assert "a.txt" not in told(tmp_path, "false", sensitive=True)[0]


def test_conditions_may_be_text_but_nothing_else(tmp_path: Path) -> None:
    assert told(tmp_path, '"true"') == []
    assert told(tmp_path, '"maybe"') == ["The condition of a validation must be true or false."]
    assert told(tmp_path, "1") == ["The condition of a validation must be true or false."]
