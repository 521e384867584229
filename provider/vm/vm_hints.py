"""What changing an argument of a VM does. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hythe.provider.protocol import Attributes, Hint
from hythe.provider.schema import Effect, Path
from hythe.provider.vm.vm_align import align_disks, align_nics, is_owned, root_index
from hythe.provider.vm.vm_disks import blocks_of, bus_of

_RESTART_DISK = ("bus", "cache", "discard", "readonly", "serial", "device", "format")
_RESTART_NIC = ("model", "mtu")
_NO_HOTPLUG = ("sata", "ide")
_REPLACED = frozenset(
    {
        *("image", "name", "host", "uri", "firmware", "user_data", "network_config", "meta_data"),
        *("hostname", "user", "ssh_keys", "cloud_init"),
    }
)
_NOT_RUNNING = "it does not run"
_RESTARTED = frozenset(
    {
        *("max_cpus", "cpu", "max_memory", "machine", "accelerator", "kernel", "initrd", "cmdline", "graphics"),
        *("rng", "guest_agent", "watchdog", "filesystem"),
    }
)


def hint(path: Path, before: Any, after: Any, old: Attributes, new: Attributes) -> Hint | None:
    """What can be done while the VM runs, and what loses data."""
    said = _hint(str(path[0]), before, after, old, new)
    restarts = said.effect is Effect.RESTART if said is not None else path[0] in _RESTARTED
    if restarts and old.get("running") is False:
        return Hint(Effect.LIVE, _NOT_RUNNING, said.data_loss if said is not None else False)
    return said


def _hint(name: str, before: Any, after: Any, old: Attributes, new: Attributes) -> Hint | None:
    if name == "memory":
        return _within(after, old.get("max_memory") or old.get("memory"), "more than the VM can take while it runs")
    if name == "cpus":
        return _processors(before, after, old)
    if name == "running":
        return Hint(Effect.RESTART, "it is shut down") if after is False else Hint(Effect.LIVE)
    if name == "disk":
        return _disks(old, new)
    if name == "interface":
        return _interfaces(before or [], after or [])
    if name == "hostdev":
        return _host_devices(before or [], after or [])
    if name in _REPLACED and _has_data(old):
        return Hint(Effect.REPLACE, "what is on its own disks goes with it", data_loss=True)
    return None


def _processors(before: Any, after: Any, old: Attributes) -> Hint:
    if isinstance(after, int) and isinstance(before, int) and after < before:
        if not old.get("max_cpus"):
            return Hint(Effect.RESTART, "it has no `max_cpus`, so its processors are fixed while it runs")
        if old.get("accelerated_by") == "tcg":
            # QEMU 7.2 gives up when one is added again later
            return Hint(Effect.RESTART, "emulated processors cannot be taken away while it runs")
    return _within(after, old.get("max_cpus") or before, "more than the VM can take while it runs")


def _within(wanted: Any, most: Any, why: str) -> Hint:
    if isinstance(wanted, int) and isinstance(most, int) and wanted <= most:
        return Hint(Effect.LIVE)
    return Hint(Effect.RESTART, why)


def _has_data(attributes: Mapping[str, Any]) -> bool:
    """Whether there are disks of its own besides the root disk."""
    own = [b for b in blocks_of(attributes) if is_owned(b)]
    return len(own) > (1 if attributes.get("image") is not None else 0)


def _disks(old: Attributes, new: Attributes) -> Hint:
    before = blocks_of(old)
    after = [b for b in blocks_of(new) if isinstance(b, Mapping)]
    placed = align_disks(before, after)
    if old.get("image") is not None and root_index(after) is None:
        return Hint(Effect.REPLACE, "its root disk goes", data_loss=_has_data(old))
    effect, why, lost = Effect.LIVE, "", False
    for at, shall in zip(placed, after, strict=True):
        if at is None:
            if bus_of(shall) in _NO_HOTPLUG:
                effect, why = max(effect, Effect.RESTART), why or f"{bus_of(shall)} disks cannot be added meanwhile"
            continue
        was = before[at]
        if isinstance(was.get("size"), int) and isinstance(shall.get("size"), int) and shall["size"] < was["size"]:
            return Hint(Effect.REPLACE, "a disk cannot be made smaller", data_loss=True)
        if any(_differs(was, shall, n) for n in _RESTART_DISK):
            effect, why = max(effect, Effect.RESTART), why or "how a disk is attached changes"
    for gone in (before[at] for at in range(len(before)) if at not in placed):
        if is_owned(gone):
            lost, why = True, "a disk of its own goes with its data"
        if bus_of(gone) in _NO_HOTPLUG:
            effect = max(effect, Effect.RESTART)
    return Hint(effect, why, data_loss=lost)


def _differs(was: Mapping[str, Any], shall: Mapping[str, Any], name: str) -> bool:
    if name == "bus":
        return bus_of(was) != bus_of(shall)
    if name == "format":
        return shall.get("path") is not None and (was.get(name) or "raw") != (shall.get(name) or "raw")
    return bool((was.get(name) or None) != (shall.get(name) or None))


def _host_devices(before: Any, after: Any) -> Hint:
    def others(devices: Any) -> list[Any]:
        return [d for d in devices if not isinstance(d, Mapping) or not isinstance(d.get("usb"), str)]

    if isinstance(after, list) and others(before) == others(after):
        return Hint(Effect.LIVE)
    goes = isinstance(after, list) and all(device in others(before) for device in others(after))
    return Hint(Effect.RESTART, f"a PCI device is {'taken back' if goes else 'handed over'} while it is off")


def _interfaces(before: list[Any], after: Any) -> Hint:
    wanted = [b for b in after if isinstance(b, Mapping)] if isinstance(after, list) else []
    for at, shall in zip(align_nics(before, wanted), wanted, strict=True):
        if at is None:
            continue
        for name in _RESTART_NIC:
            if before[at].get(name) != shall.get(name):
                return Hint(Effect.RESTART, f"the {name} of an interface changes")
    return Hint(Effect.LIVE)
