"""Override files: what they change, what they cannot, and where messages point."""

from __future__ import annotations

from typing import Any

import pytest

from hythe.modules import loader
from hythe.modules.syntax.tree import Literal

BASE = """
variable "size" {
  type    = number
  default = 1
}
locals {
  a = 1
  b = 2
}
resource "thing" "x" {
  name  = "base"
  size  = 1
  count = 2
  part { n = 1 }
  part { n = 2 }
  lifecycle {
    prevent_destroy       = true
    create_before_destroy = true
  }
}
output "o" { value = 1 }
"""


def load(override: str, **more: str) -> tuple[Any, list[Any]]:
    files = {"a_override.hcl": override, "main.hcl": BASE, **more}
    config, found = loader.load_texts("/x", files)
    return config.module, found


def test_arguments_blocks_lifecycle_and_locals() -> None:
    module, found = load(
        'resource "thing" "x" {\n  size = 5\n  for_each = {}\n  part { n = 9 }\n'
        "  lifecycle {\n    prevent_destroy = false\n  }\n}\n"
        'locals { b = 7 }\nvariable "size" { default = 3 }\noutput "o" { sensitive = true }\n'
    )
    assert found == []
    block = module.resources["managed", "thing", "x"]
    assert sorted(block.body.attributes) == ["for_each", "name", "size"]
    assert block.count is None
    assert block.for_each is not None
    size = block.body.attributes["size"].expression
    assert isinstance(size, Literal)
    assert size.value == 5
    assert [b.type for b in block.body.blocks if b.type == "part"] == ["part"]
    assert not block.lifecycle.prevent_destroy
    assert block.lifecycle.create_before_destroy
    assert module.locals["b"].range.filename == "a_override.hcl"
    assert module.locals["a"].range.filename == "main.hcl"
    assert str(module.variables["size"].type) == "number"
    assert module.outputs["o"].sensitive


def test_places_are_told_in_the_file_they_are_in() -> None:
    module, _ = load('\n\nresource "thing" "x" {\n  size = 5\n}\n')
    block = module.resources["managed", "thing", "x"]
    at = block.body.attributes["size"]
    place = block.body.source.range(at.start, at.end)
    assert (place.filename, place.line, place.column) == ("a_override.hcl", 4, 3)
    assert (block.range.filename, block.range.line) == ("main.hcl", 10)
    assert block.body.source.text[at.start : at.end] == "size = 5"


def test_json_overrides_too() -> None:
    module, found = load("", **{"override.hcl.json": '{"resource": {"thing": {"x": {"size": 8}}}}'})
    assert found == []
    size = module.resources["managed", "thing", "x"].body.attributes["size"].expression
    assert getattr(size, "value", None) == 8


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ('resource "thing" "y" {}', "Nothing to override"),
        ("locals { c = 1 }", "Nothing to override"),
        ('check "c" {}', "Unsupported override"),
        ('resource "thing" "x" { depends_on = [] }', "Unsupported override"),
    ],
)
def test_what_cannot_be_overridden(text: str, summary: str) -> None:
    _, found = load(text)
    assert [d.summary for d in found] == [summary]
    assert found[0].range.filename == "a_override.hcl"


def test_a_file_that_cannot_be_read_is_told_where_it_is_wrong() -> None:
    _, found = load('resource "thing" "x" {\n  size = = 5\n}\n')
    assert found
    assert (found[0].range.filename, found[0].range.line) == ("a_override.hcl", 2)
