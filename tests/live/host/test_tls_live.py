"""A real dockerd over TCP with TLS, in both directions: certificates are checked, and a wrong one is told."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
def tls_docker(dockerd: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsDocker]:
    """A second dockerd with certificates of its own."""
    folder = tmp_path_factory.mktemp("tls")
    _certificates(folder)
    endpoint = f"tcp://127.0.0.1:{_free_port()}"
    files = ("--tlscacert", "ca"), ("--tlscert", "server"), ("--tlskey", "server-key")
    with dockerd(endpoint, "--tlsverify", *(f"{option}={folder}/{name}.pem" for option, name in files)):
        yield TlsDocker(endpoint, folder)


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
