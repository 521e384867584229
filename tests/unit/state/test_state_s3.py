"""The S3 backend's settings, keys, formats and words; what it does on a server is in tests/live/state/s3."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions as known
from pydantic import ValidationError

from hythe.diagnostic import DiagnosticError
from hythe.state.backends.s3 import Settings, open_storage, place
from hythe.state.backends.s3 import journal as journals
from hythe.state.backends.s3.failures import diagnose, is_passing
from hythe.state.backends.s3.head import TAIL, Head, join, split
from hythe.state.backends.s3.lease import Note, Watch, decode
from hythe.state.backends.s3.settings import Target, resolve

GIVEN = {"bucket": "states", "key": "shop/state.json", "region": "eu-west-1"}
SECRET = "hunter2hunter2"


def _target(environment: dict[str, str] | None = None, **given: Any) -> Target:
    return resolve(Settings(**{**GIVEN, **given}), environment or {}, "/work")


def test_defaults() -> None:
    target = _target()
    assert (target.lease, target.retry_for, target.versions, target.max_retries) == (30.0, 90.0, 20, 5)
    assert (target.endpoint, target.path_style, target.verify) == (None, False, True)
    assert target.server == 'bucket "states" on Amazon S3 (eu-west-1)'


@pytest.mark.parametrize(
    "given",
    [
        {"key": "/shop"},
        {"key": "shop/"},
        {"key": "a//b"},
        {"key": ""},
        {"workspace_key_prefix": "/env"},
        {"lease": "10ms"},
        {"versions": -1},
        {"max_retries": -1},
        {"endpoints": {"s4": "https://s3.example.com"}},
        {"buckett": "x"},
    ],
)
def test_what_settings_refuse(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**{**GIVEN, **given})


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("dynamodb_table", "locks", "the lock is an object beside the state"),
        ("use_lockfile", False, "--lock=false"),
        ("acl", "private", "policy of the bucket"),
        ("sse_customer_key", "x", "docs/encryption.md"),
        ("assume_role", {"role_arn": "x"}, "~/.aws/config"),
    ],
)
def test_what_opentofu_has_and_this_has_not_is_told(name: str, value: Any, advice: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(advice)):
        Settings(**{**GIVEN, name: value})


def test_what_opentofu_skips_is_accepted() -> None:
    names = (
        "credentials_validation",
        "region_validation",
        "requesting_account_id",
        "metadata_api_check",
        "s3_checksum",
    )
    target = _target(**{f"skip_{name}": True for name in names}, use_lockfile=True)
    assert (target.without_metadata_api, target.checksums) == (True, False)


def test_the_configuration_goes_before_the_environment() -> None:
    environment = {
        "AWS_ACCESS_KEY_ID": "env-key",
        "AWS_SECRET_ACCESS_KEY": "env-secret",
        "AWS_SESSION_TOKEN": "env-token",
        "AWS_REGION": "us-west-2",
        "AWS_ENDPOINT_URL_S3": "https://env.example.com",
    }
    target = _target(environment, region=None)
    assert (target.access_key, target.secret_key, target.token) == ("env-key", "env-secret", "env-token")
    assert (target.region, target.endpoint) == ("us-west-2", "https://env.example.com")
    target = _target(environment, endpoints={"s3": "https://s3.example.com"}, access_key="mine", secret_key=SECRET)
    assert (target.access_key, target.secret_key, target.token) == ("mine", SECRET, None)
    assert (target.region, target.endpoint) == ("eu-west-1", "https://s3.example.com")
    assert _target(environment, profile="team").access_key is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"bucket": None}, '"bucket" is missing'),
        ({"region": None}, '"region" is missing'),
        ({"endpoint": "s3.example.com"}, "must be a URL"),
        ({"endpoint": f"https://me:{SECRET}@s3.example.com"}, "without a name or password"),
        ({"access_key": "me"}, "access_key without secret_key"),
        ({"secret_key": SECRET}, "secret_key without access_key"),
        ({"kms_key_id": "alias/x"}, "encrypt is not true"),
        ({"custom_ca_bundle": "missing.pem"}, "/work/missing.pem"),
        ({"shared_credentials_files": ["a", "b"]}, "one can be read"),
    ],
)
def test_settings_that_do_not_go_together(given: dict[str, Any], told: str) -> None:
    with pytest.raises(DiagnosticError) as caught:
        _target(**given)
    assert told in str(caught.value)
    assert SECRET not in str(caught.value)


def test_encryption_by_the_server() -> None:
    assert _target(encrypt=True).put_options == {"ServerSideEncryption": "AES256"}
    options = _target(encrypt=True, kms_key_id="alias/x").put_options
    assert options == {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/x"}


def test_keys_are_opentofus() -> None:
    storage = open_storage(Settings(**GIVEN), "/", {})
    assert storage.backend("default").key == "shop/state.json"
    assert storage.backend("prod").key == "env:/prod/shop/state.json"
    assert _target(workspace_key_prefix="spaces").key_of("prod") == "spaces/prod/shop/state.json"
    assert storage.backend("prod").where == 'env:/prod/shop/state.json in bucket "states" on Amazon S3 (eu-west-1)'


def test_secrets_are_not_shown() -> None:
    settings = Settings(**GIVEN, access_key="me", secret_key=SECRET, token="token-of-mine")  # type: ignore[arg-type]
    storage = open_storage(settings, "/", {})
    assert SECRET not in repr(settings) + repr(storage.target)
    assert "token-of-mine" not in repr(settings) + repr(storage.target)
    assert set(storage.secrets) == {SECRET, "token-of-mine"}


def test_a_place_is_the_same_whatever_the_secret_and_the_spelling() -> None:
    one = Settings(**GIVEN, endpoint="https://S3.example.com/", secret_key="a", access_key="b")  # type: ignore[arg-type]
    other = Settings(**{**GIVEN, "region": "x"}, endpoints={"s3": "https://s3.example.com"})
    assert place(one) == place(other)
    assert place(one) != place(Settings(**GIVEN))
    assert place(one) != place(Settings(**{**GIVEN, "key": "other"}, endpoint="https://s3.example.com"))


# -- formats ----------------------------------------------------------------------------------------


def test_a_head_is_found_behind_its_snapshot() -> None:
    for snapshot in (b"", b"{}\n", b'{"a": 1}\n{"hythe_s3": 2}', b"\x00" * 5000):
        head = Head(number=3, serial=7, size=len(snapshot), before="x", journal_before="y")
        body = join(snapshot, head)
        assert split(body, "here") == (snapshot, head)
        assert split(body[-TAIL:], "here")[1] == head
    assert split(b'{"hythe_state": 1}\n', "here") == (b'{"hythe_state": 1}\n', None)
    assert join(b"", Head()) != join(b"", Head())


def test_a_head_of_a_newer_version_is_refused() -> None:
    body = join(b"{}", Head()).replace(b'"hythe_s3":1', b'"hythe_s3":2')
    with pytest.raises(DiagnosticError, match="State from a newer version"):
        split(body, "here")


def test_a_batch_holds_any_bytes_and_tells_damage() -> None:
    records = [b"", b"a\nb", b"\x00\xff" * 9]
    body = journals.encode("me", records)
    assert journals.decode(body) == journals.Batch("me", records)
    assert len(body) > len(journals.SEAL)
    for damaged in (body[:-1], body + b"x", body.replace(b"\xff", b"\xfe"), b"", b"{}\n", journals.SEAL, b"[1]\n"):
        with pytest.raises(ValueError):
            journals.decode(damaged)


def test_a_lock_that_cannot_be_read_is_held() -> None:
    target = _target()
    note = Note(token=4, held=True, lease=12.0, server="here", bare=True)
    read = decode(note.encode(), target)
    assert (read.token, read.held, read.clean, read.lease, read.bare) == (4, True, True, 12.0, True)
    assert note.encode() != note.encode()
    for body in (b"", b"[]", b'{"token": 1}'):
        assert (decode(body, target).held, decode(body, target).lease) == (True, 30.0)


def test_who_waits_counts_only_the_time_in_which_the_server_was_there() -> None:
    watch = Watch()
    assert [watch.seen("a", now, 0) for now in (10.0, 12.0, 15.0)] == [0, 2, 5]
    assert [watch.seen("b", now, 0) for now in (16.0, 18.0)] == [0, 2]
    assert [watch.seen("b", now, 3) for now in (60.0, 61.0)] == [0, 1]


# -- words ------------------------------------------------------------------------------------------


def _failed(code: str, status: int, message: str = "it was not to be") -> known.ClientError:
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return known.ClientError(answer, "PutObject")


@pytest.mark.parametrize(
    ("failure", "summary", "passing"),
    [
        (_failed("NoSuchBucket", 404), "State bucket missing", False),
        (_failed("AccessDenied", 403), "State bucket not permitted", False),
        (_failed("InvalidAccessKeyId", 403), "State server refused the credentials", False),
        (_failed("SignatureDoesNotMatch", 403), "State server refused the credentials", False),
        (_failed("ExpiredToken", 400), "State server refused the credentials", False),
        (_failed("PermanentRedirect", 301), "State bucket is in another region", False),
        (_failed("AuthorizationHeaderMalformed", 400), "State bucket is in another region", False),
        (_failed("RequestTimeTooSkewed", 403), "Clock is wrong", False),
        (_failed("SlowDown", 503), "State server failed", True),
        (_failed("InternalError", 500), "State server failed", True),
        (_failed("Teapot", 418), "State server failed", False),
        (known.NoCredentialsError(), "No credentials for the state server", False),
        (known.EndpointConnectionError(endpoint_url="https://x", error="refused"), "State server not reachable", True),
        (known.ReadTimeoutError(endpoint_url="https://x", error="late"), "State server does not answer", True),
        (
            known.SSLError(endpoint_url="https://x", error="certificate verify failed"),
            "State server not trusted",
            False,
        ),
    ],
)
def test_what_goes_wrong_is_told_in_words(failure: BaseException, summary: str, passing: bool) -> None:
    told = diagnose(failure, _target())
    assert told.summary == summary
    assert 'bucket "states"' in told.detail
    assert is_passing(failure) == passing


def test_what_the_server_says_is_shown_without_secrets() -> None:
    target = _target(access_key="me", secret_key=SECRET)
    told = diagnose(_failed("AccessDenied", 403, f"not  with\n{SECRET}"), target)
    assert "not with (secret)" in told.detail


def test_a_missing_library_is_told_with_what_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore.config", None)
    with pytest.raises(DiagnosticError, match=rf"{re.escape(sys.executable)} -m pip install 'botocore"):
        open_storage(Settings(**GIVEN), "/", {}).backend("default").read()


def test_nothing_heavy_is_loaded_before_it_is_used(tmp_path: Path) -> None:
    code = (
        "import sys, hythe.state.backends.s3; print([m for m in ('botocore', 'pydantic') if m in sys.modules]);"
        "from hythe.state.backends.s3 import open_storage, Settings;"
        "open_storage(Settings(bucket='b', key='k', region='r'), '/', {}).backend('default');"
        "print('botocore' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "False"]


@pytest.mark.parametrize("command", [("plan",), ("state", "list"), ("workspace", "list")])
def test_a_missing_library_is_told_by_every_command(
    terminal: Any, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "botocore"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "botocore", None)
    terminal.write('hythe {\n  backend "s3" {\n    bucket = "b"\n    key    = "k"\n    region = "r"\n  }\n}\n')
    assert "-m pip install 'botocore>=1.36'" in terminal.refused(*command)
