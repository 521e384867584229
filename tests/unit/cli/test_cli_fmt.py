"""``hythe fmt`` on real files."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import pytest

from hythe.cli import main

UGLY, PRETTY = "a=1\nbb=2\n", "a  = 1\nbb = 2\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hythe").mkdir()
    for name in ("main.hcl", "fine.hcl", "hythe.hclvars", "notes.txt", "sub/inner.hcl", ".hythe/copy.hcl"):
        (tmp_path / name).write_text(PRETTY if name == "fine.hcl" else UGLY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_changes_is_written_and_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "main.hcl").chmod(0o640)
    assert main.run(["fmt"]) == 0
    assert capsys.readouterr().out.split() == ["hythe.hclvars", "main.hcl"]
    assert (folder / "main.hcl").read_text() == PRETTY
    assert stat.S_IMODE((folder / "main.hcl").stat().st_mode) == 0o640
    for left in ("sub/inner.hcl", "notes.txt", ".hythe/copy.hcl"):
        assert (folder / left).read_text() == UGLY
    assert main.run(["fmt", "-recursive"]) == 0
    assert capsys.readouterr().out.split() == ["sub/inner.hcl"]
    assert main.run(["fmt", "--recursive", "--check"]) == 0
    assert sorted(os.listdir(folder)) == [".hythe", "fine.hcl", "hythe.hclvars", "main.hcl", "notes.txt", "sub"]


def test_checked_and_shown_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["fmt", "-check", "-diff", "main.hcl"]) == 3
    out = capsys.readouterr().out
    assert "-a=1" in out
    assert "+a  = 1" in out
    assert main.run(["fmt", "-write=false", "-list=false", "main.hcl"]) == 0
    assert capsys.readouterr().out == ""
    assert (folder / "main.hcl").read_text() == UGLY


def test_a_link_stays_one(folder: Path) -> None:
    (folder / "link.hcl").symlink_to("sub/inner.hcl")
    assert main.run(["fmt", "link.hcl"]) == 0
    assert (folder / "link.hcl").is_symlink()
    assert (folder / "sub/inner.hcl").read_text() == PRETTY


def test_standard_input(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for text, wanted, code, words in (
        (UGLY, PRETTY, 0, ["-"]),
        (UGLY, "", 3, ["-check", "-"]),
        (PRETTY, "", 0, ["-check", "-"]),
        ("a = {", "", 1, ["-"]),
    ):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        assert main.run(["fmt", *words]) == code
        assert capsys.readouterr().out == wanted


def test_what_is_wrong_is_told_and_left(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "broken.hcl").write_text("x {\n  y=\n")
    assert main.run(["fmt"]) == 1
    told = capsys.readouterr()
    assert "on broken.hcl line 2" in told.err
    # one broken file keeps no other from being formatted
    assert "main.hcl" in told.out
    assert (folder / "broken.hcl").read_text() == "x {\n  y=\n"
    (folder / "latin.hcl").write_bytes(b'a = "\xe9"\n')
    for word, summary in (
        ("nowhere", "No such file or folder"),
        ("notes.txt", "Not a configuration"),
        ("latin.hcl", "File is not UTF-8"),
    ):
        assert main.run(["fmt", word]) == 1
        assert summary in capsys.readouterr().err
