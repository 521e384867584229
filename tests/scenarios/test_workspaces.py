"""Workspaces: several states of one configuration, each with its own name wherever names are made."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

CONFIGURATION = """\
resource "value" "a" {
  input = "${terraform.workspace} and ${hythe.workspace}"
}

module "inner" {
  source = "./inner"
}

output "a" {
  value = [value.a.output, module.inner.name]
}
"""
INNER = 'output "name" { value = terraform.workspace }\n'


@pytest.fixture
def folder(terminal: Any) -> Any:
    terminal.write(CONFIGURATION)
    terminal.write(INNER, "inner/main.hcl")
    return terminal


def test_each_workspace_has_a_state_of_its_own(folder: Any) -> None:
    folder.fine("apply", "--auto-approve")
    said = folder.fine("workspace", "new", "staging")
    assert 'Made the workspace "staging", and went there.' in said
    assert folder.fine("workspace", "show") == "staging\n"
    assert folder.fine("workspace", "list") == "  default\n* staging\n"
    assert folder.fine("plan").startswith("Workspace: staging\nPlan: 1 to add")
    folder.fine("apply", "--auto-approve")
    assert json.loads(folder.fine("output", "--json", "a")) == ["staging and staging", "staging"]
    assert (folder.folder / "hythe.state.d" / "staging" / "hythe.state.json").stat().st_mode & 0o777 == 0o600
    assert 'workspace is "default" now' in folder.fine("workspace", "select", "default")
    assert json.loads(folder.fine("output", "--json", "a")) == ["default and default", "default"]
    assert folder.fine("plan").startswith("No changes.")
    folder.fine("workspace", "select", "staging")
    assert folder.fine("plan").startswith("Workspace: staging\nNo changes.")
    assert "Workspace: staging.\nState: hythe.state.d/staging/hythe.state.json, 1 objects." in folder.fine("init")
    lineages = {
        json.loads(path.read_text())["lineage"]
        for path in (folder.folder / "hythe.state.json", folder.folder / "hythe.state.d/staging/hythe.state.json")
    }
    assert len(lineages) == 2


def test_deleting(folder: Any) -> None:
    folder.fine("workspace", "new", "staging")
    folder.fine("apply", "--auto-approve")
    assert '"staging" is the workspace that you work in' in folder.refused("workspace", "delete", "staging")
    assert '"default" is always there' in folder.refused("workspace", "delete", "-force", "default")
    folder.fine("workspace", "select", "default")
    assert "has 1 object." in folder.refused("workspace", "delete", "staging")
    assert folder.fine("workspace", "list") == "* default\n  staging\n"
    assert 'Did you mean "staging"?' in folder.refused("workspace", "delete", "stagign")
    assert folder.fine("workspace", "delete", "-force", "staging") == 'Deleted the workspace "staging".\n'
    assert "Objects left behind" in folder.err
    assert folder.fine("workspace", "list") == "* default\n"
    assert not (folder.folder / "hythe.state.d" / "staging").exists()
    folder.fine("workspace", "new", "empty")
    folder.fine("workspace", "select", "default")
    folder.fine("workspace", "delete", "empty")


def test_selecting(folder: Any) -> None:
    assert "No such workspace" in folder.refused("workspace", "select", "staging")
    assert folder.fine("workspace", "show") == "default\n"
    folder.fine("workspace", "select", "-or-create", "staging")
    assert folder.fine("workspace", "show") == "staging\n"
    assert "Workspace exists already" in folder.refused("workspace", "new", "staging")
    assert "Workspace exists already" in folder.refused("workspace", "new", "default")


def test_the_environment_wins(folder: Any) -> None:
    folder.fine("workspace", "new", "staging")
    folder.patch.setenv("HYTHE_WORKSPACE", "default")
    assert folder.fine("workspace", "show") == "default\n"
    assert folder.fine("workspace", "list") == "* default\n  staging\n"
    assert "HYTHE_WORKSPACE" in folder.err
    for words in (["new", "other"], ["select", "default"]):
        assert "Workspace is set by the environment" in folder.refused("workspace", *words)
    folder.patch.setenv("HYTHE_WORKSPACE", "made-by-apply")
    folder.fine("apply", "--auto-approve")
    assert folder.fine("workspace", "list") == "  default\n* made-by-apply\n  staging\n"


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "a b", "", "-x", "ä", "x" * 91])
def test_names_that_cannot_be(folder: Any, name: str) -> None:
    assert "Invalid workspace name" in folder.refused("workspace", "new", "--", name)
    assert not (folder.folder / "hythe.state.d").exists()
    if name:
        folder.patch.setenv("HYTHE_WORKSPACE", name)
        assert "Invalid workspace name" in folder.refused("plan")


def test_beginning_with_a_state(folder: Any) -> None:
    folder.fine("apply", "--auto-approve")
    folder.fine("workspace", "new", "-state=hythe.state.json", "copy")
    assert folder.fine("state", "list") == "value.a\n"
    assert "Not a state file" in folder.refused("workspace", "new", "-state=main.hcl", "other")
    assert folder.fine("workspace", "list") == "* copy\n  default\n"


def test_a_saved_plan_belongs_to_its_workspace(folder: Any) -> None:
    folder.fine("workspace", "new", "staging")
    folder.fine("plan", "--out=p")
    folder.fine("workspace", "select", "default")
    said = folder.refused("apply", "p")
    assert "Plan for another workspace" in said
    assert "hythe workspace select staging" in said
    assert folder.fine("state", "list") == ""
    folder.fine("workspace", "select", "staging")
    folder.fine("apply", "p")
    assert json.loads(folder.fine("output", "--json", "a")) == ["staging and staging", "staging"]


def test_a_state_file_that_is_named_is_that_file(folder: Any) -> None:
    folder.fine("workspace", "new", "staging")
    folder.fine("apply", "--auto-approve", "--state=here.json")
    assert (folder.folder / "here.json").exists()
    assert folder.fine("state", "list") == ""


def test_the_name_in_console_and_tests(folder: Any) -> None:
    folder.fine("workspace", "new", "staging")
    folder.answers = "terraform.workspace\n"
    assert folder.fine("console") == '"staging"\n'
    folder.write(
        'run "name" {\n  command = plan\n  assert {\n    condition     = value.a.input == "staging and staging"\n'
        "    error_message = value.a.input\n  }\n}\n",
        "name.test.hcl",
    )
    folder.fine("test")


@pytest.mark.parametrize("project", ["shop", "a-project-with-quite-a-long-name-that-goes-on"])
def test_default_names_differ(terminal: Any, project: str) -> None:
    block = "a_block_whose_name_is_so_long_that_all_of_it_cannot_be_in_the_name_of_its_object"
    terminal.write(f'hythe {{ project = "{project}" }}\nresource "volume" "v" {{}}\nresource "volume" "{block}" {{}}\n')
    names: dict[str, set[str]] = {}
    for workspace in ("default", "staging", "prod"):
        terminal.patch.setenv("HYTHE_WORKSPACE", workspace)
        found = re.findall(r'name += "(.*)"', terminal.fine("plan", "--refresh=false"))
        assert len(found) == 2
        names[workspace] = set(found)
    assert len(names["default"] | names["staging"] | names["prod"]) == 6
    assert all(len(name) <= 63 for found in names.values() for name in found)
