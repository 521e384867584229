"""A machine that is a hypervisor itself: its libvirt is reached through its SSH connection.

Its kernel has what machines that run tests often lack: logical volumes and VLANs.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

CONFIG = """\
variable "nodes" { default = [] }
variable "cidr" { type = string }
variable "size" { default = "32MiB" }
variable "vlan" { default = 20 }
resource "network" "lan" {
  mode = "nat"
  cidr = var.cidr
}
resource "disk_image" "hypervisor" {
  packages {
    suite   = "bookworm"
    include = ["libvirt-daemon-system", "lvm2", "apparmor"]
  }
}
resource "vm" "hypervisor" {
  image    = disk_image.hypervisor
  memory   = "768MiB"
  wait_for = "cloud-init"
  disk { size = "3GiB" }
  disk {
    size   = "256MiB"
    serial = "group"
  }
  interface { network = network.lan }
  user_data = <<-EOT
    #cloud-config
    runcmd:
      - vgcreate group /dev/disk/by-id/virtio-group
      - virsh pool-define-as group logical --source-name group --target /dev/group
      - virsh pool-start group
      - ip link add card type dummy
  EOT
}
resource "volume" "logical" {
  host = vm.hypervisor
  type = "disk"
  pool = "group"
  name = "data"
  size = var.size
}
resource "network" "trunk" {
  host = vm.hypervisor
  mode = "bridge"
  host_bridge {
    vlan {
      id     = var.vlan
      parent = "card"
    }
  }
}
output "bridge" { value = network.trunk.bridge }
"""


@pytest.mark.timeout(1800)
def test_a_hypervisor_inside(small_fleet: Any) -> None:
    fleet = small_fleet
    (fleet.folder / "main.hcl").write_text(CONFIG)

    def inside(*argv: str) -> str:
        return str(fleet.ok("exec", "vm.hypervisor", "--", *argv).out).strip()

    def variable(name: str, value: object) -> None:
        with open(fleet.folder / "test.auto.hclvars", "a") as file:
            file.write(f"{name} = {json.dumps(value)}\n")

    def vlan() -> dict[str, Any]:
        bridge = fleet.output("bridge")
        (link,) = json.loads(inside("ip", "-json", "-details", "link", "show", "master", bridge, "type", "vlan"))
        return {"parent": link["link"], "id": link["linkinfo"]["info_data"]["id"]}

    def volume() -> tuple[str, float]:
        """Its name without the id, and its size in MiB."""
        # a volume with an origin is a snapshot: it would be lost once it is written full
        options = ("--noheadings", "--units", "m", "--nosuffix", "--separator", ":", "-o", "lv_name,lv_size,origin")
        name, size, origin = inside("lvs", *options, "group").strip().split(":")
        assert origin == ""
        return name.partition(".")[0] + name[-4:], float(size)

    fleet.apply()
    assert volume() == ("data.img", 32)
    assert vlan() == {"parent": "card", "id": 20}

    variable("size", "64MiB")
    variable("vlan", 21)
    plan = fleet.ok("plan").out
    assert "Plan: 0 to add, 2 to change, 0 to replace, 0 to destroy." in plan
    fleet.apply()
    assert volume() == ("data.img", 64)
    assert vlan() == {"parent": "card", "id": 21}

    # taken away by hand, and brought back
    inside("ip", "link", "delete", fleet.output("bridge"))
    inside("lvremove", "-f", "group")
    assert "will be created" in fleet.ok("plan").out
    fleet.apply()
    assert volume() == ("data.img", 64)
    assert vlan() == {"parent": "card", "id": 21}

    fleet.ok("destroy", "--auto-approve", "--target", "volume.logical", "--target", "network.trunk")
    assert inside("lvs", "--noheadings") == ""
    assert inside("ip", "-brief", "link", "show", "type", "vlan") == ""
    fleet.ok("destroy", "--auto-approve")
    assert not any(fleet.there().values())
