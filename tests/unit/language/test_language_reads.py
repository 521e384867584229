"""What evaluation records as read, as a whole and per element."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from hythe.diagnostic import Diagnostic
from hythe.modules import syntax
from hythe.modules.language.compile import Compiled, compile_expression
from hythe.modules.language.elements import Elements, evaluate_elements
from hythe.modules.language.scope import Scope
from hythe.value import Instance, Lazy, Unknown, Value


class LazyInstance(Lazy):
    def __init__(self, address: str, attributes: dict[str, Value]) -> None:
        self.instance = Instance(attributes, "vm", address, "id-" + address)

    def get(self, key: str | int, reads: set[str]) -> Value:
        value = self.instance[str(key)]
        reads.add(self.instance.address)
        return value

    def force(self, reads: set[str]) -> Value:
        reads.add(self.instance.address)
        return self.instance

    def keys(self) -> Any:
        return iter(self.instance)


class LazyBlock(Lazy):
    def __init__(self, instances: dict[Any, LazyInstance]) -> None:
        self.instances = instances

    def get(self, key: str | int, reads: set[str]) -> Value:
        return self.instances[key]

    def force(self, reads: set[str]) -> Value:
        values = {key: item.force(reads) for key, item in self.instances.items()}
        return tuple(values.values()) if 0 in values else values

    def elements(self) -> Iterable[tuple[str | int, Value]] | None:
        return self.instances.items()


class LazyRoot(Lazy):
    def __init__(self, items: dict[str, Value]) -> None:
        self.items = items

    def get(self, key: str | int, reads: set[str]) -> Value:
        return self.items[str(key)]

    def force(self, reads: set[str]) -> Value:
        return {key: value.force(reads) for key, value in self.items.items()}

    def keys(self) -> Any:
        return iter(self.items)


def vm(address: str, **attributes: Value) -> LazyInstance:
    return LazyInstance(address, {"name": address, "cpus": 2, **attributes})


A, B, C = 'vm.node["a"]', 'vm.node["b"]', 'vm.node["c"]'


def scope() -> Scope:
    node = LazyBlock({"a": vm(A), "b": vm(B), "c": vm(C, cpus=1)})
    many = LazyBlock({0: vm("vm.many[0]"), 1: vm("vm.many[1]")})
    roots = {"vm": LazyRoot({"node": node, "many": many, "one": vm("vm.one")}), "unknown": Unknown("bool")}
    return Scope(roots)


def compiled(text: str) -> Compiled:
    expr, source, diagnostics = syntax.parse_expression(text, "t")
    assert not diagnostics
    assert expr is not None
    return compile_expression(expr, source)


def reads(text: str) -> set[str]:
    inner = scope()
    compiled(text).evaluate(inner)
    assert not inner.diagnostics, inner.diagnostics
    return inner.reads


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ('vm.node["a"].name', {A}),
        ("vm.node", {A, B, C}),
        ('vm.node[true ? "b" : "a"].name', {B}),
        ("vm.many[1].name", {"vm.many[1]"}),
        ('vm.many["1"].name', {"vm.many[1]"}),
        ("vm.many[*].name", {"vm.many[0]", "vm.many[1]"}),
        ("true ? vm.one.name : vm.node.a.name", {"vm.one"}),
        ("unknown ? vm.one.name : vm.node.a.name", {"vm.one", A}),
        ("true || vm.one.name", set()),
        ('try(vm.one.nope, vm.node["a"].name)', {A}),
        ('[for k, v in vm.node : k if k == "a"]', set()),
        ('[for k, v in vm.node : v.name if k == "a"]', {A}),
    ],
)
def test_only_what_is_read_counts(text: str, want: set[str]) -> None:
    if "||" in text:
        inner = scope()
        compiled(text).evaluate(inner)
        assert inner.reads == want
        return
    assert reads(text) == want


def test_a_reference_stays_lazy_until_needed() -> None:
    inner = scope()
    value = compiled("vm.node").evaluate_lazy(inner)
    assert isinstance(value, LazyBlock)
    assert not inner.reads


def test_missing_lazy_names_are_reported_with_a_hint() -> None:
    inner = scope()
    compiled("vm.nodes").evaluate(inner)
    assert 'Did you mean "node"?' in inner.diagnostics[0].detail


def elements(text: str) -> tuple[Elements, list[Diagnostic]]:
    inner = scope()
    result = evaluate_elements(compiled(text), inner)
    return result, inner.diagnostics


@pytest.mark.parametrize(
    ("text", "base", "own"),
    [
        ("vm.node", set(), {"a": {A}, "b": {B}, "c": {C}}),
        ("{for k, v in vm.node : k => v.name if v.cpus > 1}", set(), {"a": {A}, "b": {B}}),
        ("{x = vm.one.name, y = vm.node.a.name}", set(), {"x": {"vm.one"}, "y": {A}}),
        ("{(vm.one.name) = 1}", {"vm.one"}, {"vm.one": set()}),
        ("vm.one.cpus > 1 ? vm.node : {}", {"vm.one"}, {"a": {A}, "b": {B}, "c": {C}}),
        ("[vm.one.name, 1]", set(), {0: {"vm.one"}, 1: set()}),
        ("toset([vm.one.name])", {"vm.one"}, {}),
        ("{for k, v in vm.node : v.cpus => k...}", set(), {"2": {A, B}, "1": {C}}),
    ],
)
def test_elements_carry_their_own_reads(text: str, base: set[str], own: dict[Any, set[str]]) -> None:
    result, diagnostics = elements(text)
    assert not diagnostics
    assert result.base_reads == base
    assert result.element_reads == own


def test_elements_have_the_values_of_plain_evaluation() -> None:
    for text in ("vm.node", "{for k, v in vm.node : k => v.name}", "{x = vm.one}", "true ? {a = vm.one.name} : {}"):
        result, _ = elements(text)
        assert result.value == compiled(text).evaluate(scope())


def test_undecided_elements_count_for_all() -> None:
    result, _ = elements("{for k, v in vm.node : k => v.name if unknown && v.cpus > 0}")
    assert isinstance(result.value, Unknown)
    assert result.base_reads >= {A}


def references(text: str) -> list[tuple[str, tuple[Any, ...]]]:
    return [(ref.root, ref.steps) for ref in compiled(text).references]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ('vm.node["a"].name', [("vm", ("node", "a", "name"))]),
        ("vm.node[0].name", [("vm", ("node", 0, "name"))]),
        ("vm.node[var.x].name", [("vm", ("node", None, "name")), ("var", ("x",))]),
        ("vm.node[*].name", [("vm", ("node",))]),
        ("[for v in vm.node : v.name if var.y]", [("vm", ("node",)), ("var", ("y",))]),
        ('"${var.a}-${upper(var.b)}"', [("var", ("a",)), ("var", ("b",))]),
        ("{a = var.x, (var.k) = 1}", [("var", ("x",)), ("var", ("k",))]),
        ('{vm = "x"}', []),
        ("(vm.node).name", [("vm", ("node",))]),
        ("convert(var.a, string)", [("var", ("a",))]),
        (
            "[core::convert(convert(var.a, any), object({ s = optional(string, var.b) })), list]",
            [
                ("var", ("a",)),
                ("list", ()),
            ],
        ),
        ("convert(var.a, string, var.b)", [("var", ("a",))]),
    ],
)
def test_references(text: str, want: list[Any]) -> None:
    assert references(text) == want


def test_references_know_their_place() -> None:
    (reference,) = compiled("1 + var.abc").references
    assert (reference.range.start, reference.range.end) == (4, 11)
