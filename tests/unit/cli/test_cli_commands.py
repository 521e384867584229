"""Commands on real files, with kinds that need no engine."""

from __future__ import annotations

import io
import json
import os
import stat
from pathlib import Path

import pytest

from hythe.cli import main
from hythe.state.codec import decode_snapshot, encode_snapshot
from hythe.state.model import InstanceState, OutputState, State
from hythe.value import STRING, Reference

CONFIGURATION = """\
variable "tier" {
  default = "front"
}

variable "token" {
  default   = "hunter2hunter2"
  sensitive = true
}

resource "value" "a" {
  for_each = toset(["x", "y"])
  input    = "${var.tier}-${each.key}"
}

resource "value" "b" {
  input = { from = value.a["x"].output, token = var.token }
}

output "all" {
  value = { for k, v in value.a : k => v.output }
}

output "token" {
  value     = var.token
  sensitive = true
}
"""


class Shell:
    """Runs commands in a folder and keeps what they printed."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.out = self.err = ""

    def __call__(self, *words: str) -> int:
        code = main.run(words)
        self.out, self.err = self.capsys.readouterr()
        return code

    def write_state(self, state: State) -> None:
        data, _ = encode_snapshot(state)
        (self.folder / "hythe.state.json").write_bytes(data)

    def state(self) -> State:
        return decode_snapshot((self.folder / "hythe.state.json").read_bytes()).state


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    for name in [n for n in os.environ if n.startswith(("HYTHE_", "TF_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "main.hcl").write_text(CONFIGURATION)
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path, capsys)


def instance(address: str, **more: object) -> InstanceState:
    kind = address.removeprefix("module.shop.").split(".")[0]
    made = {"attributes": {"input": "1", "output": "1"}, **more}
    return InstanceState(address, f"id-{address}", kind, **made)  # type: ignore[arg-type]


SOME_STATE = State(
    "lineage",
    3,
    {
        'value.a["x"]': instance('value.a["x"]'),
        'value.a["y"]': instance('value.a["y"]'),
        "value.b": instance(
            "value.b",
            attributes={"input": Reference("value", 'value.a["x"]', 'id-value.a["x"]'), "secret": "hunter2"},
            dependencies=('value.a["x"]',),
            sensitive=(("secret",),),
        ),
        "module.shop.value.c": instance("module.shop.value.c"),
    },
    {},
    {
        "url": OutputState("http://a/", STRING),
        "password": OutputState("hunter2", STRING, True),
        "list": OutputState(["a"], STRING),
    },
)


def test_validate(shell: Shell) -> None:
    assert shell("validate") == 0
    assert "Success!" in shell.out
    assert shell("validate", "-json") == 0
    assert json.loads(shell.out) == {
        "format_version": "1.0",
        "valid": True,
        "error_count": 0,
        "warning_count": 0,
        "diagnostics": [],
    }


def test_validate_tells_every_mistake_with_its_place(shell: Shell) -> None:
    (shell.folder / "main.hcl").write_text('resource "value" "a" {\n  input = vra.x\n  inptu = 1\n}\n')
    assert shell("validate") == 1
    assert "main.hcl line 2" in shell.err
    assert "main.hcl line 3" in shell.err
    assert shell("validate", "-json") == 1
    found = json.loads(shell.out)
    assert (found["valid"], found["error_count"]) == (False, 2)
    first = found["diagnostics"][0]
    assert first["range"]["filename"] == "main.hcl"
    assert first["snippet"]["context"] == 'resource "value" "a"'


def test_plan(shell: Shell) -> None:
    assert shell("plan") == 0
    assert shell.out.startswith("Plan: 3 to add, 0 to change, 0 to replace, 0 to destroy.")
    assert "hunter2" not in shell.out
    assert shell("plan", "-detailed-exitcode") == 2


def test_plan_json(shell: Shell) -> None:
    assert shell("plan", "-json") == 0
    lines = [json.loads(line) for line in shell.out.splitlines()]
    assert [x["type"] for x in lines] == ["version", *["planned_change"] * 3, "change_summary", "outputs"]
    assert "hunter2" not in shell.out


def test_plan_tells_moves(shell: Shell) -> None:
    shell("apply", "-auto-approve")
    main = shell.folder / "main.hcl"
    main.write_text(
        main.read_text().replace('"value" "b"', '"value" "c"') + "moved {\n  from = value.b\n  to   = value.c\n}\n"
    )
    assert shell("plan") == 0
    assert shell.out.startswith("Plan: only addresses change.\n\n  > value.b moves to value.c\n")
    assert shell("plan", "-json") == 0
    [told] = [x["change"] for x in map(json.loads, shell.out.splitlines()) if x["type"] == "planned_change"]
    assert told["action"] == "move"
    assert (told["previous_resource"]["addr"], told["resource"]["addr"]) == ("value.b", "value.c")


def test_plan_json_errors_are_lines_too(shell: Shell) -> None:
    (shell.folder / "main.hcl").write_text('resource "value" "a" {\n  input = vra.x\n}\n')
    assert shell("plan", "-json") == 1
    lines = [json.loads(line) for line in shell.out.splitlines()]
    assert [x["type"] for x in lines] == ["version", "diagnostic"]
    assert shell.err == ""


def test_plan_variables(shell: Shell) -> None:
    (shell.folder / "more.hclvars").write_text('tier = "file"\n')
    assert shell("plan", "-var", "tier=back", "-var-file=more.hclvars") == 0
    assert '"file-${each.key}"' in shell.out
    assert shell("plan", "-var-file=more.hclvars", "-var", "tier=back") == 0
    assert '"back-${each.key}"' in shell.out
    assert shell("plan", "-var", "teir=back") == 1
    assert 'Did you mean "tier"?' in shell.err


def test_saved_plan(shell: Shell) -> None:
    assert shell("plan", "-out=tfplan", "-detailed-exitcode") == 2
    assert "hythe apply tfplan" in shell.out
    assert stat.S_IMODE((shell.folder / "tfplan").stat().st_mode) == 0o600
    assert shell("show", "tfplan") == 0
    assert shell.out.startswith("Plan: 3 to add")
    assert shell("show", "-json", "tfplan") == 0
    shown = json.loads(shell.out)
    assert shown["format_version"] == "1.2"
    assert [c["address"] for c in shown["resource_changes"]] == ['value.a["x"]', 'value.a["y"]', "value.b"]
    assert shown["variables"]["token"]["value"] == "(sensitive value)"
    by_name = {r["name"]: r for r in shown["configuration"]["root_module"]["resources"]}
    assert by_name["a"]["expressions"] == {"input": {"references": ["var.tier", "each.key"]}}
    assert by_name["b"]["expressions"]["input"]["references"] == [
        'value.a["x"].output',
        'value.a["x"]',
        "value.a",
        "var.token",
    ]
    assert "hunter2" not in shell.out
    assert shell("show", "--format", "markdown", "tfplan") == 0
    assert shell.out.startswith("### Plan: 3 to add")


def test_damaged_plan_is_refused(shell: Shell) -> None:
    assert shell("plan", "-out=p") == 0
    path = shell.folder / "p"
    path.write_bytes(path.read_bytes().replace(b"front-x", b"front-z"))
    assert shell("apply", "p") == 1
    assert "does not match its checksum" in shell.err
    (shell.folder / "q").write_text("something else")
    assert shell("apply", "q") == 1
    assert "no plan that Hythe saved" in shell.err


def test_markdown_plan(shell: Shell) -> None:
    assert shell("plan", "-markdown") == 0
    assert shell.out.startswith("### Plan: 3 to add")


def test_required_variable_without_a_value(shell: Shell) -> None:
    (shell.folder / "main.hcl").write_text('variable "name" {}\noutput "x" { value = var.name }\n')
    assert shell("plan", "-input=false") == 1
    assert "No value for required variable" in shell.err


def test_variable_validation(shell: Shell) -> None:
    (shell.folder / "main.hcl").write_text(
        'variable "n" {\n  default = 5\n  validation {\n    condition     = var.n < 5\n'
        '    error_message = "n is ${var.n}, which is too much."\n  }\n}\n'
    )
    assert shell("plan") == 1
    assert "n is 5, which is too much." in shell.err
    assert shell("plan", "-var=n=4") == 0


def test_graph(shell: Shell) -> None:
    assert shell("graph") == 0
    assert '"value.b" -> "value.a";' in shell.out
    assert shell("graph", "-type=plan", "--format=mermaid") == 0
    assert shell.out.startswith("flowchart RL")
    assert "+ value.b" in shell.out


def test_console_json(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = '1 + 1\nvar.tier\n\nnope\nvar.token\ntoset(["b", "a"])\n1.10\nconvert("5", number)\nvalue.a["x"].output\n'
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    assert shell("console", "-json") == 0
    assert [json.loads(line) for line in shell.out.splitlines()] == [
        {"value": 2, "type": "number"},
        {"value": "front", "type": "string"},
        {"error": 'Unknown variable: There is no variable named "nope".'},
        {"value": {"$sensitive": "hunter2hunter2"}, "type": "string"},
        {"value": ["a", "b"], "type": "set(string)"},
        {"value": 1.1, "type": "number"},
        {"value": 5, "type": "number"},
        {"value": {"$unknown": "any"}, "type": "any"},
    ]


def test_console_reads_expressions_over_several_lines(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('[\n  "a",\n  upper("b"),\n]\nvar.token\nexit\n1\n'))
    assert shell("console") == 0
    assert shell.out == '["a", "B"]\n(sensitive value)\n'


def test_output(shell: Shell) -> None:
    assert shell("output") == 0
    assert "No outputs" in shell.err
    shell.write_state(SOME_STATE)
    assert shell("output") == 0
    assert 'url      = "http://a/"' in shell.out
    assert "password = (sensitive value)" in shell.out
    assert shell("output", "password") == 0
    assert shell.out == '"hunter2"\n'
    assert shell("output", "-raw", "url") == 0
    assert shell.out == "http://a/"
    assert shell("output", "-json") == 0
    assert json.loads(shell.out)["password"] == {"sensitive": True, "type": "string", "value": "hunter2"}
    assert shell("output", "-raw", "list") == 1
    assert "Use --json" in shell.err
    assert shell("output", "ulr") == 1
    assert 'Did you mean "url"?' in shell.err


def test_show_state(shell: Shell) -> None:
    assert shell("show") == 0
    assert "nothing was made yet" in shell.out
    shell.write_state(SOME_STATE)
    assert shell("show") == 0
    assert 'resource "value" "b" {' in shell.out
    assert "hunter2" not in shell.out
    assert shell("show", "-json") == 0
    shown = json.loads(shell.out)
    assert shown["format_version"] == "1.0"
    root = shown["values"]["root_module"]
    assert [r["address"] for r in root["resources"]] == ['value.a["x"]', 'value.a["y"]', "value.b"]
    assert root["child_modules"][0]["address"] == "module.shop"
    assert "hunter2" not in shell.out


def test_state_list_and_show(shell: Shell) -> None:
    shell.write_state(SOME_STATE)
    assert shell("state", "list") == 0
    assert shell.out.splitlines() == ['value.a["x"]', 'value.a["y"]', "value.b", "module.shop.value.c"]
    assert shell("state", "list", "value.a", "module.shop") == 0
    assert len(shell.out.splitlines()) == 3
    assert shell("state", "show", "value.b") == 0
    assert "secret = (sensitive value)" in shell.out
    assert shell("state", "show", "value.c") == 1
    assert "The state has nothing at value.c" in shell.err


def test_state_mv(shell: Shell) -> None:
    shell.write_state(SOME_STATE)
    assert shell("state", "mv", "-dry-run", "value.a", "value.z") == 0
    assert shell.state() == SOME_STATE
    assert shell("state", "mv", "value.a", "value.z") == 0
    moved = shell.state()
    assert set(moved.instances) == {'value.z["x"]', 'value.z["y"]', "value.b", "module.shop.value.c"}
    b = moved.instances["value.b"]
    assert b.dependencies == ('value.z["x"]',)
    assert b.attributes["input"] == Reference("value", 'value.z["x"]', 'id-value.a["x"]')
    assert moved.serial == SOME_STATE.serial + 1
    assert shell("state", "mv", "module.shop", "module.store") == 0
    assert "module.store.value.c" in shell.state().instances


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("value.a", "container.a"), "cannot become"),
        (("value.b", 'value.a["x"]'), "Address taken"),
        (("value.nope", "value.c"), "The state has nothing at value.nope"),
        (("module.shop", "value.c"), "both be resources or both be modules"),
        (("value.", "value.c"), "is not a resource address"),
    ],
)
def test_state_mv_refusals(shell: Shell, words: tuple[str, str], said: str) -> None:
    shell.write_state(SOME_STATE)
    assert shell("state", "mv", *words) == 1
    assert said in shell.err
    assert shell.state() == SOME_STATE


def test_state_rm(shell: Shell) -> None:
    shell.write_state(SOME_STATE)
    assert shell("state", "rm", "value.a") == 0
    left = shell.state()
    assert set(left.instances) == {"value.b", "module.shop.value.c"}
    assert left.instances["value.b"].dependencies == ()
    backups = [n for n in os.listdir(shell.folder) if "backup" in n]
    assert backups


def test_state_pull_and_push(shell: Shell) -> None:
    shell.write_state(SOME_STATE)
    assert shell("state", "pull") == 0
    pulled = shell.folder / "pulled.json"
    pulled.write_text(shell.out)
    assert shell("state", "rm", "value.b") == 0
    assert shell("state", "push", "pulled.json") == 1
    assert "State is newer" in shell.err
    assert shell("state", "push", "-force", "pulled.json") == 0
    assert "value.b" in shell.state().instances
    assert shell.state().serial > SOME_STATE.serial
    (shell.folder / "other.json").write_bytes(encode_snapshot(State("another", 9))[0])
    assert shell("state", "push", "other.json") == 1
    assert "State of another lineage" in shell.err
    assert shell("state", "push", "main.hcl") == 1
    assert "Not a state file" in shell.err


def test_init(shell: Shell) -> None:
    assert shell("init") == 0
    assert "Kinds used: value." in shell.out
    assert (shell.folder / ".hythe" / ".gitignore").exists()
    assert shell("init") == 0


def test_locked_state(shell: Shell) -> None:
    from hythe.state.backends.local import LocalBackend

    shell.write_state(SOME_STATE)
    with LocalBackend(str(shell.folder / "hythe.state.json")).lock("apply", 0):
        assert shell("plan") == 1
        assert "State is locked" in shell.err
        assert shell("plan", "-lock=false") == 0
        assert shell("force-unlock") == 1
        assert "running process" in shell.err
    assert shell("force-unlock") == 0


def test_import(shell: Shell) -> None:
    assert shell("import", "value.zz", "x") == 1
    assert "Resource not in the configuration" in shell.err
    assert shell("import", "value.a", "x") == 1
    assert "No such instance" in shell.err


def test_log_masks_secrets(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYTHE_LOG", "debug")
    assert shell("plan") == 0
    assert "hunter2hunter2" not in shell.err
    monkeypatch.setenv("HYTHE_LOG", "loud")
    assert shell("version") == 0
    assert "Unknown log level" in shell.err
