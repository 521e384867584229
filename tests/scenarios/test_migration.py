"""States that move from one backend to another, and those that must not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hythe.state.backends.local import LocalBackend
from hythe.state.codec import decode_snapshot, encode_snapshot
from hythe.state.model import InstanceState, OutputState, State
from hythe.value import STRING

PLACES = {
    "nothing set": "",
    "local": '  backend "local" {\n    path          = "states/a.json"\n    workspace_dir = "elsewhere"\n  }',
    "shelf": '  backend "shelf" {\n    address  = "shelf"\n    password = "hunter2hunter2"\n  }',
}
"""Backends by name: what stands in the hythe block."""

NEW = 'hythe {\n  backend "local" {\n    path = "new.json"\n  }\n}\n'
CONFIGURATION = 'resource "value" "a" { input = "1" }\noutput "a" { value = value.a.output }\n'


@pytest.mark.parametrize("pair", list(itertools.permutations(PLACES, 2)), ids=" to ".join)
def test_states_move_there_and_back(
    pair: tuple[str, str], shelf: ModuleType, check_migration: Callable[[str, str], None]
) -> None:
    check_migration(*(PLACES[name] for name in pair))


@pytest.fixture
def applied(terminal: Any) -> Any:
    """A folder with a local state, whose configuration names another place now."""
    terminal.write(CONFIGURATION)
    terminal.fine("apply", "--auto-approve")
    terminal.write(NEW + CONFIGURATION)
    return terminal


def state_in(path: Path) -> State:
    return decode_snapshot(path.read_bytes()).state


def test_a_state_that_lies_here_is_not_passed_over(applied: Any) -> None:
    for words in (["plan"], ["apply", "--auto-approve"], ["state", "list"], ["output"], ["show"], ["init"]):
        said = applied.refused(*words)
        assert "Backend configuration changed" in said
        assert (
            "hythe.state.json here holds a state with 1 object, and the configuration says local files, new.json"
            in said
        )
        assert "on main.hcl line 2" in said
    assert not (applied.folder / "new.json").exists()
    assert applied.fine("output", "--state=hythe.state.json") == 'a = "1"\n'


def test_the_old_state_stays_and_counts_no_more(applied: Any) -> None:
    old = (applied.folder / "hythe.state.json").read_bytes()
    said = applied.fine("init", "--force-copy")
    assert "Copied 1 state (default) from local files, hythe.state.json to local files, new.json" in said
    assert "The old ones are still there" in " ".join(said.split())
    assert (applied.folder / "hythe.state.json").read_bytes() == old
    there, was = (decode_snapshot(data) for data in ((applied.folder / "new.json").read_bytes(), old))
    assert there.state == was.state
    assert there.origin.operation == "init --migrate-state"
    assert applied.fine("plan").startswith("No changes.")
    assert (applied.folder / ".hythe" / "backend.json").stat().st_mode & 0o777 == 0o600


def test_reconfigure_leaves_the_old_state_alone(applied: Any) -> None:
    applied.fine("init", "--reconfigure")
    assert applied.fine("state", "list") == ""
    assert state_in(applied.folder / "hythe.state.json").instances.keys() == {"value.a"}
    assert "exclude each other" in applied.refused("init", "--reconfigure", "--migrate-state")


@pytest.mark.parametrize(
    ("words", "answers", "said"),
    [
        (["--migrate-state"], "yes\n", ""),
        (["--migrate-state"], "no\n", "Migration cancelled"),
        (["--migrate-state"], "", "the input is at its end. Give --force-copy"),
        (["--migrate-state", "--input=false"], "yes\n", "--input=false forbids asking"),
        (["--force-copy", "--input=false"], "", ""),
    ],
)
def test_copying_is_asked_for(applied: Any, words: list[str], answers: str, said: str) -> None:
    applied.answers = answers
    if said:
        assert said in applied.refused("init", *words)
        assert not (applied.folder / "new.json").exists()
        assert "Backend configuration changed" in applied.refused("plan")
    else:
        applied.fine("init", *words)
        assert applied.fine("state", "list") == "value.a\n"


def put(folder: Path, state: State) -> bytes:
    data = encode_snapshot(state)[0]
    (folder / "new.json").write_bytes(data)
    return data


def held(lineage: str, serial: int) -> State:
    made = InstanceState("value.b", "id-b", "value", {"input": "1", "output": "1"})
    return State(lineage, serial, {"value.b": made}, {}, {"o": OutputState("1", STRING)})


@pytest.mark.parametrize(
    ("serial", "said"),
    [
        (None, "holds another state (lineage another, not"),
        (7, "holds a newer version of this state (serial 7 there, 1 here)"),
        (1, "holds another version of this state (serial 1 there, 1 here)"),
    ],
)
def test_what_is_there_already_is_not_overwritten(applied: Any, serial: int | None, said: str) -> None:
    mine = state_in(applied.folder / "hythe.state.json")
    assert mine.serial == 1
    theirs = held("another" if serial is None else mine.lineage, serial or 1)
    data = put(applied.folder, theirs)
    told = applied.refused("init", "--force-copy")
    assert "State cannot be migrated" in told
    assert said in told
    assert (applied.folder / "new.json").read_bytes() == data
    assert "Backend configuration changed" in applied.refused("state", "list")


def test_an_older_version_is_brought_up(applied: Any) -> None:
    mine = state_in(applied.folder / "hythe.state.json")
    put(applied.folder, held(mine.lineage, 0))
    applied.fine("init", "--force-copy")
    assert state_in(applied.folder / "new.json") == mine
    assert state_in(applied.folder / "new.json.backup").serial == 0


def test_all_or_nothing(applied: Any) -> None:
    """One workspace that cannot be copied keeps the others from it too."""
    applied.write(CONFIGURATION)
    applied.fine("workspace", "new", "zeta")
    applied.fine("apply", "--auto-approve")
    applied.write(NEW + CONFIGURATION)
    other = applied.folder / "new.d" / "zeta" / "new.json"
    other.parent.mkdir(parents=True)
    other.write_bytes(encode_snapshot(held("another", 1))[0])
    assert 'The state of the workspace "zeta"' in applied.refused("init", "--force-copy")
    assert not (applied.folder / "new.json").exists()


@pytest.mark.parametrize("name", ["hythe.state.json", "new.json"])
def test_both_are_locked(applied: Any, name: str) -> None:
    with LocalBackend(str(applied.folder / name)).lock("test", 0.0):
        assert "State is locked" in applied.refused("init", "--force-copy")
    assert not (applied.folder / "new.json").exists()
    applied.fine("init", "--force-copy")


def test_a_copy_that_reads_back_otherwise_does_not_count(
    terminal: Any, shelf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.write(CONFIGURATION)
    terminal.fine("apply", "--auto-approve")
    terminal.write(f"hythe {{\n{PLACES['shelf']}\n}}\n{CONFIGURATION}")
    write = LocalBackend.write
    lost = encode_snapshot(held("another", 1))[0]
    monkeypatch.setattr(shelf.Backend, "write", lambda self, data, **more: write(self, lost, **more))
    assert "Copied state differs" in terminal.refused("init", "--force-copy")
    assert not (terminal.folder / ".hythe" / "backend.json").exists()
    assert "Backend configuration changed" in terminal.refused("plan")


def test_a_changed_password_is_no_other_place(terminal: Any, shelf: Any) -> None:
    block = 'hythe {{\n  backend "shelf" {{\n    address = "shelf"\n    password = "{}"\n    attempts = {}\n  }}\n}}\n'
    terminal.write(block.format("hunter2hunter2", 3) + CONFIGURATION)
    terminal.fine("init")
    terminal.fine("apply", "--auto-approve")
    terminal.write(block.format("correct-horse", 3) + CONFIGURATION)
    assert terminal.fine("plan").startswith("No changes.")
    # the new one is what a migration away would need
    terminal.write(CONFIGURATION)
    terminal.fine("init", "--force-copy")
    assert shelf.opened[-1].password.get_secret_value() == "correct-horse"
    assert terminal.fine("state", "list") == "value.a\n"
    # whoever sets nothing has nothing kept
    assert not (terminal.folder / ".hythe" / "backend.json").exists()
    terminal.write(block.format("correct-horse", 4) + CONFIGURATION)
    terminal.fine("init", "--force-copy")
    terminal.write(block.format("correct-horse", 5) + CONFIGURATION)
    said = terminal.refused("plan")
    assert "What differs: attempts." in said
    assert "correct-horse" not in said


def test_another_spelling_is_no_other_place(applied: Any) -> None:
    applied.write('hythe {\n  backend "local" {\n    path = "./x/../hythe.state.json"\n  }\n}\n' + CONFIGURATION)
    assert applied.fine("state", "list") == "value.a\n"


def test_a_memory_that_is_damaged(applied: Any) -> None:
    applied.fine("init", "--force-copy")
    (applied.folder / ".hythe" / "backend.json").write_text("{")
    assert "Remembered backend not readable" in applied.refused("plan")
    applied.fine("init", "--reconfigure")
    assert applied.fine("state", "list") == "value.a\n"


def test_a_backend_that_cannot_be_read_does_not_fall_back(applied: Any) -> None:
    """Where the block cannot be read, the local state must not be taken for the one that counts."""
    applied.fine("init", "--force-copy")
    applied.write('hythe {\n  backend "local" {\n    path = "new.json\n  }\n}\n')
    assert applied.refused("state", "list").startswith("Error: ")


def test_a_saved_plan_does_not_follow_the_state(applied: Any) -> None:
    applied.write(CONFIGURATION.replace('"1"', '"2"'))
    applied.fine("plan", "--out=p")
    applied.write(NEW + CONFIGURATION)
    applied.fine("init", "--force-copy")
    said = applied.refused("apply", "p")
    assert "Plan for another backend" in said
    assert "Make a new plan" in said


def test_whoever_sets_nothing_has_nothing_new_on_the_disk(terminal: Any) -> None:
    terminal.write(CONFIGURATION)
    terminal.fine("apply", "--auto-approve")
    terminal.fine("output")
    names = {"main.hcl", "hythe.state.json", "hythe.state.json.lock", "hythe.state.json.backup.journal"}
    assert {p.name for p in terminal.folder.iterdir()} == names
