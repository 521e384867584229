"""``hythe doctor``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from hythe.cli import options
from hythe.cli.arguments import Command
from hythe.cli.context import FAILED, FINE, Cli
from hythe.cli.views.terminal import Paint, clean

if TYPE_CHECKING:
    from hythe.provider.connection.checks import Check

_SIGNS = {"ok": ("ok", "green"), "warn": ("warning", "yellow"), "missing": ("missing", "dim")}


@click.command(cls=Command)
@options.json_output
@options.state_path
@options.no_color
@click.pass_obj
def command(cli: Cli, *, json: bool, state_path: str | None, no_color: bool) -> int:
    """Look at engines and tools, and say how to mend what is missing. Exit code 1 when Hythe cannot work here."""
    from hythe.provider.connection.checks import healthy, run_checks

    folder = os.path.dirname(os.path.join(cli.root, state_path or ""))
    checks = run_checks(folder or ".")
    fine = healthy(checks)
    if json:
        from hythe.cli.views.json_values import dumps

        cli.say(dumps({"healthy": fine, "checks": [_facts(c) for c in checks]}, indent=True))
    else:
        cli.say(render_checks(checks, cli.out.paint))
        word = "Hythe can work here." if fine else "Hythe cannot work here until what is missing is mended."
        cli.say("\n" + cli.out.paint(word, "bold", "green" if fine else "red"))
    return FINE if fine else FAILED


def _facts(check: Check) -> dict[str, object]:
    return {
        "name": check.name,
        "status": check.status.value,
        "required": check.required,
        "found": check.found,
        "why": check.why,
        "fix": check.fix,
    }


def render_checks(checks: Sequence[Check], paint: Paint) -> str:
    """One line a finding; why it matters and what mends it below those that are not in order."""
    width = max((len(c.name) for c in checks), default=0)
    lines: list[str] = []
    for check in checks:
        word, color = _SIGNS[check.status.value]
        if check.status.value == "missing" and check.required:
            color = "red"
        lines.append(f"{paint(f'{word:<7}', color)}  {check.name:<{width}}  {clean(check.found)}".rstrip())
        if check.status.value != "ok":
            indent = " " * (width + 11)
            lines += [indent + paint(clean(check.why), "dim")] if check.why else []
            lines += [f"{indent}mend it with: {paint(line, 'bold')}" for line in clean(check.fix).splitlines()]
    return "\n".join(lines)
