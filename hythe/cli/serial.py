"""``hythe serial``."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from hythe.cli import options
from hythe.cli.arguments import Command
from hythe.cli.context import FAILED, FINE, Cli, fail
from hythe.cli.machines import machine
from hythe.cli.workspace import Workspace
from hythe.diagnostic import DiagnosticError

if TYPE_CHECKING:
    from hythe.provider.protocol import Host
    from hythe.state.model import InstanceState

_ESCAPE = b"\x1d"
_CHUNK = 4096


@click.command(cls=Command)
@click.argument("address")
@click.option("--log", is_flag=True, help="Print what it has shown since the VM was started, and end.")
@click.option("--follow", "-f", is_flag=True, help="With --log: go on as more is shown.")
@click.option("--force", is_flag=True, help="Take the console from whoever has it.")
@options.state_path
@options.no_color
@click.pass_obj
def command(
    cli: Cli, *, address: str, log: bool, follow: bool, force: bool, state_path: str | None, no_color: bool
) -> int:
    """Attach to the serial console of a VM: hythe serial ADDRESS. Ctrl+] leaves it."""
    from hythe.provider.protocol import ProviderError

    workspace = Workspace(cli, state_path)
    state = workspace.read_objects()
    found = machine(state, address, ("vm",))
    owner = state.instances.get(found.host) if found.host is not None else None
    try:
        with workspace.hosts() as hosts:
            host = hosts.get(found.host, owner.attributes if owner is not None else None)
            if log or follow:
                return _print_log(cli, host, found, follow=follow)
            return _attach(cli, host, found, force=force)
    except ProviderError as failure:
        raise DiagnosticError(*failure.diagnostics) from None


def _print_log(cli: Cli, host: Host, vm: InstanceState, *, follow: bool) -> int:
    import time

    path = vm.attributes.get("console_log")
    if not path:
        raise fail("No console log", f"The serial console of {vm.address} is not logged.")
    at = 0
    while True:
        done = host.run(["tail", "-c", f"+{at + 1}", str(path)], timeout=30)
        if done.code != 0:
            raise fail("Console log not readable", f"{path}: {done.stderr.decode('utf-8', 'replace').strip()}.")
        if at == 0 or done.stdout:
            sys.stdout.buffer.write(done.stdout)
            sys.stdout.buffer.flush()
        at += len(done.stdout)
        if not follow:
            return FINE
        try:
            time.sleep(0.5)
        except KeyboardInterrupt:
            return FINE


def _attach(cli: Cli, host: Host, vm: InstanceState, *, force: bool) -> int:
    from hythe.provider.vm.client import Hypervisor
    from hythe.provider.vm.console import open_console

    hypervisor: Hypervisor = host.hypervisor(vm.attributes.get("uri"))
    stream = open_console(hypervisor, str(vm.attributes["id"]), vm.address, force=force)
    cli.err.write(f"Connected to the serial console of {vm.address}. Ctrl+] leaves it.\n")
    ended = threading.Event()

    def receive() -> None:
        while data := stream.receive(_CHUNK):
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        ended.set()
        # the other thread waits for input that may never come
        with contextlib.suppress(OSError):
            os.write(wake, b"x")

    waken, wake = os.pipe()
    threading.Thread(target=receive, daemon=True).start()
    try:
        with _raw_terminal():
            left = _send(stream, waken)
    finally:
        stream.close()
        os.close(waken)
    cli.err.write("\n" if left else "\nThe console was closed by the hypervisor.\n")
    return FINE if left else FAILED


def _send(stream: Any, waken: int) -> bool:
    """Carry input to the console; whether the user left."""
    import select

    source = sys.stdin.fileno()
    watched = [source, waken]
    while True:
        ready, _, _ = select.select(watched, [], [])
        if waken in ready:
            return False
        data = os.read(source, _CHUNK)
        if not data:
            if sys.stdin.isatty():
                return True
            # input came from a pipe: what the machine answers is still shown, for a moment
            watched = [waken]
            ready, _, _ = select.select(watched, [], [], 2.0)
            return not ready
        if _ESCAPE in data:
            stream.send(data.partition(_ESCAPE)[0])
            return True
        stream.send(data)


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
