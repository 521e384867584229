"""Four machines that boot at the same time, again and again: none fails, and each answers by itself.

HYTHE_SOAK_PARALLEL sets the number of times; it runs with HYTHE_SOAK only.
"""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

ROUNDS = int(os.environ.get("HYTHE_SOAK_PARALLEL") or 1)

CONFIG = """\
variable "nodes" { default = [] }
variable "cidr" { type = string }
resource "network" "lan" {
  mode = "nat"
  cidr = var.cidr
}
resource "disk_image" "debian" {
  packages {
    suite   = "bookworm"
    include = ["docker.io", "apparmor"]
  }
}
resource "vm" "node" {
  count    = 4
  image    = disk_image.debian
  wait_for = "ssh"
  interface { network = network.lan }
}
output "addresses" { value = vm.node[*].address }
"""


@pytest.mark.timeout(900 * ROUNDS)
def test_four_at_once(small_fleet: Any) -> None:
    fleet = small_fleet
    (fleet.folder / "main.hcl").write_text(CONFIG)
    for round_ in range(ROUNDS):
        begun = time.monotonic()
        fleet.apply()
        print(f"round {round_ + 1}: four machines after {time.monotonic() - begun:.0f} s", flush=True)
        addresses = fleet.output("addresses")
        assert len(set(addresses)) == 4, addresses
        boots = {
            fleet.ok("exec", f"vm.node[{n}]", "--", "cat", "/proc/sys/kernel/random/boot_id").out for n in range(4)
        }
        assert len(boots) == 4
        fleet.ok("destroy", "--auto-approve", "--target", "vm.node")
        assert fleet.there()["domains"] == set()
    fleet.ok("destroy", "--auto-approve")
    assert not any(fleet.there().values())
