"""Known hosts, keys and settings: what is decided before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from hythe.provider.connection.ssh_config import settings_of
from hythe.provider.connection.ssh_login import SshSettings, _keys, _known_keys, fingerprint
from hythe.provider.hosts import Hosts, open_host
from hythe.provider.protocol import HostUnreachable
from hythe.provider.vm.keys import make_pair, public_of

KEY, OTHER = public_of(make_pair("a").private), public_of(make_pair("b").private)


def known(tmp_path: Path, text: str, **settings: Any) -> list[str]:
    """The keys that a machine may have by a known_hosts file."""
    path = tmp_path / "known_hosts"
    path.write_text(text)
    hop = SshSettings("10.0.0.5", known_hosts=str(path), **settings)
    return [f"{k.get_name()} {k.get_base64()}" for k in _known_keys(hop)]


def test_known_hosts(tmp_path: Path) -> None:
    assert known(tmp_path, "") == []
    assert known(tmp_path, f"# note\n\n10.0.0.5 {KEY} a comment\n10.0.0.6 {OTHER}\n") == [KEY]
    assert known(tmp_path, f"10.0.0.5 {KEY}\n10.0.0.5 {OTHER}\n") == [KEY, OTHER]
    assert known(tmp_path, f"10.0.0.5,rack {KEY}\n", port=2222) == []
    assert known(tmp_path, f"[10.0.0.5]:2222 {KEY}\n", port=2222) == [KEY]


def test_a_bad_line_hides_no_other(tmp_path: Path) -> None:
    assert known(tmp_path, f"10.0.0.5 ssh-ed25519 AAAA!\n10.0.0.5 ssh-new AAAA\nnonsense\n10.0.0.5 {KEY}\n") == [KEY]


def test_hashed_names(tmp_path: Path) -> None:
    import paramiko

    name = paramiko.HostKeys.hash_host("10.0.0.5")
    assert known(tmp_path, f"{name} {KEY}\n") == [KEY]


def test_marked_keys(tmp_path: Path) -> None:
    assert known(tmp_path, f"@revoked 10.0.0.5 {KEY}\n10.0.0.5 {KEY}\n10.0.0.5 {OTHER}\n") == [OTHER]
    # a key of an authority vouches for certificates, not for itself
    assert known(tmp_path, f"@cert-authority 10.0.0.5 {KEY}\n") == []


def test_a_given_host_key_is_the_only_one(tmp_path: Path) -> None:
    assert known(tmp_path, f"10.0.0.5 {OTHER}\n", host_key=KEY) == [KEY]
    with pytest.raises(HostUnreachable, match="must be a public key"):
        known(tmp_path, "", host_key="ssh-ed25519 nonsense")


def test_fingerprints_are_those_of_openssh() -> None:
    import subprocess

    [key] = _known_keys(SshSettings("x", host_key=KEY))
    shown = subprocess.run(["ssh-keygen", "-lf", "-"], input=KEY, capture_output=True, text=True, check=True).stdout
    assert shown.split()[1] == fingerprint(key)


@pytest.mark.parametrize("family", ["ed25519", "ecdsa", "rsa"])
def test_private_keys_of_each_family(family: str) -> None:
    made: Any = {
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
    }[family]()
    text = made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    ).decode()
    tried: list[str] = []
    [(_, key)] = _keys(SshSettings("x", private_key=text.strip()), tried)
    assert family in key.get_name()
    assert tried == []


def test_keys_that_cannot_be_used_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    assert list(_keys(SshSettings("x", private_key="nonsense"), tried)) == []
    (tmp_path / "key").write_text("nonsense")
    locked = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.BestAvailableEncryption(b"x")
    )
    (tmp_path / "locked").write_bytes(locked)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "none"))
    files = tuple(str(tmp_path / n) for n in ("key", "locked", "none"))
    assert list(_keys(SshSettings("x", key_files=files), tried)) == []
    words = ["cannot be read", "cannot be read", "passphrase", "which is not there"]
    assert [word in text for word, text in zip(words, tried, strict=False)] == [True] * 4


def test_settings_of_a_block() -> None:
    block = {"address": "a", "user": "u", "jump": [{"address": "b", "port": 2222, "agent": False}], "host_key": KEY}
    found = SshSettings.of(block)
    assert found == SshSettings("a", 22, "u", host_key=KEY, jump=(SshSettings("b", 2222, agent=False),))
    assert found.where == "u@a:22"


def test_the_users_configuration(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "Host box\n  HostName 10.0.0.5\n  Port 2222\n  User admin\n  IdentityFile /k1\n  IdentityFile /k2\n"
        "  ProxyJump gate,root@other:23\nHost gate\n  HostName gate.example.org\n  UserKnownHostsFile /known\n"
    )
    found = settings_of("ssh://box", str(config))
    assert (found.address, found.port, found.user, found.key_files) == ("10.0.0.5", 2222, "admin", ("/k1", "/k2"))
    gate, other = found.jump
    assert (gate.address, gate.known_hosts) == ("gate.example.org", "/known")
    assert (other.address, other.port, other.user) == ("other", 23, "root")
    assert settings_of("ssh://root@box:24", str(config)).where == "root@10.0.0.5:24"
    assert settings_of("ssh://else", str(tmp_path / "none")).port == 22
    config.write_text('Host "\n')
    with pytest.raises(HostUnreachable, match="cannot be read for box"):
        settings_of("ssh://box", str(config))


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"running": False, "name": "node-a", "ssh": {"address": "x"}}, "virsh start node-a"),
        ({"running": True, "ssh": {"port": 22}}, "no address"),
        ({"running": True}, "no keys of Hythe"),
    ],
)
def test_machines_that_are_not_even_tried(attributes: dict[str, Any], words: str) -> None:
    with pytest.raises(HostUnreachable, match=words):
        open_host("vm.a", attributes)


def test_another_way_to_a_machine_is_another_connection() -> None:
    hosts = Hosts()
    attributes = {"connection": "ssh", "ssh": {"address": "a", "host_key": KEY}}
    first = hosts.get("host.x", attributes)
    assert hosts.get("host.x", dict(attributes)) is first
    assert hosts.get("host.x", attributes | {"ssh": {"address": "b", "host_key": KEY}}) is not first
    hosts.close()
