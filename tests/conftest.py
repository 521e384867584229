"""What tests of several folders need: a backend beside the local one, and states that move."""

from __future__ import annotations

import io
import itertools
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hythe.state.model import InstanceState

_MACHINES = (
    "live/fleet/",
    "live/vm/",
    "live/disk_image/",
    "live/volume/test_disk_live.py",
    "live/network/test_hypervisor_network_live.py",
    "live/product/test_shared_network_product.py",
)


_RUN: pytest.StashKey[Any] = pytest.StashKey()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """What an earlier run left that was killed would be in the way: it goes first."""
    from tests.live import runs

    if run := runs.begin():
        session.config.stash[_RUN] = run
        _tell(session.config, "left by a run that was killed, removed", runs.clear_dead())


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Nothing stays, also after tests that could not clean up."""
    if run := session.config.stash.get(_RUN, None):
        _tell(session.config, "left behind, removed", run.end())


def _tell(config: pytest.Config, what: str, found: list[str]) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if found and reporter is not None:
        reporter.ensure_newline()
        reporter.write_line(f"{what}: {', '.join(found)}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several workers (``pytest -n 2 --dist loadscope``): who may run beside whom.

    Tests with machines keep to one worker, and those with the machine's container engines to one, as each of them
    takes what it needs of the machine. The rest fills the gaps, file by file.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc,unused-ignore]
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid.partition("::")[0].removeprefix("tests/"))

    return Scheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several workers: what takes longest begins first."""
    if hasattr(config, "workerinput"):
        here = Path(__file__).parent
        order = {"machines": 0, "engines": 1}
        items.sort(key=lambda item: order.get(_group(item.path.relative_to(here).as_posix()), 2))


def _group(name: str) -> str:
    if name.startswith(_MACHINES):
        return "machines"
    if name.startswith("live/state/"):
        # a server for each folder
        return name.rpartition("/")[0]
    return "engines" if name.startswith("live/") else name


class Shell:
    """Runs commands in a folder, in this process; keeps what they printed. Nobody is at the terminal.

    ``answers`` are what the next command reads from standard input.
    """

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self.folder, self.capsys, self.patch = folder, capsys, patch
        self.out = self.err = ""
        self.answers = ""

    def __call__(self, *words: str) -> int:
        from hythe.cli import main

        self.patch.setattr(sys, "stdin", io.StringIO(self.answers))
        self.answers = ""
        code = main.run([f"--chdir={self.folder}", *words])
        self.out, self.err = self.capsys.readouterr()
        assert "This is a bug" not in self.err, self.err
        return code

    def fine(self, *words: str) -> str:
        """Run what must work; gives what it printed."""
        code = self(*words)
        assert code == 0, self.out + self.err
        return self.out

    def refused(self, *words: str) -> str:
        """Run what must be refused; gives what it says, on one line."""
        code = self(*words)
        assert code == 1, self.out + self.err
        return " ".join(self.err.split())

    def write(self, text: str, name: str = "main.hcl") -> None:
        """Write a file of the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A folder to run commands in, without engines and without settings of the caller's."""
    for name in [n for n in os.environ if n.startswith(("HYTHE_", "TF_", "PG", "AWS_", "DOCKER_", "CONTAINER_"))]:
        monkeypatch.delenv(name)
    folder = tmp_path / "configuration"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/no-engine.sock")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    return Shell(folder, capsys, monkeypatch)


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A backend "shelf" in a module of its own, as those that are not local have: it keeps files, but shows none."""
    from pydantic import BaseModel, ConfigDict, Field, SecretStr

    from hythe.cli import backends
    from hythe.modules import declarations
    from hythe.state.backends.local import LocalBackend, LocalStorage

    class Settings(BaseModel):
        model_config = ConfigDict(extra="forbid", frozen=True)
        address: str
        password: SecretStr | None = None
        attempts: int = Field(3, ge=1)

    class ShelfBackend(LocalBackend):
        name = "shelf"

        def __init__(self, path: str) -> None:
            super().__init__(path)
            self.paths = None  # type: ignore[assignment]

    class ShelfStorage(LocalStorage):
        name = "shelf"

        def backend(self, workspace: str) -> LocalBackend:
            found = ShelfBackend(super().backend(workspace).path)
            found.where = f"shelf {found.where}"
            return found

    def open_storage(settings: Settings, root: str, environment: Mapping[str, str]) -> ShelfStorage:
        module.opened.append(settings)
        return ShelfStorage(os.path.join(root, settings.address, "state.json"))

    module: Any = ModuleType("shelf_backend")
    module.Settings, module.open_storage, module.opened = Settings, open_storage, []
    module.Backend = ShelfBackend
    monkeypatch.setitem(sys.modules, "shelf_backend", module)
    monkeypatch.setitem(backends.BACKENDS, "shelf", "shelf_backend")
    monkeypatch.setattr(declarations, "BACKENDS", (*declarations.BACKENDS, "shelf"))
    return module


MOVED = """\
resource "value" "a" {
  for_each = toset(["x", "y"])
  input    = "${hythe.workspace}-${each.key}"
}

resource "random" "secret" {
  type   = "password"
  length = 12
}

output "all" {
  value = { for k, v in value.a : k => v.output }
}

output "secret" {
  value     = random.secret.result
  sensitive = true
}
"""

MigrationCheck = Callable[[str, str], None]


@pytest.fixture
def check_migration(terminal: Shell) -> MigrationCheck:
    """Checks that states move from one ``backend`` block to another and back. "" is that of whoever sets none.

    Both must be there, empty, and have workspaces.
    """
    steps = itertools.count()

    def configure(block: str) -> None:
        terminal.write(f"hythe {{\n{block}\n}}\n{MOVED}")

    def states() -> dict[str, tuple[str, str, str]]:
        found = {}
        for name in terminal.fine("workspace", "list").replace("*", " ").split():
            terminal.patch.setenv("HYTHE_WORKSPACE", name)
            pulled = terminal.fine("state", "pull")
            found[name] = (pulled, terminal.fine("output", "--json"), terminal.fine("state", "list"))
        terminal.patch.delenv("HYTHE_WORKSPACE")
        return found

    def check(first: str, second: str) -> None:
        configure(first)
        terminal.fine("init")
        terminal.fine("apply", "--auto-approve")
        terminal.fine("workspace", "new", "staging")
        terminal.fine("apply", "--auto-approve")
        terminal.patch.setenv("HYTHE_WORKSPACE", "default")
        _leave_open(terminal)
        before = states()
        assert sorted(before) == ["default", "staging"]
        for block in (second, first):
            configure(block)
            said = terminal.refused("plan")
            assert "Backend configuration changed" in said
            assert "hythe init --migrate-state" in said
            if next(steps):
                # on the way back each has what it had
                assert "No state needs to be copied" in terminal.fine("init", "--migrate-state")
            else:
                assert "(default, staging)" in terminal.fine("init", "--force-copy")
            assert states() == before
        # what is done after that goes over too
        assert "staging-x" in terminal.fine("apply", "--auto-approve", "--replace=random.secret")
        configure(second)
        assert "Copied 1 state (staging)" in terminal.fine("init", "--force-copy")
        assert terminal.fine("plan").startswith("Workspace: staging\nNo changes.")
        # and what was left open is settled there
        terminal.fine("workspace", "select", "default")
        assert 'value.a["z"]' in terminal.fine("apply", "--auto-approve")
        assert terminal.fine("plan").startswith("No changes.")

    return check


def _leave_open(terminal: Shell) -> None:
    """Leave an operation open, as a run does that was killed, and an object that a replacement left behind."""
    from hythe.cli.context import open_cli
    from hythe.cli.workspace import Workspace
    from hythe.state.model import Result

    cli = open_cli(str(terminal.folder))
    with cli.closing:
        store = Workspace(cli).store
        with store.lock("test"):
            session = store.begin(store.read())
            old = session.state.instances['value.a["x"]']
            made = InstanceState('value.a["z"]', "id-z", "value", {"input": "1", "output": "1"})
            session.wait(session.record(Result(depose=(InstanceState(old.address, "id-old", "value", {}),))))
            session.wait(session.intend("create", made)[1])
            session.close()
