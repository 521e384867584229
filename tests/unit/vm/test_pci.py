"""What keeps a PCI device of the host from being handed over. Descriptions and words are those of libvirt 9.0."""

from __future__ import annotations

from pathlib import Path

import pytest

from hythe.provider.vm.client import Hypervisor
from hythe.provider.vm.errors import LibvirtError
from hythe.provider.vm.pci import check_pci, device_of, explain_pci, in_the_way

DEVICE = """\
<device>
  <name>pci_0000_{bus}_{slot}_0</name>
  <parent>computer</parent>
  {driver}
  <capability type='pci'>
    <class>0x040100</class>
    <domain>0</domain><bus>{number}</bus><slot>{slot}</slot><function>0</function>
    <product id='0x2415'/><vendor id='0x8086'/>
    {more}
  </capability>
</device>
"""
GROUP = """\
<iommuGroup number='23'>
  <address domain='0x0000' bus='0x0a' slot='0x02' function='0x0'/>
  <address domain='0x0000' bus='0x09' slot='0x00' function='0x0'/>
  <address domain='0x0000' bus='0x0a' slot='0x01' function='0x0'/>
</iommuGroup>
"""


def description(bus: str, slot: str, more: str, driver: str = "") -> str:
    named = f"<driver><name>{driver}</name></driver>" if driver else ""
    return DEVICE.format(bus=bus, slot=slot, number=int(bus, 16), more=more, driver=named)


@pytest.fixture
def hypervisor(tmp_path: Path) -> Hypervisor:
    """libvirt's test driver with a sound card, the bridge that it is behind, and a card that no IOMMU is in charge of.

    It forgets drivers; which are in the way is tested apart.
    """
    bridge = "<capability type='pci-bridge'/>" + GROUP
    devices = (("0a", "01", GROUP), ("09", "00", bridge), ("0b", "00", ""))
    (tmp_path / "node.xml").write_text(f"<node>{''.join(description(*d) for d in devices)}</node>")
    return Hypervisor(f"test://{tmp_path}/node.xml")


def checked(hypervisor: Hypervisor, *addresses: str) -> list[tuple[str, str]]:
    blocks = [*({"pci": a, "usb": None} for a in addresses), {"pci": None, "usb": "1234:5678"}]
    return [(told.summary, told.detail) for told in check_pci(hypervisor, blocks, "Creating VM")]


def test_what_is_found_out_before(hypervisor: Hypervisor) -> None:
    assert checked(hypervisor, "0000:0a:01.0") == []
    assert checked(hypervisor) == []
    told = checked(hypervisor, "0000:0a:01.0", "0001:0a:01.0", "0000:09:00.0", "0000:0b:00.0")
    assert [summary for summary, _ in told] == [
        "Device of the host not found",
        "PCI bridge cannot be handed over",
        "Machine hands over no PCI devices",
    ]
    for (_, detail), address in zip(told, ("0001:0a:01.0", "0000:09:00.0", "0000:0b:00.0"), strict=True):
        assert detail.startswith("Creating VM: ")
        assert address in detail


def test_nothing_is_said_where_libvirt_tells_of_no_pci_devices() -> None:
    assert checked(Hypervisor("test:///default"), "0000:0a:01.0") == []


def test_who_is_in_the_way() -> None:
    bridge = "<capability type='pci-bridge'/>" + GROUP
    card = device_of(description("0a", "01", GROUP, "snd_intel8x0"))
    assert (card.driver, card.bridge, card.number) == ("snd_intel8x0", False, "23")
    assert card.group == ("0000:09:00.0", "0000:0a:01.0", "0000:0a:02.0")
    others = {
        "0000:09:00.0": device_of(description("09", "00", bridge, "pcieport")),
        "0000:0a:02.0": device_of(description("0a", "02", GROUP, "snd_ens1370")),
        "0000:0a:03.0": device_of(description("0a", "03", GROUP, "vfio-pci")),
        "0000:0a:04.0": device_of(description("0a", "04", GROUP)),
    }
    assert in_the_way(others, ()) == [("0000:0a:02.0", "snd_ens1370")]
    assert in_the_way(others, {"0000:0a:02.0"}) == []


SAID = [
    (
        "Failed to load PCI stub module vfio-pci: administratively prohibited",
        "Machine hands over no PCI devices",
        "/etc/modprobe.d",
    ),
    (
        "internal error: qemu unexpectedly closed the monitor: vfio 0000:09:01.0: failed to setup container for group "
        "22: Failed to set iommu for container: Operation not permitted",
        "IOMMU keeps the device back",
        "allow_unsafe_interrupts=1",
    ),
    (
        "unsupported configuration: host doesn't support passthrough of host PCI devices",
        "Machine hands over no PCI devices",
        "intel_iommu=on",
    ),
    (
        "internal error: process exited while connecting to monitor: 2026-11-29T04:40:40.802091Z qemu-system-x86_64: "
        '-device {"driver":"vfio-pci","host":"0000:0a:01.0","id":"hostdev0","bus":"pci.12","addr":"0x1"}: vfio '
        "0000:0a:01.0: group 23 is not viable\nPlease ensure all devices within the iommu_group are bound to their "
        "vfio bus driver.",
        "IOMMU group is in use",
        "`ls /sys/kernel/iommu_groups/23/devices` shows which",
    ),
    (
        "Requested operation is not valid: PCI device 0000:08:00.0 is in use by driver QEMU, domain inner",
        "Device of the host is in use",
        "Take it out of VM inner",
    ),
    (
        "internal error: Non-endpoint PCI devices cannot be assigned to guests",
        "PCI bridge cannot be handed over",
        "what is behind it",
    ),
]


@pytest.mark.parametrize(("message", "summary", "detail"), SAID, ids=[s[2] for s in SAID])
def test_what_libvirt_says(hypervisor: Hypervisor, message: str, summary: str, detail: str) -> None:
    told = explain_pci(hypervisor, LibvirtError(1, message), "Creating VM")
    assert told is not None
    assert told.summary == summary
    assert told.detail.startswith("Creating VM: ")
    assert detail in told.detail


def test_other_failures_are_none_of_it(hypervisor: Hypervisor) -> None:
    for message in ("", "Requested operation is not valid: network 'a' is not active", "cannot open /dev/kvm"):
        assert explain_pci(hypervisor, LibvirtError(1, message), "Creating VM") is None
