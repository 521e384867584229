"""A real dockerd over TCP with TLS, in both directions: certificates are checked, and a wrong one is told."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class TlsDocker:
    """A dockerd of its own; ``folder`` holds ca.pem, cert.pem and key.pem for clients."""

    endpoint: str
    folder: Path


def _openssl(*argv: str, folder: Path) -> None:
    subprocess.run(["openssl", *argv], cwd=folder, check=True, capture_output=True)


def _certificates(folder: Path) -> None:
    """An authority, and a server's and a client's certificate of it."""
    days = ("-days", "2")
    _openssl("genrsa", "-out", "ca-key.pem", "2048", folder=folder)
    _openssl(
        "req", "-x509", "-new", "-key", "ca-key.pem", "-subj", "/CN=test-ca", *days, "-out", "ca.pem", folder=folder
    )
    for name, extension in (
        ("server", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"),
        ("client", "extendedKeyUsage=clientAuth\n"),
    ):
        (folder / f"{name}.ext").write_text(extension)
        key, request = f"{name}-key.pem", f"{name}.csr"
        _openssl("genrsa", "-out", key, "2048", folder=folder)
        _openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request, folder=folder)
        authority = ("-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial")
        extensions = ("-extfile", f"{name}.ext")
        _openssl("x509", "-req", "-in", request, *authority, *days, *extensions, "-out", f"{name}.pem", folder=folder)
    shutil.copy(folder / "client.pem", folder / "cert.pem")
    shutil.copy(folder / "client-key.pem", folder / "key.pem")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def tls_docker() -> Iterator[TlsDocker]:
    """A second dockerd with storage, containerd, certificates and a bridge of its own.

    Without a bridge (``--bridge=none``) it would remove docker0, which is the first one's.
    """
    folder = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    _certificates(folder)
    port = _free_port()
    bridge = f"hytls{secrets.token_hex(3)}"
    subprocess.run(["ip", "link", "add", bridge, "type", "bridge"], check=True)
    subprocess.run(["ip", "address", "add", "198.18.251.1/24", "dev", bridge], check=True)
    with open(folder / "log", "wb") as log:
        daemon = subprocess.Popen(
            [
                "dockerd",
                f"--host=tcp://127.0.0.1:{port}",
                "--tlsverify",
                f"--tlscacert={folder}/ca.pem",
                f"--tlscert={folder}/server.pem",
                f"--tlskey={folder}/server-key.pem",
                f"--data-root={folder}/data",
                f"--exec-root={folder}/exec",
                f"--pidfile={folder}/pid",
                f"--bridge={bridge}",
                "--iptables=false",
                "--ip6tables=false",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        end = time.monotonic() + 60
        while b"API listen on" not in (folder / "log").read_bytes():
            assert daemon.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.1)
        yield TlsDocker(f"tcp://127.0.0.1:{port}", folder)
    finally:
        daemon.terminate()
        daemon.wait(30)
        subprocess.run(["ip", "link", "delete", bridge], check=False, capture_output=True)
        for line in Path("/proc/self/mounts").read_text().splitlines()[::-1]:
            if line.split()[1].startswith(f"{folder}/"):
                subprocess.run(["umount", "-l", line.split()[1]], check=False, capture_output=True)
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)


def _hythe(folder: Path, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DOCKER_", "HYTHE_"))}
    return subprocess.run(
        [sys.executable, "-m", "hythe", *argv],
        cwd=folder,
        env={**kept, "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


VOLUME = 'resource "volume" "v" {\n  name = "over-tls"\n}\n'


def test_docker_host_with_certificates(tls_docker: TlsDocker, tmp_path: Path) -> None:
    (tmp_path / "main.hcl").write_text(VOLUME)
    environment = {
        "DOCKER_HOST": tls_docker.endpoint,
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(tls_docker.folder),
    }
    for argv in (("apply", "--auto-approve"), ("plan", "--detailed-exitcode"), ("destroy", "--auto-approve")):
        ran = _hythe(tmp_path, *argv, **environment)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_host_block_with_certificates(tls_docker: TlsDocker, tmp_path: Path) -> None:
    (tmp_path / "main.hcl").write_text(
        f"""
resource "host" "far" {{
  connection = "local"
  engine {{
    type     = "docker"
    endpoint = "{tls_docker.endpoint}"
    ca       = "{tls_docker.folder}/ca.pem"
    cert     = "{tls_docker.folder}/cert.pem"
    key      = "{tls_docker.folder}/key.pem"
  }}
}}
resource "volume" "v" {{
  host = host.far
  name = "over-tls"
}}
"""
    )
    for argv in (("apply", "--auto-approve"), ("plan", "--detailed-exitcode"), ("destroy", "--auto-approve")):
        ran = _hythe(tmp_path, *argv)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_server_of_another_authority_is_refused(tls_docker: TlsDocker, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    _certificates(other)
    (tmp_path / "main.hcl").write_text(VOLUME)
    environment = {"DOCKER_HOST": tls_docker.endpoint, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(other)}
    ran = _hythe(tmp_path, "apply", "--auto-approve", **environment)
    assert ran.returncode == 1
    assert "certificate" in (ran.stdout + ran.stderr).lower()
    assert "Traceback" not in ran.stdout + ran.stderr
