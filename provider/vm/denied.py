"""Who refused a VM a file: its owner and mode, or AppArmor. QEMU has the same words for both, "Permission denied".

libvirt gives each VM an AppArmor profile of its own, ``libvirt-UUID``, made by its helper virt-aa-helper from the
definition: it names the files of the definition and no others. What it denies is in the kernel's log, unless a rule of
the machine's own says ``deny``, which is not logged.
https://libvirt.org/drvqemu.html#apparmor-svirt-confinement
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from hythe.diagnostic import Diagnostic, error
from hythe.provider.protocol import Host, ProviderError
from hythe.provider.vm.client import Hypervisor
from hythe.provider.vm.domain_xml import Machine
from hythe.provider.vm.errors import LibvirtError, explain
from hythe.provider.vm.pci import explain_pci
from hythe.provider.vm.xml import parse

RULES = "/etc/apparmor.d/local/abstractions/libvirt-qemu"
"""Where a machine's own rules for all VMs are."""
_LOGS = (("dmesg",), ("journalctl", "--dmesg", "--no-pager", "--output", "cat", "--lines", "2000"))
_AUDIT_LOG = ("tail", "-n", "2000", "/var/log/audit/audit.log")
_SECONDS, _RECENT = 20.0, 300.0
_REFUSED = (
    re.compile(
        r"(?:[Cc]ould not open|[Cc]annot access|[Uu]nable to open|[Ff]ailed to open)[^:]*?"
        r"['\"“](?P<path>[^'\"”]+)['\"”][^:]*: Permission denied"
    ),
    re.compile(r"Could not open (?P<path>/\S+): Permission denied"),
)
_NO_PROFILE = re.compile(r"cannot (?:load|update) AppArmor profile '(?P<profile>[^']+)'.*")
_OFF_LIMITS = (
    *("/bin/", "/etc/", "/lib", "/lost+found/", "/proc/", "/sbin/", "/selinux/", "/sys/"),
    *("/usr/bin/", "/usr/lib", "/usr/sbin/", "/usr/share/", "/usr/local/bin/", "/usr/local/etc/", "/usr/local/lib"),
    "/usr/local/sbin/",
)
"""Where virt-aa-helper lets no file of a VM be (its ``valid_path``)."""
_READ_ONLY = ("/boot/",)
"""Where it lets none be that is written to."""


@dataclass(frozen=True, slots=True)
class Denial:
    """A line of the kernel's log. ``seconds`` is when, in Unix time; ``mask`` the rights asked for, like ``rw``."""

    path: str
    profile: str
    mask: str
    seconds: float
    line: str


def denials(log: str, profile: str) -> list[Denial]:
    """What AppArmor denied a profile, oldest first. Pure."""
    out = []
    for line in log.splitlines():
        if 'apparmor="DENIED"' not in line or f'profile="{profile}"' not in line:
            continue
        name, when = re.search(r' name=(?:"([^"]*)"|([0-9A-F]+))', line), re.search(r"audit\((\d+\.\d+):\d+\)", line)
        mask = re.search(r' denied_mask="([^"]*)"', line)
        if name is None or when is None:
            continue
        # the kernel writes names with blanks or quotes as hexadecimal digits
        path = name[1] if name[1] is not None else bytes.fromhex(name[2]).decode("utf-8", "replace")
        shown = line[line.index("apparmor=") :]
        out.append(Denial(path, profile, mask[1] if mask else "", float(when[1]), shown))
    return out


def explain_vm(
    host: Host, hypervisor: Hypervisor, uuid: str, machine: Machine, failure: LibvirtError, what: str
) -> Diagnostic:
    """Like :func:`~hythe.provider.vm.errors.explain`, for what was done with one VM: who refused a file is found out,
    and what keeps a device of the host back.

    ``what`` begins the detail and says at which stage it happened. May ask the hypervisor's machine.
    """
    unmade = _NO_PROFILE.search(failure.message)
    if unmade is not None:
        return _unmade(machine, unmade, what)
    found = _refused(failure.message)
    if found is None:
        return explain_pci(hypervisor, failure, what) or explain(failure, what)
    path, words = found["path"], found[0]
    models, user, group = _security(hypervisor)
    if "apparmor" not in models:
        return _plain(host, words, path, user, group, what, "SELinux" if "selinux" in models else None)
    log = _log(host)
    if log is not None:
        text, now = log
        paths = {path, _real(host, path)}
        told = [d for d in denials(text, f"libvirt-{uuid}") if d.path in paths and now - d.seconds < _RECENT]
        if told:
            return _denied(told[-1], what)
    return _plain(host, words, path, user, group, what, "AppArmor", logged=log is not None)


def _refused(message: str) -> re.Match[str] | None:
    """What a message says of a file that was not to be opened for want of a permission; None for other failures."""
    return next((f for p in _REFUSED if (f := p.search(message)) is not None), None)


def _denied(denial: Denial, what: str) -> Diagnostic:
    verb = "writing" if "w" in denial.mask and "r" not in denial.mask else "reading"
    verb = "reading and writing" if {"r", "w"} <= set(denial.mask) else verb
    return error(
        "AppArmor denied a file",
        f"{what}: AppArmor denied QEMU {verb} {denial.path}, whatever the file's owner and mode permit. The VM runs "
        f"under the profile {denial.profile}, which libvirt makes from its definition: it permits the files named "
        f"there, and what {RULES} adds. The kernel's log says:\n  {denial.line}\n"
        "Have the file named by `path` or `volume` of a disk of its own, or keep it in a pool (leave `path` out); or "
        f'permit it to the VMs of that machine: add the line `"{denial.path}" rwk,` to {RULES} there, take a `deny` '
        "of it out, and apply again.",
    )


def _unmade(machine: Machine, found: re.Match[str], what: str) -> Diagnostic:
    files = [d.file for d in machine.disks if d.file.startswith((*_OFF_LIMITS, *_READ_ONLY))]
    files += [f for f in (machine.kernel, machine.initrd) if f and f.startswith(_OFF_LIMITS)]
    named = f"That is so with {' and '.join(files)}. " if files else ""
    return error(
        "AppArmor permits no such file",
        f"{what}: libvirt could not make the AppArmor profile {found['profile']} of the VM ({found[0]}). Its helper "
        "virt-aa-helper lets no disk be in a folder of the system, like /etc, /usr/lib, /usr/share, /boot or /sys. "
        f"{named}Move the file elsewhere (/var/lib/libvirt/images is made for it) or keep it in a pool (leave `path` "
        "out), and apply again. When no file is in such a folder, libvirt's own log tells more "
        "(`journalctl -u libvirtd`).",
    )


def _plain(
    host: Host,
    words: str,
    path: str,
    user: int | None,
    group: int | None,
    what: str,
    confined: str | None,
    *,
    logged: bool = False,
) -> Diagnostic:
    """Owner and mode, unless it may be what VMs are ``confined`` by too. ``logged``: the log of that is silent."""
    who = f"user {user} (libvirt-qemu on Debian)" if user is not None else "a user of its own (libvirt-qemu on Debian)"
    closed = _closed(host, path, user, group) if user is not None else None
    told = f"{what}: QEMU was refused {path} ({words}). It runs as {who}"
    mend = "Keep disks in a pool (leave `path` out), or let that user read and write the file, and go through every "
    mend += "folder above it"
    if closed is not None:
        folder, mode = closed
        return error(
            "Hypervisor may not open a file",
            f"{told}, who may not go through the folder {folder} (mode {mode}). {mend}: `chmod o+x {folder}`, or "
            f"`setfacl -m u:{user}:x {folder}` for that user only.",
        )
    if confined == "AppArmor" and logged:
        return error(
            "Hypervisor may not open a file",
            f"{told}, under AppArmor. The kernel's log tells of no denial. So it is the file's owner or mode, or a "
            f"`deny` rule of that machine, which is not logged: see to `ls -l {path}` and {RULES}. {mend}.",
        )
    if confined is not None:
        log = "dmesg | grep -i apparmor" if confined == "AppArmor" else "ausearch -m avc"
        return error(
            "Hypervisor may not open a file",
            f"{told}, under {confined}; either of them can be what refused it. `sudo {log}` on the hypervisor's "
            f"machine shows what {confined} denied. {mend}.",
        )
    return error(
        "Hypervisor may not open a file",
        f"{told}; neither AppArmor nor SELinux is in force there, so it is the file's owner or mode "
        f"(`ls -l {path}`). {mend}.",
    )


def _security(hypervisor: Hypervisor) -> tuple[set[str], int | None, int | None]:
    """The security models in force, and the user and group that VMs run as."""
    host = parse(hypervisor.capabilities()).find("host")
    models: set[str] = set()
    user = group = None
    for model in host.findall("secmodel") if host is not None else ():
        models.add(model.findtext("model") or "")
        label = re.fullmatch(r"\+(\d+):\+(\d+)", model.findtext("baselabel") or "")
        if label is not None:
            user, group = int(label[1]), int(label[2])
    return models, user, group


def _log(host: Host) -> tuple[str, float] | None:
    """The kernel's log and that machine's time; None when this user may not read it."""
    try:
        clock = host.run(["date", "+%s"], timeout=_SECONDS)
        texts = [d.stdout.decode("utf-8", "replace") for a in _LOGS if (d := host.run(a, timeout=_SECONDS)).code == 0]
        audit = host.run(_AUDIT_LOG, timeout=_SECONDS)
    except ProviderError:
        return None
    if audit.code == 0:
        texts.append(audit.stdout.decode("utf-8", "replace"))
    # a user without the right to see it is shown a line that says so
    told = "\n".join(t for t in texts if len(t.splitlines()) > 1)
    return (told, float(clock.stdout or 0)) if told else None


def _real(host: Host, path: str) -> str:
    """Where a file is, as AppArmor knows it: behind links."""
    try:
        done = host.run(["readlink", "-f", path], timeout=_SECONDS)
    except ProviderError:
        return path
    return done.stdout.decode("utf-8", "replace").rstrip("\n") or path


def _closed(host: Host, path: str, user: int, group: int | None) -> tuple[str, str] | None:
    """The first folder above a file that a user may not go through, and its mode; None when there is none."""
    folders = ["/"]
    for part in [p for p in os.path.dirname(path).split("/") if p]:
        folders.append(os.path.join(folders[-1], part))
    try:
        groups = {str(group), *host.run(["id", "-G", str(user)], timeout=_SECONDS).stdout.decode().split()}
        done = host.run(["stat", "-L", "-c", "%a %u %g %n", *folders], timeout=_SECONDS)
    except ProviderError:
        return None
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        mode, owner, its_group, folder = line.split(" ", 3)
        bits = int(mode, 8)
        bit = 0o100 if owner == str(user) else 0o010 if its_group in groups else 0o001
        if user != 0 and not bits & bit:
            return folder, f"{bits & 0o7777:04o}"
    return None
