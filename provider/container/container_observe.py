"""From what the engine says of a container to attributes in the configuration's terms. Pure.

Attributes hold only what somebody chose: what the image, the daemon or Podman adds by itself is left
out. Nearly all of a container is fixed when it is made, so for the container that the state already
knows (:func:`refresh`) only what can change behind our back is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from hythe.provider.container.client import EngineInfo
from hythe.provider.container.container_mounts import observe_mounts
from hythe.provider.container.container_networks import endpoints, identify, observe_networks, refresh_networks
from hythe.provider.container.container_schema import capability
from hythe.provider.container.container_spec import DEFAULT_GRACE, HOST_CONFIG, LIMITS, NANO, RATES
from hythe.provider.container.labels import strip
from hythe.provider.container.shared_network import DNS
from hythe.provider.protocol import Attributes
from hythe.provider.units import format_duration

Inspect = Mapping[str, Any]

HYTHES_OWN = {"running": True, "must_run": True, "attach": False, "wait": True, "wait_timeout": "2m"}
"""Arguments that no engine knows, with their defaults."""

UPDATABLE = ("name", "restart", "cpus", *LIMITS.values())
"""Arguments (besides networks and whether it runs) that can change while a container exists."""

_COMPUTED = frozenset(
    ("id", "image_id", "engine", "ip_address", "addresses", "network_ids", "ports", "health", "exit_code")
)
_DEFAULT_SHM = {"docker": 64 << 20, "podman": 65_536_000}
_DEFAULT_PIDS: dict[str, tuple[int | None, ...]] = {"docker": (None, 0, -1), "podman": (None, 0, 2048)}
_PODMAN_DROPS = frozenset({"AUDIT_WRITE", "MKNOD", "NET_RAW"})
_PODMAN_TMPFS = frozenset({"rw", "rprivate", "nosuid", "nodev", "tmpcopyup"})
_PODMAN_ENV = ("container", "TERM", "HOME", "HOSTNAME", "PATH")
_DEFAULT_SIGNALS = frozenset({"", "15", "SIGTERM", "TERM"})
_SIGNALS = {1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 9: "SIGKILL", 10: "SIGUSR1", 12: "SIGUSR2", 15: "SIGTERM"}
_SIGNALS |= {28: "SIGWINCH", 37: "SIGRTMIN+3"}


def observe(inspect: Inspect, image: Inspect | None, info: EngineInfo) -> Attributes:
    """All attributes of a container; ``image`` is its image's inspection, where there still is one."""
    config, host = inspect["Config"], inspect["HostConfig"]
    inherited = (image or {}).get("Config") or {}
    out: Attributes = {
        "image": config.get("Image") or inspect.get("Image"),
        **updatable(inspect, info),
        **_process(config, inherited, inspect, info),
        **_host_config(host, info),
        **_blocks(config, host, inherited, info),
        **observe_mounts(inspect, inherited),
        **HYTHES_OWN,
        **state(inspect),
        **computed(inspect, info),
    }
    mode = network_mode(host, info)
    networks = [] if mode else observe_networks(inspect)
    if mode:
        out["network_mode"] = mode
    elif networks:
        out["network"] = networks
        out["network_ids"] = {name: identify(name, end) for name, end in endpoints(inspect).items()}
    _ports(out, config, host, inherited)
    if out.get("dns") == [(config.get("Labels") or {}).get(DNS)]:
        # it is the network's, not the container's
        out.pop("dns")
    return {k: v for k, v in out.items() if v is not None}


def updatable(inspect: Inspect, info: EngineInfo) -> Attributes:
    """What the engine can change while the container exists, networks and state excepted."""
    host = inspect["HostConfig"]
    out: Attributes = {"name": inspect["Name"].lstrip("/")}
    policy = host.get("RestartPolicy") or {}
    if policy.get("Name") not in (None, "", "no"):
        count = policy.get("MaximumRetryCount") or 0
        out["restart"] = policy["Name"] + (f":{count}" if policy["Name"] == "on-failure" and count else "")
    for theirs, ours in LIMITS.items():
        value = host.get(theirs)
        if value not in (None, 0, "", -1) or (ours in ("memory_swap", "pids_limit") and value == -1):
            out[ours] = value
    if out.get("pids_limit") in _DEFAULT_PIDS[info.kind]:
        out.pop("pids_limit", None)
    memory = out.get("memory")
    # without swap accounting the kernel knows no swap limit, and the engine then records -1
    if memory is None or out.get("memory_swap") == 2 * memory or (out.get("memory_swap") == -1 and not info.swap_limit):
        out.pop("memory_swap", None)
    if host.get("NanoCpus"):
        cpus = Decimal(host["NanoCpus"]) / NANO
        out["cpus"] = int(cpus) if cpus == int(cpus) else cpus.normalize()
        out.pop("cpu_period", None)
        out.pop("cpu_quota", None)
    return out


def refresh(before: Attributes, inspect: Inspect, info: EngineInfo) -> Attributes:
    """The attributes of the container that ``before`` records, in their recorded form where nothing changed."""
    if before.get("id") != inspect["Id"]:
        raise ValueError("not the recorded container")
    out = {k: v for k, v in before.items() if k not in _COMPUTED}
    seen = updatable(inspect, info)
    was, now = without_defaults(before, info.kind), without_defaults(seen, info.kind)
    for name in UPDATABLE:
        if was.get(name) != now.get(name):
            out.pop(name, None)
            if name in now:
                out[name] = now[name]
    networks = refresh_networks(before, inspect) if _may_join(before) else []
    if networks or "network" in before:
        out["network"] = networks
    out["running"] = _counts_as_running(before, inspect)
    return {**out, **computed(inspect, info), "network_ids": before.get("network_ids", {})}


def without_defaults(attributes: Attributes, kind: str) -> Attributes:
    """Attributes without those updatable ones that say what holds anyway."""
    out = dict(attributes)
    if out.get("restart") == "no":
        del out["restart"]
    if out.get("pids_limit") in _DEFAULT_PIDS[kind]:
        out.pop("pids_limit", None)
    if out.get("memory") is not None and out.get("memory_swap") == 2 * out["memory"]:
        del out["memory_swap"]
    return out


def _may_join(before: Attributes) -> bool:
    mode = str(before.get("network_mode", ""))
    return mode not in ("host", "none") and not mode.startswith(("container:", "slirp4netns", "pasta", "ns:"))


def _counts_as_running(before: Attributes, inspect: Inspect) -> bool:
    """A job that has ended by itself is as it should be; one that never started is not."""
    told = inspect["State"]
    if told.get("Status") in ("exited", "stopped") and not before.get("must_run", True):
        return bool(before.get("running", True))
    return bool(state(inspect)["running"])


def state(inspect: Inspect) -> Attributes:
    """Whether it runs."""
    told = inspect["State"]
    return {"running": bool(told.get("Running")) and not told.get("Paused")}


def computed(inspect: Inspect, info: EngineInfo) -> Attributes:
    """What the engine chose."""
    told, settings = inspect["State"], inspect.get("NetworkSettings") or {}
    found = {name: end.get("IPAddress") or end.get("GlobalIPv6Address") for name, end in endpoints(inspect).items()}
    addresses = {name: address for name, address in found.items() if address}
    ports = {key: int(hosts[0]["HostPort"]) for key, hosts in (settings.get("Ports") or {}).items() if hosts}
    health = (told.get("Health") or {}).get("Status")
    ended = told.get("Status") in ("exited", "dead", "stopped")
    out: Attributes = {
        "id": inspect["Id"],
        "image_id": inspect.get("Image"),
        "engine": f"{info.kind} {info.version}",
        "ip_address": settings.get("IPAddress") or next(iter(addresses.values()), None),
        "addresses": addresses,
        "ports": ports,
        "health": health if health not in ("", "none") else None,
        "exit_code": told.get("ExitCode") if ended else None,
    }
    return {k: v for k, v in out.items() if v is not None}


def network_mode(host: Inspect, info: EngineInfo) -> str | None:
    """The mode, when it is one that excludes networks."""
    mode = str(host.get("NetworkMode") or "")
    if mode in ("host", "none") or mode.startswith("container:"):
        return mode
    if info.kind == "podman" and mode.startswith(("slirp4netns", "pasta", "ns:")) and not info.rootless:
        return mode
    return None


def _process(config: Inspect, inherited: Inspect, inspect: Inspect, info: EngineInfo) -> Attributes:
    out: Attributes = {}
    short_id = inspect["Id"][:12]
    command, entrypoint = config.get("Cmd") or None, config.get("Entrypoint") or None
    if isinstance(entrypoint, str):
        entrypoint = entrypoint.split()
    if entrypoint != (inherited.get("Entrypoint") or None):
        out["entrypoint"] = entrypoint or []
        # naming an entrypoint takes the image's command away
        out["command"] = command
    elif command != (inherited.get("Cmd") or None):
        out["command"] = command or []
    out["env"] = _env(inspect, inherited, info)
    labels = strip(config.get("Labels"))
    from_image = inherited.get("Labels") or {}
    out["labels"] = {k: v for k, v in labels.items() if from_image.get(k) != v} or None
    working_dir = config.get("WorkingDir") or ""
    if working_dir not in (inherited.get("WorkingDir") or "", "" if info.kind == "docker" else "/"):
        out["working_dir"] = working_dir
    if (config.get("User") or "") != (inherited.get("User") or ""):
        out["user"] = config["User"]
    if config.get("Hostname") not in (None, "", short_id) and _own_uts(inspect):
        out["hostname"] = config["Hostname"]
    out["domainname"] = config.get("Domainname") or None
    out["tty"] = config.get("Tty") or None
    out["stdin_open"] = config.get("OpenStdin") or None
    out["stop_signal"] = _stop_signal(config.get("StopSignal"), inherited.get("StopSignal"))
    grace = config.get("StopTimeout")
    if grace not in (None, DEFAULT_GRACE):
        out["stop_grace"] = format_duration(grace)
    if config.get("MacAddress"):
        out["mac_address"] = config["MacAddress"]
    out["healthcheck"] = _healthcheck(config.get("Healthcheck"), inherited.get("Healthcheck"))
    return out


def _own_uts(inspect: Inspect) -> bool:
    host = inspect["HostConfig"]
    mode = str(host.get("NetworkMode"))
    return host.get("UTSMode") != "host" and mode != "host" and not mode.startswith("container:")


def _env(inspect: Inspect, inherited: Inspect, info: EngineInfo) -> dict[str, str] | None:
    config, short_id = inspect["Config"], inspect["Id"][:12]
    shares_names = not _own_uts(inspect)
    given = _pairs(config.get("Env"))
    from_image = _pairs(inherited.get("Env"))
    out = {k: v for k, v in sorted(given.items()) if from_image.get(k) != v}
    if info.kind == "podman":
        hostname = config.get("Hostname") or short_id
        defaults = {
            "container": ("podman", "oci"),
            "TERM": ("xterm",),
            "HOSTNAME": (hostname, short_id),
            "PATH": ("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",),
        }
        for name in _PODMAN_ENV:
            if name == "HOME" or out.get(name) in defaults[name] or (name == "HOSTNAME" and shares_names):
                out.pop(name, None)
    return out or None


def _pairs(env: Any) -> dict[str, str]:
    return dict(entry.partition("=")[::2] for entry in env or ())


def _stop_signal(value: Any, inherited: Any) -> str | None:
    name, from_image = (_SIGNALS.get(int(s), s) if (s := str(v or "")).isdigit() else s for v in (value, inherited))
    if name == from_image or (not from_image and name in _DEFAULT_SIGNALS):
        return None
    return name.upper() or None


def _healthcheck(value: Any, inherited: Any) -> dict[str, Any] | None:
    told, from_image = value or {}, inherited or {}
    test = told.get("Test") or []
    if test[:1] == ["NONE"]:
        return {"disable": True}
    out: dict[str, Any] = {}
    if test and test != (from_image.get("Test") or []):
        out["test"] = test
    for theirs, ours in (("Interval", "interval"), ("Timeout", "timeout"), ("StartPeriod", "start_period")):
        if told.get(theirs) and told[theirs] != from_image.get(theirs):
            out[ours] = format_duration(Decimal(told[theirs]) / NANO)
    if told.get("Retries") and told["Retries"] != from_image.get("Retries"):
        out["retries"] = told["Retries"]
    return out or None


def _host_config(host: Inspect, info: EngineInfo) -> Attributes:
    out: Attributes = {ours: host[theirs] for theirs, ours in HOST_CONFIG.items() if host.get(theirs)}
    for name in ("cap_add", "cap_drop"):
        if name in out:
            out[name] = sorted(map(capability, out[name]))
    if info.kind == "podman":
        _without_podmans_own(out, host)
    if out.get("shm_size") == _DEFAULT_SHM[info.kind]:
        del out["shm_size"]
    if out.get("runtime") in (info.default_runtime, "oci"):
        del out["runtime"]
    # -1 and null say nothing, and with Podman 0 neither
    swappiness = host.get("MemorySwappiness")
    least = 1 if info.kind == "podman" else 0
    out["memory_swappiness"] = swappiness if swappiness is not None and swappiness >= least else None
    _namespaces(out, host, info)
    if "host" in (out.get("ipc_mode"), out.get("pid_mode")) or out.get("privileged"):
        # the engine adds these by itself where the container shares the host's namespaces or has every right
        left = [o for o in out.get("security_opt") or () if o not in ("label=disable", "seccomp=unconfined")]
        out["security_opt"] = left or None
    return out


def _without_podmans_own(out: Attributes, host: Inspect) -> None:
    """Podman tells capabilities against Docker's set, adds options to each tmpfs, and mounts some by itself."""
    drops = [c for c in out.get("cap_drop", ()) if c not in _PODMAN_DROPS and not out.get("privileged")]
    out["cap_drop"] = drops or None
    mounts = {
        path: ",".join(o for o in options.split(",") if o not in _PODMAN_TMPFS)
        for path, options in (out.get("tmpfs") or {}).items()
    }
    if host.get("ReadonlyRootfs"):
        mounts = {p: o for p, o in mounts.items() if o or p not in ("/run", "/tmp", "/var/tmp")}  # noqa: S108
    out["tmpfs"] = mounts or None


def _namespaces(out: Attributes, host: Inspect, info: EngineInfo) -> None:
    usual = {
        "ipc_mode": ("private", "shareable", ""),
        "pid_mode": ("private", ""),
        "uts_mode": ("private", ""),
        "userns_mode": ("private", ""),
        "cgroupns_mode": ("private", "") if info.cgroup_version == 2 else ("host", ""),
    }
    for name, values in usual.items():
        if out.get(name) in values and not (name == "ipc_mode" and out[name] == "shareable" and info.kind == "docker"):
            del out[name]


def _blocks(config: Inspect, host: Inspect, inherited: Inspect, info: EngineInfo) -> Attributes:
    out: Attributes = {}
    devices = [_device(d) for d in host.get("Devices") or ()]
    if devices and not host.get("Privileged"):
        out["device"] = devices
    for theirs, ours in RATES.items():
        if host.get(theirs):
            out[ours] = [{"path": r["Path"], "rate": r["Rate"]} for r in host[theirs]]
    if host.get("BlkioWeightDevice"):
        out["blkio_weight_device"] = [{"path": w["Path"], "weight": w["Weight"]} for w in host["BlkioWeightDevice"]]
    if host.get("Ulimits") and info.kind == "docker":
        out["ulimit"] = [_ulimit(u) for u in host["Ulimits"]]
    _requests(out, host.get("DeviceRequests") or [])
    log = host.get("LogConfig") or {}
    block: dict[str, Any] = {}
    if log.get("Config"):
        block["options"] = dict(log["Config"])
    if log.get("Type") and (block or log["Type"] != info.log_driver):
        block["driver"] = log["Type"]
    if block and not (info.kind == "podman" and log.get("Type") in ("json-file", "k8s-file", "journald")):
        out["log"] = block
    return out


def _device(told: Inspect) -> dict[str, Any]:
    out = {"host": told["PathOnHost"], "permissions": told.get("CgroupPermissions") or "rwm"}
    if told.get("PathInContainer") not in (None, "", told["PathOnHost"]):
        out["container"] = told["PathInContainer"]
    return out


def _ulimit(told: Inspect) -> dict[str, Any]:
    out = {"name": told["Name"].removeprefix("RLIMIT_").lower(), "soft": told["Soft"]}
    if told["Hard"] != told["Soft"]:
        out["hard"] = told["Hard"]
    return out


def _requests(out: Attributes, told: list[Inspect]) -> None:
    blocks: list[dict[str, Any]] = []
    for request in told:
        capabilities = [c for group in request.get("Capabilities") or () for c in group]
        plain = not request.get("Driver") and not request.get("Options") and capabilities == ["gpu"]
        if plain and len(told) == 1:
            ids = request.get("DeviceIDs")
            count = request.get("Count") or 0
            out["gpus"] = "device=" + ",".join(ids) if ids else "all" if count == -1 else str(count)
            return
        block = {
            "driver": request.get("Driver") or None,
            "count": request.get("Count") or None,
            "device_ids": request.get("DeviceIDs") or None,
            "capabilities": capabilities if capabilities != ["gpu"] else None,
            "options": request.get("Options") or None,
        }
        blocks.append({k: v for k, v in block.items() if v is not None})
    if blocks:
        out["device_request"] = blocks


def _ports(out: Attributes, config: Inspect, host: Inspect, inherited: Inspect) -> None:
    bindings = host.get("PortBindings") or {}
    blocks: list[dict[str, Any]] = []
    for key, hosts in sorted(bindings.items()):
        number, _, protocol = key.partition("/")
        for told in hosts or ():
            block: dict[str, Any] = {"container": int(number), "protocol": protocol or "tcp"}
            port = str(told.get("HostPort") or "")
            if port not in ("", "0"):
                block["host"] = int(port) if port.isdigit() else port
            if told.get("HostIp") not in (None, "", "0.0.0.0"):  # noqa: S104 - what all addresses look like
                block["ip"] = told["HostIp"]
            blocks.append(block)
    if blocks:
        out["port"] = blocks
    exposed = set(config.get("ExposedPorts") or ()) - set(inherited.get("ExposedPorts") or ()) - set(bindings)
    if exposed:
        out["expose"] = sorted(exposed)
