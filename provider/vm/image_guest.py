"""What every guest that Hythe builds has: the packages, files and set-up that let it boot, be reached and grow."""

from __future__ import annotations

_UBUNTU = ("focal", "jammy", "noble", "oracular", "plucky", "questing")

_PACKAGES = (
    "ca-certificates",
    "cloud-init",
    "dbus",
    "e2fsprogs",
    "initramfs-tools",
    "iproute2",
    "netplan.io",
    "openssh-server",
    "procps",
    "qemu-guest-agent",
    "sudo",
    "systemd-sysv",
    "udev",
    "zstd",
)

_MODULES = """\
virtio_pci
virtio_blk
virtio_scsi
virtio_net
virtio_rng
virtio_console
sd_mod
sr_mod
ahci
ata_piix
isofs
ext4
"""
_FSTAB = "LABEL={label} / ext4 rw,discard,errors=remount-ro,x-systemd.growfs 0 1\n"
_CLOUD = """\
# where a guest looks for what it is told at its first boot
datasource_list: [NoCloud, None]
ssh_genkeytypes: [ed25519]
# its file system is grown when it is mounted
growpart: {mode: "off"}
resize_rootfs: false
apt: {preserve_sources_list: true}
locale: false
grub_dpkg: {enabled: false}
"""
_HOTPLUG = 'SUBSYSTEM=="cpu", ACTION=="add", TEST=="online", ATTR{online}!="1", ATTR{online}="1"\n'
_IDLE = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "man-db.timer",
)


def guest_packages(suite: str, architecture: str) -> tuple[str, ...]:
    """Packages that every guest of a suite needs; ``architecture`` is Debian's name of it."""
    kernel = "linux-image-virtual" if suite in _UBUNTU else f"linux-image-cloud-{architecture}"
    return (kernel, *_PACKAGES)


def guest_files(label: str) -> dict[str, str]:
    """Files that every guest has, by path. ``label`` is the root file system's."""
    return {
        "/etc/fstab": _FSTAB.format(label=label),
        "/etc/initramfs-tools/conf.d/hythe": "MODULES=list\nCOMPRESS=zstd\n",
        "/etc/initramfs-tools/modules": _MODULES,
        "/etc/cloud/cloud.cfg.d/90-hythe.cfg": _CLOUD,
        # a processor that is plugged in is used
        "/etc/udev/rules.d/80-hythe.rules": _HOTPLUG,
        "/etc/modules-load.d/hythe.conf": "virtio_balloon\n",
        "/etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n",
    }


def guest_setup(*, last: bool = False) -> list[str]:
    """Commands that are run inside a new guest, before those of the user or ``last`` of all."""
    if not last:
        return [f"systemctl mask {' '.join(_IDLE)}"]
    return [
        "update-initramfs -u -k all",
        # times of files are set to one value in the image, after which Python would compile everything at each boot
        "python3 -m compileall -q -f --invalidation-mode unchecked-hash /usr/lib/python3 /usr/lib/python3.* || true",
        # nothing that two guests must not share, and nothing that is stale by tomorrow
        "rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id /etc/hostname",
        ": > /etc/machine-id",
        "rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/*.log /var/log/apt",
    ]
