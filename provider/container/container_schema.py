"""Arguments of the ``container`` kind: all that ``docker run`` can say, in the same terms."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, model_validator

from hythe.provider.container.container_blocks import (
    Address,
    Device,
    DeviceIops,
    DeviceRate,
    DeviceRequest,
    DeviceWeight,
    Exposed,
    File,
    Healthcheck,
    HostRef,
    ImageRef,
    Log,
    Mac,
    Mount,
    Network,
    Port,
    Ulimit,
)
from hythe.provider.schema import Duration, Effect, Model, Number, Size, attr, block
from hythe.provider.units import parse_size

LIVE = Effect.LIVE


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", value):
        raise ValueError(
            f'"{value}" is not the name of a container: it has two or more letters, digits, "_", "." and "-", '
            "and begins with a letter or digit"
        )
    return value


def _restart(value: str) -> str:
    if not re.fullmatch(r"no|always|unless-stopped|on-failure(:[1-9]\d*)?", value):
        raise ValueError(
            f'"{value}" is not a restart policy: write no, always, unless-stopped, on-failure or on-failure:5'
        )
    return value


def _swap(value: Any) -> Any:
    return -1 if value in (-1, "-1", "unlimited") else parse_size(value)


def _pids(value: Any) -> Any:
    return -1 if value in (0, -1, "unlimited") else value


def capability(value: str) -> str:
    """A capability's name as it is stored: upper case, without ``CAP_``."""
    return value.upper().removeprefix("CAP_")


def _signal(value: Any) -> Any:
    return str(value).upper()


def _gpus(value: Any) -> Any:
    text = str(value)
    if not re.fullmatch(r"all|\d+|device=[\w.,:-]+", text):
        raise ValueError(f'"{text}" are no GPUs: write "all", a number, or "device=0,1"')
    return text


def _host_entry(value: str) -> str:
    name, _, address = value.partition(":")
    if not name or not address:
        raise ValueError(f'"{value}" is no entry for /etc/hosts: write it like "db:10.0.0.5" or "host:host-gateway"')
    return value


Capability = Annotated[str, AfterValidator(capability)]
HostEntry = Annotated[str, AfterValidator(_host_entry)]
_LIMIT = "A change is live; taking it away replaces the container."


class ContainerModel(Model):
    """A container on a Docker or Podman engine."""

    host: HostRef = attr(description="Machine whose engine runs it. By default the local one.")
    name: Annotated[str, AfterValidator(_name)] | None = attr(
        description="Name on the engine. By default made of the project's and the block's name.",
        engine_default=True,
        effect=LIVE,
    )
    image: ImageRef = attr(..., description="Image, or the name of one that is on the engine.")
    platform: str | None = attr(description="Platform of the image, like linux/arm64.")

    # what runs
    command: list[str] | None = attr(description="Program and arguments. By default the image's.")
    entrypoint: list[str] | None = attr(
        description="Program that the command is given to, in place of the image's; [] takes the image's away."
    )
    env: dict[str, str] | None = attr(description="Environment variables, beside those of the image.")
    working_dir: str | None = attr(description="Working directory. By default the image's.")
    user: str | None = attr(description="User, or user:group, names or numbers. By default the image's.")
    group_add: list[str] | None = attr(description="Further groups of the process.", unordered=True)
    tty: bool | None = attr(description="Give it a terminal.")
    stdin_open: bool | None = attr(description="Keep its standard input open.")
    init: bool | None = attr(description="Run a small init that forwards signals and reaps processes.")
    stop_signal: Annotated[str, BeforeValidator(_signal)] | None = attr(
        description="Signal that asks it to stop. By default the image's, or SIGTERM."
    )
    stop_grace: Duration | None = attr(
        description="Time it has to stop before it is killed, in whole seconds. By default 10s."
    )
    restart: Annotated[str, AfterValidator(_restart)] | None = attr(
        description="When the engine starts it again: no (default), always, unless-stopped, on-failure, on-failure:N.",
        effect=LIVE,
    )
    labels: dict[str, str] | None = attr(description="Labels, beside those of the image.")
    annotations: dict[str, str] | None = attr(
        description="Annotations for the runtime. Podman, and Docker from API 1.43."
    )

    # how Hythe treats it
    running: bool = attr(True, description="Whether it is to run; false makes it, or leaves it, stopped.", effect=LIVE)
    must_run: bool = attr(
        True,
        description="Whether one that has ended is started again by the next apply. false for jobs that run once.",
        effect=LIVE,
    )
    attach: bool = attr(
        False, description="Wait until it has ended, and fail unless with exit code 0. For jobs.", effect=LIVE
    )
    wait: bool = attr(True, description="Wait until the health check passes, where there is one.", effect=LIVE)
    wait_timeout: Duration = attr("2m", description="How long to wait for health, or with `attach`.", effect=LIVE)
    file: list[File] = block(description="File put into the container before it starts.", unordered=True)
    healthcheck: Healthcheck | None = block(description="Health check.", repeated=False)

    # network
    port: list[Port] = block(description="Published port.", unordered=True)
    publish_all: bool | None = attr(description="Publish every exposed port on a free one of the host.")
    expose: list[Exposed] | None = attr(
        description='Exposed ports, beside those of the image: "80", "53/udp", "8000-8010/tcp".', unordered=True
    )
    network: list[Network] = block(
        description="Network it is a member of. Without any, the engine's default one.", unordered=True, effect=LIVE
    )
    network_mode: str | None = attr(
        description="host, none, bridge, or container:NAME in place of networks.",
        pattern=r"^(host|none|bridge|default|container:.+|slirp4netns.*|pasta.*|private|ns:.+)$",
    )
    mac_address: Mac | None = attr(description="MAC address on the first network.")
    hostname: str | None = attr(description="Host name inside. By default the engine's short id.")
    domainname: str | None = attr(description="Domain name inside.")
    dns: list[Address] | None = attr(description="DNS servers.")
    dns_search: list[str] | None = attr(description="DNS search domains.")
    dns_options: list[str] | None = attr(description="DNS options, like ndots:2.")
    extra_hosts: list[HostEntry] | None = attr(
        description='Entries for /etc/hosts: "name:address", or "name:host-gateway".', unordered=True
    )
    links: list[str] | None = attr(
        description="Containers linked on the default network (NAME:ALIAS); superseded by networks.", unordered=True
    )

    # storage
    mount: list[Mount] = block(description="Volume, path of the host, or memory mounted into it.", unordered=True)
    tmpfs: dict[str, str] | None = attr(
        description='Memory mounts by path, with mount options as text: { "/run" = "size=64m,noexec" }.'
    )
    volumes_from: list[str] | None = attr(description="Containers whose mounts it takes over (NAME or NAME:ro).")
    read_only: bool | None = attr(description="Make its root file system read-only.")
    shm_size: Size | None = attr(description="Size of /dev/shm. By default 64MiB.")
    storage_opts: dict[str, str] | None = attr(description="Options of the storage driver, like size.")

    # resources
    memory: Size | None = attr(description=f"Most memory it may use. {_LIMIT}", effect=LIVE)
    memory_reservation: Size | None = attr(description=f"Memory it is left with in need. {_LIMIT}", effect=LIVE)
    memory_swap: Annotated[Any, BeforeValidator(_swap)] | None = attr(
        description=f'Most memory and swap together; "unlimited" or -1 for no limit. By default twice the memory. '
        f"{_LIMIT}",
        effect=LIVE,
    )
    memory_swappiness: int | None = attr(description="Readiness to swap, 0 to 100 (cgroup v1).", ge=0, le=100)
    kernel_memory: Size | None = attr(description="Most kernel memory, where kernel and engine still support it.")
    oom_kill_disable: bool | None = attr(description="Do not kill it when it is out of memory (cgroup v1).")
    oom_score_adj: int | None = attr(
        description="Readiness of the kernel to kill it, -1000 to 1000.", ge=-1000, le=1000
    )
    cpus: Number | None = attr(description=f"How many CPUs it may use, like 0.5. {_LIMIT}", effect=LIVE)
    cpu_shares: int | None = attr(description=f"Share of CPU time against others (1024). {_LIMIT}", effect=LIVE, ge=2)
    cpu_period: int | None = attr(description=f"CFS period in microseconds. {_LIMIT}", effect=LIVE, ge=1000)
    cpu_quota: int | None = attr(description=f"CFS quota in microseconds a period. {_LIMIT}", effect=LIVE, ge=1000)
    cpu_rt_period: int | None = attr(description="Real-time period in microseconds.", ge=1)
    cpu_rt_runtime: int | None = attr(description="Real-time microseconds a period.", ge=1)
    cpuset_cpus: str | None = attr(
        description=f'CPUs it may run on, like "0-2,4". {_LIMIT}', effect=LIVE, pattern=r"^\d+(-\d+)?(,\d+(-\d+)?)*$"
    )
    cpuset_mems: str | None = attr(
        description=f"Memory nodes it may use. {_LIMIT}", effect=LIVE, pattern=r"^\d+(-\d+)?(,\d+(-\d+)?)*$"
    )
    pids_limit: Annotated[int, BeforeValidator(_pids)] | None = attr(
        description=f"Most processes; -1 for no limit. {_LIMIT}", effect=LIVE, ge=-1
    )
    blkio_weight: int | None = attr(
        description=f"Share of block IO against others. {_LIMIT}", effect=LIVE, ge=10, le=1000
    )
    blkio_weight_device: list[DeviceWeight] = block(description="Share of one block device.", unordered=True)
    device_read_bps: list[DeviceRate] = block(description="Limit for reading from a block device.", unordered=True)
    device_write_bps: list[DeviceRate] = block(description="Limit for writing to a block device.", unordered=True)
    device_read_iops: list[DeviceIops] = block(description="Limit of reads from a block device.", unordered=True)
    device_write_iops: list[DeviceIops] = block(description="Limit of writes to a block device.", unordered=True)
    ulimit: list[Ulimit] = block(description="Limit of the process.", unordered=True)

    # devices and rights
    device: list[Device] = block(description="Device of the host.", unordered=True)
    device_cgroup_rules: list[str] | None = attr(description='Device rules, like "c 42:* rmw".', unordered=True)
    device_request: list[DeviceRequest] = block(description="Devices that a driver hands out.")
    gpus: Annotated[str, BeforeValidator(_gpus)] | None = attr(description='GPUs: "all", a number, or "device=0,1".')
    privileged: bool | None = attr(description="Give it every right on the host.")
    cap_add: list[Capability] | None = attr(description="Capabilities added, like NET_ADMIN.", unordered=True)
    cap_drop: list[Capability] | None = attr(description="Capabilities taken away; ALL for all.", unordered=True)
    security_opt: list[str] | None = attr(
        description="Security options, like no-new-privileges or apparmor=unconfined.", unordered=True
    )
    sysctls: dict[str, str] | None = attr(description="Kernel parameters of its namespaces.")

    # namespaces and runtime
    ipc_mode: str | None = attr(description="IPC namespace: private, shareable, host, none, container:NAME.")
    pid_mode: str | None = attr(description="PID namespace: host or container:NAME. By default its own.")
    uts_mode: Literal["host", "private"] | None = attr(description="UTS namespace: host. By default its own.")
    userns_mode: str | None = attr(description="User namespace: host; with Podman also keep-id, auto, nomap.")
    cgroupns_mode: Literal["private", "host"] | None = attr(description="Cgroup namespace: private or host.")
    cgroup_parent: str | None = attr(description="Cgroup to make its own below.")
    runtime: str | None = attr(description="OCI runtime. By default the engine's.")
    log: Log | None = block(description="Where its output goes.", repeated=False)

    # computed
    id: str | None = attr(description="The engine's id.", computed=True)
    image_id: str | None = attr(description="The engine's id of the image it was made from.", computed=True)
    engine: str | None = attr(description="Engine and version it was made on.", computed=True)
    ip_address: str | None = attr(description="Address on its first network.", computed=True, volatile=True)
    addresses: dict[str, str] | None = attr(
        description="Address on each network, by the network's name.", computed=True, volatile=True
    )
    network_ids: dict[str, str] | None = attr(
        description="The engine's id of each network, by the network's name.", computed=True, volatile=True
    )
    ports: dict[str, int] | None = attr(
        description='First port on the host of each published one, by "80/tcp".', computed=True, volatile=True
    )
    health: str | None = attr(
        description="starting, healthy or unhealthy, where there is a health check.", computed=True, volatile=True
    )
    exit_code: int | None = attr(description="Exit code, when it has ended.", computed=True, volatile=True)

    @model_validator(mode="after")
    def _fits(self) -> ContainerModel:
        if self.network and self.network_mode is not None:
            raise ValueError("write either `network_mode` or `network` blocks, not both")
        for member in self.network or ():
            # what the engine lists as networks of these names are ways of having none
            if member.network in ("host", "none"):
                raise ValueError(f'write network_mode = "{member.network}" in place of a `network` block')
        shared = (self.network_mode or "").startswith(("host", "container:"))
        if shared and (self.port or self.publish_all):
            raise ValueError(f'with network_mode "{self.network_mode}" no ports can be published')
        if self.cpus is not None and (self.cpu_quota is not None or self.cpu_period is not None):
            raise ValueError("`cpus` stands for cpu_period and cpu_quota: give it or these, not both")
        if self.memory_swap not in (None, -1) and (self.memory is None or self.memory_swap < self.memory):
            raise ValueError("`memory_swap` counts memory and swap together: it needs `memory` and is at least as much")
        if self.gpus is not None and self.device_request:
            raise ValueError("write either `gpus` or `device_request` blocks, not both")
        if self.attach and not self.running:
            raise ValueError("`attach` waits for the end of what runs: it cannot stand with `running = false`")
        if self.attach and self.restart not in (None, "no") and not self.restart.startswith("on-failure"):
            raise ValueError(f'with restart "{self.restart}" it never ends, and `attach` would wait for ever')
        targets = [m.target for m in self.mount]
        twice = next((t for t in targets if targets.count(t) > 1), None)
        if twice is not None:
            raise ValueError(f"two mounts have the target {twice}")
        return self


class ContainerData(Model):
    """What selects an existing container for a ``data`` block."""

    host: HostRef = attr(description="Machine whose engine has it. By default the local one.")
    name: str | None = attr(description="Its name.")
    id: str | None = attr(description="Its engine id.")

    @model_validator(mode="after")
    def _one(self) -> ContainerData:
        if (self.name is None) == (self.id is None):
            raise ValueError("exactly one of `name` and `id` is needed")
        return self
