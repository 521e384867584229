"""Images made on one engine and used on another: what is sent, and what is not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hythe.provider.container.image_carry import carry, take_back
from hythe.provider.protocol import ProviderError, Referent


class Counted:
    """An engine that counts the bytes of what is loaded into it, and may refuse what it is sent once."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.loads: list[int] = []
        self.started: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    @contextmanager
    def stream(self, method: str, path: str, **given: Any) -> Iterator[Any]:
        if path == "/images/load":
            self.loads.append(0)
            self.started.append(b"")
            given["body"] = self._count(given["body"])
        with self._engine.stream(method, path, **given) as answer:
            yield answer

    def _count(self, body: Any) -> Iterator[bytes]:
        for piece in body:
            self.loads[-1] += len(piece)
            self.started[-1] = (self.started[-1] + piece)[:2]
            yield piece


@pytest.fixture
def made(docker_shop: Any, context_folder: Path) -> Any:
    """An image of three layers on the first engine: (referent, context for a host called ``other``)."""
    (context_folder / "big").write_bytes(b"the same words again and again " * 200_000)
    file = context_folder / "Dockerfile"
    file.write_text(file.read_text().replace('CMD ["cat"', 'COPY big /big\nCMD ["cat"'))
    _, attributes = docker_shop.create(name=docker_shop.name(), build={"context": "ctx"})
    return Referent("image", "image.web", "1", attributes, None)


def _context(source: Any, target: Any, said: list[str]) -> Any:
    bench = source.bench
    context = bench.context(bench.identity(), progress=said.append)
    return replace(context, host=replace(target.host, name="other"))


def test_only_what_is_missing_goes_and_packed(docker_shop: Any, other_docker: Any, made: Any, tmp_path: Path) -> None:
    engine, said = Counted(other_docker.engine), list[str]()
    context = _context(docker_shop, other_docker, said)
    name = carry(context, engine, made, "container.c")
    try:
        assert name == made.attributes["name"]
        assert other_docker.cli("image", "inspect", "--format", "{{.Id}}", name) == made.attributes["id"]
        assert other_docker.cli("run", "--rm", "--network", "none", name) == "one"
        # ten million bytes of words and busybox, packed
        assert engine.started == [b"\x1f\x8b"]
        assert engine.loads[0] < 4_000_000
        assert said[0].startswith(f"carrying {name} to other")
        # it is there by its digest: nothing is sent
        assert carry(context, engine, made, "container.c") == name
        assert len(engine.loads) == 1

        # another image on the same base: that (two thirds of the bytes, when packed) does not go again
        (docker_shop.folder / "ctx" / "page").write_text("two")
        _, other = docker_shop.create(name=docker_shop.name(), build={"context": "ctx", "target": "other"})
        more = replace(made, attributes=other)
        name = carry(context, engine, more, "container.d")
        assert engine.loads[1] < 100_000, engine.loads
        assert "of 4 layers are there" in said[-1]
        assert other_docker.cli("image", "inspect", "--format", "{{.Id}}", name) == other["id"]
        assert other_docker.cli("run", "--rm", "--network", "none", name, "cat", "/other") == "two"
    finally:
        other_docker.cli("image", "prune", "-af")


def test_carried_once_for_many_at_once(docker_shop: Any, other_docker: Any, made: Any) -> None:
    engine = Counted(other_docker.engine)
    context = _context(docker_shop, other_docker, [])
    names: list[str] = []
    threads = [
        threading.Thread(target=lambda: names.append(carry(context, engine, made, "container.c"))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert names == [made.attributes["name"]] * 6
        assert len(engine.loads) == 1
    finally:
        other_docker.cli("image", "prune", "-af")


def test_an_engine_that_wants_every_layer_gets_them(
    docker_shop: Any, other_docker: Any, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layers counted on went meanwhile: the engine refuses, and all of them are sent."""
    engine = Counted(other_docker.engine)
    monkeypatch.setattr("hythe.provider.container.image_carry._layers_there", lambda *a: 2)
    name = carry(_context(docker_shop, other_docker, []), engine, made, "container.c")
    try:
        assert len(engine.loads) == 2
        assert engine.loads[1] > engine.loads[0]
        assert other_docker.cli("run", "--rm", "--network", "none", name) == "one"
    finally:
        other_docker.cli("image", "prune", "-af")


def test_from_docker_to_podman(docker_shop: Any, podman: Any, made: Any) -> None:
    engine, said = Counted(podman.engine), list[str]()
    there = carry(_context(docker_shop, podman, said), engine, made, "container.c")
    try:
        assert podman.cli("run", "--rm", "--network", "none", there) == "one"
        assert said
        carry(_context(docker_shop, podman, said), engine, made, "container.c")
        assert len(engine.loads) == 1
    finally:
        podman.cli("rmi", "-f", there)


def test_an_image_that_is_gone(docker_shop: Any, other_docker: Any, made: Any) -> None:
    docker_shop.bench.cli("rmi", "-f", made.attributes["id"])
    with pytest.raises(ProviderError, match=r"image\.web has to be carried to other.*Plan again"):
        carry(_context(docker_shop, other_docker, []), other_docker.engine, made, "container.c")


def test_a_copy_of_a_run_that_was_killed_is_taken_back(
    docker_shop: Any, other_docker: Any, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed right after the load: the copy has its mark already. What was there before stays."""
    monkeypatch.setattr("hythe.provider.container.image_carry.tag", lambda *a: 1 / 0)
    context = _context(docker_shop, other_docker, [])
    with pytest.raises(ZeroDivisionError):
        carry(context, other_docker.engine, made, "container.c")
    monkeypatch.undo()
    id = made.attributes["id"]
    assert id in other_docker.cli("images", "-q", "--no-trunc")
    owner = replace(context.identity, id=made.id)
    taking = replace(context, identity=owner, others=lambda: [context.host])
    take_back(taking, [made.attributes["name"]], "Removing it")
    assert id not in other_docker.cli("images", "-aq", "--no-trunc")

    carry(context, other_docker.engine, made, "container.c")
    other_docker.cli("tag", id, "own:1")
    try:
        take_back(taking, [made.attributes["name"]], "Removing it")
        assert other_docker.cli("images", "--format", "{{.Repository}}").split() == ["own"]
    finally:
        other_docker.cli("image", "prune", "-af")
