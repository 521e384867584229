"""Machines on a network without DHCP: the guest agent tells the address of one, ARP that of another."""

from __future__ import annotations

from typing import Any

import pytest

CONFIG = """\
variable "nodes" { default = [] }
variable "cidr" { type = string }
resource "network" "silent" {
  mode = "nat"
  cidr = var.cidr
  dhcp { enabled = false }
}
resource "disk_image" "debian" {
  packages {
    suite   = "bookworm"
    include = ["qemu-guest-agent", "apparmor"]
  }
}
resource "vm" "node" {
  for_each    = { agent = 5, arp = 6 }
  image       = disk_image.debian
  guest_agent = each.key == "agent"
  wait_for    = "ssh"
  interface { network = network.silent }
  network_config = <<-EOT
    version: 2
    ethernets:
      all:
        match: { name: "en*" }
        addresses: ["${cidrhost(var.cidr, each.value)}/24"]
        routes: [{ to: default, via: "${cidrhost(var.cidr, 1)}" }]
        nameservers: { addresses: ["${cidrhost(var.cidr, 1)}"] }
  EOT
}
output "addresses" { value = { for k, v in vm.node : k => v.address } }
"""


@pytest.mark.timeout(1200)
def test_addresses_that_no_lease_tells(small_fleet: Any) -> None:
    fleet = small_fleet
    (fleet.folder / "main.hcl").write_text(CONFIG)
    fleet.apply()
    found = fleet.output("addresses")
    assert {name: address.rsplit(".", 1)[1] for name, address in found.items()} == {"agent": "5", "arp": "6"}
    for name in found:
        told = fleet.ok("exec", f'vm.node["{name}"]', "--", "hostname", "-I").out
        assert told.split() == [found[name]]
    fleet.ok("destroy", "--auto-approve")
    assert not any(fleet.there().values())
