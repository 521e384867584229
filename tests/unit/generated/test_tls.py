"""Keys and certificates, checked with openssl and ssh-keygen, which did not make them."""

from __future__ import annotations

import io
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hythe.cli import main
from hythe.provider.generated.tls_kind import Tls
from hythe.provider.protocol import ProviderError, ReadRequest

KIND = Tls()
CONTEXT: Any = SimpleNamespace(identity=SimpleNamespace(address="tls.x"))


def make(**arguments: Any) -> dict[str, Any]:
    desired, problems = KIND.schema.decode(arguments)
    assert problems == []
    return KIND.create(CONTEXT, desired)


def openssl(*argv: str, given: str) -> str:
    return subprocess.run(["openssl", *argv], input=given, capture_output=True, text=True, check=True).stdout


KEYS = (
    {"algorithm": "ED25519"},
    {"algorithm": "RSA", "rsa_bits": 2048},
    *({"algorithm": "ECDSA", "ecdsa_curve": curve} for curve in ("P224", "P256", "P384", "P521")),
)


@pytest.mark.parametrize("arguments", KEYS, ids=lambda a: "-".join(map(str, a.values())))
def test_a_key_in_all_its_forms(arguments: dict[str, Any], tmp_path: Path) -> None:
    made = make(type="private_key", **arguments)
    for form in ("private_key_pem", "private_key_pem_pkcs8"):
        assert openssl("pkey", "-pubout", given=made[form]) == made["public_key_pem"]
    assert made["private_key_pem_pkcs8"].startswith("-----BEGIN PRIVATE KEY-----")
    if arguments.get("ecdsa_curve") == "P224":
        assert "public_key_openssh" not in made
    else:
        file = tmp_path / "key"
        file.write_text(made["private_key_openssh"])
        file.chmod(0o600)
        public = subprocess.run(["ssh-keygen", "-y", "-f", file], capture_output=True, text=True, check=True).stdout
        assert public.split()[:2] == made["public_key_openssh"].split()
        for kind, name in (("sha256", "sha256"), ("md5", "md5")):
            told = subprocess.run(["ssh-keygen", "-l", "-E", kind, "-f", file], capture_output=True, text=True).stdout
            assert made[f"public_key_fingerprint_{name}"] == told.split()[1].removeprefix("MD5:")
    # taken in again it is the same, and what a configuration would say of it
    (tmp_path / "taken").write_text(made["private_key_pem_pkcs8"])
    taken = KIND.import_object(SimpleNamespace(base_dir=str(tmp_path)), "taken")  # type: ignore[arg-type]
    # OpenSSH's form has random bytes in it
    assert taken.pop("private_key_openssh", None) != made.pop("private_key_openssh", "")
    assert taken == made


def authority() -> tuple[dict[str, Any], dict[str, Any]]:
    key = make(type="private_key", algorithm="ECDSA")
    subject = {"common_name": "Test authority", "country": "GB", "street_address": ["1 Quay", "Hythe"]}
    arguments = {"key": key["private_key_pem"], "subject": subject, "is_ca": True, "uses": ["cert_signing"]}
    return key, make(type="self_signed_cert", validity="87600h", **arguments)


def test_a_certificate_that_an_authority_signs(tmp_path: Path) -> None:
    key, root = authority()
    mine = make(type="private_key")
    request = make(
        type="cert_request",
        key=mine["private_key_pem"],
        subject={"common_name": "web.example.org", "organization": "Ünï"},
        dns_names=["web.example.org", "*.web.example.org", "bücher.example.org"],
        ip_addresses=["127.0.0.1", "fd00::1"],
        uris=["spiffe://example.org/web"],
    )
    assert (
        "verify OK"
        in subprocess.run(
            ["openssl", "req", "-verify", "-noout"], input=request["cert_request_pem"], capture_output=True, text=True
        ).stderr
    )
    made = make(
        type="locally_signed_cert",
        request=request["cert_request_pem"],
        ca_key=key["private_key_pem"],
        ca_cert=root["cert_pem"],
        validity="48h",
        uses=["digital_signature", "server_auth", "client_auth"],
    )
    (tmp_path / "root.pem").write_text(root["cert_pem"])
    (tmp_path / "cert.pem").write_text(made["cert_pem"])
    subprocess.run(
        [
            "openssl",
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-CAfile",
            tmp_path / "root.pem",
            tmp_path / "cert.pem",
        ],
        check=True,
        capture_output=True,
    )
    text = openssl("x509", "-text", "-noout", given=made["cert_pem"])
    for word in (
        "DNS:web.example.org, DNS:*.web.example.org, DNS:xn--bcher-kva.example.org",
        "IP Address:127.0.0.1, IP Address:FD00:0:0:0:0:0:0:1",
        "URI:spiffe://example.org/web",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "Digital Signature",
        "CA:FALSE",
    ):
        assert word in text
    assert openssl("x509", "-pubkey", "-noout", given=made["cert_pem"]) == mine["public_key_pem"]
    start, end = (datetime.fromisoformat(made[f"validity_{name}_time"]) for name in ("start", "end"))
    assert end - start == timedelta(hours=48)
    assert abs(datetime.now(UTC) - start) < timedelta(minutes=1)
    told = KIND.read_data(CONTEXT, {"cert_pem": made["cert_pem"]})
    assert told["subject"] == "O=Ünï,CN=web.example.org"
    assert told["issuer"].endswith("CN=Test authority")
    assert told["public_key_pem"] == mine["public_key_pem"]
    assert (told["is_ca"], told["dns_names"][1]) == (False, "*.web.example.org")


@pytest.mark.parametrize(("early", "due"), [(None, False), ("47h", False), ("49h", True)])
def test_renewed_before_its_end_when_asked(early: str | None, due: bool) -> None:
    key = make(type="private_key")
    more = {"early_renewal": early} if early else {}
    made = make(type="self_signed_cert", key=key["private_key_pem"], validity="48h", **more)
    request = ReadRequest("i", "tls.x", made)
    seen = KIND.read_many(CONTEXT, [request])["i"]
    assert seen == {**made, "ready_for_renewal": due}
    # over
    made["validity_end_time"] = "2020-01-01T00:00:00Z"
    assert KIND.read_many(CONTEXT, [ReadRequest("i", "tls.x", made)])["i"]["ready_for_renewal"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"type": "cert_request"}, "needs `key`"),
        ({"type": "private_key", "validity": "1h"}, "`validity` is for type self_signed_cert or locally_signed_cert"),
        ({"type": "private_key", "rsa_bits": 2048}, "`rsa_bits` is for algorithm RSA, and this is ED25519"),
        ({"type": "self_signed_cert", "key": "k", "validity": "1h", "uses": ["any"]}, '"any" is no use of a key'),
    ],
)
def test_what_does_not_fit(arguments: dict[str, Any], word: str) -> None:
    assert word in " ".join(map(str, KIND.schema.decode(arguments)[1]))


def test_what_cannot_be_made() -> None:
    key, root = authority()
    other = make(type="private_key")["private_key_pem"]
    request = make(type="cert_request", key=other)["cert_request_pem"]
    locked = openssl("pkey", "-aes128", "-passout", "pass:x", given=other)
    signing = {"type": "locally_signed_cert", "validity": "1h", "request": request, "ca_cert": root["cert_pem"]}
    for arguments, word in (
        ({"type": "cert_request", "key": "nonsense"}, "`key` is no private key in PEM form"),
        ({"type": "cert_request", "key": locked}, "locked with a passphrase"),
        ({"type": "cert_request", "key": other, "ip_addresses": ["1.2.3"]}, '"1.2.3" is no IP address'),
        ({"type": "cert_request", "key": other, "dns_names": ["a..ü"]}, '"a..ü" is no host name'),
        ({"type": "self_signed_cert", "key": other, "validity": "99999999999h"}, "longer than certificates can say"),
        ({"type": "self_signed_cert", "key": other, "validity": "1h", "uses": ["encipher_only"]}, "key_agreement"),
        ({**signing, "ca_key": other}, "`ca_key` is not the key of `ca_cert`"),
        ({**signing, "ca_key": key["private_key_pem"], "request": "x"}, "`request` is no certificate request"),
        ({**signing, "ca_key": key["private_key_pem"], "ca_cert": "x"}, "`ca_cert` is no certificate"),
    ):
        with pytest.raises(ProviderError) as caught:
            make(**arguments)
        assert word in str(caught.value)
        assert "PRIVATE KEY" not in str(caught.value)


CONFIG = """\
variable "early" { default = "1h" }
resource "tls" "key" { type = "private_key" }
resource "tls" "cert" {
  type          = "self_signed_cert"
  key           = tls.key.private_key_pem
  validity      = "48h"
  early_renewal = var.early
  subject { common_name = "here" }
}
output "cert" { value = tls.cert.cert_pem }
"""


def test_kept_and_renewed_by_apply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    (tmp_path / "main.hcl").write_text(CONFIG)
    assert main.run(["apply", "--auto-approve"]) == 0
    assert main.run(["plan", "--detailed-exitcode"]) == 0
    assert main.run(["show"]) == 0
    assert "PRIVATE KEY" not in capsys.readouterr().out
    # in place, and then it is due at the next look
    assert main.run(["apply", "--auto-approve", "--var", "early=49h"]) == 0
    capsys.readouterr()
    assert main.run(["plan", "--detailed-exitcode", "--var", "early=49h"]) == 2
    out = capsys.readouterr().out
    assert "tls.cert will be replaced" in out
    assert "due for renewal" in out
    assert main.run(["apply", "--auto-approve", "--var", "early=2h"]) == 0
    assert main.run(["plan", "--detailed-exitcode", "--var", "early=2h"]) == 0
