"""``hythe exec``."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from hythe.cli import options
from hythe.cli.arguments import Command, usage_error, words_apart
from hythe.cli.containers import Target, engine_failures, locate
from hythe.cli.containers import select as select_containers
from hythe.cli.context import Cli, fail
from hythe.cli.logs import frames
from hythe.cli.machines import is_machine
from hythe.cli.workspace import Workspace

if TYPE_CHECKING:
    from hythe.state.model import InstanceState


def _on_machine(
    cli: Cli,
    found: InstanceState,
    words: tuple[str, ...],
    *,
    tty: bool,
    user: str | None,
    env: tuple[str, ...],
    workdir: str | None,
) -> int:
    """Over SSH, with the machine's own words for what only containers have."""
    import shlex

    from hythe.cli.machines import log_in
    from hythe.diagnostic import DiagnosticError
    from hythe.provider.connection.ssh import SshHost
    from hythe.provider.hosts import open_host
    from hythe.provider.protocol import HostUnreachable

    if user is not None:
        usage_error(f"{found.address} is a machine: --user is for containers (use `sudo -u {user}` in the command).")
    try:
        host = open_host(found.address, found.attributes)
    except HostUnreachable as failure:
        raise DiagnosticError(*failure.diagnostics) from None
    if not isinstance(host, SshHost):
        raise fail("Not reached over SSH", f"{found.address} is this machine: run the command as it is.")
    text = shlex.join(["env", *env, *words] if env else words)
    if workdir is not None:
        text = f"cd {shlex.quote(workdir)} && {text}"
    return log_in(host.settings, [text], ["-t"] if tty else [])


class _CommandWithWords(Command):
    """After the address, the first word that is no option begins the command; its options are its own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, words_apart(args, self.get_params(ctx), after=1))


@click.command(cls=_CommandWithWords)
@click.argument("address")
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.option("--interactive", "-i", is_flag=True, help="Give it standard input.")
@click.option("--tty", "-t", is_flag=True, help="Give it a terminal.")
@click.option("--user", "-u", metavar="USER", help="Run as this user.")
@click.option("--workdir", "-w", metavar="DIR", help="Run in this folder.")
@click.option("--env", "-e", multiple=True, metavar="NAME=VALUE", help="Set an environment variable.")
@options.state_path
@options.no_color
@click.pass_obj
def command(
    cli: Cli,
    *,
    address: str,
    words: tuple[str, ...],
    interactive: bool,
    tty: bool,
    user: str | None,
    workdir: str | None,
    env: tuple[str, ...],
    state_path: str | None,
    no_color: bool,
) -> int:
    """Run a command in a container or on a machine: hythe exec [-it] ADDRESS COMMAND. Its exit code is passed on."""
    if not words:
        usage_error("Say what to run: hythe exec ADDRESS COMMAND.")
    if tty and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise fail(
            "No terminal", "--tty needs a terminal on both ends, and input or output here is none. Leave -t out."
        )
    workspace = Workspace(cli, state_path)
    state = workspace.read_objects()
    if is_machine(state, address):
        return _on_machine(cli, state.instances[address], words, tty=tty, user=user, env=env, workdir=workdir)
    found = select_containers(state, [address])
    if len(found) > 1:
        listed = ", ".join(i.address for i in found[:5])
        raise fail("Several containers", f"{address} names {len(found)} containers ({listed}): name one of them.")
    settings: dict[str, Any] = {
        "AttachStdin": interactive,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": tty,
        "Cmd": list(words),
    }
    settings |= {k: v for k, v in (("User", user), ("WorkingDir", workdir), ("Env", list(env))) if v}
    with workspace.hosts() as hosts, engine_failures(address):
        return _Exec(locate(hosts, state, found)[0], settings).run()


class _Exec:
    """One command in a container, connected to our input and output."""

    def __init__(self, target: Target, settings: dict[str, Any]) -> None:
        self.target, self.settings, self.tty = target, settings, bool(settings["Tty"])
        path = f"/containers/{target.container}/exec"
        self.id = str(target.engine.request("POST", path, json=settings).json()["Id"])

    def run(self) -> int:
        sock, early = self.target.engine.upgrade(
            "POST", f"/exec/{self.id}/start", json={"Detach": False, "Tty": self.tty}
        )
        with contextlib.closing(sock), _raw_terminal(self.tty), self._resizing():
            if self.settings["AttachStdin"]:
                threading.Thread(target=self._send, args=(sock,), daemon=True).start()
            self._receive(sock, early)
        code = self.target.engine.request("GET", f"/exec/{self.id}/json").json().get("ExitCode")
        return int(code) if code is not None else 1

    def _send(self, sock: socket.socket) -> None:
        source = sys.stdin.fileno()
        with contextlib.suppress(OSError):
            while piece := os.read(source, 1 << 14):
                sock.sendall(piece)
            sock.shutdown(socket.SHUT_WR)

    def _chunks(self, sock: socket.socket, early: bytes) -> Iterator[bytes]:
        if early:
            yield early
        while True:
            select.select([sock], [], [])
            try:
                piece = sock.recv(1 << 16)
            except ConnectionResetError:
                return
            if not piece:
                return
            yield piece

    def _receive(self, sock: socket.socket, early: bytes) -> None:
        chunks = self._chunks(sock, early)
        pairs = ((1, c) for c in chunks) if self.tty else frames(chunks)
        for source, piece in pairs:
            out = sys.stderr.buffer if source == 2 else sys.stdout.buffer
            out.write(piece)
            out.flush()

    @contextlib.contextmanager
    def _resizing(self) -> Iterator[None]:
        if not self.tty:
            yield
            return

        def resize(*unused: object) -> None:
            size = os.get_terminal_size()
            path = f"/exec/{self.id}/resize"
            with contextlib.suppress(Exception):
                self.target.engine.request("POST", path, query={"h": size.lines, "w": size.columns})

        before = signal.signal(signal.SIGWINCH, resize)
        resize()
        try:
            yield
        finally:
            signal.signal(signal.SIGWINCH, before)


@contextlib.contextmanager
def _raw_terminal(wanted: bool) -> Iterator[None]:
    """The terminal passes every key on while the command runs."""
    if not wanted:
        yield
        return
    import termios
    import tty

    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)
    try:
        tty.setraw(handle)
        yield
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)
