"""Values as text and as JSON."""

from __future__ import annotations

from decimal import Decimal

import pytest

from hythe.cli.views.json_values import dumps, plain, sensitive_parts, type_json, unknown_parts
from hythe.cli.views.lines import LineWriter
from hythe.cli.views.outputs import render_value
from hythe.cli.views.sensitive import MASK, hidden_tree, mask, mask_text
from hythe.cli.views.terminal import clean
from hythe.cli.views.values import Format, quote
from hythe.value import (
    NUMBER,
    STRING,
    Null,
    Reference,
    Sensitive,
    Unknown,
    list_of,
    object_of,
    tuple_of,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", '"a"'),
        ('q"\\', '"q\\"\\\\"'),
        ("${x} %{y}", '"$${x} %%{y}"'),
        ("\x1b[31mred", '"\\u001b[31mred"'),
        (True, "true"),
        (1, "1"),
        (Decimal("0.1000000000000000000000000001"), "0.1000000000000000000000000001"),
        (None, "null"),
        (Null(STRING), "null"),
        ([], "[]"),
        ({}, "{}"),
        ({"a": [1, 2], "b c": "x"}, '{ a = [1, 2], "b c" = "x" }'),
        (Unknown(STRING), "(known after apply)"),
        (Reference("image", "image.web", "id"), "image.web"),
        (Sensitive("hunter2"), MASK),
        ({"a": Sensitive("hunter2")}, "{ a = (sensitive value) }"),
        ("a\nb\n", "<<-EOT\n    a\n    b\nEOT"),
    ],
)
def test_values_as_text(value: object, text: str) -> None:
    assert render_value(value) == text


def test_quote_leaves_no_control_characters() -> None:
    text = quote("".join(map(chr, range(0xA0))))
    assert all(c.isprintable() for c in text)


def test_clean_text_does_not_steer_the_terminal() -> None:
    assert clean("a\x1b]0;title\x07b\r\n\tc") == "a\\x1b]0;title\\x07b\n\tc"


def lines(before: dict[str, object], after: dict[str, object], *hidden: tuple[str | int, ...]) -> list[str]:
    writer = LineWriter(Format())
    tree = hidden_tree(hidden)
    writer.difference(before, after, (tree, tree), 0)
    return writer.lines


def test_only_what_changes_is_shown() -> None:
    assert lines({"a": 1, "b": 2}, {"a": 1, "b": 3}) == ["~ b = 2 -> 3"]


def test_true_is_not_one() -> None:
    assert lines({"a": 1}, {"a": True}) == ["~ a = 1 -> true"]


def test_sensitive_values_stay_hidden_even_when_one_side_is_not_marked() -> None:
    writer = LineWriter(Format())
    writer.difference({"a": "hunter2"}, {"a": "hunter2"}, (False, hidden_tree([("a",)])), 0)
    assert writer.lines == ["~ a = (sensitive value) -> (sensitive value) (now sensitive or no longer so)"]


def test_sensitive_nested_values() -> None:
    assert lines({"a": {"x": "old"}}, {"a": {"x": "new"}}, ("a", "x")) == [
        "~ a = {",
        "    ~ x = (sensitive value) -> (new sensitive value)",
        "  }",
    ]


def test_long_strings_show_where_they_differ() -> None:
    (line,) = lines({"a": "x" * 300 + "1" + "y" * 300}, {"a": "x" * 300 + "2" + "y" * 300})
    assert line == f'~ a = "...{"x" * 20}1{"y" * 20}..." -> "...{"x" * 20}2{"y" * 20}..."'


def test_long_lists_show_only_what_differs() -> None:
    before = [f"item-number-{i}" for i in range(30)]
    after = [*before[:10], "new", *before[10:29]]
    assert lines({"a": before}, {"a": after}) == [
        "~ a = [",
        "      (10 unchanged)",
        '    + "new",',
        "      (19 unchanged)",
        '    - "item-number-29",',
        "  ]",
    ]


def test_mask() -> None:
    tree = hidden_tree([("a", "b"), ("c",)])
    assert mask({"a": {"b": "x", "d": "y"}, "c": [1]}, tree) == {"a": {"b": MASK, "d": "y"}, "c": MASK}
    assert mask_text("token=hunter2&x", {"hunter2", "er2"}) == f"token={MASK}&x"


def test_json_is_exact() -> None:
    value = {"big": 2**70, "fine": Decimal("1.10"), "unknown": Unknown(STRING), "list": [Unknown(STRING), 1]}
    assert dumps(plain(value)) == '{"big":1180591620717411303424,"fine":1.10,"list":[null,1]}'


def test_json_shapes() -> None:
    value = {"a": Unknown(STRING), "b": [1, Unknown(NUMBER)], "c": {"d": 1}, "e": "x"}
    assert unknown_parts(value) == {"a": True, "b": [False, True], "c": {}}
    assert sensitive_parts(value, hidden_tree([("c", "d"), ("b", 1)])) == {"b": [False, True], "c": {"d": True}}


def test_type_json() -> None:
    kind = object_of({"a": list_of(STRING), "b": tuple_of([NUMBER])})
    assert type_json(kind) == ["object", {"a": ["list", "string"], "b": ["tuple", ["number"]]}]
