"""The network kind on real engines, argument by argument."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hythe.planner.diff import compare
from hythe.provider.container import usage
from hythe.provider.container.network import Network
from hythe.provider.protocol import Attributes, Presence, ProviderError, ReadRequest
from tests.live import runs

KIND = Network()


class Made:
    """Networks made through the kind, removed at the end."""

    def __init__(self, bench: Any) -> None:
        self.bench = bench
        self.all: list[tuple[Any, Attributes]] = []

    def __call__(self, identity: Any = None, **arguments: Any) -> tuple[Any, Attributes]:
        desired = decoded(name=arguments.pop("name", self.bench.name("net")), **arguments)
        identity = identity or self.bench.identity("network.x")
        made = KIND.create(self.bench.context(identity), desired)
        self.all.append((identity, made))
        return identity, made


def decoded(**arguments: Any) -> Attributes:
    out, problems = KIND.schema.decode(arguments)
    assert problems == []
    return out


@pytest.fixture
def make(bench: Any) -> Iterator[Made]:
    made = Made(bench)
    yield made
    for _, attributes in made.all:
        bench.cli("network", "rm", attributes["name"], check=False)


def observed(bench: Any, identity: Any, attributes: Attributes) -> Any:
    return KIND.read_many(bench.reading(), [ReadRequest(identity.id, "network.x", attributes)])[identity.id]


def changed(bench: Any, identity: Any, made: Attributes, **arguments: Any) -> list[str]:
    desired = decoded(name=made["name"], **arguments)
    return [c.name for c in compare(KIND, observed(bench, identity, made), desired)]


CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("default", {}, {"internal": True}),
    ("labels", {"labels": {"team": "shop"}}, {"labels": {"team": "web"}}),
    ("internal", {"internal": True}, {"internal": False}),
    ("attachable", {"attachable": True}, {"attachable": False}),
    ("cidr", {"cidr": "10.231.0.0/24"}, {"cidr": "10.232.0.0/24"}),
    ("gateway", {"cidr": "10.231.1.0/24", "gateway": "10.231.1.9"}, {"cidr": "10.231.1.0/24", "gateway": "10.231.1.8"}),
    (
        "ip_range",
        {"cidr": "10.231.2.0/24", "ip_range": "10.231.2.128/25"},
        {"cidr": "10.231.2.0/24", "ip_range": "10.231.2.64/26"},
    ),
    (
        "subnets",
        {"subnet": [{"cidr": "10.231.3.0/24", "gateway": "10.231.3.7"}, {"cidr": "fd00:7::/64"}]},
        {"subnet": [{"cidr": "10.231.3.0/24", "gateway": "10.231.3.7"}, {"cidr": "fd00:8::/64"}]},
    ),
    (
        "ipv6",
        {"ipv6": True, "subnet": [{"cidr": "10.231.4.0/24"}, {"cidr": "fd00:9::/64"}]},
        {"ipv6": False, "subnet": [{"cidr": "10.231.4.0/24"}, {"cidr": "fd00:9::/64"}]},
    ),
    (
        "options",
        {"options": {"com.docker.network.driver.mtu": "1400"}},
        {"options": {"com.docker.network.driver.mtu": "1300"}},
    ),
    (
        "bridge name",
        {"options": {"com.docker.network.bridge.name": "hythetest0"}},
        {"options": {"com.docker.network.bridge.name": "hythetest1"}},
    ),
    (
        "macvlan",
        {"mode": "macvlan", "cidr": "10.231.5.0/24", "options": {"parent": "lo"}},
        {"mode": "ipvlan", "cidr": "10.231.5.0/24", "options": {"parent": "lo"}},
    ),
]


@pytest.fixture
def parent() -> Iterator[str]:
    """A host interface of our own for macvlan and ipvlan."""
    name = runs.claim("hyp")
    subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
    yield name
    subprocess.run(["ip", "link", "del", name], check=True)


@pytest.mark.parametrize(("before", "after"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_is_made_is_what_is_read_and_changes_show(
    bench: Any, make: Made, parent: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    for arguments in (before, after):
        if arguments.get("options", {}).get("parent"):
            arguments["options"] = {"parent": parent}
    identity, made = make(**before)
    assert changed(bench, identity, made, **before) == []
    assert observed(bench, identity, made) == made
    assert changed(bench, identity, made, **after) != []
    KIND.delete(bench.context(identity), made)
    assert observed(bench, identity, made) is Presence.ABSENT
    KIND.delete(bench.context(identity), made)


@pytest.mark.parametrize("mode", ["l2", "l3"])
def test_ipvlan_mode(bench: Any, make: Made, parent: str, mode: str) -> None:
    wish = {"mode": "ipvlan", "cidr": "10.231.6.0/24", "options": {"parent": parent, "ipvlan_mode": mode}}
    identity, made = make(**wish)
    assert changed(bench, identity, made, **wish) == []


def test_aux_addresses_are_kept_back_where_the_engine_can(bench: Any, make: Made) -> None:
    wish = {"cidr": "10.231.7.0/24", "aux_addresses": {"printer": "10.231.7.2"}}
    if bench.kind == "podman":
        with pytest.raises(ProviderError, match="Not possible on Podman"):
            make(**wish)
        return
    identity, made = make(**wish)
    assert changed(bench, identity, made, **wish) == []


def test_what_the_engine_chose_is_told(bench: Any, make: Made) -> None:
    _, made = make()
    assert made["subnets"] == [made["cidr"]]
    assert made["gateway"].rpartition(".")[0] in made["cidr"] or made["gateway"]


def test_a_foreign_network_of_that_name_is_left_alone(bench: Any, make: Made) -> None:
    name = bench.name("taken")
    bench.cli("network", "create", name)
    try:
        with pytest.raises(ProviderError, match="Name already taken"):
            make(name=name)
        assert bench.cli("network", "inspect", name)
    finally:
        bench.cli("network", "rm", name)


def test_creating_again_takes_up_what_is_there(bench: Any, make: Made) -> None:
    identity, first = make()
    _, second = make(identity=identity, name=first["name"])
    assert second["id"] == first["id"]


def test_removed_behind_our_back_is_absent(bench: Any, make: Made) -> None:
    identity, made = make()
    bench.cli("network", "rm", made["name"])
    assert observed(bench, identity, made) is Presence.ABSENT


def test_replaced_behind_our_back_shows(bench: Any, make: Made) -> None:
    identity, made = make(labels={"a": "b"})
    bench.cli("network", "rm", made["name"])
    bench.cli("network", "create", made["name"])
    if bench.kind == "docker":
        assert observed(bench, identity, made) is Presence.ABSENT
    else:
        # Podman's ids are made of the name, so it is taken for the same network, with other labels
        assert changed(bench, identity, made, labels={"a": "b"}) == ["labels"]


def test_found_by_mark(bench: Any, make: Made) -> None:
    identity, made = make()
    found = KIND.find(bench.reading(), [ReadRequest(identity.id, "network.x", {"name": made["name"]})])
    assert found[identity.id].complete
    assert found[identity.id].attributes["id"] == made["id"]
    assert identity in [o.identity for o in KIND.find_owned(bench.reading())]


def test_import_and_data(bench: Any, make: Made) -> None:
    name = bench.name("import")
    bench.cli("network", "create", "--subnet", "10.231.8.0/24", "--label", "a=b", name)
    try:
        identity = bench.identity("network.x")
        taken = KIND.import_object(bench.context(identity), name)
        assert (taken["cidr"], taken["labels"]) == ("10.231.8.0/24", {"a": "b"})
        assert changed(bench, identity, taken, cidr="10.231.8.0/24", labels={"a": "b"}) == []
        told = KIND.read_data(bench.reading(), {"name": name})
        assert told["subnets"] == ["10.231.8.0/24"]
        KIND.delete(bench.context(identity), taken)
        assert observed(bench, identity, taken) is Presence.ABSENT
    finally:
        bench.cli("network", "rm", name, check=False)
    with pytest.raises(ProviderError, match="Network not found"):
        KIND.import_object(bench.context(identity), name)


@pytest.fixture
def container(bench: Any) -> Iterator[Callable[..., str]]:
    made: list[str] = []

    def run(network: str, *labels: str) -> str:
        name = bench.name("user")
        marks = [part for label in labels for part in ("--label", label)]
        made.append(name)
        bench.cli("create", "--name", name, "--network", network, *marks, bench.image, "sleep", "60")
        return name

    yield run
    for name in made:
        bench.cli("rm", "-f", name, check=False)


def test_a_network_that_others_use_is_kept_and_they_are_named(
    bench: Any, make: Made, container: Callable[..., str]
) -> None:
    identity, made = make()
    user = container(made["name"])
    with pytest.raises(ProviderError, match=user):
        KIND.delete(bench.context(identity), made)
    assert observed(bench, identity, made) is not Presence.ABSENT


def test_our_own_containers_leave_it(bench: Any, make: Made, container: Callable[..., str]) -> None:
    identity, made = make()
    marks = (f"dev.hythe.lineage={identity.lineage}", "dev.hythe.id=1234", "dev.hythe.address=container.web")
    for running in (False, True):
        user = container(made["name"], *marks)
        if running:
            bench.cli("start", user)
    KIND.delete(bench.context(identity), made)
    assert observed(bench, identity, made) is Presence.ABSENT
    assert json.loads(bench.cli("inspect", user))[0]["State"]["Running"]


def test_a_container_that_is_just_going_is_waited_for(
    bench: Any, make: Made, container: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine lists a container no longer and has not yet let go of its endpoint, as after a killed destroy."""
    identity, made = make()
    user = container(made["name"], f"dev.hythe.lineage={identity.lineage}", "dev.hythe.id=1", "dev.hythe.address=a.b")
    bench.cli("start", user)
    listings: list[int] = []
    listing = usage.containers

    def late(engine: Any, **filters: Any) -> list[usage.User]:
        listings.append(1)
        return listing(engine, **filters) if len(listings) > 3 else []

    monkeypatch.setattr(usage, "containers", late)
    KIND.delete(bench.context(identity), made)
    assert observed(bench, identity, made) is Presence.ABSENT
    assert json.loads(bench.cli("inspect", user))[0]["State"]["Running"]
