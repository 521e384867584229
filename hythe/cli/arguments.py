"""The command line as OpenTofu's users write it, made into what click reads.

Long options may have one dash or two, a value behind ``=`` or as the next word; flags may be given a
value too (``-input=false``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import click

from hythe.diagnostic import did_you_mean

INPUTS = "hythe.inputs"
"""Key in a click context's meta: the ``("var" | "file", text)`` pairs in the order given."""

_ORDERED = {"--var": "var", "--var-file": "file"}


def usage_error(message: str) -> NoReturn:
    """Refuse the command line. Ends with exit code 1."""
    raise click.UsageError(message)


def _options(parameters: Sequence[click.Parameter]) -> dict[str, click.Option]:
    return {name: p for p in parameters if isinstance(p, click.Option) for name in (*p.opts, *p.secondary_opts)}


def _is_short_group(word: str, known: dict[str, click.Option]) -> bool:
    return all(f"-{letter}" in known for letter in word[1:])


@dataclass(slots=True)
class Normalised:
    """Words for click, and the values of variables in the order given."""

    words: list[str]
    inputs: list[tuple[str, str]]


def normalise(words: Sequence[str], parameters: Sequence[click.Parameter], command: str = "") -> Normalised:
    """Give every long option two dashes and every flag its value. Raises click.UsageError.

    ``command`` is whose options they are, like ``state mv``.
    """
    known = _options(parameters)
    out = Normalised([], [])
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "--":
            out.words += words[at - 1 :]
            break
        if len(word) < 2 or not word.startswith("-") or word[1].isdigit():
            out.words.append(word)
            continue
        name, equals, value = word.partition("=")
        if not name.startswith("--") and len(name) > 2 and not _is_short_group(name, known):
            name = "-" + name
        option = known.get(name)
        if option is None:
            if name.startswith("--") and name != "--help":
                _check_elsewhere(name, command, known)
            else:
                out.words.append(word)
            continue
        if isinstance(option.type, click.types.BoolParamType) and not option.is_flag:
            out.words.append(f"{name}={value if equals else 'true'}")
            continue
        if not equals and not option.is_flag and not option.count and name.startswith("--"):
            if at >= len(words):
                usage_error(f"The option {name} needs a value.")
            value = words[at]
            at += 1
        out.words.append(name if option.is_flag or not name.startswith("--") else f"{name}={value}")
        if not name.startswith("--") and equals:
            out.words[-1] = word
        if name in _ORDERED:
            out.inputs.append((_ORDERED[name], value))
    return out


def _check_elsewhere(name: str, command: str, known: Iterable[str]) -> None:
    """Refuse an option that is not here, unless it is one of OpenTofu's that would change nothing.

    Raises click.UsageError.
    """
    from hythe.cli import elsewhere

    word = name.lstrip("-")
    if elsewhere.is_without_effect(command, word):
        return
    advice = elsewhere.OPTIONS.get(word)
    hint = f" {advice}" if advice else did_you_mean(word, [k.lstrip("-") for k in known if k.startswith("--")])
    usage_error(f"There is no option {name}.{hint}")


def words_apart(words: Sequence[str], parameters: Sequence[click.Parameter], after: int) -> list[str]:
    """Put ``--`` behind the first ``after`` arguments, so that what follows is no option of ours."""
    known = _options(parameters)
    at = arguments = 0
    while at < len(words) and words[at] != "--":
        word = words[at]
        if not word.startswith("-") or word == "-":
            arguments += 1
            if arguments > after:
                return [*words[:at], "--", *words[at:]]
        elif "=" not in word:
            option = known.get(word) or known.get("-" + word)
            if option is None and _is_short_group(word, known):
                option = known.get("-" + word[-1])
            if option is not None and not option.is_flag and not isinstance(option.type, click.types.BoolParamType):
                at += 1
        at += 1
    return list(words)


def _show_help(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Print help as all else is printed. Raises BrokenPipeError where it cannot be written."""
    if value and not ctx.resilient_parsing:
        ctx.obj.out.write(ctx.get_help())
        ctx.obj.out.flush()
        ctx.exit()


class _Helpful(click.Command):
    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """The option ``--help``."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option


class Command(_Helpful):
    """A command that takes OpenTofu's spelling of options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Normalise, then parse."""
        if args[:1] == ["-h"]:
            args = ["--help"]
        try:
            found = normalise(args, self.get_params(ctx), ctx.command_path.removeprefix("hythe "))
        except click.UsageError as failure:
            failure.ctx = ctx
            raise
        ctx.meta[INPUTS] = found.inputs
        return super().parse_args(ctx, found.words)


class Group(_Helpful, click.Group):
    """A command of commands (``state``), with suggestions."""

    command_class = Command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """One dash does for --help too; colours were seen to already."""
        while args and args[0].lstrip("-") in ("no-color", "no-color=true") and args[0].startswith("-"):
            args = args[1:]
        return super().parse_args(ctx, ["--help" if a in ("-help", "-h") else a for a in args[:1]] + args[1:])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the subcommand. Raises click.UsageError with a suggestion."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            from hythe.cli import elsewhere

            advice = elsewhere.COMMANDS.get(f"{ctx.command_path.removeprefix('hythe ')} {args[0]}")
            hint = f" {advice}" if advice else did_you_mean(args[0], self.commands)
            usage_error(f'{ctx.command_path} has no subcommand "{args[0]}".{hint}')
        return super().resolve_command(ctx, args)
