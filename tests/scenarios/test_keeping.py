"""What keeps objects: ``prevent_destroy`` with an expression, and ``destroy = false``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Shell

VARIABLE = 'variable "keep" { default = true }\n'
BLOCK = 'resource "value" "x" {\n  input = 1\n  lifecycle { prevent_destroy = %s }\n}\n'
PREVENTED = VARIABLE + BLOCK


def test_a_variable_prevents(terminal: Shell) -> None:
    terminal.write(PREVENTED % "var.keep")
    terminal.fine("apply", "-auto-approve")
    said = terminal.refused("destroy", "-auto-approve")
    assert "value.x would be destroyed" in said
    assert "lifecycle.prevent_destroy protects it" in said
    terminal.refused("apply", "-auto-approve", "-replace=value.x")
    terminal.fine("apply", "-auto-approve", "-replace=value.x", "-var=keep=false")
    assert "1 destroyed" in terminal.fine("destroy", "-auto-approve", "-var=keep=false")


def test_in_a_module_each_instance_has_its_own(terminal: Shell) -> None:
    terminal.write('variable "keep" { }\n' + BLOCK % "var.keep", "m/main.hcl")
    main = 'module "m" {\n  source = "./m"\n  for_each = { %s }\n  keep = each.value\n}\n'
    terminal.write(main % "a = true, b = false")
    terminal.fine("apply", "-auto-approve")
    terminal.fine("destroy", "-auto-approve", '-target=module.m["b"]')
    terminal.refused("destroy", "-auto-approve", '-target=module.m["a"]')
    # an instance of the module that is gone has no variables any more: what was recorded counts
    terminal.write(main % "")
    assert 'module.m["a"].value.x' in terminal.refused("apply", "-auto-approve")
    terminal.write(main % "a = false")
    terminal.fine("apply", "-auto-approve")
    terminal.write(main % "")
    terminal.fine("apply", "-auto-approve")
    assert terminal.fine("state", "list") == ""


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("sensitive(true)", "A sensitive or ephemeral value cannot decide"),
        ("[var.keep]", "prevent_destroy must be true or false"),
        ("each.key", '"each" is not available in prevent_destroy'),
        ("self.input", '"self" is not available in prevent_destroy'),
        ("var.other", 'There is no variable named "other"'),
        ("1", 'The argument "prevent_destroy" must be true or false'),
    ],
)
def test_values_that_cannot_decide(terminal: Shell, value: str, said: str) -> None:
    terminal.write(PREVENTED % value)
    assert said in terminal.refused("plan")


def test_null_and_words(terminal: Shell) -> None:
    for value in ("var.keep ? null : null", '"${var.keep ? "false" : "true"}"'):
        terminal.write(PREVENTED % value)
        terminal.fine("apply", "-auto-approve")
        terminal.fine("destroy", "-auto-approve")


def test_what_is_not_known_yet_protects(terminal: Shell) -> None:
    terminal.write(PREVENTED % "var.keep")
    terminal.fine("apply", "-auto-approve", "-var=keep=false")
    terminal.write('resource "random" "r" { type = "uuid" }\n' + PREVENTED % 'random.r.result != "x"')
    assert "known only after apply" in terminal.refused("plan", "-replace=value.x")


LET_GO = """
resource "file" "f" {
  path    = "%s/kept"
  content = "here"
  lifecycle { destroy = false }
}
"""


@pytest.fixture
def kept(terminal: Shell, tmp_path: Path) -> Path:
    """A file that is not destroyed."""
    terminal.write(LET_GO % tmp_path)
    terminal.fine("apply", "-auto-approve")
    return tmp_path / "kept"


def test_destroy_lets_go(terminal: Shell, kept: Path) -> None:
    terminal.fine("plan", "-destroy", "-out=p")
    (change,) = json.loads(terminal.fine("show", "-json", "p"))["resource_changes"]
    assert change["change"]["actions"] == ["forget"]
    said = terminal.fine("apply", "p")
    assert "0 destroyed" in said
    assert terminal.fine("state", "list") == ""
    assert kept.read_text() == "here"


def test_also_when_the_block_is_gone(terminal: Shell, kept: Path) -> None:
    terminal.write("")
    assert "lifecycle.destroy = false lets go of it" in terminal.fine("plan")
    terminal.fine("apply", "-auto-approve")
    assert terminal.fine("state", "list") == ""
    assert kept.read_text() == "here"


def test_what_is_said_last_counts(terminal: Shell, kept: Path, tmp_path: Path) -> None:
    terminal.write((LET_GO % tmp_path).replace("destroy = false", "destroy = true"))
    terminal.fine("apply", "-auto-approve")
    terminal.write("")
    assert "1 destroyed" in terminal.fine("apply", "-auto-approve")
    assert not kept.exists()


def test_a_removed_block_says_more(terminal: Shell, kept: Path) -> None:
    terminal.write("removed {\n  from = file.f\n  lifecycle { destroy = true }\n}\n")
    assert "1 destroyed" in terminal.fine("apply", "-auto-approve")
    assert not kept.exists()


def test_nothing_can_take_its_place(terminal: Shell, kept: Path) -> None:
    said = terminal.refused("apply", "-auto-approve", "-replace=file.f")
    assert "Instance cannot be replaced" in said
    assert "hythe state rm" in said
    assert kept.read_text() == "here"
