"""``hythe test``: what test files say, what is kept in memory for them, and what is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

CONFIG = """
variable "name" {
  type    = string
  default = "web"
  validation {
    condition     = length(var.name) < 6
    error_message = "${var.name} is too long."
  }
}
resource "random" "port" {
  type = "integer"
  min  = 1000
  max  = 2000
}
resource "container" "web" {
  name  = var.name
  image = "registry.example.org/web:1"
  env   = { PORT = tostring(random.port.result) }
  lifecycle {
    precondition {
      condition     = var.name != "bad"
      error_message = "bad is bad"
    }
  }
}
data "container" "other" { name = "other" }
check "memory" {
  assert {
    condition     = container.web.memory != null
    error_message = "no limit"
  }
}
output "name" { value = container.web.name }
output "address" { value = container.web.ip_address }
output "other" { value = data.container.other.id }
"""
MOCKED = """
mock_provider "hythe" {
  mock_resource "container" {
    defaults = { ip_address = "10.0.0.5" }
  }
}
override_data {
  target = data.container.other
  values = { id = "abc" }
}
variables { name = "site" }
run "planned" {
  command = plan
  assert {
    condition     = container.web.name == "site" && output.other == "abc"
    error_message = "It is ${container.web.name}."
  }
  expect_failures = [check.memory]
}
run "applied" {
  variables { name = run.planned.name == "site" ? "next" : "none" }
  assert {
    condition     = output.address == "10.0.0.5" && random.port.result >= 1000
    error_message = "${output.address}, ${random.port.result}"
  }
  assert {
    condition     = container.web.env.PORT == tostring(random.port.result)
    error_message = "The port does not arrive."
  }
  expect_failures = [check.memory]
}
run "kept" {
  variables { name = "next" }
  override_resource {
    target = container.web
    values = { ip_address = "10.0.0.9" }
  }
  assert {
    condition     = run.applied.address == "10.0.0.5" && output.name == "next"
    error_message = "${run.applied.address}"
  }
  expect_failures = [check.memory]
}
run "too_long" {
  command = plan
  variables { name = "longer than that" }
  expect_failures = [var.name]
}
run "bad" {
  command = plan
  variables { name = "bad" }
  expect_failures = [container.web]
}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "main.hcl").write_text(CONFIG)
    (tmp_path / "tests").mkdir()
    return tmp_path


def test_everything_in_memory(folder: Path, run: Any) -> None:
    (folder / "tests" / "web.test.hcl").write_text(MOCKED)
    done = run(folder, "test", "--junit-xml", "junit.xml")
    assert done.code == 0, done.out + done.err
    assert done.out.splitlines() == [
        "tests/web.test.hcl... in progress",
        '  run "planned"... pass',
        '  run "applied"... pass',
        '  run "kept"... pass',
        '  run "too_long"... pass',
        '  run "bad"... pass',
        "tests/web.test.hcl... tearing down",
        "tests/web.test.hcl... pass",
        "",
        "Success! 5 passed, 0 failed.",
    ]
    suite = ElementTree.parse(folder / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("5", "0", "0")
    # the configuration's own state is not touched, and nothing is read as configuration
    assert sorted(p.name for p in folder.iterdir()) == ["junit.xml", "main.hcl", "tests"]
    assert run(folder, "validate").code == 0


def test_what_fails_is_shown_where_it_stands(folder: Path, run: Any) -> None:
    text = MOCKED.replace('== "site" && output.other', '== "sight" && output.other')
    text = text.replace("expect_failures = [var.name]", "")
    (folder / "a.test.hcl").write_text(text)
    done = run(folder, "test", "--junit-xml=junit.xml")
    assert done.code == 1
    assert 'run "planned"... fail' in done.out
    assert 'run "too_long"... fail' in done.out
    assert "Failure! 3 passed, 2 failed." in done.out
    said = " ".join(done.err.split())
    assert "Error: Test assertion failed on a.test.hcl line 15" in said, said
    assert "It is site." in said
    assert "longer than that is too long." in said
    suite = ElementTree.parse(folder / "junit.xml").getroot()[0]
    assert [c.get("name") for c in suite if c.find("failure") is not None] == ["planned", "too_long"]


def test_expected_failures_must_happen(folder: Path, run: Any) -> None:
    (folder / "a.test.hcl").write_text(
        'mock_provider "hythe" {}\nrun "r" {\n  command = plan\n  expect_failures = [var.name, check.memory]\n}\n'
    )
    done = run(folder, "test")
    assert done.code == 1
    assert "var.name was expected to fail, and it did not." in " ".join(done.err.split())


def test_what_is_known_only_after_apply_needs_one(folder: Path, run: Any) -> None:
    (folder / "a.test.hcl").write_text(
        'mock_provider "hythe" {}\nrun "r" {\n  command = plan\n  expect_failures = [check.memory]\n'
        '  assert {\n    condition = random.port.result > 0\n    error_message = "x"\n  }\n}\nrun "next" {}\n'
    )
    done = run(folder, "test")
    assert done.code == 1
    assert 'run "r"... error' in done.out
    assert 'run "next"... skip' in done.out
    assert "Condition not known" in done.err


def test_as_json(folder: Path, run: Any) -> None:
    (folder / "tests" / "web.test.hcl").write_text(MOCKED)
    lines = [json.loads(line) for line in run(folder, "test", "--json").out.splitlines()]
    assert [li["test_run"]["status"] for li in lines if li["type"] == "test_run"] == ["pass"] * 5
    assert lines[-1]["summary"] == {"status": "pass", "pass": 5, "fail": 0, "error": 0, "skip": 0}


def test_real_objects_are_made_and_removed(tmp_path: Path, run: Any) -> None:
    (tmp_path / "main.hcl").write_text(
        'variable "text" { default = "one" }\n'
        f'resource "file" "f" {{\n  path = "{tmp_path}/made"\n  content = var.text\n}}\n'
        'output "size" { value = length(file.f.content) }\n'
    )
    (tmp_path / "a.test.hcl").write_text(
        f'run "made" {{\n  assert {{\n    condition = file("{tmp_path}/made") == "one"\n'
        '    error_message = "no"\n  }\n}\n'
        'run "changed" {\n  variables { text = "three" }\n'
        "  assert {\n    condition = output.size == 5 && run.made.size == 3\n"
        '    error_message = "no"\n  }\n}\n'
    )
    done = run(tmp_path, "test")
    assert done.code == 0, done.out + done.err
    assert not (tmp_path / "made").exists()


def test_another_module_in_a_run(folder: Path, run: Any) -> None:
    (folder / "setup").mkdir()
    (folder / "setup" / "main.hcl").write_text(
        'resource "value" "v" { input = "made" }\noutput "v" { value = value.v.output }\n'
    )
    (folder / "a.test.hcl").write_text(
        'mock_provider "container" {}\n'
        'run "setup" {\n  module {\n    source = "./setup"\n  }\n}\n'
        'run "main" {\n  variables { name = run.setup.v }\n  expect_failures = [check.memory]\n'
        '  assert {\n    condition = output.name == "made"\n    error_message = output.name\n  }\n}\n'
    )
    done = run(folder, "test")
    assert done.code == 0, done.out + done.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("run {}", 'A "run" block needs a name'),
        ('rum "x" {}', 'Did you mean "run"?'),
        ('run "x" { command = destroy }', "command must be plan or apply"),
        ('mock_provider "contaner" {}\nrun "x" { command = plan }', 'There is no kind "contaner" to mock'),
        ("x = 1", "belong in a variables block"),
        ('run "x" {', ""),
    ],
)
def test_mistakes_in_test_files(folder: Path, run: Any, text: str, words: str) -> None:
    (folder / "a.test.hcl").write_text(text)
    done = run(folder, "test")
    assert done.code == 1
    assert words in " ".join(done.err.split())
    assert "a.test.hcl line" in done.err


def test_no_tests(folder: Path, run: Any) -> None:
    done = run(folder, "test")
    assert done.code == 1
    assert "There are no test files" in done.err


def test_what_a_later_run_overrides_is_still_removed(tmp_path: Path, run: Any) -> None:
    (tmp_path / "main.hcl").write_text(
        f'variable "text" {{ default = "one" }}\nresource "file" "f" {{\n  path = "{tmp_path}/made"\n'
        "  content = var.text\n}\n"
    )
    override = "  override_resource {\n    target = file.f\n  }\n"
    (tmp_path / "a.test.hcl").write_text(
        'run "made" {}\nrun "later" {\n  variables { text = "two" }\n' + override + "}\n"
    )
    done = run(tmp_path, "test")
    assert done.code == 0, done.out + done.err
    assert not (tmp_path / "made").exists()
    (tmp_path / "a.test.hcl").write_text('run "first" {\n' + override + '}\nrun "later" {}\n')
    done = run(tmp_path, "test")
    assert done.code == 0, done.out + done.err
    assert not (tmp_path / "made").exists()


MODULES = """
module "shop" {
  source = "./shop"
  count  = 2
  size   = random.n.result
}
resource "random" "n" {
  type = "integer"
  min  = 1
  max  = 9
}
resource "value" "all" { input = [for s in module.shop : s.name] }
output "names" { value = value.all.output }
output "inner" { value = module.shop[0].inner }
"""
SHOP = """
variable "size" {
  type = number
  validation {
    condition     = var.size < 0
    error_message = "This can never be."
  }
}
module "deep" { source = "./deep" }
resource "file" "f" {
  path    = "/nowhere/at/all/${var.size}"
  content = "x"
}
output "name" { value = file.f.content }
output "inner" { value = module.deep.name }
"""


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    (tmp_path / "main.hcl").write_text(MODULES)
    (tmp_path / "shop" / "deep").mkdir(parents=True)
    (tmp_path / "shop" / "main.hcl").write_text(SHOP)
    (tmp_path / "shop" / "deep" / "main.hcl").write_text('output "name" { value = "really deep" }\n')
    return tmp_path


def test_a_module_is_overridden(modules: Path, run: Any) -> None:
    (modules / "a.test.hcl").write_text(
        """
override_module {
  target  = module.shop
  outputs = { name = "mocked" }
}
run "by_the_file" {
  assert {
    condition     = output.names == ["mocked", "mocked"] && output.inner == null
    error_message = jsonencode(output.names)
  }
  assert {
    condition     = module.shop[1].name == "mocked"
    error_message = "module.shop"
  }
}
run "by_the_run" {
  override_module {
    target  = module.shop
    outputs = { name = upper("own"), inner = "i" }
  }
  override_module {
    target = module.shop.module.deep
  }
  assert {
    condition     = output.names == ["OWN", "OWN"] && output.inner == "i" && run.by_the_file.inner == null
    error_message = jsonencode(output.names)
  }
}
"""
    )
    done = run(modules, "test")
    assert done.code == 0, done.out + done.err
    assert "2 passed" in done.out


def test_what_a_module_calls_is_overridden_alone(modules: Path, run: Any) -> None:
    (modules / "shop" / "main.hcl").write_text(SHOP.replace("< 0", "> 0"))
    text = """
mock_provider "hythe" {}
run "real" {
  assert {
    condition     = output.inner == "really deep"
    error_message = output.inner
  }
}
run "overridden" {
  override_module {
    target  = module.shop.module.deep
    outputs = { name = "shallow" }
  }
  assert {
    condition     = output.inner == "shallow" && output.names == ["x", "x"]
    error_message = output.inner
  }
}
run "real_again" {
  assert {
    condition     = output.inner == "really deep"
    error_message = output.inner
  }
}
"""
    (modules / "a.test.hcl").write_text(text)
    done = run(modules, "test")
    assert done.code == 0, done.out + done.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("target = module.shp", 'There is no module "shp" to override. Did you mean "shop"?'),
        ("target = module.shop[0]", "without instance keys"),
        ("target = random.n", "takes the address of a module call, like module.shop, and random.n is none"),
        ("target = module.shop\noutputs = { nam = 1 }", 'module.shop has no output "nam". Did you mean "name"?'),
        ("target = module.shop\noutputs = 5", "outputs must be an object"),
        ("target = module.shop\nvalues = {}", 'takes no argument named "values"'),
        ("outputs = {}", "an address like module.shop"),
    ],
)
def test_mistakes_in_overriding_a_module(modules: Path, run: Any, text: str, words: str) -> None:
    (modules / "a.test.hcl").write_text('run "x" {\noverride_module {\n' + text + "\n}\n}\n")
    done = run(modules, "test")
    assert done.code == 1
    assert words in " ".join(done.err.split())
    assert "a.test.hcl line" in done.err
