"""Trees as bytes: the same tree comes back, whatever is in it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from hythe.modules import syntax
from hythe.modules.syntax import tree
from hythe.modules.syntax.packed import pack, unpack

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted([*ROOT.glob("examples/**/*.hcl"), *ROOT.glob("modules/library/**/*.hcl")])

EVERYTHING = r"""
a = 1.50 + -2e400 * 0 % 3
b = !x || y && "t" == "${z}" ? null : true
c = x.y.0[1]["k"].*.name[*].other[z]
d = "a${x}b\n$${} é 🙂 %{ if x ~} y %{ else } z %{ endif }%{ for k, v in m }${k}%{ endfor }%{ for v in l }v%{ endfor }"
e = <<-EOT
  text ${x}
    more
EOT
f = [for v in l : v if v > 1]
g = { for k, v in m : (k) => v... if k != "" }
h = { a = 1, "b" = 2, (c) : 3, "${d}x" = false }
i = f(1, ns::g([]...), {})
j = 123456789012345678901234567890
k = 0.1e-300
l = ""
block "one" two {}
outer {
  inner "x" { z = 1 }
  inner "y" {
    deep {
      a = b
    }
  }
  q = [(1), 2]
}
"""


def nodes(value: object) -> Iterator[tree.Node]:
    """A tree's nodes, each before what is in it."""
    if isinstance(value, tree.Node):
        yield value
        for field in dataclasses.fields(value):
            yield from nodes(getattr(value, field.name))
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ():
        yield from nodes(item)


def returned(text: str, name: str = "x.hcl") -> tree.Body:
    """What comes back; checks that it is the tree of the text."""
    body, found = syntax.parse_file(text, name)
    assert not found, found
    data = pack(body)
    assert data is not None
    # read in each way that there is, each time from the bytes
    assert body == unpack(data, body.source) == unpack(data, body.source) == body
    assert hash(tuple(body.attributes.values())) == hash(tuple(unpack(data, body.source).attributes.values()))
    made = unpack(data, body.source)
    assert repr(made) == repr(body)  # tells 1 from True, and a Decimal from an int
    assert [type(n) for n in nodes(made)] == [type(n) for n in nodes(body)]
    assert all(b.source is body.source for b in nodes(made) if isinstance(b, tree.Body))
    return made


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files(path: Path) -> None:
    returned(path.read_text())


def test_every_sort_of_node() -> None:
    made = returned(EVERYTHING)
    assert {type(n) for n in nodes(made)} - {tree.Label, tree.Attribute, tree.Block, tree.Body} == set(
        get_args(tree.Expression)
    )


def test_json() -> None:
    resource = {"input": "x-${var.a}", "n": 1.25, "big": 10**30, "list": [None, True, {"k": "\ud800"}]}
    returned(json.dumps({"resource": {"value": {"v": resource}}, "locals": {"x": 1}}), "x.hcl.json")


def test_an_argument_is_a_usual_one_once_it_was_looked_at() -> None:
    body, _ = syntax.parse("a = [1, 2]\nb = 2\n", "x.hcl")
    data = pack(body)
    assert data is not None
    made = unpack(data, body.source)
    a, b = made.attributes.values()
    assert isinstance(a, tree.Attribute)
    assert (a.start, a.end, a.name, a.name_end) == (0, 10, "a", 1)
    assert a.expression is a.expression
    assert type(a) is tree.Attribute
    assert type(dataclasses.replace(b, name="c")) is tree.Attribute
    assert b != a


def test_what_is_too_deep_is_not_packed() -> None:
    body, found = syntax.parse("a = " + " + ".join(["1"] * 20_000) + "\n", "x.hcl")
    assert not found
    assert pack(body) is None


def test_deepest_nesting_that_the_parser_takes() -> None:
    returned("a = " + "[" * 190 + "]" * 190 + "\n")
    returned("b {\n" * 190 + "}\n" * 190)
