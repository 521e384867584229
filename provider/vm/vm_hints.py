"""What changing an argument of a VM does. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hythe.provider.protocol import Attributes, Hint
from hythe.provider.schema import Effect, Path
from hythe.provider.vm.vm_disks import blocks_of, is_owned

_RESTART_DISK = ("bus", "cache", "discard", "readonly", "serial", "device", "format")
_LIVE_NIC = ("link", "network", "network_name", "bridge")


def hint(path: Path, before: Any, after: Any, old: Attributes, new: Attributes) -> Hint | None:
    """What can be done while the VM runs, and what loses data."""
    name = path[0]
    if name == "memory":
        return _within(after, old.get("max_memory") or old.get("memory"), "more than the VM can take while it runs")
    if name == "cpus":
        return _within(after, old.get("max_cpus") or old.get("cpus"), "more than the VM can take while it runs")
    if name == "disk":
        return _disks(old, new)
    if name == "interface":
        return _interfaces(before or [], after or [])
    if name in ("image", "name", "host", "uri") and _has_data(old):
        return Hint(Effect.REPLACE, "what is on its own disks goes with it", data_loss=True)
    if name == "engine":
        return Hint(Effect.LIVE)
    return None


def _within(wanted: Any, most: Any, why: str) -> Hint:
    if isinstance(wanted, int) and isinstance(most, int) and wanted <= most:
        return Hint(Effect.LIVE)
    return Hint(Effect.RESTART, why)


def _has_data(attributes: Mapping[str, Any]) -> bool:
    """Whether there are disks of its own besides the root disk."""
    own = [b for b in blocks_of(attributes) if is_owned(b)]
    return len(own) > (1 if attributes.get("image") is not None else 0)


def _disks(old: Attributes, new: Attributes) -> Hint:
    before, after = old.get("disk") or [], new.get("disk") or []
    if not before and old.get("image") is not None:
        before = [{"device": "disk", "readonly": False}]
    if not after and new.get("image") is not None:
        after = [{"device": "disk", "readonly": False}]
    effect, reasons, lost = Effect.LIVE, [], False
    for was, shall in zip(before, after, strict=False):
        if not isinstance(shall, Mapping):
            continue
        if is_owned(was) != is_owned(shall):
            if is_owned(was):
                lost = True
                reasons.append("a disk that goes with its data")
            continue
        if isinstance(was.get("size"), int) and isinstance(shall.get("size"), int) and shall["size"] < was["size"]:
            effect, lost = Effect.REPLACE, True
            reasons.append("a disk cannot be made smaller")
        if any(was.get(n) != shall.get(n) for n in _RESTART_DISK if n != "format" or shall.get("path")):
            effect = max(effect, Effect.RESTART)
            reasons.append("how a disk is attached changes")
    for gone in before[len(after) :]:
        if is_owned(gone):
            lost = True
            reasons.append("a disk that goes with its data")
    if lost and effect is Effect.LIVE:
        # a disk's data is as lost as a machine's, whatever else goes on
        return Hint(Effect.LIVE, reasons[0], data_loss=True)
    return Hint(effect, reasons[0] if reasons else "", data_loss=lost)


def _interfaces(before: list[Any], after: list[Any]) -> Hint:
    for was, shall in zip(before, after, strict=False):
        if not isinstance(shall, Mapping):
            continue
        for name in ("model", "mtu"):
            if was.get(name) != shall.get(name):
                return Hint(Effect.RESTART, f"the {name} of an interface changes")
    return Hint(Effect.LIVE)
