"""``hythe ssh``."""

from __future__ import annotations

import click

from hythe.cli import options
from hythe.cli.arguments import Command, words_apart
from hythe.cli.context import Cli, fail
from hythe.cli.machines import log_in, machine
from hythe.cli.workspace import Workspace
from hythe.diagnostic import DiagnosticError


class _CommandWithWords(Command):
    """After the address, the first word that is no option begins the command; its options are its own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, words_apart(args, self.get_params(ctx), after=1))


@click.command(cls=_CommandWithWords)
@click.argument("address")
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@options.state_path
@options.no_color
@click.pass_obj
def command(cli: Cli, *, address: str, words: tuple[str, ...], state_path: str | None, no_color: bool) -> int:
    """Open a shell on a machine, or run a command there: hythe ssh ADDRESS [COMMAND].

    ADDRESS is that of a vm or of a host that is reached over SSH. The keys are those that the state knows, and the
    machine's own key must be the one that is pinned. The exit code is passed on.
    """
    import shlex

    state = Workspace(cli, state_path).read_objects()
    found = machine(state, address)
    from hythe.provider.connection.ssh import SshHost
    from hythe.provider.hosts import open_host
    from hythe.provider.protocol import HostUnreachable

    try:
        host = open_host(found.address, found.attributes)
    except HostUnreachable as failure:
        raise DiagnosticError(*failure.diagnostics) from None
    if not isinstance(host, SshHost):
        raise fail("Not reached over SSH", f"{found.address} is this machine: a shell is where you are.")
    text = [shlex.join(words)] if words else []
    return log_in(host.settings, text)
