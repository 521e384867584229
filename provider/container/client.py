"""The engine's HTTP API: the only place where the container kinds do IO.

:class:`Engine` speaks to Docker and to Podman (its Docker-compatible API; paths that begin with
``/libpod/`` go to Podman's own). It may be used from many threads at once.
"""

from __future__ import annotations

import http.client
import json as jsonlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, TypeAlias
from urllib.parse import quote, urlencode

from hythe.diagnostic import error
from hythe.provider.connection.tls import TlsFiles
from hythe.provider.container.errors import EngineError, EngineRequestLost, explain, refused
from hythe.provider.container.transport import Connect, Connection, Pool, connector, unreachable
from hythe.provider.protocol import HostUnreachable

__all__ = ["Engine", "EngineError", "EngineInfo", "EngineRequestLost", "Response", "Stream", "TlsFiles"]
__all__ += ["explain", "refused", "segment"]

PREFERRED_API = (1, 41)
"""The API version whose behaviour Hythe is written for; the nearest one that the engine offers is used."""

REQUEST_SECONDS = 120.0

Body: TypeAlias = bytes | IO[bytes] | Iterable[bytes] | None
Query: TypeAlias = Mapping[str, Any] | None

_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS"})
_BROKEN = (http.client.HTTPException, ConnectionError, OSError)


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine is. ``kind`` is docker or podman; ``cgroup_version`` 1 or 2; ``arch`` as ``uname -m``."""

    kind: str
    version: str
    api_version: str
    os: str
    arch: str
    rootless: bool
    cgroup_version: int
    storage_driver: str
    cpus: int
    memory: int
    default_runtime: str
    log_driver: str
    swap_limit: bool


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, read to the end."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    def json(self) -> Any:
        """The body as JSON; numbers are int or float."""
        return jsonlib.loads(self.data) if self.data else None


class Stream:
    """An answer that is read while it comes. Reading raises :class:`HostUnreachable` when it breaks off."""

    def __init__(self, response: http.client.HTTPResponse, endpoint: str) -> None:
        self._response = response
        self._endpoint = endpoint
        self.status = response.status
        self.headers: Mapping[str, str] = {k.lower(): v for k, v in response.getheaders()}

    def chunks(self, size: int = 1 << 16) -> Iterator[bytes]:
        """Pieces of the body of at most ``size`` bytes, as they arrive."""
        while piece := self._guard(self._response.read1, size):
            yield piece

    def read(self, size: int = -1) -> bytes:
        """Like a file's: up to ``size`` bytes, all of them when negative."""
        return self._guard(self._response.read, None if size < 0 else size)

    def _guard(self, read: Callable[[Any], bytes], size: int | None) -> bytes:
        try:
            return read(size)
        except _BROKEN as failure:
            raise HostUnreachable(_broken(self._endpoint, failure)) from failure

    def lines(self) -> Iterator[bytes]:
        """Lines of the body without their ends."""
        left = b""
        for piece in self.chunks():
            *full, left = (left + piece).split(b"\n")
            for line in full:
                yield line.rstrip(b"\r")
        if left.strip():
            yield left

    def json_lines(self, *, raise_errors: bool = True) -> Iterator[dict[str, Any]]:
        """Messages of a progress stream (pull, build, push, load).

        A message with ``error`` ends it with :class:`EngineError`, unless ``raise_errors`` is off.
        """
        for line in self.lines():
            if not line.strip():
                continue
            message = jsonlib.loads(line)
            if raise_errors and isinstance(message, dict) and (message.get("error") or message.get("errorDetail")):
                detail = message.get("errorDetail") or {}
                raise EngineError(detail.get("code") or 500, detail.get("message") or str(message["error"]))
            yield message


def segment(text: str) -> str:
    """``text`` as one segment of a path."""
    return quote(text, safe="")


class Engine:
    """A Docker or Podman engine.

    ``endpoint`` is ``unix:///path`` or ``tcp://host:port``; ``connect`` replaces how streams to it are
    opened (an SSH channel, for instance). Nothing is opened before the first request.
    """

    def __init__(self, endpoint: str, *, tls: TlsFiles | None = None, connect: Connect | None = None) -> None:
        self.endpoint = endpoint
        self._pool = Pool(endpoint, connect or connector(endpoint, tls))
        self._lock = threading.Lock()
        self._version: dict[str, Any] | None = None
        self._info: EngineInfo | None = None
        self._api = self._libpod = ""

    # -- what it is ------------------------------------------------------------------------

    @property
    def version(self) -> Mapping[str, Any]:
        """What ``/version`` answers. Raises :class:`HostUnreachable`."""
        with self._lock:
            if self._version is None:
                answer: dict[str, Any] = self._exchange("GET", "/version", {}, None, REQUEST_SECONDS).json()
                self._api = "/v" + _nearest_api(answer)
                self._libpod = "/v" + str(_podman(answer).get("APIVersion") or answer.get("Version") or "4.0.0")
                self._version = answer
            return self._version

    @property
    def kind(self) -> str:
        """``docker`` or ``podman``."""
        return "podman" if _podman(self.version) else "docker"

    @property
    def info(self) -> EngineInfo:
        """What the engine says of itself and of its host. Raises :class:`HostUnreachable`."""
        version = self.version
        with self._lock:
            if self._info is None:
                told = self._exchange("GET", f"{self._api}/info", {}, None, REQUEST_SECONDS).json()
                security = told.get("SecurityOptions") or []
                self._info = EngineInfo(
                    kind="podman" if _podman(version) else "docker",
                    version=str(version.get("Version", "")),
                    api_version=self._api.removeprefix("/v"),
                    os=str(told.get("OSType") or version.get("Os", "linux")),
                    arch=str(told.get("Architecture") or version.get("Arch", "")),
                    rootless=any(str(s).startswith("name=rootless") for s in security),
                    cgroup_version=int(told.get("CgroupVersion") or 1),
                    storage_driver=str(told.get("Driver", "")),
                    cpus=int(told.get("NCPU") or 0),
                    memory=int(told.get("MemTotal") or 0),
                    default_runtime=str(told.get("DefaultRuntime") or "runc"),
                    log_driver=str(told.get("LoggingDriver") or "json-file"),
                    swap_limit=bool(told.get("SwapLimit", True)),
                )
            return self._info

    # -- requests --------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = None,
        json: Any = None,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Response:
        """Send a request and read the whole answer.

        ``path`` carries no version. In ``query`` None leaves a parameter out, booleans become 1 and 0,
        dicts JSON, lists repeat the parameter. ``timeout`` is in seconds for each wait (default 120).

        Raises :class:`EngineError` for a refusal, :class:`HostUnreachable` when there is no connection,
        :class:`EngineRequestLost` when it broke after a request that changes something was sent.
        """
        with self.stream(method, path, query=query, json=json, body=body, headers=headers, timeout=timeout) as answer:
            return Response(answer.status, answer.headers, answer.read())

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        query: Query = None,
        json: Any = None,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Iterator[Stream]:
        """As :meth:`request`, with an answer that is read while it comes. ``timeout`` 0 waits for ever."""
        _ = self.version
        sent = dict(headers or {})
        if json is not None:
            body = jsonlib.dumps(json).encode()
            sent.setdefault("Content-Type", "application/json")
        elif body is not None:
            sent.setdefault("Content-Type", "application/x-tar")
        target = (self._libpod if path.startswith("/libpod/") else self._api) + path + _query(query)
        limit = None if timeout == 0 else timeout or REQUEST_SECONDS
        connection, response = self._open(method, target, sent, body, limit)
        try:
            if response.status >= 400:
                raise EngineError(response.status, _reason(response), f"{method} {path}")
            yield Stream(response, self.endpoint)
        finally:
            self._release(connection, response)

    def upgrade(self, method: str, path: str, *, query: Query = None, json: Any = None) -> tuple[socket.socket, bytes]:
        """Turn a request (exec start, attach) into a raw two-way stream.

        Returns the socket, which the caller closes, and bytes that arrived with the answer already.
        """
        _ = self.version
        headers = {"Connection": "Upgrade", "Upgrade": "tcp", "Content-Type": "application/json"}
        body = jsonlib.dumps(json).encode() if json is not None else None
        connection = self._pool.take(fresh=True)
        connection.limit(REQUEST_SECONDS)
        connection.request(method, self._api + path + _query(query), body, headers)
        response = connection.response_class(connection.sock, method=method)
        response.begin()
        if response.status not in (101, 200):
            reason = _reason(response)
            connection.close()
            raise EngineError(response.status, reason, f"{method} {path}")
        stream = connection.sock
        early = response.fp.peek() if _readable(stream) else b""
        stream.settimeout(None)
        return stream, bytes(early)

    def close(self) -> None:
        """Close idle connections; the engine can still be used."""
        self._pool.close()

    # -- inside ----------------------------------------------------------------------------

    def _exchange(self, method: str, target: str, headers: Mapping[str, str], body: Body, limit: float) -> Response:
        connection, response = self._open(method, target, headers, body, limit)
        try:
            if response.status >= 400:
                raise EngineError(response.status, _reason(response), f"{method} {target}")
            return Response(response.status, dict(response.getheaders()), response.read())
        finally:
            self._release(connection, response)

    def _release(self, connection: Connection, response: http.client.HTTPResponse) -> None:
        if response.isclosed() and not response.will_close:
            connection.used += 1
            self._pool.give(connection)
        else:
            response.close()
            connection.close()

    def _open(
        self, method: str, target: str, headers: Mapping[str, str], body: Body, limit: float | None
    ) -> tuple[Connection, http.client.HTTPResponse]:
        connection = self._pool.take()
        try:
            return connection, _send(connection, method, target, headers, body, limit)
        except _BROKEN as failure:
            connection.close()
            # A kept-alive connection may have been closed by the engine just as we used it. Only what
            # changes nothing is sent again: of anything else the engine may have seen the first copy.
            if method not in _REPEATABLE:
                raise EngineRequestLost(_broken(self.endpoint, failure)) from failure
            if connection.used == 0 or isinstance(failure, TimeoutError):
                raise HostUnreachable(_broken(self.endpoint, failure)) from failure
        except BaseException:
            # what gives the body failed or was interrupted: half a request has gone out
            connection.close()
            raise
        connection = self._pool.take(fresh=True)
        try:
            return connection, _send(connection, method, target, headers, body, limit)
        except _BROKEN as failure:
            connection.close()
            raise HostUnreachable(_broken(self.endpoint, failure)) from failure


def _send(
    connection: Connection, method: str, target: str, headers: Mapping[str, str], body: Body, limit: float | None
) -> http.client.HTTPResponse:
    connection.limit(limit)
    chunked = body is not None and not isinstance(body, (bytes, bytearray))
    sent = {**headers, "Transfer-Encoding": "chunked"} if chunked else dict(headers)
    try:
        connection.request(method, target, body, sent, encode_chunked=chunked)
    except (BrokenPipeError, ConnectionResetError):
        # the engine may refuse an upload before it has read it all: its answer is worth more than the break
        answer = _early_answer(connection, method)
        if answer is None:
            raise
        return answer
    return connection.getresponse()


def _early_answer(connection: Connection, method: str) -> http.client.HTTPResponse | None:
    response = connection.response_class(connection.sock, method=method)
    try:
        response.begin()
    except (http.client.HTTPException, OSError):
        return None
    response.will_close = True
    return response


def _broken(endpoint: str, failure: Exception) -> Any:
    if isinstance(failure, (http.client.HTTPException, ConnectionResetError, BrokenPipeError)):
        return error(
            "Engine connection lost",
            f"The engine at {endpoint} closed the connection in the middle of a request "
            f"({failure or type(failure).__name__}): it was stopped or has crashed. Start it again and apply again; "
            "what was under way is settled then.",
        )
    return unreachable(endpoint, failure)


def _reason(response: http.client.HTTPResponse) -> str:
    data = response.read()
    try:
        told = jsonlib.loads(data)
    except ValueError:
        return data.decode("utf-8", "replace").strip() or response.reason
    if isinstance(told, dict):
        return str(told.get("message") or told.get("cause") or response.reason)
    return str(told)


def _query(query: Query) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in (query or {}).items():
        if value is None:
            continue
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(item, bool):
                item = int(item)
            pairs.append((name, jsonlib.dumps(item) if isinstance(item, dict) else str(item)))
    return "?" + urlencode(pairs) if pairs else ""


def _podman(version: Mapping[str, Any]) -> Mapping[str, Any]:
    for part in version.get("Components") or ():
        if "podman" in str(part.get("Name", "")).lower():
            details: Mapping[str, Any] = part.get("Details") or {"APIVersion": part.get("Version")}
            return details
    return {}


def _nearest_api(version: Mapping[str, Any]) -> str:
    newest = _numbers(version.get("ApiVersion")) or PREFERRED_API
    oldest = _numbers(version.get("MinAPIVersion")) or newest
    chosen = min(max(PREFERRED_API, oldest), newest)
    return ".".join(map(str, chosen))


def _numbers(text: Any) -> tuple[int, ...]:
    parts = str(text or "").split(".")
    return tuple(int(p) for p in parts) if all(p.isdigit() for p in parts) else ()


def _readable(stream: socket.socket) -> bool:
    import select

    return bool(select.select([stream], [], [], 0)[0])
