"""What OpenTofu's users type: taken where it means something, and answered with advice where it does not."""

from __future__ import annotations

from typing import Any

import click
import pytest

from hythe.cli import elsewhere, main
from tests.conftest import Shell

TEXT = """
variable "site" {}

hythe {
  backend "local" {
    path = "${var.site}.json"
  }
}

resource "value" "x" {
  input = var.site
}

resource "value" "y" {
  input = value.x.output
}

output "x" {
  value = value.x.output
}
"""
SITE = "-var=site=north"


@pytest.fixture
def shell(terminal: Shell) -> Shell:
    terminal.write(TEXT)
    terminal.fine("apply", "-auto-approve", SITE)
    return terminal


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("taint value.x", "hythe apply --replace=ADDRESS"),
        ("untaint value.x", "hythe import ADDRESS ID"),
        ("get -update", "hythe init --upgrade"),
        ("env list", "hythe workspace"),
        ("state replace-provider a b", "Nothing in the state names a provider"),
        ("providers lock", "hythe.lock.hcl"),
        ("init -plugin-dir=x", "Kinds come with Hythe"),
        ("plan -auto-approve", "This command asks nothing"),
        ("plan -chdir=x", "hythe --chdir=DIR COMMAND"),
        ("apply -out=x", "hythe plan --out=FILE"),
        ("apply -backup=-", "hythe state history"),
        ("state mv -backup=x a b", "hythe state history"),
        ("refresh -state-out=x", "Copy the state first"),
        ("import -allow-missing-config value.z 1", "--generate-config-out"),
        ("show -plan=p", "hythe show FILE"),
        ("graph -draw-cycles", "A cycle is an error"),
    ],
)
def test_advice(terminal: Shell, words: str, said: str) -> None:
    told = terminal.refused(*words.split())
    assert "There is no " in told or "has no subcommand" in told
    assert said in told


@pytest.mark.parametrize(
    "words",
    [
        "validate",
        "validate -no-tests -consolidate-warnings=false",
        "init -get=true -ignore-remote-version",
        "init -get=false",
        "plan -concise -consolidate-warnings=false -consolidate-errors",
        "state list",
        "state show value.x",
        "state pull",
        "state history",
        "state check",
        "state mv -ignore-remote-version value.x value.z",
        "state rm value.y",
        "show",
        "show -json",
        "output",
        "output -raw x",
        "force-unlock",
        "workspace list",
    ],
)
def test_what_is_taken(shell: Shell, words: str) -> None:
    """Commands that plan nothing take the variables that the backend block is made of, too."""
    shell.fine(*words.split(), SITE)


def test_a_variable_that_is_not_declared_is_a_mistake_everywhere(shell: Shell) -> None:
    assert "no variable of that name is declared" in shell.refused("state", "list", SITE, "-var=sight=x")


def test_get_and_upgrade(shell: Shell) -> None:
    assert "exclude each other" in shell.refused("init", "-get=false", "-upgrade", SITE)


def test_nothing_is_said_of_what_is_there() -> None:
    """Advice is for what is missing: an option that a command has needs none."""
    for name in main.COMMANDS:
        for path, found in _commands(name, main._load(name)):
            taken = {o.lstrip("-") for p in found.params if isinstance(p, click.Option) for o in p.opts}
            assert not [o for o in taken if elsewhere.is_without_effect(path, o)]
            assert path not in elsewhere.COMMANDS


def _commands(path: str, found: Any) -> list[tuple[str, Any]]:
    below = getattr(found, "commands", {})
    return [(path, found), *(pair for n, c in below.items() for pair in _commands(f"{path} {n}", c))]


def test_files_of_addresses(shell: Shell) -> None:
    shell.write("# the first\n\nvalue.x\n", "some")
    shell.write("# none\n", "none")
    plan = ("plan", "-var=site=north", "-replace=value.x", "-replace=value.y")
    assert "1 to replace" in shell.fine(*plan, "-target-file=some")
    assert "1 to replace" not in shell.fine(*plan)
    assert "No changes" in shell.fine(*plan, "-exclude-file=some")
    assert "names no address" in shell.refused(*plan, "-target-file=none")
    assert "cannot be read: No such file" in shell.refused(*plan, "-exclude-file=nowhere")
    shell.fine(*plan, "-out=p")
    assert "planning options do not go with it" in shell.refused("apply", "-target-file=some", "p")


def test_keys_without_quotes(shell: Shell) -> None:
    for words in (
        ("state", "rm", "value.x[a]", SITE),
        ("plan", SITE, "-target=value.x[a]"),
        ("import", "value.x[a]", "1", SITE),
    ):
        assert """unless all of it is within single ones: 'value.x["a"]'""" in shell.refused(*words)


def test_an_instance_to_replace_is_named(shell: Shell) -> None:
    shell.write(
        TEXT.replace('"x" {\n  input', '"x" {\n  count = 2\n  input').replace("value.x.output", "value.x[0].output")
    )
    shell.fine("apply", "-auto-approve", SITE)
    assert "Its block has value.x[0], value.x[1]." in shell.refused("plan", "-replace=value.x", SITE)
    assert "It has value.x[0], value.x[1]: name one" in shell.refused("state", "mv", SITE, "value.x", "value.z[0]")


def test_a_target_that_is_no_instance_is_warned_of(shell: Shell) -> None:
    shell.write(TEXT.replace('"x" {\n  input', '"x" {\n  count = 2\n  input').replace("x.output", "x[0].output"))
    for there in ("value.x[1]", "value.x", "value.y"):
        shell.fine("plan", SITE, f"-target={there}")
        assert "Nothing to target" not in shell.err
    shell.fine("plan", SITE, "-target=value.x[7]")
    assert "There is no instance value.x[7]" in shell.err
    shell.fine("plan", SITE, "-destroy", "-target=value.x[7]")
    assert "There is no instance value.x[7]" in shell.err
