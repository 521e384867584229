"""VMs: many read at once against virsh one by one; one until it is ready against virsh with the same domain."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from harness import HYTHE, Row, folder, run, timed

VIRSH = ["virsh", "--connect", "qemu:///system"]
MANY = """\
resource "vm" "v" {
  for_each = toset([for i in range(COUNT) : "k${i}"])
  name     = "PREFIX-${each.key}"
  memory   = "64MiB"
  running  = false
}
"""
ONE = """\
resource "network" "n" {
  mode = "nat"
  cidr = "CIDR"
}
resource "disk_image" "d" {
  packages {
    suite   = "bookworm"
    include = ["docker.io", "apparmor"]
  }
}
resource "vm" "v" {
  image    = disk_image.d
  memory   = "768MiB"
  wait_for = "ssh"
  interface { network = network.n }
}
"""
_SHOWN = 50
"""So many `virsh dumpxml` are timed; the rest would take as long each."""
_LONGEST = 600.0


def rows(count: int) -> Iterator[Row]:
    """All rows. Everything made is removed, whatever fails."""
    yield from _many(count)
    yield from _ready()


def _many(count: int) -> Iterator[Row]:
    prefix = f"hythebench{secrets.token_hex(4)}"
    text = MANY.replace("COUNT", str(count)).replace("PREFIX", prefix)
    with folder(text) as path:
        try:
            made = run([*HYTHE, "apply", "--auto-approve", "--parallelism=20"], path).wall
            run([*HYTHE, "plan"], path)
            whole = min(run([*HYTHE, "plan"], path).wall for _ in range(3))
            without = min(run([*HYTHE, "plan", "--refresh=false"], path).wall for _ in range(3))

            def one_by_one() -> None:
                for at in range(_SHOWN):
                    subprocess.run([*VIRSH, "dumpxml", f"{prefix}-k{at}"], check=True, capture_output=True)

            virsh = timed(one_by_one) * count / _SHOWN
        finally:
            run([*HYTHE, "destroy", "--auto-approve", "--parallelism=20"], path)
    note = f"{whole - without:.2f} s more than without refresh, against {virsh:.1f} s of `virsh dumpxml` in a loop"
    yield Row(f"refresh of {count:,} defined VMs", (whole - without) / virsh, 1.0, "x", note)
    yield Row(f"apply of {count:,} VMs that are defined only", made, None, "s")


def _ready() -> Iterator[Row]:
    third = 100 + secrets.randbelow(100)
    text = ONE.replace("CIDR", f"10.81.{third}.0/24")
    with folder(text) as path:
        try:
            run([*HYTHE, "apply", "--auto-approve", "--target=network.n", "--target=disk_image.d"], path)
            ours = run([*HYTHE, "apply", "--auto-approve"], path).wall
            theirs = _by_virsh(path)
        finally:
            run([*HYTHE, "destroy", "--auto-approve"], path)
    note = f"{ours:.1f} s, disks, seed and keys included, against {theirs:.1f} s from `virsh start` with a fresh disk"
    yield Row("a VM from apply until SSH answers", ours / theirs, 1.05, "x", note)


def _by_virsh(path: Path) -> float:
    """Seconds from the start of the same domain, with a disk that is new again, until its SSH server answers."""
    state = json.loads(subprocess.run([*HYTHE, "show", "--json"], cwd=path, capture_output=True, check=True).stdout)
    values = next(r for r in state["values"]["root_module"]["resources"] if r["address"] == "vm.v")["values"]
    name, address = values["name"], values["address"]
    subprocess.run([*VIRSH, "destroy", name], check=True, capture_output=True)
    dump = subprocess.run([*VIRSH, "dumpxml", "--inactive", name], check=True, capture_output=True, text=True).stdout
    disk = next(f for f in re.findall(r"source file='([^']+)'", dump) if f.endswith(".qcow2"))
    told = subprocess.run(["qemu-img", "info", "--output=json", disk], check=True, capture_output=True).stdout
    facts = json.loads(told)
    began = time.perf_counter()
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", facts["backing-filename"], disk]
    subprocess.run([*argv, str(facts["virtual-size"])], check=True, capture_output=True)
    subprocess.run([*VIRSH, "start", name], check=True, capture_output=True)
    while time.perf_counter() - began < _LONGEST:
        with contextlib.suppress(OSError), socket.create_connection((address, 22), 1.0) as stream:
            if stream.recv(4) == b"SSH-":
                return time.perf_counter() - began
        time.sleep(0.1)
    raise SystemExit(f"{name} did not answer within {_LONGEST:.0f} s")
