"""Logging in over SSH: addresses, jump hosts, host keys, and the ways to prove who one is."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hythe.diagnostic import Diagnostic, error
from hythe.provider.protocol import HostUnreachable

PORT = 22
_BANNER_SECONDS = 30.0
_LOST_MILLISECONDS = 60_000
"""For how long a machine may leave packets unanswered, the keepalive ones too, before it counts as gone."""


@dataclass(frozen=True, slots=True)
class SshSettings:
    """How to log in to a machine.

    ``private_key`` is a key in OpenSSH's PEM form, ``host_key`` the machine's public key (``ssh-ed25519 AAAA...``).
    ``key_files`` are tried one after the other; ``key_file`` is for one alone. Without keys the agent and the user's
    own keys are tried; without ``host_key`` the known_hosts files decide. ``jump`` are machines to go through, in
    order. Times are in seconds.
    """

    address: str
    port: int = PORT
    user: str = "root"
    private_key: str | None = None
    key_file: str | None = None
    key_files: tuple[str, ...] = ()
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
    # what paramiko logs is in the diagnostics, and belongs on no terminal that nobody set logging up for
    log = logging.getLogger("paramiko")
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    through: list[Any] = []
    try:
        for at, hop in enumerate((*settings.jump, settings)):
            what = name if hop is settings else f"a jump host on the way to {name}"
            stream = _open(what, hop, through[-1] if through else None, settings.jump[at - 1] if at else None)
            through.append(_start(what, hop, stream))
    except BaseException:
        for transport in reversed(through):
            transport.close()
        raise
    return SshTransport(through[-1], through[:-1])


def _open(name: str, hop: SshSettings, through: Any, last: SshSettings | None) -> Any:
    if through is None or last is None:
        try:
            stream = socket.create_connection((hop.address, hop.port), hop.connect_timeout)
        except OSError as failure:
            raise HostUnreachable(_not_reached(name, hop, failure)) from failure
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _LOST_MILLISECONDS)
        return stream
    import paramiko

    try:
        return through.open_channel(
            "direct-tcpip", (hop.address, hop.port), ("127.0.0.1", 0), timeout=hop.connect_timeout
        )
    except (paramiko.SSHException, EOFError, OSError) as failure:
        raise HostUnreachable(
            error(
                "Machine not reachable",
                f"The jump host {last.where} cannot reach {hop.where} ({name}): {_words(failure)}. Check the address "
                "as the jump host sees it, and that it allows forwarding (AllowTcpForwarding).",
            )
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
    told = (getattr(failure, name, None) for name in ("strerror", "text"))
    return str(next((t for t in told if t), None) or str(failure) or type(failure).__name__).rstrip(".")


def _not_reached(name: str, hop: SshSettings, failure: OSError) -> Diagnostic:
    if isinstance(failure, ConnectionRefusedError):
        why = f"{hop.address} refuses connections on port {hop.port}: no SSH server listens there"
    elif isinstance(failure, socket.gaierror):
        why = f'there is no machine of the name "{hop.address}"'
    elif isinstance(failure, TimeoutError):
        why = f"{hop.address} does not answer on port {hop.port}: it is off, or a firewall is between"
    else:
        why = _words(failure)
    return error("Machine not reachable", f"{hop.where} ({name}) cannot be reached: {why}.")


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
    revoked: set[bytes] = set()
    name = hop.address if hop.port == PORT else f"[{hop.address}]:{hop.port}"
    for line in _known_lines(hop):
        marker, _, rest = line.partition(" ") if line.startswith("@") else ("", "", line)
        # a key of an authority (@cert-authority) is no key of a machine
        if marker not in ("", "@revoked"):
            continue
        try:
            keys = paramiko.HostKeys()
            entry = paramiko.hostkeys.HostKeyEntry.from_line(rest)
            keys._entries.append(entry)
            entries = keys.lookup(name) if entry is not None else None
        except Exception:  # noqa: S112 - whatever a line holds that is no key, it vouches for none
            continue
        if marker:
            revoked.update(k.asbytes() for k in (entries or {}).values())
        else:
            found += list((entries or {}).values())
    return [k for k in found if k.asbytes() not in revoked]


def _known_lines(hop: SshSettings) -> list[str]:
    out: list[str] = []
    for path in known_hosts_files(hop):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                out += [line.strip() for line in file]
        except OSError:
            continue
    return [line for line in out if line and not line.startswith("#")]


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
    tried: list[str] = []
    for what, key in _keys(hop, tried):
        if _accepted(tried, what, transport, partial(transport.auth_publickey, hop.user, key)):
            return
        if not transport.is_active():
            break
    password = hop.password if transport.is_active() else None
    attempt = partial(transport.auth_password, hop.user, password)
    if password is not None and _accepted(tried, "the password", transport, attempt):
        return
    shown = ", ".join(tried) or "nothing, as there is no key, agent or password"
    ended = "" if transport.is_active() else " The server ended the login then: it allows few attempts (MaxAuthTries)."
    raise HostUnreachable(
        error(
            "Login refused",
            f"{hop.where} does not let Hythe in. Tried: {shown}.{ended} Put the public key into ~/.ssh/authorized_keys "
            f"of {hop.user} there, or name another key or user.",
        )
    )


def _accepted(tried: list[str], what: str, transport: Any, attempt: Callable[[], Any]) -> bool:
    """Whether an attempt lets one in; what the server asks for besides is for the next attempt."""
    import paramiko

    try:
        attempt()
    except (paramiko.SSHException, EOFError, OSError):
        tried.append(what)
        return False
    if transport.is_authenticated():
        return True
    tried.append(f"{what}, which is not enough alone")
    return False


def _keys(hop: SshSettings, tried: list[str]) -> Any:
    """Keys to try, with what to call each; what cannot be read is noted as tried."""
    import io

    import paramiko

    if hop.private_key is not None:
        text = hop.private_key if hop.private_key.endswith("\n") else f"{hop.private_key}\n"
        for family in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
            try:
                key = family.from_private_key(io.StringIO(text))
            except Exception:  # noqa: S112 - each family says in its own way that the key is none of its own
                continue
            yield "the key in `private_key`", key
            return
        tried.append("the key in `private_key`, which cannot be read (a passphrase is not possible there)")
        return
    named = [hop.key_file] if hop.key_file is not None else list(hop.key_files)
    files = named or [f"~/.ssh/id_{k}" for k in ("ed25519", "ecdsa", "rsa")]
    for path in map(os.path.expanduser, files):
        if not os.path.exists(path):
            if named:
                tried.append(f"{path}, which is not there")
            continue
        try:
            yield path, paramiko.PKey.from_path(path)
        except Exception as failure:
            # paramiko says in several ways that a key has a passphrase
            if isinstance(failure, paramiko.PasswordRequiredException) or "password" in str(failure).lower():
                tried.append(f"{path}, which has a passphrase (add it to an agent: `ssh-add {path}`)")
            else:
                tried.append(f"{path}, which cannot be read ({_words(failure)})")
    if hop.agent and os.environ.get("SSH_AUTH_SOCK"):
        try:
            offered = paramiko.Agent().get_keys()
        except (paramiko.SSHException, OSError) as failure:
            tried.append(f"the agent, which does not answer ({_words(failure)})")
            return
        for key in offered:
            yield f"the agent's key {getattr(key, 'comment', '') or fingerprint(key)}", key
