"""Types of values, unification and conversion."""

from __future__ import annotations

from decimal import Decimal

import pytest

from hythe.modules.language import types
from hythe.modules.language.conversions import ConversionError, convert, number_to_string
from hythe.value import (
    ANY,
    BOOL,
    NUMBER,
    STRING,
    List,
    Map,
    Null,
    Sensitive,
    Set,
    Type,
    Unknown,
    list_of,
    map_of,
    object_of,
    parse_type_text,
    set_of,
    tuple_of,
)


def test_type_of() -> None:
    assert types.type_of(True) is BOOL
    assert types.type_of(1) is NUMBER
    assert types.type_of(Decimal("1.5")) is NUMBER
    assert types.type_of(Sensitive("a")) is STRING
    assert types.type_of((1, None)) is tuple_of([NUMBER, ANY])
    assert types.type_of({"a": Null(STRING)}) is object_of({"a": STRING})
    assert types.type_of(Set([1], NUMBER)) is set_of(NUMBER)


@pytest.mark.parametrize(
    ("given", "want"),
    [
        (["string", "number"], "string"),
        (["number", "bool"], None),
        (["number", "bool", "string"], "string"),
        (["number", "any"], "number"),
        (["list(number)", "list(string)"], "list(string)"),
        (["list(number)", "any"], "any"),
        (["tuple([number])", "tuple([string])"], "tuple([string])"),
        (["tuple([number])", "tuple([number, string])"], "list(string)"),
        (["tuple([number])", "tuple([bool, number])"], None),
        (["tuple([number, string])", "list(string)"], "list(string)"),
        (["object({a = number})", "object({a = string})"], "object({a = string})"),
        (["object({a = number})", "object({b = string})"], "map(string)"),
        (["object({a = number})", "map(string)"], "map(string)"),
        (["object({a = number})", "tuple([number])"], None),
        (["set(string)", "list(string)"], "list(string)"),
        (["map(number)", "string"], None),
        ([], None),
    ],
)
def test_unify(given: list[str], want: str | None) -> None:
    found = types.unify([parse_type_text(text) for text in given])
    assert found is (None if want is None else parse_type_text(want))


def test_sets_are_sorted_and_have_no_duplicates() -> None:
    assert types.make_set([10, Decimal("2.5"), 10, -1], NUMBER) == [-1, Decimal("2.5"), 10]
    assert types.make_set(["b", "a", "b", "B"], STRING) == ["B", "a", "b"]
    assert types.make_set([True, False, True], BOOL) == [False, True]
    unknown = Unknown(STRING)
    assert types.make_set([Null(STRING), unknown, "a", unknown], STRING) == ["a", unknown, unknown, Null(STRING)]


def test_primitives_convert_to_each_other() -> None:
    assert convert("1.50", NUMBER) == Decimal("1.5")
    assert convert("1e3", NUMBER) == 1000
    assert convert(12, STRING) == "12"
    assert convert(True, STRING) == "true"
    assert convert("true", BOOL) is True
    assert convert("0", BOOL) is False


@pytest.mark.parametrize(
    ("value", "target", "message", "path"),
    [
        ("x", NUMBER, "a number is required", ()),
        ("1_000", NUMBER, "a number is required", ()),
        ("TRUE", BOOL, 'use lowercase "true"', ()),
        (1, BOOL, "a bool is required", ()),
        ((1,), STRING, "a string is required", ()),
        ({"a": ("x", "y")}, map_of(list_of(NUMBER)), "a number is required", ("a", 0)),
        ({"b": 1}, object_of({"a": STRING}), 'attribute "a" is required', ()),
        ((1, True), list_of(ANY), "all list elements must have the same type", ()),
        ("x", list_of(STRING), "a list of string is required", ()),
        ((1, 2), tuple_of([NUMBER]), "length 1", ()),
        (List([], list_of(STRING)), list_of(STRING), "string", ()),
        (Unknown(list_of(STRING)), STRING, "a string is required", ()),
        (Null(list_of(STRING)), STRING, "a string is required", ()),
    ],
)
def test_refusals_say_what_is_required_and_where(
    value: object, target: Type, message: str, path: tuple[str | int, ...]
) -> None:
    with pytest.raises(ConversionError) as caught:
        convert(value, target)
    assert message in caught.value.message
    assert caught.value.path == path


def test_collections() -> None:
    items = convert((1, "a"), list_of(ANY))
    assert isinstance(items, List)
    assert (items, items.element) == (["1", "a"], STRING)
    assert convert(Set(["a", "b"], STRING), list_of(STRING)) == ["a", "b"]
    assert convert(("b", "a", "b"), set_of(STRING)) == ["a", "b"]
    mapped = convert({"b": 1, "a": "x"}, map_of(ANY))
    assert isinstance(mapped, Map)
    assert (mapped, mapped.element) == ({"a": "x", "b": "1"}, STRING)
    assert convert(Map({"a": "1", "b": "x"}, STRING), object_of({"a": NUMBER})) == {"a": 1}
    assert convert((), list_of(STRING)).element is STRING


def test_unknown_values_and_nulls_take_the_type() -> None:
    assert convert(Unknown(ANY), NUMBER) == Unknown(NUMBER)
    assert convert(Unknown(set_of(STRING)), list_of(ANY)) == Unknown(list_of(STRING))
    assert convert(None, STRING) == Null(STRING)
    assert convert((None, "a"), list_of(ANY)) == [Null(STRING), "a"]
    unsettled = Set([Unknown(STRING), Unknown(STRING)], STRING)
    assert convert(unsettled, list_of(STRING)) == Unknown(list_of(STRING))


def test_marks_stay_where_they_are_except_in_sets() -> None:
    assert convert(Sensitive("1"), NUMBER) == Sensitive(1)
    assert convert((Sensitive("1"), 2), list_of(NUMBER)) == [Sensitive(1), 2]
    assert convert((Sensitive("b"), "a"), set_of(STRING)) == Sensitive(["a", "b"])


def test_optional_attributes() -> None:
    target = object_of(
        {"a": STRING, "b": STRING, "c": object_of({"d": NUMBER}, {"d": 5}), "e": NUMBER},
        {"b": "default", "c": {}, "e": None},
    )
    full = {"a": "x", "b": "default", "c": {"d": 5}, "e": Null(NUMBER)}
    assert convert({"a": "x"}, target) == full
    assert convert({"a": "x", "b": None}, target) == full
    assert convert(Map({"a": "x"}, STRING), target) == full
    assert convert(({"a": "x"},), list_of(target)) == [full]
    assert convert(({"a": "x"},), list_of(target)).element is types.without_optional(target)
    assert convert(Unknown(ANY), target) == Unknown(types.without_optional(target))
    assert convert({"a": "x", "b": Sensitive(None)}, target)["b"] == Sensitive("default")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (10**40, "1" + "0" * 40),
        (Decimal("1E+3"), "1000"),
        (Decimal("0.1000"), "0.1"),
        (Decimal("1E-20"), "0.00000000000000000001"),
        (Decimal("-3.25"), "-3.25"),
    ],
)
def test_numbers_print_without_exponent(number: int | Decimal, text: str) -> None:
    assert number_to_string(number) == text
    assert convert(text, NUMBER) == number
