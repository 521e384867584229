"""Installing packages and a container engine on a machine, over whatever connection it has. Does nothing twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hythe.diagnostic import error
from hythe.provider.protocol import Host, HostUnreachable, ProviderError

_SECONDS = 900.0
_START_SECONDS = 60.0
_ENGINES = {"docker": {"apt-get": "docker.io", "dnf": "moby-engine", "apk": "docker"}}
_ENGINES["podman"] = {"apt-get": "podman", "dnf": "podman", "apk": "podman"}
_MANAGERS = ("apt-get", "dnf", "apk")
_FIND = 'PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; for p in "$@"; do command -v $p >/dev/null && echo $p; done; :'
_AS_ROOT = 'PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; if [ "$(id -u)" = 0 ]; then exec "$@"; fi; exec sudo -n -- "$@"'
_INSTALLED = {
    "apt-get": ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\\n"],
    "dnf": ["rpm", "-q", "--qf", "installed %{NAME}\\n"],
    "apk": ["apk", "info", "-e"],
}
_APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "DPkg::Lock::Timeout=300")
_INSTALL = {
    "apt-get": [*_APT, "install", "-y", "--no-install-recommends"],
    "dnf": ["dnf", "-q", "-y", "install"],
    "apk": ["apk", "add", "-q"],
}


def missing(host: Host, packages: Sequence[str]) -> list[str]:
    """Those of the packages that are not installed. Raises ProviderError."""
    if not packages:
        return []
    manager = _manager(host)
    done = host.run([*_INSTALLED[manager], *packages], timeout=60)
    text = done.stdout.decode("utf-8", "replace")
    there = {line.split()[-1] for line in text.splitlines() if manager == "apk" or line.startswith("installed ")}
    return [p for p in packages if p not in there]


def install(host: Host, wanted: Mapping[str, Any], progress: Callable[[str], None], check: Callable[[], None]) -> None:
    """Install what is wanted and not there, and start the engine. Raises ProviderError."""
    packages = list(wanted.get("packages") or ())
    engine = wanted.get("engine")
    if engine and not _programs(host, ["dockerd" if engine == "docker" else "podman"]):
        packages.append(_ENGINES[engine][_manager(host)])
        if engine == "docker" and _apparmor(host):
            # with AppArmor in the kernel Docker starts no container without its tools
            packages.append("apparmor")
    left = missing(host, packages)
    if left:
        manager = _manager(host)
        progress(f"installing {', '.join(left)} on {host.name}")
        if manager == "apt-get":
            _checked(host, ["apt-get", "-q", "update"], "update its list of packages")
        _checked(host, [*_INSTALL[manager], *left], f"install {', '.join(left)}")
    if engine:
        progress(f"starting {engine} on {host.name}")
        _start(host, engine, check)


def _start(host: Host, engine: str, check: Callable[[], None]) -> None:
    unit = "docker" if engine == "docker" else "podman.socket"
    if answers(host, engine):
        return
    done = host.run(["sh", "-c", "[ -d /run/systemd/system ]"], timeout=30)
    if done.code == 0:
        _checked(host, ["systemctl", "enable", "--now", unit], f"start {unit}")
    elif engine == "docker":
        _checked(host, ["sh", "-c", "service docker start || /etc/init.d/docker start"], "start docker")
    end = time.monotonic() + _START_SECONDS
    while not answers(host, engine):
        check()
        if time.monotonic() > end:
            raise ProviderError(
                error(
                    "Engine does not start",
                    f"{engine} is installed on {host.name} and does not answer after its start. Look into its log "
                    f"there (`journalctl -u {unit}`).",
                )
            )
        time.sleep(0.5)


def answers(host: Host, engine: str) -> bool:
    """Whether that engine of the machine answers, which need not be the one that Hythe uses there."""
    from hythe.provider.connection.discovery import EngineSettings
    from hythe.provider.connection.local import LocalHost
    from hythe.provider.connection.ssh import SshHost
    from hythe.provider.connection.ssh_engine import find_engine

    settings = EngineSettings(engine)
    try:
        client = find_engine(host, settings) if isinstance(host, SshHost) else LocalHost("local", settings).engine()
        found = client.kind == engine
        client.close()
        return found
    except HostUnreachable:
        return False


def _manager(host: Host) -> str:
    found = _programs(host, _MANAGERS)
    if not found:
        raise ProviderError(
            error(
                "No package manager",
                f"{host.name} has none of {', '.join(_MANAGERS)}, so nothing can be installed there.",
            )
        )
    return found[0]


def _programs(host: Host, names: Sequence[str]) -> list[str]:
    done = host.run(["sh", "-c", _FIND, "sh", *names], timeout=30)
    return done.stdout.decode("utf-8", "replace").split()


def _apparmor(host: Host) -> bool:
    done = host.run(["cat", "/sys/module/apparmor/parameters/enabled"], timeout=30)
    return done.stdout.strip() == b"Y"


def _checked(host: Host, argv: Sequence[str], what: str) -> None:
    done = host.run(["sh", "-c", _AS_ROOT, "sh", *argv], timeout=_SECONDS)
    if done.code != 0:
        lines = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()[-6:]
        shown = "".join(f"\n  {line}" for line in lines)
        raise ProviderError(
            error("Set-up of the host failed", f"{host.name} could not {what} (code {done.code}):{shown}")
        )
