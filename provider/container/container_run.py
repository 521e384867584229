"""Starting, waiting for and ending containers."""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Iterator, Mapping
from typing import Any

from hythe.diagnostic import Diagnostic, error
from hythe.provider.container.client import Engine, EngineError, explain, refused
from hythe.provider.container.container_spec import DEFAULT_GRACE
from hythe.provider.protocol import Attributes, Context, HostUnreachable, ProviderError
from hythe.provider.units import duration_seconds

Inspect = Mapping[str, Any]

LAST_LINES = 15
_SHORTEST_SECRET = 6


def inspect(engine: Engine, name_or_id: str) -> dict[str, Any] | None:
    """What the engine says of a container; None when there is none."""
    try:
        found: dict[str, Any] = engine.request("GET", f"/containers/{name_or_id}/json").json()
    except EngineError as failure:
        if failure.status == 404:
            return None
        raise
    return found


def start(engine: Engine, container_id: str, what: str) -> None:
    """Start it; running already is fine. Raises ProviderError."""
    try:
        engine.request("POST", f"/containers/{container_id}/start")
    except EngineError as failure:
        raise ProviderError(with_holder(engine, failure, explain(failure, what), container_id)) from failure


def with_holder(engine: Engine, failure: EngineError, told: Diagnostic, container_id: str) -> Diagnostic:
    """A diagnostic of a taken port with the name of the container that holds it, when one does."""
    if told.summary != "Port already in use":
        return told
    from dataclasses import replace

    port = told.detail.partition(" on the host is taken")[0].rpartition(":")[2]
    try:
        listed = engine.request("GET", "/containers/json").json()
    except (EngineError, HostUnreachable):
        return told
    for item in listed:
        if item["Id"] != container_id and any(str(p.get("PublicPort")) == port for p in item.get("Ports") or ()):
            name = (item.get("Names") or [item["Id"][:12]])[0].lstrip("/")
            return replace(told, detail=f"{told.detail} The container {name} holds it.")
    return told


def stop(engine: Engine, told: Inspect, attributes: Attributes, what: str) -> None:
    """Stop it with its grace; stopped or gone is fine. Raises ProviderError."""
    if told["State"].get("Paused"):
        _quietly(engine, "POST", f"/containers/{told['Id']}/unpause", what)
    grace = math.ceil(duration_seconds(attributes["stop_grace"])) if "stop_grace" in attributes else DEFAULT_GRACE
    _quietly(engine, "POST", f"/containers/{told['Id']}/stop", what, {"t": grace}, grace + 60)


def remove(engine: Engine, container_id: str, what: str, *, force: bool = False) -> None:
    """Remove it with its unnamed volumes; gone is fine. Raises ProviderError."""
    for attempt in range(50):
        try:
            _quietly(engine, "DELETE", f"/containers/{container_id}", what, {"v": True, "force": force})
        except ProviderError as failure:
            if "already in progress" not in str(failure):
                raise
            if inspect(engine, container_id) is None:
                return
            time.sleep(min(0.05 * (attempt + 1), 0.5))
        else:
            return


def _quietly(
    engine: Engine, method: str, path: str, what: str, query: Mapping[str, Any] | None = None, seconds: float = 120
) -> None:
    try:
        engine.request(method, path, query=query, timeout=seconds)
    except EngineError as failure:
        if failure.status not in (304, 404) and not (failure.status == 409 and "is not paused" in failure.message):
            raise refused(failure, what) from failure


def settle(context: Context, engine: Engine, container_id: str, attributes: Attributes) -> dict[str, Any]:
    """Wait until a started container is as declared: healthy, or (``attach``) ended well.

    Returns its inspection. Raises ProviderError without ``partial``.
    """
    began, pause = time.monotonic(), 0.05
    limit = float(duration_seconds(attributes.get("wait_timeout", "2m")))
    announced = False
    next_check = 0.0
    while True:
        told = inspect(engine, container_id)
        name = attributes.get("name", container_id[:12])
        if told is None:
            raise ProviderError(error("Container vanished", f'The container "{name}" was removed while it started.'))
        state = told["State"]
        verdict = _verdict(told, attributes)
        if verdict is not None:
            if verdict:
                raise ProviderError(failed(engine, told, attributes, verdict))
            return told
        if not announced:
            context.progress("waiting for its end" if attributes.get("attach") else "waiting for health")
            announced = True
        if time.monotonic() - began > limit:
            health = (state.get("Health") or {}).get("Status")
            reason = f"is still {health or state.get('Status')} after {attributes.get('wait_timeout', '2m')}"
            raise ProviderError(failed(engine, told, attributes, reason))
        context.check()
        if engine.kind == "podman" and not attributes.get("attach") and time.monotonic() >= next_check:
            next_check = time.monotonic() + _check_health(engine, told)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)


def _verdict(told: Inspect, attributes: Attributes) -> str | None:
    """None: go on waiting; '': as declared; otherwise what is wrong."""
    state = told["State"]
    status, code = state.get("Status"), state.get("ExitCode")
    ended = status in ("exited", "dead", "stopped")
    if attributes.get("attach"):
        return None if not ended else "" if code == 0 else f"ended with exit code {code}"
    if ended:
        if not attributes.get("must_run", True):
            return "" if code == 0 else f"ended with exit code {code}"
        again = (told["HostConfig"].get("RestartPolicy") or {}).get("Name")
        if again in ("always", "unless-stopped") or (again == "on-failure" and code):
            return ""
        hint = " (set `must_run = false` for a job that runs once)" if code == 0 else ""
        return f"ended with exit code {code} right after its start{hint}"
    if not attributes.get("wait", True) or not has_healthcheck(told):
        return ""
    health = (state.get("Health") or {}).get("Status")
    return {"healthy": "", "unhealthy": "is unhealthy"}.get(str(health))


def has_healthcheck(told: Inspect) -> bool:
    """Whether the engine checks its health."""
    test = (told["Config"].get("Healthcheck") or {}).get("Test") or []
    return bool(test) and test[0] != "NONE"


def _check_health(engine: Engine, told: Inspect) -> float:
    """Podman checks by systemd timers, which there may be none of: ask for a check. Seconds until the next."""
    try:
        engine.request("GET", f"/libpod/containers/{told['Id']}/healthcheck")
    except (EngineError, HostUnreachable):
        return 1.0
    interval = (told["Config"].get("Healthcheck") or {}).get("Interval") or 30_000_000_000
    return min(float(interval) / 1e9, 5.0)


def failed(engine: Engine, told: Inspect, attributes: Attributes, reason: str) -> Diagnostic:
    """The diagnostic of a container that started and is not as declared, with its last words."""
    name = told["Name"].lstrip("/")
    parts = [f'The container "{name}" {reason}.']
    if told["State"].get("OOMKilled"):
        parts.append("The kernel killed it because it had used up its memory limit.")
    checks = (told["State"].get("Health") or {}).get("Log") or []
    if checks and "unhealthy" in reason:
        parts.append(f"Its last check ended with {checks[-1].get('ExitCode')}: {checks[-1].get('Output', '').strip()}")
    lines = last_lines(engine, told["Id"], bool(told["Config"].get("Tty")))
    if lines:
        parts.append("Its last output:\n" + "\n".join("  " + line for line in lines))
    else:
        parts.append("It has put out nothing.")
    return error("Container not well", hide("\n".join(parts), attributes))


def hide(text: str, attributes: Attributes) -> str:
    """``text`` without values of environment variables: any of them may be a secret."""
    values = {v for v in (attributes.get("env") or {}).values() if len(v) >= _SHORTEST_SECRET}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "***")
    return text


def last_lines(engine: Engine, container_id: str, tty: bool) -> list[str]:
    """The last lines that a container has put out; none where its log driver cannot be read."""
    query = {"stdout": True, "stderr": True, "tail": LAST_LINES}
    try:
        data = engine.request("GET", f"/containers/{container_id}/logs", query=query).data
    except (EngineError, HostUnreachable):
        return []
    text = data if tty else b"".join(piece for _, piece in frames(data))
    return [line.rstrip() for line in text.decode("utf-8", "replace").splitlines()][-LAST_LINES:]


def frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The pieces of a multiplexed stream: 1 for output, 2 for errors, with the bytes."""
    at = 0
    while at + 8 <= len(data):
        stream, size = struct.unpack_from(">BxxxL", data, at)
        yield stream, data[at + 8 : at + 8 + size]
        at += 8 + size
