"""Mounts as the engine tells them, in the configuration's terms. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hythe.provider.protocol import Attributes

Inspect = Mapping[str, Any]

_RELABEL = {"z": "shared", "Z": "private"}
_PROPAGATION = ("private", "rprivate", "shared", "rshared", "slave", "rslave")


def observe_mounts(inspect: Inspect, inherited: Inspect) -> Attributes:
    """The ``mount`` blocks of a container; unnamed volumes that its image declares are left out."""
    host = inspect["HostConfig"]
    blocks = {block["target"]: block for block in map(_requested, host.get("Mounts") or ())}
    from_image = inherited.get("Volumes") or {}
    for text in host.get("Binds") or ():
        block = _bound(text, inspect)
        if len(block.keys() - {"read_only"}) > 1 or block["target"] not in from_image:
            blocks.setdefault(block["target"], block)
    taken = bool(host.get("VolumesFrom"))
    for told in inspect.get("Mounts") or ():
        target = told["Destination"]
        if told.get("Type") == "volume" and target not in blocks and target not in from_image and not taken:
            blocks[target] = _volume(told, inspect)
    return {"mount": [blocks[target] for target in sorted(blocks)]} if blocks else {}


def _requested(told: Inspect) -> dict[str, Any]:
    out: dict[str, Any] = {"target": told["Target"]}
    if told.get("Type") == "tmpfs":
        out["tmpfs"] = True
        options = told.get("TmpfsOptions") or {}
        if options.get("SizeBytes"):
            out["size"] = options["SizeBytes"]
        if options.get("Mode"):
            out["mode"] = f"{options['Mode']:04o}"
    elif told.get("Type") == "bind":
        out["source"] = told["Source"]
        if told.get("Consistency") not in (None, "", "default"):
            out["consistency"] = told["Consistency"]
        propagation = (told.get("BindOptions") or {}).get("Propagation")
        if propagation:
            out["propagation"] = propagation
    else:
        if told.get("Source"):
            out["volume"] = told["Source"]
        if (told.get("VolumeOptions") or {}).get("NoCopy"):
            out["no_copy"] = True
    if told.get("ReadOnly"):
        out["read_only"] = True
    return out


def _bound(text: str, inspect: Inspect) -> dict[str, Any]:
    """A mount in its old form, ``source:target:options``."""
    source, _, rest = text.partition(":")
    target, _, options = rest.partition(":")
    given = [o for o in options.split(",") if o]
    out: dict[str, Any] = {"target": target or source}
    mounts = inspect.get("Mounts") or ()
    told: Inspect = next((m for m in mounts if m["Destination"] == out["target"]), {})
    if source.startswith("/"):
        out["source"] = source
        for option in given:
            if option in _RELABEL:
                out["selinux"] = _RELABEL[option]
            if option in _PROPAGATION and option != "rprivate":
                out["propagation"] = option
    elif not _is_unnamed(source):
        out["volume"] = source
    if "ro" in given or (told and told.get("RW") is False):
        out["read_only"] = True
    return out


def _volume(told: Inspect, inspect: Inspect) -> dict[str, Any]:
    out: dict[str, Any] = {"target": told["Destination"]}
    if told.get("Name") and not _is_unnamed(told["Name"]):
        out["volume"] = told["Name"]
    if told.get("RW") is False:
        out["read_only"] = True
    return out


def _is_unnamed(name: str) -> bool:
    return len(name) == 64 and all(c in "0123456789abcdef" for c in name)
