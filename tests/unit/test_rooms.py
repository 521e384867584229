"""The house rules of docs/architecture.md, held by reading the imports."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IO_MODULES = {
    "asyncio",
    "docker",
    "ftplib",
    "http",
    "io",
    "libvirt",
    "multiprocessing",
    "os",
    "paramiko",
    "pathlib",
    "random",
    "requests",
    "secrets",
    "select",
    "shutil",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "time",
    "urllib",
}
# what a room may import of the others
ALLOWED = {
    "modules": {"modules"},
    "planner": {"planner", "modules", "state", "provider"},
    "state": {"state", "provider"},
    "provider": {"provider"},
}
PURE_PLANNER = {
    "build",
    "changes",
    "checks",
    "diff",
    "drift",
    "evaluator",
    "expand",
    "explain",
    "exposure",
    "plan",
    "program",
    "selection",
}
# functions that name paths without touching them, or take entropy through the injected source
LANGUAGE_IO = {
    "modules/language/functions/registry.py": {"secrets"},
    "modules/language/functions/filesystem.py": {"os", "pathlib"},
    "modules/language/functions/encoding.py": {"urllib"},  # urllib.parse only
    "modules/language/functions/regexp.py": {"time"},  # the deadline of a runaway pattern
}


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
    return found


def _sources(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_rooms_import_only_what_they_may(room: str) -> None:
    wrong = []
    for path in _sources(room):
        for name in _imports(path):
            parts = name.split(".")
            other = parts[1] if parts[0] == "hythe" and len(parts) > 1 else ""
            if other in (*ALLOWED, "cli") and other not in ALLOWED[room]:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_words_import_no_room() -> None:
    for path in sorted((ROOT / "hythe").glob("*.py")):
        rooms = {n.split(".")[1] for n in _imports(path) if n.startswith("hythe.")} & set(ALLOWED)
        assert not rooms, path


def test_pure_parts_of_the_planner_do_no_io() -> None:
    for name in sorted(PURE_PLANNER):
        path = ROOT / "planner" / f"{name}.py"
        used = {n.split(".")[0] for n in _imports(path)} & IO_MODULES
        assert not used, f"{path.name} imports {sorted(used)}"


@pytest.mark.parametrize("folder", ["modules/syntax", "modules/language"])
def test_language_does_no_io(folder: str) -> None:
    wrong = []
    for path in _sources(folder):
        relative = str(path.relative_to(ROOT))
        used = {n.split(".")[0] for n in _imports(path)} & IO_MODULES - LANGUAGE_IO.get(relative, set())
        wrong += [f"{relative} imports {n}" for n in sorted(used)]
    assert not wrong
