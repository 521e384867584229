"""Many processes that apply at the same time against one state, each adding an instance of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIGURATION = """
hythe {
  BACKEND
}
variable "slot" {}
resource "value" "slot" {
  for_each = toset([var.slot])
  input    = "from ${each.key}"
}
"""


@dataclass
class Contest:
    """What came of it. ``failed`` holds what processes said that did not succeed."""

    seconds: float
    failed: list[str]
    state: dict[str, Any]

    @property
    def slots(self) -> set[str]:
        """Whose instances are in the state."""
        return {str(i["attributes"]["input"]).removeprefix("from ") for i in instances(self.state)}

    def check(self, count: int, step: int = 1) -> None:
        """All came through, one at a time, and none overwrote another. Each apply raises the serial by ``step``."""
        assert not self.failed, "\n".join(self.failed)
        assert self.slots == {str(n) for n in range(count)}
        assert self.state["serial"] == count * step


def instances(state: dict[str, Any]) -> list[dict[str, Any]]:
    """The instances in a state as ``state pull`` gives it."""
    return list(state["instances"])


def contest(
    folder: Path, backend: str, count: int, environment: Mapping[str, str] | None = None, timeout: float = 1200
) -> Contest:
    """Let ``count`` processes apply at once, each in a folder of its own as on machines of their own.

    ``backend`` is the block that goes into the configuration of each.
    """
    surroundings = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", **(environment or {})}
    folders = [folder / f"machine-{n}" for n in range(count)]
    for each in folders:
        each.mkdir(parents=True)
        (each / "main.hcl").write_text(CONFIGURATION.replace("BACKEND", backend))

    def start(at: Path, *argv: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "hythe", *argv],
            cwd=at,
            env=surroundings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    begun = time.monotonic()
    apply = ("apply", "--auto-approve", f"--lock-timeout={timeout:.0f}s")
    running = [start(at, *apply, f"--var=slot={n}", f'--target=value.slot["{n}"]') for n, at in enumerate(folders)]
    failed = []
    try:
        for n, process in enumerate(running):
            said, _ = process.communicate(timeout=timeout)
            if process.returncode != 0:
                failed.append(f"{n}: exit code {process.returncode}\n{said}")
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
                process.communicate()
    seconds = time.monotonic() - begun
    pulled, _ = start(folders[0], "state", "pull").communicate(timeout=120)
    return Contest(seconds, failed, json.loads(pulled))
