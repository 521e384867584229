"""``lifecycle { enabled }``: one instance, or none, which others see as null."""

from __future__ import annotations

from typing import Any

import pytest

TEXT = """
variable "on" { default = true }
resource "part" "p" {
  color = "red"
  lifecycle { enabled = var.on }
}
data "part" "d" {
  label = "x"
  lifecycle { enabled = var.on }
}
module "m" {
  source = "./m"
  lifecycle { enabled = var.on }
}
resource "unit" "u" {
  color  = part.p == null ? "none" : part.p.color
  name   = try(module.m.color, "nothing")
  labels = { parts = length(part.p[*]), modules = length(module.m[*].color), data = data.part.d == null }
}
#> m/main.hcl
resource "part" "inner" { color = "blue" }
output "color" { value = part.inner.color }
"""


def test_there_or_not(planner: Any) -> None:
    data = {"data.part.d": {"label": "x", "found": []}}
    assert planner.plan(TEXT, data=data) == [
        "create       part.p",
        "create       unit.u",
        "create       module.m.part.inner",
    ]
    unit = planner.change("unit.u")
    assert (unit.after["color"], unit.after["name"]) == ("red", "blue")
    assert unit.after["labels"] == {"parts": "1", "modules": "1", "data": "false"}
    assert unit.depends_on == ("data.part.d", "module.m.part.inner", "part.p")
    assert planner.plan(TEXT, given={"on": False}) == ["create       unit.u"]
    unit = planner.change("unit.u")
    assert (unit.after["color"], unit.after["name"], unit.depends_on) == ("none", "nothing", ())
    assert unit.after["labels"] == {"parts": "0", "modules": "0", "data": "true"}


def test_what_is_there_goes(planner: Any) -> None:
    state = planner.state(
        p={"name": "shop-p", "color": "red", "_": {"address": "part.p"}},
        i={"name": "shop-m-inner", "color": "blue", "_": {"address": "module.m.part.inner"}},
    )
    lines = planner.plan(TEXT, state, given={"on": False})
    assert "delete       part.p - the block is not enabled" in lines
    assert "delete       module.m.part.inner - module.m is not enabled" in lines


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("null", "enabled must be true or false, and not null."),
        ('"maybe"', "enabled must be true or false, and not null."),
        ("1", "enabled must be true or false, and not null."),
        ("sensitive(true)", "A sensitive or ephemeral value cannot decide whether there is an instance."),
        ("part.other.id == null", 'The value of "enabled" depends on what is known only after apply'),
    ],
)
@pytest.mark.parametrize(
    "block",
    [
        'resource "part" "p" {\n lifecycle { enabled = %s }\n}',
        'module "m" {\n source = "./m"\n lifecycle { enabled = %s }\n}',
    ],
)
def test_values_that_cannot_decide(planner: Any, value: str, said: str, block: str) -> None:
    text = f'resource "part" "other" {{ }}\n{block % value}\n#> m/main.hcl\nresource "unit" "u" {{ }}\n'
    (told,) = [d for d in planner.build(text).diagnostics if d.is_error]
    assert told.summary == "Invalid enabled argument"
    assert said in told.detail


def test_words_that_are_booleans(planner: Any) -> None:
    assert planner.plan('resource "part" "p" {\n lifecycle { enabled = "false" }\n}') == []
    assert planner.plan('resource "part" "p" {\n lifecycle { enabled = "true" }\n}') == ["create       part.p"]


def test_an_attribute_of_what_is_not_there(planner: Any) -> None:
    text = 'resource "part" "p" {\n lifecycle { enabled = false }\n}\nresource "unit" "u" { name = part.p.color }'
    assert planner.errors(text) == ["Attempt to get attribute from null value"]
    text = 'module "m" {\n source = "./m"\n lifecycle { enabled = false }\n}\nresource "unit" "u" { name = module.m.x }'
    assert planner.errors(text + '\n#> m/main.hcl\noutput "x" { value = 1 }') == [
        "Attempt to get attribute from null value"
    ]


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ('resource "part" "p" {\n count = 1\n lifecycle { enabled = true }\n}', 'combination of "count" and "enabled"'),
        ('resource "part" "p" {\n for_each = {}\n lifecycle { enabled = true }\n}', '"for_each" and "enabled"'),
        ('module "m" {\n source = "./m"\n count = 1\n lifecycle { enabled = true }\n}', '"count" and "enabled"'),
        ('module "m" {\n source = "./m"\n lifecycle { prevent_destroy = true }\n}', "Unsupported argument"),
        ('module "m" {\n source = "./m"\n lifecycle { }\n lifecycle { }\n}', "Duplicate block"),
        ('module "m" {\n source = "./m"\n other { }\n}', "Unsupported block type"),
    ],
)
def test_what_does_not_go_together(text: str, summary: str) -> None:
    from hythe.modules import loader

    _, found = loader.load_texts("/x", {"main.hcl": text, "m/main.hcl": ""})
    (told,) = found
    assert summary in told.summary
    assert told.range is not None


def test_nothing_is_on_what_is_not_there(planner: Any) -> None:
    """Null would be this machine, and whoever names another one wants that least of all."""
    site = 'variable "on" { default = false }\nresource "site" "s" {\n lifecycle { enabled = var.on }\n}\n'
    text = site + 'resource "part" "p" {\n count = 2\n name = "p${count.index}"\n host = %s\n}\n'
    assert planner.errors(text % "site.s") == ["Host is not enabled", "Host is not enabled"]
    assert "site.s is not enabled" in planner.result.diagnostics[0].detail
    assert planner.errors(text % "site.s", given={"on": True}) == []
    # who says so gets it
    assert planner.plan(text % "site.s != null ? site.s : null") == ["create       part.p[0]", "create       part.p[1]"]
    inner = (
        site + 'module "m" {\n source = "./m"\n host = site.s\n}\n#> m/main.hcl\nresource "part" "p" { name = "p" }\n'
    )
    assert planner.errors(inner) == ["Host is not enabled"]
    assert planner.errors(inner, given={"on": True}) == []
