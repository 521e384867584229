"""The product as a user has it: the ``hythe`` command in a folder, on a real engine."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Ran:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All it said."""
        return self.out + self.err


@dataclass
class Workspace:
    """A folder with a configuration, and the command that works on it."""

    folder: Path
    bench: Any
    prefix: str

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HYTHE_", "DOCKER_"))}
        return {**kept, "DOCKER_HOST": self.bench.endpoint, "NO_COLOR": "1", "COLUMNS": "200"}

    def write(self, text: str, name: str = "main.hcl") -> None:
        """Write a configuration file; ``PREFIX`` and ``IMAGE`` are filled in."""
        text = text.replace("PREFIX", self.prefix).replace("IMAGE", self.bench.image)
        (self.folder / name).write_text(text)

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start the command without waiting for it."""
        return subprocess.Popen(
            [sys.executable, "-m", "hythe", *argv],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def run(self, *argv: str, timeout: float = 300) -> Ran:
        """Run the command to its end."""
        process = self.start(*argv)
        out, err = process.communicate(timeout=timeout)
        assert "Traceback" not in out + err, out + err
        return Ran(process.returncode, out, err)

    def ok(self, *argv: str) -> Ran:
        """Run the command; it must succeed."""
        ran = self.run(*argv)
        assert ran.code == 0, ran.text
        return ran

    def apply(self, *more: str) -> Ran:
        """Apply without asking; it must succeed, and the next plan must be empty."""
        ran = self.ok("apply", "--auto-approve", *more)
        self.empty()
        return ran

    def empty(self) -> None:
        """The plan must be empty."""
        ran = self.run("plan", "--detailed-exitcode")
        assert ran.code == 0, ran.text

    def plan(self) -> list[dict[str, Any]]:
        """The plan's changes in JSON, no-ops left out."""
        self.ok("plan", "--out", "p.plan")
        shown = json.loads(self.ok("show", "--json", "p.plan").out)
        return [c for c in shown["resource_changes"] if c["change"]["actions"] != ["no-op"]]

    def actions(self) -> dict[str, list[str]]:
        """What the plan would do, by address."""
        return {c["address"]: c["change"]["actions"] for c in self.plan()}

    def kill_after(self, seconds: float, *argv: str) -> bool:
        """Start the command and kill it -9 after some time; whether it was still running."""
        process = self.start(*argv)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return True
        process.communicate()
        return False

    def listed(self, what: str) -> set[str]:
        """Names of the engine's objects that belong to this workspace, by its prefix."""
        argv = {
            "containers": ("ps", "--all", "--format", "{{.Names}}"),
            "networks": ("network", "ls", "--format", "{{.Name}}"),
            "volumes": ("volume", "ls", "--format", "{{.Name}}"),
        }[what]
        return {n for n in self.bench.cli(*argv).splitlines() if self.prefix in n}

    def everything(self) -> dict[str, set[str]]:
        """All three listings."""
        return {what: self.listed(what) for what in ("containers", "networks", "volumes")}

    def sweep(self) -> None:
        """Remove what is left of this workspace, and nothing else."""
        replace(self.bench, prefix=self.prefix).sweep()

    def eventually(self, check: Callable[[], bool], seconds: float = 20) -> None:
        """Wait for something to become true."""
        end = time.monotonic() + seconds
        while not check():
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.1)


@pytest.fixture
def make_workspace() -> Callable[[Path, Any], Workspace]:
    """``make_workspace(folder, bench)``."""
    return lambda folder, bench: Workspace(folder, bench, f"{bench.prefix}-{secrets.token_hex(3)}")


def _workspace(tmp_path: Path, bench: Any) -> Workspace:
    folder = tmp_path / "work"
    folder.mkdir()
    return Workspace(folder, bench, f"{bench.prefix}-{secrets.token_hex(3)}")


@pytest.fixture
def workspace(tmp_path: Path, docker: Any) -> Iterator[Workspace]:
    """A workspace on Docker."""
    made = _workspace(tmp_path, docker)
    yield made
    made.sweep()


@pytest.fixture
def podman_workspace(tmp_path: Path, podman: Any) -> Iterator[Workspace]:
    """A workspace on Podman."""
    made = _workspace(tmp_path, podman)
    yield made
    made.sweep()


@pytest.fixture
def each_workspace(tmp_path: Path, bench: Any) -> Iterator[Workspace]:
    """A workspace on each engine in turn."""
    made = _workspace(tmp_path, bench)
    yield made
    made.sweep()
