"""Arguments of the vm kind that need no guest, on VMs with a blank disk, which start in half a second."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hythe.planner.diff import compare
from hythe.provider.network import Network
from hythe.provider.protocol import Identity, Presence, ProviderError, ReadRequest
from hythe.value import Reference

from .conftest import KIND, Lab, free_cidr, virsh

BLANK: dict[str, Any] = {"memory": "64MiB", "cloud_init": False, "disk": [{"size": "16MiB"}]}
TWO = [{"size": "16MiB"}, {"size": "8MiB"}]
LIVE, RESTART, REPLACE = "LIVE", "RESTART", "REPLACE"

# name, arguments, others, effects, what the definition holds before and after
CASES: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, str], str, str]] = [
    ("memory", {"memory": "64MiB"}, {"memory": "96MiB"}, {"memory": RESTART}, ">65536<", ">98304<"),
    (
        "memory-within",
        {"max_memory": "128MiB"},
        {"max_memory": "128MiB", "memory": "96MiB"},
        {"memory": LIVE},
        "<currentMemory unit='KiB'>65536<",
        "<currentMemory unit='KiB'>98304<",
    ),
    ("max_memory", {}, {"max_memory": "96MiB"}, {"max_memory": RESTART}, "<memory unit='KiB'>65536", ">98304<"),
    ("cpus", {}, {"cpus": 2}, {"cpus": RESTART}, ">1</vcpu>", ">2</vcpu>"),
    ("max_cpus", {}, {"max_cpus": 3}, {"max_cpus": RESTART}, ">1</vcpu>", "current='1'>3</vcpu>"),
    (
        "cpu",
        {"cpu": {"model": "qemu64", "pin": {"0": "0"}}},
        {"cpus": 2, "cpu": {"model": "qemu64", "sockets": 1, "cores": 2, "threads": 1, "features": {"aes": "disable"}}},
        {"cpu": RESTART, "cpus": RESTART},
        "<vcpupin vcpu='0' cpuset='0'/>",
        "<feature policy='disable' name='aes'/>",
    ),
    ("machine", {"machine": "q35"}, {"machine": "pc"}, {"machine": RESTART}, "machine='pc-q35-", "machine='pc-i440fx-"),
    ("firmware", {"firmware": "uefi"}, {"firmware": "bios"}, {"firmware": REPLACE}, "<os firmware='efi'", ""),
    ("accelerator", {}, {"accelerator": "tcg"}, {"accelerator": RESTART}, "", "<domain type='qemu'"),
    (
        "graphics",
        {"graphics": {"type": "vnc", "password": "secret"}},
        {"graphics": {"type": "vnc", "listen": "127.0.0.2", "port": 5977}},
        {"graphics": RESTART},
        "autoport='yes'",
        "port='5977' autoport='no' listen='127.0.0.2'",
    ),
    ("rng", {}, {"rng": False}, {"rng": RESTART}, "<rng model='virtio'", ""),
    ("guest_agent", {}, {"guest_agent": False}, {"guest_agent": RESTART}, "org.qemu.guest_agent.0", ""),
    ("autostart", {"autostart": True}, {"autostart": False}, {"autostart": LIVE}, "", ""),
    ("description", {"description": "<a> & b"}, {"description": "c"}, {"description": LIVE}, "&lt;a&gt;", ">c<"),
    ("no-description", {"description": "c"}, {}, {"description": LIVE}, ">c<", ""),
    (
        "disk-bus",
        {"disk": [{"size": "16MiB", "bus": "scsi", "cache": "none"}]},
        {"disk": [{"size": "16MiB", "bus": "sata", "discard": "unmap", "serial": "abc", "readonly": False}]},
        {"disk": RESTART},
        "bus='scsi'",
        "<serial>abc</serial>",
    ),
    (
        "disk-limits",
        {"disk": [{"size": "16MiB", "iops": 100}]},
        {"disk": [{"size": "16MiB", "bandwidth": 1000000}]},
        {"disk": LIVE},
        "<total_iops_sec>100<",
        "<total_bytes_sec>1000000<",
    ),
    ("disk-grown", {}, {"disk": [{"size": "32MiB"}]}, {"disk": LIVE}, "", ""),
    ("disk-added", {}, {"disk": TWO}, {"disk": LIVE}, "dev='vda'", "dev='vdb'"),
    (
        "interface",
        {"interface": [{"user": True}]},
        {"interface": [{"user": True, "model": "e1000"}]},
        {"interface": RESTART},
        "type='virtio'",
        "type='e1000'",
    ),
    (
        "interface-added",
        {"interface": [{"user": True}]},
        {"interface": [{"user": True}, {"user": True, "link": "down"}]},
        {"interface": LIVE},
        "<interface type='user'>",
        "<link state='down'/>",
    ),
    (
        "filesystem",
        {"filesystem": [{"source": "/srv", "target": "srv", "driver": "9p", "readonly": True}]},
        {"filesystem": [{"source": "/opt", "target": "srv", "driver": "9p"}]},
        {"filesystem": RESTART},
        "<source dir='/srv'/>",
        "<source dir='/opt'/>",
    ),
    (
        "filesystem-shared",
        {"running": False},
        {"running": False, "filesystem": [{"source": "/opt", "target": "srv"}]},
        {"filesystem": LIVE},
        "",
        "<access mode='shared'/>",
    ),
    (
        "watchdog",
        {"watchdog": {}},
        {"watchdog": {"action": "poweroff"}},
        {"watchdog": RESTART},
        "action='reset'",
        "action='poweroff'",
    ),
    ("shutdown_timeout", {}, {"shutdown_timeout": "5s"}, {"shutdown_timeout": LIVE}, "", ""),
    ("timeouts", {}, {"timeouts": {"boot": "5s"}}, {"timeouts": LIVE}, "", ""),
    ("allow_data_loss", {}, {"allow_data_loss": True}, {"allow_data_loss": LIVE}, "", ""),
    ("protected", {"protected": True}, {"protected": False}, {"protected": LIVE}, "", ""),
    (
        "snapshot",
        {"snapshot": [{"name": "one", "description": "x"}]},
        {"snapshot": [{"name": "two"}]},
        {"snapshot": LIVE},
        "",
        "",
    ),
    ("running", {}, {"running": False}, {"running": RESTART}, "", ""),
    ("started", {"running": False}, {"running": True}, {"running": LIVE}, "", ""),
]


@pytest.mark.parametrize(
    ("before", "after", "effects", "has", "then"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_an_argument(
    lab: Lab, before: dict[str, Any], after: dict[str, Any], effects: dict[str, str], has: str, then: str
) -> None:
    # nobody is in there who would hear that it shall shut down
    base = {**BLANK, "shutdown_timeout": "1s", "name": lab.name()}
    made = lab.vm(**{**base, **before})
    assert made.changes() == []
    assert has in made.xml(inactive=True)
    gone = {name: None for name in before if name not in after and name not in BLANK}
    found = made.changes(**{**gone, **after})
    assert {c.name: c.effect.name for c in found} == effects
    if REPLACE not in effects.values():
        ran = made.virsh("domid")
        assert made.change(**{**gone, **after}) == effects
        assert then in made.xml(inactive=True)
        assert (made.virsh("domid") == ran) == (RESTART not in effects.values() and "running" not in effects)
    made.delete()
    assert made.observed() is Presence.ABSENT
    made.delete()
    left = [n for n in virsh("vol-list", made.attributes["pool"], check=False).split() if made.name in n]
    assert left == []


def test_what_is_off_changes_without_a_restart(lab: Lab) -> None:
    made = lab.vm(name=lab.name(), running=False, **BLANK)
    assert made.change(memory="96MiB", cpus=2, rng=False) == {"memory": LIVE, "cpus": LIVE, "rng": LIVE}
    assert made.virsh("domstate") == "shut off"


def test_a_disk_that_is_taken_away_loses_its_data(lab: Lab) -> None:
    made = lab.vm(name=lab.name(), **{**BLANK, "disk": [*TWO, {"size": "12MiB"}]}, shutdown_timeout="1s")
    third = made.attributes["disk"][2]["file"]
    (lost,) = made.changes(disk=[TWO[0], {"size": "12MiB"}])
    assert (lost.name, lost.effect.name, lost.data_loss) == ("disk", LIVE, True)
    (small,) = made.changes(disk=[TWO[0], {"size": "4MiB"}, {"size": "12MiB"}])
    assert (small.effect.name, small.data_loss) == (REPLACE, True)
    # nobody answers in there, so it has to be off for a disk to go
    made.change(running=False)
    made.change(disk=[TWO[0], {"size": "12MiB"}])
    assert made.attributes["disk"][1]["file"] == third
    assert sorted(Path(b["file"]).name.split(".")[-2] for b in made.attributes["disk"]) == ["vda", "vdc"]
    assert not any("vdb" in v for v in virsh("vol-list", made.attributes["pool"]).split() if made.name in v)


def test_disks_from_elsewhere(lab: Lab, tmp_path: Path) -> None:
    files = [Path("/var/lib/libvirt/images") / f"{lab.prefix}.{n}" for n in ("raw", "iso")]
    for file in files:
        file.write_bytes(b"\0" * (1 << 20))
    try:
        disks = [*BLANK["disk"], {"path": str(files[0])}, {"device": "cdrom", "path": str(files[1])}]
        made = lab.vm(name=lab.name(), **{**BLANK, "disk": disks}, shutdown_timeout="1s")
        assert made.changes() == []
        assert "<target dev='sda' bus='sata'/>" in made.xml()
        made.change(running=False)
        made.change(disk=BLANK["disk"])
        made.delete()
        assert all(file.exists() for file in files)
    finally:
        for file in files:
            file.unlink()


def test_a_bridge_and_macvtap(lab: Lab, lan: Reference) -> None:
    bridge = lab.referents["network.lan"].attributes["bridge"]
    arguments = {**BLANK, "interface": [{"bridge": bridge, "mac": "52:54:00:AA:bb:01"}, {"direct": bridge}]}
    made = lab.vm(name=lab.name(), wait_for="boot", **arguments)
    assert made.changes() == []
    assert f"<source bridge='{bridge}'/>" in made.xml(inactive=True)
    assert f"<source dev='{bridge}' mode='bridge'/>" in made.xml(inactive=True)
    assert made.attributes["macs"][0] == "52:54:00:aa:bb:01"


def test_moved_to_another_network(lab: Lab, lan: Reference) -> None:
    other = lab.other(Network(), "network.other", name=f"{lab.prefix}-other", mode="isolated", cidr=free_cidr())
    made = lab.vm(name=lab.name(), **BLANK, interface=[{"network": lan}])
    mac = made.attributes["interface"][0]["mac"]
    assert made.change(interface=[{"network": other}]) == {"interface": LIVE}
    assert made.attributes["interface"][0]["mac"] == mac
    assert f"<source network='{lab.prefix}-other'" in made.xml()
    tap = next(line.split()[0] for line in made.virsh("domiflist").splitlines() if mac in line)
    assert os.path.realpath(f"/sys/class/net/{tap}/master").endswith(
        lab.referents["network.other"].attributes["bridge"]
    )
    assert made.change(interface=[{"network": f"{lab.prefix}-lan"}]) == {"interface": LIVE}


def test_drift_is_seen_and_mended(lab: Lab) -> None:
    made = lab.vm(name=lab.name(), **{**BLANK, "disk": TWO}, description="a", max_cpus=2, snapshot=[{"name": "s"}])
    domid = made.virsh("domid")
    made.virsh("setvcpus", "2", "--config")
    made.virsh("desc", "--config", "other")
    made.virsh("autostart")
    made.virsh("snapshot-delete", "s")
    made.virsh("detach-disk", "vdb", "--config")
    assert {c.name for c in made.changes()} == {"consistent", "description", "autostart", "snapshot"}
    made.change()
    assert made.virsh("domid") == domid
    assert "vdb" in made.xml(inactive=True)
    made.virsh("destroy")
    assert {c.name: c.effect.name for c in made.changes()} == {"running": LIVE}
    made.change()
    domid = made.virsh("domid")
    made.virsh("suspend")
    assert {c.name: c.effect.name for c in made.changes()} == {"running": LIVE, "consistent": LIVE}
    made.change()
    assert (made.virsh("domstate"), made.virsh("domid")) == ("running", domid)
    made.virsh("suspend")
    made.change(running=False, shutdown_timeout="1s")
    assert made.virsh("domstate") == "shut off"
    made.change(running=True)
    made.virsh("destroy")
    made.virsh("undefine", "--snapshots-metadata")
    assert made.observed() is Presence.ABSENT


def test_import_keeps_what_hythe_knows_nothing_of(lab: Lab, tmp_path: Path) -> None:
    name = lab.name()
    definition = tmp_path / "domain.xml"
    definition.write_text(
        f"<domain type='qemu'><name>{name}</name><title>Mine</title><memory unit='MiB'>64</memory><vcpu>1</vcpu>"
        "<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>"
        "<panic model='isa'/><sound model='ich9'/></devices></domain>"
    )
    virsh("define", str(definition))
    identity = lab.identity()
    found = KIND.import_object(lab.context(identity), name)
    assert (found["memory"], found["cpus"], found["running"]) == (64 << 20, 1, False)
    wish = lab.wish(name=name, memory="64MiB", running=False, cloud_init=False, rng=False, guest_agent=False)
    assert compare(KIND, found, wish) == []
    wish = lab.wish(name=name, memory="96MiB", running=False, cloud_init=False, rng=False, guest_agent=False)
    made = KIND.update(lab.context(identity), found, wish, ["memory"])
    assert compare(KIND, made, wish) == []
    text = virsh("dumpxml", name)
    assert "<title>Mine</title>" in text
    assert "<sound model='ich9'>" in text
    assert ">98304<" in text
    assert [o.identity.id for o in KIND.find_owned(lab.reading()) if o.attributes["name"] == name] == [identity.id]
    KIND.delete(lab.context(identity), made)
    assert name not in virsh("list", "--all", "--name").split()
    with pytest.raises(ProviderError, match="VM not found"):
        KIND.import_object(lab.context(identity), name)


def test_read_as_data(lab: Lab) -> None:
    made = lab.vm(name=lab.name(), **BLANK, description="d")
    found = KIND.read_data(lab.reading(), {"name": made.name})
    assert (found["id"], found["memory"], found["running"], found["description"]) == (
        made.attributes["id"],
        64 << 20,
        True,
        "d",
    )


def test_uefi_variables_go_with_the_vm(lab: Lab) -> None:
    made = lab.vm(name=lab.name(), **BLANK, firmware="uefi")
    variables = Path("/var/lib/libvirt/qemu/nvram") / f"{made.name}_VARS.fd"
    assert variables.exists()
    made.delete()
    assert not variables.exists()


def test_the_console_is_logged_and_can_be_attached_to(lab: Lab) -> None:
    made = lab.vm(name=lab.name(), **BLANK)
    log = Path(made.attributes["console_log"])
    assert log.exists()
    assert stat.S_IMODE(log.stat().st_mode) & 0o077 == 0
    assert "<console type='pty'" in made.xml()


def test_a_device_of_the_host_that_is_not_there(lab: Lab) -> None:
    name = lab.name()
    with pytest.raises(ProviderError) as caught:
        lab.vm(name=name, **BLANK, hostdev=[{"usb": "1234:5678"}])
    assert name in str(caught.value)
    assert name not in virsh("list", "--all", "--name").split()
    made = lab.vm(name=name, **BLANK, running=False, hostdev=[{"pci": "01:02.3"}, {"usb": "1234:5678"}])
    assert made.changes() == []


def test_a_pci_device_that_cannot_be_handed_over_stops_nothing(lab: Lab) -> None:
    # a device that an IOMMU is in charge of might really be handed over
    groups = Path("/sys/kernel/iommu_groups")
    guarded = groups.is_dir() and any(groups.iterdir())
    made = lab.vm(name=lab.name(), **BLANK, shutdown_timeout="1s")
    number = made.virsh("domid")
    there = max(os.listdir("/sys/bus/pci/devices"))
    cases = [("ffff:00:00.0", "host not found: .*")]
    cases += [] if guarded else [(there, "hands over no PCI devices: .* no IOMMU")]
    for address, told in cases:
        with pytest.raises(ProviderError, match=f"{told}.*{address}"):
            made.change(hostdev=[{"pci": address}])
        made.arguments.pop("hostdev")
        assert made.virsh("domid") == number
        assert made.changes() == []
    if guarded:
        return
    # one that is not to run may be prepared for another day
    assert made.change(running=False) == {"running": RESTART}
    assert made.change(hostdev=[{"pci": there}]) == {"hostdev": LIVE}
    with pytest.raises(ProviderError, match="Machine hands over no PCI devices"):
        made.change(running=True)
    made.arguments["running"] = False
    assert made.changes() == []


def test_a_name_that_is_taken(lab: Lab) -> None:
    made = lab.vm(name=lab.name(), **BLANK)
    before = made.xml()
    with pytest.raises(ProviderError, match="Name already taken"):
        lab.vm(name=made.name, **BLANK)
    assert made.xml() == before


def test_protected(lab: Lab) -> None:
    made = lab.vm(name=lab.name(), **BLANK, protected=True)
    with pytest.raises(ProviderError, match="Protected VM"):
        made.delete()
    assert made.changes() == []


# -- failures leave nothing half-made -------------------------------------------------------------


def left_of(lab: Lab, name: str, identity: Identity) -> list[str]:
    out = [n for n in virsh("list", "--all", "--name").split() if n == name]
    for pool in virsh("pool-list", "--name").split():
        out += [v for v in virsh("vol-list", pool).split() if identity.id[:8] in v and "/" not in v]
    return out


def test_a_disk_that_qemu_may_not_open(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "closed.raw"
    file.write_bytes(b"\0" * 4096)
    identity, name = lab.identity(), lab.name()
    with pytest.raises(ProviderError) as caught:
        lab.vm(identity, name=name, **{**BLANK, "disk": [*TWO, {"path": str(file)}]})
    (told,) = caught.value.diagnostics
    assert caught.value.partial is None
    assert told.summary == "Hypervisor may not open a file"
    assert str(file) in told.detail
    assert 'stage "boot"' in told.detail
    # pytest's folders are its user's only
    closed = next(f for f in reversed(file.parents) if not f.stat().st_mode & 0o001)
    assert f"may not go through the folder {closed} (mode 0700)" in told.detail
    assert left_of(lab, name, identity) == []


def test_a_disk_that_is_not_there(lab: Lab) -> None:
    identity, name = lab.identity(), lab.name()
    with pytest.raises(ProviderError, match=r"/nowhere/disk\.raw"):
        lab.vm(identity, name=name, **{**BLANK, "disk": [*TWO, {"path": "/nowhere/disk.raw"}]})
    assert left_of(lab, name, identity) == []


def test_a_network_that_is_down(lab: Lab) -> None:
    lab.other(Network(), "network.down", name=f"{lab.prefix}-down", mode="isolated", cidr=free_cidr(), active=False)
    identity, name = lab.identity(), lab.name()
    with pytest.raises(ProviderError, match="net-start"):
        lab.vm(identity, name=name, **BLANK, interface=[{"network": f"{lab.prefix}-down"}])
    assert left_of(lab, name, identity) == []


def test_a_restart_that_fails_brings_back_what_was(lab: Lab) -> None:
    made = lab.vm(name=lab.name(), **BLANK, shutdown_timeout="1s")
    wish = lab.wish(**{**made.arguments, "cpu": {"model": "no-such-model"}})
    with pytest.raises(ProviderError, match="runs again as it was before"):
        KIND.update(lab.context(made.identity), made.observed(), wish, ["cpu"])
    assert made.virsh("domstate") == "running"
    assert made.changes() == []


@pytest.mark.parametrize("stage", ["volume", "disks", "defined", "started"])
def test_a_creation_that_was_cut_short(lab: Lab, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    from hythe.provider.vm import pools, vm_make

    class Killed(BaseException):
        pass

    def kill(*args: Any, **options: Any) -> Any:
        raise Killed

    identity, arguments = lab.identity(), {**BLANK, "disk": TWO, "name": lab.name()}
    with monkeypatch.context() as patch:
        if stage == "volume":
            real, calls = pools.create_volume, []

            def second(*args: Any, **options: Any) -> Any:
                calls.append(1)
                return kill() if len(calls) == 2 else real(*args, **options)

            patch.setattr(pools, "create_volume", second)
        elif stage == "disks":
            patch.setattr(vm_make.Maker, "_define", kill)
        elif stage == "defined":
            patch.setattr(vm_make, "start", kill)
        else:
            patch.setattr(vm_make.Maker, "_until_ready", kill)
        with pytest.raises(Killed):
            lab.vm(identity, **arguments)
    wish = lab.wish(**arguments)
    found = KIND.find(lab.reading(), [ReadRequest(identity.id, identity.address, wish)])[identity.id]
    assert found.complete == (stage == "started")
    if found.complete:
        assert compare(KIND, found.attributes, wish) == []
    # whichever way the next run goes, going on or beginning anew, it ends well
    made = KIND.create(lab.context(identity), wish)
    assert compare(KIND, made, wish) == []
    assert len(left_of(lab, arguments["name"], identity)) == 3
    KIND.delete(lab.context(identity), found.attributes)
    assert left_of(lab, arguments["name"], identity) == []


def test_nothing_is_found_of_what_never_began(lab: Lab) -> None:
    identity = lab.identity()
    wish = lab.wish(name=lab.name(), **BLANK)
    assert KIND.find(lab.reading(), [ReadRequest(identity.id, identity.address, wish)]) == {}


def test_a_network_that_is_made_anew_under_its_name(lab: Lab) -> None:
    arguments = {"name": f"{lab.prefix}-again", "mode": "isolated", "cidr": free_cidr()}
    first = lab.other(Network(), "network.again", **arguments)
    made = lab.vm(name=lab.name(), **BLANK, interface=[{"network": first}])
    kind, identity, network = next(m for m in lab.made if m[1].id == first.id)
    kind.delete(lab.context(identity), network)
    second = lab.other(Network(), "network.again", **arguments)
    assert made.change(interface=[{"network": second}]) == {"interface": LIVE}
    tap = next(line.split()[0] for line in made.virsh("domiflist").splitlines() if arguments["name"] in line)
    bridge = lab.referents["network.again"].attributes["bridge"]
    assert os.path.realpath(f"/sys/class/net/{tap}/master").endswith(f"/{bridge}")


def test_four_at_once_and_again(lab: Lab) -> None:
    def one(number: int) -> None:
        for _ in range(3):
            made = lab.vm(name=f"{lab.prefix}-p{number}", **BLANK)
            assert made.changes() == []
            made.delete()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(4)))
    assert f"{lab.prefix}-p" not in virsh("list", "--all")
