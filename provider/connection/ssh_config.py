"""Settings of an ``ssh://`` address, with what the user's ~/.ssh/config says of it."""

from __future__ import annotations

import os
import pwd
from urllib.parse import unquote, urlsplit

from hythe.diagnostic import error
from hythe.provider.connection.ssh_login import PORT, SshSettings
from hythe.provider.protocol import HostUnreachable

_DEPTH = 4


def settings_of(url: str, config_path: str = "~/.ssh/config") -> SshSettings:
    """How to log in at ``ssh://user@host:port``: HostName, Port, User, IdentityFile and ProxyJump of the file count.

    Raises :class:`HostUnreachable` when the file cannot be understood.
    """
    parts = urlsplit(url)
    return _settings(
        parts.hostname or "", unquote(parts.username) if parts.username else None, parts.port, config_path, _DEPTH
    )


def _settings(name: str, user: str | None, port: int | None, config_path: str, depth: int) -> SshSettings:
    found = _look_up(name, config_path)
    keys = found.get("identityfile")
    jumps = str(found.get("proxyjump") or "none")
    hops = [] if jumps == "none" or depth == 0 else [h.strip() for h in jumps.split(",")]
    return SshSettings(
        str(found.get("hostname") or name),
        port or int(str(found.get("port") or PORT)),
        user or str(found.get("user") or pwd.getpwuid(os.getuid()).pw_name),
        key_files=tuple(map(str, keys)) if isinstance(keys, list) else (),
        known_hosts=str(found["userknownhostsfile"]).split()[0] if found.get("userknownhostsfile") else None,
        jump=tuple(_hop(h, config_path, depth - 1) for h in hops),
    )


def _hop(text: str, config_path: str, depth: int) -> SshSettings:
    parts = urlsplit(f"ssh://{text.removeprefix('ssh://')}")
    return _settings(parts.hostname or "", parts.username, parts.port, config_path, depth)


def _look_up(name: str, config_path: str) -> dict[str, object]:
    path = os.path.expanduser(config_path)
    if not os.path.exists(path):
        return {}
    import paramiko

    try:
        return dict(paramiko.SSHConfig.from_path(path).lookup(name))
    except Exception as failure:
        raise HostUnreachable(
            error(
                "SSH configuration not understood",
                f"{path} cannot be read for {name}: {failure}. Mend it, or give the settings in the `ssh` block of a "
                "host resource.",
            )
        ) from failure
