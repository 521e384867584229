"""The ``configuration`` of OpenTofu's plan representation: what the files declare, unevaluated."""

from __future__ import annotations

import re
from typing import Any

from hythe.cli.views.json_values import PROVIDER, type_json
from hythe.modules.config import (
    CheckRule,
    Config,
    Located,
    Module,
    ModuleCall,
    OutputBlock,
    ResourceBlock,
    VariableBlock,
)
from hythe.modules.declarations import CALL_ARGUMENTS
from hythe.modules.language.references import references
from hythe.modules.syntax import tree
from hythe.modules.syntax.tree import Body, Expression, Literal, Source

_STEP = re.compile(r"""^[^\W\d][\w-]*|\.[^\W\d][\w-]*|\[(?:\d+|"[^"\\]*")\]""")
_META = frozenset({"count", "for_each", "depends_on", "provider"})
_META_BLOCKS = frozenset({"lifecycle"})


def configuration_json(config: Config) -> dict[str, Any]:
    """The configuration's representation."""
    provider = {"name": PROVIDER, "full_name": PROVIDER}
    return {"provider_config": {PROVIDER: provider}, "root_module": _module(config.module)}


def _module(module: Module) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if module.outputs:
        facts["outputs"] = {name: _output(o) for name, o in sorted(module.outputs.items())}
    if module.resources:
        facts["resources"] = [_resource(b) for _, b in sorted(module.resources.items())]
    if module.calls:
        facts["module_calls"] = {n: _call(c, module.children.get(n)) for n, c in sorted(module.calls.items())}
    if module.variables:
        facts["variables"] = {name: _variable(v) for name, v in sorted(module.variables.items())}
    return facts


def _call(call: ModuleCall, module: Module | None) -> dict[str, Any]:
    source = call.body.source
    arguments = {n: a.expression for n, a in call.body.attributes.items() if n not in CALL_ARGUMENTS}
    facts: dict[str, Any] = {"source": call.source}
    if arguments:
        facts["expressions"] = {n: _expression(e, source) for n, e in arguments.items()}
    if call.count is not None:
        facts["count_expression"] = _located(call.count)
    if call.for_each is not None:
        facts["for_each_expression"] = _located(call.for_each)
    facts["module"] = _module(module) if module is not None else {}
    if call.version is not None:
        facts["version_constraint"] = call.version
    if call.depends_on:
        facts["depends_on"] = [t for d in call.depends_on for t in _located(d).get("references", [])[:1]]
    return facts


def _located(found: Located) -> dict[str, Any]:
    return _expression(found.expression, found.source)


def _expression(expression: Expression, source: Source) -> dict[str, Any]:
    known, value = _constant(expression)
    if known:
        return {"constant_value": value}
    names: list[str] = []
    for found in references(expression, source):
        names += _reference_texts(source.text[found.range.start : found.range.end])
    return {"references": list(dict.fromkeys(names))} if names else {}


def _reference_texts(text: str) -> list[str]:
    """A reference and its prefixes that name something, longest first, as OpenTofu lists them."""
    steps = _STEP.findall(text)
    if "".join(steps) != text:
        # a key that is an expression of its own: only what comes before it is fixed
        steps = steps[: _fixed(steps, text)]
    least = 3 if steps[:1] in (["data"], ["ephemeral"]) else 2
    return ["".join(steps[:length]) for length in range(len(steps), min(least, len(steps)) - 1, -1)]


def _fixed(steps: list[str], text: str) -> int:
    count = at = 0
    while count < len(steps) and text.startswith(steps[count], at):
        at += len(steps[count])
        count += 1
    return count


def _constant(expression: Expression) -> tuple[bool, Any]:
    if isinstance(expression, Literal):
        return True, expression.value
    if isinstance(expression, tree.Template):
        if all(isinstance(p, Literal) for p in expression.parts):
            return True, "".join(str(p.value) for p in expression.parts if isinstance(p, Literal))
        return False, None
    if isinstance(expression, tree.Parentheses):
        return _constant(expression.inner)
    if isinstance(expression, tree.TupleCons):
        items = [_constant(i) for i in expression.items]
        return all(known for known, _ in items), [v for _, v in items]
    if isinstance(expression, tree.ObjectCons):
        pairs = [(_constant(k), _constant(v)) for k, v in expression.items]
        return all(k[0] and v[0] for k, v in pairs), {str(k[1]): v[1] for k, v in pairs}
    return False, None


def _body(body: Body, *, top: bool) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, attribute in body.attributes.items():
        if not (top and name in _META):
            out[name] = _expression(attribute.expression, body.source)
    for block in body.blocks:
        if top and block.type in _META_BLOCKS:
            continue
        inner, name = block.body, block.type
        if block.type == "dynamic" and block.labels:
            name = block.labels[0].text
            inner = next((b.body for b in block.body.blocks if b.type == "content"), block.body)
        out.setdefault(name, [])
        if isinstance(out[name], list):
            out[name].append(_body(inner, top=False))
    return out


def _resource(block: ResourceBlock) -> dict[str, Any]:
    prefix = "" if block.mode == "managed" else f"{block.mode}."
    facts: dict[str, Any] = {
        "address": f"{prefix}{block.kind}.{block.name}",
        "mode": block.mode,
        "type": block.kind,
        "name": block.name,
        "provider_config_key": PROVIDER,
        "expressions": _body(block.body, top=True),
        "schema_version": 1,
    }
    if block.count is not None:
        facts["count_expression"] = _located(block.count)
    if block.for_each is not None:
        facts["for_each_expression"] = _located(block.for_each)
    if block.depends_on:
        facts["depends_on"] = [t for d in block.depends_on for t in _located(d).get("references", [])[:1]]
    return facts


def _output(block: OutputBlock) -> dict[str, Any]:
    facts: dict[str, Any] = {"expression": _located(block.value)}
    if block.sensitive:
        facts["sensitive"] = True
    if block.description:
        facts["description"] = block.description
    if block.preconditions:
        facts["preconditions"] = [_rule(r) for r in block.preconditions]
    return facts


def _rule(rule: CheckRule) -> dict[str, Any]:
    return {"condition": _located(rule.condition), "error_message": _located(rule.error_message)}


def _variable(block: VariableBlock) -> dict[str, Any]:
    facts: dict[str, Any] = {"type": type_json(block.type)}
    if block.default is not None:
        known, value = _constant(block.default.expression)
        if known:
            facts["default"] = None if block.sensitive else value
    if block.description:
        facts["description"] = block.description
    if block.sensitive:
        facts["sensitive"] = True
    return facts
