"""Runs of tests that are killed: the next one removes what they left.

A run says what it is going to make before it makes it: the letters that names contain, and folders. That stands in a
record, which the run keeps locked while it lasts. A record that nobody locks is of a run that was killed. What is
started carries the run's name in its environment, so it is found too.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from hythe.provider.connection.local import LocalHost
from hythe.provider.vm import forwards

REPOSITORY = Path(__file__).resolve().parents[2]
VARIABLE = "OF_TEST_RUN"
"""In the environment of all that a run starts: the path of its record."""
_PLACE = Path("/var/tmp") / f"hythe-tests-{os.getuid()}"
_VIRSH = ("virsh", "--connect", "qemu:///system")
_LINES = {"text": True, "check": False, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}


class Run:
    """A run of tests, as its controlling process has it."""

    def __init__(self, path: Path, lock: IO[str]) -> None:
        self.path, self._lock = path, lock

    def end(self) -> list[str]:
        """Remove what is left of it; what that was."""
        os.environ.pop(VARIABLE, None)
        return _clear(self.path, self._lock)


def begin() -> Run | None:
    """Begin a run; None in a process that belongs to one, as the workers of pytest-xdist do."""
    if VARIABLE in os.environ:
        return None
    _PLACE.mkdir(mode=0o700, exist_ok=True)
    assert _PLACE.stat().st_uid == os.getuid(), f"{_PLACE} is somebody else's"
    name = secrets.token_hex(6)
    # it gets its name when it is locked: nobody shall take it for dead
    new, path = _PLACE / f"new-{name}", _PLACE / f"run-{name}"
    lock = new.open("a")
    fcntl.flock(lock, fcntl.LOCK_EX)
    new.rename(path)
    os.environ[VARIABLE] = str(path)
    return Run(path, lock)


def clear_dead() -> list[str]:
    """Remove what runs left that were killed; what that was. Starts the engines for it where it has to."""
    found = []
    for path in sorted(_PLACE.glob("run-*")):
        with path.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if '["name"' in path.read_text():
                try:
                    start_engines()
                except subprocess.CalledProcessError:
                    # whoever has engines removes it later
                    continue
            found += _clear(path, lock)
    return found


def claim(stem: str, length: int = 3) -> str:
    """A name that nobody has; whatever contains it belongs to this run. ``length`` bytes of it are random."""
    name = stem + secrets.token_hex(length)
    _note("name", name)
    return name


def folder(place: str = "/tmp") -> Path:
    """A new folder with a short path, which sockets need; it belongs to this run with all that runs or is mounted
    there. Whoever asks for it removes it."""
    path = Path(tempfile.mkdtemp(prefix="hyt", dir=place))
    _note("folder", str(path))
    return path


def third_octet(*starts: str) -> int:
    """One with which a /24 below each of these (as "10.79") is free on this machine, as far as its routes tell."""
    routes = "".join(_lines("ip", "-4", "route", "show", "table", "all"))
    order = secrets.SystemRandom().sample(range(10, 250), 240)
    return next(third for third in order if not any(f"{start}.{third}." in routes for start in starts))


def start_engines(*names: str) -> None:
    """Start the machine's engines if they do not run. They outlive the run, and are not part of it."""
    kept = {k: v for k, v in os.environ.items() if k != VARIABLE}
    subprocess.run([str(REPOSITORY / "scripts" / "engines.sh"), *names], check=True, env=kept)


def _note(what: str, value: str) -> None:
    record = os.environ.get(VARIABLE)
    assert record, "no run has begun"
    with open(record, "a") as file:
        file.write(json.dumps([what, value]) + "\n")


# -- removing -------------------------------------------------------------------------------------


def _clear(path: Path, lock: IO[str]) -> list[str]:
    noted = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("]")]
    names = [value for what, value in noted if what == "name"]
    folders = [value for what, value in noted if what == "folder"]
    found = list(_processes(str(path), folders))
    if names:
        found += [f"{what} {name}" for what, name in _objects(names)]
    for place in folders:
        found += list(_folder(place))
    # what would not go is tried again by the next run
    if not (found and names and list(_objects(names))):
        path.unlink(missing_ok=True)
    lock.close()
    return found


def _processes(record: str, folders: list[str]) -> Iterator[str]:
    """What the run started, and what runs in its folders."""
    for entry in Path("/proc").glob("[0-9]*"):
        if entry.name == str(os.getpid()):
            continue
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            started = f"{VARIABLE}={record}".encode() in (entry / "environ").read_bytes().split(b"\0")
            if started or _in_folder(entry, words, folders):
                os.kill(int(entry.name), signal.SIGKILL)
                yield f"process {b' '.join(words).decode(errors='replace')[:60]}"


def _in_folder(entry: Path, words: list[bytes], folders: list[str]) -> bool:
    """Whether a process was told of one of the folders, or has its root there, as containers do."""
    if not folders:
        return False
    said = b" ".join(words)
    mounts = (entry / "mountinfo").read_text().splitlines()
    root = " ".join(line for line in mounts if line.split()[4] == "/")
    return any(f"{place}/".encode() in said or f"{place}/" in root for place in folders)


def _folder(place: str) -> Iterator[str]:
    if not os.path.exists(place):
        return
    for space in _podman_namespaces(Path(place)):
        _do("ip", "netns", "del", space)
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounted if f"{m}/".startswith(f"{place}/")), reverse=True):
        _do("umount", "-l", mount)
    shutil.rmtree(place, ignore_errors=True)
    yield f"folder {place}"


def _podman_namespaces(place: Path) -> set[str]:
    """The network namespaces of the containers whose configurations are there."""
    found: set[str] = set()
    for path in place.rglob("overlay-containers/*/userdata/config.json"):
        with contextlib.suppress(OSError):
            found |= set(re.findall(r'/run/netns/([\w-]+)"', path.read_text()))
    return found


def _objects(names: list[str]) -> Iterator[tuple[str, str]]:
    """Remove all whose name has one of these in it, users before what they use."""

    def ours(listed: Iterable[str]) -> list[str]:
        return [item for item in listed if any(name in item for name in names)]

    for domain in ours(_lines(*_VIRSH, "list", "--all", "--name")):
        _do(*_VIRSH, "destroy", domain)
        _do(*_VIRSH, "undefine", domain, "--nvram", "--snapshots-metadata", "--managed-save")
        yield "VM", domain
    listing = ("docker", "ps", "--all", "--format", "{{.Names}}")
    for container in ours(_lines(*listing)):
        _do("docker", "rm", "--force", "--volumes", container)
        yield "container", container
    for what in ("network", "volume"):
        for item in ours(_lines("docker", what, "ls", "--format", "{{.Name}}")):
            _do("docker", what, "rm", item)
            yield f"Docker {what}", item
    for image in ours(_lines("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}")):
        _do("docker", "image", "rm", "--force", image)
        yield "image", image
    for network in ours(_lines(*_VIRSH, "net-list", "--all", "--name")):
        _hypervisor_network(network)
        yield "network", network
    yield from _pools(ours)
    for space in ours(line.split()[0] for line in _lines("ip", "netns", "list") if line):
        _do("ip", "netns", "del", space)
        yield "namespace", space
    for link in _links():
        if ours([link["ifname"], link.get("ifalias", "")]):
            _do("ip", "link", "del", link["ifname"])
            yield "interface", link["ifname"]
    for user in ours(line.partition(":")[0] for line in Path("/etc/passwd").read_text().splitlines()):
        _do("userdel", "--remove", "--force", user)
        yield "user", user


def _hypervisor_network(name: str) -> None:
    """With the rules and bridges that Hythe gave it: both are named after its UUID."""
    uuid = "".join(_lines(*_VIRSH, "net-uuid", name))
    _do(*_VIRSH, "net-destroy", name)
    _do(*_VIRSH, "net-undefine", name)
    host = LocalHost()
    try:
        forwards.remove(host, uuid)
        for bridge in {f"hy-{uuid.replace('-', '')[:10]}"} & {link["ifname"] for link in _links()}:
            forwards.refuse_again(host, bridge)
    finally:
        host.close()


def _pools(ours: Any) -> Iterator[tuple[str, str]]:
    pools = [name for name in _lines(*_VIRSH, "pool-list", "--all", "--name") if name]
    for pool in pools:
        if ours([pool]):
            _do(*_VIRSH, "pool-destroy", pool)
            _do(*_VIRSH, "pool-undefine", pool)
            yield "pool", pool
            continue
        # a heading of two lines; names of Hythe's volumes have no spaces
        for line in _lines(*_VIRSH, "vol-list", pool)[2:]:
            if line and ours([line.split()[0]]):
                _do(*_VIRSH, "vol-delete", "--pool", pool, line.split()[0])
                yield "volume", line.split()[0]


def _links() -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads("".join(_lines("ip", "-json", "link")) or "[]")
    return listed


def _lines(*argv: str) -> list[str]:
    """What a program prints, without blanks at both ends; nothing where it is not there or cannot say."""
    with contextlib.suppress(OSError):
        done = subprocess.run(list(argv), **_LINES)  # type: ignore[call-overload]
        return [line.strip() for line in done.stdout.splitlines()]
    return []


def _do(*argv: str) -> None:
    with contextlib.suppress(OSError):
        subprocess.run(list(argv), check=False, capture_output=True)
