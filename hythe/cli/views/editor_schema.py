"""A JSON Schema for editors: what a ``*.hcl.json`` file may hold.

Source: JSON Schema, draft 2020-12. Expressions are strings there, so each argument takes a string beside its own type.
"""

from __future__ import annotations

from typing import Any

from hythe.provider.registry import Registry
from hythe.provider.schema import Attribute, Schema
from hythe.value import Type

_EXPRESSION = {"type": "string"}
_ENABLED = {"anyOf": [{"type": "boolean"}, _EXPRESSION]}
_CONDITION = {
    "type": "object",
    "properties": {"condition": True, "error_message": _EXPRESSION},
    "required": ["condition", "error_message"],
    "additionalProperties": False,
}
_NAMES = {"type": "array", "items": _EXPRESSION}
_PLAIN = {"string": "string", "number": "number", "bool": "boolean"}


def editor_schema(registry: Registry) -> dict[str, Any]:
    """The schema of a configuration file with all kinds."""
    definitions: dict[str, Any] = {"condition": _CONDITION, "lifecycle": _lifecycle()}
    resources: dict[str, Any] = {}
    data: dict[str, Any] = {}
    ephemeral: dict[str, Any] = {}
    for name in registry.names():
        kind = registry.kind(name)
        definitions[f"resource_{name}"] = _block(kind.schema, meta=True, required=True)
        definitions[f"data_{name}"] = _block(kind.data_schema, meta=True, required=kind.data_model is not None)
        if kind.ephemeral_schema is not None:
            definitions[f"ephemeral_{name}"] = _block(kind.ephemeral_schema, meta=True, required=True)
            ephemeral[name] = _named({"$ref": f"#/$defs/ephemeral_{name}"})
        resources[name] = _named({"$ref": f"#/$defs/resource_{name}"})
        data[name] = _named({"$ref": f"#/$defs/data_{name}"})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Hythe configuration (*.hcl.json)",
        "type": "object",
        "properties": {
            "//": True,
            "hythe": _one_or_more(_object({"required_version": _EXPRESSION, "project": _EXPRESSION, "backend": True})),
            "variable": _named(_variable()),
            "locals": _one_or_more({"type": "object"}),
            "output": _named(_output()),
            "module": _named(_module()),
            "resource": _one_or_more(_object(resources)),
            "data": _one_or_more(_object(data)),
            "ephemeral": _one_or_more(_object(ephemeral)),
            "moved": _one_or_more(_object({"from": _EXPRESSION, "to": _EXPRESSION}, ["from", "to"])),
            "removed": _one_or_more(_object({"from": _EXPRESSION, "lifecycle": True}, ["from"])),
            "import": _one_or_more(_object({"to": _EXPRESSION, "id": _EXPRESSION, "for_each": True}, ["to", "id"])),
            "check": _named(_object({"assert": _one_or_more({"$ref": "#/$defs/condition"}), "data": True}, ["assert"])),
        },
        "additionalProperties": False,
        "$defs": definitions,
    }


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    out: dict[str, Any] = {"type": "object", "properties": {"//": True, **properties}, "additionalProperties": False}
    return {**out, "required": required} if required else out


def _one_or_more(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "array", "items": schema}]}


def _named(schema: dict[str, Any]) -> dict[str, Any]:
    """Blocks with a name as their last label."""
    return _one_or_more({"type": "object", "additionalProperties": _one_or_more(schema)})


def _lifecycle() -> dict[str, Any]:
    rules = _one_or_more({"$ref": "#/$defs/condition"})
    return _object(
        {
            "create_before_destroy": {"type": "boolean"},
            "enabled": _ENABLED,
            "destroy": {"type": "boolean"},
            "prevent_destroy": _ENABLED,
            "ignore_changes": {"anyOf": [{"const": "all"}, _NAMES]},
            "replace_triggered_by": _NAMES,
            "max_disruption": {"enum": ["live", "restart", "replace"]},
            "precondition": rules,
            "postcondition": rules,
        }
    )


def _variable() -> dict[str, Any]:
    flags = {name: {"type": "boolean"} for name in ("sensitive", "ephemeral", "nullable", "const")}
    texts = dict.fromkeys(("type", "description", "deprecated"), _EXPRESSION)
    return _object({**texts, **flags, "default": True, "validation": _one_or_more({"$ref": "#/$defs/condition"})})


def _output() -> dict[str, Any]:
    flags = {name: {"type": "boolean"} for name in ("sensitive", "ephemeral")}
    rules = _one_or_more({"$ref": "#/$defs/condition"})
    texts = {"description": _EXPRESSION, "deprecated": _EXPRESSION, "depends_on": _NAMES, "precondition": rules}
    return _object({"value": True, **texts, **flags}, ["value"])


def _module() -> dict[str, Any]:
    known = {"source": _EXPRESSION, "version": _EXPRESSION, "count": True, "for_each": True, "depends_on": _NAMES}
    known["lifecycle"] = _one_or_more(_object({"enabled": _ENABLED}))
    # the module's variables are its own
    return {"type": "object", "properties": known, "required": ["source"]}


def _block(schema: Schema, *, meta: bool, required: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for name, spec in schema.attributes.items():
        if spec.computed:
            continue
        if spec.nested is not None:
            properties[name] = _one_or_more(_block(spec.nested, meta=False, required=required))
        else:
            properties[name] = _argument(spec)
    if meta:
        properties |= {"count": True, "for_each": True, "depends_on": _NAMES, "provider": True, "dynamic": True}
        properties["lifecycle"] = _one_or_more({"$ref": "#/$defs/lifecycle"})
    else:
        properties["dynamic"] = True
    # what a dynamic block may bring cannot be asked for
    needed = [n for n, s in schema.attributes.items() if s.required and s.nested is None and not s.computed]
    return _object(properties, needed if required else None)


def _argument(spec: Attribute) -> dict[str, Any]:
    own = {} if spec.reference else _type(spec.type)
    out: dict[str, Any] = {"description": spec.description}
    if own:
        out["anyOf"] = [own, _EXPRESSION, {"type": "null"}]
    return out


def _type(kind: Type) -> dict[str, Any]:
    name = str(kind).partition("(")[0]
    if name in _PLAIN:
        return {"type": _PLAIN[name]}
    inner = _type(kind.element) if kind.element is not None else {}
    values = {"anyOf": [inner, _EXPRESSION, {"type": "null"}]} if inner else True
    if name in ("list", "set", "tuple"):
        return {"type": "array", "items": values}
    if name in ("map", "object"):
        return {"type": "object", "additionalProperties": values if name == "map" else True}
    return {}
