"""Builds that need more than Docker's classic builder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hythe.provider.container.image_buildkit import find_command
from hythe.provider.protocol import ProviderError

SECRET = (
    "FROM scratch\nCOPY bin /bin\n"
    'RUN --mount=type=secret,id=token ["/bin/sh", "-c", "busybox cat /run/secrets/token | busybox wc -c > /size"]\n'
)


def test_secret_reaches_the_step_and_not_the_image(shop: Any, context_folder: Path) -> None:
    (context_folder / "Dockerfile").write_text(SECRET)
    name = shop.name()
    wish = {"name": name, "build": {"context": "ctx", "secrets": {"token": "hunter2hunter2"}}}
    identity, made = shop.create(**wish)
    assert "hunter2" not in repr(made)
    assert shop.run(name, "/bin/cat", "/size").strip() == "14"
    assert "hunter2" not in shop.bench.cli("history", "--no-trunc", name)
    with pytest.raises(AssertionError):
        shop.run(name, "/bin/cat", "/run/secrets/token")
    assert (
        shop.bench.cli("image", "inspect", "--format", '{{index .Config.Labels "dev.hythe.id"}}', name) == identity.id
    )
    changed = {"name": name, "build": {"context": "ctx", "secrets": {"token": "other"}}}
    assert shop.changed(identity, made, **changed) == {}
    assert not [n for n in os.listdir("/dev/shm") if n.startswith("hythe-build-")]


def test_a_failed_build_tells_what_it_said(docker_shop: Any, context_folder: Path) -> None:
    (context_folder / "Dockerfile").write_text(
        'FROM scratch\nCOPY bin /bin\nRUN --mount=type=tmpfs,target=/x ["/bin/sh", "-c", "echo broken pipe; exit 3"]\n'
    )
    with pytest.raises(ProviderError, match=r"(?s)Build failed.*broken pipe"):
        docker_shop.create(name=docker_shop.name(), build={"context": "ctx"})


def test_without_a_command_that_can_the_word_is_clear(
    docker_shop: Any, context_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (context_folder / "Dockerfile").write_text(SECRET)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProviderError, match=r"BuildKit needed: .*RUN uses --mount"):
        docker_shop.create(name=docker_shop.name(), build={"context": "ctx"})


def test_a_command_without_buildx_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, version in ((new, "28.2.2"), (old, "20.10.24+dfsg1")):
        folder.mkdir()
        script = folder / "docker"
        script.write_text(f'#!/bin/sh\n[ "$1" = buildx ] && exit 1\necho "Docker version {version}, build 1"\n')
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{new}:{old}")
    assert find_command() == str(old / "docker")
    monkeypatch.setenv("PATH", str(new))
    assert find_command() is None
