"""Arguments of networks, and how engines' words are read."""

from __future__ import annotations

from typing import Any

import pytest

from hythe.provider.container.network import Network
from hythe.provider.container.network_read import from_docker, from_podman, podman_options
from hythe.provider.network import Network as TwoSided

KIND = Network()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"name": "a b"}, "not the name of a network"),
        ({"name": "host"}, "engine's own network"),
        ({"mode": "nat"}, "belong to the hypervisor"),
        ({"mode": "magic"}, "not a mode"),
        ({"cidr": "10.0.0.1/24"}, "did you mean 10.0.0.0/24"),
        ({"cidr": "ten"}, "not a range"),
        ({"gateway": "10.0.0.1"}, "`gateway` needs `cidr`"),
        ({"cidr": "10.0.0.0/24", "gateway": "10.0.1.1"}, "not inside"),
        ({"cidr": "10.0.0.0/24", "ip_range": "10.0.1.0/25"}, "not inside"),
        ({"cidr": "10.0.0.0/24", "subnet": [{"cidr": "10.1.0.0/24"}]}, "not both"),
        ({"subnet": [{"cidr": "10.1.0.0/24"}, {"cidr": "10.1.0.0/25"}]}, "overlap"),
        ({"options": {"parent": "eth0"}}, "set `mode`"),
        ({"labels": {"dev.hythe.id": "x"}}, "reserved"),
    ],
)
def test_wrong_arguments_are_told(arguments: dict[str, Any], word: str) -> None:
    _, problems = KIND.schema.decode(arguments)
    assert any(word in text for _, text in problems), problems


def test_docker_network_in_our_terms() -> None:
    item = {
        "Name": "n",
        "Id": "1",
        "Driver": "bridge",
        "Labels": {"a": "b", "dev.hythe.id": "x"},
        "IPAM": {"Config": [{"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.1/24"}, {"Subnet": "fd00::/64"}]},
    }
    told = from_docker(item, {"cidr": "10.0.0.0/24"})
    assert (told["cidr"], told["gateway"], told["labels"]) == ("10.0.0.0/24", "10.0.0.1", {"a": "b"})
    assert told["subnets"] == ["10.0.0.0/24", "fd00::/64"]
    assert "subnet" not in told
    assert from_docker(item, {})["subnet"] == [{"cidr": "10.0.0.0/24", "gateway": "10.0.0.1"}, {"cidr": "fd00::/64"}]


def test_podman_network_in_our_terms() -> None:
    item = {
        "name": "n",
        "id": "1",
        "driver": "macvlan",
        "network_interface": "eth0",
        "subnets": [
            {
                "subnet": "10.0.0.0/24",
                "gateway": "10.0.0.1",
                "lease_range": {"start_ip": "10.0.0.129", "end_ip": "10.0.0.255"},
            }
        ],
        "options": {"mtu": "1400", "isolate": "true"},
    }
    wish = {"parent": "eth0", "com.docker.network.driver.mtu": "1400"}
    told = from_podman(item, {"options": wish, "attachable": True})
    assert told["options"] == wish
    assert told["ip_range"] == "10.0.0.128/25"
    assert told["attachable"]
    assert podman_options({"ipvlan_mode": "l3"}) == {"mode": "l3"}


BOTH = TwoSided()
NAT: dict[str, Any] = {"mode": "nat", "cidr": "10.0.0.0/24"}
TO: dict[str, Any] = {"host": 80, "address": "10.0.0.9"}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"mode": "nat"}, "needs `cidr`"),
        ({"dhcp": {}}, "it is for nat, routed, isolated"),
        ({**NAT, "labels": {"a": "b"}}, "it is for bridge"),
        ({**NAT, "internal": True}, 'mode = "isolated"'),
        ({**NAT, "cidr": "fd00::/64"}, "IPv4 range"),
        ({**NAT, "lease": [{"mac": "x", "address": "10.0.0.9"}]}, "not a MAC address"),
        ({**NAT, "lease": [{"mac": "52:54:00:0:0:1", "address": "10.0.0.9"}]}, "not a MAC address"),
        ({**NAT, "lease": [{"mac": "52:54:00:00:00:01", "address": "10.0.1.9"}]}, "not inside"),
        ({**NAT, "dhcp": {"enabled": False}, "lease": [{"mac": "52:54:00:00:00:01", "address": "10.0.0.9"}]}, "lease"),
        ({**NAT, "bridge": "a-very-long-interface-name"}, "not the name of an interface"),
        ({**NAT, "forward": [{**TO, "address": "10.1.0.9"}]}, "forward.address 10.1.0.9 is not inside"),
        ({**NAT, "forward": [TO, {**TO, "guest": 81}]}, "two `forward` blocks"),
        ({**NAT, "forward": [{**TO, "host": 0}]}, "greater than or equal"),
        ({**NAT, "mode": "isolated", "forward": [TO]}, "nothing leads into"),
        ({**NAT, "uri": "qemu+ssh://far/system", "forward": [TO]}, "by `host`, not by `uri`"),
        ({**NAT, "host_bridge": {"name": "br0"}}, 'goes with mode = "bridge"'),
        ({"cidr": "10.0.0.0/24", "host_bridge": {"name": "br0"}}, "from the network outside"),
        ({"host_bridge": {"name": "br0"}, "uri": "qemu:///session"}, "by `host`, not by `uri`"),
        ({"host_bridge": {"name": "br0", "stp": True}}, "a bridge that Hythe makes"),
        ({"host_bridge": {"addresses": ["10.0.0.1"]}}, "no prefix"),
        ({"host_bridge": {"vlan": {"id": 4095, "parent": "eth0"}}}, "less than or equal"),
    ],
)
def test_wrong_arguments_of_the_hypervisor_are_told(arguments: dict[str, Any], word: str) -> None:
    _, problems = BOTH.schema.decode(arguments)
    assert any(word in text for _, text in problems), problems


@pytest.mark.parametrize(
    ("arguments", "side"),
    [
        ({}, "engine"),
        ({"mode": "bridge"}, "engine"),
        ({"mode": "macvlan"}, "engine"),
        (NAT, "hypervisor"),
        ({"mode": "isolated"}, "hypervisor"),
        ({"mode": "bridge", "host_bridge": {"name": "br0"}}, "hypervisor"),
        ({"host_bridge": {}}, "hypervisor"),
    ],
)
def test_whose_it_is(arguments: dict[str, Any], side: str) -> None:
    out, problems = BOTH.schema.decode(arguments)
    assert problems == []
    assert BOTH.part(out) == side
