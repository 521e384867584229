"""``hythe fmt``."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click

from hythe.cli import options
from hythe.cli.arguments import Command, usage_error
from hythe.cli.context import FAILED, FINE, Cli, fail
from hythe.files import replace_file

UNFORMATTED = 3
"""Exit code of --check when something would change; OpenTofu's too."""

SUFFIXES = (".hcl", ".hclvars")
_STDIN = "-"
_STDIN_NAME = "<stdin>"


@click.command(cls=Command)
@click.argument("target", nargs=-1)
@options.switch("--list", True, "Print the names of files that change.")
@options.switch("--write", True, "Write the files.")
@options.switch("--diff", False, "Print what changes.")
@options.switch("--check", False, f"Write nothing; end with exit code {UNFORMATTED} if something would change.")
@options.switch("--recursive", False, "Folders in folders, too.")
@options.no_color
@click.pass_obj
def command(
    cli: Cli,
    *,
    target: tuple[str, ...],
    list: bool,
    write: bool,
    diff: bool,
    check: bool,
    recursive: bool,
    no_color: bool,
) -> int:
    """Rewrite configurations in the canonical style: files, folders, or - for standard input."""
    if _STDIN in target:
        if len(target) > 1:
            usage_error("- stands for standard input, and is given alone.")
        return _standard_input(cli, diff=diff, check=check)
    broken = changed = False
    for path in _files(cli, target or (".",), recursive):
        shown = os.path.relpath(path, cli.root)
        text = _read(path, shown)
        made = _formatted(cli, text, shown)
        if made is None:
            broken = True
            continue
        if made == text:
            continue
        changed = True
        if list:
            cli.say(shown)
        if diff:
            _show(cli, text, made, shown)
        if write and not check:
            _write(path, made)
    return FAILED if broken else UNFORMATTED if changed and check else FINE


def _standard_input(cli: Cli, *, diff: bool, check: bool) -> int:
    text = cli.input.read()
    made = _formatted(cli, text, _STDIN_NAME)
    if made is None:
        return FAILED
    if diff:
        _show(cli, text, made, _STDIN_NAME)
    elif not check:
        cli.out.put(made)
        cli.out.flush()
    return UNFORMATTED if check and made != text else FINE


def _files(cli: Cli, targets: Sequence[str], recursive: bool) -> Iterator[str]:
    for target in targets:
        path = os.path.join(cli.root, target)
        if os.path.isdir(path):
            yield from _inside(path, recursive)
        elif not os.path.lexists(path):
            raise fail("No such file or folder", f"{target} does not exist, so it cannot be formatted.")
        elif not target.endswith(SUFFIXES):
            known = " and ".join(SUFFIXES)
            raise fail("Not a configuration", f"{target} is left alone: files that end with {known} are formatted.")
        else:
            yield path


def _inside(folder: str, recursive: bool) -> Iterator[str]:
    with os.scandir(folder) as entries:
        there = sorted(entries, key=lambda e: e.name)
    for entry in there:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            if recursive:
                yield from _inside(entry.path, recursive)
        elif entry.name.endswith(SUFFIXES) and entry.is_file():
            yield entry.path


def _read(path: str, shown: str) -> str:
    try:
        # line ends as they are
        return Path(path).read_bytes().decode()
    except OSError as failure:
        raise fail("File cannot be read", f"{shown}: {failure.strerror}.") from failure
    except UnicodeDecodeError as failure:
        raise fail("File is not UTF-8", f"{shown}: byte {failure.start} is not valid.") from failure


def _formatted(cli: Cli, text: str, shown: str) -> str | None:
    """The text in canonical style; None, with the errors told, when it is not valid: then it is left as it is."""
    from hythe.cli.views.diagnostics import sources_of
    from hythe.modules import syntax
    from hythe.modules.syntax.canonical import format_text

    body, found = syntax.parse(text, shown)
    if found:
        replace(cli, sources=sources_of({shown: text}, cli.root)).report(found)
        return None
    return format_text(text, body)


def _show(cli: Cli, before: str, after: str, shown: str) -> None:
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"old/{shown}", f"new/{shown}", lineterm="", n=3
    )
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in lines:
        colour = colours.get(line[:1])
        cli.say(cli.out.paint(line, colour) if colour else line)


def _write(path: str, text: str) -> None:
    """By atomic replace of the file itself, also where a link leads to it; its permissions stay."""
    place = os.path.realpath(path)
    try:
        replace_file(place, text.encode(), os.stat(place).st_mode & 0o7777)
    except OSError as failure:
        raise fail("File cannot be written", f"{path}: {failure.strerror}. It is as it was.") from failure
