"""Blocks whose number is known only during apply: one apply makes them too, and the next plan is empty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

CONFIG = """
resource "random" "names" {
  type  = "shuffle"
  input = ["a", "b", "c"]
  result_count = 2
}
resource "value" "one" {
  for_each = toset(random.names.result)
  input    = each.key
}
resource "value" "after" { input = sort([for v in value.one : v.output]) }
resource "value" "beside" { input = 1 }
output "names" { value = value.after.output }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "main.hcl").write_text(CONFIG)
    return tmp_path


def test_one_apply_does_it_all(folder: Path, run: Any) -> None:
    plan = run(folder, "plan", "--out", "p")
    assert plan.code == 0, plan.err
    assert "Plan: 2 to add" in plan.out
    assert "Known only during apply, and shown then: value.one, value.after" in plan.out
    shown = json.loads(run(folder, "show", "--json", "p").out)
    assert shown["complete"] is False
    done = run(folder, "apply", "--auto-approve")
    assert done.code == 0, done.err
    assert "Expanding value.one, value.after, now that what decides it is known." in done.out
    names = json.loads(run(folder, "output", "--json", "names").out)
    assert len(names) == 2
    listed = run(folder, "state", "list").out.split()
    assert listed == ["random.names", "value.after", "value.beside", *(f'value.one["{n}"]' for n in names)]
    again = run(folder, "plan", "--detailed-exitcode")
    assert again.code == 0, again.out + again.err


def test_a_saved_plan_does_it_too(folder: Path, run: Any) -> None:
    assert run(folder, "plan", "--out", "p").code == 0
    (folder / "main.hcl").write_text("")
    done = run(folder, "apply", "p")
    assert done.code == 0, done.err
    assert len(run(folder, "state", "list").out.split()) == 5
    (folder / "main.hcl").write_text(CONFIG)
    assert run(folder, "plan", "--detailed-exitcode").code == 0


def test_what_exists_stays_until_it_is_known_what_shall_exist(folder: Path, run: Any) -> None:
    assert run(folder, "apply", "--auto-approve").code == 0
    before = run(folder, "state", "list").out.split()
    (folder / "main.hcl").write_text(CONFIG.replace('["a", "b", "c"]', '["d", "e"]'))
    plan = run(folder, "plan")
    assert "Plan: 0 to add, 0 to change, 1 to replace, 0 to destroy." in plan.out, plan.out
    saved = run(folder, "plan", "--out", "p")
    assert saved.code == 0
    done = run(folder, "apply", "p")
    # nobody was there to be asked whether a and b may go
    assert "Plan again" in done.err, done.err
    assert set(before) <= set(run(folder, "state", "list").out.split())
    assert run(folder, "apply", "--auto-approve").code == 0
    assert json.loads(run(folder, "output", "--json", "names").out) == ["d", "e"]
    assert run(folder, "plan", "--detailed-exitcode").code == 0


def test_modules_wait_as_a_whole(tmp_path: Path, run: Any) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "main.hcl").write_text(
        'resource "value" "v" { input = 1 }\noutput "v" { value = value.v.output }\n'
    )
    (tmp_path / "main.hcl").write_text(
        'resource "random" "n" {\n  type = "integer"\n  min = 2\n  max = 2\n}\n'
        'module "m" {\n  source = "./m"\n  count = random.n.result\n}\n'
        'output "sum" { value = sum(module.m[*].v) }\n'
    )
    assert "module.m" in run(tmp_path, "plan").out
    done = run(tmp_path, "apply", "--auto-approve")
    assert done.code == 0, done.err
    assert "sum = 2" in done.out
    assert run(tmp_path, "plan", "--detailed-exitcode").code == 0


def test_what_will_never_be_known_is_refused(tmp_path: Path, run: Any) -> None:
    (tmp_path / "main.hcl").write_text('resource "value" "v" {\n  count = length(uuid()) - 35\n  input = 1\n}\n')
    done = run(tmp_path, "plan")
    assert done.code == 1
    assert "Invalid count argument" in done.err
