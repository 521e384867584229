"""What an engine would silently leave out: said instead. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hythe.diagnostic import Diagnostic, error
from hythe.provider.container.client import EngineInfo
from hythe.provider.protocol import Attributes


def _api(info: EngineInfo) -> tuple[int, ...]:
    return tuple(int(p) for p in info.api_version.split(".") if p.isdigit())


_RULES: tuple[tuple[str, Callable[[EngineInfo, Any], bool], str], ...] = (
    (
        "annotations",
        lambda info, value: info.kind == "podman" or _api(info) < (1, 43),
        "knows no annotations through this API; Docker does from API 1.43 on",
    ),
    ("kernel_memory", lambda info, value: info.cgroup_version == 2, "has no limit for kernel memory under cgroup v2"),
    (
        "memory_swappiness",
        lambda info, value: info.cgroup_version == 2,
        "has no swappiness for single containers under cgroup v2",
    ),
    (
        "memory_swap",
        lambda info, value: info.kind == "podman" and value == -1,
        "takes no unlimited swap through this API; give a size",
    ),
    ("links", lambda info, value: info.kind == "podman", "has no links; use a network, where names are found by DNS"),
    ("storage_opts", lambda info, value: info.kind == "podman", "takes no storage options through this API"),
    ("domainname", lambda info, value: info.kind == "podman", "sets no domain name; put it into `hostname`"),
)


def unsupported(attributes: Attributes, info: EngineInfo) -> list[Diagnostic]:
    """One error for each argument that this engine would ignore."""
    return [
        error(
            "Argument not supported by the engine",
            f"`{name}` has no effect here: {info.kind.capitalize()} {info.version} {reason}. Leave it out, "
            "or run the container on an engine that has it.",
        )
        for name, applies, reason in _RULES
        if attributes.get(name) and applies(info, attributes[name])
    ]
