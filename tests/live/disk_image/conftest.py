"""Disk images on the machine's libvirt, and an HTTP server that fails in the ways that servers do."""

from __future__ import annotations

import contextlib
import http.server
import os
import re
import secrets
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hythe.diagnostic import Diagnostic
from hythe.planner.diff import FieldChange, compare
from hythe.planner.inputs import RecordingReader
from hythe.provider.connection.local import LocalHost
from hythe.provider.protocol import (
    Attributes,
    Context,
    Identity,
    PrepareContext,
    Presence,
    Project,
    ProviderError,
    ReadContext,
    ReadRequest,
)
from hythe.provider.vm.disk_image import DiskImage
from tests.live import runs

KIND = DiskImage()
SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
MIB = 1 << 20


def run(*argv: str, check: bool = True) -> str:
    """What a program prints."""
    done = subprocess.run(list(argv), capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(argv)}: {done.stderr}")
    return done.stdout.strip()


class Images:
    """Disk images made through the kind, removed at the end."""

    def __init__(self, folder: Path) -> None:
        self.prefix = runs.claim("hyi")
        self.folder = str(folder)
        self.host = LocalHost()
        self.project = Project("live", "abcd", self.folder)
        self.made: list[tuple[Identity, Attributes]] = []
        self.said: list[str] = []

    def name(self) -> str:
        """A new name."""
        return f"{self.prefix}-{secrets.token_hex(2)}"

    def identity(self) -> Identity:
        """A new mark."""
        return Identity(self.prefix, "disk_image.x", secrets.token_hex(8))

    def context(self, identity: Identity, **over: Any) -> Context:
        """A call's context."""

        def nothing(*args: Any) -> Any:
            raise AssertionError(args)

        given: dict[str, Any] = {
            "host": self.host,
            "local": self.host,
            "identity": identity,
            "resolve": nothing,
            "progress": self.said.append,
            "check": lambda: None,
            "base_dir": self.folder,
            "project": self.project,
            "lock": {},
            "remember_lock": nothing,
        }
        return Context(**{**given, **over})

    def reading(self) -> ReadContext:
        """A read's context."""
        return ReadContext(self.host, self.host, self.prefix, self.folder, self.project)

    def prepared(self, **arguments: Any) -> tuple[Attributes, list[Diagnostic]]:
        """Canonical arguments, and what is said of them."""
        out, problems = KIND.schema.decode(arguments)
        assert problems == []
        context = PrepareContext(RecordingReader(self.folder), self.project, self.folder, "disk_image.x", None, {})
        return KIND.prepare(out, context)

    def wish(self, **arguments: Any) -> Attributes:
        """Canonical arguments."""
        out, found = self.prepared(**{"name": self.name(), **arguments})
        assert [d for d in found if d.severity.value == "error"] == []
        return out

    def create(self, identity: Identity | None = None, **arguments: Any) -> tuple[Identity, Attributes]:
        """Make an image."""
        identity = identity or self.identity()
        wish = self.wish(**arguments)
        self.made.append((identity, wish))
        return identity, KIND.create(self.context(identity), wish)

    def refused(self, **arguments: Any) -> Diagnostic:
        """Try to make an image, of which nothing may be left; why there is none."""
        identity = self.identity()
        with pytest.raises(ProviderError) as caught:
            self.create(identity, **arguments)
        assert files_of(identity) == []
        (told,) = caught.value.diagnostics
        return told

    def observed(self, identity: Identity, made: Attributes) -> Any:
        """What reading gives."""
        return KIND.read_many(self.reading(), [ReadRequest(identity.id, "disk_image.x", made)])[identity.id]

    def changes(self, identity: Identity, made: Attributes, **arguments: Any) -> list[FieldChange]:
        """What a plan would change with these arguments."""
        found = self.observed(identity, made)
        assert found is not Presence.ABSENT
        return compare(KIND, found, self.wish(**{"name": made["name"], **arguments}))

    def change(self, identity: Identity, made: Attributes, **arguments: Any) -> Attributes:
        """Change it in place; the plan after that is empty."""
        found = self.changes(identity, made, **arguments)
        assert {c.effect.name for c in found} == {"LIVE"}
        wish = self.wish(**{"name": made["name"], **arguments})
        before = self.observed(identity, made)
        after = KIND.update(self.context(identity), before, wish, [c.name for c in found])
        assert self.changes(identity, after, **arguments) == []
        return after

    def delete(self, identity: Identity, made: Attributes) -> None:
        """Remove it; nothing is left."""
        KIND.delete(self.context(identity), made)
        assert self.observed(identity, made) is Presence.ABSENT
        assert not os.path.exists(made["path"])
        assert files_of(identity) == []

    def sweep(self) -> None:
        """Remove everything."""
        for identity, made in self.made:
            with contextlib.suppress(Exception):
                KIND.delete(self.context(identity), made)
        self.host.close()


def files_of(identity: Identity) -> list[str]:
    """Volumes of any pool that are of an instance."""
    out = []
    for pool in run("virsh", "pool-list", "--name").split():
        listed = run("virsh", "vol-list", pool, check=False).splitlines()
        out += [line.split()[0] for line in listed if f".{identity.id[:8]}." in line]
    return out


@dataclass
class Site:
    """What the server gives, and how. Each request takes one of ``behaviours``, then it behaves."""

    content: bytes = b""
    etag: str | None = '"one"'
    ranges: bool = True
    behaviours: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """What part each request asked for; empty for all."""
    url: str = ""


class _Handler(http.server.BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        site = self.site
        wanted = self.headers.get("Range") or ""
        site.asked.append(wanted)
        how = site.behaviours.pop(0) if site.behaviours else ""
        if how.isdigit():
            self.send_error(int(how))
        elif self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/image")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._give(wanted, how)

    def _give(self, wanted: str, how: str) -> None:
        site, start = self.site, 0
        found = re.fullmatch(r"bytes=(\d+)-", wanted)
        if site.ranges and found and self.headers.get("If-Range") in (None, site.etag):
            start = int(found[1])
        body = site.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(site.content) - 1}/{len(site.content)}")
        if site.etag:
            self.send_header("ETag", site.etag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if how == "cut":
            body = body[: len(body) // 2]
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[Site]:
    """A server on the loopback interface."""
    made = Site()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": made}))
    made.url = f"http://127.0.0.1:{server.server_port}/image"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session", autouse=True)
def libvirt() -> None:
    """The machine's libvirt runs."""
    runs.start_engines("libvirt")


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Images]:
    """Images with a cache of their own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = Images(tmp_path)
    try:
        yield made
    finally:
        made.sweep()


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk of 16 MiB with something in it, that does not pack well."""
    path = tmp_path_factory.mktemp("disk") / "disk.raw"
    path.write_bytes(bytes(512) + secrets.token_bytes(3 * MIB) + bytes(13 * MIB - 512))
    return path


@pytest.fixture(scope="session")
def qcow2(raw: Path) -> Path:
    """The same as qcow2."""
    path = raw.with_suffix(".qcow2")
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(path))
    return path


def same(made: Attributes, raw: Path) -> bool:
    """Whether a disk in the pool holds what a raw file does."""
    run("qemu-img", "compare", "-f", "qcow2", "-F", "raw", made["path"], str(raw))
    return True
