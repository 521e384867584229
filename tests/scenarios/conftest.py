"""The command as a user runs it, in a folder of its own and without any engine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that ended."""

    code: int
    out: str
    err: str

    def checked(self) -> Ran:
        """Itself; fails when the command broke."""
        assert "Traceback" not in self.out + self.err, self.out + self.err
        assert "This is a bug" not in self.err, self.err
        return self


Run = Callable[..., Ran]


@pytest.fixture(scope="session")
def run() -> Run:
    """Runs ``python -m hythe`` in a folder. No engine can be reached, and no setting of the caller's counts."""

    def call(folder: Path, *argv: str, variables: Mapping[str, str] | None = None) -> Ran:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HYTHE_", "DOCKER_", "CONTAINER_"))}
        given = {f"HYTHE_VAR_{name}": value for name, value in (variables or {}).items()}
        nowhere = f"unix://{folder}/no-engine.sock"
        done = subprocess.run(
            [sys.executable, "-m", "hythe", *argv],
            cwd=folder,
            env={**kept, **given, "DOCKER_HOST": nowhere, "NO_COLOR": "1", "COLUMNS": "120"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return Ran(done.returncode, done.stdout, done.stderr).checked()

    return call


@pytest.fixture
def run_here(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """As ``run``, in this process: for many short runs."""
    from hythe.cli.main import run as run_command

    def call(folder: Path, *argv: str) -> Ran:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/no-engine.sock")
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setenv("COLUMNS", "120")
        code = run_command([f"--chdir={folder}", *argv])
        said = capsys.readouterr()
        return Ran(code, said.out, said.err).checked()

    return call
