"""Type expressions and the embedding API."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

import pytest

from hythe.modules.language import Sensitive, Unknown, convert, evaluate, parse_type, to_json


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("string", "string"),
        ("any", "any"),
        ("list(number)", "list(number)"),
        ("map(set(bool))", "map(set(bool))"),
        ("tuple([string, number])", "tuple([string, number])"),
        ("object({})", "object({})"),
        ("object({ a = string, b = list(any) })", "object({a = string, b = list(any)})"),
        ("object({ a = optional(string) })", "object({a = optional(string)})"),
    ],
)
def test_parse_type(source: str, want: str) -> None:
    kind, diagnostics = parse_type(source)
    assert not diagnostics
    assert str(kind) == want


def test_optional_defaults_are_converted() -> None:
    kind, diagnostics = parse_type('object({ port = optional(number, "80"), name = optional(string) })')
    assert not diagnostics
    assert kind is not None
    assert kind.optional == {"name": None, "port": 80}


@pytest.mark.parametrize(
    ("source", "detail"),
    [
        ("strnig", 'Did you mean "string"?'),
        ("list", "requires one argument"),
        ("list(string, string)", "requires one argument"),
        ("string()", "does not expect arguments"),
        ("any()", "does not expect arguments"),
        ("lst(string)", "not a valid type constructor"),
        ('"string"', "like list(string)"),
        ("object(string)", "requires a map"),
        ("object({ a.b = string })", "attribute names"),
        ("object({ a = string, a = string })", "is given twice."),
        ("tuple(string)", "requires a list"),
        ("optional(string)", "valid only for the attributes of an object type."),
        ("optional", 'The keyword "optional" is not a valid type specification.'),
        ("true", 'The keyword "true" is not a valid type specification.'),
        ("null", 'The keyword "null" is not a valid type specification.'),
        ("(string)", "like list(string)"),
        ("object", "one argument specifying the attribute types as a map."),
        ("object({ a = optional() })", "takes the attribute's type, and maybe its default."),
        ("object({ a = optional(string, 1, 2) })", "takes no more than the attribute's type and its default."),
        ('object({ a = optional(number, "x") })', "attribute's type: a number is required"),
        ("object({ a = optional(number, var.x) })", "it names nothing."),
        ("object({ a = optional(nope, var.x) })", "it names nothing."),
        ("object({ a = optional(string, uuid()) })", "it calls no functions."),
        ('object({ a = optional(list(string), [upper("x")]) })', "it calls no functions."),
    ],
)
def test_parse_type_mistakes(source: str, detail: str) -> None:
    kind, diagnostics = parse_type(source)
    assert kind is None
    assert detail in diagnostics[0].detail


def test_exact_types_allow_no_placeholders() -> None:
    assert parse_type("list(any)", constraint=False)[1]
    assert parse_type("object({ a = optional(string) })", constraint=False)[1]


def test_convert() -> None:
    value, diagnostics = convert({"a": "1"}, 'object({ a = number, b = optional(string, "x") })')
    assert not diagnostics
    assert to_json(value) == {"a": 1, "b": "x"}
    value, diagnostics = convert("x", "number")
    assert isinstance(value, Unknown)
    assert "a number is required" in diagnostics[0].detail


def test_python_values_go_in_and_come_out() -> None:
    scope: dict[str, object] = {
        "f": 0.1,
        "d": Decimal("1.50"),
        "l": [1, None],
        "s": {"b", "a"},
        "o": {"x": True},
        "u": Unknown("string"),
        "p": Sensitive([1]),
    }
    value, diagnostics = evaluate("{f = f, d = d, l = l, s = s, o = o, u = u, p = p}", scope)
    assert not diagnostics
    assert to_json(value) == {
        "f": Decimal("0.1"),
        "d": Decimal("1.5"),
        "l": [1, None],
        "s": ["a", "b"],
        "o": {"x": True},
        "u": {"$unknown": "string"},
        "p": {"$sensitive": [1]},
    }
    with pytest.raises(TypeError):
        evaluate("x", {"x": object()})


def test_errors_give_unknown_and_diagnostics_with_ranges() -> None:
    value, diagnostics = evaluate("1 + nope", {})
    assert isinstance(value, Unknown)
    assert diagnostics[0].range is not None
    assert diagnostics[0].range.column == 5
    value, diagnostics = evaluate("1 +", {})
    assert isinstance(value, Unknown)
    assert diagnostics


def test_importing_the_package_is_light() -> None:
    code = (
        "import sys, hythe.modules.language as language\n"
        "heavy = ('lark', 'hcl2', 'pydantic', language.__name__ + '.')\n"
        "print([m for m in sys.modules if m.startswith(heavy)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
