"""Machines on a network without DHCP: the guest agent tells an address, or the neighbour table of the host does."""

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
  image    = disk_image.debian
  wait_for = "ssh"
  interface { network = network.silent }
  network_config = <<-EOT
    version: 2
    ethernets:
      all:
        match: { name: "en*" }
        addresses: ["${cidrhost(var.cidr, 5)}/24"]
        routes: [{ to: default, via: "${cidrhost(var.cidr, 1)}" }]
        nameservers: { addresses: ["${cidrhost(var.cidr, 1)}"] }
  EOT
}
resource "vm" "quiet" {
  image       = disk_image.debian
  guest_agent = false
  wait_for    = "ssh"
  interface { network = network.silent }
  network_config = <<-EOT
    version: 2
    ethernets:
      all:
        match: { name: "en*" }
        addresses: ["${cidrhost(var.cidr, 6)}/24"]
        routes: [{ to: default, via: "${cidrhost(var.cidr, 1)}" }]
  EOT
  # a guest that never says anything to its host is not found
  user_data = <<-EOT
    #cloud-config
    bootcmd:
      - "bash -c ': > /dev/tcp/${cidrhost(var.cidr, 1)}/53' || true"
  EOT
}
output "quiet" { value = vm.quiet.address }
output "address" { value = vm.node.address }
"""


@pytest.mark.timeout(1200)
def test_addresses_that_no_lease_tells(small_fleet: Any) -> None:
    fleet = small_fleet
    (fleet.folder / "main.hcl").write_text(CONFIG)
    fleet.apply()
    address = fleet.output("address")
    assert address.endswith(".5")
    assert fleet.ok("exec", "vm.node", "--", "hostname", "-I").out.split() == [address]
    quiet = fleet.output("quiet")
    assert quiet.endswith(".6")
    assert fleet.ok("exec", "vm.quiet", "--", "hostname", "-I").out.split() == [quiet]
    fleet.ok("destroy", "--auto-approve")
    assert not any(fleet.there().values())
