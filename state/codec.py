"""State and plan data as bytes. Pure: nothing here touches a file.

A snapshot is one JSON document in one line::

    {"hythe_state":2,"checksum":"sha256:...","size":N,"lineage":...,"serial":...,"written":...,...}

The checksum covers the format version and what follows ``size``, which is N bytes. It is also the snapshot's name: a
journal says by it which snapshot it goes on from (see :mod:`hythe.state.journal`), and a snapshot says
which journal it has taken in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import orjson

from hythe.state.model import (
    FORMAT_VERSION,
    UNKNOWN_ORIGIN,
    InstanceState,
    Intent,
    Origin,
    OutputState,
    Result,
    State,
)
from hythe.state.upgrade import upgrade_snapshot
from hythe.state.values import decode_value, encode_value
from hythe.value import parse_type_text

__all__ = [
    "BadSnapshot",
    "Flaw",
    "Snapshot",
    "Summary",
    "decode_instance",
    "decode_intent",
    "decode_outputs",
    "decode_snapshot",
    "decode_value",
    "encode_instance",
    "encode_intent",
    "encode_outputs",
    "encode_snapshot",
    "encode_value",
    "summarise_snapshot",
]

_HEAD = re.compile(rb'\{"hythe_state":(\d{1,9}),"checksum":"sha256:([0-9a-f]{64})","size":(\d{1,15}),')

_ELSEWHERE = re.compile(rb'^\s*\{(?s:.*)"(?:terraform_version|tofu_version)"')

SEALED = b'{"hythe_encrypted":'
"""How sealed data begins (see :mod:`hythe.state.encryption.sealing`)."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state as written. ``pending`` are operations whose outcome is not known yet.

    ``digest`` names these bytes; ``previous`` is the digest of the snapshot that this one replaced; ``origin``
    says who wrote it.
    """

    state: State
    pending: tuple[Intent, ...] = ()
    digest: str = ""
    previous: str = ""
    origin: Origin = UNKNOWN_ORIGIN


@dataclass(frozen=True, slots=True)
class Summary:
    """What is worth telling of a snapshot without its objects: ``objects``, ``deposed`` and ``pending`` are counts."""

    lineage: str
    serial: int
    objects: int
    deposed: int
    pending: int
    digest: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with bytes that should be a snapshot.

    ``sort`` is empty, truncated, foreign (no state file at all), sealed (encrypted), damaged or newer; ``text`` a
    sentence part.
    """

    sort: str
    text: str


class BadSnapshot(ValueError):
    """The bytes are no snapshot that can be read."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.text)
        self.flaw = flaw


def encode_instance(instance: InstanceState) -> dict[str, Any]:
    """An instance as a JSON object; what has its default is left out."""
    out: dict[str, Any] = {
        "address": instance.address,
        "id": instance.id,
        "kind": instance.kind,
        "attributes": encode_value(instance.attributes),
    }
    if instance.sensitive:
        out["sensitive"] = instance.sensitive
    if instance.dependencies:
        out["dependencies"] = instance.dependencies
    if instance.host is not None:
        out["host"] = instance.host
    if instance.create_before_destroy:
        out["create_before_destroy"] = True
    if instance.prevent_destroy:
        out["prevent_destroy"] = True
    if instance.tainted:
        out["tainted"] = True
    if instance.schema_version != 1:
        out["schema_version"] = instance.schema_version
    if instance.skip_destroy:
        out["skip_destroy"] = True
    return out


def decode_instance(data: Mapping[str, Any]) -> InstanceState:
    """The instance of :func:`encode_instance`. Raises ValueError, KeyError or TypeError."""
    get = data.get
    sensitive = get("sensitive")
    return InstanceState(
        data["address"],
        data["id"],
        data["kind"],
        decode_value(data["attributes"]),
        tuple(map(tuple, sensitive)) if sensitive else (),
        tuple(get("dependencies", ())),
        get("host"),
        get("create_before_destroy", False),
        get("prevent_destroy", False),
        get("tainted", False),
        get("schema_version", 1),
        get("skip_destroy", False),
    )


def encode_intent(intent: Intent) -> dict[str, Any]:
    """An intent as a JSON object."""
    out: dict[str, Any] = {"seq": intent.seq, "op": intent.op, "instance": encode_instance(intent.instance)}
    if intent.old_id is not None:
        out["old_id"] = intent.old_id
    return out


def decode_intent(data: Mapping[str, Any]) -> Intent:
    """The intent of :func:`encode_intent`. Raises ValueError, KeyError or TypeError."""
    return Intent(data["seq"], data["op"], decode_instance(data["instance"]), data.get("old_id"))


def encode_outputs(outputs: Mapping[str, OutputState]) -> dict[str, Any]:
    """Outputs as a JSON object."""
    return {
        name: {"value": encode_value(o.value), "type": str(o.type), **({"sensitive": True} if o.sensitive else {})}
        for name, o in outputs.items()
    }


def decode_outputs(data: Mapping[str, Any]) -> dict[str, OutputState]:
    """The outputs of :func:`encode_outputs`. Raises ValueError, KeyError or TypeError."""
    return {
        name: OutputState(decode_value(o["value"]), parse_type_text(o["type"]), o.get("sensitive", False))
        for name, o in data.items()
    }


def encode_snapshot(
    state: State, pending: tuple[Intent, ...] = (), previous: str = "", origin: Origin = UNKNOWN_ORIGIN
) -> tuple[bytes, str]:
    """The bytes of a snapshot, and their digest."""
    body: dict[str, Any] = {"lineage": state.lineage, "serial": state.serial, **_encode_origin(origin)}
    if previous:
        body["previous"] = previous
    body["instances"] = [encode_instance(i) for i in state.instances.values()]
    body["deposed"] = [encode_instance(i) for i in state.deposed.values()]
    body["outputs"] = encode_outputs(state.outputs)
    if pending:
        body["pending"] = [encode_intent(i) for i in pending]
    rest = orjson.dumps(body)[1:] + b"\n"
    version = str(FORMAT_VERSION).encode()
    digest = _digest(version, rest)
    head = b'{"hythe_state":%s,"checksum":"sha256:%s","size":%d,' % (version, digest.encode(), len(rest))
    return head + rest, digest


def _encode_origin(origin: Origin) -> dict[str, Any]:
    """Who wrote it, the time as text: the format has no fractions."""
    written = origin.written
    return {
        "written": None if written is None else datetime.fromtimestamp(written, UTC).isoformat(timespec="milliseconds"),
        "hythe": origin.hythe,
        "operation": origin.operation,
    }


def _decode_origin(body: Mapping[str, Any]) -> Origin:
    written = body["written"]
    seconds = None if written is None else datetime.fromisoformat(written).timestamp()
    return Origin(seconds, body["hythe"], body["operation"])


def _digest(version: bytes, rest: bytes) -> str:
    hashed = sha256(version + b"\n")
    hashed.update(rest)
    return hashed.hexdigest()


def begins_like_snapshot(data: bytes) -> bool:
    """Whether the data says of itself that it is a snapshot, in clear."""
    return _HEAD.match(data) is not None


def decode_snapshot(data: bytes) -> Snapshot:
    """The snapshot in ``data``. Raises :class:`BadSnapshot`, which tells the sorts of damage apart."""
    body, digest = _content(data)
    try:
        return _snapshot(body, digest)
    except (ValueError, KeyError, TypeError, AttributeError) as failure:
        raise BadSnapshot(Flaw("damaged", f"its content makes no sense ({failure})")) from failure


def decode_edited(data: bytes) -> Snapshot:
    """A snapshot that was edited or formatted anew, so that its checksum does not fit; for whoever means it.

    Raises BadSnapshot where it is no whole one.
    """
    try:
        body = orjson.loads(data)
        version = int(body["hythe_state"])
    except (ValueError, KeyError, TypeError) as failure:
        raise BadSnapshot(Flaw("foreign", "it is no state file in JSON")) from failure
    if version > FORMAT_VERSION:
        raise BadSnapshot(_newer(version))
    try:
        return _snapshot(upgrade_snapshot(body, version), "")
    except (ValueError, KeyError, TypeError, AttributeError) as failure:
        raise BadSnapshot(Flaw("damaged", f"its content makes no sense ({failure})")) from failure


def summarise_snapshot(data: bytes) -> Summary:
    """What a list of snapshots says of the one in ``data``, without making its instances. Raises BadSnapshot."""
    body, digest = _content(data)
    try:
        objects, deposed, pending = (len(body.get(name, ())) for name in ("instances", "deposed", "pending"))
        return Summary(body["lineage"], body["serial"], objects, deposed, pending, digest, _decode_origin(body))
    except (ValueError, KeyError, TypeError, AttributeError) as failure:
        raise BadSnapshot(Flaw("damaged", f"its content makes no sense ({failure})")) from failure


def _newer(version: int) -> Flaw:
    return Flaw("newer", f"it has format {version}, and this Hythe reads up to format {FORMAT_VERSION}")


def _content(data: bytes) -> tuple[dict[str, Any], str]:
    """The JSON of a snapshot in today's format, checked, and its digest. Raises BadSnapshot."""
    if not data.strip(b"\0 \t\r\n"):
        raise BadSnapshot(Flaw("empty", "it is empty"))
    head = _HEAD.match(data)
    if head is None:
        if data.startswith(SEALED):
            raise BadSnapshot(Flaw("sealed", "it is encrypted"))
        if b'"checksum":"sha256:' in data[:120] or b'"hythe_state"' in data[:120]:
            if data.endswith(b"\n"):
                raise BadSnapshot(Flaw("damaged", "its first bytes are damaged, or it was edited by hand"))
            raise BadSnapshot(Flaw("truncated", "it ends in the middle"))
        if _ELSEWHERE.search(data[:2000]):
            text = "it is a state of OpenTofu or Terraform, whose objects `hythe import` and import blocks take in"
            raise BadSnapshot(Flaw("foreign", text))
        raise BadSnapshot(Flaw("foreign", "it does not begin like a state file"))
    version, digest, size = head[1], head[2].decode(), int(head[3])
    rest = data[head.end() :]
    if size != len(rest) or _digest(version, rest) != digest:
        if len(rest) < size:
            raise BadSnapshot(Flaw("truncated", f"it ends in the middle ({len(rest)} of {size} bytes are there)"))
        raise BadSnapshot(Flaw("damaged", "its content does not match its checksum, so it was damaged or edited"))
    if int(version) > FORMAT_VERSION:
        raise BadSnapshot(_newer(int(version)))
    try:
        return upgrade_snapshot(orjson.loads(b"{" + rest), int(version)), digest
    except (ValueError, KeyError, TypeError) as failure:
        raise BadSnapshot(Flaw("damaged", f"its content makes no sense ({failure})")) from failure


def _snapshot(body: Mapping[str, Any], digest: str) -> Snapshot:
    instances = {i.address: i for i in map(decode_instance, body["instances"])}
    deposed = {i.id: i for i in map(decode_instance, body["deposed"])}
    if len(instances) < len(body["instances"]) or len(deposed) < len(body["deposed"]):
        raise ValueError("an object is recorded twice")
    state = State(body["lineage"], body["serial"], instances, deposed, decode_outputs(body["outputs"]))
    pending = tuple(map(decode_intent, body.get("pending", ())))
    return Snapshot(state, pending, digest, body.get("previous", ""), _decode_origin(body))


def encode_result(result: Result) -> dict[str, Any]:
    """A result as a JSON object."""
    out: dict[str, Any] = {}
    if result.seq is not None:
        out["seq"] = result.seq
    if result.put is not None:
        out["put"] = encode_instance(result.put)
    if result.drop is not None:
        out["drop"] = result.drop
    if result.depose:
        out["depose"] = [encode_instance(i) for i in result.depose]
    if result.undepose:
        out["undepose"] = result.undepose
    if result.outputs is not None:
        out["outputs"] = encode_outputs(result.outputs)
    return out


def decode_result(data: Mapping[str, Any]) -> Result:
    """The result of :func:`encode_result`. Raises ValueError, KeyError or TypeError."""
    put, outputs = data.get("put"), data.get("outputs")
    return Result(
        data.get("seq"),
        decode_instance(put) if put is not None else None,
        data.get("drop"),
        tuple(map(decode_instance, data.get("depose", ()))),
        tuple(data.get("undepose", ())),
        decode_outputs(outputs) if outputs is not None else None,
    )
