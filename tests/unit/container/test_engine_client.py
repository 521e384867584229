"""The engine client against small servers on real sockets."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hythe.provider.container.client import Engine, EngineError, EngineRequestLost
from hythe.provider.container.errors import explain
from hythe.provider.container.labels import filters, identity_of, mark, strip
from hythe.provider.protocol import HostUnreachable, Identity

VERSION = {"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12"}


class Server:
    """Answers each connection with the given answers in turn, then closes it; notes request lines.

    ``closed`` tells, of each connection, when that was.
    """

    def __init__(self, path: Path, connections: list[list[bytes]]) -> None:
        self.seen: list[str] = []
        self._connections = connections
        self.closed = [threading.Event() for _ in connections]
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for answers, closed in zip(self._connections, self.closed, strict=True):
            try:
                stream, _ = self._socket.accept()
            except OSError:
                return  # closed before all connections were made
            with stream, stream.makefile("rb") as lines:
                for answer in answers:
                    self.seen.append(lines.readline().decode().strip())
                    size = 0
                    while (line := lines.readline().strip()) != b"":
                        if line.lower().startswith(b"content-length:"):
                            size = int(line.split(b":")[1])
                    lines.read(size)
                    stream.sendall(answer)
            closed.set()

    def close(self) -> None:
        # wakes a thread that still waits for a connection, before the number may be used anew
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._socket.close()


def answer(value: object, status: str = "200 OK") -> bytes:
    body = json.dumps(value).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., tuple[Server, Engine]]]:
    made: list[Server] = []

    def start(*connections: list[bytes]) -> tuple[Server, Engine]:
        server = Server(tmp_path / "s", list(connections))
        made.append(server)
        return server, Engine(f"unix://{tmp_path}/s")

    yield start
    for server in made:
        server.close()


Serve = Callable[..., tuple[Server, Engine]]


def test_one_connection_carries_many_requests(serve: Serve) -> None:
    server, engine = serve([answer(VERSION), answer([1]), answer([2])])
    assert engine.request("GET", "/a", query={"all": True, "filters": {"x": ["y"]}, "none": None}).json() == [1]
    assert engine.request("POST", "/b", json={"x": 1}).json() == [2]
    assert server.seen == [
        "GET /version HTTP/1.1",
        "GET /v1.41/a?all=1&filters=%7B%22x%22%3A+%5B%22y%22%5D%7D HTTP/1.1",
        "POST /v1.41/b HTTP/1.1",
    ]


def test_a_connection_that_was_closed_meanwhile_is_not_used(serve: Serve) -> None:
    server, engine = serve([answer(VERSION)], [answer([1])], [answer([2])])
    assert engine.request("GET", "/a").json() == [1]
    assert server.closed[1].wait(10)
    assert engine.request("POST", "/a").json() == [2]


def test_what_changes_something_is_not_sent_twice(serve: Serve) -> None:
    server, engine = serve([answer(VERSION), b""], [answer([1])])
    with pytest.raises(EngineRequestLost, match="in the middle of a request"):
        engine.request("POST", "/a")
    assert len(server.seen) == 2


def test_reading_is_tried_again_once(serve: Serve) -> None:
    _, engine = serve([answer(VERSION), b""], [answer([1])])
    assert engine.request("GET", "/a").json() == [1]


@pytest.mark.parametrize(
    ("version", "path"),
    [
        ({"ApiVersion": "1.52", "MinAPIVersion": "1.44"}, "/v1.44/x"),
        ({"ApiVersion": "1.39", "MinAPIVersion": "1.12"}, "/v1.39/x"),
        ({"ApiVersion": "1.47", "MinAPIVersion": "1.24"}, "/v1.41/x"),
    ],
)
def test_the_nearest_api_version_is_used(serve: Serve, version: dict[str, str], path: str) -> None:
    server, engine = serve([answer(version), answer([])])
    engine.request("GET", "/x")
    assert server.seen[1] == f"GET {path} HTTP/1.1"


def test_progress_streams_end_with_their_error(serve: Serve) -> None:
    lines = b'{"status":"one"}\r\n{"errorDetail":{"message":"denied"},"error":"denied"}\r\n'
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(lines), lines)
    _, engine = serve([answer(VERSION), chunked])
    with engine.stream("POST", "/images/create") as stream:
        messages = stream.json_lines()
        assert next(messages) == {"status": "one"}
        with pytest.raises(EngineError, match="denied"):
            next(messages)


def test_a_broken_stream_is_an_unreachable_host(serve: Serve) -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
    _, engine = serve([answer(VERSION), cut])
    with pytest.raises(HostUnreachable, match="in the middle"):
        engine.request("GET", "/x")


def test_unreachable_endpoints_say_why(tmp_path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "dead"))
    dead.close()
    for endpoint, text in (
        (f"unix://{tmp_path}/none", "no socket"),
        (f"unix://{tmp_path}/dead", "refuses connections"),
        ("tcp://127.0.0.1:1", "refuses connections"),
    ):
        with pytest.raises(HostUnreachable, match=text):
            Engine(endpoint).request("GET", "/x")
    with pytest.raises(ValueError, match="not an engine endpoint"):
        Engine("ssh://host")


@pytest.mark.parametrize(
    ("message", "summary", "part"),
    [
        (
            "driver failed programming external connectivity on endpoint web: Bind for 0.0.0.0:80 failed: port is "
            "already allocated",
            "Port already in use",
            "0.0.0.0:80",
        ),
        (
            "cannot listen on the TCP port: listen tcp4 :8080: bind: address already in use",
            "Port already in use",
            "8080",
        ),
        ('Conflict. The container name "/web" is already in use by container "1".', "Name already taken", '"web"'),
        ("No such image: web:1", "Image not found", '"web:1"'),
        ("no such image: docker.io/web:1: image not known", "Image not found", '"docker.io/web:1"'),
        ("write /var/lib/x: no space left on device", "No space left on the host", "docker system df"),
        ("Pool overlaps with other one on this address space", "Subnet already in use", "cidr"),
        ('exec: "nope": executable file not found in $PATH: unknown', "Program not found in the image", '"nope"'),
        ("Could not check if docker-default AppArmor profile was loaded", "AppArmor stands in the way", "apparmor"),
        ("something else", "The engine refused", "something else (HTTP 500)"),
    ],
)
def test_refusals_are_explained(message: str, summary: str, part: str) -> None:
    found = explain(EngineError(500, message), "Creating x")
    assert found.summary == summary
    assert part in found.detail
    assert found.detail.startswith("Creating x: ")


def test_marks() -> None:
    identity = Identity("l", "container.web", "i")
    labels = mark(identity)
    assert identity_of(labels) == identity
    assert identity_of({"a": "b"}) is None
    assert strip({**labels, "b": "1", "a": "2"}) == {"a": "2", "b": "1"}
    assert filters(lineage="l", id="i") == {"label": ["dev.hythe.lineage=l", "dev.hythe.id=i"]}
