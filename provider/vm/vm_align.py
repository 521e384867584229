"""Which disk and which interface of the configuration is which of those that a VM has. Pure.

The configuration's blocks have no names, so they are told by what they stand for, and else by their order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from hythe.value import Reference

Block: TypeAlias = Mapping[str, Any]


def is_owned(block: Block) -> bool:
    """Whether a disk is made with the VM and goes with it."""
    return block.get("volume") is None and block.get("path") is None and block.get("device", "disk") == "disk"


def root_index(blocks: Sequence[Block]) -> int | None:
    """Which disk is the layer on the image."""
    return next((at for at, b in enumerate(blocks) if is_owned(b)), None)


def align_disks(there: Sequence[Block], wanted: Sequence[Block]) -> list[int | None]:
    """For each wanted disk its place in ``there``; None for one that is new.

    Disks from elsewhere are told by what they come from. Of the VM's own the first is always the first; the others
    are told by their serial number, by their size, and by their order.
    """
    out: list[int | None] = [None] * len(wanted)
    left = set(range(len(there)))
    first = root_index(there), root_index(wanted)
    if first[0] is not None and first[1] is not None:
        out[first[1]] = first[0]
        left.discard(first[0])
    own = {at for at in left if is_owned(there[at])}
    other = left - own
    _pair(out, there, wanted, other, _source, lambda b: not is_owned(b))
    for key in (_serial, _size, _anything):
        _pair(out, there, wanted, own, key, is_owned)
    return out


def align_nics(there: Sequence[Block], wanted: Sequence[Block]) -> list[int | None]:
    """For each wanted interface its place in ``there``; None for one that is new.

    They are told by the MAC address that the configuration gives, by what they are connected to, and by their order.
    One that shall have another MAC address is a new one.
    """
    out: list[int | None] = [None] * len(wanted)
    left = set(range(len(there)))
    _pair(out, there, wanted, left, lambda b: b.get("mac"), lambda b: bool(b.get("mac")))
    for key in (_connection, _anything):
        _pair(out, there, wanted, left, key, lambda b: not b.get("mac"))
    return out


def _pair(
    out: list[int | None],
    there: Sequence[Block],
    wanted: Sequence[Block],
    left: set[int],
    key: Callable[[Block], Any],
    among: Callable[[Block], bool],
) -> None:
    """Pair, in order, what has the same key; what is paired is taken out of ``left``."""
    for at, block in enumerate(wanted):
        if out[at] is not None or not isinstance(block, Mapping) or not among(block):
            continue
        told = key(block)
        if told is None:
            continue
        found = next((n for n in sorted(left) if key(there[n]) == told), None)
        if found is not None:
            out[at] = found
            left.discard(found)


def _source(block: Block) -> Any:
    volume = block.get("volume")
    if isinstance(volume, Reference):
        return "volume", volume.id if isinstance(volume.id, str) else volume.address
    return "file", volume or block.get("path")


def _serial(block: Block) -> Any:
    return block.get("serial")


def _size(block: Block) -> Any:
    size = block.get("size")
    return size if isinstance(size, int) else None


def _anything(block: Block) -> Any:
    return True


def _connection(block: Block) -> Any:
    network = block.get("network")
    if isinstance(network, Reference):
        return "network", network.id if isinstance(network.id, str) else network.address
    for name in ("network", "bridge", "direct", "user"):
        if isinstance(block.get(name), (str, bool)):
            return name, block[name]
    return None
