"""A hybrid fleet as a user has it: a copy of the example, the ``hythe`` command, the machine's libvirt and Docker."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.live import runs

REPOSITORY = Path(__file__).resolve().parents[3]

# `make test` has a sample of them in the other tests here and in tests/live/vm; `make soak` runs them
if not os.environ.get("HYTHE_SOAK"):
    collect_ignore = [
        "test_fleet_parallel.py",
        "test_fleet_hypervisor.py",
        "test_fleet_nested.py",
        "test_fleet_addresses.py",
        "test_fleet_kills.py",
    ]


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


class Fleet:
    """A folder with the example in it. Everything it makes carries the folder's name."""

    def __init__(self, folder: Path, nodes: str) -> None:
        self.folder = folder
        self.name = folder.name
        shutil.copytree(
            REPOSITORY / "examples" / "hybrid",
            folder,
            ignore=shutil.ignore_patterns(".hythe", "hythe.state.json*", "demo*"),
        )
        third = runs.third_octet("10.78", "10.79")
        (folder / "test.auto.hclvars").write_text(f'cidr = "10.78.{third}.0/24"\n')
        self.nodes = nodes

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start the command without waiting for it."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HYTHE_", "DOCKER_"))}
        return subprocess.Popen(
            [sys.executable, "-m", "hythe", *argv],
            cwd=self.folder,
            env={**kept, "NO_COLOR": "1", "COLUMNS": "200", "HYTHE_ENGINE": "docker", "HYTHE_VAR_nodes": self.nodes},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *argv: str, timeout: float = 1500) -> Ran:
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

    def apply(self) -> Ran:
        """Apply; it must succeed, and the next plan must be empty."""
        ran = self.ok("apply", "--auto-approve")
        plan = self.run("plan", "--detailed-exitcode")
        assert plan.code == 0, plan.text
        return ran

    def output(self, name: str) -> Any:
        """An output's value."""
        return json.loads(self.ok("output", "--json", name).out)

    def visit(self, node: str) -> str:
        """The page of a node."""
        with urllib.request.urlopen(self.output("urls")[node], timeout=30) as answer:
            return str(answer.read().decode())

    def there(self) -> dict[str, set[str]]:
        """What is on the machine of all this, by what shows it."""
        docker = ("docker", "image", "ls", "--format", "{{.Repository}}")
        pool = virsh("vol-list", "hythe", check=False)
        return {
            "domains": {n for n in virsh("list", "--all", "--name").split() if self.name in n},
            "networks": {n for n in virsh("net-list", "--all", "--name").split() if self.name in n},
            "volumes": {w for w in pool.split() if self.name in w and not w.startswith("/")},
            "images": {
                n
                for n in subprocess.run(docker, capture_output=True, text=True, check=True).stdout.split()
                if self.name in n
            },
        }

    def lose_state(self) -> None:
        """Remove the state with all that could bring it back; the keys stay."""
        for path in self.folder.glob("hythe.state.json*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def sweep(self) -> None:
        """Remove what is left, by other means than Hythe's."""
        left = self.there()
        for domain in left["domains"]:
            virsh("destroy", domain, check=False)
            virsh("undefine", domain, check=False)
        for network in left["networks"]:
            virsh("net-destroy", network, check=False)
            virsh("net-undefine", network, check=False)
        for volume in left["volumes"]:
            virsh("vol-delete", "--pool", "hythe", volume, check=False)
        for image in left["images"]:
            subprocess.run(["docker", "image", "rm", "-f", image], capture_output=True, check=False)


def virsh(*argv: str, check: bool = True) -> str:
    """What virsh prints."""
    done = subprocess.run(["virsh", "-c", "qemu:///system", *argv], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


def _make(base: Path, nodes: str) -> Iterator[Fleet]:
    made = Fleet(base / runs.claim("hytest"), nodes)
    try:
        yield made
    finally:
        made.sweep()


@pytest.fixture(scope="module")
def engines() -> None:
    """Docker and libvirt run."""
    runs.start_engines()


@pytest.fixture(scope="module")
def fleet(engines: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two machines, not applied yet; the tests of a module go on from each other."""
    yield from _make(tmp_path_factory.mktemp("fleet"), '["a","b"]')


@pytest.fixture
def small_fleet(engines: None, tmp_path: Path) -> Iterator[Fleet]:
    """One machine, not applied yet."""
    yield from _make(tmp_path, '["a"]')
