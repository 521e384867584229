"""What a machine has of all that Hythe can use, and how to get what is missing: behind ``hythe doctor``."""

from __future__ import annotations

import enum
import grp
import os
import platform
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hythe.provider.connection.checks_vm import virtualisation
from hythe.provider.connection.discovery import (
    DOCKER,
    DOCKER_SOCKET,
    PODMAN,
    EngineSettings,
    Machine,
    Socket,
    discover,
    probe,
    start_command,
)
from hythe.provider.connection.local import NOT_FOUND, LocalHost
from hythe.provider.host import facts
from hythe.provider.protocol import HostUnreachable, ProviderError

LOW_BYTES = 1 << 30
_SECONDS = 10.0


class Status(enum.Enum):
    """How a finding is to be taken. A missing thing that only some features need is no error."""

    OK = "ok"
    WARN = "warn"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: what was found (version, path), why it matters, and the command that mends it."""

    name: str
    status: Status
    found: str = ""
    why: str = ""
    fix: str = ""
    required: bool = False


@dataclass(slots=True)
class Doctor:
    """Looks at a machine. ``state_folder`` is where the state file is or would be."""

    machine: Machine = field(default_factory=Machine)
    state_folder: str = "."
    host: LocalHost = field(init=False)

    def __post_init__(self) -> None:
        self.host = LocalHost(machine=self.machine)

    def version(self, *argv: str) -> str | None:
        """The first version number that a program prints; None when there is no such program."""
        try:
            done = self.host.run(argv, timeout=_SECONDS)
        except ProviderError:
            return "not answering"
        if done.code == NOT_FOUND:
            return None
        text = (done.stdout + done.stderr).decode("utf-8", "replace")
        number = re.search(r"\d+(?:\.\d+)+", text)
        return number[0] if number else "unknown version"

    def path(self, program: str) -> str | None:
        """Where a program is; what only root has in its path is looked for as well."""
        found = self.machine.which(program)
        if found is None and self.machine.which is shutil.which:
            found = shutil.which(program, path="/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin")
        return found


def run_checks(state_folder: str = ".", machine: Machine | None = None) -> list[Check]:
    """All findings, in the order to be shown. Never raises because of what it finds."""
    doctor = Doctor(machine or Machine(), state_folder)
    checks: tuple[Callable[[Doctor], Iterator[Check]], ...] = (
        _python,
        _engine_in_use,
        _docker,
        _docker_command,
        _podman,
        _sockets,
        _tools,
        _cgroups,
        _disk,
        virtualisation,
    )
    try:
        return [found for check in checks for found in check(doctor)]
    finally:
        doctor.host.close()


def _python(doctor: Doctor) -> Iterator[Check]:
    yield Check("python", Status.OK, platform.python_version(), "Hythe runs on Python 3.11 and newer.")


def _engine_in_use(doctor: Doctor) -> Iterator[Check]:
    name, why = "engine in use", "Containers, images, volumes and networks are made by this engine."
    try:
        engine = doctor.host.engine()
        info = engine.info
    except HostUnreachable as failure:
        told = failure.diagnostics[0]
        fixes = re.findall(r"`([^`]+)`", told.detail)
        fix = fixes[0] if fixes else "sudo apt-get install docker.io"
        yield Check(name, Status.MISSING, told.summary, told.detail, fix, required=True)
        return
    rootless = ", rootless" if info.rootless else ""
    yield Check(name, Status.OK, f"{info.kind} {info.version}{rootless} at {engine.endpoint}", why, required=True)


def _docker(doctor: Doctor) -> Iterator[Check]:
    name, why = "docker engine", "One of the two engines that Hythe drives."
    try:
        endpoint = discover(EngineSettings(DOCKER), doctor.machine)
        engine = LocalHost("local", EngineSettings(DOCKER, endpoint.address, endpoint.tls), doctor.machine)
        info = engine.engine().info
        engine.close()
    except HostUnreachable as failure:
        daemon = doctor.path("dockerd")
        fix = start_command(doctor.machine).strip("`") if daemon else "sudo apt-get install docker.io"
        detail = failure.diagnostics[0].detail
        yield Check(name, Status.WARN if daemon else Status.MISSING, daemon or "", detail if daemon else why, fix)
        return
    found = f"{info.version} (API {info.api_version}, {info.storage_driver}) at {endpoint.address}"
    yield Check(name, Status.OK, found, why)


def _docker_command(doctor: Doctor) -> Iterator[Check]:
    why = "Builds whose Dockerfile needs BuildKit go through the docker command."
    version = doctor.version("docker", "--version")
    if version is None:
        yield Check("docker command", Status.MISSING, "", why, "sudo apt-get install docker.io")
        return
    yield Check("docker command", Status.OK, f"{version} at {doctor.path('docker')}", why)
    from hythe.provider.container.image_buildkit import find_command

    command = find_command()
    if command is not None:
        yield Check("buildkit", Status.OK, f"through {command}", why)
        return
    told = f"{why} {doctor.path('docker')} needs its buildx plug-in for that."
    yield Check("buildkit", Status.WARN, "no buildx plug-in", told, f"sudo apt-get install {_buildkit_package(doctor)}")


def _buildkit_package(doctor: Doctor) -> str:
    # Debian 12 has no plug-in, but its docker command is of the time when BuildKit was built in
    release = facts.gather(doctor.host)
    old = release.distribution == "debian" and release.distribution_version.split(".")[0] in ("11", "12")
    return "docker.io" if old else "docker-buildx"


def _podman(doctor: Doctor) -> Iterator[Check]:
    why = "One of the two engines that Hythe drives; its service is started when it is needed."
    version = doctor.version("podman", "--version")
    if version is None:
        yield Check("podman", Status.MISSING, "", why, "sudo apt-get install podman")
        return
    yield Check("podman", Status.OK, f"{version} at {doctor.path('podman')}", why)
    sockets = [path for path, _ in doctor.machine.sockets(PODMAN) if probe(path)[0] is Socket.ANSWERS]
    note = f"listens at {sockets[0]}" if sockets else "no service listens; Hythe starts one when it is needed"
    yield Check("podman socket", Status.OK, note, "Hythe talks to Podman through it.")
    runtimes = [name for name in ("crun", "runc") if doctor.path(name)]
    if not runtimes:
        yield Check("oci runtime", Status.MISSING, "", "Podman starts containers with it.", "sudo apt-get install crun")


def _sockets(doctor: Doctor) -> Iterator[Check]:
    path = doctor.machine.root + DOCKER_SOCKET
    state, _ = probe(path)
    if state is Socket.ABSENT:
        return
    there = os.stat(path)
    try:
        group = grp.getgrgid(there.st_gid).gr_name
    except KeyError:
        group = str(there.st_gid)
    found = f"{stat.filemode(there.st_mode)[1:]} group {group}"
    why = "Who may open the socket is root on this machine."
    if state is Socket.DENIED:
        denied = f"This user may not open {path}; members of the group {group} may. Log in again afterwards."
        yield Check("docker socket", Status.WARN, found, denied, f"sudo usermod -aG {group} $USER")
    elif there.st_mode & stat.S_IWOTH:
        open_to_all = f"Everybody on this machine may open {path}, and with it become root."
        yield Check("docker socket", Status.WARN, found, open_to_all, f"sudo chmod o-rwx {path}")
    else:
        yield Check("docker socket", Status.OK, found, why)


_TOOLS = (
    ("git", "git", "git", "Modules can come from git repositories."),
    ("mmdebstrap", "mmdebstrap", "mmdebstrap", "Images are built from a distribution's packages with it."),
)


def _tools(doctor: Doctor) -> Iterator[Check]:
    for name, program, package, why in _TOOLS:
        path = doctor.path(program)
        if path is None:
            yield Check(name, Status.MISSING, "", why, f"sudo apt-get install {package}")
        else:
            yield Check(name, Status.OK, f"{doctor.version(path, '--version')} at {path}", why)
    why = "Small images (the demo's) are made of this one static program."
    busybox = doctor.path("busybox")
    fix = "sudo apt-get install busybox-static"
    if busybox is None:
        yield Check("busybox-static", Status.MISSING, "", why, fix)
    elif not is_static(busybox):
        yield Check("busybox-static", Status.WARN, f"{busybox} needs shared libraries", why, fix)
    else:
        yield Check("busybox-static", Status.OK, f"{doctor.version(busybox)} at {busybox}", why)


def is_static(path: str) -> bool:
    """Whether an ELF program runs without an interpreter (the dynamic loader)."""
    with open(path, "rb") as file:
        head = file.read(4096)
    if head[:4] != b"\x7fELF":
        return False
    wide = head[4] == 2
    place, size = (32, 8) if wide else (28, 4)
    counts = 54 if wide else 42

    def number(at: int, length: int) -> int:
        return int.from_bytes(head[at : at + length], "little" if head[5] == 1 else "big")

    table, entry, count = number(place, size), number(counts, 2), number(counts + 2, 2)
    interpreter = 3
    return all(number(table + i * entry, 4) != interpreter for i in range(count))


def _cgroups(doctor: Doctor) -> Iterator[Check]:
    why = "Limits of containers (memory, cpus, pids) are set through control groups."
    root = doctor.machine.root + "/sys/fs/cgroup"
    if os.path.exists(f"{root}/cgroup.controllers"):
        yield Check("cgroups", Status.OK, "version 2", why)
    elif os.path.isdir(f"{root}/memory"):
        yield Check("cgroups", Status.OK, "version 1", why)
    else:
        fix = f"sudo mount -t cgroup2 none {root}"
        yield Check("cgroups", Status.WARN, "not mounted", f"{why} Without them engines start no containers.", fix)


def _disk(doctor: Doctor) -> Iterator[Check]:
    folder = os.path.abspath(doctor.state_folder)
    why = "State and journal are written here at each apply."
    try:
        free = shutil.disk_usage(folder).free
    except OSError as failure:
        yield Check("disk space", Status.WARN, f"{folder}: {failure.strerror}", why, f"ls -ld {folder}")
        return
    found = f"{free / (1 << 30):.1f} GiB free in {folder}"
    if not os.access(folder, os.W_OK):
        denied = f"{why} This user may not write there."
        yield Check("disk space", Status.WARN, f"{folder} is not writable", denied, f"sudo chown $USER {folder}")
    elif free < LOW_BYTES:
        yield Check(
            "disk space", Status.WARN, found, f"{why} There is little space left.", f"du -xh -d1 {folder} | sort -h"
        )
    else:
        yield Check("disk space", Status.OK, found, why)


def healthy(checks: list[Check]) -> bool:
    """Whether everything is there that Hythe cannot do without."""
    return all(c.status is Status.OK for c in checks if c.required)


__all__ = ["Check", "Doctor", "Status", "healthy", "is_static", "run_checks"]
