"""What changing an argument of a container does, where that depends on the values. Pure."""

from __future__ import annotations

from typing import Any

from hythe.provider.container.container_networks import DEFAULT_NETWORKS
from hythe.provider.container.container_observe import UPDATABLE
from hythe.provider.protocol import Attributes, Hint
from hythe.provider.schema import Effect
from hythe.value import Reference

_LIMITS = frozenset(UPDATABLE) - {"name", "restart"}

_MEANS_UNSET: dict[str, tuple[Any, ...]] = {
    "restart": ("no",),
    "stop_grace": ("10s",),
    "stop_signal": ("SIGTERM", "TERM", "15"),
    "shm_size": (64 << 20,),
    "network_mode": ("default", *DEFAULT_NETWORKS),
    "oom_score_adj": (0,),
    "uts_mode": ("private",),
    "pid_mode": ("private",),
    "user": ("",),
    "log": ({},),
    "healthcheck": ({},),
}
"""Values that say what holds anyway when nothing is said."""


def hint(path: tuple[str | int, ...], before: Any, after: Any, old: Attributes, new: Attributes) -> Hint | None:
    """See :meth:`hythe.provider.protocol.Kind.hint`."""
    name = str(path[0])
    podman = str(old.get("engine", "")).startswith("podman")
    if name in _LIMITS:
        if podman:
            return Hint(Effect.REPLACE, "Podman does not keep limits that are changed on an existing container")
        if after is None and name == "memory_swap" and "memory" in new:
            return Hint(Effect.LIVE)
        if after is None and name != "pids_limit":
            return Hint(Effect.REPLACE, "the engine cannot take a limit off an existing container")
        if name == "cpus" and before is None and ("cpu_quota" in old or "cpu_period" in old):
            return Hint(Effect.REPLACE, "the engine cannot go from cpu_quota to cpus on an existing container")
        if name in ("cpu_quota", "cpu_period") and "cpus" in old:
            return Hint(Effect.REPLACE, "the engine cannot go from cpus to cpu_quota on an existing container")
    if name == "restart" and podman:
        return Hint(Effect.REPLACE, "Podman cannot change the restart policy of an existing container")
    if name == "network":
        return _network(before or [], after if isinstance(after, list) else [])
    if name == "running":
        return Hint(Effect.RESTART if after is False else Effect.LIVE)
    if name == "image" and _names_reference(before, after):
        return Hint(Effect.LIVE, "a name and a reference: it stays when both mean the same image")
    if name == "mount" and isinstance(after, list) and _same_but_references(before or [], after):
        return Hint(Effect.LIVE, "a name and a reference: it stays when both mean the same volume")
    return None


def equal(path: tuple[str | int, ...], before: Any, after: Any, old: Attributes, new: Attributes) -> bool:
    """See :meth:`hythe.provider.protocol.Kind.equal`."""
    name = str(path[0])
    if before is None or after is None:
        given = after if before is None else before
        if given is False or given in ({}, []):
            return name not in ("entrypoint", "command")
        if name == "pids_limit":
            return bool(given == -1) and not str(old.get("engine", "")).startswith("podman")
        if name == "memory_swap":
            memory = new.get("memory") if before is None else old.get("memory")
            return memory is not None and given == 2 * memory and old.get("memory") == new.get("memory")
        return given in _MEANS_UNSET.get(name, ())
    if name == "image" and isinstance(before, str) and isinstance(after, str):
        return full_name(before) == full_name(after)
    if name == "mac_address":
        return str(before).lower() == str(after).lower()
    if name == "port":
        return _port_set(before) == _port_set(after)
    return False


def full_name(image: str) -> str:
    """An image's name with registry and tag: Podman adds them to short names, Docker leaves them away."""
    if image.startswith("sha256:"):
        return image
    path, at, digest = image.removeprefix("localhost/").partition("@")
    first, slash, _ = path.partition("/")
    if not slash or not (set(".:") & set(first)):
        path = f"docker.io/{path}" if slash else f"docker.io/library/{path}"
    if not at and ":" not in path.rpartition("/")[2]:
        path += ":latest"
    return path + at + digest


def _port_set(blocks: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    from hythe.provider.container.container_spec import port_pairs

    return sorted(
        (str(inside), host, str(block.get("ip", "")), str(block.get("protocol", "tcp")))
        for block in blocks
        for inside, host in port_pairs(block)
    )


def _network(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> Hint:
    was = {str(b["network"]): b for b in before}
    for block in after:
        known = was.get(str(block["network"])) if isinstance(block, dict) and "network" in block else None
        if known is not None and known.get("mac_address") != block.get("mac_address"):
            return Hint(Effect.REPLACE, "the engine cannot change a MAC address on an existing container")
    return Hint(Effect.LIVE)


def _names_reference(before: Any, after: Any) -> bool:
    kinds = {isinstance(before, Reference), isinstance(after, Reference)}
    if kinds != {True, False} or before is None or after is None:
        return False
    reference = before if isinstance(before, Reference) else after
    name = after if isinstance(before, Reference) else before
    return isinstance(name, str) and isinstance(reference.id, str)


def _same_but_references(before: list[Any], after: list[Any]) -> bool:
    """Whether two lists of mounts differ only in that volumes are named here and referred to there."""
    if len(before) != len(after) or not all(isinstance(b, dict) for b in (*before, *after)):
        return False
    other = {b.get("target"): b for b in after}
    for block in before:
        there = other.get(block.get("target"))
        if there is None or {k: v for k, v in block.items() if k != "volume"} != {
            k: v for k, v in there.items() if k != "volume"
        }:
            return False
        was, now = block.get("volume"), there.get("volume")
        if was != now and not _names_reference(was, now):
            return False
    return True
