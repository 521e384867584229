"""What may be written for a VM, and what changing it does."""

from __future__ import annotations

from typing import Any

import pytest

from hythe.planner.diff import compare
from hythe.provider.schema import Effect
from hythe.provider.vm.accelerator import pick
from hythe.provider.vm.client_monitor import has_free_region
from hythe.provider.vm.marks import mac_of
from hythe.provider.vm.vm import Vm

KIND = Vm()
MIB = 1 << 20


def decoded(**arguments: Any) -> tuple[dict[str, Any], list[str]]:
    out, problems = KIND.schema.decode({"name": "a", **arguments})
    return out, [text for _, text in problems]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "a b"}, "not the name of a VM"),
        ({"cpus": 0}, "one at least"),
        ({"cpus": True}, "one at least"),
        ({"cpus": 4, "max_cpus": 2}, "`max_cpus` allows 2"),
        ({"cpus": 4, "cpu": {"cores": 2}}, "sockets x cores x threads is 2"),
        ({"memory": "2GiB", "max_memory": "1GiB"}, "more than `max_memory`"),
        ({"memory": "1MiB"}, "below 16 MiB"),
        ({"disk": [{"volume": "v", "path": "/x"}]}, "not both"),
        ({"disk": [{"path": "/x", "size": "1GiB"}]}, "disks that Hythe makes"),
        ({"disk": [{"volume": "v", "size": "1GiB"}]}, "argument of the volume"),
        ({"disk": [{"device": "cdrom", "size": "1GiB"}]}, "a cdrom has no `size`"),
        ({"interface": [{}]}, "write one of"),
        ({"interface": [{"bridge": "br0", "user": True}]}, "write one of"),
        ({"interface": [{"bridge": "br0", "direct_mode": "vepa"}]}, "needs `direct`"),
        ({"interface": [{"bridge": "br0", "mac": "1:2"}]}, "not a MAC address"),
        ({"interface": [{"user": True, "mac": "52:54:00:00:00:01"}] * 2}, "the same `mac`"),
        ({"hostdev": [{"pci": "zz"}]}, "not a PCI address"),
        ({"hostdev": [{"pci": "01:00.0", "usb": "1d6b:0002"}]}, "write one of"),
        ({"user_data": "hello"}, "cloud-init does not understand"),
        ({"user_data": "#cloud-config\na: [1"}, "no YAML"),
        ({"network_config": "- a"}, "must be a mapping"),
        ({"initrd": "/i"}, "need `kernel`"),
        ({"engine": "docker", "cloud_init": False}, "needs `cloud_init`"),
        ({"engine": "lxc"}, "docker"),
    ],
)
def test_refused(arguments: dict[str, Any], said: str) -> None:
    _, problems = decoded(**arguments)
    assert len(problems) == 1
    assert said in problems[0]


def effects(old: dict[str, Any], new: dict[str, Any], **known: Any) -> dict[str, tuple[str, bool]]:
    before, _ = decoded(**old)
    after, _ = decoded(**new)
    found = compare(KIND, {**before, "running": True, **known}, after)
    return {c.name: (c.effect.name, c.data_loss) for c in found}


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ({"memory": "1GiB"}, {"memory": "512MiB"}, {"memory": ("LIVE", False)}),
        ({"memory": "1GiB"}, {"memory": "2GiB"}, {"memory": ("RESTART", False)}),
        ({"cpus": 2}, {"cpus": 1}, {"cpus": ("RESTART", False)}),
        ({"cpus": 1, "max_cpus": 4}, {"cpus": 4, "max_cpus": 4}, {"cpus": ("LIVE", False)}),
        ({"cpus": 4, "max_cpus": 4}, {"cpus": 2, "max_cpus": 4}, {"cpus": ("LIVE", False)}),
        ({"image": "/i"}, {"image": "/j"}, {"image": ("REPLACE", False)}),
        (
            {"image": "/i", "disk": [{}, {"size": 9 * MIB}]},
            {"image": "/j", "disk": [{}, {"size": 9 * MIB}]},
            {"image": ("REPLACE", True)},
        ),
        ({"image": "/i"}, {"image": "/i", "disk": [{"size": 9 * MIB}]}, {"disk": ("LIVE", False)}),
        ({"image": "/i"}, {"image": "/i", "disk": [{"path": "/d"}]}, {"disk": ("LIVE", False)}),
        ({"disk": [{"size": 9}, {"size": 8}]}, {"disk": [{"size": 9}]}, {"disk": ("LIVE", True)}),
        ({"disk": [{"size": 9}]}, {"disk": [{"size": 8}]}, {"disk": ("REPLACE", True)}),
        ({"disk": [{"size": 9}]}, {"disk": [{"size": 9, "bus": "scsi"}]}, {"disk": ("RESTART", False)}),
        (
            {"disk": [{"size": 9}]},
            {"disk": [{"size": 9}, {"device": "cdrom", "path": "/c"}]},
            {"disk": ("RESTART", False)},
        ),
        (
            {"interface": [{"bridge": "a"}]},
            {"interface": [{"bridge": "b", "link": "down"}]},
            {"interface": ("LIVE", False)},
        ),
        (
            {"interface": [{"bridge": "a"}]},
            {"interface": [{"bridge": "a", "mtu": 1400}]},
            {"interface": ("RESTART", False)},
        ),
        ({}, {"hostdev": [{"usb": "1d6b:0002"}]}, {"hostdev": ("LIVE", False)}),
        ({"hostdev": [{"usb": "1d6b:0002"}]}, {"hostdev": [{"usb": "1d6b:0003"}]}, {"hostdev": ("LIVE", False)}),
        ({}, {"hostdev": [{"pci": "01:02.3"}]}, {"hostdev": ("RESTART", False)}),
        ({"hostdev": [{"pci": "01:02.3"}, {"usb": "1d6b:0002"}]}, {"hostdev": []}, {"hostdev": ("RESTART", False)}),
        (
            {"hostdev": [{"pci": "01:02.3"}, {"usb": "1d6b:0002"}]},
            {"hostdev": [{"pci": "01:02.3"}]},
            {"hostdev": ("LIVE", False)},
        ),
        ({}, {"user_data": "#!/bin/sh\n"}, {"user_data": ("REPLACE", False)}),
        ({}, {"running": False}, {"running": ("RESTART", False)}),
        ({}, {"description": "x", "autostart": True}, {"description": ("LIVE", False), "autostart": ("LIVE", False)}),
    ],
)
def test_what_a_change_does(old: dict[str, Any], new: dict[str, Any], changed: dict[str, tuple[str, bool]]) -> None:
    assert effects(old, new) == changed


def test_emulated_processors_stay() -> None:
    old, new = {"cpus": 4, "max_cpus": 4}, {"cpus": 2, "max_cpus": 4}
    assert effects(old, new, accelerated_by="tcg") == {"cpus": ("RESTART", False)}
    assert effects(new, old, accelerated_by="tcg") == {"cpus": ("LIVE", False)}


def test_what_is_off_needs_no_restart() -> None:
    before, _ = decoded(running=False)
    after, _ = decoded(running=False, rng=False, cpus=3)
    assert {c.name: c.effect for c in compare(KIND, before, after)} == {"rng": Effect.LIVE, "cpus": Effect.LIVE}


KVM = "<capabilities><host><cpu><arch>x86_64</arch></cpu></host><guest><domain type='qemu'/>{}</guest></capabilities>"


@pytest.mark.parametrize(
    ("wanted", "offered", "cpuinfo", "picked"),
    [
        ("auto", True, "flags : fpu vmx sse", "kvm"),
        ("auto", True, "flags : fpu svm sse", "kvm"),
        # an emulation that libvirt offers, and that boots no common guest
        ("auto", True, "flags : fpu sse svm_lock", "tcg"),
        ("auto", False, "flags : fpu vmx sse", "tcg"),
        ("auto", True, "CPU implementer : 0x41", "kvm"),
        ("kvm", False, "", "kvm"),
        ("tcg", True, "flags : vmx", "tcg"),
    ],
)
def test_accelerator(wanted: str, offered: bool, cpuinfo: str, picked: str) -> None:
    assert pick(wanted, KVM.format("<domain type='kvm'/>" if offered else ""), cpuinfo) == picked


def test_room_for_a_processor() -> None:
    size = 1 << 30
    assert has_free_region(size // 2, size, 1, 2)
    # 16 regions, one held by the processor that is there: the last must not have been begun
    assert has_free_region(int(size * 14.7 / 16), size, 1, 2)
    assert not has_free_region(int(size * 14.8 / 16), size, 1, 2)


def test_macs_come_from_the_place_in_the_configuration() -> None:
    assert mac_of("l", "vm.a", 0) == mac_of("l", "vm.a", 0)
    assert len({mac_of(x, a, n) for x in "lm" for a in ("vm.a", "vm.b") for n in range(3)}) == 12
    assert mac_of("l", "vm.a", 0).startswith("52:54:00:")
