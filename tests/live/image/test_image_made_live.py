"""Images that are built, or made from archives, on real engines."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from hythe.provider.protocol import Presence, ProviderError, ReadRequest


def test_built_image_is_named_marked_and_removed(shop: Any, context_folder: Path) -> None:
    name = shop.name()
    wish = {"name": name, "build": {"context": "ctx", "args": {"TIER": "front"}, "labels": {"team": "shop"}}}
    identity, made = shop.create(**wish)
    assert shop.id_of(name) == made["id"]
    assert shop.run(name, "cat", "/page") == "one"
    assert "TIER=front" in shop.run(name, "env")
    assert shop.changed(identity, made, **wish) == {}
    found = shop.kind.find(shop.bench.reading(), [ReadRequest(identity.id, "image.x", shop.wish(**wish))])
    assert found[identity.id].complete
    assert identity in [o.identity for o in shop.kind.find_owned(shop.bench.reading())]
    shop.delete(identity, made)
    assert shop.read(identity, made) is Presence.ABSENT
    shop.delete(identity, made)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"args": {"TIER": "back"}}, "args"),
        ({"target": "base"}, "target"),
        ({"labels": {"a": "b"}}, "labels"),
        ({"network": "none"}, "network"),
        ({"extra_hosts": {"db": "10.0.0.1"}}, "extra_hosts"),
        ({"shm_size": "64MiB"}, "shm_size"),
    ],
)
def test_each_build_argument_is_taken_and_a_change_replaces(
    shop: Any, context_folder: Path, change: dict[str, Any], reason: str
) -> None:
    name = shop.name()
    identity, made = shop.create(name=name, build={"context": "ctx"})
    (difference,) = shop.changes(identity, made, name=name, build={"context": "ctx", **change})
    assert (difference.name, difference.effect.name, difference.reason) == ("build", "REPLACE", reason)
    shop.delete(identity, made)
    identity, made = shop.create(name=name, build={"context": "ctx", **change})
    assert shop.changed(identity, made, name=name, build={"context": "ctx", **change}) == {}


@pytest.mark.parametrize("how", [{"no_cache": True}, {"cache_from": ["nothing:1"]}, {"builder": "classic"}])
def test_how_it_is_built_is_no_change(shop: Any, context_folder: Path, how: dict[str, Any]) -> None:
    name = shop.name()
    identity, made = shop.create(name=name, build={"context": "ctx", **how})
    assert shop.changed(identity, made, name=name, build={"context": "ctx"}) == {}


def test_a_changed_context_rebuilds_and_an_ignored_file_does_not(shop: Any, context_folder: Path) -> None:
    (context_folder / ".dockerignore").write_text("# scratch\nnotes\n*.log\n!keep.log\n")
    (context_folder / "notes").write_text("a")
    (context_folder / "keep.log").write_text("a")
    (context_folder / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    wish = {"name": shop.name(), "build": {"context": "ctx"}}
    identity, made = shop.create(**wish)
    assert shop.run(made["id"], "/bin/cat", "/keep.log") == "a"
    with pytest.raises(AssertionError):
        shop.run(made["id"], "/bin/cat", "/notes")
    (context_folder / "notes").write_text("b")
    (context_folder / "new.log").write_text("b")
    assert shop.changed(identity, made, **wish) == {}
    (context_folder / "page").write_text("two")
    assert shop.changed(identity, made, **wish) == {"content_hash": "REPLACE"}


def test_dockerfile_elsewhere_and_its_own_ignore_file(shop: Any, context_folder: Path) -> None:
    (context_folder / "docker").mkdir()
    (context_folder / "docker" / "web").write_text("FROM scratch\nCOPY . /\n")
    (context_folder / "docker" / "web.dockerignore").write_text("page\n")
    wish = {"name": shop.name(), "build": {"context": "ctx", "dockerfile": "docker/web"}}
    _, made = shop.create(**wish)
    with pytest.raises(AssertionError):
        shop.run(made["id"], "/bin/cat", "/page")
    outside = {"name": shop.name(), "build": {"context": "ctx/bin", "dockerfile": "../docker/web"}}
    _, made = shop.create(**outside)
    assert shop.run(made["id"], "/busybox", "echo", "x") == "x"


def test_failed_build_tells_the_step_and_leaves_no_name(shop: Any, context_folder: Path) -> None:
    name = shop.name()
    (context_folder / "Dockerfile").write_text("FROM scratch\nCOPY missing /\n")
    with pytest.raises(ProviderError, match=r"Build failed: .*missing") as caught:
        shop.create(name=name, build={"context": "ctx"})
    assert caught.value.partial is None
    assert not shop.has(name)


def test_rename_and_tags_are_changed_in_place(shop: Any, context_folder: Path) -> None:
    name, other = shop.name(), shop.name()
    repository = name.partition(":")[0]
    wish: dict[str, Any] = {"name": name, "build": {"context": "ctx"}}
    identity, made = shop.create(**wish, tags=["stable", other])
    assert shop.id_of(f"{repository}:stable") == shop.id_of(other) == made["id"]
    assert shop.changed(identity, made, **wish, tags=[other, "stable"]) == {}
    assert shop.changed(identity, made, **wish, tags=["next"]) == {"tags": "LIVE"}
    made = shop.update(identity, made, **wish, tags=["next"])
    assert shop.id_of(f"{repository}:next") == made["id"]
    assert not shop.has(f"{repository}:stable")
    assert not shop.has(other)
    renamed = shop.name()
    assert shop.changed(identity, made, **(wish | {"name": renamed}), tags=[]) == {"name": "LIVE", "tags": "LIVE"}
    made = shop.update(identity, made, **(wish | {"name": renamed}))
    assert shop.id_of(renamed) == made["id"]
    assert not shop.has(name)


def test_a_name_moved_behind_our_back_is_taken_back(shop: Any, context_folder: Path) -> None:
    wish = {"name": shop.name(), "build": {"context": "ctx"}}
    identity, made = shop.create(**wish)
    shop.bench.cli("tag", shop.bench.image_id, shop.full(wish["name"]))
    assert shop.changed(identity, made, **wish) == {"name": "LIVE"}
    made = shop.update(identity, made, **wish)
    assert shop.id_of(wish["name"]) == made["id"]
    shop.bench.cli("rmi", "-f", made["id"])
    assert shop.read(identity, made) is Presence.ABSENT


def test_a_foreign_image_keeps_its_name(shop: Any, context_folder: Path) -> None:
    name = shop.name()
    shop.bench.cli("tag", shop.bench.image_id, shop.full(name))
    try:
        with pytest.raises(ProviderError, match="Name already taken"):
            shop.create(name=name, build={"context": "ctx"})
        assert shop.id_of(name) == shop.bench.image_id
    finally:
        shop.bench.cli("rmi", shop.full(name))


def test_replaced_while_a_container_uses_the_old_one(shop: Any, context_folder: Path) -> None:
    wish = {"name": shop.name(), "build": {"context": "ctx"}}
    identity, old = shop.create(**wish)
    user = shop.bench.name("user")
    shop.bench.cli("create", "--name", user, wish["name"])
    try:
        with pytest.raises(ProviderError, match=user):
            shop.delete(identity, old)
        assert shop.id_of(wish["name"]) == old["id"]
        (context_folder / "page").write_text("two")
        _, new = shop.create(**wish)
        assert shop.id_of(wish["name"]) == new["id"] != old["id"]
    finally:
        shop.bench.cli("rm", user)
    shop.delete(identity, old)
    assert shop.id_of(wish["name"]) == new["id"]
    assert shop.read(identity, old) is Presence.ABSENT


def test_kept_and_shared_images_stay(shop: Any, context_folder: Path) -> None:
    wish = {"name": shop.name(), "build": {"context": "ctx"}, "keep": True}
    identity, made = shop.create(**wish)
    shop.delete(identity, made)
    assert shop.has(wish["name"])
    other = shop.name()
    shop.bench.cli("tag", made["id"], shop.full(other))
    shop.delete(identity, made | {"keep": False})
    assert not shop.has(wish["name"])
    assert shop.id_of(other) == made["id"]


CONFIG = {
    "cmd": ["cat", "/etc/hostname"],
    "entrypoint": ["/bin/busybox"],
    "env": {"A": 'quo"te $x', "PATH": "/bin"},
    "workdir": "/bin",
    "user": "1000:1000",
    "labels": {"team": "a b"},
    "expose": ["80", "53/udp"],
    "volumes": ["/data"],
    "stop_signal": "SIGINT",
}


@pytest.mark.parametrize("packed", [False, True])
def test_root_file_system_with_its_configuration(shop: Any, root_archive: Path, packed: bool) -> None:
    archive = root_archive
    if packed:
        archive = root_archive.with_suffix(".tar.gz")
        archive.write_bytes(gzip.compress(root_archive.read_bytes()))
    wish = {"name": shop.name(), "archive": archive.name, "config": CONFIG}
    identity, made = shop.create(**wish)
    told = json.loads(shop.bench.cli("image", "inspect", made["id"]))[0]["Config"]
    assert (told["Cmd"], told["Entrypoint"]) == (CONFIG["cmd"], CONFIG["entrypoint"])
    assert 'A=quo"te $x' in told["Env"]
    assert (told["WorkingDir"], told["User"], told["StopSignal"]) == ("/bin", "1000:1000", "SIGINT")
    assert set(told["ExposedPorts"]) == {"80/tcp", "53/udp"}
    assert told["Labels"]["team"] == "a b"
    assert told["Labels"]["dev.hythe.id"] == identity.id
    assert shop.run(made["id"], "echo", "hello") == "hello"
    assert shop.changed(identity, made, **wish) == {}
    assert shop.changed(identity, made, **(wish | {"config": CONFIG | {"user": "0"}})) == {"config": "REPLACE"}
    shop.delete(identity, made)
    assert shop.read(identity, made) is Presence.ABSENT


def test_a_changed_archive_replaces(shop: Any, root_archive: Path) -> None:
    wish = {"name": shop.name(), "archive": root_archive.name}
    identity, made = shop.create(**wish)
    with tarfile.open(root_archive, "a") as tar:
        tar.addfile(tarfile.TarInfo("new"), io.BytesIO())
    assert shop.changed(identity, made, **wish) == {"content_hash": "REPLACE"}


def test_saved_image_takes_only_the_name_it_is_given(shop: Any, context_folder: Path, tmp_path: Path) -> None:
    inner = shop.name()
    identity, built = shop.create(name=inner, build={"context": "ctx"})
    with open(tmp_path / "saved.tar", "wb") as out:
        subprocess.run(
            [*shop.bench.command, "save", inner], stdout=out, check=True, env={**shop.bench.environment, **_env()}
        )
    shop.delete(identity, built)
    shop.bench.cli("tag", shop.bench.image_id, shop.full(inner))
    wish = {"name": shop.name(), "archive": "saved.tar"}
    try:
        identity, made = shop.create(**wish)
        assert made["id"] == built["id"]
        assert made["owned"]
        assert shop.id_of(inner) == shop.bench.image_id
    finally:
        shop.bench.cli("rmi", shop.full(inner))
    assert shop.run(wish["name"], "cat", "/page") == "one"
    assert shop.changed(identity, made, **wish) == {}
    with pytest.raises(ProviderError, match="Image has its own configuration"):
        shop.create(**(wish | {"name": shop.name(), "config": {"cmd": ["x"]}}))
    shop.delete(identity, made)
    assert shop.read(identity, made) is Presence.ABSENT


def _env() -> dict[str, str]:
    import os

    return dict(os.environ)


def test_oci_layout(shop: Any, podman: Any, root_archive: Path, tmp_path: Path) -> None:
    inner = f"localhost/{shop.name()}"
    podman.cli("import", str(root_archive), inner)
    podman.cli("save", "--format", "oci-archive", "-o", str(tmp_path / "oci.tar"), inner)
    podman.cli("rmi", inner)
    identity, made = shop.create(name=shop.name(), archive="oci.tar")
    assert shop.run(made["id"], "/bin/echo", "x") == "x"
    shop.delete(identity, made)
    assert shop.read(identity, made) is Presence.ABSENT


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "/etc/passwd"])
def test_an_archive_that_leads_out_is_refused(shop: Any, tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(ProviderError, match="Unsafe archive"):
        shop.create(name=shop.name(), archive="bad.tar")


def test_what_is_no_archive_is_refused(shop: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.tar").write_bytes(b"\x1f\x8bnot really")
    with pytest.raises(ProviderError, match="Archive not readable"):
        shop.create(name=shop.name(), archive="bad.tar")


def test_import_and_data(shop: Any) -> None:
    name = shop.name()
    shop.bench.cli("tag", shop.bench.image_id, shop.full(name))
    try:
        identity = shop.bench.identity("image.x")
        taken = shop.kind.import_object(shop.context(identity), name)
        assert (taken["name"], taken["id"]) == (name, shop.bench.image_id)
        assert shop.read(identity, taken)["id"] == shop.bench.image_id
        told = shop.kind.read_data(shop.bench.reading(), {"name": name})
        assert told["id"] == shop.bench.image_id
        shop.delete(identity, taken)
        assert not shop.has(name)
        assert shop.has(shop.bench.image)
    finally:
        shop.bench.cli("rmi", name, check=False)
    with pytest.raises(ProviderError, match="Image not found"):
        shop.kind.import_object(shop.context(identity), name)


def test_packages(shop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    wish = {
        "name": shop.name(),
        "packages": {
            "suite": "bookworm",
            "variant": "extract",
            "include": ["busybox-static"],
            "files": {"/etc/it's": "here\n"},
        },
        "config": {"cmd": ["/bin/busybox", "cat", "/etc/it's"]},
    }
    identity, made = shop.create(**wish)
    assert shop.run(made["id"]) == "here"
    assert shop.changed(identity, made, **wish) == {}
    monkeypatch.setattr(shutil, "which", lambda *a, **k: None)
    _, again = shop.create(**(wish | {"name": shop.name()}))
    assert shop.run(again["id"]) == "here"
    with pytest.raises(ProviderError, match="mmdebstrap is not installed"):
        shop.create(name=shop.name(), packages={"suite": "bookworm"})
