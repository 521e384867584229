"""The JSON form: what stands in strings there, and which objects are blocks."""

from __future__ import annotations

import json
from typing import Any


def as_text(config: dict[str, Any]) -> str:
    return "\n#> more.hcl.json\n" + json.dumps(config, indent=2)


CONFIG = {
    "variable": {"sizes": {"type": "map(number)", "default": {"a": 1, "b": 2}}},
    "resource": {
        "unit": {
            "first": {"name": "first"},
            "each": {
                "for_each": "${var.sizes}",
                "size": "${each.value}",
                "depends_on": ["unit.first"],
                "login": [{"user": "u"}, {"user": "${each.key}"}],
                "lifecycle": {"replace_triggered_by": ["unit.first.name"], "ignore_changes": ["color"]},
            },
            "one": {"login": {"user": "only"}, "dynamic": {"login": {"for_each": ["x"], "content": {"user": "d"}}}},
        }
    },
    "moved": {"from": "unit.old", "to": "unit.first"},
    "removed": [{"from": "unit.gone"}],
    "check": {"c": {"assert": {"condition": '${unit.first.name == "x"}', "error_message": "not x"}}},
    "output": {"all": {"value": "${convert([for k, u in unit.each : u.size], list(string))}"}},
}


def test_names_types_and_blocks(planner: Any) -> None:
    assert planner.plan(as_text(CONFIG)) == [
        'create       unit.each["a"]',
        'create       unit.each["b"]',
        "create       unit.first",
        "create       unit.one",
    ]
    change = planner.change('unit.each["b"]')
    assert change.after["size"] == 2
    assert [login["user"] for login in change.after["login"]] == ["u", "b"]
    assert change.depends_on == ("unit.first",)
    assert [login["user"] for login in planner.change("unit.one").after["login"]] == ["only", "d"]
    assert planner.result.outputs[0].after == ["1", "2"]
    assert [d.summary for d in planner.result.diagnostics] == ["Check block assertion failed"]


def test_mistakes_are_told_where_they_stand(planner: Any) -> None:
    def wrong(config: dict[str, Any]) -> tuple[str, str, int]:
        from hythe.modules import loader
        from hythe.planner.program import compile_config

        loaded, found = loader.load_texts("/x", {"a.hcl.json": json.dumps(config, indent=2)})
        if not found:
            _, found = compile_config(loaded, planner.registry)
        (problem,) = found
        place = problem.range
        text = loaded.files["a.hcl.json"][place.start : place.end]
        return problem.summary, text, place.line

    assert wrong({"variable": {"v": {"type": "strin"}}})[:2] == ("Invalid type specification", "strin")
    assert wrong({"resource": {"unit": {"u": {"depends_on": ["unit.x"]}}}})[:2] == (
        "Reference to undeclared resource",
        "unit.x",
    )
    assert wrong({"resource": {"unit": {"u": {"login": [{"user": "u", "usr": "x"}]}}}})[1:] == ('"usr"', 8)
    assert wrong({"output": {"o": {"value": "all of ${unit.a.name} and ${part.b}"}}, "resource": {"unit": {"a": {}}}})[
        1:
    ] == ("part.b", 4)
    assert wrong({"moved": {"from": "1 + 1", "to": "unit.a"}})[0] == "Invalid expression"


def test_mistakes_in_types_inside_of_strings(planner: Any) -> None:
    text = as_text({"output": {"o": {"value": "x${convert(1, strin)}"}}})
    (problem,) = planner.build(text).diagnostics
    assert (problem.summary, problem.range.filename) == ("Invalid type specification", "more.hcl.json")
    assert text.splitlines()[problem.range.line + 1][problem.range.column - 1 :].startswith("strin)")


def test_lifecycle(planner: Any) -> None:
    lifecycle = {"enabled": "${var.on}", "prevent_destroy": "${!var.on}"}
    text = as_text({"variable": {"on": {"default": True}}, "resource": {"unit": {"u": {"lifecycle": lifecycle}}}})
    assert planner.plan(text) == ["create       unit.u"]
    assert planner.plan(text, given={"on": False}) == []
