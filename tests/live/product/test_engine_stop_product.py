"""The engine goes away in the middle of an apply: a Podman service of our own, ended by its pid."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.live import runs

CONFIG = """
resource "volume" "v" {
  count = 4
  name  = "PREFIX-v${count.index}"
}
resource "container" "c" {
  count   = 12
  name    = "PREFIX-c${count.index}"
  image   = "IMAGE"
  command = ["sleep", "9000"]
  init    = true
  mount {
    volume = volume.v[count.index % 4]
    target = "/data"
  }
}
"""


def _serve(bench: Any, socket: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [*bench.command, "system", "service", "--time", "0", f"unix://{socket}"],
        env={**os.environ, **bench.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 20
    while not socket.exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    return process


def test_engine_stopped_in_the_middle(podman: Any, tmp_path: Path, make_workspace: Any) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    socket = runs.folder() / "s"
    bench = replace(podman, endpoint=f"unix://{socket}")
    work = make_workspace(folder, bench)
    work.write(CONFIG)
    service = _serve(podman, socket)
    try:
        process = work.start("apply", "--auto-approve", "--parallelism=2")
        work.eventually(lambda: len(work.listed("containers")) >= 2)
        service.terminate()
        service.wait(30)
        socket.unlink(missing_ok=True)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 1, out + err
        assert "Traceback" not in out + err
        assert str(socket) in out + err, "the message names the engine"
        planned = work.run("plan")
        assert planned.code == 0, planned.text
        assert "not reachable" in planned.text.lower()
        service = _serve(podman, socket)
        work.apply()
        assert len(work.listed("containers")) == 12
        work.ok("destroy", "--auto-approve")
        assert not any(work.everything().values())
    finally:
        service.terminate()
        service.wait(30)
        work.sweep()
