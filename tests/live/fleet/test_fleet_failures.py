"""Machines that do not become ready: each error names the stage, the cause in the guest's own words, and what to do."""

from __future__ import annotations

from typing import Any

import pytest

CONFIG = """\
resource "network" "lan" {
  mode = "nat"
  cidr = var.cidr
}
resource "network" "silent" {
  mode = "isolated"
  cidr = cidrsubnet(replace(var.cidr, "10.78.", "10.79."), 0, 0)
  dhcp { enabled = false }
}
variable "nodes" { default = [] }
variable "cidr" { type = string }
resource "disk_image" "debian" {
  packages {
    suite   = "bookworm"
    include = ["docker.io", "apparmor"]
  }
}
resource "vm" "broken" {
  image    = disk_image.debian
  wait_for = "cloud-init"
  interface { network = network.lan }
  user_data = <<-EOT
    #cloud-config
    runcmd:
      - echo the cellar is flooded >&2; exit 3
  EOT
}
resource "vm" "engineless" {
  image  = disk_image.debian
  engine = "podman"
  interface { network = network.lan }
}
# nothing to boot from: a guest that never asks for an address
resource "vm" "silent" {
  memory   = "64MiB"
  wait_for = "address"
  disk { size = "16MiB" }
  interface { network = network.silent }
  timeouts { address = "5s" }
}
resource "vm" "closed" {
  image    = disk_image.debian
  wait_for = "ssh"
  interface { network = network.lan }
  timeouts { ssh = "30s" }
  user_data = <<-EOT
    #cloud-config
    bootcmd:
      - systemctl mask --now ssh.service
  EOT
}
resource "container" "c" {
  host  = vm.engineless
  image = "x"
}
"""


@pytest.mark.timeout(1800)
def test_machines_that_do_not_become_ready(small_fleet: Any) -> None:
    fleet = small_fleet
    (fleet.folder / "main.hcl").write_text(CONFIG)
    ran = fleet.run("apply", "--auto-approve", timeout=1700)
    assert ran.code == 1
    text = " ".join(ran.text.split())
    assert "VM not ready: cloud-init" in text
    assert "the cellar is flooded" in text
    assert "VM not ready: engine" in text
    assert 'podman is not installed in the guest. Add it to the image (`include = ["podman"]`' in text
    assert "VM not ready: address" in text
    assert "no lease, guest agent or ARP entry tells its address" in text
    assert "VM not ready: ssh" in text
    assert "refuses connections" in text
    assert "container.c: Skipped" in text or "1 skipped" in text
    # they are kept to be looked at, and known for what they are
    plan = fleet.ok("plan").out
    assert plan.count("its creation did not complete, so it is made anew") == 4
    fleet.ok("destroy", "--auto-approve")
    assert not any(fleet.there().values())
