"""SSH keys that Hythe makes: one pair for each state to log in with, and a host key for each VM.

They are in ``.hythe/ssh`` below the project's folder, readable by its owner only. The VM's attributes hold the
private login key and the public host key too, so that another machine with the state can go on.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass

from hythe.diagnostic import error
from hythe.provider.protocol import Project, ProviderError


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An ed25519 key pair. ``private`` is in OpenSSH's PEM form, ``public`` the line of an authorized_keys file."""

    private: str
    public: str


def state_key(project: Project, lineage: str) -> KeyPair:
    """The pair that Hythe logs in with to the VMs of a state; made when it is not there. Raises ProviderError."""
    return _made(project, f"state-{_safe(lineage)}", "hythe")


def host_key(project: Project, instance_id: str) -> KeyPair:
    """The host key of a VM, kept until the VM is removed, so that a creation that was cut short can be finished.

    Raises ProviderError.
    """
    return _made(project, f"vm-{_safe(instance_id)}", "hythe-vm")


def kept_state_key(project: Project, lineage: str) -> KeyPair | None:
    """The pair of a state if it is still there; it is not made. Raises ProviderError."""
    return _kept(project, f"state-{_safe(lineage)}", "hythe", make=False)


def kept_host_key(project: Project, instance_id: str) -> KeyPair | None:
    """The host key of a VM if it is still there; it is not made. Raises ProviderError."""
    return _kept(project, f"vm-{_safe(instance_id)}", "hythe-vm", make=False)


def forget(project: Project, instance_id: str) -> None:
    """Remove the host key of a VM that is gone."""
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(folder(project), f"vm-{_safe(instance_id)}"))


def folder(project: Project) -> str:
    """Where the keys are."""
    return os.path.join(project.root, ".hythe", "ssh")


def make_pair(comment: str) -> KeyPair:
    """A new pair."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return KeyPair(pem, f"{public_of(pem)} {comment}")


def public_of(private: str) -> str:
    """The public line of a private key in PEM form, without a comment."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

    key = load_ssh_private_key(private.encode(), None)
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)


def _made(project: Project, name: str, comment: str) -> KeyPair:
    found = _kept(project, name, comment, make=True)
    assert found is not None
    return found


def _kept(project: Project, name: str, comment: str, *, make: bool) -> KeyPair | None:
    path = os.path.join(folder(project), name)
    try:
        found = _read(path)
        if found is None and make:
            os.makedirs(folder(project), mode=0o700, exist_ok=True)
            _write_once(path, make_pair(comment).private)
            found = _read(path)
    except OSError as failure:
        raise ProviderError(
            error(
                "SSH key not usable",
                f"The key {failure.filename or path} cannot be read or written: {failure.strerror or failure}. VMs are "
                "reached with keys that are kept there; see to the permissions of the folder.",
            )
        ) from failure
    return None if found is None else KeyPair(found, f"{public_of(found)} {comment}")


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _write_once(path: str, text: str) -> None:
    """Write a file whole or not at all; whoever is first wins."""
    part = f"{path}.{os.getpid()}.{id(text):x}.part"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(part, path)
    finally:
        os.unlink(part)
