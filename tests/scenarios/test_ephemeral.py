"""Ephemeral blocks as the command shows them, or rather does not."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

SECRET = "correct horse battery staple"
CONFIG = """
ephemeral "file" "secret" { path = "%s/secret" }
ephemeral "command" "secret" {
  read  = ["tr", "a-z", "A-Z"]
  stdin = ephemeral.file.secret.content
  lifecycle {
    postcondition {
      condition     = length(self.stdout) == 28
      error_message = "It is ${self.stdout}."
    }
  }
}
locals { shout = "${ephemeral.command.secret.stdout}!" }
resource "value" "size" { input = "fixed" }
check "length" {
  assert {
    condition     = length(local.shout) > 100
    error_message = "Too short: ${local.shout}"
  }
}
output "gone" {
  value     = ephemeralasnull(local.shout)
}
"""


def test_secrets_are_read_and_not_shown(tmp_path: Path, run: Any) -> None:
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "main.hcl").write_text(CONFIG % tmp_path)
    done = run(tmp_path, "plan", "--out", "p.plan")
    assert done.code == 0, done.err
    assert "1 to add" in done.out
    applied = run(tmp_path, "apply", "p.plan")
    assert applied.code == 0, applied.err
    assert "Too short" not in applied.err
    again = run(tmp_path, "plan", "--detailed-exitcode")
    assert again.code == 0, again.out
    written = "".join(p.read_bytes().decode("latin-1") for p in tmp_path.iterdir() if p.name != "secret")
    for text in (done.out, done.err, applied.out, applied.err, written):
        assert SECRET not in text
        assert SECRET.upper() not in text
    state = json.loads(run(tmp_path, "show", "--json").out)
    assert [r["address"] for r in state["values"]["root_module"]["resources"]] == ["value.size"]
    (tmp_path / "secret").write_text("short")
    failed = run(tmp_path, "plan")
    assert failed.code == 1
    assert "Resource postcondition failed" in failed.err
    assert "with ephemeral.command.secret" in failed.err
    assert "SHORT" not in failed.err


def test_they_are_in_graphs_schemas_and_the_configuration(tmp_path: Path, run: Any) -> None:
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "main.hcl").write_text(CONFIG % tmp_path)
    assert '"ephemeral.command.secret" -> "ephemeral.file.secret"' in run(tmp_path, "graph").out
    schemas = json.loads(run(tmp_path, "providers", "schema", "--json").out)["provider_schemas"]
    (provider,) = schemas.values()
    assert sorted(provider["ephemeral_resource_schemas"]) == ["command", "file", "random", "tls"]
    assert "keepers" not in provider["ephemeral_resource_schemas"]["random"]["block"]["attributes"]
    run(tmp_path, "plan", "--out", "p.plan")
    shown = json.loads(run(tmp_path, "show", "--json", "p.plan").out)["configuration"]["root_module"]["resources"]
    assert ("ephemeral.file.secret", "ephemeral") in [(r["address"], r["mode"]) for r in shown]


def test_tests_see_them(tmp_path: Path, run: Any) -> None:
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "main.hcl").write_text(CONFIG % tmp_path)
    (tmp_path / "a.test.hcl").write_text(
        'run "r" {\n  assert {\n    condition = startswith(local.shout, "CORRECT")\n    error_message = "no"\n  }\n'
        "  expect_failures = [check.length]\n}\n"
    )
    done = run(tmp_path, "test")
    assert done.code == 0, done.out + done.err


def test_in_json(tmp_path: Path, run: Any) -> None:
    (tmp_path / "main.hcl.json").write_text(
        json.dumps(
            {
                "ephemeral": {"random": {"pin": {"type": "string", "length": 5, "depends_on": ["value.v"]}}},
                "resource": {"value": {"v": {"input": 1}}},
                "output": {"o": {"value": "${ephemeralasnull(ephemeral.random.pin.result)}"}},
            }
        )
    )
    done = run(tmp_path, "apply", "--auto-approve")
    assert done.code == 0, done.err


def test_the_console_does_not_show_them(tmp_path: Path, run_here: Any, monkeypatch: Any) -> None:
    (tmp_path / "main.hcl").write_text(
        'variable "pin" {\n  default = "1234567"\n  ephemeral = true\n}\nephemeral "random" "r" { type = "uuid" }\n'
    )
    lines = "var.pin\n{ a = var.pin, b = 2 }\nephemeral.random.r.result\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    done = run_here(tmp_path, "console")
    assert done.code == 0, done.err
    assert done.out.splitlines()[0] == "(ephemeral value)"
    assert done.out.splitlines()[-1] == "(ephemeral value)"
    assert "1234567" not in done.out
    assert "b = 2" in done.out
