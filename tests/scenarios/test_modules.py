"""Modules of others: fetched from real git repositories and archives, locked, and taken anew when asked for."""

from __future__ import annotations

import hashlib
import http.server
import io
import shutil
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

MODULE = 'variable "word" {}\noutput "word" { value = "%s ${var.word}" }\n'


def call(source: str, more: str = "") -> str:
    return f'module "m" {{\n  source = "{source}"\n  word = "x"\n{more}}}\noutput "word" {{ value = module.m.word }}\n'


def git(folder: Path, *argv: str) -> str:
    fixed = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main", "-c", "tag.gpgSign=false")
    done = subprocess.run(["git", *fixed, *argv], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


class Repository:
    """A git repository with a module in it, and one more in its folder ``inner``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        git(folder, "init", "-q")
        self.commit("one", "v1.0.0")
        self.commit("two", "v1.1.0")

    def commit(self, word: str, tag: str | None = None) -> str:
        (self.folder / "inner").mkdir(exist_ok=True)
        (self.folder / "main.hcl").write_text(MODULE % word)
        (self.folder / "inner" / "main.hcl").write_text(MODULE % f"inner {word}")
        git(self.folder, "add", ".")
        git(self.folder, "commit", "-q", "-m", word)
        if tag is not None:
            git(self.folder, "tag", tag)
        return git(self.folder, "rev-parse", "HEAD")

    @property
    def source(self) -> str:
        return f"git::file://{self.folder}"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "configuration"
    made.mkdir()
    return made


class User:
    """Types commands in a folder."""

    def __init__(self, run: Any, folder: Path) -> None:
        self.run, self.folder = run, folder

    def word(self, text: str, *init: str) -> str:
        """What the module gives, after init."""
        (self.folder / "main.hcl").write_text(text)
        done = self.run(self.folder, "init", *init)
        assert done.code == 0, done.err
        return self.planned()

    def planned(self) -> str:
        """What the module gives."""
        done = self.run(self.folder, "plan")
        assert done.code == 0, done.err
        (line,) = [li for li in done.out.splitlines() if "+ word" in li]
        return str(line.split('"')[1])

    def refused(self, text: str, *argv: str) -> str:
        """What is said, without line ends."""
        (self.folder / "main.hcl").write_text(text)
        done = self.run(self.folder, *(argv or ("init",)))
        assert done.code == 1, done.out
        assert "Traceback" not in done.err
        return " ".join(done.err.split())


@pytest.fixture
def user(run_here: Any, folder: Path) -> User:
    return User(run_here, folder)


def test_git_is_locked_until_an_upgrade(user: User, repository: Repository) -> None:
    text = call(repository.source)
    assert "`hythe init` does" in user.refused(text, "plan")
    assert user.word(text) == "two x"
    lock = (user.folder / "hythe.lock.hcl").read_text()
    assert repository.commit("three") not in lock
    # elsewhere: what is locked, though the branch has gone on
    shutil.rmtree(user.folder / ".hythe")
    assert user.word(text) == "two x"
    assert (user.folder / "hythe.lock.hcl").read_text() == lock
    assert user.word(text, "--upgrade") == "three x"
    # a colleague's older lock file: what is here does not fit it, and init brings what does
    (user.folder / "hythe.lock.hcl").write_text(lock)
    assert "not the one that hythe.lock.hcl names" in user.refused(text, "plan")
    assert user.word(text) == "two x"
    assert not list(user.folder.rglob(".git"))


def test_a_lock_file_that_stays_as_it_is(user: User, repository: Repository) -> None:
    text, path = call(repository.source), user.folder / "hythe.lock.hcl"
    said = user.refused(text, "init", "-lockfile=readonly")
    assert f"comes from {repository.source}, which is not in hythe.lock.hcl" in said
    assert not path.exists()
    assert user.word(text) == "two x"
    lock = path.read_text()
    shutil.rmtree(user.folder / ".hythe")
    assert user.word(text, "--lockfile=readonly") == "two x"
    # it does not forget what is used no more, either
    assert user.run(user.folder, "init", "--lockfile", "readonly").code == 0
    (user.folder / "main.hcl").write_text("")
    assert user.run(user.folder, "init", "--lockfile=readonly").code == 0
    assert path.read_text() == lock
    assert "exclude each other" in user.refused(text, "init", "--lockfile=readonly", "--upgrade")
    assert "readonly" in user.refused(text, "init", "--lockfile=other")


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [
        ("?ref=v1.0.0", "one x"),
        ("?ref=main&depth=1", "two x"),
        ("//inner", "inner two x"),
        ("//inner?ref=v1.0.0", "inner one x"),
    ],
)
def test_refs_and_folders(user: User, repository: Repository, suffix: str, expected: str) -> None:
    assert user.word(call(repository.source + suffix)) == expected


def test_commits_whole_and_shortened(user: User, repository: Repository) -> None:
    commit = git(repository.folder, "rev-parse", "v1.0.0")
    assert user.word(call(f"{repository.source}?ref={commit}")) == "one x"
    assert user.word(call(f"{repository.source}?ref={commit[:9]}")) == "one x"


def test_version_constraints_choose_among_tags(user: User, repository: Repository) -> None:
    repository.commit("next", "v2.0.0")
    text = call(repository.source, '  version = "~> 1.0"\n')
    assert user.word(text) == "two x"
    assert 'version  = "1.1.0"' in (user.folder / "hythe.lock.hcl").read_text()
    repository.commit("newer", "v1.2.0")
    assert user.word(text) == "two x"
    assert user.word(text, "--upgrade") == "newer x"
    said = user.refused(call(repository.source, '  version = ">= 3"\n'))
    assert 'No tag fits the version ">= 3"; its versions are: v1.0.0, v1.1.0, v1.2.0, v2.0.0' in said


def test_what_cannot_be_fetched_changes_nothing(user: User, repository: Repository) -> None:
    assert user.word(call(repository.source)) == "two x"
    lock = (user.folder / "hythe.lock.hcl").read_text()
    assert "nothing.git" in user.refused(call(f"git::file://{user.folder}/nothing.git"))
    assert "couldn't find remote ref" in user.refused(call(f"{repository.source}?ref=nope"))
    assert "no name of a branch" in user.refused(call(f"{repository.source}?ref=--upload-pack=x"))
    assert "leads out" not in user.refused(call("git::ext::sh -c x"))
    assert (user.folder / "hythe.lock.hcl").read_text() == lock
    assert user.word(call(repository.source)) == "two x"


def _tar(path: Path, *names: str, **links: str) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            content = (MODULE % "packed").encode()
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name, to in links.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, to
            tar.addfile(info)


def test_archives_beside_the_configuration(user: User) -> None:
    _tar(user.folder / "m.tar.gz", "net-1.0/main.hcl")
    assert user.word(call("./m.tar.gz//net-1.0")) == "packed x"
    with zipfile.ZipFile(user.folder / "m.zip", "w") as archive:
        archive.writestr("main.hcl", MODULE % "zipped")
    assert user.word(call("./m.zip")) == "zipped x"
    # what nothing uses any more is gone
    assert len([p for p in (user.folder / ".hythe" / "modules").iterdir() if p.is_dir()]) == 1
    with zipfile.ZipFile(user.folder / "m.zip", "w") as archive:
        archive.writestr("main.hcl", MODULE % "changed")
    shutil.rmtree(user.folder / ".hythe")
    assert "not what hythe.lock.hcl names" in user.refused(call("./m.zip"))
    assert user.word(call("./m.zip"), "--upgrade") == "changed x"


@pytest.mark.parametrize("name", ["../outside.hcl", "/tmp/outside.hcl", "a/../../outside.hcl"])
def test_archives_that_lead_out_are_refused(user: User, name: str) -> None:
    _tar(user.folder / "m.tar.gz", name)
    assert "leads out of it" in user.refused(call("./m.tar.gz"))
    with zipfile.ZipFile(user.folder / "m.zip", "w") as archive:
        archive.writestr(name, "x")
    assert "leads out of it" in user.refused(call("./m.zip"))
    assert not (user.folder.parent / "outside.hcl").exists()


def test_links_that_lead_out_are_refused(user: User) -> None:
    _tar(user.folder / "m.tar.gz", "main.hcl", secret="/etc/passwd")
    assert "leads out of it" in user.refused(call("./m.tar.gz"))
    (user.folder / "m.zip").write_bytes(b"PK\x03\x04 not really")
    assert "no .zip archive that can be read" in user.refused(call("./m.zip"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server on loopback, and the folder that it shows."""
    root = tmp_path / "web"
    root.mkdir()
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(root))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_address[1]}", root
    made.shutdown()
    made.server_close()


def test_archives_over_the_web(user: User, server: tuple[str, Path]) -> None:
    url, root = server
    _tar(root / "m.tgz", "main.hcl")
    checksum = hashlib.sha256((root / "m.tgz").read_bytes()).hexdigest()
    assert "use https, or add ?checksum=sha256:" in user.refused(call(f"{url}/m.tgz"))
    assert user.word(call(f"{url}/m.tgz?checksum=sha256:{checksum}")) == "packed x"
    assert "is expected" in user.refused(call(f"{url}/m.tgz?checksum=sha256:{'0' * 64}"))
    assert "404" in user.refused(call(f"{url}/n.tgz?checksum=sha256:{checksum}"))


def test_a_saved_plan_carries_its_modules(user: User, repository: Repository) -> None:
    assert user.word(call(repository.source)) == "two x"
    assert user.run(user.folder, "plan", "--out", "p").code == 0
    (user.folder / "main.hcl").write_text("")
    shutil.rmtree(user.folder / ".hythe" / "modules")
    done = user.run(user.folder, "apply", "p")
    assert done.code == 0, done.err
    assert 'word = "two x"' in done.out


def test_a_module_cannot_lead_out_of_its_package(user: User, repository: Repository) -> None:
    (repository.folder / "main.hcl").write_text('module "out" {\n  source = "../x"\n}\n')
    git(repository.folder, "commit", "-q", "-am", "out")
    text = f'module "m" {{\n  source = "{repository.source}"\n}}\n'
    assert "leads out of what was fetched" in user.refused(text)


def test_a_configuration_that_is_reached_through_a_link(user: User, run_here: Any) -> None:
    _tar(user.folder / "m.tar.gz", "inner/main.hcl")
    link = user.folder.parent / "link"
    link.symlink_to(user.folder)
    assert User(run_here, link).word(call("./m.tar.gz//inner")) == "packed x"
