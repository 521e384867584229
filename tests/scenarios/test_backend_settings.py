"""What a backend block may say, where its values come from, and what is told of mistakes in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hythe.cli import backends
from hythe.modules.declarations import BACKENDS as LABELS

VALUE = 'resource "value" "a" { input = "1" }\n'


def local(path: str, more: str = "") -> str:
    return f'hythe {{\n  backend "local" {{\n    path = {path}\n  }}\n}}\n{more}{VALUE}'


def shelf_block(*lines: str, more: str = "") -> str:
    inner = "".join(f"    {line}\n" for line in lines)
    return f'hythe {{\n  backend "shelf" {{\n{inner}  }}\n}}\n{more}{VALUE}'


def test_every_label_has_a_module() -> None:
    assert {backends.ALIASES.get(label, label) for label in LABELS} == set(backends.BACKENDS)


def test_a_module_that_is_not_there(terminal: Any, shelf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(backends.BACKENDS, "shelf", "hythe.state.backends.no_such_backend")
    terminal.write(shelf_block('address = "x"'))
    for command in ("validate", "plan"):
        said = terminal.refused(command)
        assert "Backend not available" in said
        assert 'The backend "shelf" is not in this version of Hythe' in said


VARIABLES = """\
variable "env" { type = string }
variable "other" {}
variable "token" {
  type      = string
  default   = "hunter2hunter2"
  sensitive = true
}
locals {
  folder = lower("${var.env}-states")
  unused = value.a.output
}
"""
PATH = '"${local.folder}/${terraform.workspace}.json"'


@pytest.mark.parametrize("origin", ["environment", "file", "auto"])
def test_values_from_variables(terminal: Any, origin: str) -> None:
    terminal.write(local(PATH, VARIABLES))
    terminal.patch.setenv("HYTHE_VAR_other", "x")
    if origin == "environment":
        terminal.patch.setenv("HYTHE_VAR_env", "PROD")
    else:
        terminal.write('env = "PROD"\n', "hythe.hclvars" if origin == "file" else "x.auto.hclvars")
    terminal.fine("init")
    terminal.fine("apply", "--auto-approve")
    assert (terminal.folder / "prod-states" / "default.json").exists()
    assert terminal.fine("state", "list") == "value.a\n"
    assert terminal.fine("destroy", "--auto-approve").count("Destroy complete!") == 1


def test_values_from_the_command_line(terminal: Any) -> None:
    terminal.write(local(PATH, VARIABLES))
    given = ("--var=env=dev", "--var=other=x")
    terminal.fine("apply", "--auto-approve", *given)
    assert (terminal.folder / "dev-states" / "default.json").exists()
    # a saved plan has its variables with it
    terminal.fine("plan", "--destroy", "--out=p", *given)
    terminal.fine("apply", "p")
    said = terminal.refused("state", "list")
    assert "No value for required variable" in said
    assert "--var 'env=...', in hythe.hclvars, or as HYTHE_VAR_env" in said


def test_only_the_variables_that_the_block_needs(terminal: Any) -> None:
    """Commands without --var do not ask for what has nothing to do with the state."""
    terminal.write(local('"${var.env}.json"', VARIABLES))
    terminal.patch.setenv("HYTHE_VAR_env", "dev")
    assert terminal.fine("state", "list") == ""


def test_the_workspace_in_an_argument_is_no_change(terminal: Any) -> None:
    terminal.write(local('"${terraform.workspace}.json"'))
    terminal.fine("apply", "--auto-approve")
    terminal.patch.setenv("HYTHE_WORKSPACE", "staging")
    assert terminal.fine("plan").startswith("Workspace: staging\nPlan: 1 to add")
    terminal.patch.setenv("HYTHE_WORKSPACE", "default")
    assert terminal.fine("plan").startswith("No changes.")


def test_partial_configuration(terminal: Any, shelf: Any) -> None:
    terminal.write(shelf_block("attempts = 5"))
    assert terminal.fine("validate").startswith("Success!")
    said = terminal.refused("plan")
    assert 'needs the argument "address"' in said
    assert "hythe init --backend-config=address=..." in said
    terminal.write('address  = "there"\npassword = "hunter2hunter2"\n', "secret.hclvars")
    terminal.fine("init", "-backend-config=secret.hclvars", "-backend-config", "attempts=7")
    kept = terminal.folder / ".hythe" / "backend.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert json.loads(kept.read_text())["given"] == {
        "address": "there",
        "password": "hunter2hunter2",
        "attempts": "7",
    }
    terminal.fine("apply", "--auto-approve")
    assert (terminal.folder / "there" / "state.json").exists()
    assert shelf.opened[-1].attempts == 7
    # init without them keeps them, and others are another place
    terminal.fine("init")
    assert "Backend configuration changed" in terminal.refused("init", "-backend-config=address=elsewhere")
    assert terminal.fine("state", "list") == "value.a\n"
    terminal.fine("init", "-backend-config=address=elsewhere", "-force-copy")
    assert (terminal.folder / "elsewhere" / "state.json").exists()
    assert terminal.fine("state", "list") == "value.a\n"
    assert 'needs the argument "address"' in terminal.refused("init", "-backend-config=")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("adress=x", 'takes no argument named "adress" (given with --backend-config). Did you mean "address"?'),
        ("attempts=none", 'The argument "attempts" given with --backend-config is not suitable'),
        ("nowhere.hclvars", "nowhere.hclvars"),
        ("=x", "must read name=value"),
        ("bad.hclvars", "Variables not allowed"),
    ],
)
def test_mistakes_in_partial_configuration(terminal: Any, shelf: Any, given: str, said: str) -> None:
    terminal.write(shelf_block('address = "x"'))
    terminal.write("address = var.x\n", "bad.hclvars")
    terminal.refused("init", f"-backend-config={given}")
    if given != "bad.hclvars":
        assert said in " ".join(terminal.err.split())
    else:
        assert "on bad.hclvars line 1" in terminal.err
    assert not (terminal.folder / ".hythe" / "backend.json").exists()


def test_partial_configuration_without_a_block(terminal: Any) -> None:
    terminal.write(VALUE)
    terminal.fine("init", "--backend-config=path=x")
    assert "No backend to configure" in terminal.err


def test_init_without_the_backend(terminal: Any, shelf: Any) -> None:
    terminal.write(shelf_block("attempts = 1"))
    assert "State:" not in terminal.fine("init", "-backend=false")


SECRET = 'variable "secret" {\n  default   = "hunter2hunter2"\n  sensitive = true\n}\n'


@pytest.mark.parametrize(
    ("lines", "said", "line"),
    [
        (["adress = 1"], 'takes no argument named "adress". Did you mean "address"?', 3),
        (['address = "x"', "attempts = var.secret"], "as it is sensitive the message about it is not shown", 4),
        (['address = "x"', "attempts = 0"], "it must be greater than or equal to 1", 4),
        (['address = "x"', "attempts = [1]"], "it must be a valid integer", 4),
        (["address = nothing.at.all"], 'There is no variable named "nothing"', 3),
        (["address = uuid()"], "The value of address is known only during an apply", 3),
        (["address = value.a.output"], "value.a.output is known only when the configuration is planned", 3),
        (["address = local.late"], "value.a.output is known only when the configuration is planned", 3),
        (["address = each.key"], "each.key is known only when", 3),
        (["address = module.x.y"], "module.x.y is known only when", 3),
    ],
)
def test_mistakes_are_told_where_they_are(terminal: Any, shelf: Any, lines: list[str], said: str, line: int) -> None:
    terminal.write(shelf_block(*lines, more=f'{SECRET}locals {{ late = "${{value.a.output}}" }}\n'))
    for command in ("plan", "output"):
        told = terminal.refused(command)
        assert said in told
        assert f"on main.hcl line {line}" in told
        assert "hunter2" not in told
    assert not (terminal.folder / ".hythe").exists()


def test_validate_needs_no_values_and_connects_nowhere(terminal: Any, shelf: Any) -> None:
    more = 'variable "where" {}\nvariable "times" {}\n'
    terminal.write(shelf_block("address = var.where", "attempts = var.times", more=more))
    assert terminal.fine("validate").startswith("Success!")
    assert shelf.opened == []


def test_ephemeral_values_are_written_nowhere(terminal: Any, shelf: Any) -> None:
    more = 'variable "password" {\n  ephemeral = true\n}\n'
    terminal.write(shelf_block('address = "x"', "password = var.password", more=more))
    terminal.patch.setenv("HYTHE_VAR_password", "hunter2hunter2")
    terminal.fine("apply", "--auto-approve")
    assert shelf.opened[-1].password.get_secret_value() == "hunter2hunter2"
    assert "hunter2" not in (terminal.folder / ".hythe" / "backend.json").read_text()
    assert terminal.fine("plan").startswith("No changes.")


def test_numbers_are_text_where_text_is_wanted(terminal: Any, shelf: Any) -> None:
    terminal.write(shelf_block("address = 5", 'attempts = "4"'))
    terminal.fine("apply", "--auto-approve")
    assert (terminal.folder / "5" / "state.json").exists()
    assert shelf.opened[-1].attempts == 4


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://user:hunter2@host/db", "postgres://user@host/db"),
        ("https://user:hun@ter2@host/p@th", "https://user@host/p@th"),
        ("host=h password=hunter2 dbname=d", "host=h password= dbname=d"),
        ("host=h password='hun ter\\'2' dbname=d", "host=h password= dbname=d"),
        ("postgres://host/db?user=u&password=hunter2&x=1", "postgres://host/db?user=u&password=&x=1"),
        ("https://host:8080/path", "https://host:8080/path"),
    ],
)
def test_passwords_in_addresses(text: str, shown: str) -> None:
    assert backends.without_passwords(text) == shown


@pytest.mark.parametrize("command", [("init",), ("plan",), ("state", "list")])
def test_a_place_that_never_answered_is_none_to_move_away_from(terminal: Any, command: tuple[str, ...]) -> None:
    # nobody listens at port 1
    block = '  backend "http" {\n    address   = "http://127.0.0.1:1/state"\n    retry_max = 0\n  }\n'
    terminal.write(f"hythe {{\n{block}}}\n{VALUE}")
    assert "127.0.0.1:1" in terminal.refused(*command)
    terminal.write(local('"right.json"'))
    terminal.fine("init")
    terminal.fine("apply", "--auto-approve")
    assert (terminal.folder / "right.json").exists()
