"""Every example is valid, plans what it says, and has a page that tells what it is."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAMES = sorted(p.name for p in EXAMPLES.iterdir() if p.is_dir())

# what each adds at first; a new example states its number here
ADDITIONS = {
    "existing-host": 4,
    "first": 2,
    "hybrid": 14,
    "many": 7,
    "podman-and-docker": 8,
    "private-registry": 2,
    "static-site": 4,
    "two-tier": 8,
    "vm": 3,
}
VARIABLES = {"private-registry": {"password": "correct-horse"}}


@pytest.fixture
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the example, so that nothing is left behind in the repository."""
    folder = tmp_path / request.param
    shutil.copytree(EXAMPLES / request.param, folder, ignore=shutil.ignore_patterns(".hythe", "hythe.state.json*"))
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_example_has_a_page(name: str) -> None:
    page = EXAMPLES / name / "README.md"
    assert page.is_file(), f"examples/{name} has no README.md: say what it shows and how to run it"
    text = page.read_text()
    assert text.startswith("# "), f"{page} begins with no heading"
    assert "hythe apply" in text or "make demo" in text, f"{page} does not tell how to run it"


@pytest.mark.parametrize("example", NAMES, indirect=True)
def test_example_is_valid(example: Path, run: Any) -> None:
    done = run(example, "validate")
    assert done.code == 0, done.err
    assert "The configuration is valid" in done.out


@pytest.mark.parametrize("example", NAMES, indirect=True)
def test_example_plans_what_it_says(example: Path, run: Any) -> None:
    variables = VARIABLES.get(example.name, {})
    done = run(example, "plan", variables=variables)
    assert done.code == 0, done.err
    assert done.err == ""
    count = re.search(r"^Plan: (\d+) to add, 0 to change, 0 to replace, 0 to destroy\.$", done.out, re.MULTILINE)
    assert count is not None, done.out
    assert int(count[1]) == ADDITIONS[example.name]
    assert "will be created" in done.out
    assert "Outputs:" in done.out
    for secret in variables.values():
        assert secret not in done.out


@pytest.mark.parametrize("example", NAMES, indirect=True)
def test_planning_an_example_leaves_no_state(example: Path, run: Any) -> None:
    before = {p.relative_to(example) for p in example.rglob("*")}
    run(example, "plan", variables=VARIABLES.get(example.name, {}))
    left = {str(p.relative_to(example)) for p in example.rglob("*")} - {str(p) for p in before}
    assert left <= {"hythe.state.json.lock"}


def test_password_of_the_private_registry_is_asked_for(tmp_path: Path, run: Any) -> None:
    folder = tmp_path / "private-registry"
    shutil.copytree(EXAMPLES / "private-registry", folder)
    done = run(folder, "plan", "--input=false")
    assert done.code == 1
    assert "No value for required variable" in done.err
    assert "HYTHE_VAR_password" in done.err


def test_services_can_be_given_in_a_file(tmp_path: Path, run: Any) -> None:
    folder = tmp_path / "many"
    shutil.copytree(EXAMPLES / "many", folder)
    (folder / "hythe.hclvars").write_text('services = { one = { page = "one", port = 9000 } }\n')
    done = run(folder, "plan")
    assert done.out.startswith("Plan: 3 to add"), done.err
    (folder / "hythe.hclvars").write_text('services = { one = { page = "one", needs = ["two"] } }\n')
    done = run(folder, "plan")
    assert done.code == 1
    assert "must be a service that needs nothing itself" in done.err
