"""From attributes to what the engine is asked to create. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hythe.provider.container.container_blocks import span
from hythe.provider.container.shared_network import DNS
from hythe.provider.protocol import Attributes, Referent
from hythe.provider.units import duration_seconds

NANO = 1_000_000_000
DEFAULT_GRACE = 10
"""Seconds between the stop signal and the end by force."""


@dataclass(frozen=True, slots=True)
class Membership:
    """One network of a container: the block, the recorded key of it, and the engine's name and id for it."""

    block: Mapping[str, Any]
    key: str
    name: str
    id: str | None

    @property
    def handle(self) -> str:
        """What requests name the network by: its id where known, for names need not be unique."""
        return self.id or self.name


@dataclass(frozen=True, slots=True)
class Links:
    """What references of a container stand for: its image, networks, and volume names by mount target.

    ``default_network`` is the one joined without any. ``shared`` are networks of the hypervisor among them, and ``dns``
    the name server that they bring.
    """

    image: str
    networks: Sequence[Membership]
    volumes: Mapping[str, str]
    default_network: str
    shared: Sequence[Referent] = ()
    dns: str | None = None


_CONFIG = {
    "Cmd": "command",
    "Entrypoint": "entrypoint",
    "WorkingDir": "working_dir",
    "User": "user",
    "Hostname": "hostname",
    "Domainname": "domainname",
    "Tty": "tty",
    "OpenStdin": "stdin_open",
    "StopSignal": "stop_signal",
    "MacAddress": "mac_address",
}
"""Fields of a container's Config that are arguments as they are."""

HOST_CONFIG = {
    "PublishAllPorts": "publish_all",
    "Dns": "dns",
    "DnsSearch": "dns_search",
    "DnsOptions": "dns_options",
    "ExtraHosts": "extra_hosts",
    "Links": "links",
    "VolumesFrom": "volumes_from",
    "Tmpfs": "tmpfs",
    "ReadonlyRootfs": "read_only",
    "ShmSize": "shm_size",
    "StorageOpt": "storage_opts",
    "GroupAdd": "group_add",
    "CapAdd": "cap_add",
    "CapDrop": "cap_drop",
    "SecurityOpt": "security_opt",
    "Sysctls": "sysctls",
    "Privileged": "privileged",
    "Init": "init",
    "IpcMode": "ipc_mode",
    "PidMode": "pid_mode",
    "UTSMode": "uts_mode",
    "UsernsMode": "userns_mode",
    "CgroupnsMode": "cgroupns_mode",
    "CgroupParent": "cgroup_parent",
    "Runtime": "runtime",
    "OomScoreAdj": "oom_score_adj",
    "OomKillDisable": "oom_kill_disable",
    "MemorySwappiness": "memory_swappiness",
    "KernelMemory": "kernel_memory",
    "CpuRealtimePeriod": "cpu_rt_period",
    "CpuRealtimeRuntime": "cpu_rt_runtime",
    "DeviceCgroupRules": "device_cgroup_rules",
    "Annotations": "annotations",
}
"""Fields of a container's HostConfig that are arguments as they are."""

LIMITS = {
    "Memory": "memory",
    "MemoryReservation": "memory_reservation",
    "MemorySwap": "memory_swap",
    "CpuShares": "cpu_shares",
    "CpuPeriod": "cpu_period",
    "CpuQuota": "cpu_quota",
    "CpusetCpus": "cpuset_cpus",
    "CpusetMems": "cpuset_mems",
    "PidsLimit": "pids_limit",
    "BlkioWeight": "blkio_weight",
}
"""Fields of HostConfig that the engine can change while the container runs (and NanoCpus)."""

RATES = {
    "BlkioDeviceReadBps": "device_read_bps",
    "BlkioDeviceWriteBps": "device_write_bps",
    "BlkioDeviceReadIOps": "device_read_iops",
    "BlkioDeviceWriteIOps": "device_write_iops",
}


def create_body(attributes: Attributes, links: Links, marks: Mapping[str, str]) -> dict[str, Any]:
    """The body of a create request; ``marks`` are the labels of ownership."""
    body: dict[str, Any] = {theirs: attributes[ours] for theirs, ours in _CONFIG.items() if ours in attributes}
    body["Image"] = links.image
    body["Labels"] = {**attributes.get("labels", {}), **marks}
    if "env" in attributes:
        body["Env"] = [f"{k}={v}" for k, v in sorted(attributes["env"].items())]
    # said always: Podman takes none to mean no time at all
    body["StopTimeout"] = math.ceil(duration_seconds(attributes.get("stop_grace", DEFAULT_GRACE)))
    if attributes.get("stdin_open") and attributes.get("attach"):
        body["StdinOnce"] = True
    if attributes.get("healthcheck"):
        body["Healthcheck"] = health_body(attributes["healthcheck"])
    exposed, bindings = _ports(attributes)
    if exposed:
        body["ExposedPorts"] = exposed
    host: dict[str, Any] = {theirs: attributes[ours] for theirs, ours in HOST_CONFIG.items() if ours in attributes}
    host.update(limits_body(attributes, attributes.keys()))
    host.update(_devices(attributes))
    host.update(_mounts(attributes, links))
    if bindings:
        host["PortBindings"] = bindings
    if "restart" in attributes:
        host["RestartPolicy"] = restart_body(attributes["restart"])
    if "log" in attributes:
        log = attributes["log"]
        host["LogConfig"] = {"Type": log.get("driver", ""), "Config": log.get("options", {})}
    if "ulimit" in attributes:
        host["Ulimits"] = [
            {"Name": u["name"], "Soft": u["soft"], "Hard": u.get("hard", u["soft"])} for u in attributes["ulimit"]
        ]
    if links.dns is not None:
        host["Dns"] = [links.dns]
        body["Labels"][DNS] = links.dns
    body["HostConfig"] = host
    _first_network(body, attributes, links)
    return body


def _first_network(body: dict[str, Any], attributes: Attributes, links: Links) -> None:
    """Older engines take one network at creation; the others are connected before the start.

    A MAC address is Config's business before API 1.44, and the endpoint's from then on and with Podman.
    """
    mac = attributes.get("mac_address")
    if links.networks:
        first = links.networks[0]
        mac = first.block.get("mac_address", mac)
        endpoint = endpoint_body({**first.block, **({"mac_address": mac} if mac else {})})
        body["HostConfig"]["NetworkMode"] = first.handle
        body["NetworkingConfig"] = {"EndpointsConfig": {first.handle: endpoint}}
    elif mac and links.default_network:
        body["HostConfig"]["NetworkMode"] = links.default_network
        body["NetworkingConfig"] = {"EndpointsConfig": {links.default_network: {"MacAddress": mac}}}
    if mac:
        body["MacAddress"] = mac
    if "network_mode" in attributes:
        body["HostConfig"]["NetworkMode"] = attributes["network_mode"]


def endpoint_body(block: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of one membership as the engine takes them."""
    ipam = {
        "IPv4Address": block.get("ipv4_address"),
        "IPv6Address": block.get("ipv6_address"),
        "LinkLocalIPs": block.get("link_local_ips"),
    }
    out: dict[str, Any] = {}
    if given := {k: v for k, v in ipam.items() if v}:
        out["IPAMConfig"] = given
    for theirs, ours in (("Aliases", "aliases"), ("MacAddress", "mac_address"), ("DriverOpts", "driver_opts")):
        if block.get(ours):
            out[theirs] = block[ours]
    return out


def health_body(block: Mapping[str, Any]) -> dict[str, Any]:
    """A health check as the engine takes it; what is left out is inherited from the image."""
    if block.get("disable"):
        return {"Test": ["NONE"]}
    out: dict[str, Any] = {"Test": block.get("test", [])}
    for theirs, ours in (("Interval", "interval"), ("Timeout", "timeout"), ("StartPeriod", "start_period")):
        if ours in block:
            out[theirs] = int(duration_seconds(block[ours]) * NANO)
    if "retries" in block:
        out["Retries"] = block["retries"]
    return out


def restart_body(policy: str) -> dict[str, Any]:
    """A restart policy as the engine takes it."""
    name, _, count = policy.partition(":")
    return {"Name": name, "MaximumRetryCount": int(count or 0)}


def limits_body(attributes: Attributes, names: Any) -> dict[str, Any]:
    """Those limits of ``names`` that are set, for a create or update request.

    Memory and swap go together: the engine refuses more memory than the swap limit it has recorded,
    which is twice the memory when nothing was said.
    """
    out = {theirs: attributes[ours] for theirs, ours in LIMITS.items() if ours in names and ours in attributes}
    if "cpus" in names and "cpus" in attributes:
        out["NanoCpus"] = int(attributes["cpus"] * NANO)
    if ("Memory" in out or "MemorySwap" in out) and "memory" in attributes:
        out["Memory"] = attributes["memory"]
        out["MemorySwap"] = attributes.get("memory_swap", 2 * int(attributes["memory"]))
    return out


def _ports(attributes: Attributes) -> tuple[dict[str, Any], dict[str, list[dict[str, str]]]]:
    exposed: dict[str, Any] = {}
    for text in attributes.get("expose", ()):
        ports, _, protocol = text.partition("/")
        first, last = span(ports)
        exposed |= {f"{port}/{protocol}": {} for port in range(first, last + 1)}
    bindings: dict[str, list[dict[str, str]]] = {}
    for block in attributes.get("port", ()):
        for port, host in port_pairs(block):
            key = f"{port}/{block['protocol']}"
            exposed[key] = {}
            bindings.setdefault(key, []).append({"HostIp": block.get("ip", ""), "HostPort": host})
    return exposed, bindings


def port_pairs(block: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Each port inside with the host's port for it, '' where the engine chooses."""
    first, last = span(block["container"])
    host = block.get("host")
    if host is None or first == last:
        return [(port, "" if host is None else str(host)) for port in range(first, last + 1)]
    base = span(host)[0]
    return [(port, str(base + port - first)) for port in range(first, last + 1)]


def _devices(attributes: Attributes) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if "device" in attributes:
        out["Devices"] = [
            {
                "PathOnHost": d["host"],
                "PathInContainer": d.get("container", d["host"]),
                "CgroupPermissions": d["permissions"],
            }
            for d in attributes["device"]
        ]
    requests = [
        {
            "Driver": r.get("driver", ""),
            "Count": r.get("count", 0),
            "DeviceIDs": r.get("device_ids"),
            "Capabilities": [r.get("capabilities", ["gpu"])],
            "Options": r.get("options", {}),
        }
        for r in attributes.get("device_request", ())
    ]
    if "gpus" in attributes:
        requests.append(_gpus(attributes["gpus"]))
    if requests:
        out["DeviceRequests"] = requests
    for theirs, ours in RATES.items():
        if ours in attributes:
            out[theirs] = [{"Path": r["path"], "Rate": r["rate"]} for r in attributes[ours]]
    if "blkio_weight_device" in attributes:
        out["BlkioWeightDevice"] = [
            {"Path": w["path"], "Weight": w["weight"]} for w in attributes["blkio_weight_device"]
        ]
    return out


def _gpus(text: str) -> dict[str, Any]:
    if text.startswith("device="):
        ids = text.removeprefix("device=").split(",")
        return {"Driver": "", "Count": 0, "DeviceIDs": ids, "Capabilities": [["gpu"]], "Options": {}}
    count = -1 if text == "all" else int(text)
    return {"Driver": "", "Count": count, "DeviceIDs": None, "Capabilities": [["gpu"]], "Options": {}}


def _mounts(attributes: Attributes, links: Links) -> dict[str, Any]:
    mounts: list[dict[str, Any]] = []
    binds: list[str] = []
    for block in attributes.get("mount", ()):
        if block.get("selinux") or block.get("create_source"):
            binds.append(_bind(block))
        else:
            mounts.append(_mount(block, links))
    out: dict[str, Any] = {"Mounts": mounts} if mounts else {}
    if binds:
        out["Binds"] = binds
    return out


def _bind(block: Mapping[str, Any]) -> str:
    """The old form, which alone can relabel, and makes missing directories."""
    relabel = {"shared": "z", "private": "Z"}.get(block.get("selinux", ""))
    options = [relabel, "ro" if block.get("read_only") else None, block.get("propagation")]
    text = ",".join(o for o in options if o)
    return f"{block['source']}:{block['target']}" + (f":{text}" if text else "")


def _mount(block: Mapping[str, Any], links: Links) -> dict[str, Any]:
    out: dict[str, Any] = {"Target": block["target"], "ReadOnly": bool(block.get("read_only"))}
    if block.get("tmpfs"):
        out["Type"] = "tmpfs"
        options = {"SizeBytes": block.get("size"), "Mode": int(block["mode"], 8) if "mode" in block else None}
        if given := {k: v for k, v in options.items() if v is not None}:
            out["TmpfsOptions"] = given
    elif "source" in block:
        out |= {"Type": "bind", "Source": block["source"]}
        if "consistency" in block:
            out["Consistency"] = block["consistency"]
        if "propagation" in block:
            out["BindOptions"] = {"Propagation": block["propagation"]}
    else:
        out["Type"] = "volume"
        if "volume" in block:
            out["Source"] = links.volumes[block["target"]]
        if block.get("no_copy"):
            out["VolumeOptions"] = {"NoCopy": True}
    return out
