"""VMs on the machine's libvirt. All that a test makes carries a prefix, and goes at the end, also after failures."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hythe.planner.diff import FieldChange, compare
from hythe.planner.inputs import RecordingReader
from hythe.provider.connection.local import LocalHost
from hythe.provider.hosts import open_host
from hythe.provider.network import Network
from hythe.provider.protocol import (
    Attributes,
    Context,
    HostUnreachable,
    Identity,
    Kind,
    PrepareContext,
    Presence,
    Project,
    ReadContext,
    ReadRequest,
    Referent,
)
from hythe.provider.vm.disk_image import DiskImage
from hythe.provider.vm.vm import Vm
from hythe.value import Reference
from tests.live import runs

REPOSITORY = Path(__file__).resolve().parents[3]
KIND = Vm()
IMAGE = {"suite": "bookworm", "include": ["docker.io", "apparmor"]}
"""The same packages as in the examples: it is built once, and then taken from the cache."""


def virsh(*argv: str, check: bool = True) -> str:
    """What virsh prints."""
    done = subprocess.run(["virsh", "--connect", "qemu:///system", *argv], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"virsh {' '.join(argv)}: {done.stderr}")
    return done.stdout.strip()


def free_cidr() -> str:
    """Addresses that nobody uses here."""
    return f"10.79.{runs.third_octet('10.79')}.0/24"


class Lab:
    """VMs made through the kind, and what they need."""

    def __init__(self, folder: Path) -> None:
        self.prefix = runs.claim("hytest")
        self.folder = folder
        self.host = LocalHost()
        self.project = Project("live", self.prefix[-4:], str(folder))
        self.referents: dict[str, Referent] = {}
        self.made: list[tuple[Kind, Identity, Attributes]] = []
        self.said: list[str] = []

    def name(self, stem: str = "vm") -> str:
        """A new name."""
        return f"{self.prefix}-{stem}-{secrets.token_hex(2)}"

    def identity(self, address: str = "vm.x") -> Identity:
        """A new mark of this run."""
        return Identity(self.prefix, address, secrets.token_hex(8))

    def context(self, identity: Identity, **over: Any) -> Context:
        """A call's context."""
        given: dict[str, Any] = {
            "host": self.host,
            "local": self.host,
            "identity": identity,
            "resolve": lambda reference: self.referents[reference.address],
            "progress": self.said.append,
            "check": lambda: None,
            "base_dir": str(self.folder),
            "project": self.project,
            "lock": {},
            "remember_lock": lambda name, value: None,
        }
        return Context(**{**given, **over})

    def reading(self) -> ReadContext:
        """A read's context."""
        return ReadContext(self.host, self.host, self.prefix, str(self.folder), self.project)

    def wish(self, kind: Kind = KIND, **arguments: Any) -> Attributes:
        """Canonical arguments."""
        out, problems = kind.schema.decode(arguments)
        assert problems == []
        reader = RecordingReader(str(self.folder))
        out, found = kind.prepare(out, PrepareContext(reader, self.project, str(self.folder), "x", None, {}))
        assert found == []
        return out

    def other(self, kind: Kind, address: str, **arguments: Any) -> Reference:
        """Make an object of another kind, and refer to it."""
        identity = self.identity(address)
        made = kind.create(self.context(identity), self.wish(kind, **arguments))
        self.made.append((kind, identity, made))
        self.referents[address] = Referent(kind.name, address, identity.id, made, None)
        return Reference(kind.name, address, identity.id)

    def vm(self, identity: Identity | None = None, **arguments: Any) -> Machine:
        """Make a VM."""
        identity = identity or self.identity()
        wish = self.wish(**arguments)
        # what a failed creation leaves is to go too
        self.made.append((KIND, identity, wish))
        return Machine(self, identity, arguments, KIND.create(self.context(identity), wish))

    def sweep(self) -> None:
        """Remove everything, the last first."""
        for kind, identity, attributes in reversed(self.made):
            with contextlib.suppress(Exception):
                kind.delete(self.context(identity), {**attributes, "protected": False})
        for name in virsh("list", "--all", "--name").split():
            if name.startswith(self.prefix):
                virsh("destroy", name, check=False)
                virsh("undefine", name, "--nvram", "--snapshots-metadata", check=False)
        self.host.close()


class Machine:
    """A VM with the arguments that it shall have."""

    def __init__(self, lab: Lab, identity: Identity, arguments: dict[str, Any], attributes: Attributes) -> None:
        self.lab, self.identity, self.arguments, self.attributes = lab, identity, arguments, attributes
        self.name: str = attributes["name"]

    def observed(self) -> Any:
        """What reading gives."""
        request = ReadRequest(self.identity.id, self.identity.address, self.attributes)
        return KIND.read_many(self.lab.reading(), [request])[self.identity.id]

    def changes(self, **arguments: Any) -> list[FieldChange]:
        """What a plan would change with these arguments beside its own; None takes one out."""
        found = self.observed()
        assert found is not Presence.ABSENT
        return compare(KIND, found, self.lab.wish(**self._with(arguments)))

    def change(self, **arguments: Any) -> dict[str, str]:
        """Apply other arguments; gives each argument changed with its effect. The plan after that is empty."""
        found = self.changes(**arguments)
        before = self.observed()
        self.arguments = self._with(arguments)
        wish = self.lab.wish(**self.arguments)
        context = self.lab.context(self.identity)
        self.attributes = KIND.update(context, before, wish, [c.name for c in found])
        assert self.changes() == []
        return {c.name: c.effect.name for c in found}

    def _with(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in {**self.arguments, **arguments}.items() if v is not None}

    def delete(self) -> None:
        """Remove it."""
        KIND.delete(self.lab.context(self.identity), self.attributes)

    def virsh(self, command: str, *argv: str) -> str:
        """A virsh command on it."""
        return virsh(command, self.name, *argv)

    def xml(self, *, inactive: bool = False) -> str:
        """What virsh dumpxml prints."""
        return virsh("dumpxml", self.name, *(["--inactive"] if inactive else []))

    def run(self, *argv: str) -> str:
        """What a command in the guest prints."""
        host = open_host(self.name, self.attributes)
        end = time.monotonic() + 60
        try:
            while True:
                try:
                    done = host.run(list(argv), timeout=60)
                    return (done.stdout + done.stderr).decode().strip()
                except HostUnreachable:
                    if time.monotonic() > end:
                        raise
                    time.sleep(1)
        finally:
            host.close()

    def boot_id(self) -> str:
        """What differs from one boot of the guest to the next."""
        return self.run("cat", "/proc/sys/kernel/random/boot_id")


@pytest.fixture(scope="session", autouse=True)
def libvirt() -> None:
    """The machine's libvirt runs."""
    runs.start_engines("libvirt")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """VMs of one module."""
    made = Lab(tmp_path_factory.mktemp("lab"))
    try:
        yield made
    finally:
        made.sweep()


@pytest.fixture(scope="module")
def image(lab: Lab) -> Reference:
    """The image of guests."""
    return lab.other(DiskImage(), "disk_image.debian", name=f"{lab.prefix}-image", packages=IMAGE)


@pytest.fixture(scope="module")
def lan(lab: Lab) -> Reference:
    """A network of guests."""
    return lab.other(Network(), "network.lan", name=f"{lab.prefix}-lan", mode="nat", cidr=free_cidr())
