"""The entry point: finds the command, runs it, and turns whatever happens into words and an exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

    from hythe.cli.context import Cli

COMMANDS = {
    "init": "Prepare a folder, and check what it needs",
    "validate": "Check the configuration, without looking at the world",
    "fmt": "Rewrite configurations in the canonical style",
    "plan": "Show what apply would do",
    "apply": "Make the world as the configuration says",
    "destroy": "Destroy everything that Hythe made here",
    "refresh": "Bring the state up to what exists",
    "show": "Show the state or a saved plan",
    "output": "Show output values",
    "import": "Take an existing object into the state",
    "state": "Look at the state and change it (list, show, mv, rm, pull, push, history, check, rebuild)",
    "workspace": "Keep several states of one configuration apart (list, show, new, select, delete)",
    "console": "Evaluate expressions",
    "graph": "Print what depends on what",
    "test": "Run the tests of a configuration",
    "providers": "Show the kinds of objects, and their schemas (schema --json)",
    "logs": "Show what containers print",
    "exec": "Run a command in a container or on a machine",
    "ssh": "Open a shell on a machine",
    "serial": "Attach to the serial console of a VM",
    "force-unlock": "Take away a lock that nobody holds any more",
    "doctor": "Look at engines and tools, and say how to mend what is missing",
    "version": "Show the version",
}
"""Commands by name. Each is a module of this package that is imported when it is used."""


def _module(name: str) -> str:
    reserved = {"import": "import_", "exec": "exec_", "workspace": "workspaces"}
    return "hythe.cli." + reserved.get(name, name.replace("-", "_"))


def _load(name: str) -> click.Command:
    import importlib

    found: click.Command = importlib.import_module(_module(name)).command
    return found


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "Usage: hythe [--chdir=DIR] COMMAND [options]",
            "",
            "Commands:",
            *lines,
            "",
            "hythe COMMAND --help tells what a command takes.",
        ]
    )


class _Global:
    """Options that stand before the command."""

    def __init__(self, words: Sequence[str]) -> None:
        self.chdir: str | None = None
        self.help = self.version = False
        self.color = True
        self.problem: str | None = None
        rest = list(words)
        while rest and rest[0].startswith("-") and self.problem is None:
            name, equals, value = rest.pop(0).partition("=")
            match name.lstrip("-"):
                case "chdir":
                    if not equals and not rest:
                        self.problem = "The option --chdir needs a folder: --chdir=DIR."
                    else:
                        self.chdir = value if equals else rest.pop(0)
                case "help" | "h":
                    self.help = True
                case "version" | "v":
                    self.version = True
                case "no-color":
                    self.color = False
                case _:
                    self.problem = f"There is no option {name} before the command."
        self.command = rest[0] if rest else None
        self.rest = rest[1:]
        if any(w in ("-no-color", "--no-color", "-no-color=true", "--no-color=true") for w in self._options()):
            self.color = False

    def _options(self) -> Sequence[str]:
        return self.rest[: self.rest.index("--")] if "--" in self.rest else self.rest


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 fine, 1 error, 2 changes)."""
    _open_streams()
    try:
        return _run(_Global(sys.argv[1:] if argv is None else argv))
    except BrokenPipeError as failure:
        return _unread(failure)


def _open_streams() -> None:
    """What the caller closed (``>&-``) leads nowhere, and is no place for the next file that is opened."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - as long as the process


def _unread(failure: BrokenPipeError) -> int:
    """The exit code when output could not be written. Whoever closed a pipe has enough, and needs no word."""
    if failure.errno not in (None, errno.EPIPE):
        with contextlib.suppress(OSError):
            print(f"The output could not be written: {failure.strerror}.", file=sys.stderr, flush=True)
    # the interpreter must not complain when it flushes at exit
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _print(text: str) -> None:
    """A text on standard output. Raises BrokenPipeError where it cannot be written."""
    try:
        print(text, flush=True)
    except OSError as failure:
        raise BrokenPipeError(failure.errno, failure.strerror) from failure


def _run(given: _Global) -> int:
    if given.version and given.problem is None:
        given.command, given.rest = "version", []
    if given.problem is None and (given.help or given.command is None or given.command == "help"):
        name = given.rest[0] if given.command == "help" and given.rest else given.command if given.help else None
        if name is None or name == "help":
            _print(_help())
            return 0 if given.help or given.command == "help" else 1
        given.command, given.rest = name, ["--help"]
    if given.problem is None and given.command not in COMMANDS:
        from hythe.cli import elsewhere
        from hythe.diagnostic import did_you_mean

        word = given.command or ""
        advice = elsewhere.COMMANDS.get(word)
        given.problem = f'There is no command "{word}".{f" {advice}" if advice else did_you_mean(word, COMMANDS)}'
    if given.problem is not None:
        print(f"{given.problem}\nhythe --help lists what there is.", file=sys.stderr)
        return 1
    assert given.command is not None
    return _run_command(given, given.command)


def _run_command(given: _Global, name: str) -> int:
    from hythe.cli.context import open_cli

    start = os.getcwd()
    if given.chdir is not None:
        try:
            os.chdir(given.chdir)
        except OSError as failure:
            print(f"Cannot work in {given.chdir}: {failure.strerror}.", file=sys.stderr)
            return 1
    cli = open_cli(os.getcwd(), color=given.color)
    try:
        with cli.closing:
            return _guarded(cli, name, given.rest)
    finally:
        if given.chdir is not None:
            os.chdir(start)


def _guarded(cli: Cli, name: str, rest: list[str]) -> int:
    import click

    from hythe.cli import logs_setup
    from hythe.diagnostic import DiagnosticError

    code = 1
    try:
        logs_setup.configure(cli)
        result = _load(name).main(rest, prog_name=f"hythe {name}", standalone_mode=False, obj=cli)
        code = result if isinstance(result, int) else 0
        cli.out.flush()
        if cli.out.broken is not None:
            raise cli.out.broken
    except click.UsageError as failure:
        whole = failure.ctx.command_path if failure.ctx is not None else f"hythe {name}"
        cli.err.write(f"{failure.format_message()}\n{whole} --help tells what it takes.")
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except DiagnosticError as failure:
        cli.report(failure.diagnostics)
    except (KeyboardInterrupt, click.Abort):
        cli.err.write("\nInterrupted.")
    except BrokenPipeError as failure:
        return _unread(failure)
    except Exception as failure:
        from hythe.cli.crash import report_crash

        report_crash(cli, name, failure)
    return code


if __name__ == "__main__":
    sys.exit(run())
