"""Files that a plan was made from, and what is found out about them later."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hythe.modules.language.functions import registry
from hythe.planner.inputs import RecordingReader, verify


def reader(folder: Path) -> RecordingReader:
    return RecordingReader(str(folder))


def test_nothing_changed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "b:c").write_text("y")
    read = reader(tmp_path)
    read.read("a")
    assert read.exists("a")
    assert not read.exists("none")
    assert read.glob(".", "**/*:c") == ["tree/b:c"]
    read.digest("tree")
    assert verify(read.inputs) == []


def test_a_file_that_was_only_looked_for_is_watched_too(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    read = reader(tmp_path)
    assert read.exists("a")
    (tmp_path / "a").write_text("other content, and still there")
    assert verify(read.inputs) == []
    (tmp_path / "a").unlink()
    assert str(tmp_path / "a") in verify(read.inputs)[0].detail


def test_a_file_that_was_missing_is_watched(tmp_path: Path) -> None:
    read = reader(tmp_path)
    with pytest.raises(FileNotFoundError):
        read.read("a")
    assert verify(read.inputs) == []
    (tmp_path / "a").write_text("x")
    assert verify(read.inputs)


def test_a_glob_with_a_colon_is_told_with_its_folder(tmp_path: Path) -> None:
    read = reader(tmp_path)
    read.glob("sub", "*:x")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a:x").write_text("")
    assert f"changed since: {tmp_path / 'sub'}." in verify(read.inputs)[0].detail


def test_a_tree_with_a_name_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with open(os.fsencode(tmp_path) + b"/tree/\xff", "wb") as file:
        file.write(b"x")
    read = reader(tmp_path)
    first = read.digest("tree")
    assert len(read.glob("tree", "*")) == 1
    assert first == reader(tmp_path).digest("tree")
    assert verify(read.inputs) == []


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    read = reader(tmp_path)
    for call in (read.read, read.digest):
        with pytest.raises(OSError, match="not a regular file"):
            call("pipe")
    for name in ("pipe", "folder"):
        with pytest.raises(OSError, match="not a regular file"):
            read.exists(name)
    with pytest.raises(OSError, match="not a regular file"):
        read.read("folder")


def test_an_ignored_file_does_not_count(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("# no logs\n*.log\n!keep.log\n")
    for name in ("app", "x.log", "keep.log"):
        (tmp_path / name).write_text("1")
    read = reader(tmp_path)
    read.digest(".", ".dockerignore")
    (tmp_path / "x.log").write_text("2")
    assert verify(read.inputs) == []
    (tmp_path / "keep.log").write_text("2")
    assert verify(read.inputs)


def test_links_count_by_where_they_lead_to(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to("/nowhere/one")
    read = reader(tmp_path)
    read.digest("tree")
    (tmp_path / "tree" / "link").unlink()
    (tmp_path / "tree" / "link").symlink_to("/nowhere/two")
    assert verify(read.inputs)


def test_names_of_files_by_pattern(tmp_path: Path) -> None:
    names = ["a[b].txt", "a*.txt", "ab.txt", "cd.txt", "d/ab.md", "d/e/x.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    read = reader(tmp_path)
    environment = registry.Environment(reader=read, base_dir=str(tmp_path), now=datetime.now(UTC))
    for pattern, found in (
        ("a\\[b\\].txt", ["a[b].txt"]),
        ("a\\*.txt", ["a*.txt"]),
        ("a[^*b]*", ["a[b].txt"]),
        ("[^a]*", ["cd.txt"]),
        ("{cd.txt,d/{ab.md,e/*}}", ["cd.txt", "d/ab.md", "d/e/x.txt"]),
        ("d/**", ["d/ab.md", "d/e/x.txt"]),
    ):
        assert read.glob(".", pattern) == found, pattern
        assert list(registry.call("fileset", (".", pattern), environment)) == found, pattern
    # the plan notices a file that is new
    assert verify(read.inputs) == []
    (tmp_path / "new.txt").write_text("")
    assert len(verify(read.inputs)) == 1
