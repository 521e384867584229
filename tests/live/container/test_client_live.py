"""The engine client against real engines."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hythe.provider.container.client import Engine, EngineError
from hythe.provider.protocol import HostUnreachable


def test_says_what_it_is(bench: Any) -> None:
    info = bench.engine.info
    assert info.kind == bench.kind
    assert info.api_version == "1.41"
    assert info.cpus >= 1
    assert info.arch


def test_many_threads_share_it(bench: Any) -> None:
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda _: bench.engine.request("GET", "/images/json").status, range(100)))
    assert found == [200] * 100


def test_a_refusal_tells_status_and_reason(bench: Any) -> None:
    with pytest.raises(EngineError) as failure:
        bench.engine.request("GET", f"/containers/{bench.name()}/json")
    assert failure.value.status == 404
    assert "such container" in failure.value.message


def test_a_missing_socket_is_an_unreachable_host() -> None:
    with pytest.raises(HostUnreachable, match="no socket at /nowhere"):
        Engine("unix:///nowhere").request("GET", "/info")


def test_an_exec_is_a_two_way_stream(bench: Any) -> None:
    name = bench.name()
    bench.cli("run", "-d", "--stop-signal", "KILL", "--name", name, bench.image, "sleep", "600")
    try:
        asked = {"AttachStdin": True, "AttachStdout": True, "Tty": True, "Cmd": ["cat"]}
        made = bench.engine.request("POST", f"/containers/{name}/exec", json=asked).json()["Id"]
        stream, early = bench.engine.upgrade("POST", f"/exec/{made}/start", json={"Detach": False, "Tty": True})
        with stream:
            stream.settimeout(10)
            stream.sendall(b"hello\n")
            seen = early
            while seen.count(b"hello") < 2:  # the terminal's echo, and the program's answer
                seen += stream.recv(4096)
    finally:
        bench.cli("rm", "-f", name)


def test_large_uploads_stream_and_early_refusals_are_told(bench: Any) -> None:
    def much() -> Any:
        for _ in range(256):
            yield bytes(1 << 16)

    with pytest.raises(EngineError) as failure:
        bench.engine.request("PUT", f"/containers/{bench.name()}/archive", query={"path": "/"}, body=much())
    assert failure.value.status == 404
