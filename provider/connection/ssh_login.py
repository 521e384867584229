"""Logging in over SSH: addresses, jump hosts, host keys, and the ways to prove who one is."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hythe.diagnostic import Diagnostic, error
from hythe.provider.protocol import HostUnreachable

PORT = 22
_BANNER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class SshSettings:
    """How to log in to a machine.

    ``private_key`` is a key in OpenSSH's PEM form, ``host_key`` the machine's public key (``ssh-ed25519 AAAA...``).
    Without keys the agent and the user's own keys are tried; without ``host_key`` the known_hosts files decide.
    ``jump`` are machines to go through, in order. Times are in seconds.
    """

    address: str
    port: int = PORT
    user: str = "root"
    private_key: str | None = None
    key_file: str | None = None
    password: str | None = None
    agent: bool = True
    host_key: str | None = None
    known_hosts: str | None = None
    jump: tuple[SshSettings, ...] = field(default=())
    connect_timeout: float = 10.0
    keepalive: int = 15

    @property
    def where(self) -> str:
        """For messages: ``root@10.0.0.5:22``."""
        return f"{self.user}@{self.address}:{self.port}"

    @classmethod
    def of(cls, block: Mapping[str, Any]) -> SshSettings:
        """From the canonical ``ssh`` block of a host or VM."""
        names = ("private_key", "key_file", "password", "host_key", "known_hosts")
        given: dict[str, Any] = {n: block[n] for n in names if block.get(n) is not None}
        if block.get("agent") is not None:
            given["agent"] = bool(block["agent"])
        return cls(
            str(block["address"]),
            int(block.get("port") or PORT),
            str(block.get("user") or "root"),
            jump=tuple(cls.of(j) for j in block.get("jump") or ()),
            **given,
        )


class SshTransport:
    """A connection that is logged in, with those of the jump hosts that it goes through."""

    def __init__(self, inner: Any, through: Sequence[Any]) -> None:
        self.inner = inner
        self._through = list(through)

    def is_active(self) -> bool:
        """Whether it still stands."""
        return bool(self.inner.is_active())

    def close(self) -> None:
        """Close it, and what it goes through."""
        for transport in (self.inner, *reversed(self._through)):
            transport.close()


def log_in(name: str, settings: SshSettings) -> SshTransport:
    """Connect and log in, through the jump hosts. Raises :class:`HostUnreachable`, which says how far it came."""
    through: list[Any] = []
    try:
        for hop in (*settings.jump, settings):
            stream = _open(hop, through[-1] if through else None)
            through.append(_start(name, hop, stream))
    except BaseException:
        for transport in reversed(through):
            transport.close()
        raise
    return SshTransport(through[-1], through[:-1])


def _open(hop: SshSettings, through: Any) -> Any:
    if through is None:
        try:
            return socket.create_connection((hop.address, hop.port), hop.connect_timeout)
        except OSError as failure:
            raise HostUnreachable(_not_reached(hop, failure)) from failure
    import paramiko

    try:
        return through.open_channel(
            "direct-tcpip", (hop.address, hop.port), ("127.0.0.1", 0), timeout=hop.connect_timeout
        )
    except (paramiko.SSHException, EOFError, OSError) as failure:
        raise HostUnreachable(
            error("Machine not reachable", f"The jump host cannot reach {hop.where}: {_words(failure)}.")
        ) from failure


def _start(name: str, hop: SshSettings, stream: Any) -> Any:
    import paramiko

    transport = paramiko.Transport(stream)
    transport.banner_timeout = transport.auth_timeout = _BANNER_SECONDS
    try:
        wanted = _known_keys(hop)
        preferred = list(dict.fromkeys(k.get_name() for k in wanted))
        if preferred:
            options = transport.get_security_options()
            have = [k for k in options.key_types if _family(k) in {_family(p) for p in preferred}]
            options.key_types = tuple(have) or options.key_types
        transport.start_client(timeout=_BANNER_SECONDS)
        _check_host_key(name, hop, transport.get_remote_server_key(), wanted)
        _authenticate(hop, transport)
        transport.set_keepalive(hop.keepalive)
    except HostUnreachable:
        transport.close()
        raise
    except (paramiko.SSHException, EOFError, OSError) as failure:
        transport.close()
        raise HostUnreachable(
            error(
                "SSH failed",
                f"{hop.where} answers, and SSH cannot be spoken with it: {_words(failure)}. Is that the port of an SSH "
                "server?",
            )
        ) from failure
    return transport


def _words(failure: BaseException) -> str:
    text = getattr(failure, "strerror", None) or str(failure) or type(failure).__name__
    return str(text).rstrip(".")


def _not_reached(hop: SshSettings, failure: OSError) -> Diagnostic:
    if isinstance(failure, ConnectionRefusedError):
        why = f"{hop.address} refuses connections on port {hop.port}: no SSH server listens there"
    elif isinstance(failure, socket.gaierror):
        why = f'there is no machine of the name "{hop.address}"'
    elif isinstance(failure, TimeoutError):
        why = f"{hop.address} does not answer on port {hop.port}: it is off, or a firewall is between"
    else:
        why = _words(failure)
    return error("Machine not reachable", f"{hop.where} cannot be reached: {why}.")


# -- host keys ------------------------------------------------------------------------------------


def fingerprint(key: Any) -> str:
    """As OpenSSH shows it: ``SHA256:...``."""
    digest = hashlib.sha256(key.asbytes()).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _family(name: str) -> str:
    return "ssh-rsa" if name.startswith("rsa-sha2") else name


def _known_keys(hop: SshSettings) -> list[Any]:
    """The keys that the machine may have. Raises HostUnreachable when one that is given cannot be read."""
    import paramiko

    if hop.host_key is not None:
        try:
            kind, data = hop.host_key.split()[:2]
            return [paramiko.PKey.from_type_string(kind, base64.b64decode(data))]
        except Exception as failure:
            raise HostUnreachable(
                error(
                    "Host key not understood",
                    f'`host_key` of {hop.where} must be a public key like "ssh-ed25519 AAAA...": {_words(failure)}.',
                )
            ) from failure
    found: list[Any] = []
    name = hop.address if hop.port == PORT else f"[{hop.address}]:{hop.port}"
    for path in known_hosts_files(hop):
        try:
            keys = paramiko.HostKeys(path)
        except (OSError, paramiko.SSHException):
            continue
        entries = keys.lookup(name)
        found += list(entries.values()) if entries else []
    return found


def known_hosts_files(hop: SshSettings) -> list[str]:
    """Where keys of machines are looked up."""
    if hop.known_hosts is not None:
        return [os.path.expanduser(hop.known_hosts)]
    return [os.path.expanduser("~/.ssh/known_hosts"), "/etc/ssh/ssh_known_hosts"]


def _check_host_key(name: str, hop: SshSettings, key: Any, wanted: Sequence[Any]) -> None:
    if any(key.get_name() == w.get_name() and key.asbytes() == w.asbytes() for w in wanted):
        return
    shown = fingerprint(key)
    if wanted:
        told = ", ".join(f"{w.get_name()} {fingerprint(w)}" for w in wanted)
        raise HostUnreachable(
            error(
                "Host key is not the one expected",
                f"{hop.where} ({name}) has the host key {key.get_name()} {shown}, and {told} is expected. Either the "
                "machine was set up anew, or somebody is in between: find out which before you go on. Nothing was "
                "sent.",
            )
        )
    where = " or ".join(known_hosts_files(hop))
    raise HostUnreachable(
        error(
            "Host key not known",
            f"{hop.where} ({name}) has the host key {key.get_name()} {shown}, which nobody vouches for. Compare it "
            "with what the machine itself says (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on its console). "
            "If they "
            f'agree, put it into {where}, or write host_key = "{key.get_name()} {key.get_base64()}".',
        )
    )


# -- proving who one is ---------------------------------------------------------------------------


def _authenticate(hop: SshSettings, transport: Any) -> None:
    import paramiko

    tried: list[str] = []
    for what, key in _keys(hop, tried):
        try:
            if not transport.auth_publickey(hop.user, key):
                return
        except paramiko.AuthenticationException:
            tried.append(what)
        if transport.is_authenticated():
            return
        if not transport.is_active():
            break
    if hop.password is not None and transport.is_active():
        try:
            transport.auth_password(hop.user, hop.password)
        except paramiko.AuthenticationException:
            tried.append("the password")
        else:
            return
    shown = ", ".join(tried) or "nothing, as there is no key, agent or password"
    raise HostUnreachable(
        error(
            "Login refused",
            f"{hop.where} does not let Hythe in. Tried: {shown}. Put the public key into ~/.ssh/authorized_keys of "
            f"{hop.user} there, or name another key or user.",
        )
    )


def _keys(hop: SshSettings, tried: list[str]) -> Any:
    """Keys to try, with what to call each; what cannot be read is noted as tried."""
    import io

    import paramiko

    if hop.private_key is not None:
        try:
            yield "the key of the state", paramiko.Ed25519Key.from_private_key(io.StringIO(hop.private_key))
        except paramiko.SSHException:
            try:
                yield "the given key", paramiko.RSAKey.from_private_key(io.StringIO(hop.private_key))
            except paramiko.SSHException:
                tried.append("the given key, which cannot be read")
        return
    files = [hop.key_file] if hop.key_file is not None else [f"~/.ssh/id_{k}" for k in ("ed25519", "ecdsa", "rsa")]
    for path in map(os.path.expanduser, files):
        if not os.path.exists(path):
            if hop.key_file is not None:
                tried.append(f"{path}, which is not there")
            continue
        try:
            yield path, paramiko.PKey.from_path(path)
        except paramiko.PasswordRequiredException:
            tried.append(f"{path}, which has a passphrase (add it to an agent: `ssh-add {path}`)")
        except Exception as failure:
            tried.append(f"{path}, which cannot be read ({_words(failure)})")
    if hop.agent and os.environ.get("SSH_AUTH_SOCK"):
        for key in paramiko.Agent().get_keys():
            yield f"the agent's key {getattr(key, 'comment', '') or fingerprint(key)}", key
