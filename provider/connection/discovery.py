"""Which engine a machine has, and how to reach it.

In this order: an endpoint in the configuration; ``DOCKER_HOST``; ``CONTAINER_HOST``; the docker context
in use; Docker's socket; rootless Docker's socket; Podman's sockets; the podman command, whose service
is then started. What is named but does not answer is an error, never a reason to take the next: another
engine would look as if everything on the first one were gone.
"""

from __future__ import annotations

import enum
import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hythe.diagnostic import Diagnostic, error
from hythe.provider.connection.contexts import config_folder, selected_context
from hythe.provider.connection.tls import TlsFiles
from hythe.provider.protocol import HostUnreachable

if TYPE_CHECKING:
    from hythe.provider.container.transport import Connect

AUTO, DOCKER, PODMAN = "auto", "docker", "podman"
DOCKER_SOCKET = "/var/run/docker.sock"
PODMAN_SOCKET = "/run/podman/podman.sock"
_PROBE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What the configuration says of a machine's engine. ``type`` is auto, docker or podman."""

    type: str = AUTO
    endpoint: str | None = None
    tls: TlsFiles | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an engine is. ``source`` says how it was found; ``connect`` replaces how streams are opened."""

    address: str
    source: str
    tls: TlsFiles | None = None
    connect: Connect | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """The outside world of discovery. ``root`` is put before the well-known paths of sockets."""

    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    which: Callable[[str], str | None] = shutil.which
    root: str = ""

    def sockets(self, engine: str) -> Iterator[tuple[str, str]]:
        """Well-known sockets of an engine: path and what to call it."""
        runtime = self.environment.get("XDG_RUNTIME_DIR")
        if engine == DOCKER:
            yield self.root + DOCKER_SOCKET, "Docker's socket"
            if runtime:
                yield f"{runtime}/docker.sock", "rootless Docker's socket"
        else:
            yield self.root + PODMAN_SOCKET, "Podman's socket"
            if runtime:
                yield f"{runtime}/podman/podman.sock", "rootless Podman's socket"


class Socket(enum.Enum):
    """What became of trying a socket."""

    ANSWERS = "answers"
    ABSENT = "absent"
    REFUSES = "refuses"
    DENIED = "denied"


def probe(path: str) -> tuple[Socket, Exception | None]:
    """Try to open a socket, without saying anything on it."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return Socket.REFUSES, OSError(f"{path} is not a socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
            stream.settimeout(_PROBE_SECONDS)
            stream.connect(path)
    except (FileNotFoundError, NotADirectoryError) as failure:
        return Socket.ABSENT, failure
    except PermissionError as failure:
        return Socket.DENIED, failure
    except OSError as failure:
        return Socket.REFUSES, failure
    return Socket.ANSWERS, None


def discover(settings: EngineSettings, machine: Machine | None = None) -> Endpoint:
    """The engine to use. Raises :class:`HostUnreachable` when there is none, saying what was tried."""
    machine = machine or Machine()
    if settings.endpoint:
        return _checked(Endpoint(settings.endpoint, "the engine block", settings.tls))
    named = _named(settings.type, machine.environment)
    if named is not None:
        return _checked(named)
    if settings.type != PODMAN:
        found = _docker(settings.type, machine)
        if found is not None:
            return found
    if settings.type != DOCKER:
        found = _podman(machine)
        if found is not None:
            return found
    raise HostUnreachable(_none(settings.type, machine))


def _named(engine: str, environment: Mapping[str, str]) -> Endpoint | None:
    # a host whose block says docker or podman means an engine of this machine: what the environment
    # names for the other one is not it
    if engine != PODMAN and environment.get("DOCKER_HOST"):
        return Endpoint(environment["DOCKER_HOST"], "DOCKER_HOST", _environment_tls(environment))
    if engine != DOCKER and environment.get("CONTAINER_HOST"):
        return Endpoint(environment["CONTAINER_HOST"], "CONTAINER_HOST")
    if engine == PODMAN:
        return None
    context = selected_context(environment)
    if context is None:
        return None
    if context.problem:
        raise HostUnreachable(
            error(
                "Docker context not usable",
                f'The docker context "{context.name}" is selected, and {context.problem}. Select another one '
                "(`docker context ls`, `docker context use default`), or set DOCKER_HOST.",
            )
        )
    return Endpoint(context.endpoint, f'docker context "{context.name}"', context.tls)


def _environment_tls(environment: Mapping[str, str]) -> TlsFiles | None:
    verify = bool(environment.get("DOCKER_TLS_VERIFY"))
    folder = environment.get("DOCKER_CERT_PATH")
    if not verify and not folder and not environment.get("DOCKER_TLS"):
        return None
    folder = folder or config_folder(environment)
    there = {n: os.path.join(folder, f"{n}.pem") for n in ("ca", "cert", "key")}
    known = {n: path if os.path.exists(path) else None for n, path in there.items()}
    return TlsFiles(known["ca"], known["cert"], known["key"], verify=verify)


def _checked(endpoint: Endpoint) -> Endpoint:
    if endpoint.address.startswith("ssh://"):
        return _over_ssh(endpoint)
    if not endpoint.address.startswith(("unix:///", "/", "tcp://", "http://", "https://")):
        raise HostUnreachable(
            error(
                "Engine endpoint not understood",
                f'{endpoint.source} names "{endpoint.address}". Write unix:///path/of/socket or tcp://host:port.',
            )
        )
    return endpoint


def _over_ssh(endpoint: Endpoint) -> Endpoint:
    """An engine behind SSH, as DOCKER_HOST, CONTAINER_HOST and docker contexts name one."""
    from urllib.parse import unquote, urlsplit

    from hythe.provider.connection.ssh import SshHost
    from hythe.provider.connection.ssh_config import settings_of
    from hythe.provider.connection.ssh_engine import to_socket

    host = SshHost(endpoint.source, settings_of(endpoint.address))
    path = unquote(urlsplit(endpoint.address).path)
    kind = PODMAN if endpoint.source == "CONTAINER_HOST" else DOCKER
    usual = PODMAN_SOCKET if kind == PODMAN else DOCKER_SOCKET
    return replace(endpoint, connect=to_socket(host, path if len(path) > 1 else usual, kind))


def _docker(engine: str, machine: Machine) -> Endpoint | None:
    problem: tuple[str, Exception | None] | None = None
    for path, source in machine.sockets(DOCKER):
        state, failure = probe(path)
        if state is Socket.ANSWERS:
            return Endpoint(f"unix://{path}", source)
        if state is not Socket.ABSENT and problem is None:
            problem = path, failure
    if problem is not None:
        raise HostUnreachable(_unusable(*problem, engine, machine))
    if engine == AUTO and machine.which("dockerd"):
        podman = bool(machine.which("podman"))
        raise HostUnreachable(
            error(
                "Docker is installed but not running",
                f"There is no socket at {machine.root}{DOCKER_SOCKET}. Start Docker: {start_command(machine)}."
                + (" To use Podman instead, set HYTHE_ENGINE=podman." if podman else ""),
            )
        )
    return None


def _podman(machine: Machine) -> Endpoint | None:
    for path, source in machine.sockets(PODMAN):
        state, _ = probe(path)
        # a socket that another user's or a dead service left is no obstacle: the command makes a new one
        if state is Socket.ANSWERS:
            return Endpoint(f"unix://{path}", source)
    command = machine.which("podman")
    if command is None:
        return None
    from hythe.provider.connection.podman_service import PodmanService

    service = PodmanService(command, machine.environment)
    return Endpoint(service.endpoint, "the podman command", connect=service.connect)


def start_command(machine: Machine) -> str:
    """How to start Docker on this machine."""
    if os.path.isdir(machine.root + "/run/systemd/system"):
        return "`sudo systemctl start docker`"
    return "`sudo service docker start`"


def _unusable(path: str, failure: Exception | None, engine: str, machine: Machine) -> Diagnostic:
    assert failure is not None
    if isinstance(failure, ConnectionRefusedError):
        detail = (
            f"{path} exists, and nothing listens on it: the engine was killed or is still starting. Start it: "
            f"{start_command(machine)}."
        )
        found = error("Engine not reachable", detail)
    else:
        from hythe.provider.container.transport import unreachable

        found = unreachable(f"unix://{path}", failure)
    if engine == AUTO and machine.which("podman"):
        found = error(found.summary, f"{found.detail} To use Podman instead, set HYTHE_ENGINE=podman.")
    return found


def _none(engine: str, machine: Machine) -> Diagnostic:
    wanted = {DOCKER: "Docker", PODMAN: "Podman"}.get(engine, "Docker or Podman")
    package = "podman" if engine == PODMAN else "docker.io"
    tried = [path for kind in (DOCKER, PODMAN) if engine in (AUTO, kind) for path, _ in machine.sockets(kind)]
    return error(
        "No container engine found",
        f"This machine has no {wanted} that Hythe can find: there is nothing at {', '.join(tried)}"
        f"{'' if engine == DOCKER else ', and no podman command'}. Install one (`sudo apt-get install {package}`), or "
        "name one that runs elsewhere with DOCKER_HOST. `hythe doctor` shows what is there.",
    )
