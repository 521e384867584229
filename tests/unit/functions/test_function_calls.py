"""The rules that every call follows: unknowns, marks, secrets in messages, and the injected world."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hythe.modules.language.functions import registry
from hythe.value import (
    ANY,
    BOOL,
    EPHEMERAL,
    NUMBER,
    SENSITIVE,
    STRING,
    List,
    Map,
    Marked,
    Null,
    Sensitive,
    Unknown,
    list_of,
    mark,
    parse_type_text,
)


class Files:
    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def read(self, path: str) -> bytes:
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]

    def exists(self, path: str) -> bool:
        return path in self.files

    def glob(self, base: str, pattern: str) -> list[str]:
        return [name.removeprefix(base + "/") for name in self.files if name.startswith(base + "/")]


class Zeros:
    def bytes(self, count: int) -> bytes:
        return bytes(count)


ENV = registry.Environment(
    reader=Files({"/p/a.txt": b"hello", "/p/bin": b"\xff", "/p/d/b.txt": b"x", "/p/d/e/c.md": b"y"}),
    base_dir="/p",
    now=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
    random=Zeros(),
)


def call(name: str, *args: Any) -> Any:
    return registry.call(name, args, ENV)


def test_unknown_arguments_give_an_unknown_result() -> None:
    assert call("upper", Unknown(STRING)) == Unknown(STRING)
    assert call("upper", Unknown(NUMBER)) == Unknown(STRING)
    assert call("jsondecode", Unknown(STRING)) == Unknown(ANY)
    assert call("split", ",", Unknown(ANY)) == Unknown(list_of(STRING))
    assert call("concat", (1,), Unknown(list_of(NUMBER))) == Unknown(ANY)


def test_some_functions_know_more_than_their_arguments() -> None:
    assert call("length", (Unknown(ANY), Unknown(ANY))) == 2
    assert call("length", Unknown(parse_type_text("object({a = string})"))) == 1
    assert call("startswith", Unknown(STRING), "") is True
    assert call("anytrue", (Unknown(BOOL), True)) is True
    assert call("alltrue", (Unknown(BOOL), True)) == Unknown(BOOL)
    assert call("contains", (Unknown(STRING), "a"), "a") is True
    assert call("contains", (Unknown(STRING), "a"), "b") == Unknown(BOOL)
    assert call("keys", Unknown(parse_type_text("object({a = string})"))) == ("a",)
    assert call("distinct", (Unknown(STRING), "a")) == Unknown(list_of(STRING))


@pytest.mark.parametrize(
    ("name", "args", "want"),
    [
        ("tolist", (Unknown("set(string)"),), Unknown("list(any)")),
        ("toset", (Unknown("list(string)"),), Unknown("set(any)")),
        ("sort", (("b", Unknown("string")),), [Unknown("string"), Unknown("string")]),
        ("sort", (Unknown("list(string)"),), Unknown("list(string)")),
        ("formatlist", ("%s%s", ("a", "b"), Unknown("tuple([string, string])")), Unknown("list(string)")),
        ("formatlist", ("%s", Unknown("string")), [Unknown("string")]),
        ("formatlist", ("%s", Unknown("list(string)")), Unknown("list(string)")),
        ("coalescelist", ((), Unknown("list(string)")), Unknown("any")),
    ],
)
def test_how_much_stays_known(name: str, args: tuple[object, ...], want: object) -> None:
    assert registry.call(name, args, registry.Environment()) == want


def test_an_unknown_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(registry.FunctionError):
        call("upper", Unknown(list_of(STRING)))


def test_marks_of_the_arguments_are_on_the_result() -> None:
    assert call("upper", Sensitive("a")) == Sensitive("A")
    assert call("join", ",", (Sensitive("a"), "b")) == Sensitive("a,b")
    both = call("format", "%s%s", Sensitive("a"), mark("b", frozenset({EPHEMERAL})))
    assert both == Marked("ab", frozenset({SENSITIVE, EPHEMERAL}))
    assert call("upper", Sensitive(Unknown(STRING))) == Sensitive(Unknown(STRING))


def test_marks_stay_on_elements_where_functions_only_move_them() -> None:
    assert call("concat", (1,), (Sensitive(2),)) == (1, Sensitive(2))
    assert call("merge", {"a": Sensitive(1)}, {"b": 2}) == {"a": Sensitive(1), "b": 2}
    assert call("reverse", ("a", Sensitive("b"))) == (Sensitive("b"), "a")
    assert call("values", {"a": Sensitive(1)}) == (Sensitive(1),)
    assert call("length", (Sensitive(1),)) == 1
    assert call("lookup", {"a": 1, "b": Sensitive(2)}, "a") == 1
    assert call("toset", (Sensitive("b"), "a")) == Sensitive(["a", "b"])


def test_marks_survive_the_unknown() -> None:
    assert call("element", Sensitive(List([1], NUMBER)), Unknown(NUMBER)) == Sensitive(Unknown(NUMBER))


def test_secret_values_stand_in_no_message() -> None:
    for name, args in [
        ("parseint", (Sensitive("hunter2"), 10)),
        ("tobool", (Sensitive("hunter2"),)),
        ("tonumber", (Sensitive("hunter2"),)),
        ("lookup", (Map({"a": "b"}, STRING), Sensitive("hunter2"))),
        ("regex", (Sensitive("(hunter2"), "x")),
        ("file", (Sensitive("hunter2"),)),
        ("urldecode", (Sensitive("%hunter2"),)),
        ("formatdate", (Sensitive("hunter2"), "2018-01-02T23:12:01Z")),
    ]:
        with pytest.raises(registry.FunctionError) as caught:
            call(name, *args)
        assert "hunter" not in caught.value.message
        assert "%hu" not in caught.value.message


def test_marks_can_be_put_on_and_taken_off() -> None:
    assert call("sensitive", 1) == Sensitive(1)
    assert call("nonsensitive", Sensitive(1)) == 1
    assert call("nonsensitive", 1) == 1
    assert call("issensitive", Sensitive(1)) is True
    assert call("issensitive", 1) is False
    secret = mark("x", frozenset({EPHEMERAL}))
    assert call("ephemeralasnull", {"a": secret, "b": 1}) == {"a": Null(STRING), "b": 1}


def test_files_come_from_the_reader() -> None:
    assert call("file", "a.txt") == "hello"
    assert call("file", "/p/d/../a.txt") == "hello"
    assert call("filebase64", "bin") == "/w=="
    assert call("filemd5", "a.txt") == "5d41402abc4b2a76b9719d911017c592"
    assert call("fileexists", "a.txt") is True
    assert call("fileexists", "none") is False
    with pytest.raises(registry.FunctionError, match="UTF-8"):
        call("file", "bin")


def test_fileset_matches_patterns() -> None:
    assert call("fileset", ".", "*.txt") == ["a.txt"]
    assert call("fileset", ".", "**/*.txt") == ["a.txt", "d/b.txt"]
    assert call("fileset", ".", "**") == ["a.txt", "bin", "d/b.txt", "d/e/c.md"]
    assert call("fileset", "d", "{b,c}.*") == ["b.txt"]
    assert call("fileset", ".", "d/[a-c].tx?") == ["d/b.txt"]
    with pytest.raises(registry.FunctionError, match="pattern"):
        call("fileset", ".", "[")


def test_time_and_randomness_are_injected() -> None:
    assert call("timestamp") == "2026-03-04T05:06:07Z"
    assert call("plantimestamp") == "2026-03-04T05:06:07Z"
    assert call("uuid") == "00000000-0000-4000-8000-000000000000"
    planning = registry.Environment(unknown_impure=True)
    for name in ("timestamp", "uuid"):
        assert registry.call(name, [], planning) == Unknown(STRING)
    assert registry.call("bcrypt", ["x"], planning) == Unknown(STRING)


def test_template_variables_need_proper_names() -> None:
    with pytest.raises(registry.FunctionError, match="variable name"):
        call("templatestring", "x", {"1": "a"})
    with pytest.raises(registry.FunctionError, match="must be a map"):
        call("templatestring", "x", "a")


def test_templates_go_to_the_evaluator() -> None:
    seen = []

    def evaluate(source: str, filename: str, variables: dict[str, Any]) -> Any:
        seen.append((source, filename, variables))
        return "done"

    env = registry.Environment(reader=ENV.reader, base_dir="/p", evaluate_template=evaluate)
    assert registry.call("templatefile", ["a.txt", {"n": 1}], env) == "done"
    assert seen == [("hello", "a.txt", {"n": 1})]
    deep = env
    for _ in range(50):
        deep = deep.within_template()
    with pytest.raises(registry.FunctionError, match="deep"):
        registry.call("templatefile", ["a.txt", {}], deep)


def test_deep_nesting_is_an_error_and_no_crash() -> None:
    with pytest.raises(registry.FunctionError):
        call("jsondecode", "[" * 100_000)
