"""A state server that is away, refuses, loses answers or is not trusted; and what may never be shown."""

from __future__ import annotations

import datetime
import ipaddress
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ONE = 'resource "value" "a" {\n  input = "one"\n}\n'
TWO = ONE + 'resource "value" "b" {\n  input = "two"\n}\n'
SECRET = "s3cret-pass phrase"


@pytest.fixture
def work(state_server: Callable[..., Any], folder: Callable[..., Any]) -> Any:
    """A folder on a plain server, nothing applied yet."""
    made = folder(state_server())
    made.write(ONE)
    return made


def test_server_away_at_the_start(work: Any) -> None:
    work.server.stop()
    for command in (["plan"], ["apply", "--auto-approve"], ["state", "list"]):
        said = work.fails(*command).words
        assert "State server not reachable" in said
        assert "nothing listens there (3 tries)" in said
    work.server.start()
    work.apply()


def test_server_away_at_the_end_loses_nothing(work: Any) -> None:
    work.apply()
    work.write(TWO)
    # the note that a journal is open is stored; the snapshot after it meets a server that always breaks
    work.server.faults({"method": "POST", "sort": "status", "status": 503, "after": 1, "count": 99})
    said = work.run("apply", "--auto-approve").words
    assert "Nothing is lost" in said
    assert "503" in said
    assert work.server.url() in said
    work.server.faults()
    assert "value.b" not in work.server.state()[-400:] or "hythe_journal_note" in work.server.state()
    work.ok("plan", "--detailed-exitcode")
    work.apply()
    assert work.listed() == ["value.a", "value.b"]
    assert "hythe_journal_note" not in work.server.state()


def test_nothing_is_begun_that_cannot_be_noted(work: Any) -> None:
    work.server.faults({"method": "POST", "sort": "status", "status": 503, "count": 99})
    said = work.fails("apply", "--auto-approve").words
    assert "503" in said
    assert work.listed() == []
    work.server.faults()
    work.apply()


@pytest.mark.parametrize("sort", ["cut-before", "cut-after", "500-after"])
def test_lost_answers_are_asked_for_again(
    state_server: Callable[..., Any], folder: Callable[..., Any], sort: str
) -> None:
    # a server that keeps versions refuses the same write a second time
    work = folder(state_server(versions=True))
    work.write(ONE)
    work.server.faults(
        {"method": "LOCK", "sort": sort},
        {"method": "GET", "sort": sort if sort != "500-after" else "cut-before"},
        {"method": "POST", "sort": sort, "after": 1},
        {"method": "UNLOCK", "sort": sort},
    )
    said = work.ok("apply", "--auto-approve")
    assert not said.err
    work.ok("plan", "--detailed-exitcode")
    assert work.listed() == ["value.a"]
    assert not work.server.locks()


@pytest.mark.parametrize(("sort", "words"), [("short", "ends early"), ("damaged", "does not match its Content-MD5")])
def test_a_damaged_answer_is_not_taken_for_the_state(work: Any, sort: str, words: str) -> None:
    work.apply()
    work.server.faults({"method": "GET", "sort": sort, "count": 99})
    assert words in work.fails("plan").words
    work.server.faults({"method": "GET", "sort": "short"})
    work.ok("plan", "--detailed-exitcode")


def test_a_slow_server_is_waited_for(work: Any) -> None:
    work.server.faults({"method": "*", "sort": "slow", "seconds": 2, "count": 99})
    work.ok("apply", "--auto-approve")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "wants to know who asks"),
        (403, "does not allow GET (it says: go away)"),
        (302, "leads to http://127.0.0.1:1/elsewhere"),
        (400, "answered 400"),
    ],
)
def test_refusals_are_explained(work: Any, status: int, words: str) -> None:
    headers = {"Location": "ftp://127.0.0.1:1/elsewhere" if status != 302 else "http://127.0.0.1:1/elsewhere"}
    fault = {"method": "GET" if status != 302 else "LOCK", "sort": "status", "status": status, "body": "go away"}
    work.server.faults({**fault, "headers": headers, "count": 99})
    said = work.fails("plan").words
    assert words in said
    assert not work.server.locks()


def test_a_server_that_knows_no_locks(work: Any) -> None:
    work.server.faults({"method": "LOCK", "sort": "status", "status": 405, "count": 99})
    assert "does not know the method LOCK: lock_method must be" in work.fails("plan").words
    work.write(ONE, backend=work.backend(lock_address=None, unlock_address=None))
    assert "Nothing locks it there" in work.ok("init").words
    work.apply()
    assert not [e for e in work.server.log() if e["method"] in ("LOCK", "UNLOCK")]


def test_gitlab_methods_and_headers(state_server: Callable[..., Any], folder: Callable[..., Any]) -> None:
    server = state_server(lock_method="PUT", unlock_method="DELETE", header=["Private-Token", SECRET])
    work = folder(server)
    url = server.url("/states/shop/lock")
    backend = work.backend(lock_address=url, unlock_address=url, lock_method="PUT", unlock_method="DELETE")
    work.write(ONE, backend=backend)
    assert "header missing" in work.fails("plan").words
    work.environment["HYTHE_HTTP_HEADERS"] = json.dumps({"Private-Token": SECRET})
    work.apply()


# -- passwords ----------------------------------------------------------------------------------


def test_passwords_open_the_door_and_are_never_shown(
    state_server: Callable[..., Any], folder: Callable[..., Any]
) -> None:
    server = state_server(user="alice", password=SECRET)
    work = folder(server)
    work.environment["HYTHE_LOG"] = "trace"
    work.write(ONE)
    assert "set username and password" in work.fails("plan").words
    wrong = f"{SECRET}-no"
    work.write(ONE, backend=work.backend(username="alice", password=wrong))
    said = work.fails("apply", "--auto-approve")
    assert "does not accept the name and password" in said.words
    assert wrong not in said.text
    work.write(ONE)
    work.environment |= {"HYTHE_HTTP_USERNAME": "alice", "HYTHE_HTTP_PASSWORD": SECRET}
    texts = [work.ok("init").text, work.ok("apply", "--auto-approve").text, work.ok("plan").text]
    server.faults({"method": "*", "sort": "status", "status": 400, "body": f"not {SECRET}", "count": 99})
    texts.append(work.fails("plan").text)
    assert "(sensitive)" in texts[-1]
    server.faults()
    del work.environment["HYTHE_HTTP_USERNAME"], work.environment["HYTHE_HTTP_PASSWORD"]
    inside = server.url().replace("http://", "http://alice:s3cret-pass%20phrase@")
    work.write(ONE, backend=work.backend(address=inside))
    texts += [work.ok("plan", "--detailed-exitcode").text, work.ok("init").text]
    assert not [t for t in texts if SECRET in t or "s3cret-pass%20phrase" in t]


def test_the_password_goes_to_no_other_server(state_server: Callable[..., Any], folder: Callable[..., Any]) -> None:
    server, other = state_server(user="alice", password=SECRET), state_server()
    work = folder(server)
    work.environment |= {"HYTHE_HTTP_USERNAME": "alice", "HYTHE_HTTP_PASSWORD": SECRET}
    work.environment["HYTHE_HTTP_HEADERS"] = '{"X-Token": "t0ken-t0ken"}'
    work.write(ONE)
    away = {"sort": "status", "status": 307, "headers": {"Location": other.url()}, "count": 99}
    server.faults({"method": "GET", **away})
    work.ok("state", "list")
    seen = other.log()
    assert [e["method"] for e in seen] == ["GET"]
    assert not {"authorization", "x-token"} & {name.lower() for name in seen[0]["headers"]}
    server.faults({"method": "POST", **away})
    said = work.fails("apply", "--auto-approve").words
    assert f"leads to {other.url()} (307), which is not followed" in said
    assert [e["method"] for e in other.log()] == ["GET"]


def test_by_way_of_a_proxy(work: Any) -> None:
    proxy = work.server.url("")
    url = "http://states.invalid/states/shop"
    work.write(ONE, backend=work.backend(address=url, lock_address=url, unlock_address=url))
    work.environment["http_proxy"] = proxy.replace("http://", "http://eve:proxy-word@")
    work.apply()
    assert work.server.log()[0]["headers"]["Host"] == "states.invalid"
    work.environment["no_proxy"] = "other.example,.invalid"
    said = work.fails("plan").words
    assert "cannot be found" in said
    assert "proxy-word" not in said


def test_a_damaged_state_is_told(work: Any) -> None:
    work.apply()
    work.server.ask("/_/state", {"path": "/states/shop", "text": work.server.state()[:-30]})
    said = work.fails("plan").words
    assert "State file truncated" in said
    assert "Bring an earlier version back on the server" in said


# -- TLS ----------------------------------------------------------------------------------------


class Authority:
    """A certificate authority of our own, with certificates below it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.key = folder, ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of a test")])
        self.certificate = self._sign(self.name, self.key, authority=True)
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def _sign(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, authority: bool = False) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder(self.name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if not authority:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, name: str) -> tuple[str, str]:
        """A certificate and its key, in PEM; also as files ``<name>.crt`` and ``<name>.key``."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._sign(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key)
        certificate = made.public_bytes(serialization.Encoding.PEM).decode()
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        (self.folder / f"{name}.crt").write_text(certificate)
        (self.folder / f"{name}.key").write_text(secret)
        return certificate, secret


def test_certificates(state_server: Callable[..., Any], folder: Callable[..., Any], tmp_path: Path) -> None:
    ours, others = tmp_path / "ours", tmp_path / "others"
    ours.mkdir()
    others.mkdir()
    authority = Authority(ours)
    authority.issue("server")
    (ours / "ca.crt").write_text(authority.pem)
    files = {"certificate": str(ours / "server.crt"), "key": str(ours / "server.key")}
    work = folder(state_server(**files, client_authority=str(ours / "ca.crt")))
    work.write(ONE)
    said = work.fails("plan").words
    assert "State server not trusted" in said
    assert "client_ca_certificate_pem" in said
    work.environment["HYTHE_HTTP_CLIENT_CA_CERTIFICATE_PEM"] = Authority(others).pem
    assert "State server not trusted" in work.fails("plan").words
    work.environment["HYTHE_HTTP_CLIENT_CA_CERTIFICATE_PEM"] = authority.pem
    # the server wants to see a certificate too
    assert "State server not reachable" in work.fails("plan").words
    certificate, key = authority.issue("client")
    work.environment["HYTHE_HTTP_CLIENT_CERTIFICATE_PEM"] = certificate
    assert "client_certificate_pem without client_private_key_pem" in work.fails("plan").words
    work.environment["HYTHE_HTTP_CLIENT_PRIVATE_KEY_PEM"] = key
    work.apply()
    del work.environment["HYTHE_HTTP_CLIENT_CA_CERTIFICATE_PEM"]
    work.environment["HYTHE_HTTP_SKIP_CERT_VERIFICATION"] = "true"
    work.ok("plan", "--detailed-exitcode")
