"""The file kind on this machine's files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hythe.diagnostic import Diagnostic
from hythe.planner.inputs import RecordingReader
from hythe.provider.connection.local import LocalHost
from hythe.provider.host.file import File
from hythe.provider.protocol import (
    Attributes,
    Context,
    Identity,
    PrepareContext,
    Presence,
    Project,
    ProviderError,
    ReadContext,
    ReadRequest,
)
from hythe.value import Unknown

KIND = File()


class Room:
    """A folder to work in, and calls of the kind as planner and apply make them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.host = LocalHost()
        self.project = Project("test", "abc", str(root))

    def path(self, name: str = "file") -> str:
        return str(self.root / "out" / name)

    def wish(self, **arguments: Any) -> Attributes:
        attributes, problems = KIND.schema.decode({"path": self.path()} | arguments)
        assert problems == []
        prepared, found = self.prepare(attributes)
        assert found == []
        return prepared

    def prepare(self, attributes: Attributes) -> tuple[Attributes, list[Diagnostic]]:
        reader = RecordingReader(str(self.root))
        return KIND.prepare(attributes, PrepareContext(reader, self.project, str(self.root), "x", None, {}))

    @property
    def context(self) -> Context:
        return Context(
            host=self.host,
            local=self.host,
            identity=Identity("lineage", "file.x", "id1"),
            resolve=lambda reference: pytest.fail("nothing to resolve"),
            progress=lambda text: None,
            check=lambda: None,
            base_dir=str(self.root),
            project=self.project,
            lock={},
            remember_lock=lambda name, value: None,
        )

    def create(self, **arguments: Any) -> Attributes:
        return KIND.create(self.context, self.wish(**arguments))

    @property
    def reading(self) -> ReadContext:
        return ReadContext(self.host, self.host, "lineage", str(self.root), self.project)

    def read(self, attributes: Mapping[str, Any]) -> Any:
        return KIND.read_many(self.reading, [ReadRequest("id1", "file.x", attributes)])["id1"]

    def find(self, attributes: Mapping[str, Any]) -> Any:
        return KIND.find(self.reading, [ReadRequest("id1", "file.x", attributes)]).get("id1")


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def fails(summary: str, call: Any) -> str:
    with pytest.raises(ProviderError) as failure:
        call()
    [found] = failure.value.diagnostics
    assert found.summary == summary
    return found.detail


def test_a_file_is_made_with_its_mode_and_read_back_the_same(room: Room) -> None:
    made = room.create(content="hello\n", mode="640")
    path = Path(room.path())
    assert path.read_text() == "hello\n"
    assert path.stat().st_mode & 0o7777 == 0o640
    assert made["mode"] == "0640"
    assert room.read(made) == made
    assert os.listdir(path.parent) == ["file"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"content": ""}, b""),
        ({"content_base64": "AP8="}, b"\x00\xff"),
        ({"sensitive_content": "s3cret"}, b"s3cret"),
        ({"source": "given.bin"}, b"\x01given"),
    ],
)
def test_each_way_to_give_content(room: Room, arguments: dict[str, Any], expected: bytes) -> None:
    (room.root / "given.bin").write_bytes(b"\x01given")
    made = room.create(**arguments)
    assert Path(room.path()).read_bytes() == expected
    assert room.read(made) == made
    Path(room.path()).write_bytes(b"drifted")
    seen = room.read(made)
    assert {k for k in made if seen[k] != made[k]} == {
        "source_hash" if "source" in arguments else next(iter(arguments))
    }
    mended = KIND.update(room.context, seen, room.wish(**arguments), ["content"])
    assert Path(room.path()).read_bytes() == expected
    assert mended == made


def test_sensitive_content_is_for_the_owner_alone(room: Room) -> None:
    made = room.create(sensitive_content="s3cret")
    assert made["mode"] == "0600"
    assert ("sensitive_content",) in KIND.schema.sensitive_paths(made)


def test_somebody_elses_file_is_refused_and_kept(room: Room) -> None:
    path = Path(room.path())
    path.parent.mkdir()
    path.write_text("theirs")
    detail = fails("File already exists", lambda: room.create(content="ours"))
    assert "overwrite = true" in detail
    assert path.read_text() == "theirs"
    room.create(content="ours", overwrite=True)
    assert path.read_text() == "ours"


def test_a_link_in_the_way_is_replaced_not_followed(room: Room) -> None:
    made = room.create(content="ours")
    path, other = Path(room.path()), room.root / "other"
    other.write_text("theirs")
    path.unlink()
    path.symlink_to(other)
    seen = room.read(made)
    assert seen["content"] == "(a link is there)"
    KIND.update(room.context, seen, room.wish(content="ours"), ["content"])
    assert (path.is_symlink(), path.read_text(), other.read_text()) == (False, "ours", "theirs")


def test_drift_of_access_is_seen_and_mended_without_writing(room: Room) -> None:
    made = room.create(content="x")
    path = Path(room.path())
    number = path.stat().st_ino
    path.chmod(0o777)
    seen = room.read(made)
    assert seen["mode"] == "0777"
    assert KIND.update(room.context, seen, room.wish(content="x"), ["mode"])["mode"] == "0644"
    assert path.stat().st_ino == number


def test_a_removed_file_is_absent_and_removing_it_again_is_fine(room: Room) -> None:
    made = room.create(content="x")
    KIND.delete(room.context, made)
    assert room.read(made) is Presence.ABSENT
    KIND.delete(room.context, made)


def test_folders_made_for_it_go_with_it_as_far_as_they_are_empty(room: Room) -> None:
    made = room.create(path=room.path("a/b/file"), content="x")
    assert made["folders"] == [str(room.root / f) for f in ("out", "out/a", "out/a/b")]
    (room.root / "out/keep").touch()
    updated = KIND.update(room.context, made, room.wish(path=made["path"], content="y"), ["content"])
    KIND.delete(room.context, updated)
    assert os.listdir(room.root / "out") == ["keep"]


def test_a_missing_folder_without_leave_to_make_it(room: Room) -> None:
    assert "create_folders = true" in fails("Folder missing", lambda: room.create(content="x", create_folders=False))


def test_an_unknown_owner_leaves_nothing_behind(room: Room) -> None:
    detail = fails("No such user or group", lambda: room.create(content="x", owner="hythe-nobody"))
    assert "hythe-nobody" in detail
    assert not (room.root / "out").exists()


def test_a_killed_creation_is_recognised_by_its_content(room: Room) -> None:
    wish = room.wish(content="x")
    assert room.find(wish) is None
    made = KIND.create(room.context, wish)
    found = room.find(wish)
    assert (found.attributes, found.complete) == ({k: v for k, v in made.items() if k != "folders"}, True)
    Path(room.path()).write_text("somebody else's")
    assert room.find(wish) is None


def test_what_a_killed_write_left_behind_is_taken_away(room: Room) -> None:
    (room.root / "out").mkdir()
    (room.root / "out/.file.hythe-new").write_text("half")
    room.create(content="x")
    assert os.listdir(room.root / "out") == ["file"]


def test_a_source_that_changed_after_planning_is_not_copied(room: Room) -> None:
    source = room.root / "given"
    source.write_text("one")
    wish = room.wish(source="given")
    source.write_text("two")
    fails("File changed since the plan", lambda: KIND.create(room.context, wish))
    assert not Path(room.path()).exists()


def test_a_source_that_is_missing_or_a_folder(room: Room) -> None:
    (room.root / "folder").mkdir()
    base = {"path": "/x", "create_folders": True, "overwrite": False}
    assert [d.summary for d in room.prepare(base | {"source": "nope"})[1]] == ["File not found"]
    assert [d.summary for d in room.prepare(base | {"source": "folder"})[1]] == ["File not readable"]


def test_an_unknown_source_has_an_unknown_digest(room: Room) -> None:
    prepared, found = room.prepare({"path": "/x", "source": Unknown("string")})
    assert (prepared["source_hash"], found) == (Unknown("string"), [])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"path": "relative", "content": ""}, "is not an absolute path"),
        ({"path": "/x/", "content": ""}, "names a folder"),
        ({"path": "/x"}, "none is given"),
        ({"path": "/x", "content": "", "source": "y"}, "content and source are given"),
        ({"path": "/x", "content": "", "mode": "rw"}, "is not a mode"),
        ({"path": "/x", "content_base64": "?"}, "not base64"),
        ({"path": "/x", "content": "", "owner": "a b"}, "neither the name nor the number"),
    ],
)
def test_mistakes_are_told(arguments: dict[str, Any], words: str) -> None:
    _, problems = KIND.schema.decode(arguments)
    assert [words in text for _, text in problems] == [True]


def test_import_and_data(room: Room) -> None:
    path = room.root / "there"
    path.write_bytes(b"\xff")
    path.chmod(0o600)
    taken = KIND.import_object(room.context, str(path))
    assert (taken["content_base64"], taken["mode"]) == ("/w==", "0600")
    assert room.read(taken) == taken
    path.write_text("text")
    data = KIND.read_data(room.reading, {"path": str(path)})
    assert (data["content"], data["content_base64"]) == ("text", "dGV4dA==")
    assert data["hash"] == "sha256:982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"
    fails("File not found", lambda: KIND.import_object(room.context, str(room.root / "nope")))
    fails("Not an absolute path", lambda: KIND.import_object(room.context, "nope"))
