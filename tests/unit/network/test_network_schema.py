"""Arguments of networks, and how engines' words are read."""

from __future__ import annotations

from typing import Any

import pytest

from hythe.provider.container.network import Network
from hythe.provider.container.network_read import from_docker, from_podman, podman_options

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
