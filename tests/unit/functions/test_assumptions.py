"""What is assumed of a value, and what is said when it does not hold."""

from __future__ import annotations

from typing import Any

import pytest

from hythe.modules.language.functions import registry
from hythe.modules.language.types import type_of
from hythe.value import EPHEMERAL, NUMBER, STRING, List, Map, Null, Sensitive, Set, Unknown, Value, mark

ENV = registry.Environment()
LATER, WORD, WORDS = Unknown("any"), Unknown("string"), Unknown("list(string)")


def call(name: str, *args: Value) -> Value:
    return registry.call(name, args, ENV)


@pytest.mark.parametrize(
    ("name", "args", "want"),
    [
        ("assumeequal", ("a", "a"), "a"),
        ("assumeequal", ("5", 5), 5),
        ("assumeequal", (("a",), List(["a"], STRING)), List(["a"], STRING)),
        ("assumeequal", ({"a": 1, "b": 2}, {"a": "1"}), {"a": "1"}),
        ("assumeequal", (None, None), None),
        ("assumeequal", (Null(STRING), Null(STRING)), Null(STRING)),
        ("assumeequal", (LATER, "a"), "a"),
        ("assumeequal", (WORD, 5), 5),
        ("assumeequal", (("a", WORD), ("a", "b")), ("a", "b")),
        ("assumeequal", ("a", WORD), WORD),
        ("assumeequal", ("a", LATER), LATER),
        ("assumeequal", (Sensitive("a"), "a"), "a"),
        ("assumeequal", (mark(WORD, frozenset({EPHEMERAL})), "a"), "a"),
        ("assumeequal", ("a", Sensitive("a")), Sensitive("a")),
        ("assumenotnull", ("a",), "a"),
        ("assumenotnull", (LATER,), LATER),
        ("assumenotnull", ((Sensitive("a"), None),), (Sensitive("a"), None)),
        ("assumenotnull", (Sensitive(WORD),), Sensitive(WORD)),
        ("assumestringprefix", ("web-1", "web-"), "web-1"),
        ("assumestringprefix", (10, 1), "10"),
        ("assumestringprefix", (LATER, "web-"), WORD),
        ("assumestringprefix", ("web-1", LATER), "web-1"),
        ("assumestringprefix", (Sensitive("web-1"), "web-"), Sensitive("web-1")),
        ("assumelistlength", ((1, 2), 2, 2), List([1, 2], NUMBER)),
        ("assumelistlength", ((1, "a"), 0, 5), List(["1", "a"], STRING)),
        ("assumelistlength", (WORDS, 2, 2), WORDS),
        ("assumelistlength", (LATER, 1, 2), Unknown("list(any)")),
        ("assumelistlength", ((1,), LATER, LATER), List([1], NUMBER)),
        ("assumelistlength", ((), 0, 0), List([])),
        ("assumelistlengthmin", ((WORD, "a"), 2), List([WORD, "a"], STRING)),
        ("assumelistlengthmin", ((Sensitive("a"),), "1"), List([Sensitive("a")], STRING)),
        ("assumelistlengthmin", (("a",), Sensitive(1)), Sensitive(List(["a"], STRING))),
        ("assumelistlengthmin", (Set(["a"], STRING), 1), List(["a"], STRING)),
        ("assumelistlengthmax", (Sensitive(("a",)), 1), Sensitive(List(["a"], STRING))),
        ("assumesetlength", ((1, 2, 1), 1, 2), Set([1, 2], NUMBER)),
        ("assumesetlength", ((WORD, WORD), 2, 2), Set([WORD, WORD], STRING)),
        ("assumesetlengthmin", (WORDS, 9), Unknown("set(string)")),
        ("assumesetlengthmax", ((WORD, WORD, "a"), 1), Set(["a", WORD, WORD], STRING)),
        ("assumemaplength", ({"a": 1, "b": "c"}, 2, 2), Map({"a": "1", "b": "c"}, STRING)),
        ("assumemaplengthmin", ({"a": WORD}, 1), Map({"a": WORD}, STRING)),
        ("assumemaplengthmax", (LATER, 1), Unknown("map(any)")),
    ],
)
def test_what_holds_or_may_hold(name: str, args: tuple[Any, ...], want: Value) -> None:
    got = call(name, *args)
    assert got == want
    assert type_of(got) is type_of(want)


@pytest.mark.parametrize(
    ("name", "args", "index", "part"),
    [
        ("assumeequal", ("a", "b"), 0, '"a" was assumed to be equal to "b"'),
        ("assumeequal", (5, 6), 0, "assumed to be equal to the second argument"),
        ("assumeequal", ("a", 5), 0, "a number is required"),
        ("assumeequal", (WORDS, "a"), 0, "a string is required"),
        ("assumeequal", (({"n": "x"},), ({"n": 1},)), 0, 'element 0: "n": a number is required'),
        ("assumeequal", (("a", WORD), ("b", "c")), 0, "equal to the second"),
        ("assumeequal", (None, "a"), 0, "equal to the second"),
        ("assumeequal", ("a", None), 0, "equal to the second"),
        ("assumenotnull", (None,), 0, "must not be null"),
        ("assumenotnull", (Sensitive(Null(STRING)),), 0, "must not be null"),
        ("assumestringprefix", ("a", "b"), 0, '"a" was assumed to begin with "b"'),
        ("assumestringprefix", (None, "b"), 0, "must not be null"),
        ("assumestringprefix", ("a", None), 1, "must not be null"),
        ("assumestringprefix", (WORDS, "b"), 0, "a string is required"),
        ("assumelistlength", ((1, 2), 3, 4), 0, "its length was assumed to be at least 3, and is 2"),
        ("assumelistlength", ((1, 2), 0, 1), 0, "its length was assumed to be at most 1, and is 2"),
        ("assumelistlength", ((1, 2), LATER, 1), 0, "at most 1"),
        ("assumelistlength", (LATER, 2, 1), 2, "no length is at least 2 and at most 1"),
        ("assumelistlength", (None, 0, 1), 0, "must not be null"),
        ("assumelistlength", ((), 0, None), 2, "must not be null"),
        ("assumelistlengthmin", ("a", 1), 0, "a list of any single type is required"),
        ("assumelistlengthmin", ((), 1), 0, "and is 0"),
        ("assumelistlengthmax", ((1,), "1.5"), 1, "whole number"),
        ("assumesetlengthmin", ((1, 1), 2), 0, "at least 2, and is 1"),
        ("assumesetlengthmin", ((WORD, WORD), 3), 0, "and is 2"),
        ("assumesetlengthmax", ((WORD, "a", "b"), 1), 0, "and is 2"),
        ("assumesetlengthmax", ((WORD,), 0), 0, "and is 1"),
        ("assumemaplengthmax", ({"a": 1, "b": 2}, 1), 0, "at most 1, and is 2"),
        ("assumemaplengthmax", ("a", 1), 0, "a map of any single type is required"),
        ("assumelistlengthmin", ((1,),), None, 'missing "min"'),
    ],
)
def test_what_does_not(name: str, args: tuple[Any, ...], index: int | None, part: str) -> None:
    with pytest.raises(registry.FunctionError) as caught:
        call(name, *args)
    assert part in caught.value.message
    assert caught.value.argument_index == index


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("assumeequal", (Sensitive("abc"), "x")),
        ("assumeequal", ("x", Sensitive("abc"))),
        ("assumestringprefix", (Sensitive("abc"), "x")),
        ("assumelistlengthmin", (Sensitive((1, 2)), 77)),
    ],
)
def test_secrets_stand_in_no_message(name: str, args: tuple[Any, ...]) -> None:
    with pytest.raises(registry.FunctionError) as caught:
        call(name, *args)
    assert "(sensitive value)" in caught.value.message
    assert not any(part in caught.value.message for part in ("abc", "2", "77"))
