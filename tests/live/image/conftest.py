"""What the image tests need: a recorder around the kind, and registries of our own."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hythe.planner.diff import FieldChange, compare
from hythe.planner.inputs import RecordingReader
from hythe.provider.container.image import Image
from hythe.provider.protocol import Attributes, Context, Identity, PrepareContext, Project, ReadRequest


@dataclass
class Shop:
    """Makes images through the kind and removes them at the end."""

    bench: Any
    folder: Path
    kind: Image = field(default_factory=Image)
    lock: dict[str, str] = field(default_factory=dict)
    made: list[tuple[Identity, Attributes]] = field(default_factory=list)

    def name(self) -> str:
        return f"{self.bench.name('img')}:1"

    def wish(self, **arguments: Any) -> Attributes:
        out, problems = self.kind.schema.decode(arguments)
        assert problems == []
        project = Project("live", "abcd", str(self.folder))
        given = PrepareContext(RecordingReader(str(self.folder)), project, str(self.folder), "img", None, self.lock)
        out, found = self.kind.prepare(out, given)
        assert found == []
        return out

    def context(self, identity: Identity) -> Context:
        remember = self.lock.__setitem__
        context: Context = self.bench.context(
            identity, base_dir=str(self.folder), lock=self.lock, remember_lock=remember
        )
        return context

    def create(self, identity: Identity | None = None, **arguments: Any) -> tuple[Identity, Attributes]:
        identity = identity or self.bench.identity("image.x")
        made = self.kind.create(self.context(identity), self.wish(**arguments))
        self.made.append((identity, made))
        return identity, made

    def read(self, identity: Identity, attributes: Attributes) -> Any:
        request = ReadRequest(identity.id, "image.x", attributes)
        return self.kind.read_many(self.bench.reading(), [request])[identity.id]

    def changes(self, identity: Identity, made: Attributes, **arguments: Any) -> list[FieldChange]:
        return compare(self.kind, self.read(identity, made), self.wish(**arguments))

    def changed(self, identity: Identity, made: Attributes, **arguments: Any) -> dict[str, str]:
        return {c.name: c.effect.name for c in self.changes(identity, made, **arguments)}

    def update(self, identity: Identity, made: Attributes, **arguments: Any) -> Attributes:
        changed = [c.name for c in self.changes(identity, made, **arguments)]
        after = self.kind.update(self.context(identity), self.read(identity, made), self.wish(**arguments), changed)
        self.made.append((identity, after))
        return after

    def delete(self, identity: Identity, made: Attributes) -> None:
        self.kind.delete(self.context(identity), made)

    def full(self, name: str) -> str:
        """The name as the engine's own command must be given it to mean the same as in its API."""
        return f"docker.io/library/{name}" if self.bench.kind == "podman" else name

    def has(self, name: str) -> bool:
        done = self.bench.cli("image", "inspect", "--format", "{{.Id}}", name, check=False)
        return bool(done)

    def id_of(self, name: str) -> str:
        id = str(self.bench.cli("image", "inspect", "--format", "{{.Id}}", name))
        return id if id.startswith("sha256:") else f"sha256:{id}"

    def run(self, image: str, *command: str) -> str:
        return str(self.bench.cli("run", "--rm", "--network", "none", image, *command))


@pytest.fixture
def shop(bench: Any, tmp_path: Path) -> Iterator[Shop]:
    made = Shop(bench, tmp_path)
    try:
        yield made
    finally:
        for _, attributes in made.made:
            bench.cli("rmi", "-f", attributes["id"], check=False)


@pytest.fixture
def docker_shop(docker: Any, tmp_path: Path) -> Iterator[Shop]:
    made = Shop(docker, tmp_path)
    try:
        yield made
    finally:
        for _, attributes in made.made:
            docker.cli("rmi", "-f", attributes["id"], check=False)


@pytest.fixture
def context_folder(tmp_path: Path) -> Path:
    """A build context with busybox in it."""
    folder = tmp_path / "ctx"
    (folder / "bin").mkdir(parents=True)
    shutil.copy2("/bin/busybox", folder / "bin" / "busybox")
    for applet in ("sh", "cat", "ls", "echo", "env"):
        (folder / "bin" / applet).symlink_to("busybox")
    (folder / "page").write_text("one")
    (folder / "Dockerfile").write_text(
        "FROM scratch AS base\nCOPY bin /bin\nCOPY page /page\n"
        'ENV PATH=/bin\nARG TIER=none\nENV TIER=$TIER\nCMD ["cat", "/page"]\n'
        "FROM base AS other\nCOPY page /other\n"
    )
    return folder


@pytest.fixture
def root_archive(tmp_path: Path, context_folder: Path) -> Path:
    """A root file system with busybox."""
    path = tmp_path / "rootfs.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(context_folder / "bin", "bin")
    return path


@dataclass
class Registry:
    """A registry with a login."""

    address: str
    username: str
    password: str


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """docker-registry with htpasswd on this machine."""
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = Registry(f"127.0.0.1:{port}", "shop", secrets.token_hex(8))
    users = subprocess.run(
        ["htpasswd", "-Bbn", made.username, made.password], capture_output=True, text=True, check=True
    ).stdout
    (folder / "users").write_text(users)
    (folder / "config.yml").write_text(
        f"version: 0.1\nstorage:\n  filesystem: {{rootdirectory: {folder}/data}}\n  delete: {{enabled: true}}\n"
        f"http:\n  addr: {made.address}\n"
        f"auth:\n  htpasswd: {{realm: hythe, path: {folder}/users}}\n"
    )
    with open(folder / "log", "wb") as log:
        service = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log, env=dict(os.environ)
        )
    try:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(f"http://{made.address}/v2/", timeout=5)
        yield made
    finally:
        service.terminate()
        service.wait(10)
