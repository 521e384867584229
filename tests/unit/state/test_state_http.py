"""The parts of the HTTP backend that need no server: arguments, what is stored, which process holds a lock."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hythe.diagnostic import DiagnosticError
from hythe.state.backends.http import Settings, open_storage
from hythe.state.backends.http.client import HttpClient, _goes_without, _may_follow
from hythe.state.backends.http.note import Note, Stored, decode, encode
from hythe.state.backends.http.settings import Access, resolve, shown
from hythe.state.codec import encode_snapshot
from hythe.state.model import State
from hythe.state.processes import ProcessName, is_dead, this_process

URL = "https://states.example.com/shop"
NOTE = Note("journal-1", "rack1", 7, "alice", "2026-01-01T00:00:00Z", "/srv/shop", "/srv/shop/.hythe/http/x.journal")


def wrong(environment: dict[str, str] | None = None, **arguments: object) -> str:
    with pytest.raises(DiagnosticError) as caught:
        resolve(Settings.model_validate(arguments), environment or {})
    return " ".join(d.detail for d in caught.value.diagnostics)


# -- arguments ----------------------------------------------------------------------------------


def test_the_environment_fills_in_what_the_block_leaves_out() -> None:
    environment = {
        "HYTHE_HTTP_ADDRESS": URL,
        "HYTHE_HTTP_LOCK_ADDRESS": URL + "/lock",
        "HYTHE_HTTP_UNLOCK_ADDRESS": URL + "/lock",
        "HYTHE_HTTP_LOCK_METHOD": "post",
        "HYTHE_HTTP_UNLOCK_METHOD": "DELETE",
        "HYTHE_HTTP_UPDATE_METHOD": "PUT",
        "HYTHE_HTTP_USERNAME": "alice",
        "HYTHE_HTTP_PASSWORD": "from-environment",
        "HYTHE_HTTP_RETRY_MAX": "7",
        "HYTHE_HTTP_RETRY_WAIT_MIN": "0.5",
        "HYTHE_HTTP_RETRY_WAIT_MAX": "3",
        "HYTHE_HTTP_SKIP_CERT_VERIFICATION": "true",
        "HYTHE_HTTP_HEADERS": '{"X-Token": "abcdef"}',
        "HYTHE_HTTP_CLIENT_CA_CERTIFICATE_PEM": "CA",
        "HYTHE_HTTP_CLIENT_CERTIFICATE_PEM": "CERT",
        "HYTHE_HTTP_CLIENT_PRIVATE_KEY_PEM": "KEY",
        "https_proxy": "http://proxy:3128",
        "NO_PROXY": "localhost",
    }
    endpoints, access = resolve(Settings(password="from-block"), environment)
    assert (endpoints.address, endpoints.lock, endpoints.unlock) == (URL, URL + "/lock", URL + "/lock")
    assert (endpoints.update_method, endpoints.lock_method, endpoints.unlock_method) == ("PUT", "POST", "DELETE")
    assert access.credentials == ("alice", "from-block")
    assert (access.retries, access.wait_min, access.wait_max, access.verify) == (7, 0.5, 3.0, False)
    assert access.headers == {"X-Token": "abcdef"}
    assert (access.authority, access.certificate) == ("CA", "CERT\nKEY\n")
    assert access.proxies == {"https": "http://proxy:3128", "no": "localhost"}


def test_defaults_are_those_of_opentofu() -> None:
    endpoints, access = resolve(Settings(address=URL), {})
    assert (endpoints.update_method, endpoints.lock, endpoints.unlock) == ("POST", None, None)
    assert (endpoints.lock_method, endpoints.unlock_method) == ("LOCK", "UNLOCK")
    assert (access.retries, access.wait_min, access.wait_max, access.verify) == (2, 1.0, 30.0, True)
    assert access.credentials is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "HYTHE_HTTP_ADDRESS"),
        ({"address": "ftp://x/y"}, "must be a URL like https://"),
        ({"address": "https:///y"}, "must be a URL like https://"),
        ({"address": "https://x:99999/y"}, "must be a URL like https://"),
        ({"address": URL + "/a b"}, "characters that a URL cannot have"),
        ({"address": URL + "/a\r\nHost: b"}, "characters that a URL cannot have"),
        ({"address": URL + "/{name}"}, "{workspace} is the only name in braces"),
        ({"address": "https://{workspace}.example.com/"}, "belongs into the path"),
        ({"address": URL, "lock_address": URL}, "lock_address without unlock_address"),
        ({"address": URL, "unlock_address": URL}, "unlock_address without lock_address"),
        (
            {"address": URL + "/{workspace}", "lock_address": URL, "unlock_address": URL},
            "lock_address and unlock_address has not",
        ),
        ({"address": URL, "update_method": "PO ST"}, "no method of HTTP"),
        ({"address": URL, "retry_wait_min": 9, "retry_wait_max": 2}, "retry_wait_max (2 seconds) is less"),
        ({"address": URL, "headers": {"Content-MD5": "x"}}, "is set by Hythe itself"),
        ({"address": URL, "headers": {"X: y": "z"}}, "other characters than letters"),
        ({"address": URL, "headers": {"X": "a\nb"}}, "printable ASCII"),
        ({"address": URL, "username": "a", "headers": {"authorization": "b"}}, "exclude each other"),
        ({"address": URL, "client_private_key_pem": "x"}, "client_private_key_pem without client_certificate_pem"),
    ],
)
def test_arguments_that_cannot_be(arguments: dict[str, object], words: str) -> None:
    assert words in wrong(**arguments)


def test_variables_that_cannot_be() -> None:
    told = wrong({"HYTHE_HTTP_RETRY_MAX": "many", "HYTHE_HTTP_HEADERS": "s3cret"}, address=URL)
    assert "HYTHE_HTTP_RETRY_MAX is not what this argument takes" in told
    assert "HYTHE_HTTP_HEADERS is not a JSON object" in told
    assert "s3cret" not in told


def test_nothing_secret_is_shown(tmp_path: Path) -> None:
    given = Settings(
        address="https://bob:p%40ss-word@states.example.com/shop?sig=t0ken",
        headers={"Authorization-2": "Bearer abc-def-ghi"},
        client_certificate_pem="CERT",
        client_private_key_pem="KEY-KEY",
    )
    storage = open_storage(given, str(tmp_path), {"https_proxy": "http://eve:proxy-word@proxy:3128"})
    assert storage.where == storage.backend("default").where == "https://states.example.com/shop"
    endpoints, access = resolve(given, {})
    assert access.credentials == ("bob", "p@ss-word")
    assert endpoints.address == "https://states.example.com/shop?sig=t0ken"
    for text in (repr(given), repr(access)):
        assert not [s for s in ("ss-word", "abc-def", "KEY-KEY") if s in text.replace(given.address or "", "")]
    for secret in ("p@ss-word", "abc-def-ghi", "Bearer abc-def-ghi", "KEY-KEY", "proxy-word"):
        assert secret in storage.secrets
        assert HttpClient(replace(access, secrets=storage.secrets)).masked(f"<{secret}>") == "<(sensitive)>"
    assert shown("https://a:b@c:1/d?e#f") == "https://c:1/d"


def test_workspaces_without_a_place(tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError, match=r'"test" is another workspace. Write \{workspace\}'):
        open_storage(Settings(address=URL), str(tmp_path), {}).backend("test")
    assert list(tmp_path.iterdir()) == []
    storage = open_storage(Settings(address=URL + "/{workspace}"), str(tmp_path), {})
    names = {storage.backend(n).journal_where for n in ("default", "a/b", "a%2Fb", "..")}
    assert len(names) == 4
    assert {Path(n).parent for n in names} == {tmp_path / ".hythe" / "http"}


# -- what is stored -----------------------------------------------------------------------------


def test_a_snapshot_is_stored_as_it_is_and_beside_a_note() -> None:
    snapshot, _ = encode_snapshot(State("line", 5))
    assert encode(snapshot, None, 5) == snapshot
    assert decode(snapshot) == Stored(snapshot, None, 5)
    for content in (snapshot, None, b"\0any bytes}\n{", b"null "):
        assert decode(encode(content, NOTE, 6)) == Stored(content, NOTE, 6)
    assert decode(encode(snapshot, None, 9)) == Stored(snapshot, None, 9)
    assert decode(b"") == decode(b" \n") == Stored()


def test_what_is_stored_is_json_with_a_serial() -> None:
    import json

    snapshot, _ = encode_snapshot(State("line", 5))
    told = json.loads(encode(snapshot, NOTE, 6))
    assert told["serial"] == 6
    assert told["snapshot"]["lineage"] == "line"
    assert json.loads(encode(None, NOTE, 1))["snapshot"] is None


@pytest.mark.parametrize("cut", [10, 40, 180, -1, -2])
def test_a_note_that_was_cut_short_is_no_state(cut: int) -> None:
    snapshot, _ = encode_snapshot(State("line", 5))
    body = encode(snapshot, NOTE, 6)[:cut]
    found = decode(body)
    assert found.note is None
    assert found.snapshot == body


# -- who --------------------------------------------------------------------------------------


def test_a_process_is_dead_only_when_that_is_certain() -> None:
    me = this_process()
    assert ProcessName.from_json(me.as_json()) == me
    assert not is_dead(me)
    assert is_dead(replace(me, start=me.start + 1))
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    start = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19])
    name = replace(me, pid=child.pid, start=start)
    try:
        assert not is_dead(name)
    finally:
        child.kill()
        # ended, and not collected yet
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_dead(name)
        child.wait()
    assert is_dead(name)
    for change in ({"host": "other"}, {"boot": "other"}, {"space": "other"}, {"boot": ""}, {"start": 0}, {"pid": -1}):
        assert not is_dead(replace(name, **change))  # type: ignore[arg-type]
    assert ProcessName.from_json({"pid": 1}) is None
    assert ProcessName.from_json("x") is None


# -- the way there ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "without"),
    [
        ("", False),
        ("*", True),
        ("example.com", True),
        (".example.com", True),
        ("*.example.com", True),
        ("other, states.example.com:443", True),
        ("ample.com", False),
        ("states.example.com:80", False),
    ],
)
def test_no_proxy(names: str, without: bool) -> None:
    assert _goes_without("https://states.example.com:443/x", names) is without


def test_redirects_that_are_followed() -> None:
    at = "https://a.example/x"
    assert _may_follow("GET", 302, at, "https://b.example/x")
    assert not _may_follow("GET", 302, at, "http://a.example/x")
    assert not _may_follow("GET", 302, at, "file:///etc/passwd")
    assert _may_follow("POST", 307, at, "https://a.example/y")
    assert not _may_follow("POST", 302, at, "https://a.example/y")
    assert not _may_follow("POST", 307, at, "https://b.example/x")


def test_waiting_between_tries_grows_to_its_limit() -> None:
    waits: list[float] = []
    access = Access(retries=5, wait_min=1.0, wait_max=6.0)
    client = HttpClient(access, sleep=waits.append)
    with pytest.raises(OSError, match=r"nothing listens there \(6 tries\)"):
        client.request("GET", "http://127.0.0.1:1/x")
    assert waits == [1.0, 2.0, 4.0, 6.0, 6.0]


@pytest.mark.parametrize(
    ("access", "words"),
    [
        (Access(authority="junk"), "client_ca_certificate_pem holds no certificate"),
        (Access(certificate="junk"), "client_certificate_pem and client_private_key_pem cannot be used"),
    ],
)
def test_certificates_that_cannot_be_used(access: Access, words: str) -> None:
    with pytest.raises(OSError, match=words):
        HttpClient(access).request("GET", "https://127.0.0.1:1/x")
