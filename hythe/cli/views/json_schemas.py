"""The schemas of kinds in the representation of ``tofu providers schema -json``.

Source: OpenTofu's documentation of that command (format version 1.0).
"""

from __future__ import annotations

from typing import Any

from hythe.cli.views.json_values import PROVIDER, type_json
from hythe.provider.registry import Registry
from hythe.provider.schema import Attribute, Schema


def schemas_json(registry: Registry) -> dict[str, Any]:
    """The schemas of all kinds."""
    resources: dict[str, Any] = {}
    data: dict[str, Any] = {}
    ephemeral: dict[str, Any] = {}
    for name in registry.names():
        kind = registry.kind(name)
        resources[name] = {"version": 1, "block": block_json(kind.schema)}
        # selecting an existing object of a kind without a data model takes none of its arguments for certain
        data[name] = {"version": 1, "block": block_json(kind.data_schema, required=kind.data_model is not None)}
        if kind.ephemeral_schema is not None:
            ephemeral[name] = {"version": 1, "block": block_json(kind.ephemeral_schema)}
    provider = {
        "provider": {"version": 1, "block": {}},
        "resource_schemas": resources,
        "data_source_schemas": data,
        "ephemeral_resource_schemas": ephemeral,
    }
    return {"format_version": "1.0", "provider_schemas": {PROVIDER: provider}}


def block_json(schema: Schema, *, required: bool = True) -> dict[str, Any]:
    """A block's arguments and nested blocks. ``required``: whether arguments can be required."""
    attributes: dict[str, Any] = {}
    blocks: dict[str, Any] = {}
    for name, spec in schema.attributes.items():
        if spec.nested is None:
            attributes[name] = _attribute(spec, required)
        else:
            blocks[name] = _nested(spec, spec.nested, required)
    out: dict[str, Any] = {}
    if attributes:
        out["attributes"] = attributes
    if blocks:
        out["block_types"] = blocks
    return out


def _attribute(spec: Attribute, required: bool) -> dict[str, Any]:
    out: dict[str, Any] = {
        "type": type_json(spec.type),
        "description": spec.description,
        "description_kind": "markdown",
    }
    if spec.computed:
        out["computed"] = True
    elif spec.required and required:
        out["required"] = True
    else:
        out["optional"] = True
        if spec.engine_default:
            out["computed"] = True
    if spec.sensitive or spec.write_only:
        out["sensitive"] = True
    if spec.write_only:
        out["write_only"] = True
    return out


def _nested(spec: Attribute, schema: Schema, required: bool) -> dict[str, Any]:
    out: dict[str, Any] = {
        "nesting_mode": "list" if spec.repeated else "single",
        "block": {**block_json(schema, required=required), "description": spec.description},
    }
    if spec.required and required:
        out["min_items"] = 1
    return out
