"""What the kernel's log tells of AppArmor. Its lines are those of Debian 12."""

from __future__ import annotations

from hythe.provider.vm.denied import denials

PROFILE = "libvirt-c481dbca-18de-5bf8-b120-bf67103703b5"
HEAD = '[  820.9] audit: type=1400 audit(1795913765.240:24): apparmor="DENIED" operation="open" profile="{}" name='
TAIL = ' pid=739 comm="qemu-system-x86" requested_mask="wr" denied_mask="wr" fsuid=64055 ouid=0'


def line(name: str, profile: str = PROFILE) -> str:
    return HEAD.format(profile) + name + TAIL


def test_of_this_vm_only() -> None:
    loaded = line('"/a"').replace("DENIED", "STATUS")
    log = "\n".join([line('"/a"'), line('"/b"', "libvirt-other"), loaded, "Linux version 6.1", line('"/c d"')])
    assert [(d.path, d.mask, d.seconds) for d in denials(log, PROFILE)] == [
        ("/a", "wr", 1795913765.24),
        ("/c d", "wr", 1795913765.24),
    ]
    assert denials(log, PROFILE)[0].line.startswith('apparmor="DENIED" operation="open"')


def test_names_with_quotes_are_digits() -> None:
    (told,) = denials(line('/a "b" ü'.encode().hex().upper()), PROFILE)
    assert told.path == '/a "b" ü'


def test_lines_that_are_cut_off() -> None:
    assert denials('apparmor="DENIED" operation="open" profile="' + PROFILE + '"', PROFILE) == []
