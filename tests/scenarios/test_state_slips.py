"""Slips of the hand around the state: nothing is lost by them, and what is said brings it back."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from types import ModuleType

import pytest

from hythe.cli import waiting
from hythe.state.lock import acquire
from tests.conftest import Shell

TEXT = """
resource "value" "a" {
  for_each = toset(["x", "y"])
  input    = "one-${each.key}"
}
"""


@pytest.fixture
def shell(terminal: Shell) -> Shell:
    terminal.write(TEXT)
    terminal.fine("apply", "-auto-approve")
    return terminal


def do_what_is_said(shell: Shell, told: str) -> None:
    """Run the command that a message gives."""
    command = told.partition("`")[2].partition("`")[0]
    subprocess.run(["sh", "-c", command], cwd=shell.folder, check=True)


# -- files that are gone, or something else ---------------------------------------------------------


@pytest.mark.parametrize("changes", [0, 1, 2])
def test_a_state_whose_file_alone_is_gone_is_not_begun_anew(shell: Shell, changes: int) -> None:
    for n in range(changes + 1):
        shell.write(f'{TEXT.replace("one", f"v{n}")}resource "random" "r" {{ type = "pet" }}')
        shell.fine("apply", "-auto-approve")
    state = shell.folder / "hythe.state.json"
    state.unlink()
    for words in (("plan",), ("apply", "-auto-approve"), ("state", "list"), ("init",)):
        told = shell.refused(*words)
        assert "State file missing" in told
        assert "held 3 objects" in told
    # what is to bring a state back goes on
    assert shell("state", "rebuild") == 1
    assert "State file missing" in shell.err
    assert not state.exists()
    do_what_is_said(shell, told)
    assert shell.fine("plan", "-detailed-exitcode").startswith("No changes")


def test_a_state_that_is_gone_is_replaced_by_a_copy(shell: Shell) -> None:
    shell.write(f'{TEXT}resource "random" "r" {{ type = "pet" }}')
    shell.fine("apply", "-auto-approve")
    (shell.folder / "hythe.state.json").rename(shell.folder / "copy")
    shell.refused("plan")
    shell.fine("state", "push", "copy")
    assert shell.fine("plan", "-detailed-exitcode").startswith("No changes")


def test_a_state_that_is_gone_comes_back_as_a_version(shell: Shell) -> None:
    shell.write(TEXT.replace("one", "two"))
    shell.fine("apply", "-auto-approve")
    (shell.folder / "hythe.state.json").unlink()
    shell.fine("state", "history", "-restore", "1", "-auto-approve")
    assert shell.fine("plan", "-detailed-exitcode").startswith("No changes")


def test_a_state_that_held_nothing_but_values_may_go(shell: Shell) -> None:
    (shell.folder / "hythe.state.json").unlink()
    assert "2 to add" in shell.fine("apply", "-auto-approve")


def test_a_state_that_held_nothing_may_go(shell: Shell) -> None:
    shell.fine("destroy", "-auto-approve")
    (shell.folder / "hythe.state.json").unlink()
    shell.fine("plan")


def test_a_state_that_moved_elsewhere_may_go(shell: Shell, shelf: ModuleType) -> None:
    shell.write('hythe {\n  backend "shelf" {\n    address = "a"\n  }\n}\n' + TEXT)
    shell.fine("init", "-force-copy")
    (shell.folder / "hythe.state.json").unlink()
    shutil.rmtree(shell.folder / ".hythe")
    assert shell.fine("plan", "-detailed-exitcode").startswith("No changes")


def test_what_is_moved_away_is_forgotten(shell: Shell) -> None:
    for name in ("", ".backup", ".backup.journal"):
        (shell.folder / f"hythe.state.json{name}").unlink(missing_ok=True)
    assert "2 to add" in shell.fine("plan")


@pytest.mark.parametrize("content", [b"not a state at all", b"\x93\x00\xff", b""])
def test_what_is_said_of_damage_works_in_folders_with_spaces(shell: Shell, content: bytes) -> None:
    elsewhere = shell.folder.parent / "it's a folder"
    shell.folder.rename(elsewhere)
    shell.folder = elsewhere
    shell.write(TEXT.replace("one", "two"))
    shell.fine("apply", "-auto-approve")
    (shell.folder / "hythe.state.json").write_bytes(content)
    assert shell("plan") == 1
    do_what_is_said(shell, shell.err)
    assert shell.fine("plan", "-detailed-exitcode").startswith("No changes")


def test_a_state_of_opentofu_is_known_for_what_it_is(shell: Shell) -> None:
    shell.write('{\n  "version": 4,\n  "terraform_version": "1.9.0",\n  "serial": 1, "resources": []\n}\n', "tofu.json")
    for words in (
        ("plan", "-state=tofu.json"),
        ("state", "push", "tofu.json"),
        ("state", "push", "-force", "tofu.json"),
    ):
        assert "a state of OpenTofu or Terraform" in shell.refused(*words)


@pytest.mark.parametrize(
    "words", ["state list", "state show value.a", "state pull", "state check", "state history", "show", "output"]
)
def test_a_state_that_is_named_and_not_there(shell: Shell, words: str) -> None:
    assert "There is no file nowhere.json" in shell.refused(*words.split(), "-state=nowhere.json")


def test_a_plan_is_written_over_nothing_but_a_plan(shell: Shell) -> None:
    for name in ("main.hcl", "hythe.state.json"):
        before = (shell.folder / name).read_bytes()
        assert "it is no plan: it is not overwritten" in shell.refused("plan", f"-out={name}")
        assert (shell.folder / name).read_bytes() == before
    (shell.folder / "empty").touch()
    for name in ("p", "p", "empty"):
        shell.fine("plan", f"-out={name}")


def test_a_device_is_written_to_and_stays(shell: Shell) -> None:
    """As root, /dev/null was replaced by a file."""
    pipe = shell.folder / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        shell.fine("plan", "-out=pipe")
        assert os.read(reading, 100).startswith(b'{"hythe_plan"')
    finally:
        os.close(reading)
    assert pipe.is_fifo()
    told = shell.fine("state", "pull")
    shell.write(told, "copy.json")
    assert "is a device or a pipe" in shell.refused("state", "push", "-force", "-state=pipe", "copy.json")
    assert pipe.is_fifo()


def test_a_plan_goes_where_a_link_leads(shell: Shell) -> None:
    (shell.folder / "link").symlink_to("target")
    shell.fine("plan", "-out=link")
    assert (shell.folder / "link").is_symlink()
    shell.fine("show", "target")


# -- edited by hand ---------------------------------------------------------------------------------


def test_an_edited_state_is_taken_when_it_is_meant(shell: Shell) -> None:
    told = json.loads(shell.fine("state", "pull"))
    told["instances"][0]["attributes"]["input"] = "by hand"
    shell.write(json.dumps(told, indent=2), "edited.json")
    before = (shell.folder / "hythe.state.json").read_bytes()
    assert "State was edited" in shell.refused("state", "push", "edited.json")
    assert (shell.folder / "hythe.state.json").read_bytes() == before
    shell.fine("state", "push", "-force", "edited.json")
    shell.fine("state", "check")
    assert '"by hand" -> "one-x"' in shell.fine("plan")


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ("t['instances'].append(t['instances'][0])", "an object is recorded twice"),
        ("t['instances'][0].update(kind='vehicle')", "vehicle"),
        ("t['instances'][0].pop('id')", "makes no sense"),
        ("t.update(hythe_state=99)", "format 99"),
        ("t.pop('lineage')", "makes no sense"),
    ],
)
def test_an_edited_state_that_is_not_sound_is_refused_in_any_case(shell: Shell, edit: str, said: str) -> None:
    told = json.loads(shell.fine("state", "pull"))
    exec(edit, {"t": told})
    shell.write(json.dumps(told, indent=2), "edited.json")
    before = (shell.folder / "hythe.state.json").read_bytes()
    assert said in shell.refused("state", "push", "-force", "edited.json")
    assert (shell.folder / "hythe.state.json").read_bytes() == before


# -- what is said, and when -------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("state", "rm", "value.a"), ("state", "mv", "value.a", "value.b")])
def test_nothing_is_told_as_done_that_could_not_be_written(shell: Shell, words: tuple[str, ...]) -> None:
    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    argv = [sys.executable, "-m", "hythe", *words]
    done = subprocess.run(argv, cwd=shell.folder, capture_output=True, text=True, preexec_fn=full, check=False)
    assert done.returncode == 1
    assert "State not written" in done.stderr
    assert done.stdout == ""
    assert shell.fine("state", "list").split() == ['value.a["x"]', 'value.a["y"]']


def test_whoever_waits_is_told(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_PATIENCE", 0.1)
    with acquire(str(shell.folder / "hythe.state.json.lock"), "apply"):
        told = shell.refused("plan", "-lock-timeout=1s")
    assert "waiting for it, for up to 1 seconds" in told
    assert f"This is about {shell.folder}/hythe.state.json." in told
    shell.fine("plan", "-lock-timeout=1s")
    assert "waiting" not in shell.err


def test_a_folder_that_cannot_be_made(shell: Shell) -> None:
    told = shell.refused("plan", "-state=/sys/nowhere/state.json")
    assert "The folder /sys/nowhere for the state cannot be made" in told


# -- versions with other keys -----------------------------------------------------------------------


def test_versions_with_another_key_do_not_hide_the_others(terminal: Shell) -> None:
    def key(number: int, *fallback: int) -> None:
        (terminal.folder / f"key{number}").write_bytes(bytes([number]) * 32)
        os.chmod(terminal.folder / f"key{number}", 0o600)
        blocks = "".join(
            f'key_provider "file" "k{n}" {{ path = "key{n}" }}\n'
            f'method "aes_gcm" "m{n}" {{ keys = key_provider.file.k{n} }}\n'
            for n in (number, *fallback)
        )
        other = "".join(f"fallback {{ method = method.aes_gcm.m{n} }}\n" for n in fallback)
        settings = f"{blocks}state {{\nmethod = method.aes_gcm.m{number}\n{other}}}\n"
        terminal.write(f"hythe {{\nencryption {{\n{settings}}}\n}}\n{TEXT}")

    key(1)
    terminal.fine("apply", "-auto-approve")
    key(2, 1)
    terminal.fine("apply", "-auto-approve")
    key(2)
    listed = terminal.fine("state", "history").splitlines()
    assert "(now)" in listed[1]
    assert "cannot be used: wrong encryption key" in listed[2]
    told = json.loads(terminal.fine("state", "history", "-json"))["versions"]
    assert told[1]["problem"] == "wrong encryption key"
    assert "Wrong encryption key" in terminal.refused("state", "history", "-show", told[1]["id"])
