"""Which disk and which interface is which."""

from __future__ import annotations

from typing import Any

import pytest

from hythe.provider.vm.vm_align import align_disks, align_nics
from hythe.value import Reference

ROOT = {"size": 10}
LAN, DMZ = (Reference("network", f"network.{n}", f"id-{n}") for n in ("lan", "dmz"))


@pytest.mark.parametrize(
    ("there", "wanted", "placed"),
    [
        ([ROOT], [ROOT], [0]),
        ([ROOT], [{"size": 20}], [0]),
        ([ROOT], [ROOT, {"size": 1}], [0, None]),
        ([ROOT, {"size": 1}, {"size": 2}], [ROOT, {"size": 2}], [0, 2]),
        ([ROOT, {"size": 1}, {"size": 2}], [ROOT, {"size": 3}, {"size": 2}], [0, 1, 2]),
        ([ROOT, {"size": 1, "serial": "a"}, {"size": 1, "serial": "b"}], [ROOT, {"size": 5, "serial": "b"}], [0, 2]),
        ([{"size": 1}, ROOT], [ROOT, {"size": 1}], [0, 1]),
        ([{"path": "/a"}, ROOT], [ROOT, {"path": "/b"}, {"path": "/a"}], [1, None, 0]),
        ([ROOT, {"volume": LAN}], [ROOT, {"volume": DMZ}, {"volume": LAN}], [0, None, 1]),
        ([], [ROOT], [None]),
        ([ROOT], [], []),
    ],
)
def test_disks(there: list[dict[str, Any]], wanted: list[dict[str, Any]], placed: list[int | None]) -> None:
    assert align_disks(there, wanted) == placed


@pytest.mark.parametrize(
    ("there", "wanted", "placed"),
    [
        ([{"network": LAN, "mac": "a"}], [{"network": LAN}], [0]),
        ([{"network": LAN, "mac": "a"}], [{"network": DMZ}], [0]),
        ([{"network": LAN, "mac": "a"}, {"network": DMZ, "mac": "b"}], [{"network": DMZ}], [1]),
        ([{"network": LAN, "mac": "a"}], [{"network": LAN, "mac": "b"}], [None]),
        ([{"network": LAN, "mac": "a"}, {"bridge": "x", "mac": "b"}], [{"bridge": "x", "mac": "a"}, {}], [0, 1]),
        ([{"user": True, "mac": "a"}], [{"user": True}, {"user": True}], [0, None]),
    ],
)
def test_interfaces(there: list[dict[str, Any]], wanted: list[dict[str, Any]], placed: list[int | None]) -> None:
    assert align_nics(there, wanted) == placed
