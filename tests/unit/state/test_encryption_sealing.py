"""Sealing: what is opened is what was sealed, and each way in which it can be otherwise is told apart."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hythe.diagnostic import DiagnosticError
from hythe.state.encryption import keys
from hythe.state.encryption.keys import Answer, Derivation, FixedSource, Key, KeyRefused, PassphraseSource, parse_key
from hythe.state.encryption.sealing import BadSeal, is_sealed, read_document, seal_document
from hythe.state.encryption.target import Method, Target

KEY, OTHER = b"k" * 32, b"o" * 32
FAST = Derivation(iterations=200_000, hash_function="sha256")


def fixed(key: bytes, name: str = "key_provider.file.k") -> FixedSource:
    return FixedSource(name, "file", lambda: key)


def target(*sources: Any) -> Target:
    return Target([Method(f"method.aes_gcm.m{n}", source) for n, source in enumerate(sources)])


def sealed(plain: bytes = b"the content", key: bytes = KEY) -> bytes:
    return target(fixed(key)).close(plain, "state", [("lineage", "l"), ("serial", 7)])[0]


def opened(data: bytes, with_: Target | None = None) -> bytes:
    with_ = with_ or target(fixed(KEY))
    return with_.open(with_.read(data, "state", "it"), "it").plain


def outcome(data: bytes, with_: Target | None = None) -> str:
    """``BadSeal``'s sort or the diagnostic's summary; ``opened`` when nothing is wrong."""
    try:
        opened(data, with_)
    except BadSeal as failure:
        return failure.sort
    except DiagnosticError as failure:
        (only,) = failure.diagnostics
        return only.summary
    return "opened"


def resealed(data: bytes) -> bytes:
    """With size and checksum made right, as somebody would who changes a file on purpose."""
    head = re.match(rb'\{"hythe_encrypted":(\d+),"checksum":"sha256:[0-9a-f]*","size":\d+,', data)
    assert head is not None
    rest = data[head.end() :]
    digest = hashlib.sha256(head[1] + b"\n" + rest).hexdigest().encode()
    return b'{"hythe_encrypted":%s,"checksum":"sha256:%s","size":%d,%s' % (head[1], digest, len(rest), rest)


@given(st.binary(max_size=3000))
def test_whatever_is_sealed_comes_back(plain: bytes) -> None:
    data = sealed(plain)
    assert opened(data) == plain
    assert b"\n" not in data


def test_nothing_of_the_content_shows() -> None:
    data = sealed(b"a secret of some length")
    assert b"secret" not in data
    assert b"secret" not in base64.b64decode(read_document(data).data)


def test_no_two_are_alike() -> None:
    first, second = read_document(sealed()), read_document(sealed())
    assert first.data != second.data
    assert first.about["salt"] != second.about["salt"]
    assert first.about["check"] != second.about["check"]


def test_what_servers_look_at_is_in_clear() -> None:
    import orjson

    said = orjson.loads(sealed())
    assert (said["lineage"], said["serial"], said["hythe_encrypted"]) == ("l", 7, 1)


def test_every_flipped_bit_is_noticed_without_a_key() -> None:
    data = sealed()
    for at in range(len(data)):
        for bit in range(8):
            wrong = bytearray(data)
            wrong[at] ^= 1 << bit
            with pytest.raises(BadSeal) as caught:
                read_document(bytes(wrong))
            assert caught.value.sort in ("damaged", "truncated"), at


def test_every_flipped_bit_is_noticed_even_where_the_checksum_was_made_right() -> None:
    data = sealed()
    begin = data.index(b'"content"')
    seen = set()
    for at in range(begin, len(data)):
        for bit in range(8):
            wrong = bytearray(data)
            wrong[at] ^= 1 << bit
            said = outcome(resealed(bytes(wrong)))
            assert said != "opened", (at, bit)
            seen.add(said)
    assert seen >= {"tampered", "Wrong encryption key", "damaged"}


def test_what_is_authenticated_cannot_be_changed_on_purpose() -> None:
    data = sealed()
    for old, new in ((b'"serial":7', b'"serial":8'), (b'"lineage":"l"', b'"lineage":"m"'), (b'"serial"', b'"Serial"')):
        assert outcome(resealed(data.replace(old, new))) == "tampered"
    assert outcome(resealed(data.replace(b'"content":"state",', b'"content":"state","more":1,'))) == "tampered"


def test_every_truncation_is_seen_as_one() -> None:
    data = sealed()
    for end in range(20, len(data)):
        assert outcome(data[:end]) == "truncated", end


def test_wrong_key_missing_key_and_newer_format_are_told_apart() -> None:
    data = sealed()
    assert outcome(data, target(fixed(OTHER))) == "Wrong encryption key"
    assert outcome(data, target(PassphraseSource("p", "x" * 20, FAST))) == "Encryption key missing"
    assert outcome(resealed(data.replace(b'"hythe_encrypted":1', b'"hythe_encrypted":2'))) == "newer"
    plan = target(fixed(KEY)).close(b"x", "plan", [])[0]
    assert outcome(plan) == "Not a state file"


def test_no_message_tells_anything_of_a_key() -> None:
    secret = PassphraseSource("key_provider.pbkdf2.main", "correct horse battery", FAST)
    data = target(secret).close(b"x", "state", [])[0]
    wrong = target(PassphraseSource("key_provider.pbkdf2.main", "another horse battery", FAST))
    with pytest.raises(DiagnosticError) as caught:
        opened(data, wrong)
    text = str(caught.value)
    assert "horse" not in text
    assert "key_provider.pbkdf2.main" in text
    assert "horse" not in repr(secret.writing())
    assert secret.writing().secret.hex() not in repr(secret.writing())


# -- rotation ---------------------------------------------------------------------------------------


def test_methods_are_tried_in_order_and_the_first_seals() -> None:
    both = target(fixed(OTHER, "new"), fixed(KEY, "old"))
    old = sealed()
    found = both.open(both.read(old, "state", "it"), "it")
    assert (found.plain, found.outdated) == (b"the content", True)
    new, _ = both.close(b"the content", "state")
    found = both.open(both.read(new, "state", "it"), "it")
    assert (found.plain, found.outdated) == (b"the content", False)
    assert outcome(new) == "Wrong encryption key"


# -- passphrases ------------------------------------------------------------------------------------


def test_defaults_are_those_of_opentofu() -> None:
    assert Derivation() == Derivation(key_length=32, iterations=600_000, salt_length=32, hash_function="sha512")


def test_a_key_is_derived_once_for_each_salt(monkeypatch: pytest.MonkeyPatch) -> None:
    derived = []
    real = hashlib.pbkdf2_hmac

    def counting(*given: Any) -> bytes:
        derived.append(given)
        return real(*given)

    monkeypatch.setattr(keys.hashlib, "pbkdf2_hmac", counting)
    first = target(PassphraseSource("p", "x" * 20, FAST))
    data = first.close(b"one", "state")[0]
    assert len(derived) == 1
    # another process: it reads, then writes with the salt that it found
    second = target(PassphraseSource("p", "x" * 20, FAST))
    assert opened(data, second) == b"one"
    again = second.close(b"two", "state")[0]
    assert opened(again, second) == b"two"
    assert len(derived) == 2
    assert read_document(again).key == read_document(data).key


def test_raised_iterations_hold_from_the_next_write() -> None:
    data = target(PassphraseSource("p", "x" * 20, FAST)).close(b"one", "state")[0]
    raised = target(PassphraseSource("p", "x" * 20, Derivation(iterations=300_000, hash_function="sha256")))
    found = raised.open(raised.read(data, "state", "it"), "it")
    assert (found.plain, found.outdated) == (b"one", True)
    assert read_document(raised.close(b"two", "state")[0]).key["iterations"] == 300_000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iterations", 10**12),
        ("iterations", 1),
        ("iterations", "600000"),
        ("iterations", 1e6),
        ("hash_function", "sha1"),
        ("hash_function", ["sha256"]),
        ("key_length", 1 << 30),
        ("key_length", True),
        ("salt", ""),
        ("salt", base64.b64encode(b"s" * 2000).decode()),
        ("salt", "no base64!"),
        ("salt", None),
    ],
)
def test_a_hostile_file_cannot_ask_for_much(name: str, value: Any) -> None:
    source = PassphraseSource("p", "x" * 20, FAST)
    stored = {**FAST.parameters(b"s" * 32), name: value}
    started = time.monotonic()
    with pytest.raises(KeyRefused):
        source.reading(stored)
    assert time.monotonic() - started < 1
    document, _ = seal_document(b"x", "state", [], Key(KEY, stored), "pbkdf2")
    assert outcome(document, target(source)) == "Encryption key refused"


# -- other keys -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        KEY.hex().encode(),
        KEY.hex().upper().encode() + b"\n",
        base64.b64encode(KEY),
        base64.b64encode(KEY) + b"\r\n",
    ],
)
def test_keys_as_bytes_hexadecimal_and_base64(text: bytes) -> None:
    assert parse_key(text) == KEY


@pytest.mark.parametrize("text", [b"", b"short", KEY[:31], KEY + KEY, b"z" * 64, b"!" * 44, b"\xff" * 64])
def test_other_text_is_no_key(text: bytes) -> None:
    with pytest.raises(KeyRefused, match="32 bytes"):
        parse_key(text)


def test_a_program_is_asked_once_and_gets_back_what_it_stored() -> None:
    asked: list[Any] = []

    def program(stored: Any) -> Answer:
        asked.append(stored)
        number = 0 if stored is None else stored["n"]
        return Answer(bytes([number + 1]) * 32, {"n": number + 1}, None if stored is None else bytes([number]) * 32)

    first = target(keys.ProgramSource("x", program))
    data = first.close(b"one", "state")[0]
    assert asked == [None]
    second = target(keys.ProgramSource("x", program))
    assert opened(data, second) == b"one"
    again = second.close(b"two", "state")[0]
    assert opened(again, target(keys.ProgramSource("x", program))) == b"two"
    assert asked == [None, {"n": 1}, {"n": 2}]


def test_is_sealed_by_its_first_bytes() -> None:
    assert is_sealed(sealed())
    assert not is_sealed(b'{"hythe_state":1,')


@settings(max_examples=50)
@given(st.binary(min_size=16, max_size=64), st.binary(min_size=16, max_size=64))
def test_only_the_same_key_opens(one: bytes, other: bytes) -> None:
    said = outcome(sealed(key=one), target(fixed(other)))
    assert said == ("opened" if one == other else "Wrong encryption key")
