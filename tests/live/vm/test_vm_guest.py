"""One guest, changed while it runs, restarted, and made anew: three boots, of about a minute each in emulation."""

from __future__ import annotations

import time
from ipaddress import ip_address, ip_network

import pytest

from hythe.provider.network import Network
from hythe.provider.volume import Volume
from hythe.value import Reference

from .conftest import KIND, Lab, Machine, free_cidr, virsh

MIB = 1 << 20
# emulated guests take their time on a busy machine
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def guest(lab: Lab, image: Reference, lan: Reference) -> Machine:
    """A guest that Hythe has a way into."""
    return lab.vm(
        name=lab.name("guest"),
        image=image,
        cpus=1,
        max_cpus=3,
        memory="512MiB",
        max_memory="768MiB",
        disk=[{"size": "2GiB"}],
        interface=[{"network": lan}],
    )


def size_of(guest: Machine, serial: str) -> int:
    """Size in bytes of the guest's disk with a serial number; 0 when there is none."""
    lines = guest.run("lsblk", "--nodeps", "--bytes", "--noheadings", "--output", "SERIAL,SIZE").splitlines()
    found = [int(line.split()[-1]) for line in lines if line.split()[0] == serial]
    return found[0] if found else 0


def test_changes_while_it_runs(lab: Lab, guest: Machine, lan: Reference) -> None:
    assert guest.changes() == []
    network = lab.referents["network.lan"].attributes["cidr"]
    assert ip_address(guest.attributes["address"]) in ip_network(network)
    assert guest.attributes["ssh"]["address"] == guest.attributes["address"]
    booted = guest.boot_id()

    held = int(guest.run("sh", "-c", "grep MemTotal /proc/meminfo").split()[1])
    assert guest.change(memory="700MiB") == {"memory": "LIVE"}
    assert int(guest.run("sh", "-c", "grep MemTotal /proc/meminfo").split()[1]) > held + 150 * 1024

    assert guest.change(cpus=2) == {"cpus": "LIVE"}
    assert guest.run("nproc") == "2"

    # 2 to 4 GiB: the disk, and the file system on it
    assert guest.change(disk=[{"size": "4GiB"}]) == {"disk": "LIVE"}
    assert int(guest.run("lsblk", "-bdno", "SIZE", "/dev/vda")) == 4096 * MIB
    assert int(guest.run("df", "--block-size=1", "--output=size", "/").split()[-1]) > 3700 * MIB

    root = {"size": "4GiB"}
    guest.change(disk=[root, {"size": "64MiB", "serial": "one"}, {"size": "32MiB", "serial": "two"}])
    assert (size_of(guest, "one"), size_of(guest, "two")) == (64 * MIB, 32 * MIB)
    guest.change(disk=[root, {"size": "64MiB", "serial": "one", "iops": 100}, {"size": "48MiB", "serial": "two"}])
    assert size_of(guest, "two") == 48 * MIB
    guest.change(disk=[root, {"size": "48MiB", "serial": "two"}])
    assert (size_of(guest, "one"), size_of(guest, "two")) == (0, 48 * MIB)

    other = lab.other(Network(), "network.side", name=f"{lab.prefix}-side", mode="isolated", cidr=free_cidr())
    guest.change(interface=[{"network": lan}, {"network": other, "link": "down"}])
    mac = guest.attributes["interface"][1]["mac"]
    assert mac in guest.run("ip", "-br", "link")
    guest.change(interface=[{"network": lan}, {"network": other}])
    guest.change(interface=[{"network": lan}, {"network": lan}])
    assert guest.attributes["interface"][1]["mac"] == mac
    guest.change(interface=[{"network": lan}])
    assert mac not in guest.run("ip", "-br", "link")

    guest.change(snapshot=[{"name": "before", "description": "of the upgrade"}])
    assert "before" in guest.virsh("snapshot-list", "--name")
    guest.change(snapshot=None)
    assert guest.virsh("snapshot-list", "--name") == ""
    assert guest.boot_id() == booted


def test_drift_is_mended_while_it_runs(lab: Lab, guest: Machine) -> None:
    booted, mac = guest.boot_id(), guest.attributes["macs"][0]
    guest.virsh("setmem", "400M", "--live")
    time.sleep(3)
    guest.virsh("domif-setlink", mac, "down")
    guest.virsh("detach-disk", "vdc", "--live", "--config")
    virsh("vol-create-as", guest.attributes["pool"], f"{lab.prefix}-extra", "1M")
    extra = virsh("vol-path", "--pool", guest.attributes["pool"], f"{lab.prefix}-extra")
    try:
        guest.virsh("attach-disk", extra, "vdx", "--live")
        assert {c.name for c in guest.changes()} == {"memory", "interface", "disk", "consistent"}
        guest.change()
    finally:
        virsh("vol-delete", "--pool", guest.attributes["pool"], f"{lab.prefix}-extra")
    assert size_of(guest, "two") == 48 * MIB
    assert guest.boot_id() == booted


def test_a_paused_one_goes_on(guest: Machine) -> None:
    booted = guest.boot_id()
    guest.virsh("suspend")
    assert {c.name: c.effect.name for c in guest.changes()} == {"running": "LIVE", "consistent": "LIVE"}
    guest.change()
    assert guest.boot_id() == booted
    assert any("which was paused" in said for said in guest.lab.said)


def test_restarted_in_an_orderly_way(guest: Machine) -> None:
    booted = guest.boot_id()
    guest.run("sh", "-c", "systemctl list-jobs; echo done > /root/kept; sync")
    effects = guest.change(cpus=1, description="less")
    assert effects == {"cpus": "RESTART", "description": "LIVE"}
    assert not any("switched off" in said for said in guest.lab.said)
    assert guest.boot_id() != booted
    assert guest.run("cat", "/root/kept") == "done"
    assert guest.run("nproc") == "1"


def test_made_anew_it_keeps_mac_and_address_and_what_is_on_a_volume(lab: Lab, guest: Machine) -> None:
    data = lab.other(Volume(), "volume.data", type="disk", name=lab.name("data"), size="32MiB")
    guest.change(disk=[{"size": "4GiB"}, {"volume": data, "serial": "data"}])
    disk, there = "/dev/disk/by-id/virtio-data", "mkdir -p /srv/data && mount {} /srv/data"
    guest.run(
        "sh", "-ec", f"mkfs.ext4 -q {disk}; {there.format(disk)}; echo precious > /srv/data/file; umount /srv/data"
    )
    mac, address, key = guest.attributes["macs"][0], guest.attributes["address"], guest.attributes["ssh"]["host_key"]
    (change,) = guest.changes(user_data="#cloud-config\nruncmd: [[touch, /root/anew]]\n")
    assert (change.name, change.effect.name) == ("user_data", "REPLACE")
    guest.delete()
    arguments = {**guest.arguments, "user_data": "#cloud-config\nruncmd: [[touch, /root/anew]]\n", "wait_for": "ssh"}
    anew = lab.vm(**arguments)
    assert (anew.attributes["macs"][0], anew.attributes["address"]) == (mac, address)
    assert anew.attributes["ssh"]["host_key"] != key
    assert anew.changes() == []
    assert anew.run("sh", "-ec", f"{there.format(disk)}; cat /srv/data/file") == "precious"
    # stopped, and what is told of it then
    anew.change(running=False, shutdown_timeout="1s")
    assert "address" not in anew.attributes
    assert "address" not in anew.attributes["ssh"]
    KIND.delete(lab.context(anew.identity), anew.attributes)
