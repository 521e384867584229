"""Finding the container engine of a machine over SSH."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hythe.diagnostic import Diagnostic, error
from hythe.provider.connection.discovery import AUTO, DOCKER, PODMAN, EngineSettings
from hythe.provider.protocol import HostUnreachable

if TYPE_CHECKING:
    from hythe.provider.connection.ssh import SshHost
    from hythe.provider.container.client import Engine
    from hythe.provider.container.transport import Connect

_LOOK = """\
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
run=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}
for s in docker:/var/run/docker.sock "docker:$run/docker.sock" \
  podman:/run/podman/podman.sock "podman:$run/podman/podman.sock"; do
  if [ -S "${s#*:}" ]; then echo "socket $s"; fi
done
for p in dockerd podman systemctl; do if command -v $p >/dev/null; then echo "program $p:"; fi; done
echo "user $(id -un):"
"""
_SECONDS = 30.0


def find_engine(host: SshHost, settings: EngineSettings) -> Engine:
    """The engine of the machine. Raises :class:`HostUnreachable` when there is none, saying what was found."""
    from hythe.provider.container.client import Engine

    if settings.endpoint:
        return _at(host, settings.endpoint)
    found = _look(host)
    wanted = (DOCKER, PODMAN) if settings.type == AUTO else (settings.type,)
    for kind in wanted:
        for path in found["socket"].get(kind, []):
            return Engine(f"unix://{path}", connect=_to_socket(host, path, kind))
    startable = PODMAN in wanted and PODMAN in found["program"] and "systemctl" in found["program"]
    # Podman's socket is made by a unit that may just not be started
    if startable and host.run(["systemctl", "start", "podman.socket"], timeout=_SECONDS).code == 0:
        path = "/run/podman/podman.sock"
        return Engine(f"unix://{path}", connect=_to_socket(host, path, PODMAN))
    raise HostUnreachable(_none(host, settings.type, found["program"]))


def _look(host: SshHost) -> dict[str, dict[str, list[str]]]:
    done = host.run(["sh", "-c", _LOOK], timeout=_SECONDS)
    out: dict[str, dict[str, list[str]]] = {"socket": {}, "program": {}, "user": {}}
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        what, _, rest = line.partition(" ")
        name, _, path = rest.partition(":")
        if what in out:
            out[what].setdefault(name, []).append(path)
    return out


def _at(host: SshHost, endpoint: str) -> Engine:
    from hythe.provider.container.client import Engine

    parts = urlsplit(endpoint)
    if parts.scheme == "unix":
        return Engine(endpoint, connect=_to_socket(host, parts.path, DOCKER))
    name, port = parts.hostname or "127.0.0.1", parts.port or 2375

    def connect(timeout: float | None) -> socket.socket:
        stream = host.tcp_stream(name, port)
        stream.settimeout(timeout)
        return stream

    return Engine(endpoint, connect=connect)


def _to_socket(host: SshHost, path: str, kind: str) -> Connect:
    import paramiko

    def connect(timeout: float | None) -> socket.socket:
        try:
            stream = host.stream(path)
        except HostUnreachable as failure:
            cause = failure.__cause__
            if isinstance(cause, paramiko.ChannelException) and cause.code == 2:
                raise HostUnreachable(_refused(host, path, kind)) from failure
            raise
        stream.settimeout(timeout)
        return stream

    return connect


def _refused(host: SshHost, path: str, kind: str) -> Diagnostic:
    unit = "docker" if kind == DOCKER else "podman.socket"
    return error(
        "Engine not reachable",
        f"{host.settings.where} lets Hythe in, and {path} there cannot be opened: the engine is not running (start it: "
        f"`sudo systemctl start {unit}`), or {host.settings.user} may not use it (`sudo usermod -aG docker "
        f"{host.settings.user}`, then log in again).",
    )


def _none(host: SshHost, kind: str, programs: dict[str, list[str]]) -> Diagnostic:
    where = host.settings.where
    if kind != PODMAN and "dockerd" in programs:
        return error(
            "Docker is installed but not running",
            f"{where} has Docker, and no socket of it. Start it there: `sudo systemctl start docker`.",
        )
    wanted = "no container engine" if kind == AUTO else f"no {kind}"
    package = "podman" if kind == PODMAN else "docker.io"
    return error(
        "No engine found",
        f"There is {wanted} on {where}. Install one there (`sudo apt-get install {package}`), or let Hythe do it: "
        f'`install {{ engine = "{PODMAN if kind == PODMAN else DOCKER}" }}` in its host block.',
    )
