"""What the views show of modules: plan, graph, JSON, state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "main.hcl").write_text(
        'module "m" {\n  source = "./m"\n  for_each = toset(["a"])\n  word = each.key\n}\n'
        'output "o" { value = module.m["a"].word }\n'
    )
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "main.hcl").write_text(
        'variable "word" {}\nresource "value" "v" { input = var.word }\noutput "word" { value = value.v.output }\n'
        'check "c" {\n  assert {\n    condition = var.word == "b"\n    error_message = "not b"\n  }\n}\n'
    )
    return tmp_path


def test_a_module_from_plan_to_destroy(folder: Path, run: Any) -> None:
    plan = run(folder, "plan", "--out", "p")
    assert plan.code == 0, plan.err
    assert 'module.m["a"].value.v will be created' in plan.out
    assert "Check block assertion failed" in plan.err
    assert 'in module.m["a"].check.c' in plan.err or 'module.m["a"].check.c' in plan.err
    shown = json.loads(run(folder, "show", "--json", "p").out)
    (child,) = shown["planned_values"]["root_module"]["child_modules"]
    assert child["address"] == 'module.m["a"]'
    assert [r["address"] for r in child["resources"]] == ['module.m["a"].value.v']
    called = shown["configuration"]["root_module"]["module_calls"]["m"]
    assert called["source"] == "./m"
    assert called["expressions"]["word"] == {"references": ["each.key"]}
    assert [r["address"] for r in called["module"]["resources"]] == ["value.v"]
    assert [c["module_address"] for c in shown["resource_changes"]] == ['module.m["a"]']
    assert run(folder, "apply", "p").code == 0
    assert run(folder, "plan", "--detailed-exitcode").code == 0
    assert run(folder, "state", "list").out.split() == ['module.m["a"].value.v']
    assert '"module.m.value.v"' in run(folder, "graph").out
    assert run(folder, "destroy", "--auto-approve", "--target", "module.m").code == 0
    assert run(folder, "state", "list").out == ""


def test_ready_made_modules_come_along(tmp_path: Path, run: Any) -> None:
    call = 'module "fleet" {\n  source = "hythe//%s"\n  nodes = ["a"]\n  %s\n}\n'
    (tmp_path / "main.hcl").write_text(call % ("docker-fleet", 'version = "< 99"'))
    plan = run(tmp_path, "plan")
    assert plan.code == 0, plan.err
    assert 'module.fleet.vm.node["a"] will be created' in plan.out
    (tmp_path / "main.hcl").write_text(call % ("docker-fleet", 'engine = "dockre"'))
    said = run(tmp_path, "plan")
    assert said.code == 1
    assert "The engine is docker or podman, and not dockre." in said.err
    (tmp_path / "main.hcl").write_text(call % ("docker-flet", ""))
    assert 'Did you mean "docker-fleet"?' in run(tmp_path, "plan").err
    (tmp_path / "main.hcl").write_text(call % ("docker-fleet", 'version = ">= 99"'))
    assert "No such version" in run(tmp_path, "validate").err
