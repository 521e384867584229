"""Real engines for live tests: the machine's dockerd, and a Podman service of our own.

``docker`` and ``podman`` give a :class:`Bench` each; ``bench`` runs a test on both. Everything that a
test makes carries ``bench.prefix`` in its name and is removed at the end, also after failures.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hythe.provider.container.client import Engine
from hythe.provider.protocol import Completed, Context, HostUnreachable, Identity, Project, ReadContext, Referent
from hythe.value import Reference
from tests.live import runs

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKER_SOCKET = "/var/run/docker.sock"
PODMAN_CONFIG = """\
[containers]
# equal and low: the defaults ask for more than a restricted root may have
default_ulimits = ["nofile=4096:4096", "nproc=8192:8192"]
[engine]
runtime = "runc"
"""
APPLETS = "sh sleep cat echo ls wget httpd nc id env true false test touch mkdir stat mount ps hostname grep sync"


@dataclass
class LiveHost:
    """A :class:`hythe.provider.protocol.Host` for the machine the tests run on."""

    client: Engine
    name: str = "local"

    def engine(self) -> Engine:
        return self.client

    def run(self, argv: Sequence[str], *, stdin: bytes | None = None, timeout: float | None = None) -> Completed:
        done = subprocess.run(list(argv), input=stdin, capture_output=True, timeout=timeout, check=False)
        return Completed(tuple(argv), done.returncode, done.stdout, done.stderr)

    def close(self) -> None:
        self.client.close()


@dataclass
class Bench:
    """One engine with what tests need around it. ``image`` is a busybox image's name, ``image_id`` its id."""

    kind: str
    endpoint: str
    engine: Engine
    command: tuple[str, ...]
    environment: Mapping[str, str]
    prefix: str
    image: str = ""
    image_id: str = ""
    said: list[str] = field(default_factory=list)

    @property
    def host(self) -> LiveHost:
        return LiveHost(self.engine)

    def name(self, stem: str = "x") -> str:
        """A new object name."""
        return f"{self.prefix}-{stem}-{secrets.token_hex(3)}"

    def cli(self, *argv: str, check: bool = True) -> str:
        """Run the engine's own command; its output without the last newline."""
        done = subprocess.run(
            [*self.command, *argv], capture_output=True, text=True, check=False, env={**os.environ, **self.environment}
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(argv)}: {done.stderr}")
        return done.stdout.rstrip("\n")

    def inspect(self, name: str) -> dict[str, Any]:
        """What the engine says of a container."""
        return self.engine.request("GET", f"/containers/{name}/json").json()  # type: ignore[no-any-return]

    def identity(self, address: str = "container.x") -> Identity:
        """A new ownership mark of this run's lineage."""
        return Identity(self.prefix, address, secrets.token_hex(8))

    def context(self, identity: Identity, referents: Mapping[str, Referent] | None = None, **over: Any) -> Context:
        """A call's context; ``referents`` are found by address."""
        known = dict(referents or {})

        def resolve(reference: Reference) -> Referent:
            return known[reference.address]

        given: dict[str, Any] = {
            "host": self.host,
            "local": self.host,
            "identity": identity,
            "resolve": resolve,
            "progress": self.said.append,
            "check": lambda: None,
            "base_dir": str(REPOSITORY),
            "project": Project("live", self.prefix[-4:], str(REPOSITORY)),
            "lock": {},
            "remember_lock": lambda name, value: None,
        }
        return Context(**{**given, **over})

    def reading(self) -> ReadContext:
        """A read's context."""
        project = Project("live", self.prefix[-4:], str(REPOSITORY))
        return ReadContext(self.host, self.host, self.prefix, str(REPOSITORY), project)

    def sweep(self) -> None:
        """Remove everything that carries the prefix."""
        for path, names, query in (
            ("/containers", lambda c: [n.lstrip("/") for n in c.get("Names") or []], {"all": True}),
            ("/networks", lambda n: [n["Name"]], {}),
            ("/volumes", lambda v: [v["Name"]], {}),
            ("/images", lambda i: i.get("RepoTags") or [], {}),
        ):
            listing = "/json" if path in ("/containers", "/images") else ""
            found = self.engine.request("GET", path + listing, query=query).json()
            for item in found["Volumes"] or [] if path == "/volumes" else found:
                for name in names(item):
                    if self.prefix in name:
                        target = item["Id"] if path in ("/containers", "/networks") else name
                        self._remove(f"{path}/{target}", path)

    def _remove(self, target: str, path: str) -> None:
        query = {"force": True, "v": True} if path == "/containers" else {"force": True}
        with contextlib.suppress(Exception):
            self.engine.request("DELETE", target, query=query)


def busybox_archive() -> bytes:
    """A tar of a root file system with busybox (Debian's busybox-static)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for folder in ("bin", "etc", "tmp", "proc", "sys", "dev", "root", "var", "data"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        tar.add("/bin/busybox", "bin/busybox")
        for applet in APPLETS.split():
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
        for name, text in (
            ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"),
            ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


def import_image(bench: Bench, name: str, changes: Sequence[str] = ()) -> str:
    """Make a busybox image called ``name`` (with a tag) on the engine; returns its id."""
    repository, _, tag = name.rpartition(":")
    where = {"repo": name} if bench.kind == "podman" else {"repo": repository, "tag": tag}
    with bench.engine.stream(
        "POST", "/images/create", query={"fromSrc": "-", "changes": list(changes), **where}, body=busybox_archive()
    ) as answer:
        list(answer.json_lines())
    return str(bench.engine.request("GET", f"/images/{name}/json").json()["Id"])


def _answers(engine: Engine, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while True:
        try:
            return bool(engine.version)
        except HostUnreachable:
            if time.monotonic() > end:
                return False
            time.sleep(0.1)


def _ready(bench: Bench) -> Bench:
    bench.image = f"{bench.prefix}/busybox:1"
    bench.image_id = import_image(bench, bench.image)
    return bench


@pytest.fixture(scope="session")
def docker() -> Iterator[Bench]:
    """The machine's Docker."""
    engine = Engine(f"unix://{DOCKER_SOCKET}")
    if not _answers(engine, 0):
        runs.start_engines("docker")
        assert _answers(engine, 60), "dockerd does not answer"
    made = Bench("docker", engine.endpoint, engine, ("docker",), {}, runs.claim("hythetest", 4))
    try:
        yield _ready(made)
    finally:
        made.sweep()
        engine.close()


@contextlib.contextmanager
def _dockerd(endpoint: str, *options: str) -> Iterator[str]:
    folder = runs.folder()
    # without a bridge (--bridge=none) it would remove docker0, which is the first one's
    bridge = runs.claim("hyd")
    subprocess.run(["ip", "link", "add", bridge, "type", "bridge"], check=True)
    third = runs.third_octet("198.18")
    subprocess.run(["ip", "address", "add", f"198.18.{third}.1/24", "dev", bridge], check=True)
    endpoint = endpoint or f"unix://{folder}/s"
    own = ("data-root", "data"), ("exec-root", "exec"), ("pidfile", "pid")
    argv = ["dockerd", f"--host={endpoint}", f"--bridge={bridge}", "--iptables=false", "--ip6tables=false"]
    with open(folder / "log", "wb") as log:
        argv += [f"--{option}={folder}/{name}" for option, name in own]
        daemon = subprocess.Popen([*argv, *options], stdout=log, stderr=log)
    try:
        end = time.monotonic() + 60
        while b"API listen on" not in (folder / "log").read_bytes():
            assert daemon.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.1)
        yield endpoint
    finally:
        daemon.terminate()
        daemon.wait(30)
        subprocess.run(["ip", "link", "delete", bridge], check=False, capture_output=True)
        for mount in _mounts_below(folder):
            subprocess.run(["umount", "-l", mount], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def dockerd() -> Callable[..., contextlib.AbstractContextManager[str]]:
    """Starts a second dockerd with storage, containerd and a bridge of its own, for as long as the block lasts.

    Takes the endpoint (empty for a socket of its own) and further options; gives the endpoint.
    """
    return _dockerd


@pytest.fixture(scope="session")
def other_docker(dockerd: Any) -> Iterator[Bench]:
    """A second Docker, as that of another machine is."""
    with dockerd("") as endpoint:
        engine = Engine(endpoint)
        made = Bench("docker", endpoint, engine, ("docker", "-H", endpoint), {}, runs.claim("hythetest", 4))
        try:
            yield made
        finally:
            engine.close()


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A Podman service with its own storage in a temporary folder."""
    # a unix socket's path has to be short
    folder = runs.folder()
    (folder / "containers.conf").write_text(PODMAN_CONFIG)
    command = ["podman", "--root", f"{folder}/root", "--runroot", f"{folder}/run", "--tmpdir", f"{folder}/tmp"]
    command += ["--network-config-dir", f"{folder}/net", "--cgroup-manager", "cgroupfs"]
    environment = {"CONTAINERS_CONF": f"{folder}/containers.conf"}
    with open(folder / "log", "wb") as log:
        service = subprocess.Popen(
            [*command, "system", "service", "--time", "0", f"unix://{folder}/s"],
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
        )
    engine = Engine(f"unix://{folder}/s")
    made = Bench("podman", engine.endpoint, engine, tuple(command), environment, runs.claim("hythetest", 4))
    try:
        assert _answers(engine, 30), (folder / "log").read_text()
        yield _ready(made)
    finally:
        with contextlib.suppress(Exception):
            made.sweep()
        engine.close()
        service.terminate()
        service.wait(30)
        for mount in _mounts_below(folder):
            subprocess.run(["umount", "-l", mount], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def _mounts_below(folder: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return sorted((m for line in lines if (m := line.split()[1]).startswith(f"{folder}/")), reverse=True)


@pytest.fixture(params=["docker", "podman"])
def bench(request: pytest.FixtureRequest) -> Bench:
    """Each engine in turn."""
    found: Bench = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def make_image() -> Callable[..., str]:
    """``make_image(bench, "name:tag", ["ENV A=b"])`` imports a busybox image; returns its id."""
    return import_image


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything below this folder is live."""
    here = Path(__file__).parent
    for item in items:
        if here in Path(item.path).parents:
            item.add_marker(pytest.mark.live)
