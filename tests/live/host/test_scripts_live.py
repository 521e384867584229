"""The scripts behind the Makefile, on this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
SCRIPTS = [*sorted((REPOSITORY / "scripts").glob("*.sh")), REPOSITORY / ".ci/run"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_scripts_parse_and_may_be_run(script: Path) -> None:
    assert script.stat().st_mode & 0o111 == 0o111
    assert subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=True).stderr == ""


def test_a_docker_that_answers_is_left_alone(docker: Any) -> None:
    several = [
        subprocess.Popen([str(REPOSITORY / "scripts/engines.sh"), "docker"], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert {run.communicate(timeout=60)[0] for run in several} == {"engines: docker answers already\n"}
    assert docker.engine.request("GET", "/_ping").status == 200


def test_setup_tells_its_modes() -> None:
    done = subprocess.run([str(REPOSITORY / "scripts/setup.sh"), "x"], capture_output=True, text=True, check=False)
    assert (done.returncode, "demo|test" in done.stderr) == (2, True)


def test_make_without_a_goal_lists_them() -> None:
    done = subprocess.run(["make", "-C", str(REPOSITORY)], capture_output=True, text=True, check=True)
    assert "make demo" in done.stdout
    assert "make test" in done.stdout
