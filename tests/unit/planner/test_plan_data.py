"""Data sources, and values that are not stored, in plans."""

from __future__ import annotations

from typing import Any

from hythe.planner.plan import Action
from hythe.value import Unknown

READ = """
data "part" "it" {
  label = "x"
  wait  = "60s"
}
resource "part" "user" {
  labels = { first = data.part.it.found[0] }
}
"""


def test_data_is_asked_for_and_exposed_in_its_own_terms(planner: Any) -> None:
    result = planner.build(READ)
    assert [(r.address, r.attributes) for r in result.requests] == [("data.part.it", {"label": "x", "wait": "1m"})]
    given = {"label": "x", "wait": "1m", "key": "hidden", "found": ["a"]}
    result = planner.build(READ, data={"data.part.it": given})
    assert not result.diagnostics
    assert planner.change("part.user").after["labels"] == {"first": "a"}
    assert planner.change("data.part.it").after_sensitive == (("key",),)


def test_what_data_gives_is_sensitive_where_its_model_says_so(planner: Any) -> None:
    text = READ + 'output "key" {\n  value = data.part.it.key\n}\n'
    given = {"data.part.it": {"label": "x", "key": "hidden", "found": ["a"]}}
    assert planner.errors(text, data=given) == ["Output refers to sensitive values"]
    late = text.replace('"x"', "part.base.id") + 'resource "part" "base" {\n}\n'
    assert planner.errors(late) == ["Output refers to sensitive values"]
    planner.build(late.replace("data.part.it.key", "data.part.it.label"))
    assert planner.change("data.part.it").action is Action.READ
    assert isinstance(planner.change("data.part.it").after["found"], Unknown)


def test_arguments_of_data_are_checked_by_its_own_model(planner: Any) -> None:
    assert planner.errors('data "part" "it" {\n}\n') == ["Missing required argument"]
    assert planner.errors('data "part" "it" {\n  label = "x"\n  wait = "long"\n}\n') == ["Invalid argument"]


SECRET = """
resource "part" "a" {
  token = "s3cret"
  login {
    user     = "me"
    password = "s3cret"
  }
}
resource "part" "b" {
  labels = { known = nonsensitive(part.a.token) == null ? "no" : "yes" }
}
"""


def test_write_only_values_are_not_in_the_plan(planner: Any) -> None:
    assert len(planner.plan(SECRET)) == 2
    assert "s3cret" not in repr(planner.result.changes)
    assert planner.change("part.a").after["login"] == [{"user": "me"}]
    assert planner.change("part.b").after["labels"] == {"known": "no"}


def test_write_only_values_never_differ(planner: Any) -> None:
    state = planner.state(a={"login": [{"user": "me"}]}, b={"labels": {"known": "no"}})
    assert planner.plan(SECRET, state) == []
    assert planner.plan(SECRET.replace('"me"', '"you"'), state) == ["update       part.a - login changes"]
    assert "s3cret" not in repr(planner.result.changes)


def test_sensitive_values_in_lists_without_order_are_hidden_whole(planner: Any) -> None:
    text = """
    resource "part" "a" {
      flags = ["z", sensitive("a")]
      size  = 1
    }
    """
    planner.plan(text, planner.state(a={"flags": ["a", "z"], "size": 2}))
    assert planner.change("part.a").after_sensitive == (("flags",),)


def test_messages_do_not_show_sensitive_values(planner: Any) -> None:
    result = planner.build('resource "part" "a" {\n  wait = sensitive("hunter2")\n}\n')
    assert [d.summary for d in result.diagnostics] == ["Invalid argument"]
    assert "hunter2" not in result.diagnostics[0].detail
