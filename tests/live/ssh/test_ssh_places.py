"""Machines that are not as one would wish: forwarding forbidden, no SFTP, another user, no systemd, another machine."""

from __future__ import annotations

import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from hythe.provider.connection.discovery import EngineSettings
from hythe.provider.connection.ssh import SshHost, SshSettings
from hythe.provider.connection.ssh_forward import Forward
from hythe.provider.host.host import HostKind
from hythe.provider.host.setup import missing
from hythe.provider.hosts import Hosts
from hythe.provider.protocol import HostUnreachable, ProviderError, ReadRequest
from tests.live import runs

KIND = HostKind()
END_PODMAN = """\
service='[p]odman system service.*hythe-0/podman.sock'
kill $(pgrep -f "$service")
while pgrep -f "$service" >/dev/null; do sleep 0.1; done
"""


def reach(block: dict[str, Any], engine: EngineSettings | None = None) -> SshHost:
    return SshHost("host.x", SshSettings.of(block), engine)


@pytest.fixture(scope="module")
def closed(network: Any) -> Any:
    """A server that forwards nothing and transfers no files."""
    return network.serve("closed", 23, more="DisableForwarding yes\nMaxSessions 10\n", sftp="/no/such")


def test_an_engine_without_forwarding(closed: Any, docker: Any) -> None:
    host = reach(closed.block(), EngineSettings("docker"))
    try:
        version = docker.engine.info.version

        def work(at: int) -> str:
            if at % 2:
                return str(host.engine().request("GET", "/version").json()["Version"])
            return host.run(["echo", version]).stdout.decode().strip()

        with ThreadPoolExecutor(20) as pool:
            assert list(pool.map(work, range(40))) == [version] * 40
        # streams that stay open have connections of their own, as each needs a session
        assert closed.sessions() <= 5
        stream, _ = host.engine().upgrade("GET", "/events")
        stream.close()
        with pytest.raises(FileNotFoundError):
            host.stream("/no/such/socket")
    finally:
        host.close()


def test_no_file_transfer(closed: Any) -> None:
    host = reach(closed.block())
    with pytest.raises(HostUnreachable, match="offers no SFTP"):
        host.files().facts("/etc")
    assert host.run(["echo", "still"]).stdout == b"still\n"
    host.close()


def test_nothing_listens(servers: Any) -> None:
    import socket

    path = f"/tmp/hythe-{secrets.token_hex(4)}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
    try:
        host = reach(servers[0].block(), EngineSettings("docker", f"unix://{path}"))
        with pytest.raises(HostUnreachable, match=f"nothing listens on {path}"):
            host.engine()
        host.close()
        host = reach(servers[0].block(), EngineSettings("docker", f"unix://{path}2"))
        with pytest.raises(HostUnreachable, match=f"there is no {path}2"):
            host.engine()
        host.close()
        host = reach(servers[0].block(), EngineSettings("podman", "unix:///var/run/docker.sock"))
        with pytest.raises(HostUnreachable, match=r"asks for podman, and .* is docker"):
            host.engine()
        host.close()
    finally:
        subprocess.run(["rm", "-f", path], check=True)


@dataclass
class Account:
    """A user of this machine, for as long as the test runs."""

    name: str
    password: str


@pytest.fixture
def account() -> Iterator[Account]:
    made = Account(runs.claim("hythe"), secrets.token_hex(8))
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", made.name], check=True)
    try:
        subprocess.run(["chpasswd"], input=f"{made.name}:{made.password}", text=True, check=True)
        yield made
    finally:
        subprocess.run(["userdel", "--remove", "--force", made.name], check=False, capture_output=True)


def test_another_user_with_a_password(network: Any, account: Account, docker: Any) -> None:
    more = f"Match User {account.name}\n  PasswordAuthentication yes\nMatch all\n"
    server = network.serve("password", 24, more=more)
    block = server.block(user=account.name, private_key=None, key_file="/no/key", agent=False)
    host = reach(block | {"password": account.password})
    assert host.run(["id", "-un"]).stdout.decode().strip() == account.name
    with pytest.raises(HostUnreachable, match=f"{account.name} may not open /var/run/docker.sock"):
        host.engine().request("GET", "/version")
    with pytest.raises(PermissionError):
        host.files().write("/etc/hythe-test", b"x", 0o600, None, None, replace=False)
    host.close()
    with pytest.raises(HostUnreachable, match="Tried: /no/key, which is not there, the password") as failure:
        reach(block | {"password": "wrong"}).run(["true"])
    assert "wrong" not in str(failure.value)


def test_podman_is_started_where_nothing_does_that(network: Any, podman: Any) -> None:
    # podman's own folders, so that nothing of this machine's is touched; /run/systemd is not there
    config = podman.environment["CONTAINERS_CONF"]
    before = f"mount -t tmpfs none /run; export CONTAINERS_CONF={config}"
    server = network.serve("podman", 25, more=f"SetEnv CONTAINERS_CONF={config}\n", before=before)
    host = reach(server.block(), EngineSettings("podman"))
    try:
        engine = host.engine()
        assert engine.kind == "podman"
        assert engine.endpoint == "unix:///run/hythe-0/podman.sock"
        host.run(["sh", "-c", END_PODMAN])
        engine.close()
        assert engine.request("GET", "/containers/json").status == 200
    finally:
        host.run(["sh", "-c", END_PODMAN])
        host.close()
    host = reach(server.block(), EngineSettings("auto"))
    with pytest.raises(HostUnreachable, match="has Docker, and no socket of it"):
        host.engine()
    host.close()


def test_the_hypervisor_through_the_connection(servers: Any) -> None:
    subprocess.run(["sh", "-c", "[ -S /run/libvirt/libvirt-sock ] || libvirtd --daemon"], check=True)
    host = reach(servers[0].block())
    found = host.hypervisor()
    local = subprocess.run(["virsh", "-c", "qemu:///system", "list", "--all", "--name"], capture_output=True, text=True)
    names = found.read(lambda c: sorted(d.name() for d in c.listAllDomains()))
    # other tests' machines come and go
    assert set(names) & set(local.stdout.split()) or not names
    assert found.version()
    assert not found.local
    host.close()
    with pytest.raises(HostUnreachable):
        found.version()


def test_a_forward_that_is_closed_ends_its_streams(servers: Any) -> None:
    """At the end of Python no thread carries them any more, and libvirt would wait for an answer to its goodbye."""
    subprocess.run(["sh", "-c", "[ -S /run/libvirt/libvirt-sock ] || libvirtd --daemon"], check=True)
    host = reach(servers[0].block())
    forward = Forward(host, "/run/libvirt/libvirt-sock")
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(forward.path)
        stream.settimeout(0.5)
        with pytest.raises(TimeoutError):
            # the daemon says nothing by itself
            stream.recv(1)
        forward.close()
        assert stream.recv(1) == b""
    host.close()


def test_no_hypervisor(network: Any) -> None:
    server = network.serve("bare", 26, before="mount -t tmpfs none /run")
    host = reach(server.block())
    with pytest.raises(HostUnreachable, match="no socket of libvirt"):
        host.hypervisor()
    host.close()


def test_the_host_kind_over_ssh(network: Any, docker: Any) -> None:
    server = network.serve("kind", 28)
    wish, problems = KIND.schema.decode({"connection": "ssh", "ssh": server.block(), "engine": {"type": "docker"}})
    assert problems == []
    made = KIND.create(docker.context(docker.identity("host.x")), wish)
    assert made["engine_version"] == docker.engine.info.version
    assert made["machine_id"]
    hosts = Hosts()
    reading = docker.reading()
    reading.resolve_host = lambda address: hosts.get(address, made)
    requests = [ReadRequest(f"id{n}", "host.x", made) for n in range(5)]
    assert KIND.read_many(reading, requests) == {f"id{n}": made for n in range(5)}
    assert hosts.get("host.x", made).run(["true"]).code == 0
    end = time.monotonic() + 10
    while server.sessions() != 1:
        assert time.monotonic() < end, server.sessions()
        time.sleep(0.1)
    hosts.close()


def test_another_machine_at_the_new_address(network: Any, servers: Any, docker: Any) -> None:
    other = network.folder / "machine-id"
    other.write_text(secrets.token_hex(16) + "\n")
    server = network.serve("other", 27, before=f"mount --bind {other} /etc/machine-id")
    context = docker.context(docker.identity("host.x"))
    before = KIND.create(context, {"connection": "ssh", "ssh": servers[0].block()})
    desired = {"connection": "ssh", "ssh": server.block()}
    with pytest.raises(ProviderError, match="leads to another machine"):
        KIND.update(context, before, desired, ["ssh"])


def test_packages_are_installed_once(network: Any, docker: Any) -> None:
    package = "hello"
    # where there is a way to the distribution's mirror
    server = network.serve("near", 29, network.near)
    host = reach(server.block())
    if not missing(host, [package]):
        subprocess.run(["apt-get", "-y", "-q", "purge", package], check=True, capture_output=True)
    wish, problems = KIND.schema.decode(
        {"connection": "ssh", "ssh": server.block(), "install": {"packages": [package], "engine": "docker"}}
    )
    assert problems == []
    context = docker.context(docker.identity("host.x"))
    try:
        made = KIND.create(context, wish)
        assert missing(host, [package]) == []
        assert made["install"] == wish["install"]
        assert any("installing hello" in said for said in docker.said)
        subprocess.run(["apt-get", "-y", "-q", "purge", package], check=True, capture_output=True)
        seen = KIND.read_many(docker.reading(), [ReadRequest("id1", "host.x", made)])["id1"]
        assert seen["install"] == {"engine": "docker", "packages": []}
    finally:
        subprocess.run(["apt-get", "-y", "-q", "purge", package], check=False, capture_output=True)
        host.close()
