"""VMs inside a VM, on what machines that run tests often lack: a KVM that works, AppArmor, devices to hand over.

QEMU emulates processors with AMD's SVM. So the machine outside has a real /dev/kvm, with Debian's own kernel,
libvirt and AppArmor. The VMs inside boot that kernel with an initial RAM disk of our own, which tells on the serial
console what it sees.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(3600)
HYPERVISOR = """\
variable "nodes" { default = [] }
variable "cidr" { type = string }
variable "usb" { default = [] }
variable "refused" { default = {} }
resource "network" "lan" {
  mode = "nat"
  cidr = var.cidr
}
resource "disk_image" "hypervisor" {
  packages {
    suite   = "bookworm"
    kernel  = "linux-image-amd64"
    include = ["apparmor", "busybox-static", "libvirt-daemon-system", "qemu-system-x86", "qemu-utils"]
  }
}
resource "vm" "hypervisor" {
  image    = disk_image.hypervisor
  memory   = "1536MiB"
  wait_for = "cloud-init"
  disk { size = "4GiB" }
  interface { network = network.lan }
  timeouts { ssh = "30m" }
}
"""
INSIDE = """\
resource "file" "init" {
  host    = vm.hypervisor
  path    = "/srv/inner/root/init"
  mode    = "0755"
  content = <<-EOT
    #!/bin/busybox sh
    /bin/busybox --install -s /bin
    mount -t proc none /proc
    mount -t sysfs none /sys
    mount -t devtmpfs none /dev
    for module in /modules/*; do insmod $module; done
    echo "inner: $(dmesg | grep -o 'Hypervisor detected: .*'), end"
    while :; do
      now=
      for device in /sys/bus/usb/devices/*/idVendor; do
        now="$now usb $(cat $device):$(cat $${device%Vendor}Product)"
      done
      [ "$now" = "$before" ] || echo "inner: sees$now, end"
      before=$now
      sleep 1
    done
  EOT
}
resource "command" "inner" {
  host     = vm.hypervisor
  triggers = { init = file.init.content }
  create   = <<-EOT
    set -e
    cd /srv/inner
    cp /vmlinuz kernel
    mkdir -p root/bin root/proc root/sys root/dev root/modules
    cp /bin/busybox root/bin
    number=10
    modprobe --show-depends -a xhci_pci usbhid | awk '!had[$2]++ {print $2}' |
      while read module; do cp "$module" root/modules/$number.ko; number=$((number+1)); done
    (cd root && find . | cpio -o -H newc --quiet) > initrd
  EOT
}
resource "vm" "inner" {
  host             = vm.hypervisor
  kernel           = "/srv/inner/kernel"
  initrd           = "/srv/inner/initrd"
  cmdline          = "console=ttyS0 quiet"
  memory           = "256MiB"
  wait_for         = "boot"
  shutdown_timeout = "1s"
  depends_on       = [command.inner]
  dynamic "hostdev" {
    for_each = var.usb
    content { usb = hostdev.value }
  }
}
resource "vm" "refused" {
  for_each = var.refused
  host     = vm.hypervisor
  memory   = "64MiB"
  wait_for = "boot"
  disk {
    path   = each.value
    format = endswith(each.value, "qcow2") ? "qcow2" : "raw"
  }
}
output "inner" { value = { for name in ["name", "accelerated_by", "console_log"] : name => vm.inner[name] } }
output "refused" { value = { for key, machine in vm.refused : key => machine.running } }
"""
TABLET = "0627:0001"
"""What USB knows QEMU's tablet by."""
FILES = """\
set -e
mkdir -m 700 /srv/closed
truncate -s 1M /srv/closed/disk.raw /usr/share/disk.raw
qemu-img create -q -f qcow2 -o data_file=/srv/inner/data.raw,data_file_raw=on /srv/inner/outer.qcow2 1M
chmod 666 /srv/closed/disk.raw /usr/share/disk.raw /srv/inner/data.raw /srv/inner/outer.qcow2
"""


class Nested:
    """The machine outside, and what is on it."""

    def __init__(self, fleet: Any) -> None:
        self.fleet = fleet
        self._values: dict[str, object] = {}

    def set(self, **values: object) -> None:
        """Give variables these values from now on."""
        self._values |= values
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in self._values.items()]
        (self.fleet.folder / "nested.auto.hclvars").write_text("".join(lines))

    def run(self, *argv: str) -> str:
        """What a program says on the machine outside."""
        return str(self.fleet.ok("exec", "vm.hypervisor", "--", *argv).out)

    def xml(self, *options: str) -> str:
        """The definition of the VM inside, as libvirt has it."""
        return self.run("virsh", "dumpxml", *options, self.fleet.output("inner")["name"])

    def seen(self) -> list[str]:
        """What the VM inside told since it was started."""
        # what a line ends with is there when all of it is
        log = self.run("cat", self.fleet.output("inner")["console_log"])
        return [line.strip() for line in log.splitlines() if line.startswith("inner: ") and ", end" in line]

    def wait_for(self, true: Callable[[list[str]], bool]) -> list[str]:
        """What the VM inside told, as soon as that is so."""
        end = time.monotonic() + 400
        while not true(seen := self.seen()):
            assert time.monotonic() < end, seen
            time.sleep(5)
        return seen


def virsh(*argv: str) -> str:
    return subprocess.run(["virsh", "-c", "qemu:///system", *argv], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def nested(fleet: Any) -> Iterator[Nested]:
    """One machine with one VM inside."""
    (fleet.folder / "main.hcl").write_text(HYPERVISOR + INSIDE)
    made = Nested(fleet)
    fleet.apply()
    yield made
    fleet.ok("destroy", "--auto-approve")
    assert not any(fleet.there().values())


def test_kvm_where_it_works(nested: Nested) -> None:
    assert "svm" in nested.run("cat", "/proc/cpuinfo").split()
    assert nested.fleet.output("inner")["accelerated_by"] == "kvm"
    assert nested.xml().startswith("<domain type='kvm'")
    # its kernel asks the processor
    seen = nested.wait_for(lambda seen: bool(seen))
    assert seen[0] == "inner: Hypervisor detected: KVM, end"


def test_a_usb_device_is_plugged_in_and_out(nested: Nested, tmp_path: Any) -> None:
    (outer,) = nested.fleet.there()["domains"]
    device = tmp_path / "tablet.xml"
    device.write_text("<input type='tablet' bus='usb'/>")
    virsh("attach-device", outer, str(device), "--live")
    nested.set(usb=[TABLET])
    plan = nested.fleet.ok("plan").out
    assert "Plan: 0 to add, 1 to change, 0 to replace, 0 to destroy." in plan
    assert "restart" not in plan
    nested.fleet.apply()
    for options in ((), ("--inactive",)):
        assert "<vendor id='0x0627'/>" in nested.xml(*options)
    nested.wait_for(lambda seen: f"usb {TABLET} " in seen[-1])

    # taken away by hand, and brought back
    device.write_text("<hostdev mode='subsystem' type='usb'>" + nested.xml().split("type='usb' managed='yes'>")[1])
    device.write_text(device.read_text().split("</hostdev>")[0] + "</hostdev>")
    name = nested.fleet.output("inner")["name"]
    nested.run("sh", "-c", 'echo "$1" > /tmp/d && virsh detach-device "$2" /tmp/d', "sh", device.read_text(), name)
    assert "<hostdev" not in nested.xml()
    assert "1 to change" in nested.fleet.ok("plan").out
    nested.fleet.apply()
    assert "<hostdev" in nested.xml()

    nested.set(usb=[])
    nested.fleet.apply()
    assert "<hostdev" not in nested.xml() + nested.xml("--inactive")
    seen = nested.wait_for(lambda seen: f"usb {TABLET} " not in seen[-1])
    # nothing of this started it anew
    assert len([line for line in seen if "Hypervisor detected" in line]) == 1

    nested.set(usb=["1234:5678"])
    failed = nested.fleet.run("apply", "--auto-approve")
    assert failed.code == 1
    assert "Device of the host not found" in failed.text
    nested.set(usb=[])
    assert nested.fleet.run("plan", "--detailed-exitcode").code == 0


def test_who_refused_a_file(nested: Nested) -> None:
    fleet = nested.fleet
    nested.run("sh", "-c", FILES)
    refused = {
        "data": "/srv/inner/outer.qcow2",
        "system": "/usr/share/disk.raw",
        "folder": "/srv/closed/disk.raw",
    }
    nested.set(refused=refused)
    ran = fleet.run("apply", "--auto-approve")
    assert ran.code == 1
    told = {
        k: " ".join(text.split()) for k in refused for text in ran.text.split("Error: ") if f'vm.refused["{k}"]' in text
    }
    # the file that a disk image keeps its data in is none that libvirt knows, and everybody may write to it
    assert told["data"].startswith("AppArmor denied a file")
    assert 'stage "boot"' in told["data"]
    assert "denied QEMU reading and writing /srv/inner/data.raw" in told["data"]
    assert 'apparmor="DENIED" operation="open"' in told["data"]
    assert told["system"].startswith("AppArmor permits no such file")
    assert "That is so with /usr/share/disk.raw." in told["system"]
    # no matter of AppArmor
    assert told["folder"].startswith("Hypervisor may not open a file")
    assert "may not go through the folder /srv/closed (mode 0700)" in told["folder"]
    assert nested.run("virsh", "list", "--all", "--name").split() == [fleet.output("inner")["name"]]

    # what the messages say mends it
    rule = '"/srv/inner/data.raw" rwk,'
    assert f"add the line `{rule}` to /etc/apparmor.d/local/abstractions/libvirt-qemu" in told["data"]
    nested.run("sh", "-c", 'echo "$1" >> /etc/apparmor.d/local/abstractions/libvirt-qemu', "sh", f"  {rule}")
    assert "`chmod o+x /srv/closed`" in told["folder"]
    nested.run("chmod", "o+x", "/srv/closed")
    nested.run("mv", "/usr/share/disk.raw", "/srv/inner/system.raw")
    nested.set(refused=refused | {"system": "/srv/inner/system.raw"})
    fleet.apply()
    assert fleet.output("refused") == dict.fromkeys(refused, True)

    # a rule that forbids is not logged, and not to be told from the file's own mode
    nested.run(
        "sh", "-c", 'echo "$1" >> /etc/apparmor.d/local/abstractions/libvirt-qemu', "sh", "  deny /srv/no.raw rwk,"
    )
    nested.run("truncate", "-s", "1M", "/srv/no.raw")
    nested.set(refused={"rule": "/srv/no.raw"})
    ran = fleet.run("apply", "--auto-approve")
    said = " ".join(ran.text.split())
    assert ran.code == 1
    assert "The kernel's log tells of no denial. So it is the file's owner or mode, or a `deny` rule" in said
    nested.set(refused={})
    fleet.apply()
