"""Editing a state in which an interrupted run left operations open."""

from __future__ import annotations

from pathlib import Path

import pytest

from hythe.cli import main
from hythe.state.codec import decode_snapshot, encode_snapshot
from hythe.state.model import InstanceState, Intent, State


def test_what_was_left_open_on_a_machine_moves_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    machine = InstanceState("host.a", "id-a", "host", {"connection": "local"})
    file = InstanceState("file.x", "id-x", "file", {"path": "/x"}, (), ("host.a",), "host.a")
    pending = Intent(3, "create", file)
    path = tmp_path / "hythe.state.json"
    path.write_bytes(encode_snapshot(State("lineage", 1, {"host.a": machine}), (pending,))[0])
    assert main.run(("state", "mv", "file.x", "file.y")) == 1
    assert main.run(("state", "mv", "host.a", "host.b")) == 0
    [left] = decode_snapshot(path.read_bytes()).pending
    assert (left.instance.host, left.instance.dependencies) == ("host.b", ("host.b",))
