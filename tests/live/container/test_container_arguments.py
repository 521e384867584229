"""Every argument of ``container`` on real engines: create, empty second plan, import, change, remove."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from hythe.provider.protocol import Presence
from hythe.provider.schema import Effect

BOTH, DOCKER, PODMAN = ("docker", "podman"), ("docker",), ("podman",)
LIVE, REPLACE = Effect.LIVE, Effect.REPLACE


@dataclass(frozen=True)
class Case:
    """``given`` arguments, what ``seen`` makes of the engine's inspection, and a ``change`` with its effect."""

    given: dict[str, Any]
    seen: Callable[[dict[str, Any]], Any] | None = None
    expect: Any = None
    change: dict[str, Any] | None = None
    effect: Effect = REPLACE
    expect_after: Any = None
    engines: tuple[str, ...] = BOTH
    podman_effect: Effect | None = None
    imports: tuple[str, ...] = BOTH
    run: bool = True


def host(field: str) -> Callable[[dict[str, Any]], Any]:
    return lambda told: told["HostConfig"][field]


def config(field: str) -> Callable[[dict[str, Any]], Any]:
    return lambda told: told["Config"][field]


def limit(name: str, first: Any, second: Any, field: str, *told: Any, **more: Any) -> Case:
    seen = told or (first, second)
    return Case({name: first}, host(field), seen[0], {name: second}, LIVE, seen[1], podman_effect=REPLACE, **more)


MIB = 1 << 20
CASES: dict[str, Case] = {
    "plain": Case({}),
    "command": Case({"command": ["sleep", "500"]}, config("Cmd"), ["sleep", "500"], {"command": ["sleep", "400"]}),
    "entrypoint": Case({"entrypoint": ["sleep"], "command": ["500"]}, config("Entrypoint"), ["sleep"]),
    "env": Case(
        {"env": {"A": "1", "B": "x=y"}},
        lambda t: {"A=1", "B=x=y"} <= set(t["Config"]["Env"]),
        True,
        {"env": {"A": "2"}},
    ),
    "working_dir": Case({"working_dir": "/tmp"}, config("WorkingDir"), "/tmp", {"working_dir": "/data"}),
    "user": Case({"user": "nobody"}, config("User"), "nobody", {"user": "65534:0"}),
    "group_add": Case({"group_add": ["7"]}, host("GroupAdd"), ["7"], {"group_add": ["7", "8"]}),
    "tty": Case({"tty": True}, config("Tty"), True, {"tty": False}),
    "stdin_open": Case({"stdin_open": True}, config("OpenStdin"), True),
    "init": Case({"init": True}, host("Init"), True, engines=DOCKER),
    "stop_signal": Case({"stop_signal": "SIGUSR1"}, None, None, {"stop_signal": "SIGINT"}),
    "stop_grace": Case({"stop_grace": "3s"}, config("StopTimeout"), 3, {"stop_grace": "1s"}, engines=DOCKER),
    "stop_grace_podman": Case({"stop_grace": "3s"}, None, None, {"stop_grace": "1s"}, engines=PODMAN),
    "restart": Case(
        {"restart": "on-failure:3"},
        host("RestartPolicy"),
        {"Name": "on-failure", "MaximumRetryCount": 3},
        {"restart": "unless-stopped"},
        LIVE,
        {"Name": "unless-stopped", "MaximumRetryCount": 0},
        podman_effect=REPLACE,
    ),
    "restart_no": Case({"restart": "no"}, None, None, {"restart": "always"}, LIVE, podman_effect=REPLACE),
    "labels": Case(
        {"labels": {"team": "shop"}}, lambda t: t["Config"]["Labels"]["team"], "shop", {"labels": {"a": "b"}}
    ),
    "running": Case({"running": False}, lambda t: t["State"]["Running"], False, {"running": True}, LIVE, True),
    "healthcheck": Case(
        {"healthcheck": {"test": ["CMD", "true"], "interval": "1s", "timeout": "2s", "retries": 2}},
        lambda t: t["Config"]["Healthcheck"]["Test"],
        ["CMD", "true"],
        {"healthcheck": {"test": ["CMD", "true"], "interval": "2s"}},
    ),
    "port": Case(
        {
            "port": [
                {"container": 80, "host": 18080},
                {"container": 53, "host": 18053, "ip": "127.0.0.1", "protocol": "udp"},
            ]
        },
        lambda t: sorted(t["HostConfig"]["PortBindings"]),
        ["53/udp", "80/tcp"],
        {"port": [{"container": 80, "host": 18081}]},
    ),
    "port_range": Case({"port": [{"container": "8000-8002", "host": "18100-18102"}]}, None, None, imports=()),
    "port_free": Case(
        {"port": [{"container": 80}]}, lambda t: len(t["NetworkSettings"]["Ports"]["80/tcp"]) > 0, True, imports=DOCKER
    ),
    "expose": Case(
        {"expose": [80, "53/udp"]}, lambda t: sorted(t["Config"]["ExposedPorts"]), ["53/udp", "80/tcp"], imports=DOCKER
    ),
    "publish_all": Case(
        {"expose": [80], "publish_all": True}, lambda t: "80/tcp" in t["NetworkSettings"]["Ports"], True, imports=DOCKER
    ),
    "network_mode_host": Case({"network_mode": "host"}, host("NetworkMode"), "host", {"network_mode": "none"}),
    "network_mode_none": Case({"network_mode": "none"}, host("NetworkMode"), "none"),
    "mac_address": Case(
        {"mac_address": "02:42:AC:11:00:99"},
        lambda t: [e["MacAddress"] for e in t["NetworkSettings"]["Networks"].values()],
        ["02:42:ac:11:00:99"],
        {"mac_address": "02:42:ac:11:00:98"},
        imports=DOCKER,
    ),
    "hostname": Case({"hostname": "shop"}, config("Hostname"), "shop", {"hostname": "other"}),
    "domainname": Case(
        {"hostname": "a", "domainname": "example.org"}, config("Domainname"), "example.org", engines=DOCKER
    ),
    "dns": Case({"dns": ["192.0.2.1", "192.0.2.2"]}, host("Dns"), ["192.0.2.1", "192.0.2.2"], {"dns": ["192.0.2.1"]}),
    "dns_search": Case({"dns_search": ["example.org"]}, host("DnsSearch"), ["example.org"]),
    "dns_options": Case({"dns_options": ["ndots:2"]}, host("DnsOptions"), ["ndots:2"]),
    "extra_hosts": Case(
        {"extra_hosts": ["db:10.0.0.5"]}, host("ExtraHosts"), ["db:10.0.0.5"], {"extra_hosts": ["db:10.0.0.6"]}
    ),
    "tmpfs": Case({"tmpfs": {"/run": "size=1m,noexec"}}, lambda t: "/run" in t["HostConfig"]["Tmpfs"], True),
    "read_only": Case({"read_only": True}, host("ReadonlyRootfs"), True, {"read_only": False}),
    "shm_size": Case({"shm_size": "32MiB"}, host("ShmSize"), 32 * MIB, {"shm_size": "48MiB"}),
    "memory": limit("memory", "64MiB", "96MiB", "Memory", 64 * MIB, 96 * MIB),
    "memory_lower": limit("memory", "96MiB", "64MiB", "Memory", 96 * MIB, 64 * MIB),
    "memory_swap": Case(
        {"memory": "64MiB", "memory_swap": "80MiB"},
        host("MemorySwap"),
        80 * MIB,
        {"memory": "128MiB", "memory_swap": "128MiB"},
        LIVE,
        128 * MIB,
        podman_effect=REPLACE,
    ),
    "memory_swap_off": Case({"memory": "64MiB", "memory_swap": "unlimited"}, host("MemorySwap"), -1, engines=DOCKER),
    "memory_reservation": limit("memory_reservation", "32MiB", "48MiB", "MemoryReservation", 32 * MIB, 48 * MIB),
    "memory_swappiness": Case({"memory_swappiness": 10}, host("MemorySwappiness"), 10, {"memory_swappiness": 0}),
    "kernel_memory": Case(
        {"memory": "64MiB", "kernel_memory": "32MiB"}, host("KernelMemory"), 32 * MIB, run=False, engines=DOCKER
    ),
    "oom_kill_disable": Case(
        {"memory": "64MiB", "oom_kill_disable": True}, host("OomKillDisable"), True, engines=DOCKER
    ),
    "oom_score_adj": Case({"oom_score_adj": 100}, host("OomScoreAdj"), 100, {"oom_score_adj": 200}),
    "cpus": Case({"cpus": 1}, host("NanoCpus"), 10**9, {"cpus": 2}, LIVE, 2 * 10**9, podman_effect=REPLACE),
    "cpu_shares": limit("cpu_shares", 512, 256, "CpuShares"),
    "cpu_quota": Case(
        {"cpu_period": 50000, "cpu_quota": 25000},
        host("CpuQuota"),
        25000,
        {"cpu_period": 50000, "cpu_quota": 20000},
        LIVE,
        20000,
        podman_effect=REPLACE,
    ),
    "cpuset_cpus": limit("cpuset_cpus", "0", "0-1", "CpusetCpus"),
    "cpuset_mems": Case({"cpuset_mems": "0"}, host("CpusetMems"), "0"),
    "pids_limit": limit("pids_limit", 50, 60, "PidsLimit"),
    "ulimit": Case(
        {"ulimit": [{"name": "nofile", "soft": 512, "hard": 1024}, {"name": "nproc", "soft": 512}]},
        lambda t: [(u["Soft"], u["Hard"]) for u in t["HostConfig"]["Ulimits"] if u["Name"].lower().endswith("nofile")],
        [(512, 1024)],
        {"ulimit": [{"name": "nofile", "soft": 512}]},
        imports=DOCKER,
    ),
    "device": Case(
        {"device": [{"host": "/dev/null", "container": "/dev/nothing", "permissions": "r"}]},
        lambda t: t["HostConfig"]["Devices"][0]["PathOnHost"],
        "/dev/null",
        {"device": [{"host": "/dev/zero"}]},
        imports=DOCKER,
    ),
    "device_cgroup_rules": Case({"device_cgroup_rules": ["c 42:* rmw"]}, None, None, imports=DOCKER),
    "device_read_bps": Case(
        {"device_read_bps": [{"path": "/dev/null", "rate": "1MiB"}]}, None, None, run=False, imports=DOCKER
    ),
    "device_write_iops": Case(
        {"device_write_iops": [{"path": "/dev/null", "rate": 100}]}, None, None, run=False, imports=DOCKER
    ),
    "gpus": Case(
        {"gpus": "all"}, lambda t: t["HostConfig"]["DeviceRequests"][0]["Count"], -1, run=False, engines=DOCKER
    ),
    "device_request": Case(
        {"device_request": [{"driver": "nvidia", "device_ids": ["0"], "capabilities": ["gpu", "compute"]}]},
        lambda t: t["HostConfig"]["DeviceRequests"][0]["Driver"],
        "nvidia",
        run=False,
        engines=DOCKER,
    ),
    "privileged": Case({"privileged": True}, host("Privileged"), True, {"privileged": False}, run=False),
    "cap_add": Case({"cap_add": ["CAP_NET_ADMIN", "sys_time"]}, None, None, {"cap_add": ["NET_ADMIN"]}),
    "cap_drop": Case({"cap_drop": ["CHOWN"]}, None, None, {"cap_drop": ["KILL"]}),
    "security_opt": Case({"security_opt": ["no-new-privileges"]}, host("SecurityOpt"), ["no-new-privileges"]),
    "sysctls": Case({"sysctls": {"net.ipv4.ip_forward": "1"}}, None, None, imports=DOCKER),
    "ipc_mode": Case({"ipc_mode": "host"}, host("IpcMode"), "host", {"ipc_mode": "none"}, engines=DOCKER),
    "ipc_mode_podman": Case({"ipc_mode": "host"}, change={"ipc_mode": "none"}, engines=PODMAN, imports=()),
    "pid_mode": Case({"pid_mode": "host"}, host("PidMode"), "host"),
    "uts_mode": Case({"uts_mode": "host"}, host("UTSMode"), "host"),
    "userns_mode": Case({"userns_mode": "host"}, None, None, engines=DOCKER),
    "cgroup_parent": Case({"cgroup_parent": "/hythetest"}, host("CgroupParent"), "/hythetest"),
    "cgroupns_mode": Case({"cgroupns_mode": "private"}, host("CgroupnsMode"), "private", engines=DOCKER),
    "platform": Case({"platform": "linux/amd64"}, change={"platform": "linux/arm64"}, engines=DOCKER, imports=()),
    "network_mac": Case(
        {"network": [{"network": "bridge", "mac_address": "02:42:ac:11:00:77"}]},
        lambda t: [e["MacAddress"] for e in t["NetworkSettings"]["Networks"].values()],
        ["02:42:ac:11:00:77"],
        {"network": [{"network": "bridge", "mac_address": "02:42:ac:11:00:78"}]},
        engines=DOCKER,
        imports=(),
    ),
    "runtime": Case({"runtime": "io.containerd.runc.v2"}, None, None, engines=DOCKER),
    "log": Case(
        {"log": {"driver": "json-file", "options": {"max-size": "1m"}}},
        lambda t: t["HostConfig"]["LogConfig"]["Config"],
        {"max-size": "1m"},
        {"log": {"driver": "none"}},
        engines=DOCKER,
    ),
    "log_none": Case({"log": {"driver": "none"}}, lambda t: t["HostConfig"]["LogConfig"]["Type"], "none"),
    "mount_bind": Case(
        {"mount": [{"source": "/usr", "target": "/host", "read_only": True}]},
        lambda t: [m["Source"] for m in t["Mounts"]],
        ["/usr"],
        {"mount": [{"source": "/usr", "target": "/elsewhere"}]},
    ),
    "mount_propagation": Case(
        {"mount": [{"source": "/usr", "target": "/host", "propagation": "rprivate"}]}, imports=DOCKER
    ),
    "mount_selinux": Case({"mount": [{"source": "/tmp", "target": "/host", "selinux": "shared"}]}, imports=DOCKER),
    "mount_tmpfs": Case(
        {"mount": [{"tmpfs": True, "target": "/scratch", "size": "1MiB", "mode": "1770"}]}, imports=DOCKER
    ),
    "mount_unnamed": Case({"mount": [{"target": "/scratch"}]}, lambda t: len(t["Mounts"]), 1),
    "file": Case(
        {"file": [{"target": "/etc/shop/a.conf", "content": "hello", "mode": "0600"}]},
        change={"file": [{"target": "/etc/shop/a.conf", "content": "bye"}]},
        imports=(),
    ),
    "must_run": Case({"command": ["true"], "must_run": False, "attach": True}, imports=()),
    "wait": Case({"wait": False, "wait_timeout": "10s"}, change={"wait": True}, effect=LIVE, imports=()),
}
PARAMETERS = [(name, engine) for name, case in CASES.items() for engine in case.engines]


@pytest.mark.parametrize(("name", "bench"), PARAMETERS, indirect=["bench"])
def test_argument(name: str, yard: Any) -> None:
    case = CASES[name]
    kind = yard.bench.kind
    given = {"running": False, **case.given} if not case.run else case.given
    desired = yard.desired(given)
    identity, attributes = yard.create(desired)

    told = yard.bench.inspect(desired["name"])
    if case.seen is not None:
        assert case.seen(told) == case.expect
    if desired["running"] and desired["must_run"]:
        assert told["State"]["Running"], told["State"]

    observed = yard.read(identity, attributes)
    assert yard.changes(observed, desired) == []
    assert yard.drifted(attributes, observed) == []

    if kind in case.imports:
        imported = yard.kind.import_object(yard.context(identity), desired["name"])
        assert yard.changes(imported, desired) == []

    if case.change is not None:
        again = yard.desired({**given, **case.change, "name": desired["name"]})
        effect = case.podman_effect if kind == "podman" and case.podman_effect is not None else case.effect
        found = yard.changes(observed, again)
        assert {c.effect for c in found} == {effect}, found
        if effect is LIVE:
            after = yard.kind.update(yard.context(identity), attributes, again, [c.name for c in found])
            now = yard.bench.inspect(desired["name"])
            assert now["Id"] == told["Id"]
            if case.expect_after is not None:
                assert case.seen is not None
                assert case.seen(now) == case.expect_after
            seen = yard.read(identity, after)
            assert yard.changes(seen, again) == []
            assert yard.drifted(after, seen) == []
            attributes = after

    yard.kind.delete(yard.context(identity), attributes)
    assert desired["name"] not in yard.names()
    assert yard.read(identity, attributes) is Presence.ABSENT
