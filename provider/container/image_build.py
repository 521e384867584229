"""Building images from Dockerfiles.

Docker's API has only the classic builder, so what needs BuildKit goes through the docker command
(:mod:`hythe.provider.container.image_buildkit`). Podman's builder knows all of it through its API.
"""

from __future__ import annotations

import io
import os
import secrets as randomness
import tarfile
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from hythe.diagnostic import Diagnostic, error
from hythe.provider.container.client import Engine, EngineError
from hythe.provider.container.context_tar import context_archive
from hythe.provider.container.dockerfile import buildkit_need
from hythe.provider.container.image_buildkit import build_with_command
from hythe.provider.container.image_reference import parse_name
from hythe.provider.container.inputs import located, unreadable
from hythe.provider.container.labels import mark
from hythe.provider.container.registry_auth import build_header, credentials
from hythe.provider.protocol import Attributes, Context, ProviderError

_KEPT_LINES = 20


class Built(NamedTuple):
    """The id of a new image, and of what the classic builder leaves of the stages before its last."""

    id: str
    stages: tuple[str, ...] = ()


def build(context: Context, desired: Attributes) -> Built:
    """Build the image, marked and without a name. Raises ProviderError."""
    engine: Engine = context.host.engine()
    wanted = desired["build"]
    folder = located(context.base_dir, wanted["context"])
    what = f'Building "{desired["name"]}"'
    labels = {**(wanted.get("labels") or {}), **mark(context.identity)}
    try:
        with open(os.path.join(folder, wanted["dockerfile"]), encoding="utf-8", errors="replace") as file:
            need = _buildkit_need(wanted, file.read())
        if engine.kind == "docker" and need is not None:
            return Built(build_with_command(context, desired, folder, labels, need))
        return _build_by_api(context, engine, desired, folder, labels)
    except OSError as failure:
        raise ProviderError(unreadable("build.context", wanted["context"], folder, failure)) from failure
    except EngineError as failure:
        raise ProviderError(_failed(what, failure.message, [])) from failure


def _buildkit_need(wanted: Mapping[str, Any], dockerfile: str) -> str | None:
    if wanted["builder"] == "classic":
        return None
    if wanted.get("secrets"):
        return "the build is given secrets"
    if wanted.get("ssh"):
        return "the build is given SSH agents"
    found = buildkit_need(dockerfile)
    return found or ("`builder` asks for it" if wanted["builder"] == "buildkit" else None)


def _build_by_api(
    context: Context, engine: Engine, desired: Attributes, folder: str, labels: Mapping[str, str]
) -> Built:
    wanted = desired["build"]
    what = f'Building "{desired["name"]}"'
    files = {
        f"podman-build-secret{randomness.token_hex(8)}": (id, v) for id, v in (wanted.get("secrets") or {}).items()
    }
    if files and engine.kind == "docker":
        raise ProviderError(
            error(
                "Secrets need BuildKit",
                f"{what}: Docker's classic builder has no secrets. Leave out `builder` so that BuildKit is used.",
            )
        )
    if engine.kind == "podman":
        # Podman labels every intermediate image too; the mark belongs to the last one only
        labels = wanted.get("labels") or {}
    body, dockerfile = context_archive(folder, wanted["dockerfile"], {n: v.encode() for n, (_, v) in files.items()})
    query = _query(wanted, desired.get("platform"), labels, dockerfile)
    if engine.kind == "podman":
        query["extrahosts"] = _json(query["extrahosts"]) if query["extrahosts"] else None
    if files:
        # Podman takes them out of the context before it builds
        query["secrets"] = _json([f"id={id},src={name}" for name, (id, _) in files.items()])
    tail: deque[str] = deque(maxlen=_KEPT_LINES)
    stages = Stages()
    id = ""
    with body:
        try:
            with engine.stream(
                "POST", "/build", query=query, body=body, headers=_login(desired, engine), timeout=0
            ) as answer:
                for message in answer.json_lines():
                    context.check()
                    id = (message.get("aux") or {}).get("ID") or _podman_id(message, engine) or id
                    _tell(context, what, message, tail, stages)
        except EngineError as failure:
            raise ProviderError(_failed(what, failure.message, list(tail))) from failure
    if not id:
        raise ProviderError(_failed(what, "the engine did not say what it built", list(tail)))
    if engine.kind == "podman":
        return Built(_marked(engine, id, mark(context.identity)))
    return Built(id, tuple(stages.ended))


def _marked(engine: Engine, id: str, labels: Mapping[str, str]) -> str:
    """A child of the image that carries the labels and adds nothing else."""
    recipe = f"FROM {id.removeprefix('sha256:')}\n".encode()
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        member = tarfile.TarInfo("Dockerfile")
        member.size = len(recipe)
        tar.addfile(member, io.BytesIO(recipe))
    child = ""
    with engine.stream("POST", "/build", query={"labels": dict(labels)}, body=content.getvalue()) as answer:
        for message in answer.json_lines():
            child = (message.get("aux") or {}).get("ID") or _podman_id(message, engine) or child
    return child


def _query(
    wanted: Mapping[str, Any], platform: str | None, labels: Mapping[str, str], dockerfile: str
) -> dict[str, Any]:
    hosts = [f"{name}:{address}" for name, address in (wanted.get("extra_hosts") or {}).items()]
    return {
        "dockerfile": dockerfile,
        "buildargs": dict(wanted.get("args") or {}),
        "labels": dict(labels),
        "target": wanted.get("target"),
        "networkmode": wanted.get("network"),
        "extrahosts": hosts,
        "shmsize": wanted.get("shm_size"),
        "nocache": wanted["no_cache"],
        "pull": wanted["pull"] or None,
        "cachefrom": _json(wanted["cache_from"]) if wanted.get("cache_from") else None,
        "platform": platform,
        "rm": True,
        "forcerm": True,
    }


def _json(value: Any) -> str:
    import json

    return json.dumps(value)


def _login(desired: Attributes, engine: Engine) -> dict[str, str]:
    auth = desired.get("auth")
    registry = (auth or {}).get("server") or parse_name(desired["name"]).registry
    login = credentials(registry, auth)
    headers = {"Content-Type": "application/x-tar"}
    return headers | build_header({registry: login}) if login else headers


def _podman_id(message: Mapping[str, Any], engine: Engine) -> str:
    # Podman's last line is the bare id of what it built
    text = str(message.get("stream", "")).strip()
    return f"sha256:{text}" if engine.kind == "podman" and len(text) == 64 and text.isalnum() else ""


class Stages:
    """Follows what the classic builder says, for the images that its earlier stages end with.

    They keep no name and are no parents of the result, so nothing would ever remove them.
    """

    def __init__(self) -> None:
        self.ended: list[str] = []
        self._last: str | None = None
        self._base = True

    def hear(self, line: str) -> None:
        """Take in one line."""
        if line.startswith("Step "):
            instruction = line.partition(" : ")[2].upper()
            if instruction.startswith("FROM "):
                if self._last is not None and self._last not in self.ended:
                    self.ended.append(self._last)
                self._last, self._base = None, True
            else:
                self._base = False
        elif line.strip().startswith("---> ") and not self._base:
            id = line.strip().removeprefix("---> ")
            if len(id) == 12 and all(letter in "0123456789abcdef" for letter in id):
                self._last = id


def _tell(context: Context, what: str, message: Mapping[str, Any], tail: deque[str], stages: Stages) -> None:
    for line in str(message.get("stream", "")).splitlines():
        if line.strip():
            tail.append(line.rstrip())
            stages.hear(line)
            if line.lower().startswith("step "):
                context.progress(f"{what.lower()}: {line.strip()}")


def _failed(what: str, reason: str, tail: list[str]) -> Diagnostic:
    said = "".join(f"\n  {line}" for line in tail)
    return error(
        "Build failed",
        f"{what}: {reason.strip()}. The last lines of the build were:{said}" if said else f"{what}: {reason}",
    )
