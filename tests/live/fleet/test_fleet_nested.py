"""VMs inside a VM, on what machines that run tests often lack: a KVM that works, AppArmor, devices to hand over.

QEMU emulates processors with AMD's SVM, and an IOMMU. So the machine outside has a real /dev/kvm and IOMMU groups, with
Debian's own kernel, libvirt and AppArmor. The VMs inside boot that kernel with an initial RAM disk of our own, which
tells on the serial console what it sees.
"""

from __future__ import annotations

import json
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(3600)
HYPERVISOR = """\
variable "nodes" { default = [] }
variable "cidr" { type = string }
variable "running" { default = true }
variable "usb" { default = [] }
variable "pci" { default = [] }
variable "refused" { default = {} }
variable "refused_pci" { default = {} }
resource "network" "lan" {
  mode = "nat"
  cidr = var.cidr
}
resource "network" "spare" {
  mode = "isolated"
  cidr = replace(var.cidr, "10.78.", "10.79.")
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
  cmdline  = "${disk_image.hypervisor.boot_cmdline} intel_iommu=on iommu=pt"
  running  = var.running
  wait_for = "cloud-init"
  disk { size = "4GiB" }
  interface { network = network.lan }
  interface { network = network.spare }
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
        read vendor < $device && read product < $${device%Vendor}Product && now="$now usb $vendor:$product"
      done
      for device in /sys/bus/pci/devices/*; do
        read vendor < $device/vendor && read product < $device/device && now="$now pci $vendor:$product"
      done
      if [ -e /sys/class/net/eth0 ]; then
        read address < /sys/class/net/eth0/address && now="$now nic $address"
        [ "$asked" ] || ip link set eth0 up
        [ "$asked" ] || echo "inner: $(udhcpc -i eth0 -nq -t 20 -s /bin/true 2>&1 | grep 'lease of'), end"
        asked=yes
      fi
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
    modprobe --show-depends -a xhci_pci usbhid virtio_pci virtio_net | awk '!had[$2]++ {print $2}' |
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
  dynamic "hostdev" {
    for_each = var.pci
    content { pci = hostdev.value }
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
resource "vm" "refused_pci" {
  for_each = var.refused_pci
  host     = vm.hypervisor
  memory   = "64MiB"
  wait_for = "boot"
  hostdev { pci = each.value }
}
output "inner" { value = { for name in ["name", "accelerated_by", "console_log"] : name => vm.inner[name] } }
output "macs" { value = vm.hypervisor.macs }
output "refused" { value = { for key, machine in vm.refused : key => machine.running } }
"""
TABLET = "0627:0001"
"""What USB knows QEMU's tablet by."""
SOUND = {"ac97": "0x8086:0x2415", "es1370": "0x1274:0x5000"}
"""What PCI knows QEMU's sound cards by."""
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

    def pci(self) -> dict[str, tuple[str, str]]:
        """The PCI devices of the machine outside: what each address has, and its driver."""
        script = (
            "cd /sys/bus/pci/devices; for d in *; do "
            'echo $d $(cat $d/vendor):$(cat $d/device) $(basename "$(readlink $d/driver)"); done'
        )
        rows = [line.split() for line in self.run("sh", "-c", script).splitlines()]
        return {row[0]: (row[1], row[2] if len(row) > 2 else "") for row in rows}

    def nics(self) -> dict[str, str]:
        """The interfaces that the machine outside sees: the PCI address for each MAC address."""
        script = (
            "for n in /sys/class/net/eth*; do "
            "echo $(cat $n/address) $(basename $(dirname $(readlink -f $n/device))); done"
        )
        return dict(line.split() for line in self.run("sh", "-c", script).splitlines())

    def wait_for(self, true: Callable[[list[str]], bool]) -> list[str]:
        """What the VM inside told, as soon as that is so."""
        end = time.monotonic() + 400
        while not true(seen := self.seen()):
            assert time.monotonic() < end, seen
            time.sleep(5)
        return seen


def virsh(*argv: str) -> str:
    return subprocess.run(["virsh", "-c", "qemu:///system", *argv], capture_output=True, text=True, check=True).stdout


def give_iommu(machine: str, file: Any) -> None:
    """Define a VM with what Hythe has no arguments for.

    An IOMMU; a second interface that it is in charge of; and two sound cards behind one bridge of conventional PCI,
    which are one group. The interface is not of the model e1000e: QEMU 7.2 aborted in its emulation (e1000e_core.c, of
    interrupts) when the VM inside was stopped.
    """
    root = ET.fromstring(virsh("dumpxml", "--inactive", machine))
    (features,), (devices,) = root.findall("features"), root.findall("devices")
    ET.SubElement(features, "ioapic", driver="qemu")
    iommu = ET.SubElement(devices, "iommu", model="intel")
    ET.SubElement(iommu, "driver", intremap="on", caching_mode="on")
    ET.SubElement(devices.findall("interface")[1], "driver", name="qemu", iommu="on")
    bridge = str(1 + max(int(c.get("index", 0)) for c in devices.findall("controller[@type='pci']")))
    ET.SubElement(devices, "controller", type="pci", model="pcie-to-pci-bridge", index=bridge)
    for slot, model in enumerate(SOUND, 1):
        card = ET.SubElement(devices, "sound", model=model)
        ET.SubElement(card, "address", type="pci", domain="0", bus=bridge, slot=str(slot), function="0")
    file.write_text(ET.tostring(root, encoding="unicode"))
    virsh("define", str(file))


@pytest.fixture(scope="module")
def nested(fleet: Any) -> Iterator[Nested]:
    """One machine with one VM inside."""
    (fleet.folder / "main.hcl").write_text(HYPERVISOR + INSIDE)
    made = Nested(fleet)
    made.set(running=False)
    fleet.ok("apply", "--auto-approve", "--target", "vm.hypervisor")
    (outer,) = fleet.there()["domains"]
    give_iommu(outer, fleet.folder / "outer.xml")
    made.set(running=True)
    fleet.apply()
    # Hythe left alone what it does not know
    assert "<iommu model='intel'>" in virsh("dumpxml", "--inactive", outer)
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


def test_a_pci_device_is_handed_over(nested: Nested) -> None:
    fleet = nested.fleet
    first, mac = fleet.output("macs")
    cards = nested.nics()
    assert set(cards) == {first, mac}
    card = cards[mac]
    nested.set(pci=[card])
    plan = fleet.ok("plan").out
    assert "1 restarts: vm.inner" in plan
    assert "a PCI device is handed over while it is off" in plan
    fleet.apply()
    for options in ((), ("--inactive",)):
        (device,) = ET.fromstring(nested.xml(*options)).findall("devices/hostdev")
        assert (device.get("type"), device.get("managed")) == ("pci", "yes")
        assert device.find("source/address").attrib["bus"] == "0x" + card.split(":")[1]
    # it is one machine's now
    assert set(nested.nics()) == {first}
    assert nested.pci()[card][1] == "vfio-pci"
    seen = nested.wait_for(lambda seen: any(f" nic {mac}" in line for line in seen))
    assert f"pci {nested.pci()[card][0]} " in seen[-1]
    # what it sends and receives goes through the IOMMU
    leased = next(line for line in seen if "lease of" in line).split()
    (network,) = (n for n in fleet.there()["networks"] if "spare" in n)
    (row,) = (r for r in virsh("net-dhcp-leases", network).splitlines() if mac in r)
    assert f" {leased[leased.index('of') + 1]}/" in row


def test_pci_devices_that_cannot_be_handed_over(nested: Nested) -> None:
    fleet = nested.fleet
    before, name = nested.pci(), fleet.output("inner")["name"]
    (card,) = (a for a, (_, driver) in before.items() if driver == "vfio-pci")
    (port, *_) = (a for a, (_, driver) in before.items() if driver == "pcieport")
    one, two = (next(a for a, (id, _) in before.items() if id == sound) for sound in SOUND.values())
    number = nested.run("virsh", "domid", name)
    nested.set(pci=[card, "0000:ff:00.0"], refused_pci={"group": one, "bridge": port, "taken": card})
    ran = fleet.run("apply", "--auto-approve")
    assert ran.code == 1
    told = {text.split(" with vm.")[0]: text for e in ran.text.split("Error: ")[1:] if (text := " ".join(e.split()))}
    assert sorted(told) == [
        "Device of the host is in use",
        "Device of the host not found",
        "IOMMU group is in use",
        "PCI bridge cannot be handed over",
    ]
    assert f"Take it out of VM {name} " in told["Device of the host is in use"]
    assert "there is no PCI device 0000:ff:00.0" in told["Device of the host not found"]
    assert f"uses itself: {two} (driver {before[two][1]})" in told["IOMMU group is in use"]
    # nothing was touched
    assert nested.pci() == before
    assert nested.run("virsh", "list", "--all", "--name").split() == [name]
    assert nested.run("virsh", "domid", name) == number

    # a whole group goes, and the network card comes back
    nested.set(pci=[one, two], refused_pci={})
    fleet.apply()
    there = nested.pci()
    assert (there[one][1], there[two][1]) == ("vfio-pci", "vfio-pci")
    assert nested.nics()[fleet.output("macs")[1]] == card
    nested.wait_for(lambda seen: all(any(f"pci {id}" in line for line in seen) for id in SOUND.values()))
    nested.set(pci=[])
    fleet.apply()
    assert "<hostdev" not in nested.xml() + nested.xml("--inactive")
    assert "vfio-pci" not in {driver for _, driver in nested.pci().values()}


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
