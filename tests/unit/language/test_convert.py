"""``convert(value, type)``, whose second argument is no expression."""

from __future__ import annotations

from typing import Any

import pytest

from hythe.modules.language import Sensitive, Unknown, evaluate
from hythe.modules.language.types import type_of
from hythe.value import EPHEMERAL, List, Map, Marked, Null, mark, parse_type_text

SCOPE = {
    "a": "1",
    "later": Unknown("any"),
    "word": Unknown("string"),
    "words": Unknown("list(string)"),
    "secret": Sensitive("5"),
    "passing": mark("5", frozenset({EPHEMERAL})),
}


@pytest.mark.parametrize(
    ("source", "want", "kind"),
    [
        ('convert("true", bool)', True, "bool"),
        ('core::convert("1", number)', 1, "number"),
        ('convert([1, "a"], list(any))', ["1", "a"], "list(string)"),
        ('convert([1, "a"], any)', (1, "a"), "tuple([number, string])"),
        ('convert({}, object({ name = optional(string, "x") }))', {"name": "x"}, "object({name = string})"),
        ("convert([{ n = 1 }], set(object({ n = string })))", [{"n": "1"}], "set(object({n = string}))"),
        ('convert({ b = 1, a = "2" }, map(number))', {"a": 2, "b": 1}, "map(number)"),
        ("convert(null, string)", Null(parse_type_text("string")), "string"),
        ('convert(convert("1", number), string)', "1", "string"),
        ('"${convert(a, number) + 1}!"', "2!", "string"),
        ('templatestring("$${convert(a, number) + 1}", { a = a })', 2, "number"),
        ('try(convert("x", number), 7)', 7, "number"),
        ('can(convert("x", bool))', False, "bool"),
        ('[for string in ["1"] : convert(string, number)]', (1,), "tuple([number])"),
        ("upper(convert(true, string))", "TRUE", "string"),
    ],
)
def test_values(source: str, want: Any, kind: str) -> None:
    value, found = evaluate(source, SCOPE)
    assert found == []
    assert value == want
    assert type_of(value) is parse_type_text(kind)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("convert(later, list(string))", "list(string)"),
        ("convert(word, number)", "number"),
        ("convert(words, list(any))", "list(string)"),
        ("convert(words, set(number))", "set(number)"),
        ("convert(later, object({ n = optional(string, 'x') }))".replace("'", '"'), "object({n = string})"),
        ("convert(later, any)", "any"),
    ],
)
def test_what_is_not_known_gets_the_type(source: str, kind: str) -> None:
    assert evaluate(source, SCOPE) == (Unknown(kind), [])


def test_marks_stay_where_they_are() -> None:
    assert evaluate("convert(secret, number)", SCOPE)[0] == Sensitive(5)
    assert evaluate("convert(passing, number)", SCOPE)[0] == mark(5, frozenset({EPHEMERAL}))
    assert evaluate("convert({ s = secret, a = a }, map(number))", SCOPE)[0] == {"s": Sensitive(5), "a": 1}
    assert evaluate("convert([secret], set(number))", SCOPE)[0] == Sensitive(List([5]))
    value, _ = evaluate("convert(sensitive(word), number)", SCOPE)
    assert isinstance(value, Marked)
    assert value.value == Unknown("number")


@pytest.mark.parametrize(
    ("source", "summary", "detail", "column"),
    [
        ('convert("x", number)', "Invalid function argument", "a number is required.", 9),
        (
            'convert({ a = [1, "b"] }, object({ a = list(number) }))',
            "Invalid function argument",
            '"a": element 1: a number is required.',
            9,
        ),
        ("convert(words, string)", "Invalid function argument", "a string is required.", 9),
        ("convert()", "Error in function call", 'missing "value", "type".', 1),
        ("1 + convert(1)", "Error in function call", 'missing "type".', 5),
        ("convert(1, string, 2)", "Invalid function argument", "takes 2 arguments, 3 given.", 20),
        ("convert([1], string...)", "Error in function call", "a value and a type are wanted", 14),
        ("convert(a...)", "Error in function call", "a value and a type are wanted", 9),
        ("convert(1, strin)", "Invalid type specification", 'Did you mean "string"?', 12),
        ("convert(1, lst(string))", "Invalid type specification", 'Did you mean "list"?', 12),
        ('convert(1, "string")', "Invalid type specification", "either a primitive type keyword", 12),
        ("convert(1, list)", "Invalid type specification", "requires one argument", 12),
        ("convert({}, object({ n = optional(string, a) }))", "Default is not constant", "it names nothing.", 43),
        ("convert({}, object({ n = optional(string, uuid()) }))", "Default is not constant", "no functions.", 43),
    ],
)
def test_mistakes(source: str, summary: str, detail: str, column: int) -> None:
    value, (problem,) = evaluate(source, SCOPE)
    assert isinstance(value, Unknown)
    assert problem.summary == summary
    assert detail in problem.detail
    assert problem.range is not None
    assert problem.range.column == column


def test_mistakes_in_value_and_type_are_told_together() -> None:
    _, found = evaluate("convert(nope, lst(string))", {})
    assert [problem.summary for problem in found] == ["Unknown variable", "Invalid type specification"]


def test_deep_types_are_a_mistake_and_no_crash() -> None:
    _, found = evaluate(f"convert([], {'list(' * 80}any{')' * 80})", {})
    assert found == []
    _, found = evaluate(f"try(convert([1], {'list(' * 3000}any{')' * 3000}), 1)", {})
    assert all(problem.is_error for problem in found)


def test_maps_know_their_elements() -> None:
    value, _ = evaluate("convert({}, map(object({ n = optional(number) })))", {})
    assert isinstance(value, Map)
    assert value.element is parse_type_text("object({n = number})")
