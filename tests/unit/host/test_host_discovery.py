"""Which engine is found, and what is said when none is."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from hythe.provider.connection.discovery import EngineSettings, Machine, discover
from hythe.provider.connection.local import LocalHost
from hythe.provider.connection.podman_service import run_folder
from hythe.provider.connection.tls import TlsFiles
from hythe.provider.hosts import Hosts
from hythe.provider.protocol import HostUnreachable, ProviderError


@pytest.fixture
def root() -> Iterator[Path]:
    # paths of unix sockets are short: pytest's own folders are not
    folder = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    (folder / "home").mkdir()
    (folder / "run/user").mkdir(parents=True)
    (folder / "var/run").mkdir(parents=True)
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def machine(root: Path, *programs: str, **environment: str) -> Machine:
    env = {"HOME": f"{root}/home", "PATH": os.environ["PATH"], **environment}
    return Machine(env, lambda name: f"/usr/bin/{name}" if name in programs else None, str(root))


@pytest.fixture
def listen() -> Iterator[Callable[[Path], Path]]:
    opened = []

    def make(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stream.bind(str(path))
        stream.listen()
        opened.append(stream)
        return path

    yield make
    for stream in opened:
        stream.close()


def dead(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.bind(str(path))


def problem(machine: Machine, settings: EngineSettings | None = None) -> tuple[str, str]:
    with pytest.raises(HostUnreachable) as failure:
        discover(settings or EngineSettings(), machine)
    [found] = failure.value.diagnostics
    return found.summary, found.detail


def test_the_configured_endpoint_comes_first(root: Path) -> None:
    tls = TlsFiles("ca.pem")
    found = discover(EngineSettings(endpoint="tcp://x:2376", tls=tls), machine(root, DOCKER_HOST="unix:///y"))
    assert (found.address, found.tls) == ("tcp://x:2376", tls)


def test_docker_host_comes_before_sockets(root: Path, listen: Callable[[Path], Path]) -> None:
    listen(root / "var/run/docker.sock")
    found = discover(EngineSettings(), machine(root, DOCKER_HOST="unix:///elsewhere.sock"))
    assert (found.address, found.source, found.tls) == ("unix:///elsewhere.sock", "DOCKER_HOST", None)


def test_docker_host_with_tls(root: Path) -> None:
    certs = root / "certs"
    certs.mkdir()
    for name in ("ca", "cert", "key"):
        (certs / f"{name}.pem").touch()
    found = discover(
        EngineSettings(),
        machine(root, DOCKER_HOST="tcp://x:2376", DOCKER_TLS_VERIFY="1", DOCKER_CERT_PATH=str(certs)),
    )
    assert found.tls == TlsFiles(f"{certs}/ca.pem", f"{certs}/cert.pem", f"{certs}/key.pem", verify=True)


def test_docker_host_over_ssh_goes_through_ssh(root: Path) -> None:
    found = discover(EngineSettings(), machine(root, DOCKER_HOST="ssh://root@127.0.0.1:1"))
    assert found.connect is not None
    with pytest.raises(HostUnreachable, match="refuses connections on port 1"):
        found.connect(5.0)


def test_nonsense_in_docker_host(root: Path) -> None:
    summary, detail = problem(machine(root, DOCKER_HOST="fd://"))
    assert summary == "Engine endpoint not understood"
    assert '"fd://"' in detail


def write_context(root: Path, name: str, host: str) -> None:
    key = sha256(name.encode()).hexdigest()
    folder = root / "home/.docker/contexts/meta" / key
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))


def test_the_docker_context_in_use(root: Path, listen: Callable[[Path], Path]) -> None:
    listen(root / "var/run/docker.sock")
    write_context(root, "rootless", "unix:///run/user/1/docker.sock")
    (root / "home/.docker/config.json").write_text('{"currentContext": "rootless"}')
    found = discover(EngineSettings(), machine(root))
    assert (found.address, found.source) == ("unix:///run/user/1/docker.sock", 'docker context "rootless"')


def test_a_context_that_is_missing(root: Path) -> None:
    summary, detail = problem(machine(root, DOCKER_CONTEXT="lost"))
    assert summary == "Docker context not usable"
    assert '"lost"' in detail
    assert "docker context use default" in detail


def test_docker_before_podman(root: Path, listen: Callable[[Path], Path]) -> None:
    listen(root / "run/podman/podman.sock")
    listen(root / "var/run/docker.sock")
    assert discover(EngineSettings(), machine(root)).address == f"unix://{root}/var/run/docker.sock"
    wanted = EngineSettings("podman")
    assert discover(wanted, machine(root)).address == f"unix://{root}/run/podman/podman.sock"


def test_rootless_sockets(root: Path, listen: Callable[[Path], Path]) -> None:
    path = listen(root / "run/user/podman/podman.sock")
    runtime = {"XDG_RUNTIME_DIR": f"{root}/run/user"}
    assert discover(EngineSettings(), machine(root, **runtime)).address == f"unix://{path}"
    path = listen(root / "run/user/docker.sock")
    assert discover(EngineSettings(), machine(root, **runtime)).address == f"unix://{path}"


def test_a_docker_that_is_down_is_no_reason_to_take_podman(root: Path, listen: Callable[[Path], Path]) -> None:
    listen(root / "run/podman/podman.sock")
    summary, detail = problem(machine(root, "dockerd", "podman"))
    assert summary == "Docker is installed but not running"
    assert "`sudo service docker start`" in detail
    assert "HYTHE_ENGINE=podman" in detail


def test_a_socket_that_nobody_listens_on(root: Path) -> None:
    dead(root / "var/run/docker.sock")
    (root / "run/systemd/system").mkdir(parents=True)
    summary, detail = problem(machine(root))
    assert summary == "Engine not reachable"
    assert "nothing listens on it" in detail
    assert "`sudo systemctl start docker`" in detail


def test_a_file_where_the_socket_should_be(root: Path) -> None:
    (root / "var/run/docker.sock").touch()
    assert "is not a socket" in problem(machine(root))[1]


def test_nothing_there(root: Path) -> None:
    summary, detail = problem(machine(root))
    assert summary == "No container engine found"
    assert f"{root}/var/run/docker.sock" in detail
    assert "apt-get install docker.io" in detail
    assert "apt-get install podman" in problem(machine(root), EngineSettings("podman"))[1]


def test_a_podman_command_without_a_socket_is_started_by_need(root: Path) -> None:
    found = discover(EngineSettings(), machine(root, "podman", XDG_RUNTIME_DIR=f"{root}/run/user"))
    assert found.address == f"unix://{root}/run/user/hythe/podman.sock"
    assert found.connect is not None
    assert (root / "run/user/hythe").stat().st_mode & 0o777 == 0o700


def test_a_run_folder_that_others_may_enter_is_refused(root: Path) -> None:
    (root / "run/user/hythe").mkdir(mode=0o755)
    with pytest.raises(HostUnreachable, match="others may enter it"):
        run_folder({"XDG_RUNTIME_DIR": f"{root}/run/user"})


def test_hythe_engine_chooses_for_the_local_host(root: Path, listen: Callable[[Path], Path]) -> None:
    listen(root / "var/run/docker.sock")
    with pytest.raises(HostUnreachable, match="knows docker, podman and auto"):
        LocalHost(machine=machine(root, HYTHE_ENGINE="lxc")).engine()
    with pytest.raises(HostUnreachable, match="no Podman that Hythe can find"):
        LocalHost(machine=machine(root, HYTHE_ENGINE="podman")).engine()


def test_tls_files_that_are_missing(root: Path) -> None:
    host = LocalHost("host.x", EngineSettings(endpoint="tcp://localhost:1", tls=TlsFiles("/no/such/ca.pem")))
    with pytest.raises(HostUnreachable) as failure:
        host.engine()
    assert failure.value.diagnostics[0].summary == "TLS files not usable"
    assert "/no/such/ca.pem" in failure.value.diagnostics[0].detail


def test_programs_run_without_a_shell() -> None:
    host = LocalHost()
    done = host.run(["cat", "-"], stdin=b"a b; c")
    assert (done.code, done.stdout) == (0, b"a b; c")
    assert host.run(["sh", "-c", "echo no >&2; exit 3"]).code == 3
    missing = host.run(["hythe-no-such-program"])
    assert missing.code == 127
    assert b"No such file" in missing.stderr


def test_a_program_that_takes_too_long_is_stopped_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match=r"did not end within 0\.3 s"):
        LocalHost().run(["sh", "-c", f"(sleep 1; touch {tmp_path}/late) & sleep 5"], timeout=0.3)
    threading.Event().wait(1.2)
    assert not (tmp_path / "late").exists()


def test_closing_stops_what_still_runs() -> None:
    host = LocalHost()
    threading.Timer(0.2, host.close).start()
    assert host.run(["sleep", "30"]).code == -9


def test_hosts_are_pooled_by_address() -> None:
    hosts = Hosts()
    assert hosts.get(None) is hosts.local
    assert hosts.get("local") is hosts.local
    first = hosts.get("host.a", {"connection": "local"})
    assert first is not hosts.local
    assert first.name == "host.a"
    assert hosts.get("host.a") is first
    assert hosts.get("host.a", {"connection": "local", "labels": {"x": "y"}}) is first
    assert hosts.get("host.a", {"engine": {"endpoint": "tcp://x:1"}}) is not first
    hosts.close()


def test_hosts_that_are_not_known_or_not_possible() -> None:
    hosts = Hosts()
    with pytest.raises(HostUnreachable, match="not in the state"):
        hosts.get("host.b")
    with pytest.raises(HostUnreachable, match="shut off"):
        hosts.get("vm.b", {"name": "b", "running": False})
    with pytest.raises(HostUnreachable, match="no keys of Hythe"):
        hosts.get("vm.b", {"name": "b", "running": True})
