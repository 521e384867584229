"""What ``hythe state check`` finds: each sort of damage that a checksum does not show, and nothing in a sound state."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hythe.cli import main
from hythe.provider.memory import MemoryWorld
from hythe.provider.memory_kinds import memory_kinds
from hythe.provider.registry import Registry
from hythe.state.backends.local import LocalBackend
from hythe.state.check import check_backup, check_state
from hythe.state.codec import BadSnapshot, decode_snapshot, encode_instance, encode_snapshot
from hythe.state.model import InstanceState, Intent, State
from hythe.state.session import Loaded
from hythe.value import STRING, Unknown

BOX = InstanceState("box.b", "id-box", "box", {"name": "b", "engine_id": "e1", "revision": 1})
BASE = InstanceState("thing.base", "id-base", "thing", {"name": "base", "tags": ["x"], "part": []}, host="box.b")
USER = InstanceState("thing.user[0]", "id-user", "thing", {"name": "user", "size": 2}, dependencies=("thing.base",))
DATA = InstanceState("data.thing.seen", "id-base", "thing", {"name": "base"})
OLD = InstanceState("thing.base", "id-old", "thing", {"name": "old"}, tainted=True)


def sound() -> State:
    return State("lineage", 3, {i.address: i for i in (BOX, BASE, USER, DATA)}, {OLD.id: OLD})


def found(state: State, *pending: Intent) -> list[str]:
    registry = Registry(memory_kinds(MemoryWorld()))
    return [d.detail for d in check_state(Loaded(state, pending), registry)]


def test_a_sound_state() -> None:
    made = InstanceState("thing.new", "id-new", "thing", {"name": "new"})
    assert found(sound(), Intent(1, "create", made), Intent(2, "delete", USER)) == []
    assert found(State("fresh")) == []


def changed(instance: InstanceState, **fields: Any) -> State:
    state = sound()
    state.instances[instance.address] = replace(instance, **fields)
    return state


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (State(""), "no lineage"),
        (State("l", -1), "serial -1"),
        (changed(BASE, address="thing.other"), "recorded at thing.base has the address thing.other"),
        (State("l", 1, {"thing base": replace(OLD, address="thing base")}), "thing base is no address"),
        (changed(BASE, kind="box", host=None, attributes={"name": "b"}), "recorded with kind box"),
        (changed(USER, id="id-base"), "id-base is recorded more than once: thing.base, thing.user[0]"),
        (changed(USER, id="id-old"), "id-old is recorded more than once"),
        (changed(USER, id=""), "no instance id: thing.user[0]"),
        (changed(USER, dependencies=("thing.gone",)), "thing.user[0] depends on thing.gone"),
        (changed(USER, host="box.gone"), "thing.user[0] is on box.gone, which the state does not have"),
        (changed(USER, host="thing.base"), "which is no machine"),
        (changed(BOX, kind="box", host="box.b"), "contain each other"),
        (changed(USER, schema_version=2), "recorded by a newer Hythe"),
        (changed(USER, attributes={"name": Unknown(STRING)}), "holds a value that is not known"),
        (changed(USER, attributes={"nome": "x"}), "holds a nome that thing cannot have: no such argument"),
        (changed(USER, attributes={"size": "big"}), "holds a size that thing cannot have"),
        (changed(USER, attributes={"part": [{"name": 3}]}), "holds a part.0.name that thing cannot have"),
        (changed(USER, kind="nosuch", address="nosuch.u"), "There is no kind nosuch"),
    ],
)
def test_what_is_wrong_is_found(state: State, text: str) -> None:
    details = found(state)
    assert any(text in d for d in details), details


def test_what_is_wrong_with_operations_left_open_is_found() -> None:
    twice = Intent(1, "create", replace(USER, address="thing.more"))
    assert found(sound(), twice) == ["The instance id id-user is recorded more than once: thing.more, thing.user[0]."]
    assert found(sound(), Intent(1, "delete", USER), Intent(1, "update", BASE)) == [
        "2 operations left open have the number 1."
    ]
    assert "no known sort: paint" in found(sound(), Intent(1, "paint", USER))[0]


def test_an_object_recorded_twice_is_no_snapshot() -> None:
    data, _ = encode_snapshot(State("l", 1, {"a": BASE, "b": BASE}))
    with pytest.raises(BadSnapshot, match="an object is recorded twice"):
        decode_snapshot(data)
    assert encode_instance(BASE)["address"] == "thing.base"


def test_the_backup_is_looked_at(tmp_path: Path) -> None:
    backend = LocalBackend(str(tmp_path / "s"))
    assert check_backup(backend, sound()) == []
    Path(backend.backup).write_bytes(encode_snapshot(State("lineage"))[0])
    assert check_backup(backend, sound()) == []
    Path(backend.backup).write_bytes(encode_snapshot(State("another"))[0])
    assert [d.summary for d in check_backup(backend, sound())] == ["Backup of another state"]
    Path(backend.backup).write_bytes(b"")
    assert [d.summary for d in check_backup(backend, sound())] == ["Backup damaged"]


# -- the command ----------------------------------------------------------------------------------


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "main.hcl").write_text('resource "value" "a" {\n  input = 1\n}\n')
    assert main.run(("state", "check")) == 0
    assert "There is no state yet" in capsys.readouterr().out
    assert main.run(("apply", "--auto-approve")) == 0
    capsys.readouterr()
    assert main.run(("state", "check")) == 0
    out = capsys.readouterr().out
    assert "1 object, serial 1" in out
    assert "The state is sound." in out
    path = tmp_path / "hythe.state.json"
    state = decode_snapshot(path.read_bytes()).state
    state.instances["value.a"] = replace(state.instances["value.a"], id="")
    path.write_bytes(encode_snapshot(state)[0])
    assert main.run(("state", "check", "--json")) == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["sound"]
    assert told["objects"] == 1
    assert ["value.a" in d["detail"] for d in told["diagnostics"]] == [True]
    path.write_bytes(path.read_bytes()[:-20])
    assert main.run(("state", "check")) == 1
    assert "State file truncated" in capsys.readouterr().err
