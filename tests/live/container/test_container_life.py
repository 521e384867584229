"""Lives of containers on real engines: drift, failures, ownership, jobs, health, files, references."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hythe.provider.protocol import Interrupted, Presence, ProviderError, ReadRequest, Referent
from hythe.provider.schema import Effect
from hythe.value import Reference


def failing(yard: Any, given: dict[str, Any]) -> ProviderError:
    desired = yard.desired(given)
    with pytest.raises(ProviderError) as failure:
        yard.create(desired)
    return failure.value


def said(failure: ProviderError) -> str:
    return "\n".join(f"{d.summary}: {d.detail}" for d in failure.diagnostics)


# -- drift -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "command", "argument"),
    [
        ({"memory": "64MiB"}, ["update", "--memory", "80m", "--memory-swap", "160m"], "memory"),
        ({}, ["update", "--cpus", "1"], "cpus"),
        ({"restart": "always"}, ["update", "--restart", "no"], "restart"),
        ({"pids_limit": 50}, ["update", "--pids-limit", "70"], "pids_limit"),
        ({"cpu_shares": 512}, ["update", "--cpu-shares", "300"], "cpu_shares"),
        ({"cpuset_cpus": "0"}, ["update", "--cpuset-cpus", "0-1"], "cpuset_cpus"),
        (
            {"memory": "64MiB", "memory_reservation": "16MiB"},
            ["update", "--memory-reservation", "8m"],
            "memory_reservation",
        ),
        ({}, ["stop", "-t", "0"], "running"),
        ({}, ["pause"], "running"),
        ({"running": False}, ["start"], "running"),
    ],
)
def test_drift_is_seen_and_mended(docker_yard: Any, given: dict[str, Any], command: list[str], argument: str) -> None:
    yard = docker_yard
    desired = yard.desired(given)
    identity, attributes = yard.create(desired)
    yard.bench.cli(*command, desired["name"])

    observed = yard.read(identity, attributes)
    assert yard.drifted(attributes, observed) == [argument]
    found = yard.changes(observed, desired)
    assert [c.name for c in found] == [argument]
    if found[0].effect is Effect.REPLACE:  # a limit that somebody added has to come off
        assert argument == "cpus"
        return
    mended = yard.kind.update(yard.context(identity), observed, desired, [argument])
    seen = yard.read(identity, mended)
    assert yard.changes(seen, desired) == []
    assert yard.drifted(attributes, seen) == []


def test_a_stopped_or_renamed_container_is_drift_on_both(yard: Any) -> None:
    desired = yard.desired({})
    identity, attributes = yard.create(desired)
    yard.bench.cli("stop", "-t", "0", desired["name"])
    yard.bench.cli("rename", desired["name"], desired["name"] + "z")
    observed = yard.read(identity, attributes)
    assert yard.drifted(attributes, observed) == ["name", "running"]
    yard.kind.update(yard.context(identity), observed, desired, ["name", "running"])
    assert yard.bench.inspect(desired["name"])["State"]["Running"]


def test_one_removed_by_somebody_is_absent(yard: Any) -> None:
    desired = yard.desired({})
    identity, attributes = yard.create(desired)
    yard.bench.cli("rm", "-f", desired["name"])
    assert yard.read(identity, attributes) is Presence.ABSENT
    yard.kind.delete(yard.context(identity), attributes)


def test_one_made_anew_without_our_mark_is_neither_ours_nor_touched(yard: Any) -> None:
    desired = yard.desired({})
    identity, attributes = yard.create(desired)
    yard.bench.cli("rm", "-f", desired["name"])
    yard.bench.cli("create", "--name", desired["name"], yard.bench.image, "sleep", "9")
    assert yard.read(identity, attributes) is Presence.ABSENT
    yard.kind.delete(yard.context(identity), attributes)
    assert yard.names() == [desired["name"]]
    failure = failing(yard, {"name": desired["name"]})
    assert "Name already taken" in said(failure)
    assert "was not made by Hythe" in said(failure)
    assert failure.partial is None


# -- failures ----------------------------------------------------------------------------------


def test_a_taken_port_leaves_nothing_behind_and_names_its_holder(yard: Any) -> None:
    first = yard.desired({"port": [{"container": 80, "host": 18200}]})
    yard.create(first)
    failure = failing(yard, {"port": [{"container": 80, "host": 18200}]})
    assert "Port already in use" in said(failure)
    assert first["name"] in said(failure)
    assert failure.partial is None
    assert yard.names() == [first["name"]]


def test_a_port_held_by_a_program_is_said(docker_yard: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 18201))
        taken.listen()
        failure = failing(docker_yard, {"port": [{"container": 80, "host": 18201}]})
    assert "Port already in use" in said(failure)
    assert "18201" in said(failure)


def test_a_missing_image_is_said(yard: Any) -> None:
    assert "Image not found" in said(failing(yard, {"image": "nowhere/nothing:1"}))


def test_a_missing_program_leaves_nothing_behind(yard: Any) -> None:
    failure = failing(yard, {"command": ["no-such-program"]})
    assert "no-such-program" in said(failure)
    assert failure.partial is None
    assert yard.names() == []


def test_a_container_that_ends_at_once_is_kept_with_its_last_words(yard: Any) -> None:
    failure = failing(
        yard,
        {
            "command": ["sh", "-c", "echo broken by $TOKEN; exit 3"],
            "env": {"TOKEN": "s3cr3t-token"},
            "healthcheck": {"test": ["CMD", "true"], "interval": "1s"},
        },
    )
    assert "exit code 3" in said(failure)
    assert "broken by ***" in said(failure)
    assert "s3cr3t" not in said(failure)
    assert failure.partial is not None
    assert failure.partial["exit_code"] == 3


def test_a_limit_that_the_kernel_lacks_is_refused_instead_of_dropped(docker_yard: Any) -> None:
    refusal, weight = "", None
    try:
        _, attributes = docker_yard.create(docker_yard.desired({"blkio_weight": 300}))
        weight = docker_yard.bench.inspect(attributes["name"])["HostConfig"]["BlkioWeight"]
    except ProviderError as failure:
        refusal = said(failure)
    if weight is None:
        assert "Resource limit not possible" in refusal
        assert docker_yard.names() == []
    else:
        assert weight == 300


def test_what_the_engine_would_ignore_is_refused(yard: Any) -> None:
    assert "annotations" in said(failing(yard, {"annotations": {"a": "b"}}))


# -- health, jobs ------------------------------------------------------------------------------


def test_create_waits_for_health(yard: Any) -> None:
    check = {"test": ["CMD", "test", "-e", "/tmp/ready"], "interval": "500ms", "retries": 20}
    command = ["sh", "-c", "sleep 1; touch /tmp/ready; sleep 600"]
    _, attributes = yard.create(yard.desired({"command": command, "healthcheck": check}))
    assert attributes["health"] == "healthy"


def test_an_unhealthy_container_fails_with_the_last_check(yard: Any) -> None:
    check = {"test": ["CMD-SHELL", "echo no luck; false"], "interval": "300ms", "retries": 2}
    failure = failing(yard, {"healthcheck": check})
    assert "is unhealthy" in said(failure)
    assert failure.partial is not None
    assert failure.partial["health"] == "unhealthy"


def test_waiting_has_an_end(yard: Any) -> None:
    check = {"test": ["CMD", "false"], "interval": "10s", "start_period": "60s"}
    assert "after 1s" in said(failing(yard, {"healthcheck": check, "wait_timeout": "1s"}))


def test_waiting_stops_when_the_user_says_so(yard: Any) -> None:
    def stop() -> None:
        raise Interrupted

    desired = yard.desired({"healthcheck": {"test": ["CMD", "false"], "interval": "60s"}})
    identity = yard.bench.identity()
    with pytest.raises(Interrupted):
        yard.kind.create(yard.context(identity, check=stop), desired)
    request = ReadRequest(identity.id, identity.address, desired)
    assert identity.id in yard.kind.find(yard.bench.reading(), [request])


def test_a_job_that_has_ended_is_no_drift(yard: Any) -> None:
    desired = yard.desired({"command": ["true"], "must_run": False, "attach": True})
    identity, attributes = yard.create(desired)
    assert attributes["exit_code"] == 0
    observed = yard.read(identity, attributes)
    assert yard.changes(observed, desired) == []
    assert "exit code 4" in said(failing(yard, {"command": ["sh", "-c", "exit 4"], "attach": True}))


# -- files, references, networks ---------------------------------------------------------------


def test_files_are_there_before_the_start(yard: Any) -> None:
    (yard.folder / "local.txt").write_text("from a file")
    files = [
        {"target": "/etc/shop/a.conf", "content": "hello\n", "mode": "0600", "uid": 65534, "gid": 65534},
        {"target": "/usr/local/bin/go", "content": "#!/bin/sh\ncat /etc/shop/a.conf /b /c\n", "executable": True},
        {"target": "/b", "content_base64": base64.b64encode(b"binary\n").decode()},
        {"target": "/c", "source": "local.txt"},
    ]
    desired = yard.desired({"file": files, "command": ["sh", "-c", "/usr/local/bin/go; ls -ln /etc/shop; sleep 600"]})
    identity, attributes = yard.create(desired)
    out = ""
    for _ in range(50):
        out = yard.bench.cli("logs", desired["name"])
        if "a.conf" in out:
            break
    assert "hello\nbinary\nfrom a file" in out
    assert "-rw-------" in out
    assert "65534" in out
    assert yard.bench.cli("exec", desired["name"], "stat", "-c", "%a", "/etc/shop") == "755"
    assert yard.changes(yard.read(identity, attributes), desired) == []
    Path(yard.folder / "local.txt").write_text("changed")
    again = yard.desired({"file": files, "command": desired["command"], "name": desired["name"]})
    assert [c.name for c in yard.changes(attributes, again)] == ["file"]


def referent(kind: str, address: str, **attributes: Any) -> Referent:
    return Referent(kind, address, address + "-id", attributes, None)


def test_references_are_kept_and_an_import_takes_them_up(yard: Any, a_network: Callable[..., str]) -> None:
    bench = yard.bench
    network, volume = a_network(), bench.name("vol")
    bench.cli("volume", "create", volume)
    network_id = next(n["Id"] for n in bench.engine.request("GET", "/networks").json() if n["Name"] == network)
    yard.referents = {
        r.address: r
        for r in (
            referent("image", "image.a", id=bench.image_id, name=bench.image),
            referent("network", "network.a", id=network_id, name=network),
            referent("volume", "volume.a", name=volume),
        )
    }
    refs = {kind: Reference(kind, f"{kind}.a", f"{kind}.a-id") for kind in ("image", "network", "volume")}
    desired = yard.desired(
        {
            "image": refs["image"],
            "network": [{"network": refs["network"], "aliases": ["shop"]}],
            "mount": [{"volume": refs["volume"], "target": "/data"}],
        }
    )
    identity, attributes = yard.create(desired)
    observed = yard.read(identity, attributes)
    assert yard.changes(observed, desired) == []
    assert yard.drifted(attributes, observed) == []

    # an intent that a crash left open knows nothing that the engine chose
    found = yard.kind.find(yard.bench.reading(), [ReadRequest(identity.id, identity.address, desired)])[identity.id]
    assert found.complete
    assert yard.drifted(attributes, found.attributes) == []
    assert yard.changes(yard.read(identity, found.attributes), desired) == []

    imported = yard.kind.import_object(yard.context(identity), desired["name"])
    assert yard.drifted(imported, yard.read(identity, imported)) == []
    found = yard.changes(imported, desired)
    assert {c.effect for c in found} == {Effect.LIVE}
    assert {c.name for c in found} == {"image", "network", "mount"}
    told = bench.inspect(desired["name"])
    after = yard.kind.update(yard.context(identity), imported, desired, [c.name for c in found])
    assert bench.inspect(desired["name"])["Id"] == told["Id"]
    assert bench.inspect(desired["name"])["State"]["StartedAt"] == told["State"]["StartedAt"]
    assert yard.changes(yard.read(identity, after), desired) == []

    other = bench.name("other") + ":1"
    yard.referents["image.a"] = referent("image", "image.a", id="sha256:" + "0" * 64, name=other)
    with pytest.raises(ProviderError, match="not on this engine"):
        yard.kind.update(yard.context(identity), imported, desired, ["image"])


def test_networks_change_while_it_runs(yard: Any, a_network: Callable[..., str]) -> None:
    first, second = a_network("--subnet", "10.213.7.0/24"), a_network("--subnet", "10.213.8.0/24")
    desired = yard.desired({"network": [{"network": first, "aliases": ["a", "b"], "ipv4_address": "10.213.7.9"}]})
    identity, attributes = yard.create(desired)
    assert attributes["ip_address"] == "10.213.7.9"
    assert yard.changes(yard.read(identity, attributes), desired) == []

    started = yard.bench.inspect(desired["name"])["State"]["StartedAt"]
    for blocks in (
        [{"network": first}, {"network": second, "aliases": ["c"], "ipv4_address": "10.213.8.8"}],
        [{"network": second, "aliases": ["c"], "ipv4_address": "10.213.8.8"}],
        [{"network": second, "aliases": ["d"], "ipv4_address": "10.213.8.9"}],
    ):
        again = yard.desired({"name": desired["name"], "network": blocks})
        found = yard.changes(attributes, again)
        assert [(c.name, c.effect) for c in found] == [("network", Effect.LIVE)]
        attributes = yard.kind.update(yard.context(identity), attributes, again, ["network"])
        observed = yard.read(identity, attributes)
        assert yard.changes(observed, again) == []
        assert yard.drifted(attributes, observed) == []
        assert sorted(attributes["addresses"]) == sorted(b["network"] for b in blocks)
    assert yard.bench.inspect(desired["name"])["State"]["StartedAt"] == started

    yard.bench.cli("network", "disconnect", second, desired["name"])
    observed = yard.read(identity, attributes)
    assert yard.drifted(attributes, observed) == ["network"]
    yard.kind.update(yard.context(identity), observed, again, ["network"])
    assert yard.changes(yard.read(identity, attributes), again) == []


def test_what_the_image_brings_is_no_drift_and_not_imported(yard: Any, make_image: Callable[..., str]) -> None:
    name = yard.bench.name("image") + ":1"
    changes = [
        "ENV A=b",
        "LABEL x=y",
        "USER nobody",
        "WORKDIR /tmp",
        "EXPOSE 80/tcp",
        "VOLUME /data",
    ]
    make_image(yard.bench, name, [*changes, 'ENTRYPOINT ["sleep"]', 'CMD ["600"]'])
    try:
        desired = yard.desired({"image": name, "env": {"A": "b", "C": "d"}})
        del desired["command"]
        identity, attributes = yard.create(desired)
        observed = yard.read(identity, attributes)
        assert yard.changes(observed, desired) == []
        imported = yard.kind.import_object(yard.context(identity), desired["name"])
        plain = {**desired, "env": {"C": "d"}}
        assert yard.changes(imported, plain) == []
        (unnamed,) = (m["Name"] for m in yard.bench.inspect(desired["name"])["Mounts"])
        yard.kind.delete(yard.context(identity), attributes)
        volumes = yard.bench.engine.request("GET", "/volumes").json()["Volumes"] or []
        assert unnamed not in [v["Name"] for v in volumes]
    finally:
        for left in yard.names():
            yard.bench.cli("rm", "-f", "-v", left)
        yard.bench.cli("rmi", "-f", name)


def test_marks_find_what_is_ours(yard: Any) -> None:
    identity, attributes = yard.create(yard.desired({}))
    stranger = yard.bench.name()
    yard.bench.cli("create", "--name", stranger, yard.bench.image, "true")
    assert yard.read(identity, {k: v for k, v in attributes.items() if k != "id"})["id"] == attributes["id"]
    owned = yard.kind.find_owned(yard.bench.reading())
    assert [o.identity for o in owned if o.attributes["name"] == attributes["name"]] == [identity]
    assert stranger not in [o.attributes["name"] for o in owned]
    found = yard.kind.find(yard.bench.reading(), [ReadRequest(identity.id, identity.address, attributes)])
    assert found[identity.id].complete


@pytest.mark.parametrize(
    "given",
    [
        {"volumes_from": ["{}"]},
        {"network_mode": "container:{}"},
        {"pid_mode": "container:{}"},
        {"ipc_mode": "container:{}"},
        {"links": ["{}:db"]},
    ],
    ids=lambda given: next(iter(given)),
)
def test_what_is_shared_with_another_container(yard: Any, given: dict[str, Any]) -> None:
    if yard.bench.kind == "podman" and "links" in given:
        assert "no links" in said(failing(yard, given))
        return
    base = yard.desired({"ipc_mode": "shareable", "mount": [{"target": "/shared"}]})
    yard.create(base)
    filled = {
        k: [t.format(base["name"]) for t in v] if isinstance(v, list) else v.format(base["name"])
        for k, v in given.items()
    }
    desired = yard.desired(filled)
    identity, attributes = yard.create(desired)
    observed = yard.read(identity, attributes)
    assert yard.changes(observed, desired) == []
    assert yard.drifted(attributes, observed) == []
    yard.kind.delete(yard.context(identity), attributes)
    assert yard.names() == [base["name"]]
