"""``lifecycle { enabled }`` from the command line, and variables and outputs that are deprecated."""

from __future__ import annotations

import json

from tests.conftest import Shell

COUNTED = """
variable "on" { default = true }
resource "value" "x" {
  count = var.on ? 1 : 0
  input = "kept"
}
module "m" {
  source = "./m"
  count  = var.on ? 1 : 0
}
"""
ENABLED = """
variable "on" { default = true }
resource "value" "x" {
  input = "kept"
  lifecycle { enabled = var.on }
}
module "m" {
  source = "./m"
  lifecycle { enabled = var.on }
}
output "x" { value = try(value.x.output, "none") }
"""
INNER = 'resource "value" "y" { input = "inner" }\n'


def test_from_count_to_enabled_and_back(terminal: Shell) -> None:
    """Nothing is made anew."""
    terminal.write(INNER, "m/main.hcl")
    terminal.write(COUNTED)
    terminal.fine("apply", "-auto-approve")
    for text, ends, there in (
        (ENABLED, ("module.m[0]", "module.m"), ["value.x", "module.m.value.y"]),
        (COUNTED, ("module.m", "module.m[0]"), ["value.x[0]", "module.m[0].value.y"]),
    ):
        # those of a block go by themselves, as in OpenTofu, and those of a module are said
        terminal.write(f"{text}moved {{\n  from = {ends[0]}\n  to   = {ends[1]}\n}}\n")
        said = terminal.fine("apply", "-auto-approve")
        assert "0 added, 0 changed, 0 replaced, 0 destroyed" in said
        assert terminal.fine("state", "list").split() == there


def test_turned_off_and_on(terminal: Shell) -> None:
    terminal.write(INNER, "m/main.hcl")
    terminal.write(ENABLED)
    terminal.fine("apply", "-auto-approve")
    terminal.fine("plan", "-var", "on=false", "-out", "p")
    shown = json.loads(terminal.fine("show", "-json", "p"))
    reasons = {c["address"]: c.get("action_reason") for c in shown["resource_changes"]}
    assert reasons["value.x"] == "delete_because_enabled_false"
    terminal.fine("apply", "p")
    assert terminal.fine("state", "list") == ""
    assert terminal.fine("output", "-raw", "x") == "none"
    assert terminal("plan", "-var", "on=false", "-detailed-exitcode") == 0
    terminal.fine("apply", "-auto-approve")
    assert terminal.fine("output", "-raw", "x") == "kept"


def test_known_only_during_apply(terminal: Shell) -> None:
    terminal.write(
        'resource "random" "n" {\n  type = "integer"\n  min = 1\n  max = 2\n}\n'
        'resource "value" "x" {\n  input = 1\n  lifecycle { enabled = random.n.result > 0 }\n}\n'
        'resource "value" "z" {\n  input = 1\n  lifecycle { enabled = random.n.result > 2 }\n}\n'
        'output "both" { value = [value.x != null, value.z != null] }\n'
    )
    assert "Known only during apply" in terminal.fine("plan")
    terminal.fine("apply", "-auto-approve")
    assert terminal.fine("state", "list").split() == ["random.n", "value.x"]
    assert json.loads(terminal.fine("output", "-json", "both")) == [True, False]
    assert terminal("plan", "-detailed-exitcode") == 0


def test_an_ephemeral_block(terminal: Shell) -> None:
    terminal.write(
        'ephemeral "random" "r" {\n  type = "uuid"\n  lifecycle { enabled = false }\n}\n'
        'output "o" { value = ephemeralasnull(ephemeral.random.r) == null }\n'
    )
    terminal.fine("apply", "-auto-approve")
    assert terminal.fine("output", "-raw", "o") == "true"


def test_what_is_deprecated_is_told_where_it_is_used(terminal: Shell) -> None:
    terminal.write(
        'variable "old" {\n  default = 1\n  deprecated = "set new"\n}\nvariable "new" { default = 2 }\n'
        'output "bye" {\n  value = var.old\n  deprecated = "read hello"\n}\noutput "hello" { value = var.new }\n',
        "m/main.hcl",
    )
    main = (
        'variable "gone" {\n  default = 1\n  deprecated = "it does nothing"\n}\nmodule "m" {\n  source = "./m"\n%s}\n%s'
    )
    terminal.write(main % ("  new = 3\n", 'output "o" { value = module.m.hello }\n'))
    terminal.fine("plan")
    assert terminal.err == ""
    terminal.write(main % ("  old = 3\n", 'output "o" { value = module.m.bye }\n'))
    terminal.fine("plan", "-var", "gone=2")
    said = " ".join(terminal.err.split())
    assert "Warning: Deprecated variable on main.hcl line 7" in said
    assert "old of module.m is deprecated: set new" in said
    assert "module.m.bye is deprecated: read hello" in said
    assert 'The variable "gone" is deprecated: it does nothing' in said
    terminal.write('variable "x" {\n  default = 1\n  deprecated = ""\n}\n')
    assert "deprecated must say what to use in its place" in terminal.refused("validate")


def test_const_is_taken(terminal: Shell) -> None:
    terminal.write('variable "x" {\n  default = 1\n  const = true\n}\noutput "x" { value = var.x }\n')
    terminal.fine("validate")
    terminal.write('variable "x" {\n  default = 1\n  const = 5\n}\n')
    assert 'The argument "const" must be true or false' in terminal.refused("validate")
