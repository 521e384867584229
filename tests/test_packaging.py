"""What is built from the tree: every file of the rooms, under one name, importable without the tree."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
ROOMS = ("modules", "planner", "provider", "state")
SHIPPED = {".py", ".hcl", ".md", ".lark", ".typed"}


def shipped_files() -> set[str]:
    """Every file that belongs into a distribution, by its path below site-packages."""
    folders = {"hythe": REPOSITORY / "hythe", **{f"hythe/{room}": REPOSITORY / room for room in ROOMS}}
    out: set[str] = set()
    for prefix, folder in folders.items():
        for path in folder.rglob("*"):
            below = path.relative_to(folder)
            linked = prefix == "hythe" and below.parts[0] in ROOMS
            if path.is_file() and not linked and "__pycache__" not in below.parts:
                out.add(f"{prefix}/{below.as_posix()}")
    return out


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheel and sdist, built from a copy of the tree so that nothing is left in it."""
    work = tmp_path_factory.mktemp("packaging")
    tree = work / "tree"
    left_out = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "tests", "htmlcov")
    shutil.copytree(REPOSITORY, tree, symlinks=True, ignore=left_out)
    done = subprocess.run(
        [sys.executable, "-m", "build", *isolation(), "--outdir", str(work / "dist"), str(tree)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return work / "dist"


def isolation() -> list[str]:
    """No download where this environment has what the build needs."""
    try:
        import setuptools
    except ImportError:
        return []
    return ["--no-isolation"] if int(setuptools.__version__.split(".")[0]) >= 77 else []


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    [found] = built.glob("*.whl")
    return found


def test_everything_that_is_shipped_is_of_a_known_sort() -> None:
    # a new sort of file needs a line in pyproject.toml's package-data
    assert {PurePosixPath(name).suffix for name in shipped_files()} <= SHIPPED


def test_the_wheel_holds_every_file_and_nothing_else(wheel: Path) -> None:
    names = {n for n in zipfile.ZipFile(wheel).namelist() if not n.endswith("/")}
    info = {n for n in names if n.split("/")[0].endswith(".dist-info")}
    assert names - info == shipped_files()
    assert any(n.endswith("/licenses/LICENSE") for n in info)


def test_the_sdist_holds_every_file(built: Path) -> None:
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as tar:
        names = {n.partition("/")[2] for n in tar.getnames()}
    assert shipped_files() <= names
    assert {"pyproject.toml", "LICENSE", "README.md"} <= names


def test_the_installed_wheel_works_without_the_tree(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*install, str(wheel)], check=True)
    assert {p.name for p in target.iterdir() if not p.name.endswith(".dist-info")} <= {"hythe", "bin"}
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import hythe.planner.plan, hythe.state.model, hythe.provider.registry, hythe.modules.config\n"
        "modules = [m for n, m in sys.modules.items() if n == 'hythe' or n.startswith('hythe.')]\n"
        "outside = [m.__file__ for m in modules if m.__file__ and not m.__file__.startswith(sys.argv[1])]\n"
        "assert not outside, outside\n"
        "registry = hythe.provider.registry.Registry()\n"
        "print(*[registry.kind(n).name for n in registry.names()])\n"
    )
    # -I: neither this folder nor an editable installation's path counts before the target
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, str(target)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert {"container", "file", "host", "image", "network", "value", "volume"} <= set(done.stdout.split())


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_refuse_their_bare_names(room: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY))
    with pytest.raises(ImportError, match=f"import this as hythe.{room}, not as {room}"):
        importlib.import_module(room)
    assert importlib.import_module(f"hythe.{room}").__name__ == f"hythe.{room}"
