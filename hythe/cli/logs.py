"""``hythe logs``."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from hythe.cli import options
from hythe.cli.arguments import Command, usage_error
from hythe.cli.containers import Target, engine_failures, locate, select
from hythe.cli.context import FAILED, FINE, Cli
from hythe.cli.views.terminal import clean
from hythe.cli.workspace import Workspace

if TYPE_CHECKING:
    from hythe.provider.container.client import Stream

_COLORS = ("cyan", "yellow", "green", "magenta", "blue", "red")
_STDERR = 2


@click.command(cls=Command)
@click.argument("addresses", nargs=-1)
@click.option("--follow", "-f", is_flag=True, help="Go on as more is printed.")
@click.option("--tail", default="all", metavar="N", help="Only the last N lines of each.")
@click.option("--since", metavar="TIME", help="Since then: 10m, 2h, or a time like 2026-01-31T08:00:00Z.")
@click.option("--timestamps", "-t", is_flag=True, help="With the time of each line.")
@options.state_path
@options.no_color
@click.pass_obj
def command(
    cli: Cli,
    *,
    addresses: tuple[str, ...],
    follow: bool,
    tail: str,
    since: str | None,
    timestamps: bool,
    state_path: str | None,
    no_color: bool,
) -> int:
    """Show what containers print; all containers without an address."""
    if tail != "all" and not tail.isdigit():
        usage_error(f'"{tail}" is not a number of lines.')
    workspace = Workspace(cli, state_path)
    state = workspace.read_objects()
    query = {
        "stdout": True,
        "stderr": True,
        "follow": follow,
        "tail": tail,
        "timestamps": timestamps,
        "since": _since(since),
    }
    with workspace.hosts() as hosts, engine_failures(", ".join(addresses) or "logs"):
        targets = locate(hosts, state, select(state, addresses))
        return _Printer(cli, targets, query).run()


def _since(text: str | None) -> str | None:
    if text is None:
        return None
    if re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h))+", text):
        return f"{time.time() - options.duration(text):.3f}"
    from datetime import datetime

    try:
        return f"{datetime.fromisoformat(text.replace('Z', '+00:00')).timestamp():.3f}"
    except ValueError:
        usage_error(f'"{text}" is no time: write 10m, 2h or a time like 2026-01-31T08:00:00Z.')


class _Printer:
    """Reads each container's log in a thread of its own and writes whole lines."""

    def __init__(self, cli: Cli, targets: list[Target], query: dict[str, Any]) -> None:
        self.cli, self.targets, self.query = cli, targets, query
        self._lock = threading.Lock()
        self._failures: list[BaseException] = []

    def run(self) -> int:
        width = max(len(t.address) for t in self.targets)
        threads = []
        for at, target in enumerate(self.targets):
            prefix = ""
            if len(self.targets) > 1:
                prefix = self.cli.out.paint(f"{target.address:<{width}} | ", _COLORS[at % len(_COLORS)])
            threads.append(threading.Thread(target=self._read, args=(target, prefix), daemon=True))
        if self.query["follow"]:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.2)
                    self._check()
        else:
            # one after the other, so that each log stays in one piece
            for thread in threads:
                thread.start()
                thread.join()
                self._check()
        self._check()
        return FAILED if self._failures else FINE

    def _check(self) -> None:
        for failure in self._failures:
            raise failure

    def _read(self, target: Target, prefix: str) -> None:
        try:
            tty = bool(inspect(target)["Config"].get("Tty"))
            path = f"/containers/{target.container}/logs"
            wait = 0.0 if self.query["follow"] else None
            with target.engine.stream("GET", path, query=self.query, timeout=wait) as stream:
                for source, line in _lines(stream, tty):
                    self._write(prefix, line, source)
        except BaseException as failure:
            self._failures.append(failure)

    def _write(self, prefix: str, line: bytes, source: int) -> None:
        text = line.decode("utf-8", "replace")
        # a program's own colours pass to a terminal, nothing else that would steer it
        shown = _keep_colors(text) if self.cli.out.paint.enabled else clean(_strip_colors(text))
        terminal = self.cli.err if source == _STDERR and not prefix else self.cli.out
        with self._lock:
            terminal.write(prefix + shown)
            terminal.flush()


_SGR = re.compile(r"\x1b\[[\d;]*m")


def _strip_colors(text: str) -> str:
    return _SGR.sub("", text)


def _keep_colors(text: str) -> str:
    parts = _SGR.split(text)
    marks = _SGR.findall(text)
    out = clean(parts[0])
    for mark, part in zip(marks, parts[1:], strict=True):
        out += mark + clean(part)
    return out + ("\x1b[0m" if marks else "")


def inspect(target: Target) -> dict[str, Any]:
    """What the engine says of a container."""
    found: dict[str, Any] = target.engine.request("GET", f"/containers/{target.container}/json").json()
    return found


def _lines(stream: Stream, tty: bool) -> Iterator[tuple[int, bytes]]:
    """Lines with where they came from (1 output, 2 errors)."""
    if tty:
        for line in stream.lines():
            yield 1, line
        return
    left = {1: b"", 2: b""}
    for source, piece in frames(stream.chunks()):
        *full, left[source] = (left[source] + piece).split(b"\n")
        for line in full:
            yield source, line.rstrip(b"\r")
    for source, rest in left.items():
        if rest:
            yield source, rest


def frames(chunks: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """Take apart an engine's multiplexed stream: (1 output or 2 errors, bytes)."""
    buffer = b""
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= 8:
            size = int.from_bytes(buffer[4:8], "big")
            if len(buffer) < 8 + size:
                break
            yield (_STDERR if buffer[0] == _STDERR else 1), buffer[8 : 8 + size]
            buffer = buffer[8 + size :]
