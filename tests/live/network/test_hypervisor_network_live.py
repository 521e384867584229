"""Networks of the hypervisor on the machine's libvirt, argument by argument."""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hythe.planner.diff import FieldChange, compare
from hythe.planner.inputs import RecordingReader
from hythe.provider.connection.local import LocalHost
from hythe.provider.host import bridge_links
from hythe.provider.network import Network
from hythe.provider.protocol import (
    Attributes,
    Context,
    Host,
    Identity,
    PrepareContext,
    Presence,
    Project,
    ProviderError,
    ReadContext,
    ReadRequest,
)
from hythe.provider.vm.marks import uuid_of
from tests.live import runs

KIND = Network()
SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
MAC = "52:54:00:00:be:01"


def run(*argv: str, check: bool = True) -> str:
    done = subprocess.run(list(argv), capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(argv)}: {done.stderr}")
    return done.stdout.strip()


class OverCommands:
    """The machine as it is seen over SSH: nothing but commands, and its hypervisor."""

    name = "host.far"

    def __init__(self, machine: LocalHost) -> None:
        self._machine = machine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._machine, name)


class Networks:
    """Networks made through the kind, removed at the end."""

    def __init__(self, folder: Path) -> None:
        self.prefix = runs.claim("hyn")
        self.folder = str(folder)
        self.host: Host = LocalHost()
        self.project = Project("live", "abcd", self.folder)
        self.made: list[tuple[Identity, Attributes]] = []

    def name(self) -> str:
        return f"{self.prefix}-{secrets.token_hex(2)}"

    def identity(self) -> Identity:
        return Identity(self.prefix, "network.x", secrets.token_hex(8))

    def context(self, identity: Identity) -> Context:
        def nothing(*args: Any) -> Any:
            raise AssertionError(args)

        return Context(
            self.host,
            self.host,
            identity,
            nothing,
            lambda text: None,
            lambda: None,
            self.folder,
            self.project,
            {},
            lambda name, value: None,
        )

    def reading(self) -> ReadContext:
        return ReadContext(self.host, self.host, self.prefix, self.folder, self.project)

    def wish(self, **arguments: Any) -> Attributes:
        out, problems = KIND.schema.decode(arguments)
        assert problems == []
        context = PrepareContext(RecordingReader(self.folder), self.project, self.folder, "x", None, {})
        return KIND.prepare(out, context)[0]

    def create(self, identity: Identity | None = None, **arguments: Any) -> tuple[Identity, Attributes]:
        identity = identity or self.identity()
        wish = self.wish(**{"name": self.name(), **arguments})
        # what a failed creation leaves is to go too
        self.made.append((identity, wish))
        made = KIND.create(self.context(identity), wish)
        self.made[-1] = (identity, made)
        return identity, made

    def observed(self, identity: Identity, made: Attributes) -> Any:
        return KIND.read_many(self.reading(), [ReadRequest(identity.id, "network.x", made)])[identity.id]

    def changes(self, identity: Identity, made: Attributes, **arguments: Any) -> list[FieldChange]:
        found = self.observed(identity, made)
        assert found is not Presence.ABSENT
        return compare(KIND, found, self.wish(**{"name": made["name"], **arguments}))

    def change(self, identity: Identity, made: Attributes, **arguments: Any) -> tuple[dict[str, str], Attributes]:
        """Change it in place; gives the effects, and what it then is. The plan after that is empty."""
        found = self.changes(identity, made, **arguments)
        wish = self.wish(**{"name": made["name"], **arguments})
        after = KIND.update(self.context(identity), self.observed(identity, made), wish, [c.name for c in found])
        assert self.changes(identity, after, **arguments) == []
        return {c.name: c.effect.name for c in found}, after

    def delete(self, identity: Identity, made: Attributes) -> None:
        KIND.delete(self.context(identity), made)
        assert self.observed(identity, made) is Presence.ABSENT
        assert made["name"] not in run("virsh", "net-list", "--all", "--name").split()

    def sweep(self) -> None:
        for identity, made in self.made:
            with contextlib.suppress(Exception):
                KIND.delete(self.context(identity), {**made, "id": uuid_of(identity)})
            run("virsh", "net-destroy", made["name"], check=False)
            run("virsh", "net-undefine", made["name"], check=False)


@pytest.fixture(scope="session", autouse=True)
def libvirt() -> None:
    """The machine's libvirt runs."""
    runs.start_engines("libvirt")


@pytest.fixture
def nets(tmp_path: Path) -> Iterator[Networks]:
    made = Networks(tmp_path)
    try:
        yield made
    finally:
        made.sweep()
        made.host.close()


def xml(made: Attributes, *flags: str) -> str:
    return run("virsh", "net-dumpxml", made["name"], *flags)


NAT: dict[str, Any] = {"mode": "nat", "cidr": "10.78.1.0/24"}
CASES: list[tuple[str, dict[str, Any], dict[str, Any], str, str]] = [
    ("cidr", NAT, {**NAT, "cidr": "10.78.2.0/24"}, "cidr", "REPLACE"),
    ("gateway", {**NAT, "gateway": "10.78.1.9"}, {**NAT, "gateway": "10.78.1.8"}, "gateway", "REPLACE"),
    ("routed", {**NAT, "mode": "routed"}, NAT, "mode", "REPLACE"),
    ("isolated", {"mode": "isolated"}, {"mode": "isolated", "autostart": False}, "autostart", "LIVE"),
    ("addressed", {**NAT, "mode": "isolated"}, {**NAT, "mode": "isolated", "active": False}, "active", "LIVE"),
    ("no dhcp", {**NAT, "dhcp": {"enabled": False}}, NAT, "dhcp", "REPLACE"),
    (
        "range",
        {**NAT, "dhcp": {"start": "10.78.1.20", "end": "10.78.1.30", "lease_time": "10m"}},
        {**NAT, "dhcp": {"start": "10.78.1.20", "end": "10.78.1.40", "lease_time": "10m"}},
        "dhcp",
        "REPLACE",
    ),
    (
        "lease",
        {**NAT, "lease": [{"mac": MAC, "address": "10.78.1.10", "name": "one"}]},
        {**NAT, "lease": [{"mac": MAC, "address": "10.78.1.11"}, {"mac": MAC[:-1] + "2", "address": "10.78.1.10"}]},
        "lease",
        "LIVE",
    ),
    (
        "names",
        {**NAT, "dns": {"host": [{"address": "10.78.1.10", "names": ["a", "b.example"]}]}},
        {**NAT, "dns": {"host": [{"address": "10.78.1.10", "names": ["a"]}]}},
        "dns",
        "LIVE",
    ),
    ("forwarders", {**NAT, "dns": {"forwarders": ["9.9.9.9"]}}, NAT, "dns", "REPLACE"),
    ("no names", {**NAT, "dns": {"enabled": False}}, NAT, "dns", "REPLACE"),
    ("domain", {**NAT, "domain": "lan.example"}, {**NAT, "domain": "x.example"}, "domain", "REPLACE"),
    ("mtu", {**NAT, "mtu": 1400}, NAT, "mtu", "REPLACE"),
    ("bridge", {**NAT, "bridge": "hyntest0"}, {**NAT, "bridge": "hyntest1"}, "bridge", "REPLACE"),
    (
        "forward",
        {
            **NAT,
            "forward": [{"host": 18080, "address": "10.78.1.10", "guest": 80}, {"host": 53, "address": "10.78.1.9"}],
        },
        {
            **NAT,
            "forward": [
                {"host": 18080, "address": "10.78.1.10", "protocol": "udp"},
                {"host": 18080, "address": "10.78.1.11", "ip": "127.0.0.2"},
            ],
        },
        "forward",
        "LIVE",
    ),
]


@pytest.mark.parametrize(("before", "after", "name", "effect"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_an_argument(nets: Networks, before: dict[str, Any], after: dict[str, Any], name: str, effect: str) -> None:
    identity, made = nets.create(**before)
    assert nets.changes(identity, made, **before) == []
    assert nets.observed(identity, made) == made
    found = nets.changes(identity, made, **after)
    assert {c.name: c.effect.name for c in found}[name] == effect
    if effect == "LIVE":
        bridge = run("cat", f"/sys/class/net/{made['bridge']}/ifindex")
        _, made = nets.change(identity, made, **after)
        assert name == "active" or run("cat", f"/sys/class/net/{made['bridge']}/ifindex") == bridge
    nets.delete(identity, made)
    assert f"HYTHE-{made['id'].replace('-', '')[:12]}" not in run("iptables-save")
    KIND.delete(nets.context(identity), made)


def test_the_definition(nets: Networks) -> None:
    identity, made = nets.create(**NAT, domain="lan.example", lease=[{"mac": MAC, "address": "10.78.1.10"}])
    text = xml(made)
    assert f'lineage="{identity.lineage}"' in text
    assert '<range start="10.78.1.2" end="10.78.1.191"/>' in text.replace("'", '"')
    for flags in ([], ["--inactive"]):
        assert MAC in xml(made, *flags)
    nets.change(identity, made, **NAT, domain="lan.example")
    for flags in ([], ["--inactive"]):
        assert MAC not in xml(made, *flags)


def test_drift_is_seen_and_mended(nets: Networks) -> None:
    wish = {
        **NAT,
        "lease": [{"mac": MAC, "address": "10.78.1.10"}],
        "forward": [{"host": 18081, "address": "10.78.1.10"}],
    }
    identity, made = nets.create(**wish)
    host = f"<host mac='{MAC}' ip='10.78.1.10'/>"
    run("virsh", "net-update", made["name"], "delete", "ip-dhcp-host", host, "--live", "--config")
    assert nets.change(identity, made, **wish)[0] == {"lease": "LIVE"}
    assert MAC in xml(made)
    run("virsh", "net-destroy", made["name"])
    run("virsh", "net-autostart", made["name"], "--disable")
    assert nets.change(identity, made, **wish)[0] == {"active": "LIVE", "autostart": "LIVE"}
    chain = f"HYTHE-{made['id'].replace('-', '')[:12]}"
    # a rule behind libvirt's own is as good as none
    for broken in (["-D", "FORWARD", "-j", chain], ["-A", "FORWARD", "-j", chain], ["-t", "nat", "-F", chain]):
        run("iptables", "--wait", *broken)
        if broken[0] == "-A":
            continue
        assert nets.change(identity, made, **wish)[0] == {"forward": "LIVE"}
    run("iptables", "--wait", "-D", "FORWARD", "-j", chain)
    run("iptables", "--wait", "-A", "FORWARD", "-j", chain)
    assert nets.change(identity, made, **wish)[0] == {"forward": "LIVE"}
    run("virsh", "net-destroy", made["name"])
    run("virsh", "net-undefine", made["name"])
    assert nets.observed(identity, made) is Presence.ABSENT
    KIND.delete(nets.context(identity), made)
    assert chain not in run("iptables-save")


def test_import_data_and_a_name_that_is_taken(nets: Networks, tmp_path: Path) -> None:
    name = nets.name()
    definition = tmp_path / "n.xml"
    definition.write_text(
        f"<network><name>{name}</name><forward mode='nat'/><bridge name='hyntest2'/>"
        "<ip address='10.78.3.1' netmask='255.255.255.0'><dhcp><range start='10.78.3.2' end='10.78.3.9'/></dhcp></ip>"
        "</network>"
    )
    run("virsh", "net-define", str(definition))
    run("virsh", "net-start", name)
    try:
        with pytest.raises(ProviderError, match="Name already taken"):
            nets.create(name=name, **NAT)
        nets.made.pop()
        assert name in run("virsh", "net-list", "--name")
        identity = nets.identity()
        taken = KIND.import_object(nets.context(identity), f"libvirt:{name}")
        wish = {"mode": "nat", "cidr": "10.78.3.0/24", "dhcp": {"end": "10.78.3.9"}, "autostart": False}
        assert nets.changes(identity, taken, **wish) == []
        told = KIND.read_data(nets.reading(), {"name": name, "uri": "qemu:///system"})
        assert (told["bridge"], told["cidr"], told["active"]) == ("hyntest2", "10.78.3.0/24", True)
        nets.delete(identity, taken)
    finally:
        run("virsh", "net-destroy", name, check=False)
        run("virsh", "net-undefine", name, check=False)
    with pytest.raises(ProviderError, match="Network not found"):
        KIND.import_object(nets.context(identity), f"libvirt:{name}")


def test_addresses_that_are_in_use(nets: Networks) -> None:
    nets.create(**NAT)
    with pytest.raises(ProviderError, match="Addresses already in use"):
        nets.create(**NAT)
    assert len([n for n in run("virsh", "net-list", "--all", "--name").split() if n.startswith(nets.prefix)]) == 1


def test_found_after_a_kill(nets: Networks) -> None:
    identity, made = nets.create(**NAT)
    request = ReadRequest(identity.id, "network.x", nets.wish(name=made["name"], **NAT))
    assert KIND.find(nets.reading(), [request])[identity.id].complete
    run("virsh", "net-destroy", made["name"])
    found = KIND.find(nets.reading(), [request])[identity.id]
    assert (found.complete, found.attributes["id"]) == (False, made["id"])
    assert identity in [o.identity for o in KIND.find_owned(nets.reading())]
    assert nets.create(identity, name=made["name"], **NAT)[1] == made


# -- ports of the host ----------------------------------------------------------------------------


@contextlib.contextmanager
def machine(bridge: str, address: str, gateway: str | None) -> Iterator[str]:
    """Something with a cable to a bridge: a network namespace."""
    space = runs.claim("hyn")
    run("ip", "netns", "add", space)
    try:
        run("ip", "link", "add", f"{space}v", "type", "veth", "peer", "name", "eth0", "netns", space)
        run("ip", "link", "set", f"{space}v", "master", bridge, "up")
        run("ip", "-n", space, "link", "set", "lo", "up")
        run("ip", "-n", space, "link", "set", "eth0", "up")
        run("ip", "-n", space, "address", "add", address, "dev", "eth0")
        if gateway:
            run("ip", "-n", space, "route", "add", "default", "via", gateway)
        yield space
    finally:
        run("ip", "netns", "del", space, check=False)


def served(space: str, port: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["ip", "netns", "exec", space, "busybox", "nc", "-ll", "-p", str(port), "-e", "echo", "here"]
    )


def asked(address: str, port: int, *inside: str) -> str:
    for _ in range(50):
        said = run(*inside, "busybox", "timeout", "3", "busybox", "nc", address, str(port), check=False)
        if said:
            return said
    return ""


@pytest.mark.parametrize("mode", ["nat", "routed"])
def test_a_port_leads_to_a_machine(nets: Networks, mode: str) -> None:
    """From outside, from the host itself, and from another machine of the network."""
    wish = {"mode": mode, "cidr": "10.78.4.0/24", "forward": [{"host": 18082, "address": "10.78.4.10", "guest": 90}]}
    identity, made = nets.create(**wish)
    outside = {"mode": "isolated", "cidr": "10.78.5.0/24"}
    _, other = nets.create(**outside)
    # the jump to our chain stays before libvirt's, though the other network came later
    assert nets.changes(identity, made, **wish) == []
    with (
        machine(made["bridge"], "10.78.4.10/24", "10.78.4.1") as one,
        machine(made["bridge"], "10.78.4.11/24", "10.78.4.1") as two,
        machine(other["bridge"], "10.78.5.10/24", None) as far,
    ):
        server = served(one, 90)
        try:
            assert asked("10.78.5.1", 18082) == "here"
            assert asked("10.78.4.1", 18082, "ip", "netns", "exec", two) == "here"
            run("ip", "-n", far, "address", "show")
            nets.change(identity, made, **{**wish, "forward": []})
            assert run("busybox", "timeout", "1", "busybox", "nc", "10.78.5.1", "18082", check=False) == ""
        finally:
            server.terminate()
            server.wait()


def test_a_port_from_another_machine(nets: Networks) -> None:
    """A bridge of the host stands for the network outside, which libvirt's rules know nothing of."""
    _, lan = nets.create(mode="bridge", host_bridge={"ports": [], "addresses": ["10.78.6.1/24"]})
    wish = {"mode": "nat", "cidr": "10.78.4.0/24", "forward": [{"host": 18083, "address": "10.78.4.10"}]}
    _, made = nets.create(**wish)
    with (
        machine(made["bridge"], "10.78.4.10/24", "10.78.4.1") as one,
        machine(lan["bridge"], "10.78.6.10/24", "10.78.6.1") as far,
    ):
        server = served(one, 18083)
        try:
            assert asked("10.78.6.1", 18083, "ip", "netns", "exec", far) == "here"
        finally:
            server.terminate()
            server.wait()


# -- bridges of the host --------------------------------------------------------------------------


@pytest.fixture
def cards() -> Iterator[list[str]]:
    """Two interfaces that stand for network cards."""
    stem = runs.claim("hyc")
    names = [f"{stem}a", f"{stem}b"]
    run("ip", "link", "add", names[0], "type", "veth", "peer", "name", names[1])
    yield names
    run("ip", "link", "del", names[0], check=False)


@pytest.fixture(params=["netlink", "commands"])
def where(request: pytest.FixtureRequest, nets: Networks) -> str:
    """The machine itself, and the same as it is seen over SSH."""
    if request.param == "commands":
        nets.host = OverCommands(LocalHost())  # type: ignore[assignment]
    return str(request.param)


def link(name: str) -> dict[str, Any]:
    return json.loads(run("ip", "-json", "-details", "address", "show", "dev", name))[0]  # type: ignore[no-any-return]


def test_a_bridge_is_made_changed_and_removed(nets: Networks, cards: list[str], where: str) -> None:
    wish: dict[str, Any] = {"mode": "bridge", "host_bridge": {"name": f"{nets.prefix}br", "ports": [cards[0]]}}
    identity, made = nets.create(**wish)
    assert nets.changes(identity, made, **wish) == []
    assert nets.observed(identity, made) == made
    bridge = made["bridge"]
    assert identity.id in link(bridge)["ifalias"]
    assert link(cards[0])["master"] == bridge
    assert 'mode="bridge"' in xml(made).replace("'", '"')
    index = link(bridge)["ifindex"]
    more = {"mode": "bridge", "host_bridge": {**wish["host_bridge"], "ports": [cards[1]], "stp": True}}
    more["host_bridge"]["addresses"] = ["10.78.7.1/24", "fd00:78::1/64"]
    effects, made = nets.change(identity, made, **more)
    assert effects == {"host_bridge": "LIVE"}
    told = link(bridge)
    assert (told["ifindex"], told["linkinfo"]["info_data"]["stp_state"]) == (index, 1)
    assert {a["local"] for a in told["addr_info"] if a["scope"] == "global"} == {"10.78.7.1", "fd00:78::1"}
    assert "master" not in link(cards[0])
    _, made = nets.change(identity, made, **wish)
    # seen and mended when somebody else takes it apart
    run("ip", "link", "set", cards[0], "nomaster")
    assert nets.change(identity, made, **wish)[0] == {"host_bridge": "LIVE"}
    run("ip", "link", "del", bridge)
    assert nets.change(identity, made, **wish)[0]["active"] == "LIVE"
    assert link(cards[0])["master"] == bridge
    nets.delete(identity, made)
    assert bridge not in run("ip", "-brief", "link")
    assert cards[0] in run("ip", "-brief", "link")


def test_a_bridge_without_a_name(nets: Networks, where: str) -> None:
    wish = {"mode": "bridge", "host_bridge": {"ports": []}}
    identity, made = nets.create(**wish)
    assert made["bridge"] == f"hy-{made['id'].replace('-', '')[:10]}"
    assert nets.changes(identity, made, **wish) == []
    with machine(made["bridge"], "10.78.8.2/24", None) as one, machine(made["bridge"], "10.78.8.3/24", None):
        # what guests and containers put there is no drift
        assert nets.changes(identity, made, **wish) == []
        assert "1 packets received" in run("ip", "netns", "exec", one, "busybox", "ping", "-c", "1", "10.78.8.3")
    run("iptables", "--wait", "-D", "FORWARD", "-i", made["bridge"], "-o", made["bridge"], "-j", "ACCEPT")
    assert nets.change(identity, made, **wish)[0] == {"active": "LIVE"}
    nets.delete(identity, made)
    assert made["bridge"] not in run("ip", "-brief", "link")
    assert made["bridge"] not in run("iptables-save")


def test_a_bridge_that_is_there(nets: Networks) -> None:
    name = f"{nets.prefix}x"
    wish = {"mode": "bridge", "host_bridge": {"name": name}}
    with pytest.raises(ProviderError, match="Bridge not found"):
        nets.create(**wish)
    run("ip", "link", "add", name, "type", "bridge")
    run("ip", "link", "set", name, "up")
    try:
        identity, made = nets.create(**wish)
        assert nets.changes(identity, made, **wish) == []
        taken = KIND.import_object(nets.context(identity), f"libvirt:{made['name']}")
        assert nets.changes(identity, taken, **wish) == []
        (change,) = nets.changes(identity, made, mode="bridge", host_bridge={"name": name, "ports": ["eth9"]})
        assert (change.name, change.effect.name) == ("host_bridge", "REPLACE")
        nets.delete(identity, made)
        assert name in run("ip", "-brief", "link")
        with pytest.raises(ProviderError, match="Name already taken"):
            nets.create(mode="bridge", host_bridge={"name": name, "ports": []})
    finally:
        run("ip", "link", "del", name)


def test_interfaces_that_must_not_be_taken(nets: Networks, cards: list[str]) -> None:
    run("ip", "address", "add", "10.78.9.1/24", "dev", cards[0])
    run("ip", "link", "add", f"{nets.prefix}y", "type", "bridge")
    run("ip", "link", "set", cards[1], "master", f"{nets.prefix}y")
    try:
        for port, word in ((cards[0], "addresses of its own"), (cards[1], "part of"), ("hynone", "no interface")):
            with pytest.raises(ProviderError, match=word):
                nets.create(mode="bridge", host_bridge={"ports": [port]})
    finally:
        run("ip", "link", "del", f"{nets.prefix}y")
    assert nets.prefix not in run("ip", "-details", "link", "show", "type", "bridge")


def test_a_vlan(nets: Networks, cards: list[str], where: str) -> None:
    wish = {"mode": "bridge", "host_bridge": {"vlan": {"id": 20, "parent": cards[0]}}}
    able = run("ip", "link", "add", "link", cards[1], "name", f"{nets.prefix}v", "type", "vlan", "id", "5", check=False)
    if not able and f"{nets.prefix}v" not in run("ip", "-brief", "link"):
        # a kernel without VLANs, as some machines for tests have
        with pytest.raises(ProviderError, match="modprobe 8021q"):
            nets.create(**wish)
        assert nets.prefix not in run("ip", "-details", "link", "show", "type", "bridge")
        return
    identity, made = nets.create(**wish)
    assert nets.changes(identity, made, **wish) == []
    name = f"hv-{made['id'].replace('-', '')[:10]}"
    told = link(name)
    assert (told["master"], told["link"], told["linkinfo"]["info_data"]["id"]) == (made["bridge"], cards[0], 20)
    other = {"mode": "bridge", "host_bridge": {"vlan": {"id": 21, "parent": cards[0]}}}
    assert nets.change(identity, made, **other)[0] == {"host_bridge": "LIVE"}
    nets.delete(identity, made)
    assert name not in run("ip", "-brief", "link")


def test_a_bridge_of_a_creation_that_was_killed(nets: Networks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after each step: what is left is found by the instance's id, and goes."""
    wish: dict[str, Any] = {"mode": "bridge", "host_bridge": {"name": f"{nets.prefix}z", "ports": []}}
    carry = bridge_links.carry_out
    for steps_done in range(4):
        monkeypatch.setattr(
            bridge_links, "carry_out", lambda host, steps, what, n=steps_done: carry(host, steps[:n], what)
        )
        monkeypatch.setattr("hythe.provider.vm.network.network_xml", lambda *args: 1 / 0)
        identity = nets.identity()
        prepared = nets.wish(name=nets.name(), **wish)
        with pytest.raises(ZeroDivisionError):
            KIND.create(nets.context(identity), prepared)
        monkeypatch.undo()
        found = KIND.find(nets.reading(), [ReadRequest(identity.id, "network.x", prepared)])
        assert bool(found) == (steps_done > 0)
        if found:
            assert not found[identity.id].complete
            KIND.delete(nets.context(identity), found[identity.id].attributes)
        names = run("ip", "-brief", "link")
        assert f"{nets.prefix}z" not in names
    nets.create(**wish)
