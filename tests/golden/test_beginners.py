"""Ten configurations as beginners write them: the full text of what is said about each.

HYTHE_GOLDEN=1 writes the files anew; read the difference before you commit it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from hythe.cli.main import run

FOLDER = Path(__file__).parent / "beginners"
NAMES = sorted(p.name for p in FOLDER.iterdir() if p.is_dir())


def test_all_ten_are_there() -> None:
    assert len(NAMES) == 10


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    work = tmp_path / name
    shutil.copytree(FOLDER / name, work)
    assert run([f"--chdir={work}", "plan", "--input=false"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    golden = FOLDER / name / "expected.txt"
    if os.environ.get("HYTHE_GOLDEN"):
        golden.write_text(said.err)
    assert said.err == golden.read_text()
    # bad input changes nothing: the lock that was held leaves its empty file
    left = {p.name for p in work.iterdir()} - {p.name for p in (FOLDER / name).iterdir()}
    assert left <= {"hythe.state.json.lock"}
