"""Import blocks: what is there is taken in as it is, and then made what the configuration says."""

from __future__ import annotations

from typing import Any

import pytest

from hythe.planner.build import PlanOptions
from hythe.planner.edge import make_plan


def block(to: str, id: str, more: str = "") -> str:
    return f"import {{\n  to = {to}\n  id = {id}\n{more}}}\n"


def errors(house: Any, text: str, **options: Any) -> list[str]:
    outcome = make_plan(house.session(text), house.store.read().state, PlanOptions(**options))
    return [f"{d.summary}: {d.detail}" for d in outcome.diagnostics if d.is_error]


def test_taken_in_as_it_is(house: Any) -> None:
    made = house.world.put("thing", "web", size=1)
    text = 'resource "thing" "a" {\n  name = "web"\n  size = 1\n}\n' + block("thing.a", f'"{made.engine_id}"')
    assert house.plan(text) == "adopt        thing.a"
    assert house.done(text).counts == {"adopt": 1}
    assert list(house.world.objects) == [made.engine_id]
    # the block may stay
    assert house.plan(text) == ""


def test_taken_in_and_changed(house: Any) -> None:
    made = house.world.put("thing", "web", size=1)
    text = 'resource "thing" "a" {\n  name = "web"\n  size = 2\n}\n' + block("thing.a", f'"{made.engine_id}"')
    assert "size" in house.plan(text)
    assert house.done(text).counts == {"adopt": 1, "update": 1}
    assert house.world.objects[made.engine_id].attributes["size"] == 2


def test_many_by_for_each_into_a_module(house: Any) -> None:
    ids = {name: house.world.put("thing", name).engine_id for name in ("x", "y")}
    listed = ", ".join(f'{n} = "{i}"' for n, i in ids.items())
    text = f"""
    module "m" {{
      source   = "./m"
      for_each = toset(["x", "y"])
      name     = each.key
    }}
    import {{
      for_each = {{ {listed} }}
      to       = module.m[each.key].thing.a
      id       = each.value
    }}
    #> m/main.hcl
    variable "name" {{ }}
    resource "thing" "a" {{ name = var.name }}
    """
    assert house.plan(text).splitlines() == ['adopt        module.m["x"].thing.a', 'adopt        module.m["y"].thing.a']
    house.done(text)
    assert sorted(house.world.objects) == sorted(ids.values())


def test_the_id_may_come_from_what_is_known(house: Any) -> None:
    made = house.world.put("thing", "web")
    house.world.put("thing", "finder", size=7)
    text = f"""
    data "thing" "f" {{ name = "finder" }}
    resource "thing" "a" {{ name = "web" }}
    import {{
      to = thing.a
      id = data.thing.f.size == 7 ? "{made.engine_id}" : "none"
    }}
    """
    assert house.plan(text) == "adopt        thing.a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (block("thing.a", '"e1"'), "Import target not declared: The configuration has no thing.a. Write its block"),
        ('resource "thing" "a" {\n count = 1\n}\n' + block("thing.a[1]", '"e1"'), "it has no instance thing.a[1]"),
        ('resource "thing" "a" { }\n' + block("thing.a", '"e9"'), "Object not found"),
        ('resource "thing" "a" { }\n' + block("thing.a", "null"), "Invalid import id"),
        ('resource "thing" "a" { }\n' + block("thing.a", '"e1"') * 2, "Duplicate import"),
        (
            'resource "thing" "a" {\n shape = "round"\n name = "web"\n}\n' + block("thing.a", '"e1"'),
            "would be replaced",
        ),
        (
            'resource "thing" "a" { }\nresource "thing" "b" { name = "b" }\n' + block("thing.a", "thing.b.engine_id"),
            "known only after apply",
        ),
    ],
)
def test_what_cannot_be_taken_in(house: Any, text: str, expected: str) -> None:
    house.world.put("thing", "web", size=1, shape="flat")
    problems = errors(house, text)
    assert len(problems) == 1, problems
    assert expected in problems[0]


def test_one_object_at_two_addresses_is_refused(house: Any) -> None:
    made = house.world.put("thing", "web")
    text = 'resource "thing" "a" { name = "web" }\n'
    house.done(text + block("thing.a", f'"{made.engine_id}"'))
    (problem,) = errors(
        house, text + 'resource "thing" "b" { name = "web" }\n' + block("thing.b", f'"{made.engine_id}"')
    )
    assert "in the state already, as thing.a" in problem


def test_what_the_configuration_has_no_block_for_can_be_generated(house: Any) -> None:
    from hythe.address import parse_address
    from hythe.planner.generate import resource_text

    made = house.world.put("thing", "web", size=3, flavor="mint")
    session = house.session(block("thing.a", f'"{made.engine_id}"'))
    outcome = make_plan(session, house.store.read().state, PlanOptions(generate=True))
    assert not [d for d in outcome.diagnostics if d.is_error]
    text = resource_text(parse_address("thing.a"), session.registry.kind("thing"), outcome.generated["thing.a"], {})
    # the world could have chosen the flavor, so it is for the user to say whether it matters
    assert text == 'resource "thing" "a" {\n  name = "web"\n  size = 3\n  # flavor = "mint"\n}\n'
    for kept in (text, text.replace("# ", "")):
        assert house.plan(kept + block("thing.a", f'"{made.engine_id}"')) == "adopt        thing.a"
