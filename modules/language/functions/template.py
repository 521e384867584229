"""Templates from files and strings."""

from __future__ import annotations

import re
from typing import Any

from hythe.modules.language import types
from hythe.modules.language.functions import filesystem
from hythe.modules.language.functions.registry import Environment, FunctionError, Param, function
from hythe.value import ANY, STRING, Value

MAX_DEPTH = 30
"""Templates that may be read by one another."""

_NAME = re.compile(r"[^\W\d][\w-]*")

_VARS = Param("vars", ANY)


@function(
    "templatefile",
    [Param("path", STRING), _VARS],
    returns=ANY,
    description="The template in a file, with the variables filled in.",
    examples=['templatefile("greeting.tftpl", { name = "you" }) == "Hello, you!"'],
)
def templatefile(path: str, variables: Value, *, env: Environment) -> Value:
    return _evaluate(filesystem.read_text(path, env), path, variables, env)


@function(
    "templatestring",
    [Param("template", STRING), _VARS],
    returns=ANY,
    description="The template in a string, with the variables filled in.",
    examples=['templatestring("Hello, $${name}!", { name = "Jodie" }) == "Hello, Jodie!"'],
)
def templatestring(template: str, variables: Value, *, env: Environment) -> Value:
    return _evaluate(template, "<templatestring argument>", variables, env)


def _evaluate(source: str, filename: str, variables: Value, env: Environment) -> Value:
    if not isinstance(variables, dict):
        kind = types.describe(types.type_of(variables))
        raise FunctionError(f"invalid vars value: must be a map, not {kind}", 1)
    for name in variables:
        if not _NAME.fullmatch(name):
            raise FunctionError(
                "invalid template variable name {}: must start with a letter, "
                "followed by zero or more letters, digits, and underscores",
                1,
                shown=(name,),
            )
    if env.template_depth >= MAX_DEPTH:
        raise FunctionError(f"templates are nested more than {MAX_DEPTH} deep; does one read itself?", 0)
    named: dict[str, Any] = dict(variables)
    return env.evaluate_template(source, filename, named)
