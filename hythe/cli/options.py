"""Options that several commands share, spelled as in OpenTofu."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from hythe.cli.arguments import INPUTS, usage_error
from hythe.cli.context import fail

Function = TypeVar("Function", bound=Callable[..., Any])
Decorator = Callable[[Function], Function]

DEFAULT_PARALLELISM = 10
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration(text: str) -> float:
    """Seconds of ``30s``, ``1m30s``, ``500ms`` or a plain number of seconds. Raises click.UsageError."""
    text = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if not re.fullmatch(rf"({_DURATION.pattern})+", text):
        usage_error(f'"{text}" is not a duration: write it like 30s or 1m30s.')
    return sum(float(n) * _SECONDS[u] for n, u in _DURATION.findall(text))


class _Switch(click.types.BoolParamType):
    """true or false, as OpenTofu writes them, and what else says the same."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bool:
        """The value. Raises click.UsageError."""
        try:
            return super().convert(value, param, ctx)
        except click.UsageError:
            name = param.opts[0] if param is not None else "the option"
            usage_error(f'"{value}" is neither true nor false, as {name} wants: write {name}=true or {name}=false.')


class _Count(click.IntRange):
    """A whole number within bounds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value. Raises click.UsageError."""
        try:
            return super().convert(value, param, ctx)
        except click.UsageError:
            name = param.opts[0] if param is not None else "the option"
            usage_error(f'"{value}" cannot be used: {name} is a whole number from {self.min} to {self.max}.')


def switch(name: str, default: bool, help: str) -> Callable[[Function], Function]:
    """A flag that also takes a value: ``--name``, ``--name=false``."""
    return click.option(name, type=_Switch(), default=default, metavar="[=true|false]", help=help)


def stack(*decorators: Callable[[Any], Any]) -> Callable[[Function], Function]:
    """Several decorators as one, the first outermost."""

    def apply(function: Function) -> Function:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


no_color = switch("--no-color", False, "No colours.")
json_output = switch("--json", False, "Output for programs.")
show_sensitive = switch("--show-sensitive", False, "Show sensitive values.")
state_path = click.option("--state", "state_path", metavar="PATH", help="The state file.")
compact = switch("--compact-warnings", False, "Warnings in one line each.")
read_input = switch("--input", True, "Ask for what is missing.")
parallelism = click.option(
    "--parallelism", type=_Count(1, 1000), default=DEFAULT_PARALLELISM, help="Operations at once."
)
variables = stack(
    click.option("--var", "var", multiple=True, metavar="NAME=VALUE", help="A variable's value."),
    click.option("--var-file", "var_file", multiple=True, metavar="PATH", help="A file of variables."),
)
backend_variables = stack(
    click.option("--var", multiple=True, expose_value=False, metavar="NAME=VALUE", help="A variable of the settings."),
    click.option("--var-file", multiple=True, expose_value=False, metavar="PATH", help="A file of variables."),
)
"""For commands that plan nothing: what the backend block and encryption settings are made of."""
locking = stack(
    switch("--lock", True, "Hold the state lock."),
    click.option(
        "--lock-timeout", type=duration, default="0s", metavar="DURATION", help="How long to wait for the lock."
    ),
)
targeting = stack(
    click.option("--target", multiple=True, metavar="ADDRESS", help="Plan only this and what it needs."),
    click.option("--target-file", multiple=True, metavar="PATH", help="A file of addresses for --target, one a line."),
    click.option("--exclude", multiple=True, metavar="ADDRESS", help="Leave this and what needs it out."),
    click.option("--exclude-file", multiple=True, metavar="PATH", help="A file of addresses for --exclude."),
)
planning = stack(
    variables,
    targeting,
    click.option("--replace", multiple=True, metavar="ADDRESS", help="Replace this instance."),
    switch("--refresh", True, "Look at the world first."),
    switch("--refresh-only", False, "Only bring the state up to what exists."),
    switch("--skip-protected", False, "Go on without protected objects."),
    switch("--fail-on-unknown", False, "An unreachable host is an error."),
    parallelism,
)


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What the user asked to be planned."""

    inputs: tuple[tuple[str, str], ...] = ()
    targets: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    refresh: bool = True
    refresh_only: bool = False
    destroy: bool = False
    skip_protected: bool = False
    fail_on_unknown: bool = False
    generate: bool = False
    parallelism: int = DEFAULT_PARALLELISM


def inputs_in_order() -> tuple[tuple[str, str], ...]:
    """The --var and --var-file options of the running command, in the order given."""
    context = click.get_current_context()
    return tuple(context.meta.get(INPUTS, ()))


def inputs_now() -> tuple[tuple[str, str], ...]:
    """The same, for what may run outside of a command."""
    context = click.get_current_context(silent=True)
    return tuple(context.meta.get(INPUTS, ())) if context is not None else ()


def _addresses(paths: Sequence[str]) -> list[str]:
    """What files of addresses hold: one a line, and comments that begin with #. Raises DiagnosticError."""
    found = []
    for path in paths:
        try:
            with open(path, encoding="utf-8") as file:
                lines = [line.strip() for line in file]
        except (OSError, UnicodeDecodeError) as failure:
            why = (failure.strerror if isinstance(failure, OSError) else None) or "it is not text in UTF-8"
            raise fail("File not readable", f"{path} cannot be read: {why}.") from None
        named = [line for line in lines if line and not line.startswith("#")]
        if not named:
            raise fail("No addresses", f"{path} names no address: without any, nothing would be left out.")
        found += named
    return found


def plan_request(options: dict[str, Any], *, destroy: bool) -> PlanRequest:
    """Take the planning options out of a command's. Refuses those that exclude each other."""
    request = PlanRequest(
        inputs=inputs_in_order(),
        targets=(*options.pop("target"), *_addresses(options.pop("target_file"))),
        excludes=(*options.pop("exclude"), *_addresses(options.pop("exclude_file"))),
        replace=options.pop("replace"),
        refresh=options.pop("refresh"),
        refresh_only=options.pop("refresh_only"),
        destroy=destroy,
        skip_protected=options.pop("skip_protected"),
        fail_on_unknown=options.pop("fail_on_unknown"),
        parallelism=options.pop("parallelism"),
    )
    options.pop("var"), options.pop("var_file")
    if request.destroy and request.refresh_only:
        usage_error("--destroy and --refresh-only exclude each other.")
    if request.refresh_only and not request.refresh:
        usage_error("--refresh-only and --refresh=false exclude each other.")
    if request.replace and (request.destroy or request.refresh_only):
        usage_error("--replace goes only with a normal plan.")
    if request.targets and request.excludes:
        usage_error("--target and --exclude exclude each other.")
    return request
