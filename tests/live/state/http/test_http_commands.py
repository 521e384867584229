"""Whole commands with the state on a server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

WORLD = """
resource "value" "a" {
  input = "one"
}
resource "random" "r" {
  count = 2
  type  = "uuid"
}
output "a" {
  value = value.a.output
}
"""


@pytest.mark.parametrize(
    "options", [{}, {"empty": True}, {"versions": True, "echo": True}], ids=["plain", "204", "versions"]
)
def test_a_state_lives_on_the_server(
    state_server: Callable[..., Any], folder: Callable[..., Any], options: Any
) -> None:
    server = state_server(**options)
    work = folder(server)
    work.write(WORLD)
    said = work.ok("init").words
    assert server.url() in said
    assert "has no leases" in said
    assert "2 to add" not in said
    assert "3 to add" in work.ok("plan").text
    work.apply()
    assert work.listed() == ["random.r[0]", "random.r[1]", "value.a"]
    assert not list(work.path.glob("*.json*"))
    assert '"value.a"' in server.state()
    work.ok("state", "mv", "value.a", "value.b")
    work.write(WORLD.replace("value.a", "value.b").replace('"value" "a"', '"value" "b"'))
    work.ok("plan", "--detailed-exitcode")
    pulled = work.ok("state", "pull").out
    assert json.loads(pulled)["lineage"]
    work.ok("destroy", "--auto-approve")
    assert work.listed() == []
    (work.path / "old.json").write_text(pulled)
    work.ok("state", "push", "--force", "old.json")
    assert "value.b" in work.listed()
    assert not server.locks()
    assert not list(work.path.glob(".hythe/http/*.journal"))
