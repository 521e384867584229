"""Nested blocks of the ``container`` kind, and how their values are read."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, model_validator

from hythe.provider.schema import Duration, Model, RefTo, Size, attr


def _reference(*kinds: str) -> tuple[RefTo, BeforeValidator]:
    spec = RefTo(kinds)
    return spec, BeforeValidator(lambda value: None if value is None else spec.check(value))


_NETWORK, _VOLUME, _IMAGE = _reference("network"), _reference("volume"), _reference("image")
_MACHINE = _reference("host", "vm")
NetworkRef: TypeAlias = Annotated[Any, _NETWORK[0], _NETWORK[1]]
VolumeRef: TypeAlias = Annotated[Any, _VOLUME[0], _VOLUME[1]]
ImageRef: TypeAlias = Annotated[Any, _IMAGE[0], _IMAGE[1]]
HostRef: TypeAlias = Annotated[Any, _MACHINE[0], _MACHINE[1]]


def _ports(value: Any) -> Any:
    """A port or a range: an int, or text like ``8000-8010``."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError('a port is needed: a number like 80, or a range like "8000-8010"')
    text = str(value)
    found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text)
    if found is None:
        raise ValueError(f'"{text}" is not a port: write a number like 80, or a range like "8000-8010"')
    first, last = int(found[1]), int(found[2] or found[1])
    if not 0 < first <= last <= 65535:
        raise ValueError(f"{text}: ports go from 1 to 65535, the lower one first")
    return first if first == last else f"{first}-{last}"


def _exposed(value: Any) -> Any:
    number, _, protocol = str(value).partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in ("tcp", "udp", "sctp"):
        raise ValueError(f'"{value}": the protocol is tcp, udp or sctp')
    return f"{_ports(number)}/{protocol}"


def _address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError as failure:
        raise ValueError(f'"{value}" is not an IP address') from failure


def _mac(value: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}", value):
        raise ValueError(f'"{value}" is not a MAC address: write it like 02:42:ac:11:00:02')
    return value.lower().replace("-", ":")


def _octal(value: Any) -> Any:
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"0?[0-7]{3,4}", text):
        raise ValueError(f'"{text}" is not a file mode: write it in octal as text, like "0644"')
    return text.zfill(4)[-4:]


def _absolute(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError(f'"{value}" is not an absolute path')
    return value.rstrip("/") or "/"


Ports = Annotated[Any, BeforeValidator(_ports)]
Exposed = Annotated[str, BeforeValidator(_exposed)]
Address = Annotated[str, AfterValidator(_address)]
Mac = Annotated[str, AfterValidator(_mac)]
Octal = Annotated[str, BeforeValidator(_octal)]
AbsolutePath = Annotated[str, AfterValidator(_absolute)]


def span(ports: Any) -> tuple[int, int]:
    """First and last port of a canonical port or range."""
    first, _, last = str(ports).partition("-")
    return int(first), int(last or first)


class Block(Model):
    """Base of the blocks: an argument set to null is an argument left out."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        return {k: v for k, v in given.items() if v is not None} if isinstance(given, dict) else given


class Port(Block):
    """A published port."""

    container: Ports = attr(..., description='Port inside the container, or a range like "8000-8010".')
    host: Ports | None = attr(
        description="Port on the host, or a range as long. Left out, the engine picks a free one at each start."
    )
    ip: Address | None = attr(description="Address of the host to listen on. By default all of them.")
    protocol: Literal["tcp", "udp", "sctp"] = attr("tcp", description="tcp, udp or sctp.")

    @model_validator(mode="after")
    def _as_long(self) -> Port:
        if self.host is not None:
            inside, outside = span(self.container), span(self.host)
            if inside[0] != inside[1] and inside[1] - inside[0] != outside[1] - outside[0]:
                raise ValueError(f"the ranges {self.container} and {self.host} are not equally long")
        return self


class Mount(Block):
    """Something mounted into the container: a volume, a path of the host, or memory."""

    target: AbsolutePath = attr(..., description="Absolute path inside the container.")
    volume: VolumeRef = attr(
        description="Volume, or the name of one. Without volume, source and tmpfs an unnamed volume is made, which "
        "goes with the container."
    )
    source: str | None = attr(
        description="Path on the host that is bound. One beginning with ./ or ../ is below the module's folder."
    )
    tmpfs: bool | None = attr(description="Whether memory is mounted (tmpfs).")
    read_only: bool | None = attr(description="Whether the container may only read it.")
    propagation: Literal["private", "rprivate", "shared", "rshared", "slave", "rslave"] | None = attr(
        description="Of a bound path: how mounts below it spread. By default rprivate."
    )
    consistency: Literal["consistent", "cached", "delegated"] | None = attr(
        description="Of a bound path, on desktop systems: how strictly both sides agree. Without effect on Linux."
    )
    selinux: Literal["shared", "private"] | None = attr(
        description="Of a bound path: relabel it for SELinux, shared between containers (z) or private (Z)."
    )
    create_source: bool | None = attr(description="Of a bound path: make it as a directory when it is missing.")
    no_copy: bool | None = attr(description="Of a volume: do not fill a new one with what the image has at the target.")
    size: Size | None = attr(description="Of a tmpfs: its size. By default half of the host's memory.")
    mode: Octal | None = attr(description='Of a tmpfs: its file mode, in octal, like "1777".')

    @property
    def kind(self) -> str:
        """volume, bind or tmpfs."""
        return "tmpfs" if self.tmpfs else "bind" if self.source is not None else "volume"

    @model_validator(mode="after")
    def _one_kind(self) -> Mount:
        if sum((self.volume is not None, self.source is not None, bool(self.tmpfs))) > 1:
            raise ValueError("only one of `volume`, `source` and `tmpfs` can be given")
        if self.source is not None and not re.match(r"/|\.\.?(/|$)", self.source):
            raise ValueError(f'`source` "{self.source}" is not a path: begin it with / or ./ (a volume has `volume`)')
        for names, kind in (
            (("propagation", "consistency", "selinux", "create_source"), "bind"),
            (("no_copy",), "volume"),
            (("size", "mode"), "tmpfs"),
        ):
            wrong = [n for n in names if getattr(self, n) is not None and self.kind != kind]
            if wrong:
                raise ValueError(f"`{wrong[0]}` does not belong to a mount of type {self.kind}, only to {kind}")
        return self


class Network(Block):
    """Membership of a network."""

    network: NetworkRef = attr(..., description="Network, or the name of one.")
    aliases: list[str] | None = attr(description="Further names of the container there.", unordered=True)
    ipv4_address: Address | None = attr(description="Fixed IPv4 address. By default the engine gives one.")
    ipv6_address: Address | None = attr(description="Fixed IPv6 address.")
    link_local_ips: list[Address] | None = attr(description="Further link-local addresses.", unordered=True)
    mac_address: Mac | None = attr(
        description="MAC address of the interface; Docker before API 1.44 takes it for the first network only."
    )
    driver_opts: dict[str, str] | None = attr(description="Options for the network's driver.")


class Healthcheck(Block):
    """How the engine finds out whether the container works."""

    test: list[str] | None = attr(
        description='Command: ["CMD", program, argument...] or ["CMD-SHELL", line]. By default the image\'s.'
    )
    interval: Duration | None = attr(description="Time between two checks. By default 30s.")
    timeout: Duration | None = attr(description="How long one check may take. By default 30s.")
    start_period: Duration | None = attr(description="Time after the start in which failures do not count.")
    retries: int | None = attr(description="Failures in a row that make it unhealthy. By default 3.", ge=1)
    disable: bool | None = attr(description="Switch off the health check of the image.")

    @model_validator(mode="after")
    def _sensible(self) -> Healthcheck:
        if self.disable and (self.test or self.interval or self.timeout or self.start_period or self.retries):
            raise ValueError("`disable` stands alone: nothing else belongs into the block with it")
        if self.test is not None and (not self.test or self.test[0] not in ("CMD", "CMD-SHELL")):
            raise ValueError('`test` begins with "CMD" or "CMD-SHELL" (`disable = true` switches it off)')
        if self.test is not None and len(self.test) < 2:
            raise ValueError("`test` has no command")
        return self


class Device(Block):
    """A device of the host."""

    host: AbsolutePath = attr(..., description="Path on the host.")
    container: AbsolutePath | None = attr(description="Path inside the container. By default the same.")
    permissions: str = attr("rwm", description="What is allowed: r (read), w (write), m (mknod).", pattern="^[rwm]+$")


class DeviceRequest(Block):
    """Devices that a driver of the engine hands out (GPUs)."""

    driver: str | None = attr(description="Driver, like nvidia.")
    count: int | None = attr(description="How many; -1 for all.", ge=-1)
    device_ids: list[str] | None = attr(description="Which ones, by id.", unordered=True)
    capabilities: list[str] | None = attr(description='What they must be able to do. By default ["gpu"].')
    options: dict[str, str] | None = attr(description="Options for the driver.")


class Ulimit(Block):
    """A limit of the process, as ``ulimit`` sets it."""

    name: str = attr(..., description="Name of the limit, like nofile.", pattern="^[a-z]+$")
    soft: int = attr(..., description="Soft limit; -1 for none.", ge=-1)
    hard: int | None = attr(description="Hard limit; -1 for none. By default the soft one.", ge=-1)


class DeviceRate(Block):
    """A limit of bytes a second for a block device."""

    path: AbsolutePath = attr(..., description="The device on the host, like /dev/sda.")
    rate: Size = attr(..., description="Bytes a second.")


class DeviceIops(Block):
    """A limit of operations a second for a block device."""

    path: AbsolutePath = attr(..., description="The device on the host, like /dev/sda.")
    rate: int = attr(..., description="Operations a second.", ge=1)


class DeviceWeight(Block):
    """The share of a block device."""

    path: AbsolutePath = attr(..., description="The device on the host, like /dev/sda.")
    weight: int = attr(..., description="Weight against other containers.", ge=10, le=1000)


class Log(Block):
    """Where the output goes."""

    driver: str | None = attr(
        description="Log driver, like json-file, journald or none. By default the engine's.", engine_default=True
    )
    options: dict[str, str] | None = attr(description="Options of the driver, like max-size.")


class File(Block):
    """A file that is put into the container before it starts."""

    target: AbsolutePath = attr(..., description="Absolute path inside the container; its folders are made.")
    content: str | None = attr(description="Text of the file.")
    content_base64: str | None = attr(description="Content as base64, for what is no text.")
    source: str | None = attr(description="Path of a local file, relative to the module's folder.")
    mode: Octal | None = attr(description='File mode in octal. By default "0644", or "0755" when executable.')
    uid: int = attr(0, description="Owner's number inside the container.", ge=0)
    gid: int = attr(0, description="Group's number inside the container.", ge=0)
    executable: bool | None = attr(description="Whether it is a program.")
    digest: str | None = attr(description="Digest of the source's content, which decides.", computed=True)

    @model_validator(mode="after")
    def _one_content(self) -> File:
        given = [n for n in ("content", "content_base64", "source") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError("exactly one of `content`, `content_base64` and `source` is needed")
        if self.content_base64 is not None:
            import base64
            import binascii

            try:
                base64.b64decode(self.content_base64, validate=True)
            except binascii.Error as failure:
                raise ValueError("`content_base64` is not base64") from failure
        return self
