"""libvirtd goes away in the middle of an apply: a libvirtd of our own in a mount namespace, ended by its pid."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live import runs

CONFIG = """\
resource "volume" "data" {
  type = "disk"
  uri  = "URI"
  name = "data"
  size = "16MiB"
}
resource "vm" "x" {
  count            = 6
  uri              = "URI"
  name             = "x${count.index}"
  memory           = "32MiB"
  cloud_init       = false
  accelerator      = "tcg"
  shutdown_timeout = "1s"
  disk { size = "16MiB" }
}
"""
MASKED = ("/run/libvirt", "/etc/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt")


class Libvirtd:
    """A libvirtd with state, storage and socket of its own; the machine's other one is none of its business."""

    def __init__(self) -> None:
        self.folder = runs.folder()
        self.folder.chmod(0o711)
        (self.folder / "conf").write_text(f'unix_sock_dir = "{self.folder}/sock"\nauth_unix_rw = "none"\n')
        (self.folder / "sock").mkdir()
        self.uri = f"qemu+unix:///system?socket={self.folder}/sock/libvirt-sock"
        self.holder = subprocess.Popen(["unshare", "--mount", "--net", "sleep", "infinity"])
        self._eventually(lambda: os.readlink(f"/proc/{self.holder.pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt"))
        for place in MASKED:
            self.inside("mkdir", "-p", place)
            self.inside("mount", "-t", "tmpfs", "-o", "mode=755", "none", place)
        # no virtlogd, whose socket is in a masked place
        self.inside("sh", "-c", "echo 'stdio_handler = \"file\"' > /etc/libvirt/qemu.conf")
        self.daemon: subprocess.Popen[bytes] | None = None

    def inside(self, *argv: str, check: bool = True) -> str:
        """Run a command where the daemon runs."""
        enter = ["nsenter", "--mount", "--net", "--target", str(self.holder.pid)]
        return subprocess.run([*enter, *argv], capture_output=True, text=True, check=check).stdout

    def start(self) -> None:
        """Start it and wait until it answers."""
        enter = ["nsenter", "--mount", "--net", "--target", str(self.holder.pid)]
        own = ["--config", f"{self.folder}/conf", "--pid-file", f"{self.folder}/pid"]
        with open(self.folder / "log", "ab") as log:
            self.daemon = subprocess.Popen([*enter, "libvirtd", *own], stdout=log, stderr=log)
        self._eventually(lambda: self.virsh("version", check=False) != "")

    def kill(self) -> None:
        """As a crash ends it: the machines run on, nobody answers for them."""
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait(30)

    def virsh(self, *argv: str, check: bool = True) -> str:
        """What virsh prints."""
        done = subprocess.run(["virsh", "-c", self.uri, *argv], capture_output=True, text=True, check=check)
        return done.stdout.strip()

    def close(self) -> None:
        """End the daemon and the machines that it started."""
        if self.daemon is not None and self.daemon.poll() is None:
            self.daemon.terminate()
            self.daemon.wait(30)
        for pid in self.inside("sh", "-c", "cat /run/libvirt/qemu/*.pid", check=False).split():
            os.kill(int(pid), signal.SIGKILL)
        self.holder.kill()
        self.holder.wait(30)
        subprocess.run(["rm", "-rf", str(self.folder)], check=True)

    def _eventually(self, true: object) -> None:
        end = time.monotonic() + 60
        while not true():  # type: ignore[operator]
            assert time.monotonic() < end, (self.folder / "log").read_text()
            time.sleep(0.1)


@pytest.fixture
def libvirtd() -> Iterator[Libvirtd]:
    """It runs."""
    made = Libvirtd()
    try:
        made.start()
        yield made
    finally:
        made.close()


def start(folder: Path, *argv: str) -> subprocess.Popen[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HYTHE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "hythe", *argv],
        cwd=folder,
        env={**kept, "NO_COLOR": "1", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def hythe(folder: Path, *argv: str) -> tuple[int, str]:
    process = start(folder, *argv)
    out, _ = process.communicate(timeout=300)
    assert "Traceback" not in out
    return process.returncode, " ".join(out.split())


def test_stopped_in_the_middle_of_an_apply(libvirtd: Libvirtd, tmp_path: Path) -> None:
    (tmp_path / "main.hcl").write_text(CONFIG.replace("URI", libvirtd.uri))
    process = start(tmp_path, "apply", "--auto-approve", "--parallelism=2")
    end = time.monotonic() + 120
    while "x1" not in libvirtd.virsh("list", "--name", check=False):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.05)
    libvirtd.kill()
    out, _ = process.communicate(timeout=300)
    text = " ".join(out.split())
    assert process.returncode == 1, out
    assert "Traceback" not in out
    assert "Hypervisor not reachable" in text
    assert libvirtd.uri in text
    assert "systemctl start libvirtd" in text

    code, text = hythe(tmp_path, "plan")
    assert code == 0, text
    assert "Hypervisor not reachable" in text
    code, text = hythe(tmp_path, "apply", "--auto-approve")
    assert code == 1, text
    assert "systemctl start libvirtd" in text

    libvirtd.start()
    code, text = hythe(tmp_path, "apply", "--auto-approve")
    assert code == 0, text
    assert sorted(libvirtd.virsh("list", "--name").split()) == [f"x{n}" for n in range(6)]
    assert hythe(tmp_path, "plan", "--detailed-exitcode")[0] == 0
    assert hythe(tmp_path, "destroy", "--auto-approve")[0] == 0
    assert libvirtd.virsh("list", "--all", "--name") == ""
    pools = libvirtd.virsh("pool-list", "--all", "--name")
    assert pools == "", (pools, libvirtd.virsh("vol-list", "hythe", check=False), libvirtd.virsh("pool-list", "--all"))
