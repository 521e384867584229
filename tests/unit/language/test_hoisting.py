"""What instances of a block share, and what each evaluates by itself."""

from __future__ import annotations

from typing import Any

import pytest

from hythe.diagnostic import Diagnostic
from hythe.modules import syntax
from hythe.modules.language.compile import compile_expression
from hythe.modules.language.functions.registry import Environment
from hythe.modules.language.scope import Scope, SharedValues
from hythe.value import STRING, Lazy, List, Sensitive, Unknown, Value


class Instance(Lazy):
    """A machine that notes that it was read."""

    def get(self, key: str | int, reads: set[str]) -> Value:
        reads.add("vm.db")
        return {"address": "10.0.0.1"}[str(key)]


class Counting(Lazy):
    """Names that count how often they are looked up."""

    def __init__(self, items: dict[str, Value]) -> None:
        self.items = items
        self.count = 0

    def get(self, key: str | int, reads: set[str]) -> Value:
        self.count += 1
        return self.items[str(key)]


class Outcome:
    """What two instances make of an expression. ``lookups`` are those of ``local``."""

    def __init__(self, text: str, locals: dict[str, Value], share: bool = True) -> None:
        tree, source, found = syntax.parse_expression(text, "main.hcl")
        assert not found, found
        assert tree is not None
        compiled = compile_expression(tree, source, repeated=True)
        names = Counting(locals)
        shared: SharedValues | None = {} if share else None
        self.values: list[Value] = []
        self.reads: list[set[str]] = []
        self.found: list[list[Diagnostic]] = []
        for key in ("a", "b"):
            roots: dict[str, Any] = {"local": names, "each": {"key": key, "value": len(self.values)}}
            scope = Scope(roots, Environment(), address=f'value.v["{key}"]')
            scope.shared = shared
            self.values.append(compiled.evaluate(scope))
            self.reads.append(scope.reads)
            self.found.append(scope.diagnostics)
        self.lookups = names.count


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('join(",", [for w in local.words : upper(w)])', "A,B"),
        ('"${local.name}-x"', "n-x"),
        ("{ for i, w in local.words : w => i }", {"a": 0, "b": 1}),
        ("local.words[*]", ("a", "b")),
        ('try(local.missing, "none")', "none"),
        ('upper("${local.secret}")', Sensitive("S")),
        ("convert(local.words, list(string))", List(["a", "b"], STRING)),
    ],
)
def test_what_is_the_same_for_all_is_evaluated_once(text: str, value: Value) -> None:
    locals_: dict[str, Value] = {"words": ("a", "b"), "name": "n", "secret": Sensitive("s")}
    got = Outcome(text, locals_)
    alone = Outcome(text, locals_, share=False)
    assert got.values == alone.values == [value, value]
    assert got.lookups * 2 == alone.lookups


def test_parts_are_shared_where_the_whole_is_not() -> None:
    got = Outcome('"${each.key}-${join("+", local.words)}"', {"words": ("a", "b")})
    assert got.values == ["a-a+b", "b-a+b"]
    assert got.lookups == 1


def test_each_instance_reads_what_was_read_for_all() -> None:
    got = Outcome('"http://${local.db.address}"', {"db": Instance()})
    assert got.values == ["http://10.0.0.1"] * 2
    assert got.reads == [{"vm.db"}, {"vm.db"}]
    assert got.lookups == 1


def test_what_is_not_known_is_shared_too() -> None:
    got = Outcome('"x-${local.later}"', {"later": Unknown("string")})
    assert got.values == [Unknown("string")] * 2


def test_errors_are_told_for_each_instance() -> None:
    got = Outcome("local.words + 1", {"words": ("a",)})
    assert [[d.address for d in found] for found in got.found] == [['value.v["a"]'], ['value.v["b"]']]
    assert [[d.summary for d in found] for found in got.found] == [["Invalid operand"], ["Invalid operand"]]


def test_functions_with_another_result_each_time_are_called_for_each_instance() -> None:
    first, second = Outcome('"${local.name}-${uuid()}"', {"name": "n"}).values
    assert first != second


def test_a_name_of_a_for_is_not_the_root_of_that_name() -> None:
    got = Outcome('[for local in [{ n = each.key }, { n = "c" }] : "${local.n}!"]', {"n": "wrong"})
    assert got.values == [("a!", "c!"), ("b!", "c!")]


def test_the_element_of_a_splat_is_no_shared_name() -> None:
    got = Outcome('[{ n = each.key }][*]["${local.name}"]', {"name": "n"})
    assert got.values == [("a",), ("b",)]
