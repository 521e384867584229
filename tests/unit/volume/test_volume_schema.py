"""Arguments of volumes, what a change of them loses, and seeds."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

from hythe.planner.diff import compare
from hythe.planner.inputs import RecordingReader
from hythe.provider.container.volume import Volume
from hythe.provider.container.volume_seed import seed_archive
from hythe.provider.protocol import PrepareContext, Project

KIND = Volume()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"name": "a"}, "two or more"),
        ({"name": "-ab"}, "not the name of a volume"),
        ({"type": "disk"}, "belong to the hypervisor"),
        ({"type": "x"}, "not a type"),
        ({"seed": {}}, "either `source`"),
        ({"seed": {"source": "a", "archive": "b"}}, "either `source`"),
        ({"seed": {"source": "a", "uid": -1}}, "greater than or equal"),
        ({"labels": {"dev.hythe.id": "x"}}, "reserved"),
    ],
)
def test_wrong_arguments_are_told(arguments: dict[str, Any], word: str) -> None:
    _, problems = KIND.schema.decode(arguments)
    assert any(word in text for _, text in problems), problems


def test_default_name_and_seed_hash(tmp_path: Path) -> None:
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed" / "a").write_text("1")
    project = Project("shop", "a1b2", str(tmp_path))

    def prepared(seed: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
        reader = RecordingReader(str(tmp_path))
        wish, _ = KIND.schema.decode({"seed": seed})
        return KIND.prepare(wish, PrepareContext(reader, project, str(tmp_path), "data", 0, {}))

    one, _ = prepared({"source": "seed"})
    assert one["name"] == "shop-data-0-a1b2"
    (tmp_path / "seed" / "a").write_text("2")
    other, _ = prepared({"source": "seed"})
    (change,) = compare(KIND, one, other)
    assert (change.name, change.data_loss) == ("content_hash", True)
    _, problems = prepared({"archive": "nothing.tar"})
    assert problems[0].summary == "File not found"
    assert "seed.archive" in problems[0].detail


def test_folder_seed_belongs_to_root_and_is_complete(tmp_path: Path) -> None:
    (tmp_path / "s" / "empty").mkdir(parents=True)
    (tmp_path / "s" / "run").write_text("#!/bin/sh\n")
    (tmp_path / "s" / "run").chmod(0o750)
    with seed_archive({"source": "s"}, str(tmp_path), "x") as file, tarfile.open(fileobj=file) as tar:
        assert sorted(tar.getnames()) == ["empty", "run"]
        assert {(m.uid, m.gid, m.uname) for m in tar} == {(0, 0, "")}
        assert tar.getmember("run").mode & 0o777 == 0o750


def test_nothing_follows_the_end_of_a_seed(tmp_path: Path) -> None:
    """Podman stops reading at the end mark, and refuses what it was still being sent after it."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "a").write_text("x" * 700)
    with tarfile.open(tmp_path / "padded.tar", "w") as tar:
        tar.add(tmp_path / "s" / "a", "a")
    with (tmp_path / "padded.tar").open("ab") as file:
        file.write(bytes(1 << 20))
    for seed in ({"source": "s"}, {"archive": "padded.tar"}):
        with seed_archive(seed, str(tmp_path), "x") as file:
            content = file.read()
        assert content[-1536:-1024] == b"x" * 188 + bytes(324)
        assert content[-1024:] == bytes(1024)
