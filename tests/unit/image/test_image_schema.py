"""Arguments of images, and what needs no engine: names, hints, Dockerfiles, build contexts."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

from hythe.planner.diff import compare
from hythe.planner.inputs import RecordingReader
from hythe.provider.container.context_tar import context_archive, context_files, ignore_file
from hythe.provider.container.dockerfile import buildkit_need
from hythe.provider.container.image import Image
from hythe.provider.container.image_engine import own_names, pushed_name
from hythe.provider.container.image_packages import arguments, cache_key
from hythe.provider.container.image_reference import additional_tag, is_loopback, parse_name, same_name
from hythe.provider.protocol import PrepareContext, Project
from hythe.provider.schema import Effect
from hythe.value import STRING, Unknown

KIND = Image()


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("debian", "docker.io/library/debian:latest"),
        ("shop/web:1", "docker.io/shop/web:1"),
        ("index.docker.io/debian", "docker.io/library/debian:latest"),
        ("localhost/web", "localhost/web:latest"),
        ("127.0.0.1:5000/a/b:1", "127.0.0.1:5000/a/b:1"),
        ("web@sha256:" + "a" * 64, "docker.io/library/web@sha256:" + "a" * 64),
    ],
)
def test_names_have_one_complete_spelling(text: str, full: str) -> None:
    assert parse_name(text).full == full
    assert same_name(text, full)
    assert parse_name(str(parse_name(text))) == parse_name(text)


@pytest.mark.parametrize("text", ["Web", "web:", "web:-x", "a//b", "web@sha256:12", "-", "a b", ""])
def test_wrong_names_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_name(text)


def test_names_of_tags_and_pushes() -> None:
    assert additional_tag("r.example/web:1", "stable") == "r.example/web:stable"
    assert additional_tag("web:1", "other:2") == "other:2"
    assert own_names({"name": "web:1", "tags": ["a", "b:c"]}) == ["web:1", "web:a", "b:c"]
    assert pushed_name({"name": "team/web:1"}, {"registry": "r.example:5000"}) == "r.example:5000/team/web:1"
    assert pushed_name({"name": "web:1"}, {"registry": "r.example/x", "name": "y:2"}) == "r.example/x/y:2"
    assert is_loopback("127.0.0.1:5000")
    assert is_loopback("localhost")
    assert not is_loopback("127.example.org.evil:5000") or is_loopback("127.0.0.1")


@pytest.mark.parametrize(
    ("arguments_", "word"),
    [
        ({}, "say where the image comes from"),
        ({"name": "Web"}, "lower case"),
        ({"name": "a", "archive": "x", "build": {"context": "."}}, "keep only one"),
        ({"name": "a", "config": {"cmd": ["x"]}}, "`config` belongs"),
        ({"name": "a@sha256:" + "a" * 64, "archive": "x"}, "leave out the digest"),
        ({"name": "a", "platform": "Linux AMD"}, "not a platform"),
        ({"name": "a", "push": [{"registry": "shop"}]}, "not a registry"),
        ({"name": "a", "tags": ["a@sha256:" + "a" * 64]}, "digest"),
        ({"packages": {"suite": "--x"}}, "not the name of a suite"),
        ({"packages": {"suite": "bookworm", "include": ["--x"]}}, "not the name of a package"),
        ({"packages": {"suite": "bookworm", "files": {"etc/x": ""}}}, "absolute path"),
        ({"packages": {"suite": "bookworm", "files": {"/../x": ""}}}, "absolute path"),
    ],
)
def test_wrong_arguments_are_told(arguments_: dict[str, Any], word: str) -> None:
    _, problems = KIND.schema.decode(arguments_)
    assert any(word in text for _, text in problems), problems


def prepared(folder: Path, lock: dict[str, str] | None = None, **given: Any) -> tuple[dict[str, Any], list[Any]]:
    wish, problems = KIND.schema.decode(given)
    assert problems == []
    project = Project("My Shop", "a1b2", str(folder))
    return KIND.prepare(
        wish, PrepareContext(RecordingReader(str(folder)), project, str(folder), "web_front", "x.y", lock or {})
    )


def test_default_name_is_a_valid_image_name(tmp_path: Path) -> None:
    wish, _ = prepared(tmp_path, packages={"suite": "bookworm"})
    assert wish["name"] == "my-shop-web-front-x-y-a1b2:latest"
    parse_name(wish["name"])


def test_pulled_image_takes_its_digest_from_the_lock_file(tmp_path: Path) -> None:
    digest = "sha256:" + "b" * 64
    wish, _ = prepared(tmp_path, {"image:web:latest": digest}, name="web")
    assert wish["digest"] == digest
    wish, _ = prepared(tmp_path, {}, name="web")
    assert "digest" not in wish
    change = compare(KIND, {"name": "web", "pull": "missing", "keep": False, "digest": "sha256:x"}, wish)
    assert change == []


def test_missing_files_are_diagnosed(tmp_path: Path) -> None:
    for given in ({"archive": "nothing.tar"}, {"build": {"context": "nothing"}}):
        _, problems = prepared(tmp_path, name="web", **given)
        assert [p.summary for p in problems] == ["File not found"]
        assert "nothing" in problems[0].detail


def test_unknown_context_gives_an_unknown_hash(tmp_path: Path) -> None:
    wish, problems = prepared(tmp_path, name="web", build={"context": Unknown(STRING)})
    assert problems == []
    assert wish["content_hash"] == Unknown(STRING)


def test_login_and_secrets_are_no_change(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    one, _ = prepared(
        tmp_path,
        name="web",
        build={"context": ".", "secrets": {"a": "1"}},
        auth={"username": "a", "password": "b"},
        push=[{"registry": "r.example", "auth": {"username": "a", "password": "b"}}],
    )
    other, _ = prepared(tmp_path, name="web", build={"context": "."}, push=[{"registry": "r.example"}])
    assert compare(KIND, one, other) == []
    assert compare(KIND, other, one) == []
    assert ("build", "secrets") in KIND.schema.sensitive_paths(one)
    assert ("auth", "password") in KIND.schema.sensitive_paths(one)


def test_renaming_is_live_unless_the_name_is_the_source() -> None:
    built = {"name": "a", "archive": "x"}
    hint = KIND.hint(("name",), "a", "b", built, built | {"name": "b"})
    assert hint is not None
    assert hint.effect is Effect.LIVE
    assert KIND.hint(("name",), "a", "b", {"name": "a"}, {"name": "b"}) is None


@pytest.mark.parametrize(
    ("text", "need"),
    [
        ("FROM scratch\nCOPY --from=a --chown=1 x /\nRUN echo a << 1\n", None),
        ("# comment\n# syntax=docker/dockerfile:1\nFROM scratch\n", None),
        ("# syntax=docker/dockerfile:1\nFROM scratch\n", "syntax"),
        ("FROM scratch\nRUN --mount=type=cache,target=/x true\n", "--mount"),
        ("FROM scratch\nrun \\\n  --mount=type=ssh \\\n  true\n", "--mount"),
        ("# escape=`\nFROM scratch\nRUN `\n  --network=none true\n", "--network"),
        ("FROM scratch\nCOPY --chmod=644 a /\n", "--chmod"),
        ("FROM scratch\nCOPY --link a /\n", "--link"),
        ("FROM scratch\nRUN <<EOF\necho a\nEOF\n", "heredoc"),
        ("FROM scratch\nRUN tool --mount=x\n", None),
        ("FROM scratch\nHEALTHCHECK --interval=5s CMD true\n", None),
    ],
)
def test_what_needs_buildkit(text: str, need: str | None) -> None:
    found = buildkit_need(text)
    assert found is None if need is None else found is not None and need in found


def test_context_holds_what_the_ignore_file_leaves(tmp_path: Path) -> None:
    for name in ("Dockerfile", "a.py", "a.pyc", "keep.pyc", "docs/x.md", "docs/sub/y.md", ".git/HEAD"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "link").symlink_to("a.py")
    (tmp_path / ".dockerignore").write_text("# no\n*.pyc\n!keep.pyc\ndocs/*\n.git\nDockerfile\n")
    assert ignore_file(str(tmp_path), "Dockerfile") == ".dockerignore"
    files = context_files(str(tmp_path), "Dockerfile")
    assert files == [".dockerignore", "Dockerfile", "a.py", "docs", "keep.pyc", "link"]
    archive, dockerfile = context_archive(str(tmp_path), "Dockerfile", {"extra": b"x"})
    with archive, tarfile.open(fileobj=archive) as tar:
        assert sorted(tar.getnames()) == sorted([*files, "extra"])
        assert {m.uid for m in tar} == {0}
        assert tar.getmember("link").issym()
    assert dockerfile == "Dockerfile"


def test_packages_become_options_without_a_shell_reading_them(tmp_path: Path) -> None:
    packages = {
        "suite": "bookworm",
        "variant": "minbase",
        "include": ["b", "a"],
        "files": {"/etc/x": "1"},
        "setup": ["echo '$(id)'"],
    }
    argv = arguments(packages, "linux/arm64", str(tmp_path))
    assert "--include=a,b" in argv
    assert "--architectures=arm64" in argv
    assert argv[-1] == """--customize-hook=chroot "$1" sh -c 'echo '"'"'$(id)'"'"''"""
    assert cache_key(packages, None) != cache_key(packages | {"include": ["a"]}, None)
    assert cache_key(packages, None) == cache_key(dict(reversed(packages.items())), None)
