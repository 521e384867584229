"""Finding the machines that addresses name, and logging in to them, for ``ssh``, ``serial`` and ``exec``."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hythe.cli.context import fail
from hythe.diagnostic import DiagnosticError, did_you_mean

if TYPE_CHECKING:
    from hythe.provider.connection.ssh_login import SshSettings
    from hythe.state.model import InstanceState, State

KINDS = ("vm", "host")

_SSH_FAILED = 255
"""What ssh ends with when it fails itself (ssh(1)); a command on the machine may, too."""
_EXPLAIN_SECONDS = 20.0


def is_machine(state: State, address: str) -> bool:
    """Whether a machine is at that address."""
    found = state.instances.get(address)
    return found is not None and found.kind in KINDS


def machine(state: State, address: str, kinds: Sequence[str] = KINDS) -> InstanceState:
    """The machine at an address. Raises DiagnosticError."""
    found = state.instances.get(address)
    if found is not None and found.kind in kinds:
        return found
    if found is not None and found.kind == "container":
        raise fail("Not a machine", f"{address} is a container: run `hythe exec -it '{address}' sh`.")
    known = [i.address for i in state.instances.values() if i.kind in kinds]
    block = [a for a in known if a.startswith(f"{address}[")]
    if len(block) == 1:
        return state.instances[block[0]]
    if block:
        raise fail(
            "Several machines", f"{address} names {len(block)} ({', '.join(sorted(block)[:5])}): name one of them."
        )
    what = " or ".join(kinds)
    raise fail("Machine not found", f"The state has no {what} at {address}.{did_you_mean(address, known)}")


def log_in(settings: SshSettings, words: Sequence[str], options: Sequence[str] = ()) -> int:
    """Run the system's ssh with the keys that the state knows, and with no others; returns its exit code.

    Keys are in a folder that only this user may enter, for as long as it runs.
    """
    with tempfile.TemporaryDirectory(prefix="hythe-ssh-") as folder:
        config = os.path.join(folder, "config")
        _write(config, ssh_config(settings, folder))
        argv = ["ssh", "-F", config, *options, "machine", *words]
        try:
            code = subprocess.run(argv, check=False).returncode
        except FileNotFoundError:
            raise fail("ssh is not installed", "Install it: `sudo apt-get install openssh-client`.") from None
        except KeyboardInterrupt:
            return 130
    if code == _SSH_FAILED:
        _explain(settings)
    return code


def _explain(settings: SshSettings) -> None:
    """Say in Hythe's words why there is no connection, if there is none. Raises DiagnosticError."""
    from hythe.provider.connection.ssh import SshHost
    from hythe.provider.protocol import HostUnreachable

    host = SshHost(settings.address, settings)
    try:
        host.run(["true"], timeout=_EXPLAIN_SECONDS)
    except HostUnreachable as failure:
        raise DiagnosticError(*failure.diagnostics) from failure
    finally:
        host.close()


def ssh_config(settings: SshSettings, folder: str) -> str:
    """The configuration of ssh that leads to a machine; writes the key files that it names."""
    hops = [*settings.jump, settings]
    out: list[str] = []
    for at, hop in enumerate(hops):
        name = "machine" if at == len(hops) - 1 else f"hop{at}"
        lines = [
            f"Host {name}",
            f"  HostName {hop.address}",
            f"  Port {hop.port}",
            f"  User {hop.user}",
            "  StrictHostKeyChecking yes",
            "  UpdateHostKeys no",
        ]
        if hop.private_key is not None:
            path = os.path.join(folder, f"key{at}")
            _write(path, hop.private_key)
            lines += [f"  IdentityFile {path}", "  IdentitiesOnly yes"]
        else:
            paths = [hop.key_file] if hop.key_file is not None else hop.key_files
            lines += [f'  IdentityFile "{path}"' for path in paths]
        if hop.host_key is not None:
            path = os.path.join(folder, f"known{at}")
            _write(path, f"{name} {hop.host_key}\n")
            lines += [f"  HostKeyAlias {name}", f"  UserKnownHostsFile {path}", "  GlobalKnownHostsFile /dev/null"]
        elif hop.known_hosts is not None:
            lines.append(f'  UserKnownHostsFile "{hop.known_hosts}"')
        if at:
            lines.append(f"  ProxyJump hop{at - 1}")
        out += [*lines, ""]
    return "\n".join(out)


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text if text.endswith("\n") else f"{text}\n")
