"""The pure parts of ``container``: requests, observation, hints."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from hythe.provider.container.client import EngineInfo
from hythe.provider.container.container_hints import equal, full_name, hint
from hythe.provider.container.container_limits import unsupported
from hythe.provider.container.container_observe import observe, refresh
from hythe.provider.container.container_spec import Links, Membership, create_body, limits_body
from hythe.provider.container.container_swap import clash
from hythe.provider.schema import Effect
from hythe.value import Reference, Unknown

DOCKER = EngineInfo(
    "docker", "20.10", "1.41", "linux", "x86_64", False, 1, "overlay2", 2, 1 << 30, "runc", "json-file", True
)
PODMAN = EngineInfo(
    "podman", "4.3.1", "1.41", "linux", "amd64", False, 1, "overlay", 2, 1 << 30, "crun", "journald", True
)
LINKS = Links("web:1", [], {"/data": "shop-data"}, "bridge")


def told(config: dict[str, Any] | None = None, host: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """What an engine says of a container."""
    return {
        "Id": "c" * 64,
        "Name": "/web",
        "Image": "sha256:i",
        "State": {"Status": "running", "Running": True, "ExitCode": 0},
        "Config": {"Image": "web:1", **(config or {})},
        "HostConfig": {"NetworkMode": "default", **(host or {})},
        "NetworkSettings": {"Networks": {"bridge": {"NetworkID": "n0", "IPAddress": "172.17.0.2"}}},
        "Mounts": [],
        **more,
    }


# -- requests ----------------------------------------------------------------------------------


def test_ports_in_ranges_are_bound_one_by_one() -> None:
    blocks = [
        {"container": "80-81", "host": "8080-8081", "protocol": "tcp", "ip": "127.0.0.1"},
        {"container": 53, "protocol": "udp"},
        {"container": 90, "host": "9000-9005", "protocol": "tcp"},
    ]
    body = create_body({"port": blocks}, LINKS, {})
    assert body["HostConfig"]["PortBindings"] == {
        "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
        "81/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8081"}],
        "53/udp": [{"HostIp": "", "HostPort": ""}],
        "90/tcp": [{"HostIp": "", "HostPort": "9000-9005"}],
    }
    assert set(body["ExposedPorts"]) == {"80/tcp", "81/tcp", "53/udp", "90/tcp"}


def test_mounts_become_requests() -> None:
    blocks = [
        {"target": "/data", "volume": Reference("volume", "volume.d", "1"), "no_copy": True},
        {"target": "/srv", "source": "/srv", "read_only": True, "propagation": "rslave"},
        {"target": "/t", "tmpfs": True, "size": 1024, "mode": "1770"},
        {"target": "/x", "source": "/x", "selinux": "private", "read_only": True},
        {"target": "/unnamed"},
    ]
    host = create_body({"mount": blocks}, LINKS, {})["HostConfig"]
    assert host["Binds"] == ["/x:/x:Z,ro"]
    assert [(m["Type"], m.get("Source")) for m in host["Mounts"]] == [
        ("volume", "shop-data"),
        ("bind", "/srv"),
        ("tmpfs", None),
        ("volume", None),
    ]
    assert host["Mounts"][2]["TmpfsOptions"] == {"SizeBytes": 1024, "Mode": 0o1770}


def test_the_mark_stands_beside_labels_and_grace_is_always_said() -> None:
    body = create_body({"labels": {"a": "b"}}, LINKS, {"dev.hythe.id": "1"})
    assert body["Labels"] == {"a": "b", "dev.hythe.id": "1"}
    assert body["StopTimeout"] == 10
    assert create_body({"stop_grace": "1500ms"}, LINKS, {})["StopTimeout"] == 2


def test_the_first_network_is_asked_for_at_creation_by_id() -> None:
    member = Membership({"network": "n", "aliases": ["x"], "ipv4_address": "10.0.0.5"}, "n", "lan", "id1")
    body = create_body({}, Links("i", [member], {}, "bridge"), {})
    assert body["HostConfig"]["NetworkMode"] == "id1"
    assert body["NetworkingConfig"] == {
        "EndpointsConfig": {"id1": {"IPAMConfig": {"IPv4Address": "10.0.0.5"}, "Aliases": ["x"]}}
    }


def test_memory_and_swap_go_together() -> None:
    assert limits_body({"memory": 100}, ["memory"]) == {"Memory": 100, "MemorySwap": 200}
    assert limits_body({"memory": 100, "memory_swap": -1}, ["memory"]) == {"Memory": 100, "MemorySwap": -1}
    assert limits_body({"memory": 100, "memory_swap": 150}, ["memory_swap"]) == {"Memory": 100, "MemorySwap": 150}
    assert limits_body({"cpus": Decimal("0.5"), "memory": 1}, ["cpus"]) == {"NanoCpus": 500_000_000}


# -- observation -------------------------------------------------------------------------------


def test_what_the_image_says_is_left_out() -> None:
    image = {
        "Config": {
            "Env": ["PATH=/bin", "A=1"],
            "Labels": {"x": "y"},
            "Entrypoint": ["run"],
            "Cmd": ["it"],
            "User": "web",
            "WorkingDir": "/srv",
            "StopSignal": "SIGQUIT",
            "ExposedPorts": {"80/tcp": {}},
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5_000_000_000},
            "Volumes": {"/data": {}},
        }
    }
    mounts = [{"Type": "volume", "Name": "f" * 64, "Destination": "/data", "RW": True}]
    found = observe(told({"Image": "web:1", **image["Config"]}, Mounts=mounts), image, DOCKER)
    chosen = found.keys() - {"id", "image_id", "engine", "ip_address", "addresses", "ports"}
    assert chosen == {"image", "name", "running", "must_run", "attach", "wait", "wait_timeout"}


def test_what_differs_from_the_image_is_kept() -> None:
    image = {"Config": {"Env": ["A=1"], "Entrypoint": ["run"], "Cmd": ["it"]}}
    config = {
        "Env": ["A=2", "B="],
        "Entrypoint": None,
        "Cmd": ["other"],
        "Labels": {"team": "shop", "dev.hythe.id": "1"},
        "Healthcheck": {"Test": ["NONE"]},
        "StopSignal": "9",
    }
    found = observe(told(config), image, DOCKER)
    assert found["env"] == {"A": "2", "B": ""}
    assert found["entrypoint"] == []
    assert found["command"] == ["other"]
    assert found["labels"] == {"team": "shop"}
    assert found["healthcheck"] == {"disable": True}
    assert found["stop_signal"] == "SIGKILL"


def test_podmans_own_additions_are_left_out() -> None:
    config = {"Env": ["container=podman", "TERM=xterm", "HOME=/root", "HOSTNAME=cccccccccccc"], "WorkingDir": "/"}
    host = {"PidsLimit": 2048, "ShmSize": 65_536_000, "CapDrop": ["CAP_MKNOD"], "Tmpfs": {"/t": "rw,size=1m,nosuid"}}
    found = observe(told(config, host), None, PODMAN)
    assert not {"env", "working_dir", "pids_limit", "shm_size", "cap_drop"} & found.keys()
    assert found["tmpfs"] == {"/t": "size=1m"}


BEFORE = {"id": "c" * 64, "name": "web", "image": "web:1", "running": True, "must_run": True, "env": {"A": "1"}}


@pytest.mark.parametrize(
    ("recorded", "host"),
    [
        ({"restart": "no"}, {"RestartPolicy": {"Name": "no"}}),
        ({}, {"RestartPolicy": {"Name": ""}}),
        ({"memory": 100, "memory_swap": 200}, {"Memory": 100, "MemorySwap": 200}),
        ({"memory": 100}, {"Memory": 100, "MemorySwap": 200}),
        ({"cpus": Decimal("0.5")}, {"NanoCpus": 500_000_000}),
        ({"pids_limit": -1}, {"PidsLimit": None}),
        ({"cpu_quota": 5000, "cpu_period": 10000}, {"CpuQuota": 5000, "CpuPeriod": 10000}),
    ],
)
def test_equal_forms_keep_the_recorded_one(recorded: dict[str, Any], host: dict[str, Any]) -> None:
    found = refresh({**BEFORE, **recorded}, told(host=host), DOCKER)
    assert {k: found[k] for k in recorded} == recorded
    assert found["env"] == {"A": "1"}


def test_changed_limits_are_seen() -> None:
    found = refresh({**BEFORE, "memory": 100}, told(host={"Memory": 300, "MemorySwap": 400, "PidsLimit": 7}), DOCKER)
    assert (found["memory"], found["memory_swap"], found["pids_limit"]) == (300, 400, 7)


def test_an_ended_job_counts_as_running_and_an_ended_service_does_not() -> None:
    ended = told(State={"Status": "exited", "Running": False, "ExitCode": 0})
    assert refresh({**BEFORE, "must_run": False}, ended, DOCKER)["running"] is True
    assert refresh(BEFORE, ended, DOCKER)["running"] is False


def test_networks_keep_the_reference_while_it_means_the_same() -> None:
    reference = Reference("network", "network.a", "i1")
    before = {**BEFORE, "network": [{"network": reference, "aliases": ["x"]}], "network_ids": {"i1": "n1"}}
    ends = {"lan": {"NetworkID": "n1", "Aliases": ["x", "cccccccccccc"]}}
    seen = told(NetworkSettings={"Networks": ends})
    assert refresh(before, seen, DOCKER)["network"] == before["network"]
    other = told(NetworkSettings={"Networks": {"lan": {"NetworkID": "n2", "Aliases": ["x"]}}})
    assert refresh(before, other, DOCKER)["network"] == [{"network": "lan", "aliases": ["x"]}]
    assert refresh(before, told(NetworkSettings={"Networks": {}}), DOCKER)["network"] == []


# -- hints -------------------------------------------------------------------------------------


def effect(name: str, before: Any, after: Any, old: dict[str, Any] | None = None) -> Effect | None:
    found = hint((name,), before, after, old or {}, {name: after})
    return found.effect if found else None


def test_taking_a_limit_off_replaces() -> None:
    assert effect("memory", 100, None) is Effect.REPLACE
    assert effect("cpus", 1, None) is Effect.REPLACE
    assert effect("memory", 100, 200) is None
    assert effect("pids_limit", 10, None) is None


def test_podman_replaces_where_docker_changes_in_place() -> None:
    old = {"engine": "podman 4.3.1"}
    assert effect("memory", 100, 200, old) is Effect.REPLACE
    assert effect("restart", "no", "always", old) is Effect.REPLACE
    assert effect("restart", "no", "always", {"engine": "docker 20.10"}) is None


def test_a_name_that_becomes_a_reference_is_no_replacement() -> None:
    reference = Reference("image", "image.a", "1")
    assert effect("image", "web:1", reference) is Effect.LIVE
    assert effect("image", "web:1", "web:2") is None
    assert effect("image", "web:1", Reference("image", "image.a", Unknown("string"))) is None
    volume = Reference("volume", "volume.a", "1")
    assert effect("mount", [{"target": "/d", "volume": "v"}], [{"target": "/d", "volume": volume}]) is Effect.LIVE
    assert effect("mount", [{"target": "/d", "volume": "v"}], [{"target": "/e", "volume": volume}]) is None
    assert effect("network", [{"network": "a"}], Unknown("any")) is Effect.LIVE


@pytest.mark.parametrize(
    ("name", "before", "after", "same"),
    [
        ("restart", None, "no", True),
        ("restart", None, "always", False),
        ("tty", None, False, True),
        ("stop_grace", None, "10s", True),
        ("entrypoint", None, [], False),
        ("image", "docker.io/library/web:latest", "web", True),
        ("image", "localhost/a/b:1", "a/b:1", True),
        ("image", "reg.example:5000/web", "web", False),
        (
            "port",
            [{"container": 80, "host": 90, "protocol": "tcp"}, {"container": 81, "host": 91, "protocol": "tcp"}],
            [{"container": "80-81", "host": "90-91", "protocol": "tcp"}],
            True,
        ),
    ],
)
def test_what_means_the_same(name: str, before: Any, after: Any, same: bool) -> None:
    assert equal((name,), before, after, {}, {}) is same


def test_full_names() -> None:
    assert full_name("web") == "docker.io/library/web:latest"
    assert full_name("a/web:2") == "docker.io/a/web:2"
    assert full_name("localhost:5000/web") == "localhost:5000/web:latest"
    assert full_name("web@sha256:1") == "docker.io/library/web@sha256:1"


def test_two_that_want_one_thing_clash() -> None:
    port = {"port": [{"container": 80, "host": 8080, "protocol": "tcp"}]}
    assert clash(port, port)
    assert not clash(port, {"port": [{"container": 80, "protocol": "tcp"}]})
    assert clash({"network_mode": "host"}, {"network_mode": "host"})
    address = {"network": [{"network": "n", "ipv4_address": "10.0.0.5"}]}
    assert clash(address, address)
    assert not clash({}, {})


def test_what_an_engine_would_ignore_is_said() -> None:
    assert [d.is_error for d in unsupported({"annotations": {"a": "b"}, "links": ["a"]}, PODMAN)] == [True, True]
    assert unsupported({"links": ["a"], "memory_swap": -1}, DOCKER) == []
