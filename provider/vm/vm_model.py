"""Arguments of the ``vm`` kind."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, model_validator

from hythe.provider.container.place import HostReference, host_argument
from hythe.provider.network_blocks import Interface, MacAddress
from hythe.provider.schema import Duration, Effect, Model, Ref, Size, attr, block
from hythe.provider.vm.seed import check_user_data, check_yaml

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,62}")
_PCI = re.compile(r"(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_USB = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}")
STAGES = ("boot", "address", "ssh", "cloud-init", "engine")
"""What a VM goes through until it is ready, in order."""


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            f'"{value}" is not the name of a VM: it has up to 63 letters, digits, "_", ".", "+" and "-", and begins '
            "with a letter or digit"
        )
    return value


def _said(problems: list[str]) -> None:
    if problems:
        raise ValueError("; ".join(problems))


def _user_data(value: str) -> str:
    _said(check_user_data(value))
    return value


def _yaml(value: str) -> str:
    _said(check_yaml(value, mapping=True))
    return value


def _cpus(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("a whole number of processors is needed, one at least")
    return value


def _pci(value: str) -> str:
    lower = value.lower()
    if not _PCI.fullmatch(lower):
        raise ValueError(f'"{value}" is not a PCI address: write it like 0000:03:00.0, as `lspci -D` shows it')
    return lower if lower.count(":") == 2 else f"0000:{lower}"


def _usb(value: str) -> str:
    if not _USB.fullmatch(value.lower()):
        raise ValueError(f'"{value}" is not a USB device: write it like 1d6b:0002, as `lsusb` shows it')
    return value.lower()


Cpus = Annotated[int, BeforeValidator(_cpus)]
if TYPE_CHECKING:
    DiskImage: TypeAlias = Any
    DiskVolume: TypeAlias = Any
    NetworkReference: TypeAlias = Any
else:
    DiskImage, DiskVolume, NetworkReference = Ref("disk_image"), Ref("volume"), Ref("network")


class Cpu(Model):
    """The processor that the guest sees."""

    model: str | None = attr(
        description="`host-passthrough`, `host-model`, `maximum`, or the name of a model (`virsh cpu-models x86_64`). "
        "By default the host's with KVM, and all that can be emulated without."
    )
    sockets: Cpus | None = attr(
        description="Sockets; with `cores` and `threads` they make up the largest number of cpus."
    )
    cores: Cpus | None = attr(description="Cores of a socket.")
    threads: Cpus | None = attr(description="Threads of a core.")
    features: dict[str, Literal["require", "disable", "force", "optional", "forbid"]] | None = attr(
        description="Features by name, and what becomes of each."
    )
    pin: dict[str, str] | None = attr(
        description='Processors of the host that each virtual one may run on: numbers by number, like `0 = "2-3"`.'
    )


class Disk(Model):
    """A disk. The first one without `volume` and `path` is the root disk: a layer on `image`."""

    size: Size | None = attr(description="Size. A root disk has its image's by default. Grown while the VM runs.")
    volume: DiskVolume | None = attr(description="A volume of type disk; it outlives the VM.")
    path: str | None = attr(description="A file or device on the hypervisor's machine, which is left to you.")
    device: Literal["disk", "cdrom"] = attr("disk", description="disk or cdrom.")
    bus: Literal["virtio", "scsi", "sata", "ide"] | None = attr(
        description="How it is attached. By default virtio, and sata for a cdrom."
    )
    format: Literal["qcow2", "raw"] | None = attr(description="Format of `path`. By default raw.")
    cache: Literal["none", "writethrough", "writeback", "directsync", "unsafe"] | None = attr(
        description="How writes are cached. By default the hypervisor's choice."
    )
    discard: Literal["unmap", "ignore"] | None = attr(description="Whether blocks that the guest frees are given back.")
    readonly: bool = attr(False, description="Whether the guest may not write to it.")
    serial: str | None = attr(description="Serial number that the guest sees.", max_length=20)
    iops: int | None = attr(description="Most operations a second.", ge=1)
    bandwidth: Size | None = attr(description="Most bytes a second.")
    file: str | None = attr(description="Its file on the hypervisor's machine.", computed=True)
    target: str | None = attr(description="Its name on the bus.", computed=True)

    @model_validator(mode="after")
    def _one_source(self) -> Disk:
        if self.volume is not None and self.path is not None:
            raise ValueError("write either `volume` or `path`, not both")
        if self.volume is not None and self.size is not None:
            raise ValueError("the size of a volume is an argument of the volume: leave `size` out here")
        if self.path is not None and self.size is not None:
            raise ValueError("`size` is for disks that Hythe makes: leave it out beside `path`")
        if self.device == "cdrom" and self.size is not None:
            raise ValueError("a cdrom has no `size`: name its file by `path`, or its volume by `volume`")
        return self


class InterfaceBlock(Model):
    """A network interface."""

    network: NetworkReference | None = attr(description="A network of the hypervisor, or its name.")
    bridge: Interface | None = attr(description="A bridge of the host.")
    direct: Interface | None = attr(description="An interface of the host that is shared (macvtap).")
    direct_mode: Literal["bridge", "vepa", "private", "passthrough"] | None = attr(
        description="How `direct` shares it. By default bridge."
    )
    user: bool | None = attr(description="Whether it is behind the hypervisor's own process, which needs no rights.")
    mac: MacAddress | None = attr(
        description="MAC address. By default one made of the VM's address in the configuration, so that a VM that is "
        "made anew keeps it.",
        engine_default=True,
    )
    model: Literal["virtio", "e1000", "e1000e", "rtl8139"] = attr("virtio", description="Model of the device.")
    mtu: int | None = attr(description="Largest packet in bytes.", ge=68, le=65521)
    link: Literal["up", "down"] = attr("up", description="Whether the cable is plugged in.")
    network_name: str | None = attr(description="What the hypervisor calls the network.", computed=True)

    @model_validator(mode="after")
    def _one_source(self) -> InterfaceBlock:
        given = [n for n in ("network", "bridge", "direct", "user") if getattr(self, n)]
        if len(given) != 1:
            raise ValueError("write one of `network`, `bridge`, `direct` and `user = true`")
        if self.direct_mode is not None and self.direct is None:
            raise ValueError("`direct_mode` needs `direct`")
        return self


class Graphics(Model):
    """A screen."""

    type: Literal["vnc", "spice"] = attr("vnc", description="vnc or spice.")
    listen: str = attr("127.0.0.1", description="Address that it listens on.")
    port: int | None = attr(description="Port. By default a free one.", ge=1, le=65535)
    password: str | None = attr(description="Password.", sensitive=True)


class HostDevice(Model):
    """A device of the host that is handed to the VM."""

    pci: Annotated[str, AfterValidator(_pci)] | None = attr(
        description="PCI address, like 0000:03:00.0. The machine needs an IOMMU that is on. Others of the device's "
        "IOMMU group that have a driver are to be handed over too."
    )
    usb: Annotated[str, AfterValidator(_usb)] | None = attr(description="USB vendor and product, like 1d6b:0002.")

    @model_validator(mode="after")
    def _one(self) -> HostDevice:
        if (self.pci is None) == (self.usb is None):
            raise ValueError("write one of `pci` and `usb`")
        return self


class Filesystem(Model):
    """A folder of the host that the guest can mount."""

    source: str = attr(..., description="Folder on the hypervisor's machine.", pattern="^/")
    target: str = attr(..., description="Tag that the guest mounts it by.", min_length=1, max_length=36)
    driver: Literal["virtiofs", "9p"] = attr(
        "virtiofs", description="virtiofs (fast; needs virtiofsd on the host), or 9p."
    )
    readonly: bool = attr(False, description="Whether the guest may only read it (9p).")

    @model_validator(mode="after")
    def _can_be_readonly(self) -> Filesystem:
        if self.readonly and self.driver == "virtiofs":
            raise ValueError('`readonly` goes with driver = "9p": virtiofs is mounted read-only in the guest')
        return self


class Watchdog(Model):
    """What happens when the guest hangs."""

    model: Literal["i6300esb", "ib700"] = attr("i6300esb", description="Model of the device.")
    action: Literal["reset", "shutdown", "poweroff", "pause", "none", "dump", "inject-nmi"] = attr(
        "reset", description="What is done when the guest has not answered in time."
    )


class Snapshot(Model):
    """A snapshot, made when the block appears and removed when it goes."""

    name: str = attr(..., description="Name.", min_length=1)
    description: str | None = attr(description="What it is for.")


class Timeouts(Model):
    """How long each stage may take until the VM is ready. By default three times as long where it is emulated."""

    boot: Duration | None = attr(description="Until it runs. By default 1m.", effect=Effect.LIVE)
    address: Duration | None = attr(description="Until it has an address. By default 5m.", effect=Effect.LIVE)
    ssh: Duration | None = attr(description="Until it answers over SSH. By default 5m.", effect=Effect.LIVE)
    cloud_init: Duration | None = attr(description="Until cloud-init is through. By default 10m.", effect=Effect.LIVE)
    engine: Duration | None = attr(description="Until its container engine answers. By default 3m.", effect=Effect.LIVE)


class SshAccess(Model):
    """How Hythe reaches the guest."""

    address: str | None = attr(description="Address.", computed=True)
    port: int | None = attr(description="Port.", computed=True)
    user: str | None = attr(description="Login name.", computed=True)
    host_key: str | None = attr(description="The guest's host key, which Hythe made.", computed=True)
    private_key: str | None = attr(description="The key to log in with.", computed=True, sensitive=True)


class VmModel(Model):
    """A virtual machine."""

    name: Annotated[str, AfterValidator(_name)] | None = attr(
        description="Name on the hypervisor. By default made of the project's and the block's name.",
        engine_default=True,
    )
    host: HostReference = host_argument()
    uri: str | None = attr(description="Hypervisor, as libvirt knows it. By default qemu:///system.")
    description: str | None = attr(description="What it is for.", effect=Effect.LIVE)
    image: DiskImage | None = attr(description="Disk image that its root disk is a layer on, or a file's path.")
    cpus: Cpus = attr(1, description="Processors. Changed while it runs, up to `max_cpus`.", effect=Effect.LIVE)
    max_cpus: Cpus | None = attr(description="Largest number of processors. By default `cpus`.", effect=Effect.RESTART)
    cpu: Cpu | None = block(description="The processor that the guest sees.", repeated=False, effect=Effect.RESTART)
    memory: Size = attr(
        512 << 20,
        description="Memory, by default 512 MiB. Changed while it runs, up to `max_memory`.",
        effect=Effect.LIVE,
    )
    max_memory: Size | None = attr(description="Largest memory. By default `memory`.", effect=Effect.RESTART)
    machine: str | None = attr(
        description="Machine type. By default q35, or virt on ARM.", effect=Effect.RESTART, engine_default=True
    )
    accelerator: Literal["auto", "kvm", "tcg"] = attr(
        "auto", description="kvm, tcg (emulation), or auto: kvm where it really works.", effect=Effect.RESTART
    )
    firmware: Literal["bios", "uefi"] | None = attr(
        description="bios or uefi. By default the machine type's own. Its variables are kept with the VM."
    )
    kernel: str | None = attr(
        description="Kernel to boot, a path on the hypervisor's machine. By default the image's, where it keeps one.",
        effect=Effect.RESTART,
    )
    initrd: str | None = attr(description="Its initial RAM disk.", effect=Effect.RESTART)
    cmdline: str | None = attr(description="Its command line. By default the image's.", effect=Effect.RESTART)
    disk: list[Disk] = block(description="Disks.", effect=Effect.LIVE)
    interface: list[InterfaceBlock] = block(description="Network interfaces.", effect=Effect.LIVE)
    user_data: Annotated[str, AfterValidator(_user_data)] | None = attr(
        description="What cloud-init is told at the first boot."
    )
    network_config: Annotated[str, AfterValidator(_yaml)] | None = attr(
        description="Network configuration for cloud-init. By default DHCP on every interface."
    )
    meta_data: dict[str, str] | None = attr(description="Further meta data for cloud-init.")
    hostname: str | None = attr(description="Host name of the guest. By default its name.")
    user: str = attr("root", description="Login that Hythe uses in the guest.")
    ssh_keys: list[str] | None = attr(description="Further public keys that may log in.")
    cloud_init: bool = attr(True, description="Whether the guest is given a seed for cloud-init, with Hythe's keys.")
    graphics: Graphics | None = block(description="A screen.", repeated=False, effect=Effect.RESTART)
    rng: bool = attr(True, description="Whether the guest gets random numbers of the host.", effect=Effect.RESTART)
    guest_agent: bool = attr(
        True, description="Whether there is a channel for the QEMU guest agent.", effect=Effect.RESTART
    )
    hostdev: list[HostDevice] = block(
        description="Devices of the host. USB devices are plugged in and out while it runs.", effect=Effect.LIVE
    )
    filesystem: list[Filesystem] = block(description="Folders of the host.", effect=Effect.RESTART)
    watchdog: Watchdog | None = block(
        description="What happens when the guest hangs.", repeated=False, effect=Effect.RESTART
    )
    snapshot: list[Snapshot] = block(description="Snapshots.", effect=Effect.LIVE, unordered=True)
    autostart: bool = attr(False, description="Whether it starts with the host.", effect=Effect.LIVE)
    consistent: bool = attr(
        True,
        description="Whether what runs and what starts next are the same. Hythe sees to it: it is told as a change "
        "when one was changed without the other, or the VM was paused.",
        effect=Effect.LIVE,
    )
    running: bool = attr(True, description="Whether it runs.", effect=Effect.LIVE)
    shutdown_timeout: Duration = attr(
        "1m", description="How long it may take to shut down before it is switched off.", effect=Effect.LIVE
    )
    engine: Literal["docker", "podman"] | None = attr(
        description="Container engine in the guest; with it the VM can be the host of containers.", effect=Effect.LIVE
    )
    wait_for: Literal["boot", "address", "ssh", "cloud-init", "engine"] | None = attr(
        description="When it is ready. By default `engine` with an engine, `ssh` with an image and an interface, else "
        "boot.",
        effect=Effect.LIVE,
    )
    timeouts: Timeouts | None = block(description="How long each stage may take.", repeated=False, effect=Effect.LIVE)
    protected: bool = attr(False, description="Whether it is never destroyed or replaced.", effect=Effect.LIVE)
    allow_data_loss: bool = attr(
        False, description="Whether changes that lose data on its own disks are allowed.", effect=Effect.LIVE
    )
    id: str | None = attr(description="UUID.", computed=True)
    address: str | None = attr(description="First address of the guest.", computed=True, volatile=True)
    addresses: list[str] | None = attr(description="Addresses of the guest.", computed=True, volatile=True)
    macs: list[str] | None = attr(description="MAC addresses of its interfaces.", computed=True)
    accelerated_by: str | None = attr(description="What it runs with: kvm or tcg.", computed=True, volatile=True)
    console_log: str | None = attr(description="Log of its serial console.", computed=True)
    pool: str | None = attr(description="Storage pool of its own disks.", computed=True)
    ssh: SshAccess | None = block(description="How it is reached.", repeated=False, computed=True, volatile=True)

    @model_validator(mode="after")
    def _fits(self) -> VmModel:
        if self.max_cpus is not None and self.cpus > self.max_cpus:
            raise ValueError(f"`cpus` is {self.cpus}, and `max_cpus` allows {self.max_cpus}")
        if self.max_memory is not None and self.memory > self.max_memory:
            raise ValueError("`memory` is more than `max_memory`")
        if self.memory < 16 << 20:
            raise ValueError("`memory` is below 16 MiB, with which nothing boots")
        if (self.initrd or self.cmdline) and self.kernel is None and self.image is None:
            raise ValueError("`initrd` and `cmdline` need `kernel`")
        if self.engine is not None and not self.cloud_init:
            raise ValueError("`engine` needs `cloud_init`: that is how Hythe's keys get into the guest")
        self._check_topology()
        twice = [m for m in (i.mac for i in self.interface) if m]
        if len(set(twice)) < len(twice):
            raise ValueError("two interfaces have the same `mac`")
        return self

    def _check_topology(self) -> None:
        cpu = self.cpu
        if cpu is None or (cpu.sockets or cpu.cores or cpu.threads) is None:
            return
        most = (cpu.sockets or 1) * (cpu.cores or 1) * (cpu.threads or 1)
        if most != (self.max_cpus or self.cpus):
            raise ValueError(
                f"sockets x cores x threads is {most}, and must be the largest number of processors "
                f"({self.max_cpus or self.cpus})"
            )


class VmData(Model):
    """An existing VM, selected by name."""

    name: str = attr(..., description="Name or UUID on the hypervisor.")
    host: HostReference = host_argument()
    uri: str | None = attr(description="Hypervisor. By default qemu:///system.")
    id: str | None = attr(description="UUID.", computed=True)
    cpus: int | None = attr(description="Processors.", computed=True)
    memory: Size | None = attr(description="Memory.", computed=True)
    running: bool | None = attr(description="Whether it runs.", computed=True)
    autostart: bool | None = attr(description="Whether it starts with the host.", computed=True)
    description: str | None = attr(description="What it is for.", computed=True)
    address: str | None = attr(description="First address of the guest.", computed=True)
    addresses: list[str] | None = attr(description="Addresses of the guest.", computed=True)
    macs: list[str] | None = attr(description="MAC addresses of its interfaces.", computed=True)
