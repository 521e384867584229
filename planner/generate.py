"""Writing the configuration of objects that exist: ``plan --generate-config-out``. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from hythe.address import Address
from hythe.modules.syntax import format as canonical
from hythe.provider.protocol import Kind
from hythe.provider.schema import Attribute, Schema
from hythe.value import Reference

_NAME = re.compile(r"[^\W\d][\w-]*")
_SPECIAL = re.compile(r'[\\"\n\r\t]|[$%]\{')
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "${": "$${", "%{": "%%{"}


Known = Mapping[tuple[str, str], str]
"""Addresses of objects by kind and name."""


def resource_text(at: Address, kind: Kind, attributes: Mapping[str, Any], known: Known) -> str:
    """A resource block that says what an object is.

    What engines choose where nothing is given is written as comments: nobody can tell whether somebody asked for it.

    What it uses is written as a reference where that is among the ``known`` objects.
    """
    lines = [f"resource {_string(at.kind)} {_string(at.name)} {{"]
    lines += _body(kind.schema, attributes, known)
    return canonical("\n".join([*lines, "}", ""]))


def _body(schema: Schema, attributes: Mapping[str, Any], known: Known) -> list[str]:
    lines: list[str] = []
    for name, spec in schema.attributes.items():
        value = attributes.get(name)
        if value is None or value in ([], {}) or name == "host" or spec.computed:
            continue
        if spec.nested is not None:
            for item in value if isinstance(value, list) else [value]:
                lines += [f"{name} {{", *_body(spec.nested, item, known), "}"]
        elif spec.write_only or spec.sensitive:
            lines.append(f"# {name} is sensitive, so it is not written here")
        elif spec.required or name == "name" or value != spec.default:
            written = f"{name} = {_used(spec, value, known) or _value(value)}"
            chosen = spec.engine_default and not spec.required and name != "name"
            lines += [f"# {line}" for line in written.splitlines()] if chosen else [written]
    return lines


def _used(spec: Attribute, value: Any, known: Known) -> str | None:
    """The address of what an argument names."""
    if not isinstance(value, str):
        return None
    return next((known[kind, value] for kind in spec.reference if (kind, value) in known), None)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return str(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Reference):
        return value.address
    if isinstance(value, Mapping):
        items = (f"{k if _NAME.fullmatch(k) else _string(k)} = {_value(v)}" for k, v in value.items())
        return "{\n" + "\n".join(items) + "\n}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return "null"


def _string(text: str) -> str:
    return '"' + _SPECIAL.sub(lambda m: _ESCAPES[m[0]], text) + '"'
