"""Sources and versions of modules that are made of variables and locals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Shell
from tests.scenarios.test_modules import Repository

MAIN = """
variable "which" { default = "a" }
locals { place = "./${var.which}" }
module "direct" { source = local.place }
module "fixed" {
  source = "./mid"
  which  = "a"
}
module "handed" {
  source = "./mid"
  which  = upper(var.which) == "B" ? "b" : "a"
}
output "all" { value = [module.direct.name, module.fixed.name, module.handed.name] }
"""
MID = """
variable "which" { type = string }
module "inner" { source = "../${var.which}" }
output "name" { value = "mid ${module.inner.name}" }
"""


@pytest.fixture
def shop(terminal: Shell) -> Shell:
    """Two modules, and one that calls either."""
    terminal.write(MAIN)
    terminal.write(MID, "mid/main.hcl")
    for name in "ab":
        terminal.write(
            f'resource "value" "x" {{ input = "{name}" }}\noutput "name" {{ value = value.x.output }}\n',
            f"{name}/main.hcl",
        )
    return terminal


def all_of(shop: Shell) -> list[str]:
    found: list[str] = json.loads(shop.fine("output", "-json", "all"))
    return found


def test_each_call_has_its_own(shop: Shell) -> None:
    shop.fine("init")
    shop.fine("apply", "-auto-approve")
    assert all_of(shop) == ["a", "mid a", "mid a"]
    shop.fine("apply", "-auto-approve", "-var=which=b")
    assert all_of(shop) == ["b", "mid a", "mid b"]
    assert shop("plan", "-detailed-exitcode", "-var", "which=b") == 0
    shop.write('which = "b"', "hythe.hclvars")
    assert shop("plan", "-detailed-exitcode") == 0


def test_a_plan_carries_what_came_of_it(shop: Shell) -> None:
    shop.fine("plan", "-out=p", "-var=which=b")
    shown = json.loads(shop.fine("show", "-json", "p"))
    assert shown["planned_values"]["outputs"]["all"]["value"] == ["b", "mid a", "mid b"]
    assert {"direct", "fixed", "handed"} == set(shown["configuration"]["root_module"]["module_calls"])
    shop.fine("apply", "p")
    assert all_of(shop) == ["b", "mid a", "mid b"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("value.v.output", "value.v.output is known only when the configuration is planned"),
        ("local.late", "value.v.output is known only when the configuration is planned"),
        ("var.secret", "A sensitive or ephemeral value cannot be used"),
        ("var.open", "It depends on a variable that has no value yet"),
        ("var.whihc", 'There is no variable named "whihc". Did you mean "which"?'),
        ("local.palce", 'There is no local value named "palce". Did you mean "place"?'),
        ('["a"]', "It must be a string"),
        ('"./${nofunc()}"', 'There is no function named "nofunc"'),
        ("null", "must be a quoted string"),
        ("each.key", "each.key is known only when the configuration is planned"),
    ],
)
def test_what_cannot_be_told_early(shop: Shell, source: str, said: str) -> None:
    shop.write(
        MAIN + 'resource "value" "v" { input = "a" }\nlocals { late = "./${value.v.output}" }\n'
        'variable "secret" {\n  default = "./a"\n  sensitive = true\n}\nvariable "open" { type = string }\n'
        f'module "wrong" {{ source = {source} }}\n'
    )
    told = shop.refused("validate")
    assert said in told
    assert 'in module "wrong"' in told


def test_what_a_call_hands_down_is_told_there(shop: Shell) -> None:
    shop.write(MAIN.replace('which  = "a"', "which  = value.v.output") + 'resource "value" "v" { input = "a" }\n')
    told = shop.refused("plan")
    assert "on mid/main.hcl line 3" in told
    assert "var.which, which is made of value.v.output, is known only when" in told


def test_a_reference_of_a_repository(terminal: Shell, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    terminal.write(
        'variable "release" { default = "v1.0.0" }\n'
        f'module "m" {{\n  source = "{repository.source}?ref=${{var.release}}"\n  word = "x"\n}}\n'
        f'module "n" {{\n  source = "{repository.source}"\n  version = "~> ${{trimprefix(var.release, "v")}}"\n'
        '  word = "x"\n}\noutput "o" { value = [module.m, module.n] }\n'
    )
    assert "`hythe init` does" in terminal.refused("plan")
    terminal.fine("init")
    assert "?ref=v1.0.0" in (terminal.folder / "hythe.lock.hcl").read_text()
    assert "one x" in terminal.fine("plan")
    assert "`hythe init` does" in terminal.refused("plan", "-var=release=v1.1.0")
    terminal.fine("init", "-var=release=v1.1.0")
    assert "two x" in terminal.fine("plan", "-var=release=v1.1.0")


def test_in_json(shop: Shell) -> None:
    (shop.folder / "main.hcl").unlink()
    shop.write(
        json.dumps(
            {
                "variable": {"which": {"default": "b"}},
                "module": {"m": {"source": "./${var.which}"}},
                "output": {"all": {"value": ["${module.m.name}"]}},
            }
        ),
        "main.hcl.json",
    )
    shop.fine("apply", "-auto-approve")
    assert all_of(shop) == ["b"]
