"""Modules: what passes in and out, how often they are there, and what their objects are called."""

from __future__ import annotations

from typing import Any

from hythe.value import Reference

SHOP = """
module "shop" {
  source = "./shop"
  color  = "red"
}
output "name" { value = module.shop.name }
#> shop/main.hcl
variable "color" { type = string }
locals { shown = upper(var.color) }
resource "part" "web" { color = local.shown }
output "name" { value = part.web.name }
"""


def test_a_module_has_addresses_and_names_of_its_own(planner: Any) -> None:
    assert planner.plan(SHOP + "\n#> other.hcl\n" + 'resource "part" "web" { }') == [
        "create       part.web",
        "create       module.shop.part.web",
    ]
    assert planner.change("module.shop.part.web").after["color"] == "RED"


def test_one_module_called_twice(planner: Any) -> None:
    text = """
    module "a" {
      source = "./shop"
      color  = "red"
    }
    module "b" {
      source = "./shop"
      color  = module.a.color
    }
    #> shop/main.hcl
    variable "color" { }
    resource "part" "web" {
      color  = var.color
      labels = { at = path.module }
    }
    resource "unit" "u" { name = part.web.color }
    output "color" { value = "${part.web.color}s" }
    """
    assert planner.plan(text) == [
        "create       module.a.part.web",
        "create       module.a.unit.u",
        "create       module.b.part.web",
        "create       module.b.unit.u",
    ]
    assert planner.change("module.b.unit.u").after["name"] == "reds"
    assert planner.change("module.a.part.web").after["labels"] == {"at": "shop"}
    assert planner.change("module.b.part.web").depends_on == ("module.a.part.web",)


def test_count_and_for_each(planner: Any) -> None:
    text = """
    module "n" {
      count  = 2
      source = "./m"
      size   = count.index
    }
    module "e" {
      for_each = { x = 7, y = 8 }
      source   = "./m"
      size     = each.value
    }
    output "sizes" { value = module.n[*].size }
    output "y" { value = module.e["y"].size }
    output "all" { value = { for k, m in module.e : k => m.size } }
    #> m/main.hcl
    variable "size" { type = number }
    resource "unit" "u" { size = var.size }
    output "size" { value = unit.u.size }
    """
    planner.plan(text)
    assert {c.address: c.after["size"] for c in planner.result.changes} == {
        "module.n[0].unit.u": 0,
        "module.n[1].unit.u": 1,
        'module.e["x"].unit.u': 7,
        'module.e["y"].unit.u': 8,
    }
    assert {o.name: o.after for o in planner.result.outputs} == {"sizes": [0, 1], "y": 8, "all": {"x": 7, "y": 8}}


def test_an_instance_depends_on_its_own_element(planner: Any) -> None:
    text = """
    resource "site" "s" { for_each = toset(["a", "b"]) }
    module "m" {
      for_each = site.s
      source   = "./m"
      site     = each.value
    }
    #> m/main.hcl
    variable "site" { }
    resource "part" "p" { host = var.site }
    """
    planner.plan(text)
    change = planner.change('module.m["b"].part.p')
    assert change.host == 'site.s["b"]'
    assert change.depends_on == ('site.s["b"]',)
    assert change.after["host"] == Reference("site", 'site.s["b"]', change.after["host"].id)


def test_depends_on_reaches_all_that_is_inside(planner: Any) -> None:
    text = """
    resource "unit" "first" { }
    module "m" {
      source     = "./m"
      depends_on = [unit.first]
    }
    resource "unit" "last" { depends_on = [module.m] }
    #> m/main.hcl
    resource "unit" "u" { }
    module "inner" { source = "../inner" }
    #> inner/main.hcl
    resource "unit" "v" { }
    """
    planner.plan(text)
    assert planner.change("module.m.unit.u").depends_on == ("unit.first",)
    assert planner.change("module.m.module.inner.unit.v").depends_on == ("unit.first",)
    assert planner.change("unit.last").depends_on == ("module.m.module.inner.unit.v", "module.m.unit.u")


def test_outputs_do_not_make_circles_of_whole_modules(planner: Any) -> None:
    text = """
    module "a" {
      source = "./m"
      size   = 1
      other  = module.b.size
    }
    module "b" {
      source = "./m"
      size   = module.a.size
    }
    #> m/main.hcl
    variable "size" { }
    variable "other" { default = 0 }
    resource "unit" "u" { size = var.size }
    resource "unit" "o" { size = var.other }
    output "size" { value = unit.u.size + 1 }
    """
    planner.plan(text)
    assert planner.change("module.a.unit.o").after["size"] == 3


def test_what_is_wrong_with_a_call(planner: Any) -> None:
    text = """
    module "m" {
      source = "./m"
      sise   = 1
    }
    output "o" { value = module.m.nme }
    output "p" { value = module.mm.name }
    #> m/main.hcl
    variable "size" { type = number }
    output "name" { value = self.x }
    """
    result = planner.build(text)
    assert {d.summary for d in result.diagnostics} == {
        "Unsupported argument",
        "Missing required argument",
        "Unsupported attribute",
        "Reference to undeclared module",
        "Invalid reference",
    }
    assert any('Did you mean "size"?' in d.detail for d in result.diagnostics)
    assert any('Did you mean "name"?' in d.detail for d in result.diagnostics)


def test_types_defaults_and_validation_of_variables(planner: Any) -> None:
    module = """
    #> m/main.hcl
    variable "limits" { type = object({ low = number, high = optional(number, 9) }) }
    variable "size" {
      type     = number
      default  = 5
      nullable = false
      validation {
        condition     = var.size <= var.limits.high
        error_message = "${var.size} is more than ${var.limits.high}."
      }
    }
    resource "unit" "u" { size = var.size }
    """
    call = 'module "m" {\n source = "./m"\n limits = { low = 1 }\n %s }\n'
    planner.plan(call % "" + module)
    assert planner.change("module.m.unit.u").after["size"] == 5
    planner.plan(call % "size = null\n" + module)
    assert planner.change("module.m.unit.u").after["size"] == 5
    (problem,) = planner.build(call % "size = 10\n" + module).diagnostics
    assert (problem.summary, problem.detail) == ("Invalid value for variable", "10 is more than 9.")
    (problem,) = planner.build(call % 'size = "ten"\n' + module).diagnostics
    assert problem.summary == "Invalid value for variable"
    assert problem.range.filename == "main.hcl"
    assert problem.range.line == 4


def test_sensitive_values_stay_so(planner: Any) -> None:
    text = """
    module "m" {
      source = "./m"
      word   = "secret"
    }
    resource "unit" "u" { name = module.m.word }
    resource "unit" "v" { name = module.m.plain }
    #> m/main.hcl
    variable "word" { sensitive = true }
    output "word" { value = var.word }
    output "plain" {
      value     = "x"
      sensitive = true
    }
    """
    planner.plan(text)
    assert ("name",) in planner.change("unit.u").after_sensitive
    assert ("name",) in planner.change("unit.v").after_sensitive


def test_preconditions_of_an_output(planner: Any) -> None:
    text = """
    module "m" { source = "./m" }
    #> m/main.hcl
    output "o" {
      value = 1
      precondition {
        condition     = 1 > 2
        error_message = "One is not more."
      }
    }
    """
    assert planner.errors(text) == ["Output precondition failed"]


def test_a_module_that_calls_itself(planner: Any) -> None:
    from hythe.modules import loader

    _, found = loader.load_texts(
        "/x", {"main.hcl": 'module "m" { source = "./m" }', "m/main.hcl": 'module "again" { source = "../m" }'}
    )
    assert [d.summary for d in found] == ["Module calls itself"]


def test_removed_with_why(planner: Any) -> None:
    text = """
    module "m" {
      for_each = toset(["a"])
      source   = "./m"
    }
    #> m/main.hcl
    resource "part" "p" { }
    """
    state = planner.state(
        gone={"_": {"address": 'module.m["b"].part.p'}},
        old={"_": {"address": "module.old.part.p"}},
        single={"_": {"address": "module.m.part.p"}},
        a={"name": "shop-m-a-p", "_": {"address": 'module.m["a"].part.p'}},
    )
    lines = planner.plan(text, state)
    assert 'delete       module.m["b"].part.p - for_each of module.m no longer includes "b"' in lines
    assert "delete       module.m.part.p - module.m now uses for_each" in lines
    assert "delete       module.old.part.p - it is no longer in the configuration" in lines


def test_targets(planner: Any) -> None:
    text = """
    resource "unit" "base" { }
    resource "unit" "beside" { }
    module "m" {
      for_each = toset(["a", "b"])
      source   = "./m"
      name     = unit.base.id
    }
    #> m/main.hcl
    variable "name" { }
    resource "unit" "u" { name = var.name }
    resource "unit" "v" { }
    """

    def planned(*targets: str, **more: Any) -> set[str]:
        planner.plan(text, targets=targets, **more)
        return {c.address for c in planner.result.changes}

    assert planned("module.m") == {"unit.base", *(f'module.m["{k}"].unit.{n}' for k in "ab" for n in "uv")}
    assert planned('module.m["a"]') == {"unit.base", 'module.m["a"].unit.u', 'module.m["a"].unit.v'}
    assert planned('module.m["b"].unit.v') == {'module.m["b"].unit.v'}
    assert planned("module.m.unit.v") == {'module.m["a"].unit.v', 'module.m["b"].unit.v'}
    planner.plan(text, excludes=("module.m",))
    assert {c.address for c in planner.result.changes} == {"unit.base", "unit.beside"}
    planner.plan(text, excludes=("unit.base",))
    assert {c.address for c in planner.result.changes} == {"unit.beside", *(f'module.m["{k}"].unit.v' for k in "ab")}
    assert planner.errors(text, targets=("module.x",)) == ["Invalid --target"]


def test_unknown_number_of_module_instances_keeps_what_is_there(planner: Any) -> None:
    text = """
    resource "part" "p" { }
    module "m" {
      count  = length(part.p.id)
      source = "./m"
    }
    #> m/main.hcl
    resource "unit" "u" { }
    """
    state = planner.state(u={"_": {"address": "module.m[0].unit.u", "kind": "unit"}})
    result = planner.build(text, state)
    assert [d.summary for d in result.diagnostics] == ["Invalid count argument"]
    assert not [c for c in result.changes if c.action.value == "delete"]


def test_a_module_is_put_on_a_machine_as_a_whole(planner: Any) -> None:
    text = """
    resource "site" "s" { for_each = toset(["a", "b"]) }
    resource "site" "other" { }
    module "m" {
      for_each = site.s
      source   = "./m"
      host     = each.value
    }
    module "taken" {
      source = "./taken"
      host   = site.other
    }
    #> m/main.hcl
    resource "unit" "u" { }
    resource "site" "inner" { }
    resource "unit" "there" { host = site.inner }
    module "deep" { source = "../deep" }
    #> deep/main.hcl
    resource "unit" "d" { }
    #> taken/main.hcl
    variable "host" { }
    resource "unit" "here" { }
    resource "unit" "there" { host = var.host }
    """
    planner.plan(text)
    hosts = {c.address: c.host for c in planner.result.changes if c.kind == "unit"}
    assert hosts == {
        'module.m["a"].unit.u': 'site.s["a"]',
        'module.m["b"].unit.u': 'site.s["b"]',
        'module.m["a"].unit.there': 'module.m["a"].site.inner',
        'module.m["b"].unit.there': 'module.m["b"].site.inner',
        'module.m["a"].module.deep.unit.d': 'site.s["a"]',
        'module.m["b"].module.deep.unit.d': 'site.s["b"]',
        "module.taken.unit.here": None,
        "module.taken.unit.there": "site.other",
    }
    assert planner.change('module.m["a"].module.deep.unit.d').depends_on == ('site.s["a"]',)
