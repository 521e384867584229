"""The ``command`` kind, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hythe.planner.diff import compare
from hythe.provider.connection.local import LocalHost
from hythe.provider.host.command import Command
from hythe.provider.protocol import Context, Identity, Presence, Project, ProviderError, ReadContext, ReadRequest
from hythe.provider.schema import Effect, schema_of

KIND = Command()


class Place:
    """A command and the world around it."""

    def __init__(self, folder: Path) -> None:
        self.host = LocalHost()
        self.identity = Identity("lineage", "command.x", "id")
        self.project = Project("p", "abc", str(folder))
        self.folder = folder

    def wish(self, **arguments: Any) -> dict[str, Any]:
        decoded, problems = schema_of(KIND.model).decode(
            {k: v.replace("DIR", str(self.folder)) if isinstance(v, str) else v for k, v in arguments.items()}
        )
        assert not problems
        return decoded

    def context(self) -> Context:
        return Context(
            self.host,
            self.host,
            self.identity,
            lambda r: None,
            lambda t: None,
            lambda: None,  # type: ignore[arg-type,return-value]
            str(self.folder),
            self.project,
            {},
            lambda a, b: None,
        )

    def read(self, attributes: dict[str, Any]) -> Any:
        reading = ReadContext(self.host, self.host, "lineage", str(self.folder), self.project)
        return KIND.read_many(reading, [ReadRequest("id", "command.x", attributes)])["id"]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_it_is_done_once_looked_at_and_taken_away(place: Place) -> None:
    wish = place.wish(create="echo made; touch DIR/a", check="test -e DIR/a", delete="rm DIR/a")
    made = KIND.create(place.context(), wish)
    assert made["stdout"] == "made\n"
    assert compare(KIND, made, wish) == []
    assert place.read(made) == made
    (place.folder / "a").unlink()
    assert place.read(made) is Presence.ABSENT
    KIND.create(place.context(), wish)
    KIND.delete(place.context(), made)
    assert not (place.folder / "a").exists()
    KIND.delete(place.context(), made)


def test_what_is_there_already_is_left_alone(place: Place) -> None:
    (place.folder / "a").touch()
    wish = place.wish(create="echo ran > DIR/ran; touch DIR/a", check="test -e DIR/a")
    KIND.create(place.context(), wish)
    assert not (place.folder / "ran").exists()


def test_values_reach_it_as_they_are(place: Place) -> None:
    value = "a'b\"c $HOME; `id`"
    wish = place.wish(
        create='printf %s "$NAME-$SECRET" > out; cat >> out; pwd',
        environment={"NAME": value},
        secrets={"SECRET": "s"},
        directory="DIR",
        stdin="in",
    )
    made = KIND.create(place.context(), wish)
    assert (place.folder / "out").read_text() == f"{value}-sin"
    assert made["stdout"].strip() == str(place.folder)


def test_changes(place: Place) -> None:
    before = KIND.create(place.context(), place.wish(create="echo one"))
    after = place.wish(create="echo two", update="echo changed")
    changes = compare(KIND, before, after)
    assert {c.effect for c in changes} == {Effect.LIVE}
    made = KIND.update(place.context(), before, after, [c.name for c in changes])
    assert made["stdout"] == "changed\n"
    only = place.wish(create="echo two", update="echo changed", delete="true")
    assert KIND.update(place.context(), made, only, ["delete"])["stdout"] == "changed\n"
    [change] = compare(KIND, made, after | {"triggers": {"a": "1"}})
    assert change.effect is Effect.REPLACE


def test_failures_show_the_last_words(place: Place) -> None:
    with pytest.raises(ProviderError, match=r"code 3 on local:\n  no luck"):
        KIND.create(place.context(), place.wish(create="echo no luck >&2; exit 3"))
    with pytest.raises(ProviderError, match="Command had no effect"):
        KIND.create(place.context(), place.wish(create="true", check="false"))
    with pytest.raises(ProviderError, match="did not end within"):
        KIND.create(place.context(), place.wish(create="sleep 5", timeout="200ms"))
    with pytest.raises(ProviderError, match="cannot be imported"):
        KIND.import_object(place.context(), "x")
