"""Saved plans: one file, private to its owner, with a version and a checksum.

The first line is a header, the second the plan::

    {"hythe_plan":1,"hythe":"0.1.0","sha256":"..."}
    {"lineage":...,"changes":[...],...}

The plan carries its configuration; ephemeral variables are not in it. With encryption settings for plans, the file is
a sealed document (see :mod:`hythe.state.encryption.sealing`) that holds all of this.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from hythe.cli.context import fail
from hythe.diagnostic import Range
from hythe.files import replace_file
from hythe.planner.plan import Action, Cause, Change, ConfigSnapshot, Disruption, Mode, OutputChange, Plan
from hythe.state.codec import SEALED, decode_value, encode_value
from hythe.value import parse_type_text

if TYPE_CHECKING:
    from hythe.state.encryption.target import Target

FORMAT_VERSION = 1
_MAGIC = b'{"hythe_plan":'

Record = TypeVar("Record", Change, Cause, Range, OutputChange, ConfigSnapshot, Plan)
Codec = tuple[Callable[[Any], Any], Callable[[Any], Any]]


def _same(value: Any) -> Any:
    return value


def _paths(value: Any) -> tuple[tuple[str | int, ...], ...]:
    return tuple(map(tuple, value))


def _encode_record(record: Any, codecs: Mapping[str, Codec]) -> dict[str, Any]:
    """The fields that differ from their defaults."""
    out: dict[str, Any] = {}
    for spec in fields(record):
        value = getattr(record, spec.name)
        if spec.default is not MISSING and type(value) is type(spec.default) and value == spec.default:
            continue
        codec = codecs.get(spec.name)
        out[spec.name] = value if codec is None else codec[0](value)
    return out


def _decode_record(make: type[Record], data: Mapping[str, Any], codecs: Mapping[str, Codec]) -> Record:
    return make(**{name: codecs[name][1](v) if name in codecs else v for name, v in data.items()})


def _record(make: type[Record], codecs: Mapping[str, Codec]) -> Codec:
    def decode(data: Any) -> Any:
        return None if data is None else _decode_record(make, data, codecs)

    return (lambda value: None if value is None else _encode_record(value, codecs)), decode


def _many(codec: Codec) -> Codec:
    return (lambda values: [codec[0](v) for v in values]), (lambda data: tuple(codec[1](v) for v in data))


_VALUE: Codec = (encode_value, decode_value)
_VALUES: Codec = (
    lambda values: None if values is None else {k: encode_value(v) for k, v in values.items()},
    lambda data: None if data is None else {k: decode_value(v) for k, v in data.items()},
)
_TYPE: Codec = (str, parse_type_text)
_PATHS: Codec = (_same, _paths)
_TUPLE: Codec = (_same, tuple)
_RANGE = _record(Range, {})
_CAUSE = _record(Cause, {"path": _TUPLE, "range": _RANGE})
_CHANGE = _record(
    Change,
    {
        "action": (lambda a: a.value, Action),
        "disruption": (int, Disruption),
        "before": _VALUES,
        "after": _VALUES,
        "before_sensitive": _PATHS,
        "after_sensitive": _PATHS,
        "changed": _TUPLE,
        "replace_paths": _PATHS,
        "causes": _many(_CAUSE),
        "depends_on": _TUPLE,
        "range": _RANGE,
    },
)
_OUTPUT = _record(OutputChange, {"before": _VALUE, "after": _VALUE, "type": _TYPE})
_CONFIG = _record(ConfigSnapshot, {"variables": _VALUES, "sensitive_variables": _TUPLE})
_PLAN: Mapping[str, Codec] = {
    "mode": (lambda m: m.value, Mode),
    "config": _CONFIG,
    "changes": _many(_CHANGE),
    "drift": _many(_CHANGE),
    "outputs": _many(_OUTPUT),
    "targets": _TUPLE,
    "deferred": _TUPLE,
    "prior": _VALUES,
    "moves": _PATHS,
}


def encode_plan(plan: Plan) -> bytes:
    """The bytes of a plan file."""
    body = orjson.dumps(_encode_record(plan, _PLAN))
    head = {"hythe_plan": FORMAT_VERSION, "hythe": plan.version, "sha256": sha256(body).hexdigest()}
    return orjson.dumps(head) + b"\n" + body + b"\n"


def decode_plan(data: bytes) -> Plan:
    """The plan in a file's bytes. Raises ValueError with a sentence part that says what is wrong."""
    head_line, _, body = data.partition(b"\n")
    if not head_line.startswith(_MAGIC):
        raise ValueError("it is no plan that Hythe saved")
    try:
        head = orjson.loads(head_line)
        version = head["hythe_plan"]
        if version > FORMAT_VERSION:
            # a plan is for the state of one moment: an old one is made anew, never brought up to date
            raise ValueError(f"it was saved by a newer Hythe ({head.get('hythe')}); use that one, or make a new plan")
        if version < FORMAT_VERSION:
            raise ValueError(f"it was saved by an older Hythe ({head.get('hythe')}); make a new plan")
        body = body.removesuffix(b"\n")
        if sha256(body).hexdigest() != head["sha256"]:
            raise ValueError("it is damaged: its content does not match its checksum")
        return _decode_record(Plan, orjson.loads(body), _PLAN)
    except (KeyError, TypeError, AttributeError, orjson.JSONDecodeError) as failure:
        raise ValueError(f"it is damaged ({failure})") from failure


def write_plan(plan: Plan, path: str, target: Target | None = None) -> None:
    """Save a plan by atomic replace, readable only by its owner, sealed by ``target``. Raises DiagnosticError.

    What is no file, like /dev/null or a pipe, is written to, and stays.
    """
    data = encode_plan(plan)
    if target is not None and target.seals:
        data = target.close(data, "plan", [("lineage", plan.lineage), ("serial", plan.serial)])[0] + b"\n"
    path = os.path.realpath(path)
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            with open(path, "wb") as file:
                file.write(data)
        else:
            replace_file(path, data)
    except OSError as failure:
        raise fail("Plan not saved", f"The plan cannot be written to {path}: {failure.strerror}.") from None


def read_plan(path: str, target: Target | None = None) -> Plan:
    """Read a saved plan, opened by ``target`` where it is sealed. Raises DiagnosticError."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        return decode_plan(_opened(data, path, target))
    except OSError as failure:
        raise fail("Plan not readable", f"The plan file {path} cannot be read: {failure.strerror}.") from None
    except ValueError as failure:
        raise fail("Invalid plan file", f"{path} cannot be used: {failure}.") from None


def _opened(data: bytes, path: str, target: Target | None) -> bytes:
    if not data.startswith(SEALED):
        if target is not None and data.startswith(_MAGIC):
            target.refuse_plain("Plan", path)
        return data
    if target is None:
        text = (
            f"{path} is encrypted, and the encryption settings here have no block for plans. Put the encryption block "
            "that it was written with into the hythe block of this folder's configuration, or its inside into the "
            "environment variable HYTHE_ENCRYPTION."
        )
        raise fail("Plan is encrypted", text)
    from hythe.state.encryption.sealing import BadSeal
    from hythe.state.encryption.target import unreadable_plan

    try:
        return target.open(target.read(data, "plan", path), path).plain
    except BadSeal as failure:
        raise unreadable_plan(failure, path) from failure


def is_plan_file(path: str) -> bool:
    """Whether the file begins like a saved plan, sealed or not."""
    try:
        with open(path, "rb") as file:
            head = file.read(512)
            return head.startswith(_MAGIC) or (head.startswith(SEALED) and b',"content":"plan",' in head)
    except OSError:
        return False
