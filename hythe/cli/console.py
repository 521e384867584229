"""``hythe console``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import click

from hythe.cli import options
from hythe.cli.arguments import Command
from hythe.cli.context import FAILED, FINE, Cli
from hythe.cli.evaluation import Expressions, type_name
from hythe.cli.views.console import human_result, json_error, json_result
from hythe.cli.workspace import Workspace
from hythe.diagnostic import DiagnosticError

HISTORY = os.path.join(".hythe", "console_history")
_HISTORY_LINES = 1000


@click.command(cls=Command)
@options.variables
@options.json_output
@options.state_path
@options.no_color
@click.pass_obj
def command(
    cli: Cli, *, var: tuple[str, ...], var_file: tuple[str, ...], json: bool, state_path: str | None, no_color: bool
) -> int:
    """Evaluate expressions, one a line, over the configuration and the state.

    With --json each line gives one line: {"value": ..., "type": "..."} or {"error": "..."}; sensitive
    values stand in it as {"$sensitive": value}.
    """
    workspace = Workspace(cli, state_path)
    variables = workspace.variables(options.inputs_in_order(), ask=not json)
    expressions = Expressions(workspace.config(), workspace.registry, variables, workspace.read_objects())
    if any(d.is_error for d in expressions.problems):
        raise DiagnosticError(*expressions.problems)
    if json:
        return _json_lines(cli, expressions)
    if cli.interactive:
        return _interactive(cli, expressions)
    return _piped(cli, expressions)


def _json_lines(cli: Cli, expressions: Expressions) -> int:
    for line in cli.input:
        if not line.strip():
            continue
        value, found = expressions.evaluate(line.rstrip("\n"))
        failed = any(d.is_error for d in found)
        cli.say(json_error(found) if failed else json_result(value, type_name(value)))
        cli.out.flush()
    return FINE


def _evaluate(cli: Cli, expressions: Expressions, text: str) -> bool:
    from hythe.value import EPHEMERAL, unmark, unmark_deep

    value, found = expressions.evaluate(text)
    if found:
        from hythe.cli.views.diagnostics import DiagnosticView

        view = DiagnosticView(
            cli.err.paint, cli.err.width, box=cli.err.live, sources=lambda n: text if n == "<console>" else None
        )
        cli.out.flush()
        cli.err.write(view.render_all(found))
    if any(d.is_error for d in found):
        return False
    plain, marks = unmark_deep(value)
    if EPHEMERAL in unmark(value)[1]:
        cli.say("(ephemeral value)")
    else:
        cli.say(human_result(value if marks else plain, sensitive=False))
    return True


def _piped(cli: Cli, expressions: Expressions) -> int:
    fine = True
    for text in _statements(lambda prompt: cli.input.readline() or None):
        fine = _evaluate(cli, expressions, text) and fine
    return FINE if fine else FAILED


def _statements(read: Callable[[str], str | None]) -> Iterator[str]:
    """Expressions from lines: a line that leaves brackets open goes on in the next one."""
    text = ""
    while (line := read("> " if not text else ": ")) is not None:
        text += line.rstrip("\n")
        if not text.strip() or text.strip() in ("exit", "quit"):
            if text.strip():
                return
            text = ""
            continue
        if open_brackets(text):
            text += "\n"
            continue
        yield text
        text = ""
    if text.strip():
        yield text


def open_brackets(text: str) -> bool:
    """Whether the text leaves a bracket open (outside of quotes)."""
    depth, quoted, escaped = 0, False, False
    for letter in text:
        if escaped:
            escaped = False
        elif quoted and letter == "\\":
            escaped = True
        elif letter == '"':
            quoted = not quoted
        elif not quoted:
            depth += (letter in "([{") - (letter in ")]}")
    return depth > 0


def _interactive(cli: Cli, expressions: Expressions) -> int:
    history = _open_history(expressions)
    cli.say("Expressions are evaluated over the configuration and the state. exit or Ctrl-D ends.")
    cli.out.flush()

    def read(prompt: str) -> str | None:
        try:
            return input(prompt)
        except EOFError:
            cli.say()
            return None

    try:
        while True:
            try:
                for text in _statements(read):
                    _evaluate(cli, expressions, text)
                return FINE
            except KeyboardInterrupt:
                cli.say()
    finally:
        history()


def _open_history(expressions: Expressions) -> Callable[[], None]:
    """Set up line editing; gives what saves the history."""
    try:
        import readline
    except ImportError:
        return lambda: None
    names = expressions.names()

    def complete(word: str, at: int) -> str | None:
        found = [n for n in names if n.startswith(word)]
        return found[at] if at < len(found) else None

    readline.set_completer(complete)
    readline.parse_and_bind("tab: complete")
    readline.set_history_length(_HISTORY_LINES)
    if os.path.exists(HISTORY):
        try:
            readline.read_history_file(HISTORY)
        except OSError:
            return lambda: None

    def save() -> None:
        if os.path.isdir(os.path.dirname(HISTORY)):
            os.close(os.open(HISTORY, os.O_WRONLY | os.O_CREAT, 0o600))
            readline.write_history_file(HISTORY)

    return save
