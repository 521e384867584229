"""The machines that one run of Hythe talks to: one connection each, opened when it is first used."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from hythe.diagnostic import error
from hythe.provider.connection.discovery import AUTO, EngineSettings, Machine
from hythe.provider.connection.local import LocalHost
from hythe.provider.connection.tls import TlsFiles
from hythe.provider.protocol import Host, HostUnreachable

LOCAL = "local"


def open_host(name: str, attributes: Mapping[str, Any], machine: Machine | None = None) -> Host:
    """The connection that the attributes of a host or VM describe. Raises :class:`HostUnreachable`."""
    engine = engine_settings(attributes.get("engine") or {})
    connection = str(attributes.get("connection") or LOCAL)
    if connection.startswith("ssh://"):
        from hythe.provider.connection.ssh import SshHost
        from hythe.provider.connection.ssh_config import settings_of

        return SshHost(name, settings_of(connection), engine)
    if "running" in attributes or attributes.get("ssh"):
        from hythe.provider.connection.ssh import SshHost, SshSettings

        _require_reachable(name, attributes)
        return SshHost(name, SshSettings.of(attributes["ssh"]), engine)
    return LocalHost(name, engine, machine)


def _require_reachable(name: str, attributes: Mapping[str, Any]) -> None:
    """A VM that is off, or has no address or keys, is not even tried."""
    if attributes.get("running") is False:
        known = attributes.get("name")
        text = f"{name} is shut off or paused. Start it (`running = true`, `virsh start {known}` or `virsh resume` it)."
    elif not attributes.get("ssh"):
        text = (
            f"{name} has no keys of Hythe: it was imported, or made without `image` or with `cloud_init = false`. "
            "Declare "
            'a host with connection = "ssh" for it.'
        )
    elif not attributes["ssh"].get("address"):
        text = f"{name} runs, and has no address that anybody knows of."
    else:
        return
    raise HostUnreachable(error("Host not reachable", text, address=name))


def engine_settings(engine: Mapping[str, Any] | str) -> EngineSettings:
    """The settings that an ``engine`` block, or the name of an engine, holds."""
    if isinstance(engine, str):
        return EngineSettings(engine)
    ca, cert, key = (engine.get(n) for n in ("ca", "cert", "key"))
    tls = TlsFiles(ca, cert, key) if ca or cert or key else None
    return EngineSettings(engine.get("type", AUTO), engine.get("endpoint"), tls)


class Hosts:
    """Hosts by address, each opened once. May be used from several threads at once."""

    def __init__(self, machine: Machine | None = None) -> None:
        self._machine = machine or Machine()
        self._lock = threading.Lock()
        self._local = LocalHost(LOCAL, machine=self._machine)
        self._open: dict[str, tuple[tuple[Any, ...], Host]] = {}

    @property
    def local(self) -> Host:
        """The machine that Hythe runs on."""
        return self._local

    def get(self, address: str | None, attributes: Mapping[str, Any] | None = None) -> Host:
        """The host of that address; None and ``local`` are this machine.

        ``attributes`` are those of the host instance; without them the host must have been asked for
        before. When they name another connection than before, a new one is opened.

        Raises :class:`HostUnreachable`.
        """
        if address is None or address == LOCAL:
            return self._local
        with self._lock:
            found = self._open.get(address)
            if attributes is None:
                if found is None:
                    raise HostUnreachable(_unknown(address))
                return found[1]
            wanted = _connection(attributes)
            if found is not None and found[0] == wanted:
                return found[1]
            made = open_host(address, attributes, self._machine)
            self._open[address] = wanted, made
        if found is not None:
            found[1].close()
        return made

    def close(self) -> None:
        """Give up all connections."""
        with self._lock:
            hosts, self._open = [host for _, host in self._open.values()], {}
        for host in (self._local, *hosts):
            host.close()


def _connection(attributes: Mapping[str, Any]) -> tuple[Any, ...]:
    engine, ssh = attributes.get("engine") or {}, attributes.get("ssh") or {}
    if isinstance(engine, str):
        engine = {"type": engine}
    ways = (engine.get(n) for n in ("type", "endpoint", "ca", "cert", "key"))
    return attributes.get("connection", LOCAL), attributes.get("running"), repr(sorted(ssh.items())), *ways


def _unknown(address: str) -> Any:
    return error(
        "Host not known",
        f"{address} is not in the state, so there is no way to reach it. Apply the host first, or import it.",
        address=address,
    )
