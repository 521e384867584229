"""What a configuration's text means: the shape of its tree."""

from __future__ import annotations

from decimal import Decimal

import pytest

from hythe.modules.syntax import parse, parse_expression, parse_template, tree


def _expression(text: str) -> tree.Expression:
    made, _, diagnostics = parse_expression(text, "x.hcl")
    assert not diagnostics, diagnostics
    assert made is not None
    return made


def _joined(sketches: list[object], parts: tuple[tree.Expression, ...]) -> list[object]:
    """Texts that stand side by side as one: a heredoc comes line by line."""
    out: list[object] = []
    literal = False
    for sketch, part in zip(sketches, parts, strict=True):
        if literal and isinstance(part, tree.Literal):
            out[-1] = f"{out[-1]}{sketch}"
        else:
            out.append(sketch)
        literal = isinstance(part, tree.Literal)
    return out


def _sketch(node: tree.Expression | None) -> object:
    """An expression without its places."""
    match node:
        case tree.Literal(value=value):
            return value
        case tree.Variable(name=name):
            return name
        case tree.GetAttr(source=source, name=name):
            return (_sketch(source), ".", name)
        case tree.Index(source=source, key=key):
            return (_sketch(source), "[", _sketch(key))
        case tree.Splat(source=source, each=each, full=full):
            return ("full" if full else "names", _sketch(source), _sketch(each))
        case tree.SplatItem():
            return "it"
        case tree.Unary(op=op, operand=operand):
            return (op, _sketch(operand))
        case tree.Binary(op=op, left=left, right=right):
            return (_sketch(left), op, _sketch(right))
        case tree.Conditional(condition=a, then=b, otherwise=c):
            return (_sketch(a), "?", _sketch(b), _sketch(c))
        case tree.Parentheses(inner=inner):
            return ("()", _sketch(inner))
        case tree.Template(parts=parts):
            return ["", *_joined([_sketch(part) for part in parts], parts)]
        case tree.TemplateWrap(wrapped=wrapped):
            return ("wrap", _sketch(wrapped))
        case tree.TemplateIf(condition=a, then=b, otherwise=c):
            return ("if", _sketch(a), _sketch(b), _sketch(c))
        case tree.TemplateFor(key_name=key, value_name=value, collection=collection, body=body):
            return ("for", key, value, _sketch(collection), _sketch(body))
        case tree.Call(name=name, args=args, expand=expand):
            return (name, [_sketch(arg) for arg in args], expand)
        case tree.ObjectCons(items=items):
            return {
                _sketch(key) if isinstance(key, tree.Literal) else str(_sketch(key)): _sketch(value)
                for key, value in items
            }
    raise AssertionError(node)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("1 + 2 * 3", (1, "+", (2, "*", 3))),
        ("a - b - c", (("a", "-", "b"), "-", "c")),
        ("a || b && c == d < e", ("a", "||", ("b", "&&", ("c", "==", ("d", "<", "e"))))),
        ("-a.b", ("-", ("a", ".", "b"))),
        ("!!a", ("!", ("!", "a"))),
        ("1 - - -2", (1, "-", ("-", ("-", 2)))),
        ("a ? b : c ? d : e", ("a", "?", "b", ("c", "?", "d", "e"))),
        ("(a\n+ # why\nb)", ("()", ("a", "+", "b"))),
        ("1e3", 1000),
        ("0.1", Decimal("0.1")),
        ("3.14159265358979323846264338327950288", Decimal("3.14159265358979323846264338327950288")),
        ("provider::x::f(a, b...)", ("provider::x::f", ["a", "b"], True)),
        ("a.0.b.1", ((("a", ".", 0), ".", "b"), ".", 1)),
        ("naïve-名", "naïve-名"),
        ("{ null = 1, for-x = 2 }", {"null": 1, "for-x": 2}),
        ("{ (k) = 1 }", {"('()', 'k')": 1}),
    ],
)
def test_an_expression_means(text: str, meaning: object) -> None:
    assert _sketch(_expression(text)) == meaning


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("a.*.b[0]", (("names", "a", ("it", ".", "b")), "[", 0)),
        ("a[*].b[0]", ("full", "a", (("it", ".", "b"), "[", 0))),
        ("a[*].b[*].c", ("full", "a", ("full", ("it", ".", "b"), ("it", ".", "c")))),
        ("a.*.b.*", None),
    ],
)
def test_a_splat_holds_the_steps_that_belong_to_it(text: str, meaning: object) -> None:
    made, _, diagnostics = parse_expression(text, "x.hcl")
    if meaning is None:
        assert diagnostics[0].summary == "Nested splat expression not allowed"
    else:
        assert _sketch(made) == meaning


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ('""', [""]),
        (r'"a\n\t\"\\\u00e9\U0001F600"', ["", 'a\n\t"\\é😀']),
        ('"$${a} %%{b} $5 100%"', ["", "${a} %{b} $5 100%"]),
        ('"${a}"', ("wrap", "a")),
        ('"x ${~ a ~} y"', ["", "x", "a", "y"]),
        ('"${"n${"m"}"}"', ("wrap", ["", "n", ["", "m"]])),
        ('"%{ if a }b%{ else }c%{ endif }"', ["", ("if", "a", ["", "b"], ["", "c"])]),
        ('"%{ for k, v in m }${v}%{ endfor }"', ["", ("for", "k", "v", "m", ["", "v"])]),
        ("<<E\n  a\n b\\n\n E\n", ["", "  a\n b\\n\n"]),
        ("<<-E\n    a\n\n  ${b} c\n  E\n", ["", "  a\n\n", "b", " c\n"]),
        ("<<E\r\na\r\nE\r\n", ["", "a\r\n"]),
    ],
)
def test_a_string_means(text: str, meaning: object) -> None:
    assert _sketch(_expression(text)) == meaning


def test_a_template_file_keeps_backslashes_and_line_starts_after_a_strip_marker() -> None:
    made, _, diagnostics = parse_template('\\n "q"\n%{ for x in l ~}\n  - ${x}\n%{ endfor ~}\n', "t.tftpl")
    assert not diagnostics
    assert _sketch(made) == ["", '\\n "q"\n', ("for", None, "x", "l", ["", "  - ", "x", "\n"])]


def test_a_file_has_its_arguments_and_blocks_with_their_places() -> None:
    text = '\ufeffa = 1 // c\r\nb "l\\"m" n {\r\n  c { d = [\n1,\n] }\r\n}\r\n'
    body, diagnostics = parse(text, "x.hcl")
    assert not diagnostics
    assert text[body.attributes["a"].start : body.attributes["a"].end] == "a = 1"
    (block,) = body.blocks
    assert [label.text for label in block.labels] == ['l"m', "n"]
    assert text[block.start : block.header_end] == 'b "l\\"m" n'
    (inner,) = block.body.blocks
    value = inner.body.attributes["d"].expression
    assert text[value.start : value.end] == "[\n1,\n]"


def test_a_bad_block_leaves_the_others_and_their_mistakes() -> None:
    body, diagnostics = parse("a {\n  x = 1 2\n}\nb {\n  y = 1\n}\nc {\n  z = [1 2]\n}\n", "x.hcl")
    assert "b" in [block.type for block in body.blocks]
    assert [(d.range.line, d.range.column) for d in diagnostics if d.range] == [(2, 9), (8, 10)]


def test_a_second_argument_of_the_same_name_points_at_the_first() -> None:
    _, (found,) = parse("a = 1\n\na = 2\n", "x.hcl")
    assert found.range is not None
    assert found.range.line == 3
    assert found.related[0][1].line == 1


@pytest.mark.parametrize(
    "text",
    ["x = " + "(" * 10_000, "x = " + "!" * 10_000 + "a", "x = a" + ".b" * 10_000, "x = a" + "[*]" * 10_000,
     'x = "' + "%{if a}" * 5_000, "\0" * 50, "a {\n" * 5_000, 'x = "${', "x = <<E\n", "/*", "x = 1e99999999\n"],
)  # fmt: skip
def test_hostile_text_is_a_diagnostic(text: str) -> None:
    _, diagnostics = parse(text, "x.hcl")
    assert diagnostics
    assert all(d.summary and d.detail and d.range for d in diagnostics)
