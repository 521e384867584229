"""From the interfaces that a host has to the bridge that it shall have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hythe.provider.host.bridge import Link, Step, argv, observe, problem, removal, steps, wish_of
from hythe.provider.protocol import Identity

UUID = "dd382d29-8ac6-5b91-a8e9-7786261a1f47"
OWN, VLAN = "hy-dd382d298a", "hv-dd382d298a"
IDENTITY = Identity("lineage", "network.office", "id1")
MARK = "hythe lineage id1 network.office"


def links(*more: Link) -> dict[str, Link]:
    return {
        link.name: link
        for link in (Link("lo"), Link("eth0", up=True, addresses=("192.0.2.5/24",)), Link("eth1"), *more)
    }


def verbs(block: dict[str, Any], *there: Link, released: tuple[str, ...] = ()) -> list[str]:
    return [f"{s.verb} {s.name}" for s in steps(links(*there), wish_of(block, IDENTITY, UUID), released)]


def test_made_of_nothing() -> None:
    """It bears its name only when it is marked, so that a killed creation is found."""
    assert verbs({"name": "br0", "ports": ["eth1"]}) == [
        f"add {OWN}",
        f"alias {OWN}",
        f"rename {OWN}",
        "master eth1",
        "up eth1",
        "up br0",
    ]
    assert verbs({"ports": []}) == [f"add {OWN}", f"alias {OWN}", f"up {OWN}"]


def test_taken_up_after_a_kill() -> None:
    assert verbs({"name": "br0", "ports": []}, Link(OWN, "bridge", MARK)) == [f"rename {OWN}", "up br0"]


def test_nothing_to_do() -> None:
    bridge = Link("br0", "bridge", MARK, up=True)
    port = Link("eth2", master="br0", up=True)
    guest = Link("vnet0", "tun", master="br0", up=True)
    assert verbs({"name": "br0", "ports": ["eth2"]}, bridge, port, guest) == []
    # a veth is a container's, unless it was ours
    veth = Link("card", "veth", master="br0", up=True)
    assert verbs({"name": "br0", "ports": ["eth2"]}, bridge, port, veth) == []
    assert verbs({"name": "br0", "ports": ["eth2"]}, bridge, port, veth, released=("card",)) == ["master card"]


def test_another_vlan_is_put_where_the_first_was() -> None:
    bridge = Link("br0", "bridge", MARK, up=True)
    vlan = Link(VLAN, "vlan", MARK, master="br0", up=True, parent="eth0", vlan=20)
    block = {"name": "br0", "vlan": {"id": 20, "parent": "eth0"}}
    assert verbs(block, bridge, vlan) == []
    assert verbs({"name": "br0", "vlan": {"id": 21, "parent": "eth0"}}, bridge, vlan) == [
        f"delete {VLAN}",
        f"add {VLAN}",
        f"alias {VLAN}",
        f"master {VLAN}",
        f"up {VLAN}",
    ]
    assert verbs({"name": "br0", "ports": []}, bridge, vlan) == [f"delete {VLAN}"]


def test_the_parent_of_a_vlan_is_brought_up() -> None:
    """The kernel refuses to bring a VLAN up whose parent is down, and takes it down with its parent."""
    block = {"name": "br0", "vlan": {"id": 20, "parent": "eth1"}}
    assert verbs(block)[3:] == ["up eth1", f"add {VLAN}", f"alias {VLAN}", f"master {VLAN}", f"up {VLAN}", "up br0"]
    bridge = Link("br0", "bridge", MARK, up=True)
    vlan = Link(VLAN, "vlan", MARK, master="br0", parent="eth1", vlan=20)
    assert observe(links(bridge, vlan), block, "br0")[0] == {}
    assert verbs(block, bridge, vlan) == ["up eth1", f"up {VLAN}"]


def test_addresses_that_go_take_others_with_them() -> None:
    bridge = Link("br0", "bridge", MARK, up=True, addresses=("10.0.0.1/24", "10.0.0.2/24", "fe80::1/64"))
    block = {"name": "br0", "addresses": ["10.0.0.2/24", "fd00::1/64"]}
    found = steps(links(bridge), wish_of(block, IDENTITY, UUID))
    assert [(s.verb, s.details["address"]) for s in found] == [
        ("no-address", "10.0.0.1/24"),
        ("address", "10.0.0.2/24"),
        ("address", "fd00::1/64"),
    ]


@pytest.mark.parametrize(
    ("block", "there", "word"),
    [
        ({"ports": ["eth0"]}, (), "addresses of its own"),
        ({"ports": ["eth9"]}, (), 'no interface "eth9"'),
        ({"vlan": {"id": 2, "parent": "eth9"}}, (), 'no interface "eth9"'),
        ({"ports": ["eth2"]}, (Link("eth2", master="br9"),), 'part of "br9"'),
        ({"name": "br0", "ports": []}, (Link("br0", "bridge"),), "did not make"),
        ({"name": "br0", "ports": []}, (Link("br0", "bridge", "hythe lineage id2 network.office"),), "did not make"),
    ],
)
def test_what_must_not_be_done(block: dict[str, Any], there: tuple[Link, ...], word: str) -> None:
    found = problem(links(*there), wish_of(block, IDENTITY, UUID), "Creating network")
    assert found is not None
    assert word in found.detail


def test_a_moved_address_is_still_ours() -> None:
    there = Link("br0", "bridge", "hythe lineage id1 network.former")
    assert problem(links(there), wish_of({"name": "br0", "ports": []}, IDENTITY, UUID), "Changing") is None


def test_removed_is_what_was_made() -> None:
    there = links(
        Link("br0", "bridge", MARK), Link(VLAN, "vlan"), Link("br1", "bridge"), Link("br2", "bridge", "hythe x y")
    )
    assert [s.name for s in removal(there, "lineage", "id1", [OWN, VLAN])] == ["br0", VLAN]


def test_observed_in_the_terms_of_the_configuration() -> None:
    bridge = Link("br0", "bridge", MARK, up=True, addresses=("10.0.0.1/24", "fe80::1/64"))
    port = Link("eth2", master="br0", up=True)
    guest = Link("vnet0", "tun", master="br0", up=True)
    block: dict[str, Any] = {"name": "br0", "ports": ["eth2"], "addresses": ["10.0.0.1/24"]}
    told, up = observe(links(bridge, port, guest), block, "br0")
    assert ({"name": "br0"} | told, up) == (block, True)
    assert observe(links(bridge, replace(port, up=False)), block, "br0")[0]["ports"] == []
    assert observe(links(), block, "br0") == ({}, False)


def test_commands() -> None:
    assert argv(Step("add", "hv-1", {"kind": "vlan", "id": 20, "parent": "eth0"})) == (
        ["ip", "link", "add", "link", "eth0", "name", "hv-1", "type", "vlan", "id", "20"]
    )
    assert argv(Step("master", "eth0", {"of": None}))[-1] == "nomaster"
    assert argv(Step("alias", "br0", {"to": "a b; c"}))[-1] == "a b; c"
