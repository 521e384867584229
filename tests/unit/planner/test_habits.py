"""What users of other tools write is told apart from a slip: the message says what to write here."""

from __future__ import annotations

import re
from typing import Any

import pytest

from hythe.planner import habits
from hythe.provider.registry import Registry

REGISTRY = Registry()


def _schema(owner: str) -> Any:
    kind, *blocks = owner.split(".")
    schema = REGISTRY.kind(kind).schema
    for name in blocks:
        schema = schema.attributes[name].nested
    return schema


@pytest.mark.parametrize("owner", habits.ARGUMENTS)
def test_advice_names_what_there_is(owner: str) -> None:
    kind = owner.partition(".")[0]
    here = _schema(owner).attributes
    around = _schema(kind).attributes
    inner = {n for a in here.values() if a.nested is not None for n in a.nested.attributes}
    known = {*here, *around, *inner, "count", "for_each", "hythe serial"}
    for name, advice in habits.ARGUMENTS[owner].items():
        assert name not in here or here[name].computed, f"{name} can be written"
        if 'resource "' not in advice:
            assert set(re.findall(r"`([^`]+)`", advice)) <= known, advice
        assert advice.endswith(".")


@pytest.mark.parametrize(
    ("mode", "foreign"), [*(("managed", name) for name in habits.KINDS), *(("data", name) for name in habits.DATA)]
)
def test_kinds_name_what_there_is(mode: str, foreign: str) -> None:
    assert foreign not in REGISTRY
    advice = habits.kind_advice(mode, foreign)
    assert advice is not None
    for kind in re.findall(r'(?:resource|data) "(\w+)"', advice):
        assert kind in REGISTRY
    for kind, sort in re.findall(r'resource "(\w+)" with type = "(\w+)"', advice):
        annotation = str(_schema(kind).model.model_fields["type"].annotation)
        assert "Literal" not in annotation or f"'{sort}'" in annotation


def test_what_others_read(terminal: Any) -> None:
    terminal.write(
        """
data "docker_network" "front" { name = "front" }
data "http" "answer" { url = "https://localhost" }
resource "container" "web" {
  image = "web"
  lifecycle { ignore_changes = [environment, envv] }
}
"""
    )
    said = terminal.refused("validate")
    assert 'There is no kind "docker_network". Write data "network".' in said
    assert 'There is no kind "http". Write data "command" with `read`' in said
    assert "the kind container has no such argument. Environment variables stand in `env`" in said
    assert 'Did you mean "env"?' in said


def test_a_configuration_of_another_tool(terminal: Any) -> None:
    (terminal.folder / "main.tf").write_text("")
    assert "main.tf is OpenTofu's" in terminal.refused("plan")
    (terminal.folder / "main.tf").unlink()
    (terminal.folder / "compose.yaml").write_text("")
    assert "Compose files are not read" in terminal.refused("plan")
    terminal.write(
        """
resource "docker_volume" "data" {}
resource "container" "web" {
  image       = "web"
  environment = { A = "b" }
  ports       = ["8080:80"]
  mount {
    volume = "data"
    path   = "/data"
  }
  networks_advanced {
    name = "front"
  }
}
"""
    )
    said = terminal.refused("validate")
    assert 'There is no kind "docker_volume". Write resource "volume".' in said
    assert 'env = { NAME = "value" }' in said
    assert "port { container = 80, host = 8080 }" in said
    assert "Where it stands inside is `target`." in said
    assert "Write `network` blocks" in said
