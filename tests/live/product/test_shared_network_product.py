"""Containers on a network of the hypervisor, beside VMs."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest

from tests.live import runs

CONFIG = """\
resource "network" "lan" {
  mode = "nat"
  name = "PREFIX-lan"
  cidr = "CIDR.0/24"
}
resource "container" "c" {
  count   = 3
  name    = "PREFIX-c${count.index}"
  image   = "IMAGE"
  command = ["httpd", "-f", "-p", "80"]
  network {
    network = network.lan
    aliases = ["svc${count.index}"]
  }
}
"""


def ip(*argv: str) -> None:
    subprocess.run(["ip", *argv], check=True, capture_output=True)


def run(*argv: str) -> str:
    return subprocess.run(list(argv), check=False, capture_output=True, text=True).stdout


@pytest.fixture
def libvirt() -> None:
    """libvirtd runs."""
    runs.start_engines("libvirt")


def test_containers_join_the_network_of_vms(workspace: Any, libvirt: None) -> None:
    work = workspace
    cidr = f"10.80.{runs.third_octet('10.80')}"
    text = CONFIG.replace("CIDR", cidr)
    work.write(text)
    try:
        work.apply()
        first, other = f"{work.prefix}-c0", f"{work.prefix}-c1"
        for name in (other, "svc2"):
            asked = work.bench.cli("exec", first, "busybox", "nslookup", name, check=False)
            found = re.search(rf"{re.escape(cidr)}\.\d+", asked)
            assert found is not None, asked
            address = found[0]
            # httpd has no page to give, which it can only say when it was reached
            asking = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 10 {address} 80"
            told = work.bench.cli("exec", first, "sh", "-c", asking, check=False)
            assert "404" in told, told
        _seen_from_the_bridge(work, cidr)
        # a container that goes is no longer known by name
        work.write(text.replace("count   = 3", "count   = 2"))
        work.apply()
        dump = run("virsh", "net-dumpxml", f"{work.prefix}-lan")
        assert "svc1" in dump
        assert "svc2" not in dump
    finally:
        work.ok("destroy", "--auto-approve")
    assert "hythe-hy-" not in work.bench.cli("network", "ls")


def _seen_from_the_bridge(work: Any, cidr: str) -> None:
    """What a machine on the bridge has: the containers by name and by address."""
    dump = run("virsh", "net-dumpxml", f"{work.prefix}-lan")
    bridge = dump.partition("bridge name='")[2].partition("'")[0]
    space = runs.claim("hyshared", 2)
    ip("netns", "add", space)
    try:
        ip("link", "add", space[-8:], "type", "veth", "peer", "name", "eth0", "netns", space)
        ip("link", "set", space[-8:], "master", bridge, "up")
        ip("-n", space, "link", "set", "eth0", "up")
        ip("-n", space, "addr", "add", f"{cidr}.50/24", "dev", "eth0")
        asked = run("ip", "netns", "exec", space, "busybox", "nslookup", "svc1", f"{cidr}.1")
        address = asked.split()[-1]
        assert address.startswith(f"{cidr}."), asked
        curl = ["curl", "-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", f"http://{address}/"]
        assert run("ip", "netns", "exec", space, *curl) == "404"
    finally:
        ip("netns", "del", space)
