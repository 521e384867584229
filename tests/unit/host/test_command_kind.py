"""The command kind, run on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hythe.planner.diff import compare
from hythe.provider.connection.local import LocalHost
from hythe.provider.host.command import Command
from hythe.provider.protocol import Context, Identity, Presence, Project, ProviderError, ReadContext, ReadRequest
from hythe.provider.registry import Registry
from hythe.provider.schema import Effect
from hythe.value import Unknown

KIND = Command()
PROJECT = Project("p", "s", "/conf")


def context() -> Context:
    def none(*unused: Any) -> Any:
        return None

    host = LocalHost()
    mark = Identity("lineage", "command.x", "id1")
    return Context(host, host, mark, none, none, none, "/conf", PROJECT, {}, none)


def reading() -> ReadContext:
    host = LocalHost()
    return ReadContext(host, host, "lineage", "/conf", PROJECT)


def wish(**arguments: Any) -> dict[str, Any]:
    attributes, problems = KIND.schema.decode(arguments)
    assert problems == []
    return attributes


def seen(attributes: dict[str, Any]) -> Any:
    return KIND.read_many(reading(), [ReadRequest("id1", "command.x", attributes)])["id1"]


def refused(**arguments: Any) -> tuple[str, str]:
    with pytest.raises(ProviderError) as failure:
        KIND.create(context(), wish(**arguments))
    [told] = failure.value.diagnostics
    return told.summary, told.detail


def test_it_is_registered() -> None:
    assert isinstance(Registry().kind("command"), Command)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "required"),
        ({"create": ""}, "this is empty"),
        ({"create": []}, "write a script"),
        ({"create": [""]}, "write a script"),
        ({"create": {"a": "b"}}, "write a script"),
        ({"create": ["a", ["b"]]}, "each word"),
        ({"create": "a\0b"}, "NUL"),
        ({"create": "a", "environment": {"A B": "c"}}, "is not the name of an environment variable"),
        ({"create": "a", "directory": "x"}, "is not an absolute path"),
        ({"create": "a", "user": "x; id"}, "is not the name of a user"),
        ({"create": "a", "timeout": "0s"}, "longer than nothing"),
        ({"create": "a", "exit_codes": []}, "one or more codes"),
        ({"create": "a", "exit_codes": [256]}, "one or more codes"),
        ({"create": "a", "environment": {"A": "1"}, "sensitive_environment": {"A": "2"}}, "both set A"),
    ],
)
def test_mistakes_are_told(arguments: dict[str, Any], words: str) -> None:
    _, problems = KIND.schema.decode(arguments)
    assert [words in text for _, text in problems] == [True]


def test_arguments_in_their_one_form() -> None:
    assert wish(create=["echo", 5, True]) == {"create": ["echo", "5", "true"], "timeout": "30m"}
    given, problems = KIND.schema.decode({"create": ["echo", Unknown("string")]})
    assert problems == []
    assert isinstance(given["create"][1], Unknown)


def test_only_triggers_and_the_host_replace() -> None:
    before = wish(create="a", triggers={"a": "1"}, environment={"A": "1"})
    after = wish(create="b", triggers={"a": "1"}, environment={"A": "2"})
    assert {c.name: c.effect for c in compare(KIND, before, after)} == {
        "create": Effect.LIVE,
        "environment": Effect.LIVE,
    }
    assert [c.effect for c in compare(KIND, before, before | {"triggers": {"a": "2"}})] == [Effect.REPLACE]


def test_words_and_settings_come_as_they_are(tmp_path: Path) -> None:
    words = ["printf", "%s|", "a b", "$HOME", "it's", "*", ""]
    made = KIND.create(context(), wish(create=words))
    assert (made["stdout"], made["exit_code"]) == ("a b|$HOME|it's|*||", 0)
    tricky = 'it\'s $HOME `id`\n"two" lines\n'
    made = KIND.create(
        context(),
        wish(
            create='printf "%s" "$A" >a; printf "%s" "$folder" >>a; cat >b; pwd',
            environment={"A": tricky, "folder": "f"},
            directory=str(tmp_path),
            stdin="first\nsecond",
        ),
    )
    assert made["stdout"].strip() == os.path.realpath(tmp_path)
    assert (tmp_path / "a").read_text() == tricky + "f"
    assert (tmp_path / "b").read_text() == "first\nsecond"


def test_secrets_are_neither_listed_nor_shown(tmp_path: Path) -> None:
    # `ps` shows all processes' arguments: what the command's own and those above it were started with
    script = 'echo "token $TOKEN"; p=$$; while [ $p -gt 1 ]; do tr "\\0" " " </proc/$p/cmdline; '
    script += "p=$(sed -n 's/^PPid:.//p' /proc/$p/status); done; exit 3"
    summary, detail = refused(create=script, sensitive_environment={"TOKEN": "hunter2-hunter2"})
    assert summary == "Command failed"
    made = KIND.create(
        context(), wish(create=script, sensitive_environment={"TOKEN": "hunter2-hunter2"}, exit_codes=[0, 3])
    )
    assert made["exit_code"] == 3
    assert made["stdout"].startswith("token (sensitive value)\n")
    for text in (detail, made["stdout"]):
        assert "hunter2" not in text
    # once, in what it printed itself: not in any list of arguments
    assert made["stdout"].count("(sensitive value)") == 1


def test_another_user() -> None:
    made = KIND.create(context(), wish(create='id -un; echo "$HOME $USER"', user="nobody"))
    assert made["stdout"].split() == ["nobody", os.path.expanduser("~nobody"), "nobody"]
    assert "no-such-user" in refused(create="true", user="no-such-user")[1]


def test_failures_say_what_the_command_said() -> None:
    summary, detail = refused(create="for i in $(seq 30); do echo line $i; done; echo bad >&2; exit 4")
    assert summary == "Command failed"
    assert "ended with code 4" in detail
    assert "\n  bad\n" in detail
    summary, detail = refused(create="for i in $(seq 30); do echo line $i; done; exit 4")
    assert "line 19\n" in detail
    assert "line 18\n" not in detail
    assert "The program is not there" in refused(create=["no-such-program"])[1]
    assert "and printed nothing." in refused(create="exit 1", directory="/")[1]
    assert "can't cd to /no/such" in refused(create="true", directory="/no/such")[1]
    summary, detail = refused(create="echo begun; sleep 30", timeout="1s")
    assert summary == "Command took too long"
    assert "begun" in detail


def test_a_check_decides(tmp_path: Path) -> None:
    mark, log = tmp_path / "mark", tmp_path / "log"
    wanted = wish(create=f"echo ran >>{log}; touch {mark}", check=["test", "-e", str(mark)], delete=f"rm {mark}")
    made = KIND.create(context(), wanted)
    assert log.read_text() == "ran\n"
    assert seen(made) == made
    # it is so already, after a killed run as well: nothing is done
    assert "stdout" not in KIND.create(context(), wanted)
    assert log.read_text() == "ran\n"
    found = KIND.find(reading(), [ReadRequest("id1", "command.x", wanted)])
    assert found["id1"].complete
    changed = wanted | {"create": f"touch {mark}; echo other >>{log}"}
    assert KIND.update(context(), made, changed, ["create"]) == changed | {"stdout": "", "exit_code": 0}
    assert log.read_text() == "ran\n"
    mark.unlink()
    assert seen(made) is Presence.ABSENT
    assert KIND.find(reading(), [ReadRequest("id1", "command.x", wanted)]) == {}
    KIND.create(context(), changed)
    assert log.read_text() == "ran\nother\n"
    KIND.delete(context(), changed)
    assert not mark.exists()
    KIND.delete(context(), changed)
    with pytest.raises(ProviderError, match="`delete` on local ended with code 1"):
        KIND.delete(context(), wish(create="true", delete="false"))


def test_a_check_that_stays_unsatisfied_is_told() -> None:
    assert refused(create="true", check="false")[0] == "Command did not bring it about"
    with pytest.raises(ProviderError) as failure:
        KIND.create(context(), wish(create="exit 2", delete="true"))
    # so that `delete` takes back what was done before the next attempt
    assert failure.value.partial is not None


def test_a_check_that_hangs_is_a_warning() -> None:
    known = wish(create="true", check="sleep 30", timeout="1s")
    looking = reading()
    requests = [ReadRequest("id1", "command.x", known), ReadRequest("id2", "command.y", wish(create="true"))]
    assert KIND.read_many(looking, requests) == {"id1": known, "id2": requests[1].attributes}
    assert [(d.summary, d.address) for d in looking.notices] == [("Command took too long", "command.x")]


def test_without_a_check_it_runs_once_and_on_changes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    wanted = wish(create=f"echo $A >>{log}", environment={"A": "1"})
    made = KIND.create(context(), wanted)
    assert seen(made) == made
    other = wanted | {"environment": {"A": "2"}}
    KIND.update(context(), made, other, ["environment", "stdout", "exit_code"])
    assert log.read_text() == "1\n2\n"
    made = KIND.update(context(), made, other | {"timeout": "1m", "delete": "true"}, ["timeout", "delete"])
    KIND.update(context(), made, other | {"update": "false"}, ["update"])
    assert log.read_text() == "1\n2\n"
    made = KIND.update(context(), made, other | {"update": f"echo up >>{log}", "stdin": "x"}, ["update", "stdin"])
    assert log.read_text() == "1\n2\nup\n"
    KIND.delete(context(), made)


def test_as_data_and_imported() -> None:
    given, problems = KIND.data_schema.decode({"read": "echo $((6 * 7))"})
    assert problems == []
    assert KIND.read_data(reading(), given)["stdout"] == "42\n"
    with pytest.raises(ProviderError, match="ended with code 1"):
        KIND.read_data(reading(), given | {"read": "false"})
    assert KIND.import_object(context(), "true") == wish(create="true")
