"""Facts of a machine, asked for in one call that works over any connection."""

from __future__ import annotations

from dataclasses import dataclass

from hythe.diagnostic import error
from hythe.provider.protocol import Host, HostUnreachable, ProviderError

FACTS_SECONDS = 30.0

_SCRIPT = """\
echo "os=$(uname -s)"
echo "arch=$(uname -m)"
echo "kernel=$(uname -r)"
echo "hostname=$(cat /proc/sys/kernel/hostname 2>/dev/null || uname -n)"
echo "machine_id=$(cat /etc/machine-id 2>/dev/null)"
echo "cpus=$(getconf _NPROCESSORS_ONLN 2>/dev/null)"
sed -n 's/^MemTotal: *\\([0-9]*\\) kB$/memory_kib=\\1/p' /proc/meminfo 2>/dev/null
sed -n 's/^\\(ID\\|VERSION_ID\\)=/release_\\1=/p' /etc/os-release 2>/dev/null
:
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a machine is. ``memory`` is in bytes; ``arch`` as ``uname -m`` gives it."""

    os: str
    arch: str
    kernel: str
    hostname: str
    cpus: int
    memory: int
    distribution: str
    distribution_version: str
    machine_id: str = ""


def gather(host: Host) -> Facts:
    """Ask a machine for its facts. Raises :class:`HostUnreachable`."""
    try:
        done = host.run(["sh", "-c", _SCRIPT], timeout=FACTS_SECONDS)
    except HostUnreachable:
        raise
    except ProviderError as failure:
        raise HostUnreachable(*failure.diagnostics) from failure
    if done.code != 0:
        said = done.stderr.decode("utf-8", "replace").strip() or f"code {done.code}"
        raise HostUnreachable(
            error("Host gives no facts", f"Asking {host.name} what it is failed: {said}. It must have a POSIX shell.")
        )
    return parse(done.stdout.decode("utf-8", "replace"))


def parse(text: str) -> Facts:
    """Facts from ``name=value`` lines."""
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def number(name: str) -> int:
        value = found.get(name, "")
        return int(value) if value.isdigit() else 0

    return Facts(
        os=found.get("os", "").lower(),
        arch=found.get("arch", ""),
        kernel=found.get("kernel", ""),
        hostname=found.get("hostname", ""),
        cpus=number("cpus"),
        memory=number("memory_kib") * 1024,
        distribution=found.get("release_ID", "").strip("\"'"),
        distribution_version=found.get("release_VERSION_ID", "").strip("\"'"),
        machine_id=found.get("machine_id", ""),
    )
