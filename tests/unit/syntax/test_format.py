"""The canonical style: what it looks like, and that it never changes what a text means."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hythe.modules import syntax
from hythe.modules.syntax import tree
from hythe.modules.syntax.tokens import tokens

REPOSITORY = Path(__file__).resolve().parents[3]


_PLACES = frozenset({"start", "name_end", "header_end", "end"})


def meaning(node: Any) -> Any:
    """A tree without places, and without what the canonical style may add and take away."""
    match node:
        case tree.TemplateWrap(wrapped=inner) | tree.Parentheses(inner=inner):
            return meaning(inner)
        case tree.Node():
            names = [
                f.name for f in dataclasses.fields(node) if f.name not in ("start", "name_end", "header_end", "end")
            ]
            return type(node).__name__, [(name, meaning(getattr(node, name))) for name in names]
        case dict():
            return {key: meaning(value) for key, value in node.items()}
        case tuple() | list():
            return [meaning(value) for value in node]
    return None if isinstance(node, tree.Source) else node


def check(text: str) -> str:
    """Format a file that has no errors, and check what must always hold."""
    before, found = syntax.parse(text, "x.hcl")
    assert not found, (text, found)
    made = syntax.format(text)
    after, found = syntax.parse(made, "x.hcl")
    assert not found, (text, made, found)
    assert meaning(after) == meaning(before), (text, made)
    assert syntax.format(made) == made
    return made


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a=1\nlong_name   =   2\n\nb=3\n", "a         = 1\nlong_name = 2\n\nb = 3\n"),
        ("a=[\n1,\n2\n]\nb=2\n", "a = [\n  1,\n  2\n]\nb = 2\n"),
        ("x {\n\ty {\n\t\tz=1 # why\n\t\tzz=22 // also\n\t}\n}\n", None),
        ("a = { b=1,c=2 }\nb={}\n", "a = { b = 1, c = 2 }\nb = {}\n"),
        ("a = [for x in[1,2]:x if x>1]\n", "a = [for x in [1, 2] : x if x > 1]\n"),
        ("a = {for k,v in m:k=>v...}\n", "a = { for k, v in m : k => v... }\n"),
        ("a = - 1\nb = a - 1\nc = !  d\n", "a = -1\nb = a - 1\nc = !d\n"),
        ("a = x [0] . y [ * ] . z\n", "a = x[0].y[*].z\n"),
        ("a = f ( g( 1 ) , 2 ... )\n", "a = f(g(1), 2...)\n"),
        ('a = "  ${ b }  %{ if c }d%{ endif }"\n', 'a = "  ${b}  %{if c}d%{endif}"\n'),
        ('a = "${b}"\n', "a = b\n"),
        ('a = "${b}${c}"\n', 'a = "${b}${c}"\n'),
        ('a = "${\n  b\n}"\n', "a = b\n"),
        ('a = "${b\n? c : d}"\n', "a = (b\n? c : d)\n"),
        ("a b c {\n}\n", 'a "b" "c" {\n}\n'),
        ("a = <<-E\n      text   ${ x }\n    E\nb=1\n", "a = <<-E\n      text   ${x}\n    E\nb = 1\n"),
        ('a = <<E\n${join(",",[\n1,\n])}\n  kept\nE\n', None),
        ("a = <<E\n${f({\n    b = 1\n  })}\nE\nc = 1\n", "a = <<E\n${f({\nb = 1\n})}\nE\nc = 1\n"),
        ("a = <<E\nb\nE  \nc=1\n", "a = <<E\nb\nE  \nc = 1\n"),
        ('a = "${<<E\nb\nE\n}"\n', "a = <<E\nb\nE\n"),
        ('a = "${b ? c :\n<<E\nd\nE\n}"\n', "a = (b ? c :\n  <<E\nd\nE\n)\n"),
        ('a = "${~ b ~}"\n', "a = b\n"),
        ("\ufeffa = 1\n", "a = 1\n"),
        ('variable "a" {\n  type = "number"\n}\n', 'variable "a" {\n  type = "number"\n}\n'),
        ("/* c */ a = 1 /* d */\n", None),
        ("a = 1", "a = 1"),
        ("a=1\r\nbb=2\r\n", "a  = 1\r\nbb = 2\r\n"),
        ("", ""),
        ("# only\n   # comments\n", "# only\n# comments\n"),
        ("a = provider :: x :: f ()\n", "a = provider::x::f()\n"),
        ("a = (\n1\n+\n2\n)\n", "a = (\n  1\n  +\n  2\n)\n"),
        ("名 = 1 # eins\nab = 22 # zwei\n", "名  = 1  # eins\nab = 22 # zwei\n"),
        ('a = "e\u0301" # x\nb = "ee" # y\n', 'a = "e\u0301"  # x\nb = "ee" # y\n'),
    ],
)
def test_a_text_becomes(text: str, wanted: str | None) -> None:
    made = check(text)
    if wanted is not None:
        assert made == wanted


@pytest.mark.parametrize(
    "text", ['a = "', "a = {", "}", "a = <<E\nx", '"\\', "a = ${", "$%{~", "a = 'x'", "\x00", "\\"]
)
def test_what_does_not_parse_loses_nothing(text: str) -> None:
    made = syntax.format(text)
    assert "".join(made.split()) == "".join(text.split())


@pytest.mark.parametrize("path", sorted((REPOSITORY / "examples").rglob("*.hcl")), ids=lambda p: p.parent.name)
def test_examples_are_in_canonical_style(path: Path) -> None:
    text = path.read_text()
    assert check(text) == text


# -- any configuration ----------------------------------------------------------------------------

_NAMES = st.sampled_from(["a", "in", "for-x", "bb", "名", "each"])
_BLANK = st.sampled_from(["", " ", "  ", "\t", " /* c */ "])
_ATOMS = st.one_of(
    _NAMES,
    st.sampled_from(
        ["1", "0.5", "1e3", "true", "null", '""', '"x y"', '"$${a}"', r'"\"\n"', "local.x", "a.0", "a.*.b"]
    ),
)


# E stands for an expression, N for a name, _ for any blanks
_FORMS = st.sampled_from(
    (
        "(~_~E~_~)", "-~_~E", "!~_~E", "E~ +~_~E", "E~_~-~ ~E", "E~_~==~_~E", "E~ &&~_~E", "E~ ?~_~E~_~:~_~E",
        "[~_~E~_~,~_~E~_~]", "[\n~E~,\n# c\n~E~\n]", "{~_~N~_~=~_~E~_~}", "{\n~N~=~E~\n~N~ :~E~,\n}",
        "N~(~_~E~_~,~E~_~)", "N~[~_~E~_~]", "[for ~N~ in~ ~E~_~:~_~E~ if ~E~]", "{for ~N~,~N~ in ~E~:~E~=>~_~E~}",
        '"${~_~E~_~}"', '"a ${~_~E~_~} b"', '"%{ if ~E~ }x%{ else }${~E~}%{ endif }"', "N~[*].~N", '"${~\n~E~\n~}"',
        "f(~E~...)",
    )
)  # fmt: skip


@st.composite
def _expressions(draw: st.DrawFn, depth: int = 3) -> str:
    if depth == 0 or draw(st.booleans()):
        return draw(_ATOMS)
    instead = {"E": _expressions(depth - 1), "N": _NAMES, "_": _BLANK}
    return "".join(draw(instead[part]) if part in instead else part for part in draw(_FORMS).split("~"))


@st.composite
def _bodies(draw: st.DrawFn, depth: int = 2) -> str:
    out = []
    for at in range(draw(st.integers(0, 4))):
        indent = draw(st.sampled_from(["", " ", "\t", "      "]))
        if depth and draw(st.integers(0, 3)) == 0:
            label = draw(st.sampled_from(["", ' "l"', " l", ' "l" "m"']))
            out.append(f"{indent}block{label}  {{\n{draw(_bodies(depth - 1))}{indent}}}\n")
            continue
        blank, value, end = draw(_BLANK), draw(_expressions()), draw(st.sampled_from(["", " ", " # why", " // why"]))
        name = f"n{at}" + "x" * draw(st.integers(0, 5))
        if draw(st.integers(0, 9)) == 0:
            value, end = f"<<-E\n   t ${{{value}}}  u\n {indent}E", ""
        out.append(f"{indent}{name}{blank}={blank}{value}{end}\n" + "\n" * draw(st.integers(0, 1)))
    return "".join(out)


@settings(max_examples=400, deadline=None)
@given(_bodies())
def test_formatting_never_changes_the_meaning(text: str) -> None:
    # a- is a name, so not all that is put together is valid
    assume(not syntax.parse(text, "x.hcl")[1])
    check(text)


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet='ab0 \n\t"${}%~<E-[]().:=#/*\\,!é', max_size=60))
def test_any_text_keeps_all_but_blanks(text: str) -> None:
    assert "".join("".join(token.text for token in tokens(text)).split()) == "".join(text.split())
    made = syntax.format(text)
    if syntax.parse(text, "x.hcl")[1]:
        assert "".join(made.split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("set", "set(any)"), ('"string"', "string"), ('"map"', "map(string)"), ("list(string)", "list(string)")],
)
def test_types_of_variables_as_they_were_written_once(text: str, wanted: str) -> None:
    assert syntax.format(f'variable "v" {{\ntype={text}\n}}\n') == f'variable "v" {{\n  type = {wanted}\n}}\n'
