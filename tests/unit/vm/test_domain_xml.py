"""Definitions made, read and edited."""

from __future__ import annotations

from typing import Any

from hythe.provider.protocol import Attributes, Identity
from hythe.provider.vm.domain_edit import edited
from hythe.provider.vm.domain_read import observe
from hythe.provider.vm.domain_xml import DiskPlace, Machine, Nic, domain_xml
from hythe.provider.vm.marks import identity_of, uuid_of
from hythe.provider.vm.vm import Vm
from hythe.provider.vm.vm_disks import has_implied_root
from hythe.provider.vm.vm_settle import told_apart
from hythe.provider.vm.xml import Element, add, parse, render

KIND = Vm()
IDENTITY = Identity("line", 'vm.x["a & b"]', "0123456789abcdef")
MAC = "52:54:00:00:00:01"


def machine(accelerator: str = "kvm", **arguments: Any) -> Machine:
    given, problems = KIND.schema.decode({"name": "a", **arguments})
    assert problems == []
    disks = [
        DiskPlace(b, f"/pool/a.01234567.vd{'abc'[n]}.qcow2", "qcow2", f"vd{'abc'[n]}", "virtio", volume="v", pool="p")
        for n, b in enumerate(given.get("disk") or [{}])
    ]
    nics = [Nic(b, f"{MAC[:-1]}{n}", str(b.get("network"))) for n, b in enumerate(given.get("interface") or ())]
    return Machine(IDENTITY, given, "x86_64", accelerator, disks, nics, seed="/pool/a.01234567.seed.iso")


def again(root: Element) -> Element:
    return parse(render(root))


def known(made: Machine) -> Attributes:
    out = dict(made.attributes)
    if "disk" in out:
        out["disk"] = [{**b, "file": d.file, "target": d.target} for b, d in zip(out["disk"], made.disks, strict=True)]
    if "interface" in out:
        out["interface"] = [{**n.block, "mac": n.mac, "network_name": n.network} for n in made.nics]
    return out


def test_marked_and_found() -> None:
    root = again(domain_xml(machine()))
    assert identity_of(root) == IDENTITY
    assert root.findtext("uuid") == uuid_of(IDENTITY)


def test_user_text_stays_text() -> None:
    root = again(domain_xml(machine(description="</description><devices/>", cmdline="a & <b>", kernel="/k'\"")))
    assert root.findtext("description") == "</description><devices/>"
    assert root.findtext("os/kernel") is None  # the kernel is the machine's, given by whoever makes it
    assert len(root.findall("devices")) == 1


def test_what_is_made_is_what_is_read() -> None:
    made = machine(
        description="d",
        cpus=2,
        max_cpus=4,
        memory="64MiB",
        max_memory="128MiB",
        disk=[{"size": 9, "cache": "none", "discard": "unmap", "serial": "s", "iops": 5, "bandwidth": 6}],
        interface=[{"network": "lan", "link": "down", "mtu": 1400}],
        graphics={"type": "vnc", "port": 5901},
        hostdev=[{"pci": "01:02.3"}, {"usb": "1d6b:0002"}],
        cpu={"model": "qemu64", "sockets": 4, "features": {"aes": "disable"}, "pin": {"0": "1-2"}},
    )
    root = again(domain_xml(made))
    told = observe(root, None, known(made), {made.disks[0].file: 9})
    for name, value in known(made).items():
        if name not in ("running", "machine", "autostart"):
            assert told.get(name) == value, name


def test_a_root_disk_that_is_not_written_down() -> None:
    assert has_implied_root({"image": "/i"})
    assert has_implied_root({"image": "/i", "disk": [{"path": "/x"}]})
    assert not has_implied_root({"image": "/i", "disk": [{"size": 1}]})
    assert not has_implied_root({"disk": [{"path": "/x"}]})
    made = machine(image="/i")
    assert "disk" not in observe(again(domain_xml(made)), None, known(made), {})


def test_what_runs_and_what_starts_next_are_both_seen() -> None:
    made = machine(interface=[{"network": "lan"}])
    config, live = again(domain_xml(made)), again(domain_xml(made))
    link = live.find("devices/interface/link")
    assert link is not None
    link.set("state", "down")
    told = [observe(c, r, known(made), {}) for c, r in ((config, live), (live, config), (config, config))]
    assert [t["interface"][0]["link"] for t in told] == ["down", "up", "up"]
    assert [t["consistent"] for t in told] == [False, False, True]


def test_a_device_that_was_plugged_in_comes_where_it_is_declared() -> None:
    first, second, card = {"usb": "1d6b:0002"}, {"usb": "1d6b:0003"}, {"pci": "0000:01:02.3"}
    made = machine(hostdev=[second, card, first])
    config, live = again(domain_xml(made)), again(domain_xml(machine(hostdev=[card, first, second])))
    told = observe(config, live, known(made), {})
    assert told["hostdev"] == [second, card, first]
    assert told["consistent"]
    # one that nobody declared is told
    assert observe(config, live, known(machine(hostdev=[second])), {})["hostdev"][0] == second
    gone = observe(config, again(domain_xml(machine(hostdev=[card, first]))), known(made), {})
    assert gone["hostdev"] == [card, first]
    assert not gone["consistent"]


def test_devices_that_stay_keep_their_places() -> None:
    config = again(domain_xml(machine(hostdev=[{"usb": "1d6b:0002"}, {"pci": "01:02.3"}])))
    for number, device in enumerate(config.findall("devices/hostdev")):
        add(device, "address", type="pci", slot=number)
    wanted = domain_xml(machine(hostdev=[{"pci": "01:02.3"}, {"usb": "1d6b:0003"}]))
    after = edited(config, wanted, {"hostdev"}).findall("devices/hostdev")
    assert [(d.get("type"), d.find("address") is not None) for d in after] == [("pci", True), ("usb", False)]


def test_a_pci_device_leaves_the_free_ports_free() -> None:
    def ports(root: Any) -> int:
        return sum(1 for c in root.findall("devices/controller") if c.get("model") == "pcie-root-port")

    none, usb, one = machine(), machine(hostdev=[{"usb": "1d6b:0002"}]), machine(hostdev=[{"pci": "01:02.3"}])
    assert [ports(domain_xml(m)) - ports(domain_xml(none)) for m in (usb, one)] == [0, 1]
    config = again(domain_xml(none))
    assert ports(edited(config, domain_xml(one), {"hostdev"})) == ports(config) + 1
    assert ports(edited(config, domain_xml(usb), {"hostdev"})) == ports(config)
    kept = again(domain_xml(one))
    assert ports(edited(kept, domain_xml(one), {"hostdev"})) == ports(kept)


def test_memory_that_no_balloon_takes_tells_nothing() -> None:
    made = machine(memory="64MiB", max_memory="128MiB")
    config, live = again(domain_xml(made)), again(domain_xml(made))
    now = live.find("currentMemory")
    assert now is not None
    now.text = str(128 << 10)
    assert observe(config, live, known(made), {}, balloon=False)["memory"] == 64 << 20
    assert observe(config, live, known(made), {})["memory"] == 128 << 20


def test_room_for_processors_that_are_added_later() -> None:
    root = domain_xml(machine("tcg", cpus=1, max_cpus=2))
    assert root.find("features/tcg/tb-cache") is not None
    assert [v.get("hotpluggable") for v in root.findall("vcpus/vcpu")] == ["no", "yes"]
    assert domain_xml(machine("kvm", cpus=1, max_cpus=2)).find("features/tcg") is None
    assert domain_xml(machine("tcg", cpus=2)).find("vcpus") is None


# -- editing --------------------------------------------------------------------------------------


def test_what_does_not_change_stays() -> None:
    config = again(domain_xml(machine(description="a", disk=[{"size": 9}])))
    config.append(parse("<title>Mine</title>"))
    devices = config.find("devices")
    assert devices is not None
    devices.append(parse("<sound model='ich9'/>"))
    disk = devices.find("disk")
    assert disk is not None
    disk.append(parse("<address type='pci' bus='0x03'/>"))
    out = edited(
        config, domain_xml(machine(description="b", memory="1GiB", disk=[{"size": 9, "iops": 3}])), {"memory", "disk"}
    )
    assert out.findtext("title") == "Mine"
    assert out.find("devices/sound") is not None
    assert out.findtext("description") == "a"
    assert out.findtext("memory") == str(1 << 20)
    assert out.find("devices/disk/address") is not None
    assert out.findtext("devices/disk/iotune/total_iops_sec") == "3"
    assert config.find("devices/disk/iotune") is None


def test_disks_and_interfaces_come_and_go() -> None:
    config = again(domain_xml(machine(disk=[{"size": 9}, {"size": 8}], interface=[{"network": "lan"}])))
    wanted = domain_xml(machine(disk=[{"size": 9}], interface=[{"network": "dmz"}, {"network": "lan"}]))
    out = edited(config, wanted, {"disk", "interface"})
    files = [s.get("file", "") for s in out.findall("devices/disk/source")]
    assert files == ["/pool/a.01234567.vda.qcow2", "/pool/a.01234567.seed.iso"]
    assert [s.get("network") for s in out.findall("devices/interface/source")] == ["dmz", "lan"]
    ports = [len([c for c in r.iter("controller") if c.get("model") == "pcie-root-port"]) for r in (config, out)]
    assert ports[1] == ports[0] + 1


def test_what_was_imported_is_marked() -> None:
    config = parse(
        "<domain type='kvm'><name>a</name><metadata><x:y xmlns:x='urn:x'/></metadata><memory>1024</memory><devices/>"
        "</domain>"
    )
    out = edited(config, domain_xml(machine()), {"description"})
    assert identity_of(out) == IDENTITY
    assert out.find("metadata/{urn:x}y") is not None


def test_another_machine_type_begins_anew() -> None:
    config = again(domain_xml(machine()))
    wanted = domain_xml(machine(machine="pc"))
    out = edited(config, wanted, {"machine"})
    assert render(out) == render(wanted)


def test_disks_of_a_creation_that_was_cut_short_are_told_apart() -> None:
    files = ["/p/a.01234567.vdc.qcow2", "/x/data.qcow2", "/iso", "/p/a.01234567.vda.qcow2"]
    disks = [parse(f"<disk><source file='{f}'/></disk>") for f in files]
    known = {"image": "/i", "disk": [{"volume": "v"}, {"path": "/iso"}, {"size": 1, "readonly": True}]}
    told = [b["file"] for b in told_apart(known, disks, IDENTITY.id)]
    assert told == ["/x/data.qcow2", "/iso", "/p/a.01234567.vda.qcow2"]
    known = {"image": "/i", "disk": [{"volume": "v"}]}
    assert [b["file"] for b in told_apart(known, disks, IDENTITY.id)] == ["/x/data.qcow2"]
