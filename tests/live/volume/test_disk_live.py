"""Disks of VMs in storage pools of the machine's libvirt, argument by argument."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hythe.planner.diff import FieldChange, compare
from hythe.planner.inputs import RecordingReader
from hythe.provider.connection.local import LocalHost
from hythe.provider.protocol import (
    Attributes,
    Context,
    HostUnreachable,
    Identity,
    PrepareContext,
    Presence,
    Project,
    ProviderError,
    ReadContext,
    ReadRequest,
)
from hythe.provider.vm import pools
from hythe.provider.volume import Volume
from tests.live import runs

KIND = Volume()
SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
MIB = 1 << 20


def run(*argv: str, check: bool = True) -> str:
    done = subprocess.run(list(argv), capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(argv)}: {done.stderr}")
    return done.stdout.strip()


class Disks:
    """Disks made through the kind, removed at the end."""

    def __init__(self, folder: Path) -> None:
        self.prefix = runs.claim("hyd")
        self.folder = str(folder)
        self.host = LocalHost()
        self.hypervisor = self.host.hypervisor()
        self.project = Project("live", "abcd", self.folder)
        self.made: list[tuple[Identity, Attributes]] = []

    def name(self) -> str:
        return f"{self.prefix}-{secrets.token_hex(2)}"

    def identity(self) -> Identity:
        return Identity(self.prefix, "volume.x", secrets.token_hex(8))

    def context(self, identity: Identity) -> Context:
        def nothing(*args: Any) -> Any:
            raise AssertionError(args)

        def quiet(*args: Any) -> None:
            return None

        host = self.host
        return Context(host, host, identity, nothing, quiet, lambda: None, self.folder, self.project, {}, quiet)

    def reading(self) -> ReadContext:
        return ReadContext(self.host, self.host, self.prefix, self.folder, self.project)

    def wish(self, **arguments: Any) -> Attributes:
        out, problems = KIND.schema.decode({"type": "disk", **arguments})
        assert problems == []
        context = PrepareContext(RecordingReader(self.folder), self.project, self.folder, "x", None, {})
        out, found = KIND.prepare(out, context)
        assert found == []
        return out

    def create(self, identity: Identity | None = None, **arguments: Any) -> tuple[Identity, Attributes]:
        identity = identity or self.identity()
        wish = self.wish(**{"name": self.name(), **arguments})
        made = KIND.create(self.context(identity), wish)
        self.made.append((identity, made))
        return identity, made

    def observed(self, identity: Identity, made: Attributes) -> Any:
        return KIND.read_many(self.reading(), [ReadRequest(identity.id, "volume.x", made)])[identity.id]

    def changes(self, identity: Identity, made: Attributes, **arguments: Any) -> list[FieldChange]:
        found = self.observed(identity, made)
        assert found is not Presence.ABSENT
        return compare(KIND, found, self.wish(**{"name": made["name"], **arguments}))

    def change(self, identity: Identity, made: Attributes, **arguments: Any) -> Attributes:
        found = self.changes(identity, made, **arguments)
        assert {c.effect.name for c in found} == {"LIVE"}
        wish = self.wish(**{"name": made["name"], **arguments})
        after = KIND.update(self.context(identity), self.observed(identity, made), wish, [c.name for c in found])
        assert self.changes(identity, after, **arguments) == []
        return after

    def delete(self, identity: Identity, made: Attributes) -> None:
        KIND.delete(self.context(identity), made)
        assert self.observed(identity, made) is Presence.ABSENT
        assert not os.path.exists(made["path"])

    def sweep(self) -> None:
        for identity, made in self.made:
            with contextlib.suppress(Exception):
                KIND.delete(self.context(identity), {**made, "protected": False})
        self.host.close()


@pytest.fixture(scope="session", autouse=True)
def libvirt() -> None:
    """The machine's libvirt runs."""
    runs.start_engines("libvirt")


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[Disks]:
    made = Disks(tmp_path)
    try:
        yield made
    finally:
        made.sweep()


def told(made: Attributes) -> dict[str, Any]:
    out: dict[str, Any] = json.loads(run("qemu-img", "info", "--force-share", "--output", "json", made["path"]))
    return out


@contextlib.contextmanager
def pool(folder: Path, *, start: bool = True) -> Iterator[str]:
    name = runs.claim("hydpool")
    folder.mkdir(exist_ok=True)
    run("virsh", "pool-define-as", name, "dir", "--target", str(folder))
    try:
        if start:
            run("virsh", "pool-start", name)
        yield name
    finally:
        run("virsh", "pool-destroy", name, check=False)
        run("virsh", "pool-undefine", name)


CASES: list[tuple[str, dict[str, Any], dict[str, Any], str, str, bool]] = [
    ("grow", {"size": "64MiB"}, {"size": "96MiB"}, "size", "LIVE", False),
    ("grow raw", {"size": "8MiB", "format": "raw"}, {"size": "9MiB", "format": "raw"}, "size", "LIVE", False),
    ("odd size", {"size": 1000001}, {"size": 2000003}, "size", "LIVE", False),
    ("shrink", {"size": "64MiB"}, {"size": "32MiB"}, "size", "REPLACE", True),
    ("format", {"size": "8MiB"}, {"size": "8MiB", "format": "raw"}, "format", "REPLACE", True),
    ("source", {"source": "raw.img"}, {"source": "disk.qcow2"}, "source", "REPLACE", True),
    (
        "source grown",
        {"source": "disk.qcow2", "size": "32MiB"},
        {"source": "disk.qcow2", "size": "33MiB"},
        "size",
        "LIVE",
        False,
    ),
    ("backing", {"backing": "FOLDER/disk.qcow2"}, {"size": "32MiB"}, "backing", "REPLACE", True),
    ("protected", {"size": "8MiB", "protected": True}, {"size": "8MiB"}, "protected", "LIVE", False),
]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Files that disks are filled with, or are layers on."""
    (tmp_path / "raw.img").write_bytes(secrets.token_bytes(100_000) + bytes(MIB))
    run("qemu-img", "create", "-f", "qcow2", str(tmp_path / "disk.qcow2"), "16M")
    return tmp_path


@pytest.mark.parametrize(
    ("before", "after", "name", "effect", "loses"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_an_argument(
    disks: Disks, files: Path, before: dict[str, Any], after: dict[str, Any], name: str, effect: str, loses: bool
) -> None:
    before = {k: v.replace("FOLDER", str(files)) if isinstance(v, str) else v for k, v in before.items()}
    identity, made = disks.create(**before)
    assert disks.changes(identity, made, **before) == []
    assert disks.observed(identity, made) == made
    (found,) = [c for c in disks.changes(identity, made, **after) if c.name == name]
    assert (found.effect.name, found.data_loss) == (effect, loses)
    if effect == "LIVE":
        made = disks.change(identity, made, **after)
        assert told(made)["virtual-size"] == made["capacity"] >= made.get("size", 0)
    disks.delete(identity, made)
    KIND.delete(disks.context(identity), made)


def test_filled_with_a_file(disks: Disks, files: Path) -> None:
    _, raw = disks.create(source="raw.img")
    assert Path(raw["path"]).read_bytes() == (files / "raw.img").read_bytes()
    assert (raw["format"], oct(os.stat(raw["path"]).st_mode & 0o777)) == ("raw", "0o600")
    _, layered = disks.create(source="disk.qcow2", size="20MiB")
    assert (layered["format"], told(layered)["virtual-size"]) == ("qcow2", 20 * MIB)
    with pytest.raises(ProviderError, match="File of another format"):
        disks.create(source="raw.img", format="qcow2")
    run("qemu-img", "create", "-f", "qcow2", "-F", "qcow2", "-b", str(files / "disk.qcow2"), str(files / "top.qcow2"))
    with pytest.raises(ProviderError, match="other files"):
        disks.create(source="top.qcow2")


def test_a_raw_disk_stays_raw_whatever_a_guest_writes_there(disks: Disks) -> None:
    identity, made = disks.create(size="8MiB", format="raw")
    run("qemu-img", "create", "-f", "qcow2", f"{disks.folder}/evil", "8M")
    with open(made["path"], "r+b") as disk:
        disk.write(Path(f"{disks.folder}/evil").read_bytes())
    run("virsh", "pool-refresh", made["pool"])
    found = disks.observed(identity, made)
    assert found["format"] == "raw"


def test_gone_grown_and_shrunk_behind_our_back(disks: Disks) -> None:
    identity, made = disks.create(size="64MiB")
    run("virsh", "vol-resize", made["path"], "128MiB")
    (change,) = disks.changes(identity, made, size="64MiB")
    assert (change.before, change.data_loss) == (128 * MIB, True)
    run("virsh", "vol-delete", made["path"])
    assert disks.observed(identity, made) is Presence.ABSENT


def test_import_and_data(disks: Disks, tmp_path: Path) -> None:
    with pool(tmp_path / "p") as name:
        run("virsh", "vol-create-as", name, "there.qcow2", "16M", "--format", "qcow2")
        identity = disks.identity()
        taken = KIND.import_object(disks.context(identity), f"libvirt:{name}/there.qcow2")
        assert disks.changes(identity, taken, pool=name, size="16MiB") == []
        read = KIND.read_data(disks.reading(), {"name": "there.qcow2", "pool": name})
        assert (read["capacity"], read["format"]) == (16 * MIB, "qcow2")
        disks.delete(identity, taken)
        with pytest.raises(ProviderError, match="Volume not found"):
            KIND.import_object(disks.context(identity), f"libvirt:{name}/there.qcow2")


def test_found_after_a_kill(disks: Disks, files: Path) -> None:
    for arguments, complete in (({"size": "8MiB"}, True), ({"source": "raw.img"}, False)):
        identity = disks.identity()
        wish = disks.wish(name=disks.name(), **arguments)
        request = ReadRequest(identity.id, "volume.x", wish)
        assert KIND.find(disks.reading(), [request]) == {}
        made = KIND.create(disks.context(identity), wish)
        found = KIND.find(disks.reading(), [request])[identity.id]
        assert (found.complete, found.attributes["path"]) == (complete, made["path"])
        # made again in the place of what is there
        assert KIND.create(disks.context(identity), wish) == made
        disks.delete(identity, found.attributes)


def test_protected(disks: Disks) -> None:
    identity, made = disks.create(size="8MiB", protected=True)
    with pytest.raises(ProviderError, match="Protected volume"):
        KIND.delete(disks.context(identity), made)
    assert disks.observed(identity, made) == made


# -- pools ----------------------------------------------------------------------------------------


def test_a_pool_that_is_full(disks: Disks, tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(mount))
    try:
        with pool(mount) as name:
            (tmp_path / "large.img").write_bytes(secrets.token_bytes(8 * MIB))
            with pytest.raises(ProviderError, match="Storage pool is full"):
                disks.create(source="large.img", pool=name)
            assert os.listdir(mount) == []
            _, made = disks.create(size="1GiB", pool=name)
            assert made["pool"] == name
    finally:
        run("umount", "-l", str(mount))


def test_pools_that_are_not_there_or_not_started(disks: Disks, tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="Storage pool not found"):
        disks.create(size="8MiB", pool="hyd-none")
    with pool(tmp_path / "off", start=False) as name:
        identity, made = disks.create(size="8MiB", pool=name)
        assert disks.changes(identity, made, size="8MiB", pool=name) == []
        disks.delete(identity, made)
        # somebody else's pool stays, empty or not
        assert name in run("virsh", "pool-list", "--name")


def test_a_pool_that_was_stopped_holds_what_it_held(disks: Disks, tmp_path: Path) -> None:
    """Nothing is taken for gone, and nothing dropped from the state, because its pool does not run."""
    with pool(tmp_path / "p") as name:
        identity, made = disks.create(size="8MiB", pool=name)
        run("virsh", "pool-destroy", name)
        with pytest.raises(HostUnreachable, match=f"virsh pool-start {name}"):
            disks.observed(identity, made)
        with pytest.raises(ProviderError, match=f"virsh pool-start {name}"):
            KIND.delete(disks.context(identity), made)
        run("virsh", "pool-start", name)
        assert disks.observed(identity, made) == made
        disks.delete(identity, made)


def test_a_pool_that_is_full_just_before_the_end(disks: Disks, tmp_path: Path) -> None:
    """libvirt says nothing where only the last of it has no room: it is found by looking."""
    folder = tmp_path / "small"
    folder.mkdir()
    (tmp_path / "big.raw").write_bytes(secrets.token_bytes(2 * MIB + 100_000))
    run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder))
    try:
        with pool(folder) as name:
            for _ in range(5):
                with pytest.raises(ProviderError) as failure:
                    disks.create(source="big.raw", format="raw", pool=name)
                assert failure.value.diagnostics[0].summary == "Storage pool is full"
                assert list(folder.iterdir()) == []
    finally:
        run("umount", str(folder))


def test_a_pool_in_a_volume_group(disks: Disks, tmp_path: Path) -> None:
    """What libvirt is told of it is enough to know what cannot be in it."""
    info = pools.PoolInfo("vg", "/dev/vg", "logical", 0)
    assert not info.holds_files
    name = runs.claim("hydvg")
    run("virsh", "pool-define-as", name, "logical", "--source-name", name, "--target", f"/dev/{name}")
    try:
        with pytest.raises(ProviderError) as failure:
            disks.create(size="8MiB", pool=name)
        assert f'Opening storage pool "{name}"' in str(failure.value)
    finally:
        run("virsh", "pool-undefine", name)


def test_disks_made_and_removed_side_by_side(disks: Disks) -> None:
    """Hythe's own pool is made by whoever comes first and removed by whoever goes last."""
    failures: list[BaseException] = []

    def one() -> None:
        try:
            for _ in range(3):
                identity, made = disks.create(size="1MiB")
                assert disks.observed(identity, made) == made
                KIND.delete(disks.context(identity), made)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


# -- in use ---------------------------------------------------------------------------------------

DOMAIN = """\
<domain type='qemu'><name>NAME</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='PATH'/>
<target dev='vda' bus='virtio'/></disk></devices></domain>
"""


def test_grown_while_a_vm_uses_it(disks: Disks, tmp_path: Path) -> None:
    identity, made = disks.create(size="64MiB")
    name = disks.name()
    (tmp_path / "d.xml").write_text(DOMAIN.replace("NAME", name).replace("PATH", made["path"]))
    run("virsh", "create", str(tmp_path / "d.xml"))
    try:
        after = disks.change(identity, made, size="96MiB")
        assert after["capacity"] == 96 * MIB
        # the guest is told
        assert str(96 * MIB) in run("virsh", "domblkinfo", name, "vda")
        with pytest.raises(ProviderError, match=f"VM {name} runs with it"):
            KIND.delete(disks.context(identity), after)
    finally:
        run("virsh", "destroy", name)
    disks.delete(identity, made)
