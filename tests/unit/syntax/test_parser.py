"""What a user's text becomes, and what is said when it is wrong."""

from __future__ import annotations

import time
import unicodedata
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hythe.modules import syntax
from hythe.modules.syntax import tree


def body(text: str) -> tree.Body:
    parsed, found = syntax.parse(text, "main.hcl")
    assert not found, [(d.summary, d.detail, d.range) for d in found]
    return parsed


def expression(text: str) -> tree.Expression:
    parsed, _, found = syntax.parse_expression(text, "main.hcl")
    assert parsed is not None, found
    assert not found
    return parsed


def errors(text: str) -> list[tuple[str, int, int]]:
    _, found = syntax.parse(text, "main.hcl")
    return [(d.summary, d.range.line, d.range.column) for d in found if d.range]


def texts(node: object) -> str:
    assert isinstance(node, tree.Template)
    return "".join(str(p.value) for p in node.parts if isinstance(p, tree.Literal))


def test_blocks_labels_and_ranges() -> None:
    text = 'resource "container" web {\n  name = "a" # why\n}\n'
    block = body(text).blocks[0]
    assert (block.type, [label.text for label in block.labels]) == ("resource", ["container", "web"])
    assert text[block.start : block.header_end] == 'resource "container" web'
    name = block.body.attributes["name"]
    assert text[name.start : name.end] == 'name = "a"'
    place = block.body.source.range(name.start, name.name_end)
    assert (place.line, place.column, place.end_column) == (2, 3, 7)


@pytest.mark.parametrize(
    ("text", "op", "left", "right"),
    [
        ("1 + 2 * 3", "+", tree.Literal, tree.Binary),
        ("1 * 2 + 3", "+", tree.Binary, tree.Literal),
        ("a || b && c", "||", tree.Variable, tree.Binary),
        ("a == b > c", "==", tree.Variable, tree.Binary),
        ("1 - 2 - 3", "-", tree.Binary, tree.Literal),
    ],
)
def test_precedence(text: str, op: str, left: type, right: type) -> None:
    parsed = expression(text)
    assert isinstance(parsed, tree.Binary)
    assert (parsed.op, type(parsed.left), type(parsed.right)) == (op, left, right)


def test_unary_operators_nest() -> None:
    assert isinstance(expression("!!x"), tree.Unary)
    parsed = expression("1 - -1")
    assert isinstance(parsed, tree.Binary)
    assert isinstance(parsed.right, tree.Unary)


def test_numbers_are_exact() -> None:
    assert expression("0.1") == tree.Literal(0, 3, Decimal("0.1"))
    big = expression("123456789012345678901234567890")
    assert isinstance(big, tree.Literal)
    assert big.value == 123456789012345678901234567890
    thousand = expression("1e3")
    assert isinstance(thousand, tree.Literal)
    assert thousand.value == 1000


def test_splats_differ_in_what_follows() -> None:
    full = expression("a[*].b[0]")
    assert isinstance(full, tree.Splat)
    assert isinstance(full.each, tree.Index)
    attributes_only = expression("a.*.b[0]")
    assert isinstance(attributes_only, tree.Index)
    assert isinstance(attributes_only.source, tree.Splat)


def test_object_keys() -> None:
    parsed = expression('{a = 1, (b) = 2, "c" : 3, true = 4}')
    assert isinstance(parsed, tree.ObjectCons)
    keys = [key for key, _ in parsed.items]
    assert isinstance(keys[0], tree.Literal)
    assert keys[0].value == "a"
    assert isinstance(keys[1], tree.Parentheses)
    assert texts(keys[2]) == "c"
    assert isinstance(keys[3], tree.Literal)
    assert keys[3].value == "true"


def test_escapes_and_literal_dollars() -> None:
    assert texts(expression(r'"a\n\t\"\\\u00e9\U0001F600 $${x} %%{y} $ %"')) == 'a\n\t"\\é😀 ${x} %{y} $ %'


def test_heredoc_indentation_follows_the_least_indented_line() -> None:
    text = "x = <<-EOT\n    a\n      b\n\n    ${c}d\n    EOT\n"
    parsed = body(text).attributes["x"].expression
    assert isinstance(parsed, tree.Template)
    assert parsed.heredoc
    assert [p.value for p in parsed.parts if isinstance(p, tree.Literal)] == ["a\n", "  b\n", "\n", "d\n"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        # what a marker takes away before a line's first sequence was its indentation: there is none left
        ("<<-E\n  a\n    ${~ b ~}c\n  E\n", ["  a\n", "c\n"]),
        # and a line that a marker joins to the one before begins none
        ("<<-E\n  a ${b ~}\nc\n  E\n", ["a ", "c\n"]),
        ("<<-E\n    a ${b}\n  c\n  E\n", ["  a ", "\n", "c\n"]),
    ],
)
def test_strip_markers_come_before_indentation(text: str, parts: list[str]) -> None:
    parsed = expression(text)
    assert isinstance(parsed, tree.Template)
    assert [p.value for p in parsed.parts if isinstance(p, tree.Literal)] == parts


def test_strip_markers_eat_the_blanks_beside_them() -> None:
    parsed = expression('"a  ${~ x ~}  b"')
    assert isinstance(parsed, tree.Template)
    assert [p.value for p in parsed.parts if isinstance(p, tree.Literal)] == ["a", "b"]


def test_template_directives() -> None:
    parsed = expression('"%{ if a }x%{ else }y%{ endif }%{ for k, v in m }${v}%{ endfor }"')
    assert isinstance(parsed, tree.Template)
    assert [type(p) for p in parsed.parts] == [tree.TemplateIf, tree.TemplateFor]


def test_windows_line_ends_and_byte_order_mark() -> None:
    parsed = body("\ufeffa = 1\r\nb = <<E\r\nx\r\nE\r\n")
    assert texts(parsed.attributes["b"].expression) == "x\r\n"


def test_unicode_names_and_namespaced_functions() -> None:
    call = expression("provider::net::größe(1)")
    assert isinstance(call, tree.Call)
    assert call.name == "provider::net::größe"


@pytest.mark.parametrize("name", ["gro\u0308\u00dfe", "\u0939\u093f\u0928\u094d\u0926\u0940", "a\u00b7b", "_a", "a--"])
def test_names_have_combining_marks(name: str) -> None:
    composed = unicodedata.normalize("NFC", name)
    assert list(body(f"{name} = 1\n").attributes) == [composed]
    assert expression(f"x.{name}").name == composed  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["a.* . b", "(a.*\n.b)", "a. * . b", "true(1)", "a % {}", '"${a%{}}"', "(a[*\n])"])
def test_what_else_is_an_expression(text: str) -> None:
    expression(text)


def test_several_errors_at_once_and_the_rest_still_parses() -> None:
    text = 'a = \nb = 1\nresource "x" "y" {\n  c = [1,\n  d = 2\n}\ne = 1 2\nf = 3\n'
    parsed, found = syntax.parse(text, "main.hcl")
    assert next(d.range.line for d in found if d.range) == 1
    assert len(found) >= 2
    assert "b" in parsed.attributes


@pytest.mark.parametrize(
    ("text", "summary", "line", "column"),
    [
        ("a = 1 b = 2\n", "Missing newline after argument", 1, 7),
        ("a = 1\na = 2\n", "Attribute redefined", 2, 1),
        ('a = "x\n"\n', "Invalid multi-line string", 1, 7),
        ("a {\n", "Unclosed configuration block", 1, 3),
        ('"a" = 1\n', "Invalid argument name", 1, 1),
        ('a "${b}" {}\n', "Invalid string literal", 1, 3),
        ("a = [1 2]\n", "Missing item separator", 1, 8),
        ("a = b ? c\n", "Missing false expression in conditional", 1, 10),
        ("a = [for x in y : x...]\n", "Invalid 'for' expression", 1, 20),
        ('a = "%{ if x }y"\n', "Unexpected end of template", 1, 16),
        ("a = <<E\n%{ for x in y }\n${x}\nE\n", "Unexpected end of template", 4, 1),
        ("/* a", "Unterminated comment", 1, 1),
        ("a = [\n", "Missing expression", 2, 1),
        ("a = [\n1,\n", "Missing expression", 3, 1),
        ("a = [\n1\n", "Unterminated tuple constructor expression", 1, 5),
        ("a = {\nb = 1\n", "Missing expression", 3, 1),
        ("a = {\nb", "Unterminated object constructor expression", 1, 5),
        ("a = {b c}\n", "Missing key/value separator", 1, 8),
        ("a = f(\n1\n", "Unterminated function call", 1, 5),
        ("a = b[\n1\n", "Missing close bracket on index", 3, 1),
        ("a = b[*\n]\n", "Missing close bracket on splat index", 1, 8),
        ("a = f(b..., )\n", "Missing closing parenthesis", 1, 8),
        ("a = b.0.1\n", "Invalid legacy index syntax", 1, 7),
        ("a = b[*].0.1\n", "Invalid legacy index syntax", 1, 10),
        ("a = x::y\n", "Missing open parenthesis", 1, 9),
        ("a = <<E\nx\n${b\n", "Unclosed template interpolation sequence", 2, 1),
        ('a = "${b c}"\n', "Extra characters after interpolation expression", 1, 10),
        ('a = "%{ if b c }%{ endif }"\n', "Extra characters in if marker", 1, 14),
        ('a = "%{ 1 }"\n', "Invalid template directive", 1, 9),
        ("a = 'x'\n", "Invalid character", 1, 5),
        ("a = [1; 2]\n", "Invalid character", 1, 7),
        ("a = 😀\n", "Invalid character", 1, 5),
        ("a = ~1\n", "Unsupported operator", 1, 5),
        ("a = 1 ^ 2\n", "Unsupported operator", 1, 7),
        ("a = 1\rb = 2\n", "Invalid character", 1, 6),
        ('a = "b\rc"\n', "Invalid multi-line string", 1, 7),
        ("a = <<E\nb\rc\nE\n", "Invalid character", 2, 2),
        ("²a = 1\n", "Invalid character", 1, 1),
        ("a { b {} }\n", "Argument definition required", 1, 5),
        ("a { 1 = 2 }\n", "Argument or block definition required", 1, 5),
    ],
)
def test_messages_and_places(text: str, summary: str, line: int, column: int) -> None:
    assert errors(text)[0] == (summary, line, column)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "(" * 10_000,
        "a = " + "[" * 10_000,
        "a = " + "{b=" * 5_000,
        "a {\n" * 5_000,
        "\0\1",
        'a = "' + "${" * 3_000,
    ],
)
def test_hostile_text_ends_in_a_diagnostic(text: str) -> None:
    began = time.monotonic()
    assert errors(text)
    assert time.monotonic() - began < 20  # a hang, not a measure of speed


@given(st.text(alphabet='ab01 \n"${}%~[]()=.,*?:!<>-+#/\\éEOT', max_size=200))
@settings(max_examples=400, deadline=None)
def test_any_text_ends_in_a_tree_or_diagnostics(text: str) -> None:
    parsed, found = syntax.parse(text, "fuzz.hcl")
    assert isinstance(parsed, tree.Body)
    assert all(d.range is not None and 0 <= d.range.start <= d.range.end <= len(text) + 1 for d in found)
    syntax.parse_template(text, "fuzz.tpl")
    syntax.parse_expression(text, "fuzz")


def test_json_form() -> None:
    text = '{"resource": {"container": {"web": {"name": "a-${var.x}", "env": {"A": "1"}, "cpus": 0.5}}}}'
    parsed, found = syntax.parse_json(text, "main.hcl.json")
    assert not found
    block = parsed.blocks[0]
    assert [label.text for label in block.labels] == ["container", "web"]
    assert block.body.attributes["cpus"].expression.value == Decimal("0.5")  # type: ignore[union-attr]
    assert isinstance(block.body.attributes["name"].expression, tree.Template)


def test_json_may_be_a_list_of_objects() -> None:
    text = '[{"locals": {"a": 1}}, {"output": {"o": {"value": "${local.a}"}}}, {}]'
    parsed, found = syntax.parse_json(text, "main.hcl.json")
    assert not found
    assert [block.type for block in parsed.blocks] == ["locals", "output"]
    assert syntax.parse_json("[]", "x.hcl.json")[1] == []
    assert syntax.parse_json("[1]", "x.hcl.json")[1]


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_json_has_no_such_numbers(text: str) -> None:
    _, found = syntax.parse_json(f'{{"locals": {{"a": {text}}}}}', "x.hcl.json")
    assert text in found[0].detail


def test_bad_json_is_a_diagnostic() -> None:
    assert syntax.parse_json('{"a": ', "x.hcl.json")[1][0].summary == "Invalid JSON"
    assert syntax.parse_json("[" * 100_000, "x.hcl.json")[1][0].summary == "Invalid JSON"


def test_blocks_that_are_never_closed_take_no_time_that_doubles() -> None:
    text = "".join(f"a{n} {{\n  x = {{\n}}\n" for n in range(60))
    _, found = syntax.parse(text, "t.hcl")
    assert found
    # after so many errors there is no point in more
    _, found = syntax.parse("x = = 1\n" * 5000, "t.hcl")
    assert 100 < len(found) < 300


@pytest.mark.parametrize("text", ["9" * 5000, "1e" + "9" * 30, "1e999999999", "l." + "9" * 5000, "l.*." + "9" * 5000])
def test_numbers_that_are_too_large_to_hold(text: str) -> None:
    _, found = syntax.parse(f"a = {text}\n", "t.hcl")
    assert [d.summary for d in found] in (["Invalid number literal"], ["Invalid legacy index"])
    if text[0] != "l":
        _, found = syntax.parse_json(f'{{"a": {text}}}', "t.hcl.json")
        assert [d.summary for d in found] == ["Invalid JSON"]
        assert "number" in found[0].detail
