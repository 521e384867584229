"""The front door: help, mistakes, crashes, exit codes."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hythe import __version__
from hythe.cli import main


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["version"]) == 0
    assert f"Hythe v{__version__}" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["-version"], ["--version"], ["-v"]])
def test_version_as_an_option(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(words) == 0
    assert __version__ in capsys.readouterr().out


def test_version_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["version", "-json"]) == 0
    assert f'"hythe_version": "{__version__}"' in capsys.readouterr().out


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(re.search(rf"^  {name} ", text, re.M) for name in main.COMMANDS)


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([name, "-help"]) == 0
    assert "Usage: hythe " + name in capsys.readouterr().out


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([]) == 1
    assert "Commands:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plna"], 'There is no command "plna". Did you mean "plan"?'),
        (["plan", "-detailed-exit-code"], 'There is no option --detailed-exit-code. Did you mean "detailed-exitcode"?'),
        (["plan", "-parallelism=none"], '"none" cannot be used: --parallelism is a whole number from 1 to 1000.'),
        (["plan", "-refresh=maybe"], '"maybe" is neither true nor false, as --refresh wants'),
        (["state", "mv", "value.a"], "hythe state mv --help tells"),
        (["state", "push", "-frce", "x"], "hythe state push --help tells"),
        (["state", "lst"], 'hythe state has no subcommand "lst". Did you mean "list"?'),
        (["-chdir=/no/such/folder", "plan"], "Cannot work in /no/such/folder"),
        (["-frobnicate", "plan"], "There is no option -frobnicate"),
        (["apply", "-json"], "--json needs --auto-approve"),
    ],
)
def test_usage_mistakes(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(words) == 1
    assert said in capsys.readouterr().err


def test_folder_without_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # a folder is no configuration, whatever its name is
    (tmp_path / "main.hcl").mkdir()
    assert main.run([f"-chdir={tmp_path}", "plan"]) == 1
    assert "No configuration files" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_not_left_out(terminal: Any) -> None:
    """Leaving it out would destroy what it declares."""
    terminal.write('resource "value" "a" { input = 1 }\n', "shared/a.hcl")
    terminal.write("")
    (terminal.folder / "a.hcl").symlink_to("shared/a.hcl")
    terminal.fine("apply", "--auto-approve")
    (terminal.folder / "shared" / "a.hcl").unlink()
    assert "a.hcl cannot be read: it is a link to shared/a.hcl" in terminal.refused("apply", "--auto-approve")
    (terminal.folder / "a.hcl").unlink()
    os.mkfifo(terminal.folder / "a.hcl")
    assert "a.hcl cannot be read: it is no regular file" in terminal.refused("apply", "--auto-approve")
    assert terminal.fine("state", "list") == "value.a\n"


def test_destroying_needs_no_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configuration = tmp_path / "main.hcl"
    configuration.write_text('resource "value" "a" { input = 1 }\n')
    assert main.run([f"-chdir={tmp_path}", "apply", "-auto-approve"]) == 0
    configuration.unlink()
    assert main.run([f"-chdir={tmp_path}", "destroy", "-auto-approve"]) == 0
    assert "1 destroyed" in capsys.readouterr().out
    assert main.run([f"-chdir={tmp_path}", "destroy", "-auto-approve"]) == 1


def test_a_crash_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hythe.cli import version
    from hythe.cli.logs_setup import remember_secrets

    def broken(*unused: object, **also: object) -> int:
        raise RuntimeError("the token is hunter2hunter2")

    remember_secrets(["hunter2hunter2"])
    monkeypatch.setattr(version.command, "callback", broken)
    monkeypatch.chdir(tmp_path)
    assert main.run(["version"]) == 1
    said = capsys.readouterr().err
    assert "This is a bug in Hythe" in said
    assert "Traceback" not in said
    assert "hunter2" not in said
    (report,) = (tmp_path / ".hythe").iterdir()
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    text = report.read_text()
    assert "RuntimeError" in text
    assert "hunter2" not in text


def test_version_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom hythe.cli.main import run\nrun(['version'])\n"
        "heavy = {'pydantic', 'rich', 'docker', 'hcl2', 'yaml', 'cryptography', 'orjson'} & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_went_away_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    code = "import sys\nfrom hythe.cli.main import run\nsys.exit(run(['version']))"
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert done.stderr == b""


@pytest.mark.parametrize(
    "words", [["plan", "-h"], ["plan", "-help"], ["help", "plan"], ["state", "mv", "-h"]], ids=" ".join
)
def test_help_of_a_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(words) == 0
    assert f"Usage: hythe {'state mv' if 'mv' in words else 'plan'} [OPTIONS]" in capsys.readouterr().out


COMMANDS_THAT_PRINT = [
    ["--help"],
    ["plan", "--help"],
    ["state", "--help"],
    ["state", "mv", "-help"],
    ["version"],
    ["plan"],
    ["plan", "-json"],
    ["state", "pull"],
    ["output", "-json"],
]


@pytest.mark.parametrize("words", COMMANDS_THAT_PRINT, ids=" ".join)
@pytest.mark.parametrize("where", ["closed", "nobody reads", "full"])
def test_output_that_goes_nowhere(words: list[str], where: str, tmp_path: Path) -> None:
    (tmp_path / "main.hcl").write_text('resource "value" "x" { input = 1 }\noutput "x" { value = value.x.output }\n')
    assert main.run([f"--chdir={tmp_path}", "apply", "-auto-approve"]) == 0
    to = {"closed": ">&-", "nobody reads": "| true", "full": "> /dev/full"}[where]
    # whoever reads the pipe has ended when this begins
    script = (
        f'{{ sleep 0.2; "$@"; echo "code $?" >&2; }} {to}'
        if where == "nobody reads"
        else f'"$@" {to}; echo "code $?" >&2'
    )
    argv = ["sh", "-c", script, "sh", sys.executable, "-m", "hythe", *words]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr.splitlines()[-1] == ("code 0" if where == "closed" else "code 1"), done.stderr
    assert "Traceback" not in done.stderr
    assert "bug in Hythe" not in done.stderr
    assert ("could not be written: No space left on device" in done.stderr) == (where == "full")
    assert not list(tmp_path.glob(".hythe/crash*"))
