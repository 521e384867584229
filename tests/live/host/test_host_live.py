"""Finding engines, the host kind, and the podman command's service, for real."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hythe.provider.connection.checks import Status, run_checks
from hythe.provider.connection.discovery import EngineSettings, Machine
from hythe.provider.connection.local import LocalHost
from hythe.provider.connection.podman_service import PodmanService
from hythe.provider.host.host import HostKind
from hythe.provider.hosts import Hosts
from hythe.provider.protocol import HostUnreachable, ReadRequest
from tests.live import runs


def test_the_local_docker_is_found(docker: Any) -> None:
    host = LocalHost(machine=Machine({"PATH": os.environ["PATH"]}))
    assert host.engine().kind == "docker"
    assert host.engine() is host.engine()
    host.close()


def test_a_host_with_facts_and_an_engine(bench: Any) -> None:
    kind = HostKind()
    wish, problems = kind.schema.decode({"engine": {"endpoint": bench.endpoint}, "labels": {"rack": "1"}})
    assert problems == []
    made = kind.create(bench.context(bench.identity("host.x")), wish)
    assert (made["engine_name"], made["engine_version"]) == (bench.kind, bench.engine.info.version)
    assert made["os"] == "linux"
    assert made["labels"] == {"rack": "1"}
    seen = kind.read_many(bench.reading(), [ReadRequest("id1", "host.x", made)])
    assert seen == {"id1": made}
    hosts = Hosts()
    assert hosts.get("host.x", made).engine().kind == bench.kind
    hosts.close()


def test_the_other_engine_than_asked_for_is_refused(bench: Any) -> None:
    other = {"docker": "podman", "podman": "docker"}[bench.kind]
    host = LocalHost("host.x", EngineSettings(other, bench.endpoint))
    with pytest.raises(HostUnreachable, match=f"asks for {other}, and .* is {bench.kind}"):
        host.engine()


def test_a_host_without_an_engine_at_its_endpoint_is_not_made(docker: Any) -> None:
    wish = {"connection": "local", "engine": {"type": "auto", "endpoint": "unix:///no/such.sock"}}
    with pytest.raises(HostUnreachable, match=r"no socket at /no/such\.sock"):
        HostKind().create(docker.context(docker.identity("host.x")), wish)


@pytest.fixture
def service(podman: Any) -> Iterator[PodmanService]:
    """The podman command of the bench, started by need in a run folder of the test."""
    # the bench's folder is short enough for a socket's path
    folder = Path(podman.endpoint.removeprefix("unix://")).parent
    runtime, wrapper = folder / "r", folder / "podman"
    runtime.mkdir()
    wrapper.write_text('#!/bin/sh\nexec {} "$@"\n'.format(" ".join(podman.command)))
    wrapper.chmod(0o755)
    environment = {**os.environ, **podman.environment, "XDG_RUNTIME_DIR": str(runtime)}
    made = PodmanService(str(wrapper), environment)
    yield made
    made.stop()
    shutil.rmtree(runtime, ignore_errors=True)
    wrapper.unlink()


def test_podmans_service_is_started_once_by_need_and_again_when_it_ended(service: PodmanService) -> None:
    from hythe.provider.container.client import Engine

    engines = [Engine(service.endpoint, connect=service.connect) for _ in range(4)]
    threads = [threading.Thread(target=lambda e=e: e.info) for e in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [e.info.kind for e in engines] == ["podman"] * 4
    listening = subprocess.run(["pgrep", "-fc", f"system service .*{service.path}$"], capture_output=True, text=True)
    assert listening.stdout.strip() == "1"
    service.stop()
    engines[0].close()
    assert engines[0].request("GET", "/containers/json").status == 200
    for engine in engines:
        engine.close()


def test_a_podman_that_does_not_start_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "podman"
    broken.write_text("#!/bin/sh\necho 'Error: no space' >&2\nexit 125\n")
    broken.chmod(0o755)
    folder = runs.folder()
    made = PodmanService(str(broken), {**os.environ, "XDG_RUNTIME_DIR": str(folder)})
    with pytest.raises(HostUnreachable, match=r'ended with code 125 and said "Error: no space"'):
        made.connect(1)
    shutil.rmtree(folder)


def test_doctor_finds_what_is_there(docker: Any) -> None:
    found = {check.name: check for check in run_checks()}
    assert found["docker engine"].status is Status.OK
    assert docker.engine.info.version in found["docker engine"].found
    assert found["podman"].status is Status.OK
    assert found["busybox-static"].status is Status.OK
