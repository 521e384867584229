"""Pulling from and pushing to a registry with a login."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from hythe.provider.container.image_pull import latest_digest
from hythe.provider.protocol import Presence, ProviderError
from tests.live import runs


def auth(registry: Any, password: str | None = None) -> dict[str, str]:
    return {"username": registry.username, "password": password or registry.password}


def push(shop: Any, registry: Any, name: str, page: str) -> str:
    """Build an image and push it; its digest."""
    (shop.folder / "ctx" / "page").write_text(page)
    identity, made = shop.create(
        name=shop.name(),
        build={"context": "ctx"},
        push=[{"registry": registry.address, "name": name, "auth": auth(registry)}],
    )
    shop.delete(identity, made)
    assert made["digest"].startswith("sha256:")
    assert registry.password not in repr(made)
    return str(made["digest"])


def test_pushed_then_pulled_by_the_digest_that_was_locked(shop: Any, registry: Any, context_folder: Path) -> None:
    path = runs.claim("team/web-") + ":1"
    first = push(shop, registry, path, "one")
    name = f"{registry.address}/{path}"
    wish = {"name": name, "auth": auth(registry)}
    identity, made = shop.create(**wish)
    assert shop.run(name) == "one"
    assert made["digest"] == first
    assert made["owned"]
    assert shop.lock == {f"image:{name}": first}
    assert shop.changed(identity, made, **wish) == {}
    shop.delete(identity, made)
    assert shop.read(identity, made) is Presence.ABSENT

    second = push(shop, registry, path, "two")
    assert second != first
    identity, made = shop.create(**wish)
    assert shop.run(name) == "one"
    assert shop.changed(identity, made, **wish) == {}

    newest = latest_digest(shop.bench.host, shop.wish(**wish))
    assert shop.kind.latest(shop.bench.host, shop.wish(**wish)) == (f"image:{name}", second)
    assert newest == second
    shop.lock[f"image:{name}"] = newest
    assert shop.changed(identity, made, **wish)["digest"] == "REPLACE"
    other, upgraded = shop.create(**wish)
    shop.delete(identity, made)
    assert shop.run(name) == "two"
    assert shop.changed(other, upgraded, **wish) == {}


def test_a_name_with_a_digest(shop: Any, registry: Any, context_folder: Path) -> None:
    path = runs.claim("digest-")
    digest = push(shop, registry, f"{path}:1", "one")
    wish = {"name": f"{registry.address}/{path}@{digest}", "auth": auth(registry)}
    identity, made = shop.create(**wish)
    assert made["digest"] == digest
    assert shop.lock == {}
    assert shop.changed(identity, made, **wish) == {}
    assert shop.run(made["id"]) == "one"
    shop.delete(identity, made)
    assert shop.read(identity, made) is Presence.ABSENT


def test_one_that_was_there_is_left_there(shop: Any, registry: Any, context_folder: Path) -> None:
    path = runs.claim("there-") + ":1"
    push(shop, registry, path, "one")
    name = f"{registry.address}/{path}"
    _, first = shop.create(name=name, auth=auth(registry))
    identity, second = shop.create(name=name, tags=["mine"])
    assert (second["id"], second["owned"]) == (first["id"], False)
    shop.delete(identity, second)
    assert shop.has(name)
    assert not shop.has(f"{name.rpartition(':')[0]}:mine")


def test_pull_always_asks_the_registry(shop: Any, registry: Any, context_folder: Path) -> None:
    path = runs.claim("always-") + ":1"
    push(shop, registry, path, "one")
    name = f"{registry.address}/{path}"
    shop.create(name=name, auth=auth(registry))
    shop.lock.clear()
    push(shop, registry, path, "two")
    shop.create(name=name, auth=auth(registry), pull="always")
    assert shop.run(name) == "two"


def test_wrong_password_and_missing_image(shop: Any, registry: Any, context_folder: Path) -> None:
    name = f"{registry.address}/{runs.claim('missing-')}:1"
    with pytest.raises(ProviderError, match="Registry refused the login"):
        shop.create(name=name, auth=auth(registry, "wrong"))
    with pytest.raises(ProviderError, match="Image not found in the registry"):
        shop.create(name=name, auth=auth(registry))
    with pytest.raises(ProviderError, match="Registry not reachable"):
        shop.create(name="127.0.0.1:1/x:1")
    target = [{"registry": registry.address, "auth": auth(registry, "wrong")}]
    with pytest.raises(ProviderError, match="Registry refused the login") as caught:
        shop.create(name=shop.name(), build={"context": "ctx"}, push=target)
    left = caught.value.partial
    assert left is not None
    shop.delete(shop.bench.identity("image.x"), left)
    assert not shop.has(left["id"])


def test_stored_login(
    shop: Any, registry: Any, context_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = runs.claim("stored-") + ":1"
    push(shop, registry, path, "one")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    pair = base64.b64encode(f"{registry.username}:{registry.password}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.address: {"auth": pair}}}))
    _, made = shop.create(name=f"{registry.address}/{path}")
    assert shop.run(made["id"]) == "one"


def test_login_of_a_credential_helper(
    shop: Any, registry: Any, context_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = runs.claim("helper-") + ":1"
    push(shop, registry, path, "one")
    helper = tmp_path / "docker-credential-hythetest"
    told = json.dumps({"ServerURL": registry.address, "Username": registry.username, "Secret": registry.password})
    helper.write_text(f"#!/bin/sh\ncat >/dev/null\necho '{told}'\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {registry.address: "hythetest"}}))
    _, made = shop.create(name=f"{registry.address}/{path}")
    monkeypatch.undo()
    assert shop.run(made["id"]) == "one"


def test_a_push_is_added_and_taken_back_in_place(shop: Any, registry: Any, context_folder: Path) -> None:
    wish: dict[str, Any] = {"name": shop.name(), "build": {"context": "ctx"}}
    identity, made = shop.create(**wish)
    target = {"registry": registry.address, "name": runs.claim("late-") + ":1", "auth": auth(registry)}
    assert shop.changed(identity, made, **wish, push=[target]) == {"push": "LIVE"}
    made = shop.update(identity, made, **wish, push=[target])
    assert made["digest"].startswith("sha256:")
    assert shop.changed(identity, made, **wish, push=[target]) == {}
    assert shop.has(f"{registry.address}/{target['name']}")
    made = shop.update(identity, made, **wish)
    assert not shop.has(f"{registry.address}/{target['name']}")
    _, pulled = shop.create(name=f"{registry.address}/{target['name']}", auth=auth(registry))
    assert pulled["id"] == made["id"]
