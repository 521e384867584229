"""Finding the container engine of a machine over SSH."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hythe.diagnostic import Diagnostic, error
from hythe.provider.connection.discovery import AUTO, DOCKER, PODMAN, EngineSettings
from hythe.provider.connection.podman_service import IDLE_SECONDS, START_SECONDS
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
for p in dockerd podman; do if command -v $p >/dev/null; then echo "program $p:"; fi; done
"""
# Podman's socket is made by a unit that may just not be started. Where there are no units the service is started by
# hand, in a folder that only this user may enter
_PODMAN = """\
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
run=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}
if [ "$(id -u)" = 0 ]; then run=/run; fi
if [ -d /run/systemd/system ]; then
  if [ "$(id -u)" = 0 ]; then systemctl start podman.socket; else systemctl --user start podman.socket; fi &&
    echo "$run/podman/podman.sock" && exit
fi
if [ ! -d "$run" ]; then run=/tmp; fi
at=$run/hythe-$(id -u)
mkdir -m 700 "$at" 2>/dev/null
if [ ! -O "$at" ] || [ -h "$at" ]; then echo "$at is somebody else's" >&2; exit 1; fi
if ! podman --url "unix://$at/podman.sock" version >/dev/null 2>&1; then
  rm -f "$at/podman.sock"
  nohup podman system service --time "$1" "unix://$at/podman.sock" </dev/null >"$at/podman.log" 2>&1 &
  n=0
  while [ ! -S "$at/podman.sock" ]; do
    n=$((n + 1))
    if [ $n -gt 300 ] || ! kill -0 $! 2>/dev/null; then tail -n 1 "$at/podman.log" >&2; exit 1; fi
    sleep 0.1
  done
fi
echo "$at/podman.sock"
"""
_SECONDS = 30.0


def find_engine(host: SshHost, settings: EngineSettings) -> Engine:
    """The engine of the machine. Raises :class:`HostUnreachable` when there is none, saying what was found."""
    engine = _at(host, settings) if settings.endpoint else _found(host, settings.type)
    if settings.type != AUTO and engine.kind != settings.type:
        kind, endpoint = engine.kind, engine.endpoint
        engine.close()
        raise HostUnreachable(
            error(
                "Another engine than asked for",
                f"The configuration asks for {settings.type}, and {endpoint} on {host.settings.where} is {kind}. Ask "
                f"for {kind} or auto, or name the endpoint of {settings.type}.",
            )
        )
    return engine


def _found(host: SshHost, wanted: str) -> Engine:
    from hythe.provider.container.client import Engine

    found = _look(host)
    sockets, programs = found["socket"], found["program"]
    if wanted != PODMAN:
        for path in sockets.get(DOCKER, []):
            return Engine(f"unix://{path}", connect=to_socket(host, path, DOCKER))
        # a Docker that is only stopped must not be mistaken for a machine of Podman's
        if wanted == DOCKER or "dockerd" in programs:
            raise HostUnreachable(_none(host, wanted, programs))
    for path in sockets.get(PODMAN, []):
        return Engine(f"unix://{path}", connect=to_socket(host, path, PODMAN))
    if PODMAN in programs:
        path = _start_podman(host)
        return Engine(f"unix://{path}", connect=to_socket(host, path, PODMAN, again=_start_podman))
    raise HostUnreachable(_none(host, wanted, programs))


def _start_podman(host: SshHost) -> str:
    """The socket of Podman's service, which its unit makes, or a service of our own that ends when nobody uses it."""
    done = host.run(["sh", "-c", _PODMAN, "sh", str(IDLE_SECONDS)], timeout=START_SECONDS + _SECONDS)
    path = done.stdout.decode("utf-8", "replace").strip()
    if done.code == 0 and path.startswith("/"):
        return path
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    raise HostUnreachable(
        error(
            "Podman service not started",
            f"`podman system service` on {host.settings.where} gives no engine"
            + (f'. It said "{said[0].strip()}".' if said else ".")
            + " Run it by hand there to see more.",
        )
    )


def _look(host: SshHost) -> dict[str, dict[str, list[str]]]:
    done = host.run(["sh", "-c", _LOOK], timeout=_SECONDS)
    out: dict[str, dict[str, list[str]]] = {"socket": {}, "program": {}}
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        what, _, rest = line.partition(" ")
        name, _, path = rest.partition(":")
        if what in out:
            out[what].setdefault(name, []).append(path)
    return out


def _at(host: SshHost, settings: EngineSettings) -> Engine:
    from hythe.provider.container.client import Engine
    from hythe.provider.container.transport import tls_context

    endpoint = settings.endpoint or ""
    parts = urlsplit(endpoint)
    if parts.scheme == "unix":
        return Engine(endpoint, connect=to_socket(host, parts.path, settings.type))
    name, port = parts.hostname or "127.0.0.1", parts.port or (2376 if settings.tls else 2375)
    context = tls_context(settings.tls) if settings.tls else None

    def connect(timeout: float | None) -> socket.socket:
        stream = host.tcp_stream(name, port)
        stream.settimeout(timeout)
        return context.wrap_socket(stream, server_hostname=name) if context else stream

    return Engine(endpoint, connect=connect)


def to_socket(host: SshHost, path: str, kind: str, again: Callable[[SshHost], str] | None = None) -> Connect:
    """How to open streams to an engine's socket. ``again`` starts what listens there, where it may have ended."""

    def connect(timeout: float | None) -> socket.socket:
        try:
            try:
                stream = host.stream(path)
            except (FileNotFoundError, ConnectionRefusedError):
                if again is None:
                    raise
                stream = host.stream(again(host))
        except OSError as failure:
            raise HostUnreachable(_refused(host, path, kind, failure)) from failure
        stream.settimeout(timeout)
        return stream

    return connect


def _refused(host: SshHost, path: str, kind: str, failure: OSError) -> Diagnostic:
    user, where = host.settings.user, host.settings.where
    if isinstance(failure, PermissionError):
        return error(
            "Engine not reachable",
            f"{where} lets Hythe in, and {user} may not open {path} there. Add the user to the group that owns the "
            f"socket (`sudo usermod -aG docker {user}`), or log in as root.",
        )
    unit = "podman.socket" if kind == PODMAN else "docker"
    what = f"there is no {path}" if isinstance(failure, FileNotFoundError) else f"nothing listens on {path}"
    return error(
        "Engine not reachable",
        f"{where} lets Hythe in, and {what} there: the engine is not running. Start it there: `sudo systemctl start "
        f"{unit}`.",
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
