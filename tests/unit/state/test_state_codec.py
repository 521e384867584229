"""What is written comes back the same, and damage is told apart."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hythe.state.codec import (
    BadSnapshot,
    decode_intent,
    decode_result,
    decode_snapshot,
    decode_value,
    encode_intent,
    encode_result,
    encode_snapshot,
    encode_value,
)
from hythe.state.model import InstanceState, Intent, OutputState, Result, State
from hythe.value import NUMBER, STRING, List, Map, Marked, Null, Reference, Sensitive, Set, Unknown, list_of

ATOMS = st.one_of(
    st.none(), st.booleans(), st.text(), st.integers(), st.decimals(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner), st.dictionaries(st.text() | st.sampled_from(["$ref", "$number", "$object", "$x"]), inner)
    ),
    max_leaves=20,
)


def make_state(count: int = 2) -> State:
    instances = {}
    for n in range(count):
        address = f'value.many["{n}"]'
        instances[address] = InstanceState(
            address,
            f"id-{n}",
            "value",
            {"input": {"name": f"n{n}", "size": n, "share": Decimal("0.1")}, "output": {"name": f"n{n}"}},
            sensitive=(("input", "name"),),
            dependencies=("value.base",),
        )
    return State("lineage-1", 7, instances)


def flaw_of(data: bytes) -> str:
    with pytest.raises(BadSnapshot) as caught:
        decode_snapshot(data)
    return caught.value.flaw.sort


def same(a: Any, b: Any) -> bool:
    """Equality that tells 1 from True and from Decimal(1)."""
    return a == b and repr(a) == repr(b)


@given(VALUES)
@settings(max_examples=200, deadline=None)
def test_every_value_comes_back(value: Any) -> None:
    import orjson

    back = decode_value(orjson.loads(orjson.dumps(encode_value(value))))
    assert back == value


@pytest.mark.parametrize(
    "value",
    [
        Decimal("0.1"),
        Decimal("1.2345678901234567890123456789"),
        2**63 - 1,
        2**64,
        -(2**200),
        True,
        1,
        Reference("network", "network.lan", "id-1"),
        Reference("network", "network.lan", Unknown(STRING)),
        Unknown(list_of(STRING)),
        Null(NUMBER),
        {"$number": "1.5"},
        {"$ref": {}, "other": 1},
        {"$object": {"$object": 1}},
    ],
)
def test_special_values_come_back_exactly(value: Any) -> None:
    import orjson

    back = decode_value(orjson.loads(orjson.dumps(encode_value(value))))
    assert type(back) is type(value)
    assert back == value
    if isinstance(value, Reference):
        assert (back.kind, back.address, back.id) == (value.kind, value.address, value.id)


def test_typed_collections_keep_their_element_type() -> None:
    value = {"a": List(["x"], STRING), "b": Set([1, 2], NUMBER), "c": Map({"$k": 1}, NUMBER)}
    back = decode_value(encode_value(value))
    assert [type(back[k]) for k in "abc"] == [List, Set, Map]
    assert back["b"].element is NUMBER
    assert back["c"] == {"$k": 1}


def test_marked_values_are_refused() -> None:
    with pytest.raises(TypeError):
        encode_value({"password": Sensitive("x")})
    with pytest.raises(TypeError):
        encode_value(Marked(1, frozenset({"ephemeral"})))


def test_floats_in_a_file_are_refused() -> None:
    with pytest.raises(ValueError):
        decode_value({"a": 1.5})


def test_snapshot_comes_back_whole() -> None:
    state = make_state()
    old = InstanceState("container.web", "old", "container", {"name": "web"}, host="host.a", tainted=True)
    state.deposed["old"] = old
    state.outputs["out"] = OutputState([1, "a"], list_of(STRING), True)
    pending = (Intent(3, "create", old, "older"),)
    data, digest = encode_snapshot(state, pending, "before")
    snapshot = decode_snapshot(data)
    assert snapshot.state == state
    assert snapshot.pending == pending
    assert (snapshot.digest, snapshot.previous) == (digest, "before")


def test_result_and_intent_come_back() -> None:
    instance = make_state(1).instances['value.many["0"]']
    result = Result(4, instance, "value.gone", (instance,), ("x",), {"o": OutputState("1", STRING)})
    assert decode_result(encode_result(result)) == result
    assert decode_intent(encode_intent(Intent(1, "swap", instance, "old"))) == Intent(1, "swap", instance, "old")


def test_every_truncation_is_seen_as_one() -> None:
    data, _ = encode_snapshot(make_state(1))
    assert flaw_of(b"") == "empty"
    assert flaw_of(b"\0" * 100) == "empty"
    for end in range(20, len(data)):
        assert flaw_of(data[:end]) == "truncated", end


def test_every_flipped_bit_is_seen() -> None:
    data, _ = encode_snapshot(make_state(1))
    for at in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[at] ^= 1 << bit
            with pytest.raises(BadSnapshot):
                decode_snapshot(bytes(damaged))


def test_damage_in_the_body_is_called_damage() -> None:
    data, _ = encode_snapshot(make_state(1))
    assert flaw_of(data.replace(b"id-0", b"id-1")) == "damaged"
    assert flaw_of(data + data) == "damaged"


def test_other_files_and_newer_formats() -> None:
    assert flaw_of(b'{"version": 4, "terraform_version": "1.9"}') == "foreign"
    from hashlib import sha256

    rest = b'"anything":1}\n'
    digest = sha256(b"99\n" + rest).hexdigest().encode()
    newer = b'{"hythe_state":99,"checksum":"sha256:%s","size":%d,' % (digest, len(rest)) + rest
    assert flaw_of(newer) == "newer"


def test_ten_thousand_instances_are_encoded_quickly() -> None:
    state = make_state(10_000)
    best = min(_seconds(lambda: encode_snapshot(state)) for _ in range(3))
    assert best < 0.5, "the budget is 0.15 s on an idle machine"


def _seconds(call: Any) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
