"""Trees kept between runs: the same as parsed ones, and never from anybody else."""

from __future__ import annotations

import marshal
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hythe.diagnostic import Diagnostic
from hythe.modules import loader, parsecache, syntax
from hythe.modules.parsecache import ParseCache, grammar_digest
from hythe.modules.syntax.tree import Body

TEXT = "".join(f'resource "value" "v{n}" {{\n  input = {{ a = "x-${{var.a}}", n = {n}.5 }}\n}}\n' for n in range(400))

Parsed = tuple[Body, list[Diagnostic]]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the user's own."""
    folder = tmp_path / "home" / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files that were really parsed."""
    names: list[str] = []
    real = syntax.parse_file

    def parse(text: str, filename: str) -> Parsed:
        names.append(filename)
        return real(text, filename)

    monkeypatch.setattr(syntax, "parse_file", parse)
    return names


def entries(root: Path) -> list[Path]:
    return sorted((root / ".hythe" / "cache").glob("*"))


def only_entry(root: Path) -> Path:
    (found,) = entries(root)
    return found


def test_a_second_reading_parses_nothing(root: Path, parsed: list[str]) -> None:
    first, found = ParseCache(str(root)).parse(TEXT, "main.hcl")
    assert not found
    second, found = ParseCache(str(root)).parse(TEXT, "other.hcl")
    assert parsed == ["main.hcl"]
    assert not found
    assert second == first
    assert repr(second) == repr(first)
    assert (second.source.filename, second.source.text) == ("other.hcl", TEXT)


def test_files_are_the_users_own(root: Path, home: Path) -> None:
    ParseCache(str(root)).parse(TEXT, "main.hcl")
    modes = {p: stat.S_IMODE(p.stat().st_mode) for p in (only_entry(root).parent, only_entry(root))}
    assert list(modes.values()) == [0o700, 0o600]
    assert stat.S_IMODE((home / "hythe" / "parse.key").stat().st_mode) == 0o600
    assert (root / ".hythe" / ".gitignore").read_text().endswith("*\n")


def test_another_text_or_form_is_another_entry(root: Path, parsed: list[str]) -> None:
    cache = ParseCache(str(root))
    cache.parse(TEXT, "main.hcl")
    cache.parse(TEXT + "\n", "main.hcl")
    blanks = " " * parsecache.LEAST_CHARACTERS + "{}"
    assert cache.parse(blanks, "x.hcl.json")[1] == []
    assert cache.parse(blanks, "x.hcl")[1] != []
    assert parsed == ["main.hcl", "main.hcl", "x.hcl.json", "x.hcl"]


def test_small_and_faulty_texts_leave_nothing(root: Path, home: Path) -> None:
    cache = ParseCache(str(root))
    cache.parse("a = 1\n", "main.hcl")
    assert not home.exists()
    assert cache.parse(TEXT + "x = = 1\n", "main.hcl")[1]
    assert entries(root) == []


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _change(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data.replace(b"var", b"vax", 1))


def _forge(path: Path) -> None:
    path.write_bytes(bytes(32) + marshal.dumps((0, 0, (), ())))


def _open_up(path: Path) -> None:
    path.chmod(0o644)


def _link(path: Path) -> None:
    path.rename(path.parent / "elsewhere")
    path.symlink_to("elsewhere")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("harm", [_truncate, _empty, _change, _forge, _open_up, _link, _pipe, _folder])
def test_an_odd_entry_is_none(root: Path, parsed: list[str], harm: Callable[[Path], None]) -> None:
    ParseCache(str(root)).parse(TEXT, "main.hcl")
    harm(only_entry(root))
    body, found = ParseCache(str(root)).parse(TEXT, "main.hcl")
    assert not found
    assert parsed == ["main.hcl"] * 2
    assert body == syntax.parse(TEXT, "main.hcl")[0]


def test_an_entry_under_another_name_is_none(root: Path, parsed: list[str]) -> None:
    cache = ParseCache(str(root))
    cache.parse(TEXT, "main.hcl")
    first = only_entry(root)
    cache.parse(TEXT + "\n", "main.hcl")
    (second,) = [p for p in entries(root) if p != first]
    second.write_bytes(first.read_bytes())
    assert cache.parse(TEXT + "\n", "main.hcl")[0].end == len(TEXT) + 1
    assert len(parsed) == 3


def test_what_another_user_made_counts_for_nothing(
    root: Path, parsed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ParseCache(str(root)).parse(TEXT, "main.hcl")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    ParseCache(str(root)).parse(TEXT, "main.hcl")
    assert len(parsed) == 2


def test_a_key_inside_the_project_counts_for_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (root / ".cache", root):
        monkeypatch.setenv("XDG_CACHE_HOME", str(place))
        assert parsecache.user_key(str(root)) is None
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert parsecache.user_key(str(root)) is None


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_an_odd_key_means_no_cache(root: Path, home: Path, content: bytes) -> None:
    (home / "hythe").mkdir(parents=True)
    key = home / "hythe" / "parse.key"
    key.write_bytes(content)
    key.chmod(0o600)
    assert not ParseCache(str(root)).parse(TEXT, "main.hcl")[1]
    assert not (root / ".hythe").exists()
    key.write_bytes(b"x" * 32)
    key.chmod(0o644)
    assert parsecache.user_key(str(root)) is None
    key.chmod(0o600)
    assert parsecache.user_key(str(root)) == b"x" * 32


@pytest.mark.parametrize("where", [".hythe", ".hythe/cache"])
def test_where_nothing_can_be_kept_all_goes_on(root: Path, where: str) -> None:
    (root / where).parent.mkdir(exist_ok=True)
    (root / where).write_text("a file")
    assert not ParseCache(str(root)).parse(TEXT, "main.hcl")[1]
    assert (root / where).read_text() == "a file"


def test_a_linked_or_open_folder_is_left_alone(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (outside / ("0" * 64)).write_text("precious")
    (root / ".hythe").mkdir()
    (root / ".hythe" / "cache").symlink_to(outside)
    ParseCache(str(root)).parse(TEXT, "main.hcl")
    assert [p.name for p in outside.iterdir()] == ["0" * 64]
    (root / ".hythe" / "cache").unlink()
    (root / ".hythe" / "cache").mkdir(mode=0o755)
    ParseCache(str(root)).parse(TEXT, "main.hcl")
    assert entries(root) == []


def test_what_was_used_longest_ago_is_dropped(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ParseCache(str(root))
    cache.parse(TEXT, "main.hcl")
    size = only_entry(root).stat().st_size
    first = only_entry(root)
    monkeypatch.setattr(parsecache, "MAX_TOTAL", size * 3 - 1)
    cache.parse(TEXT + "\n", "main.hcl")
    (second,) = [p for p in entries(root) if p != first]
    abandoned, fresh = (first.parent / name for name in (".new-1", ".new-2"))
    for path in (abandoned, fresh):
        path.write_text("")
    os.utime(abandoned, (0, 0))
    os.utime(first, (1, 1))
    os.utime(second, (2, 2))
    cache.parse(TEXT, "main.hcl")  # used again, so it is the other one that goes
    cache.parse(TEXT + "\n\n", "main.hcl")
    assert len(entries(root)) == 3
    assert first.exists()
    assert fresh.exists()
    assert not second.exists()


def test_the_grammars_own_files_are_in_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "syntax"
    folder.mkdir()
    for path in Path(syntax.__file__).parent.glob("*.py"):
        (folder / path.name).write_bytes(path.read_bytes())
    fresh = grammar_digest.__wrapped__
    real = grammar_digest()
    monkeypatch.setattr(syntax, "__file__", str(folder / "__init__.py"))
    assert fresh() == real
    for path in sorted(folder.glob("*.py")):
        was = path.read_bytes()
        path.write_bytes(was + b"\n")
        assert fresh() != real, path
        path.write_bytes(was)
    assert fresh() == real
    monkeypatch.setattr(parsecache, "__version__", "999")
    assert fresh() != real
    for path in folder.glob("*.py"):
        path.unlink()
    assert fresh() is None


def test_a_configuration_is_the_same_from_the_cache(root: Path, parsed: list[str]) -> None:
    (root / "main.hcl").write_text('variable "a" {}\nbad = 1\n' + TEXT + 'resource "value" "v1" {}\n')
    (root / "main_override.hcl").write_text('resource "value" "v2" {\n  input = 3\n}\n')
    first, found = loader.load(str(root))
    assert [d.summary for d in found] == ["Unsupported argument", "Duplicate resource"]
    assert parsed == ["main.hcl", "main_override.hcl", "main_override.hcl"]  # at offset 0 it is the same text
    again, found_again = loader.load(str(root))
    assert parsed[3:] == ["main_override.hcl"]  # small in itself; as a part of the whole it is large
    assert found_again == found
    assert again.module == first.module
    assert repr(again.module.resources) == repr(first.module.resources)


def test_reading_lets_python_go_as_deep_as_parsing_does(root: Path, parsed: list[str]) -> None:
    ParseCache(str(root)).parse(TEXT, "main.hcl")
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)
    try:
        ParseCache(str(root)).parse(TEXT, "main.hcl")
        assert sys.getrecursionlimit() == 5_000
    finally:
        sys.setrecursionlimit(before)
    assert len(parsed) == 1


def test_a_command_keeps_and_reads_trees(root: Path) -> None:
    (root / "main.hcl").write_text('variable "a" {\n  default = 1\n}\n' + TEXT)
    ran = []
    for _ in range(2):
        argv = [sys.executable, "-m", "hythe", "plan", "--no-color"]
        ran.append(subprocess.run(argv, cwd=root, capture_output=True, text=True, timeout=60, check=True).stdout)
    assert len(entries(root)) == 1
    assert ran[0] == ran[1]
