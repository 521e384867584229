"""What older versions wrote is read, gone on with, and never mistaken."""

from __future__ import annotations

import shutil
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest

from hythe.cli.planfile import decode_plan
from hythe.diagnostic import DiagnosticError
from hythe.planner.plan import Action
from hythe.provider.memory import MemoryWorld
from hythe.provider.memory_kinds import OldParcel, Parcel, memory_kinds
from hythe.provider.registry import Registry
from hythe.state.backends.local import LocalBackend
from hythe.state.codec import decode_snapshot, encode_snapshot
from hythe.state.frames import decode_journal, encode_frame
from hythe.state.journal import JOURNAL_VERSION
from hythe.state.model import FORMAT_VERSION, InstanceState, Intent, Origin, Result, State
from hythe.state.store import StateStore
from hythe.state.upgrade import HEADER_STEPS, SNAPSHOT_STEPS, upgrade_instances

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "state"


def golden_store(folder: Path, version: int, *, journal: bool) -> StateStore:
    """A state as that version of the code left it; with the journal, one whose last run was killed."""
    path = folder / "hythe.state.json"
    shutil.copy(GOLDEN / f"state-{version}.json", path)
    if journal:
        shutil.copy(GOLDEN / f"state-{version}.json.journal", f"{path}.journal")
    return StateStore(LocalBackend(str(path)), clock=lambda: 1_700_000_000.5)


def journal_header(path: str) -> Any:
    return orjson.loads(decode_journal(Path(path).read_bytes()).records[0])


def test_there_is_a_file_and_a_step_of_every_old_version() -> None:
    assert sorted(SNAPSHOT_STEPS) == list(range(1, FORMAT_VERSION))
    assert sorted(HEADER_STEPS) == list(range(1, JOURNAL_VERSION))
    for version in range(1, FORMAT_VERSION):
        assert (GOLDEN / f"state-{version}.json").read_bytes().startswith(b'{"hythe_state":%d,' % version)
        assert journal_header(str(GOLDEN / f"state-{version}.json.journal"))["hythe_journal"] == version


def test_version_1_is_read(tmp_path: Path) -> None:
    loaded = golden_store(tmp_path, 1, journal=False).read()
    state = loaded.state
    assert sorted(state.instances) == ["random.id", 'value.a["x"]', 'value.a["y"]', "value.b"]
    assert state.serial == 1
    assert state.instances['value.a["x"]'].attributes["input"] == {
        "name": "x",
        "size": Decimal("1.5"),
        "big": 123456789012345678901234567890,
    }
    assert state.instances["value.b"].dependencies == ("random.id", 'value.a["x"]')
    assert state.outputs["token"].sensitive
    assert decode_snapshot((GOLDEN / "state-1.json").read_bytes()).origin == Origin(None, "", "")


def test_a_version_1_journal_on_a_version_1_snapshot_is_replayed_and_gone_on_from(tmp_path: Path) -> None:
    store = golden_store(tmp_path, 1, journal=True)
    loaded = store.read()
    assert "value.c" in loaded.state.instances
    assert [(i.op, i.instance.address) for i in loaded.pending] == [("create", "command.slow")]
    assert loaded.state.serial == 2

    session = store.begin(loaded, "apply")
    session.wait(session.record(Result(loaded.pending[0].seq)))
    # killed again, by today's Hythe: no journal may hold records of two formats
    session.close()
    assert journal_header(store.backend.journal)["hythe_journal"] == JOURNAL_VERSION
    assert journal_header(store.backend.old_journal)["hythe_journal"] == 1
    again = store.read()
    assert again.pending == ()
    assert "value.c" in again.state.instances
    assert store.begin(again, "apply").finish() == []
    written = decode_snapshot(Path(store.where).read_bytes())
    assert written.origin.operation == "apply"
    assert written.origin.written == 1_700_000_000.5
    assert written.origin.hythe
    assert written.state.instances == again.state.instances


def test_a_crash_while_a_version_1_journal_is_taken_in_loses_nothing(tmp_path: Path) -> None:
    copies: list[Path] = []
    live = tmp_path / "live"
    live.mkdir()

    def copy(step: str) -> None:
        copies.append(Path(shutil.copytree(live, tmp_path / f"copy-{len(copies)}")))

    store = golden_store(live, 1, journal=True)
    store.backend._on_step = copy  # type: ignore[attr-defined]
    loaded = store.read()
    session = store.begin(loaded, "apply")
    session.wait(session.record(Result(loaded.pending[0].seq)))
    session.finish()
    assert len(copies) > 10
    for path in copies:
        found = StateStore(LocalBackend(str(path / "hythe.state.json"))).read()
        assert "value.c" in found.state.instances, path
        assert [i.instance.address for i in found.pending] in ([], ["command.slow"]), path
    assert found.pending == ()


def test_a_version_1_plan_is_read() -> None:
    plan = decode_plan((GOLDEN / "plan-1.plan").read_bytes())
    assert [(c.address, c.action) for c in plan.changes if c.action is not Action.NOOP] == [
        ("command.slow", Action.CREATE),
        ("value.c", Action.CREATE),
    ]
    assert plan.serial == 1


@pytest.mark.parametrize(("version", "said"), [(99, "newer Hythe"), (0, "older Hythe")])
def test_a_plan_of_another_format_is_refused(version: int, said: str) -> None:
    data = (GOLDEN / "plan-1.plan").read_bytes().replace(b'"hythe_plan":1', b'"hythe_plan":%d' % version, 1)
    with pytest.raises(ValueError, match=said):
        decode_plan(data)


def test_newer_formats_are_refused(tmp_path: Path) -> None:
    store = golden_store(tmp_path, 1, journal=False)
    header = {"hythe_journal": 99, "lineage": "x", "serial": 1, "snapshot": ""}
    Path(store.backend.journal).write_bytes(encode_frame([orjson.dumps(header)], 0)[0])
    with pytest.raises(DiagnosticError) as caught:
        store.read()
    assert caught.value.diagnostics[0].summary == "Journal from a newer version"
    Path(store.backend.journal).unlink()
    rest = b'"anything":1}\n'
    digest = sha256(b"%d\n" % (FORMAT_VERSION + 1) + rest).hexdigest()
    head = f'{{"hythe_state":{FORMAT_VERSION + 1},"checksum":"sha256:{digest}","size":{len(rest)},'
    Path(store.where).write_bytes(head.encode() + rest)
    with pytest.raises(DiagnosticError) as caught:
        store.read()
    assert caught.value.diagnostics[0].summary == "State from a newer version"


# -- kinds whose schema changed -------------------------------------------------------------------


def parcel(version: int = 1, **attributes: Any) -> InstanceState:
    return InstanceState("parcel.p", "id-p", "parcel", attributes, schema_version=version)


def registry(kind: Any) -> Registry:
    return Registry({**memory_kinds(MemoryWorld()), "parcel": kind})


def written(tmp_path: Path, state: State, *pending: Intent) -> StateStore:
    path = tmp_path / "hythe.state.json"
    path.write_bytes(encode_snapshot(state, pending)[0])
    return StateStore(LocalBackend(str(path)))


def test_a_kind_brings_its_old_attributes_up_to_date(tmp_path: Path) -> None:
    old = parcel(label="toys", grams=1500)
    other = InstanceState("parcel.gone", "id-gone", "parcel", {"label": "old"})
    state = State("l", 1, {"parcel.p": old}, {"id-gone": other})
    loaded = written(tmp_path, state, Intent(4, "update", parcel(label="toys", grams=2000))).read()
    upgrade_instances(loaded, registry(Parcel()))
    made = loaded.state.instances["parcel.p"]
    assert made.attributes == {"name": "toys", "weight": Decimal("1.5")}
    assert made.schema_version == 2
    assert loaded.state.deposed["id-gone"].attributes == {"name": "old"}
    assert [i.instance.attributes["weight"] for i in loaded.pending] == [2]
    upgrade_instances(loaded, registry(Parcel()))
    assert loaded.state.instances["parcel.p"] == made, "once is enough"


def test_objects_of_a_newer_kind_are_refused(tmp_path: Path) -> None:
    loaded = written(tmp_path, State("l", 1, {"parcel.p": parcel(2, name="toys")})).read()
    with pytest.raises(DiagnosticError) as caught:
        upgrade_instances(loaded, registry(OldParcel()))
    (told,) = caught.value.diagnostics
    assert (told.summary, told.address) == ("State from a newer version", "parcel.p")


def test_an_upgrade_that_fails_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    store = written(tmp_path, State("l", 1, {"parcel.p": parcel(grams=3)}))
    before = Path(store.where).read_bytes()
    with pytest.raises(DiagnosticError) as caught:
        upgrade_instances(store.read(), registry(Parcel()))
    assert caught.value.diagnostics[0].summary == "Bug in a kind"
    assert Path(store.where).read_bytes() == before


def test_after_the_upgrade_of_a_kind_the_plan_is_empty(new_house: Any, tmp_path: Path) -> None:
    house = new_house(tmp_path)
    house.kinds = {"parcel": OldParcel()}
    house.done('resource "parcel" "p" {\n  label = "toys"\n  grams = 1500\n}')
    assert house.state.instances["parcel.p"].schema_version == 1
    house.kinds = {"parcel": Parcel()}
    text = 'resource "parcel" "p" {\n  name = "toys"\n  weight = 1.5\n}'
    assert house.plan(text) == ""
    result = house.apply(text.replace("1.5", "2"))
    assert result.diagnostics == []
    made = house.state.instances["parcel.p"]
    assert (made.schema_version, made.attributes) == (2, {"name": "toys", "weight": 2})
