"""Expressions as the language's specification describes them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from hythe.modules.language import Sensitive, Unknown, evaluate, to_json
from hythe.modules.language.types import type_of
from hythe.value import Instance, List, Map, Null, Set, object_of


def ev(source: str, /, *, template: bool = False, **scope: Any) -> Any:
    value, diagnostics = evaluate(source, scope, template=template)
    assert not diagnostics, diagnostics
    return to_json(value)


def problem(source: str, /, *, template: bool = False, **scope: Any) -> tuple[str, str]:
    _, diagnostics = evaluate(source, scope, template=template)
    assert diagnostics, f"{source} is no error"
    return diagnostics[0].summary, diagnostics[0].detail


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 2 - 3", 5),
        ("7 / 2", Decimal("3.5")),
        ("6 / 2", 3),
        ("7 % 3", 1),
        ("-7 % 3", -1),
        ("7 % -3", 1),
        ("5.5 % 2", Decimal("1.5")),
        ("0.1 + 0.2", Decimal("0.3")),
        ("0.5 + 0.5", 1),
        ('"3" * "4"', 12),
        ("-(-3)", 3),
        ('-"3"', -3),
        ("1 < 2", True),
        ('"10" > 9', True),
        ("2 >= 2", True),
        ("1 == 1.0", True),
        ('1 == "1"', False),
        ("true == 1", False),
        ("null == null", True),
        ("{} == null", False),
        ("[1, 2] == [1, 2]", True),
        ("[1, 2] == [1]", False),
        ("{a = 1} != {a = 2}", True),
        ("{a = null} == {a = null}", True),
        ("{a = null} == {a = tonumber(null)}", False),
        ('tolist([]) == tolist(["a"])', False),
        ("tolist([]) == toset([])", False),
        ("[for x in tolist([1]) : x if false] == []", True),
        ("slice(tolist([1]), 0, 0) == tolist([])", False),
        ('"e\\u0301" == "\u00e9"', True),
        ('"${"e"}\\u0301" == "\u00e9"', True),
        ('".5" + "-.5"', 0),
        ('"1." * "+5"', 5),
        ('{ "e\\u0301" = true }.\u00e9', True),
        ('{ \u00e9 = true }["e\\u0301"]', True),
        ('{ e\u0301 = true }["\u00e9"]', True),
        ("!true", False),
        ('!"false"', True),
        ("true && !false", True),
        ('"true" || false', True),
    ],
)
def test_operators(source: str, want: object) -> None:
    got = ev(source)
    assert got == want
    assert type(got) is type(want)


def test_division_keeps_many_digits() -> None:
    assert str(ev("1 / 3")).startswith("0." + "3" * 150)


@pytest.mark.parametrize(
    ("source", "summary", "detail"),
    [
        ("1 / 0", "Operation failed", "division by zero"),
        ("1 + true", "Invalid operand", "right operand: a number is required"),
        ('"a" + 1', "Invalid operand", "left operand: a number is required"),
        ("null + 1", "Invalid operand", "null"),
        ("![]", "Invalid operand", "a bool is required"),
        ("true || 5", "Invalid operand", "right operand"),
        ("false && tomap(null)", "Invalid operand", "right operand"),
        ("nope", "Unknown variable", "nope"),
        ("nope(1)", "Call to unknown function", "nope"),
        ("uper(1)", "Call to unknown function", 'Did you mean "upper"?'),
        ("null ? 1 : 2", "Null condition", "null"),
        ("[] ? 1 : 2", "Incorrect condition type", "bool"),
        ("{(null) = 1}", "Null value as key", "null"),
        ("{([]) = 1}", "Incorrect key type", "string"),
        ("[for x in null : x]", "Iteration over null value", "null"),
        ("[for x in 5 : x]", "Iteration over non-iterable value", "number"),
        ("[for x in [1] : x if null]", "Invalid 'for' condition", "null"),
        ("[for x in [] : x if 5]", "Invalid 'for' condition", "bool"),
        ("{for x in [1, 1] : x => x}", "Duplicate object key", '"1"'),
        ("{for x in [1] : null => x}", "Invalid object key", "null"),
        ("upper(null...)", "Invalid expanding argument value", "null"),
        ("9" * 4000 + " * 10 * " + "9" * 4000, "Operation failed", ""),
    ],
)
def test_mistakes(source: str, summary: str, detail: str) -> None:
    got = problem(source)
    assert got[0] == summary
    assert detail in got[1]


def test_a_settled_side_hides_errors_of_the_other() -> None:
    assert ev("true || nope.x") is True
    assert ev("nope.x || true") is True
    assert ev("false && nope") is False
    assert ev("nope && false") is False
    assert problem("true && nope")[0] == "Unknown variable"


@pytest.mark.parametrize(
    ("source", "want", "kind"),
    [
        ("true ? 1 : 2", 1, "number"),
        ('true ? 1 : "b"', "1", "string"),
        ("false ? 1 : null", None, "number"),
        ('"true" ? 1 : 2', 1, "number"),
        ('true ? {a = "x"} : {}', {"a": "x"}, "map(string)"),
        ('true ? ["x"] : []', ["x"], "list(string)"),
        ("true ? [1] : [2]", [1], "tuple([number])"),
        ("true ? 1 : nope", 1, "number"),
        ("false ? null : null", None, "any"),
    ],
)
def test_conditional(source: str, want: object, kind: str) -> None:
    value, _ = evaluate(source, {})
    assert to_json(value) == want
    assert str(type_of(value)) == kind


def test_what_is_unknown_is_of_no_wrong_type_for_a_condition() -> None:
    assert ev("u ? 1 : 2", u=Unknown("list(string)")) == {"$unknown": "number"}
    assert ev("%{ if u }a%{ endif }", template=True, u=Unknown("number")) == {"$unknown": "string"}
    assert problem("u ? 1 : {}", u=Unknown("number"))[0] == "Inconsistent conditional result types"


def test_conditional_says_where_types_differ() -> None:
    assert 'attribute "a"' in problem("true ? {a = 1} : {a = true}")[1]
    assert "length 1" in problem("true ? [1] : [true, 2]")[1]


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("[for x in [1, 2, 3] : x * 2 if x > 1]", [4, 6]),
        ("[for i, x in [5, 6] : i + x]", [5, 7]),
        ('[for k, v in {b = 1, a = 2} : "${k}${v}"]', ["a2", "b1"]),
        ("{for k, v in {a = 1} : v => k}", {"1": "a"}),
        ('{for x in ["a", "b", "a"] : x => x...}', {"a": ["a", "a"], "b": ["b"]}),
        ("[for x in [[1], [2]] : [for y in x : y + 1]]", [[2], [3]]),
        ("{for x in [] : x => x}", {}),
        ("[for x in [1] : [for x in [2] : x][0] + x]", [3]),
    ],
)
def test_for(source: str, want: object) -> None:
    assert ev(source) == want


def test_for_over_a_set_has_elements_as_keys() -> None:
    assert ev("{for k, v in s : k => v}", s={"b", "a"}) == {"a": "a", "b": "b"}


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("xs[*].n", [1, 2]),
        ("xs.*.n", [1, 2]),
        ("xs[*].m[0]", [3, 4]),
        ("xs.*.m[0]", [3]),
        ("one[*].n", [9]),
        ("nothing[*].n", []),
        ("xs[*]", [{"n": 1, "m": [3]}, {"n": 2, "m": [4]}]),
    ],
)
def test_splat(source: str, want: object) -> None:
    xs = [{"n": 1, "m": [3]}, {"n": 2, "m": [4]}]
    assert ev(source, xs=xs, one={"n": 9}, nothing=None) == want


def test_splat_is_checked_where_there_is_no_element() -> None:
    none = List([], type_of(""))
    assert problem("s[*].n", s=none)[0] == "Unsupported attribute"
    assert problem("s.*.n", s=Set([], type_of("")))[0] == "Unsupported attribute"
    assert problem("s[*][0]", s=none)[0] == "Invalid index"


def test_splat_within_a_splat_makes_no_list_of_many_types() -> None:
    kind = object_of({"a": type_of("")})
    items = List([{"a": Null(type_of(""))}, {"a": "x"}], kind)
    assert ev("s[*].a", s=items) == [None, "x"]
    assert problem("s[*].a[*]", s=items)[0] == "Invalid nested splat expressions"
    assert ev("s[*].a[*]", s=List([{"a": "y"}, {"a": "x"}], kind)) == [["y"], ["x"]]


def test_splat_of_a_secret_has_a_secret_in_it() -> None:
    assert ev("s[*]", s=Sensitive(7)) == {"$sensitive": [{"$sensitive": 7}]}


def test_an_index_of_unknown_type_gives_what_is_unknown_altogether() -> None:
    assert ev("s[i]", s=List(["a"], type_of("")), i=Unknown()) == {"$unknown": "any"}
    assert ev("s[i]", s=List(["a"], type_of("")), i=Unknown("number")) == {"$unknown": "string"}


def test_a_condition_is_checked_without_elements_too() -> None:
    none = List([], type_of(""))
    assert problem("[for x in s : x if 5]", s=none)[0] == "Invalid 'for' condition"
    assert problem("[for x in s : x if nope]", s=Unknown("list(string)"))[0] == "Unknown variable"
    assert ev("[for x in s : x if nope]", s=Unknown()) == {"$unknown": "any"}
    assert ev("[for x in s : x if c]", s=none, c=Sensitive(True)) == []
    assert ev("[for x in s : x if c]", s=Unknown("list(string)"), c=Sensitive(True)) == {
        "$sensitive": {"$unknown": "any"}
    }
    assert ev("{for x in [1] : k => x}", k=Unknown("list(string)")) == {"$unknown": "any"}


def test_splat_over_typed_collections_gives_a_list() -> None:
    element = object_of({"n": type_of("")})
    items = Set([{"n": "a"}], element)
    value, _ = evaluate("s[*].n", {"s": items})
    assert isinstance(value, List)
    assert str(type_of(value)) == "list(string)"
    value, _ = evaluate("s[*].n", {"s": List([], element)})
    assert str(type_of(value)) == "list(string)"
    assert problem("s[*].n", s=Null(type_of(items)))[0] == "Splat of null value"


@pytest.mark.parametrize(
    ("source", "summary", "detail"),
    [
        ("o.nmae", "Unsupported attribute", 'Did you mean "name"?'),
        ('m["a"]["x"]', "Invalid index", ""),
        ("m.zz", "Missing map element", '"zz"'),
        ("t.name", "Unsupported attribute", "tuple"),
        ("o.name.x", "Unsupported attribute", "string"),
        ("n.x", "Attempt to get attribute from null value", "null"),
        ("n[0]", "Attempt to index null value", "null"),
        ("t[2]", "Invalid index", "2 elements"),
        ("t[-1]", "Invalid index", "negative"),
        ("t[0.5]", "Invalid index", "whole number"),
        ("t[null]", "Invalid index", "null"),
        ('t["x"]', "Invalid index", "a number is required"),
        ("s[0]", "Invalid index", "set"),
        ("[][0]", "Invalid index", "no elements"),
    ],
)
def test_traversal_mistakes(source: str, summary: str, detail: str) -> None:
    got = problem(source, o={"name": "x"}, m=Map({"a": 1}, type_of(1)), t=[1, 2], n=None, s={"a"})
    assert got[0] == summary
    assert detail in got[1]


def test_traversal_converts_keys() -> None:
    assert ev('t["1"]', t=[5, 6]) == 6
    assert ev("o[1]", o={"1": "x"}) == "x"
    assert ev("t.1", t=[5, 6]) == 6
    assert ev("o[true]", o={"true": 1}) == 1


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("a${1}b", "a1b"),
        ("${1}", 1),
        ("${[1]}", [1]),
        ("%{ if x }yes%{ else }no%{ endif }", "yes"),
        ("%{ if !x }yes%{ endif }", ""),
        ("%{ for i, v in ['a'] }x%{ endfor }".replace("'", '"'), "x"),
        ("%{ for k, v in {b = 1, a = 2} }${k}=${v};%{ endfor }", "a=2;b=1;"),
        ("a ${~ 1 ~} b", "a1b"),
        ("$${x} %%{y}", "${x} %{y}"),
        ("${0.5} ${true} ${1e3}", "0.5 true 1000"),
    ],
)
def test_template(source: str, want: object) -> None:
    assert ev(source, template=True, x=True) == want


def test_template_mistakes() -> None:
    assert problem("a${null}", template=True)[0] == "Invalid template interpolation value"
    assert "string is required" in problem("a${[]}", template=True)[1]


def test_heredocs() -> None:
    assert ev("<<EOT\na ${1}\n  b\nEOT\n") == "a 1\n  b\n"
    assert ev("<<-EOT\n    a\n      b\n    EOT\n") == "a\n  b\n"


def test_object_keys() -> None:
    assert ev('{a = 1, "b" = 2, (k) = 3, "${k}d" = 4, 5 = 6}', k="c") == {"a": 1, "b": 2, "c": 3, "cd": 4, "5": 6}
    assert problem("{k.x = 1}", k={"x": "a"})[0] == "Ambiguous attribute key"
    assert ev("{(k.x) = 1}", k={"x": "a"}) == {"a": 1}


def test_calls() -> None:
    assert ev('upper("a")') == "A"
    assert ev("max([1, 3, 2]...)") == 3
    assert ev('core::upper("a")') == "A"
    summary, detail = problem("upper([])")
    assert summary == "Invalid function argument"
    assert "argument 1" in detail


def test_try_and_can() -> None:
    assert ev('try(o.x, "fallback")', o={}) == "fallback"
    assert ev('try(o.x, "fallback")', o={"x": 1}) == 1
    assert ev("can(o.x)", o={}) is False
    assert ev("can(o.x)", o={"x": 1}) is True
    assert ev("can(o.x)", o={"x": Unknown()}) == {"$unknown": "bool"}
    assert ev('try(u, "fallback")', u=Unknown("string")) == {"$unknown": "any"}
    assert "No expression succeeded" in problem("try(o.x, o.y)", o={})[1]
    assert 'named "nam". Did you mean "name"?' in problem("try(o.nam, try(o.x))", o={"name": 1})[1]
    assert ev('try(try(o.x, o.y), "fallback")', o={}) == "fallback"
    assert problem("try()")[0] == "Error in function call"


def test_deep_nesting_is_a_diagnostic() -> None:
    deep = "x" + " + x" * 5000
    _, diagnostics = evaluate(deep, {"x": 1})
    assert diagnostics


def test_long_chains_are_not_deep() -> None:
    assert ev("x" + " + x" * 500, x=1) == 501
    assert ev(" && ".join(["true"] * 3000)) is True


@pytest.mark.parametrize("source", ["m[k]", 'm["secret-kex"]', "m.secret-kex", "{for x in [1, 2] : k => x}", "[1][n]"])
def test_messages_show_nothing_sensitive(source: str) -> None:
    m = Sensitive({"secret-key": 1})
    _, detail = problem(source, m=m, k=Sensitive("secret-kez"), n=Sensitive(77))
    assert "secret-key" not in detail
    assert "secret-kez" not in detail
    assert "77" not in detail


def test_endless_loops_are_cut_off() -> None:
    items = "[" + ",".join("1" * 1 for _ in range(300)) + "]"
    source = f"[for a in {items} : [for b in {items} : [for c in {items} : 1]]]"
    assert problem(source)[0] == "Too many iterations"


def test_instances_compare_by_whose_they_are() -> None:
    a = Instance({"n": 1}, "vm", "vm.a", "1")
    b = Instance({"n": 1}, "vm", "vm.b", "2")
    assert ev("a == b", a=a, b=b) is False
    assert ev("a == a", a=a) is True
    value, _ = evaluate("c ? a : b", {"a": a, "b": b, "c": True})
    assert value is a
    value, _ = evaluate("c ? {x = a} : null", {"a": a, "c": True})
    assert isinstance(value, dict)
    assert value["x"] is a


UNKNOWN = {"$unknown": "any"}


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("u + 1", {"$unknown": "number"}),
        ("u == 1", {"$unknown": "bool"}),
        ("us == 1", False),
        ("us == null", {"$unknown": "bool"}),
        ("[1, u] == [2, 3]", False),
        ("[u] == [1, 2]", False),
        ("!u", {"$unknown": "bool"}),
        ("u && false", False),
        ("u || true", True),
        ("u && nope", {"$unknown": "bool"}),
        ("u ? 1 : 2", {"$unknown": "number"}),
        ("u ? 1 : 1", 1),
        ('u ? 1 : "a"', {"$unknown": "string"}),
        ("u ? null : null", None),
        ('u ? u : "a"', UNKNOWN),
        ("u.a.b[0]", UNKNOWN),
        ("uo.a", {"$unknown": "string"}),
        ("ul[0]", {"$unknown": "string"}),
        ("[1, 2][u]", UNKNOWN),
        ("[for x in u : x]", UNKNOWN),
        ("[for x in [1] : x if u]", UNKNOWN),
        ("{for x in [1] : u => x}", UNKNOWN),
        ("[for x in [1, u] : x]", [1, UNKNOWN]),
        ("u[*].a", UNKNOWN),
        ("ul[*]", {"$unknown": "list(string)"}),
        ("{(us) = 1}", UNKNOWN),
        ('"a${u}"', {"$unknown": "string"}),
        ("upper(us)", {"$unknown": "string"}),
        ("max(u...)", UNKNOWN),
    ],
)
def test_unknown(source: str, want: object) -> None:
    scope = {
        "u": Unknown(),
        "us": Unknown("string"),
        "ul": Unknown("list(string)"),
        "uo": Unknown("object({a = string})"),
    }
    assert ev(source, **scope) == want


def test_unknown_values_are_checked_for_what_is_known() -> None:
    assert problem("us.x", us=Unknown("string"))[0] == "Unsupported attribute"
    assert problem("uo.b", uo=Unknown("object({a = string})"))[0] == "Unsupported attribute"
    assert problem("[for x in us : x]", us=Unknown("string"))[0] == "Iteration over non-iterable value"
    assert problem("ul + 1", ul=Unknown("list(string)"))[0] == "Invalid operand"


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("s + 1", {"$sensitive": 6}),
        ("s == 5", {"$sensitive": True}),
        ("-s", {"$sensitive": -5}),
        ('"a${s}"', {"$sensitive": "a5"}),
        ("[s]", [{"$sensitive": 5}]),
        ("so.a", {"$sensitive": 1}),
        ("so", {"$sensitive": {"a": 1}}),
        ("[1, 2][s - 5]", {"$sensitive": 1}),
        ("s > 1 ? 1 : 2", {"$sensitive": 1}),
        ("true ? 1 : s", {"$sensitive": 1}),
        ("[for x in sl : x]", {"$sensitive": [1, 2]}),
        ("[for x in [1] : x if s > 1]", {"$sensitive": [1]}),
        ('{for x in [1] : "${s}" => x}', {"$sensitive": {"5": 1}}),
        ("sl[*]", {"$sensitive": [1, 2]}),
        ("{(tostring(s)) = 1}", {"$sensitive": {"5": 1}}),
        ("s > 1 && true", {"$sensitive": True}),
        ("max(sl...)", {"$sensitive": 2}),
        ("sl == null", {"$sensitive": False}),
        ("[s] == null", False),
        ("%{ for x in sl }${x}%{ endfor }", {"$sensitive": "12"}),
        ("x%{ if false }${s}%{ endif }", {"$sensitive": "x"}),
    ],
)
def test_marks_propagate(source: str, want: object) -> None:
    scope = {"s": Sensitive(5), "so": Sensitive({"a": 1}), "sl": Sensitive([1, 2])}
    assert ev(source, template="%{" in source, **scope) == want
