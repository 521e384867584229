"""The volume kind on real engines, argument by argument."""

from __future__ import annotations

import io
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hythe.planner.diff import compare
from hythe.planner.inputs import RecordingReader
from hythe.provider.container import usage
from hythe.provider.container.client import EngineError
from hythe.provider.container.volume import Volume
from hythe.provider.container.volume_seed import HELPER
from hythe.provider.protocol import Attributes, PrepareContext, Presence, Project, ProviderError, ReadRequest

KIND = Volume()


class Made:
    """Volumes made through the kind, removed at the end."""

    def __init__(self, bench: Any, folder: Path) -> None:
        self.bench, self.folder = bench, folder
        self.names: list[str] = []

    def wish(self, **arguments: Any) -> Attributes:
        out, problems = KIND.schema.decode(arguments)
        assert problems == []
        project = Project("live", "abcd", str(self.folder))
        reader = RecordingReader(str(self.folder))
        out, found = KIND.prepare(out, PrepareContext(reader, project, str(self.folder), "data", None, {}))
        assert found == []
        return out

    def __call__(self, identity: Any = None, **arguments: Any) -> tuple[Any, Attributes]:
        arguments.setdefault("name", self.bench.name("vol"))
        self.names.append(arguments["name"])
        identity = identity or self.bench.identity("volume.x")
        context = self.bench.context(identity, base_dir=str(self.folder))
        return identity, KIND.create(context, self.wish(**arguments))

    def changed(self, identity: Any, made: Attributes, **arguments: Any) -> dict[str, bool]:
        found = compare(KIND, observed(self.bench, identity, made), self.wish(name=made["name"], **arguments))
        return {c.name: c.data_loss for c in found}


@pytest.fixture
def make(bench: Any, tmp_path: Path) -> Iterator[Made]:
    made = Made(bench, tmp_path)
    yield made
    for name in made.names:
        bench.cli("volume", "rm", "-f", name, check=False)


def observed(bench: Any, identity: Any, attributes: Attributes) -> Any:
    return KIND.read_many(bench.reading(), [ReadRequest(identity.id, "volume.x", attributes)])[identity.id]


TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "noexec"}
CASES: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, bool]]] = [
    ("default", {}, {"labels": {"a": "b"}}, {"labels": True}),
    ("driver", {"driver": "local"}, {"driver": "other"}, {"driver": True}),
    ("labels", {"labels": {"team": "shop"}}, {"labels": {"team": "web"}}, {"labels": True}),
    (
        "driver_options",
        {"driver_options": TMPFS},
        {"driver_options": TMPFS | {"o": "nosuid"}},
        {"driver_options": True},
    ),
    ("protected", {"protected": True}, {"protected": False}, {"protected": False}),
    ("allow_data_loss", {}, {"allow_data_loss": True}, {"allow_data_loss": False}),
]


@pytest.mark.parametrize(("before", "after", "differ"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_is_made_is_what_is_read_and_changes_show(
    bench: Any, make: Made, before: dict[str, Any], after: dict[str, Any], differ: dict[str, bool]
) -> None:
    identity, made = make(**before)
    assert make.changed(identity, made, **before) == {}
    assert make.changed(identity, made, **after) == differ
    if not any(differ.values()):
        made = KIND.update(bench.context(identity), made, make.wish(name=made["name"], **after), list(differ))
        assert make.changed(identity, made, **after) == {}
    KIND.delete(bench.context(identity), made)
    assert observed(bench, identity, made) is Presence.ABSENT
    KIND.delete(bench.context(identity), made)


def content(bench: Any, volume: str, path: str) -> str:
    return str(bench.cli("run", "--rm", "--network", "none", "-v", f"{volume}:/v", bench.image, "cat", f"/v/{path}"))


def test_seeded_from_a_folder(bench: Any, make: Made, tmp_path: Path) -> None:
    (tmp_path / "seed" / "conf.d").mkdir(parents=True)
    (tmp_path / "seed" / "conf.d" / "app.conf").write_text("one")
    (tmp_path / "seed" / "link").symlink_to("conf.d/app.conf")
    seed = {"source": "seed", "uid": 65534, "gid": 65534}
    identity, made = make(seed=seed)
    assert content(bench, made["name"], "link") == "one"
    owner = os.stat(Path(made["mountpoint"]) / "conf.d" / "app.conf")
    assert (owner.st_uid, owner.st_gid) == (65534, 65534)
    assert make.changed(identity, made, seed=seed) == {}
    (tmp_path / "seed" / "conf.d" / "app.conf").write_text("two")
    assert make.changed(identity, made, seed=seed) == {"content_hash": True}
    assert make.changed(identity, made) == {"seed": True}
    assert_no_helpers(bench, identity)


def test_seeded_from_an_archive(bench: Any, make: Made, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "seed.tar.gz", "w:gz") as tar:
        entry = tarfile.TarInfo("hello")
        entry.size, entry.uid = 5, 1234
        tar.addfile(entry, io.BytesIO(b"world"))
    identity, made = make(seed={"archive": "seed.tar.gz"})
    assert content(bench, made["name"], "hello") == "world"
    assert os.stat(Path(made["mountpoint"]) / "hello").st_uid == 1234
    assert_no_helpers(bench, identity)


@pytest.mark.parametrize("name", ["../out", "/etc/passwd"])
def test_an_archive_that_leads_out_is_refused_and_nothing_stays(
    bench: Any, make: Made, tmp_path: Path, name: str
) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(ProviderError, match="Unsafe archive"):
        make(seed={"archive": "bad.tar"})
    with pytest.raises(EngineError):
        bench.engine.request("GET", f"/volumes/{make.names[0]}")


def assert_no_helpers(bench: Any, identity: Any) -> None:
    wanted = {"filters": {"label": [f"{HELPER}={identity.id}"]}}
    assert bench.engine.request("GET", "/containers/json", query={"all": True, **wanted}).json() == []
    assert bench.engine.request("GET", "/images/json", query=wanted).json() == []


def test_a_foreign_volume_of_that_name_is_left_alone(bench: Any, make: Made) -> None:
    name = bench.name("taken")
    bench.cli("volume", "create", name)
    with pytest.raises(ProviderError, match="Name already taken"):
        make(name=name)
    assert bench.cli("volume", "inspect", name)


def test_creating_again_takes_up_what_is_there(bench: Any, make: Made) -> None:
    identity, first = make()
    _, second = make(identity=identity, name=first["name"])
    assert second == first


def test_made_again_behind_our_back_is_not_ours(bench: Any, make: Made) -> None:
    identity, made = make()
    bench.cli("volume", "rm", made["name"])
    assert observed(bench, identity, made) is Presence.ABSENT
    bench.cli("volume", "create", made["name"])
    assert observed(bench, identity, made) is Presence.ABSENT
    KIND.delete(bench.context(identity), made)
    assert bench.cli("volume", "inspect", made["name"])


def test_protected_is_never_deleted(bench: Any, make: Made) -> None:
    identity, made = make(protected=True)
    with pytest.raises(ProviderError, match="Protected volume"):
        KIND.delete(bench.context(identity), made)
    assert observed(bench, identity, made) is not Presence.ABSENT


def test_a_used_volume_is_kept_and_its_user_is_named(bench: Any, make: Made) -> None:
    identity, made = make()
    user = bench.name("user")
    bench.cli("create", "--name", user, "-v", f"{made['name']}:/v", bench.image, "sleep", "1")
    try:
        with pytest.raises(ProviderError, match=user):
            KIND.delete(bench.context(identity), made)
    finally:
        bench.cli("rm", "-f", user)


def test_a_user_that_is_just_going_is_waited_for(bench: Any, make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine lists a container no longer and has not yet let go of its volume, as after a killed destroy."""
    identity, made = make()
    user = bench.name("user")
    bench.cli("create", "--name", user, "-v", f"{made['name']}:/v", bench.image, "sleep", "1")
    monkeypatch.setattr(usage, "containers", lambda engine, **filters: [])
    going = threading.Timer(1, bench.cli, ["rm", "-f", user])
    going.start()
    try:
        KIND.delete(bench.context(identity), made)
    finally:
        going.join()
    assert observed(bench, identity, made) is Presence.ABSENT


def test_found_by_mark_and_unfinished_when_seeded(bench: Any, make: Made) -> None:
    identity, made = make()
    requests = [
        ReadRequest(identity.id, "volume.x", {"name": made["name"]}),
        ReadRequest("nobody", "volume.y", {"name": "y"}),
    ]
    found = KIND.find(bench.reading(), requests)
    assert list(found) == [identity.id]
    assert found[identity.id].complete
    seeded = ReadRequest(identity.id, "volume.x", {"name": made["name"], "seed": {"source": "s"}})
    assert not KIND.find(bench.reading(), [seeded])[identity.id].complete
    assert identity in [o.identity for o in KIND.find_owned(bench.reading())]


def test_import_and_data(bench: Any, make: Made) -> None:
    name = bench.name("import")
    make.names.append(name)
    bench.cli("volume", "create", "--label", "a=b", name)
    identity = bench.identity("volume.x")
    taken = KIND.import_object(bench.context(identity), name)
    assert make.changed(identity, taken, labels={"a": "b"}) == {}
    told = KIND.read_data(bench.reading(), {"name": name})
    assert (told["driver"], told["labels"]) == ("local", {"a": "b"})
    KIND.delete(bench.context(identity), taken)
    assert observed(bench, identity, taken) is Presence.ABSENT
    with pytest.raises(ProviderError, match="Volume not found"):
        KIND.import_object(bench.context(identity), name)
