"""A run of tests is killed: the next one removes what it left, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live import runs

KILLED = """\
import json, os, subprocess, sys
from tests.live import runs
run = runs.begin()
name, third, place = runs.claim("hytest"), runs.third_octet("10.79"), runs.folder()
def do(*argv): subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
do("ip", "netns", "add", name)
do("ip", "link", "add", name + "v", "type", "veth", "peer", "name", "eth0", "netns", name)
do("docker", "network", "create", "--internal", name + "-net")
do("docker", "volume", "create", name + "-vol")
xml = place / "net.xml"
xml.write_text(f"<network><name>{name}-lan</name><bridge name='{name}b'/>"
               f"<ip address='10.79.{third}.1' netmask='255.255.255.0'/></network>")
do("virsh", "-c", "qemu:///system", "net-define", xml)
do("virsh", "-c", "qemu:///system", "net-start", name + "-lan")
do("mount", "-t", "tmpfs", "none", place)
do("virsh", "-c", "qemu:///system", "vol-create-as", sys.argv[1], name + ".img", "1M")
do("virsh", "-c", "qemu:///system", "pool-define-as", name + "-pool", "dir", "--target", place)
child = subprocess.Popen(["sleep", "infinity"])
print(json.dumps([str(run.path), name, str(place), child.pid]), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def foreign() -> Iterator[str]:
    """A namespace with a name of the same kind, of somebody else."""
    name = runs.claim("hytest")
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[str]:
    """A storage pool of somebody else."""
    runs.start_engines("libvirt")
    name = runs.claim("hytest")
    virsh = ("virsh", "-c", "qemu:///system")
    told(*virsh, "pool-define-as", name, "dir", "--target", str(tmp_path))
    told(*virsh, "pool-start", name)
    yield name
    told(*virsh, "pool-destroy", name)
    told(*virsh, "pool-undefine", name)


def told(*argv: str) -> str:
    return subprocess.run(list(argv), check=True, capture_output=True, text=True).stdout


def here(name: str, pool: str) -> dict[str, bool]:
    """Where this name is to be seen."""
    return {
        "namespace": name in told("ip", "netns", "list"),
        "interface": name in told("ip", "-brief", "link"),
        "Docker network": name in told("docker", "network", "ls"),
        "Docker volume": name in told("docker", "volume", "ls"),
        "network": name in told("virsh", "-c", "qemu:///system", "net-list", "--all"),
        "volume": name in told("virsh", "-c", "qemu:///system", "vol-list", pool),
        "pool": name in told("virsh", "-c", "qemu:///system", "pool-list", "--all"),
    }


def test_what_a_killed_run_left_goes(docker: Any, foreign: str, pool: str) -> None:
    kept = {k: v for k, v in os.environ.items() if k != runs.VARIABLE}
    argv = [sys.executable, "-c", KILLED, pool]
    killed = subprocess.Popen(
        argv, cwd=runs.REPOSITORY, env=kept, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert killed.stdout is not None
    record, name, place, child = json.loads(killed.stdout.readline())
    try:
        # a run that lasts keeps what it has
        runs.clear_dead()
        assert all(here(name, pool).values())
        killed.send_signal(signal.SIGKILL)
        killed.wait(30)
        assert Path(f"/proc/{child}").exists()
        said = " ".join(runs.clear_dead())
        assert name in said
        assert foreign not in said
    finally:
        killed.kill()
        killed.wait(30)
        runs.clear_dead()
    assert not any(here(name, pool).values())
    assert not Path(record).exists()
    assert not Path(place).exists()
    # whoever adopted it may not have asked how it ended
    assert Path(f"/proc/{child}").exists() is False or Path(f"/proc/{child}/cmdline").read_bytes() == b""
    assert here(foreign, pool)["namespace"]
    assert here(pool, pool)["pool"]
