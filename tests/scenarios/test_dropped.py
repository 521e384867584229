"""Attributes that a variable's type has no place for are told, as they are mostly slips of the pen."""

from __future__ import annotations

from tests.conftest import Shell

TYPE = "object({ name = string, size = optional(number, 1), parts = optional(list(object({ x = number })), []) })"


def test_in_the_arguments_of_a_module(terminal: Shell) -> None:
    terminal.write(f'variable "one" {{ type = {TYPE} }}\nvariable "all" {{ type = map({TYPE}) }}', "m/main.hcl")
    main = (
        'module "m" {\n  source = "./m"\n  one = { name = "a"%s, parts = [{ x = 1 }, { x = 2%s }] }\n'
        '  all = { k = { name = "b"%s } }\n}\n'
    )
    terminal.write(main % ("", "", ""))
    terminal.fine("validate")
    assert terminal.err == ""
    terminal.write(main % (', sise = 2, "any" = 3', ", y = 3", ', (lower("SIZE")) = 2, part = []'))
    terminal.fine("validate")
    said = " ".join(terminal.err.split())
    assert said.count("Warning: Attribute without effect on main.hcl") == 4
    assert (
        'The type of the variable "one" has no attribute "sise" here, so it is left out. Did you mean "size"?' in said
    )
    assert 'no attribute "any" here' in said
    assert 'no attribute "y" here' in said
    assert '"all" has no attribute "part" here, so it is left out. Did you mean "parts"?' in said


def test_in_a_default(terminal: Shell) -> None:
    terminal.write(f'variable "one" {{\n  type = {TYPE}\n  default = {{ name = "a", other = 1 }}\n}}\n')
    terminal.fine("validate")
    assert '"one" has no attribute "other" here' in " ".join(terminal.err.split())
    # without a type all is taken
    terminal.write('variable "one" {\n  default = { name = "a", other = 1 }\n}\n')
    terminal.fine("validate")
    assert terminal.err == ""
