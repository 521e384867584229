"""From the ``encryption`` settings to what seals and opens states and plans."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from hythe.cli.context import Cli, raise_errors
from hythe.cli.logs_setup import remember_secrets
from hythe.diagnostic import Diagnostic, Range, error, has_errors
from hythe.modules.encryption import ENVIRONMENT, Declared, EncryptionSettings, read_settings
from hythe.modules.language.compile import compile_expression
from hythe.modules.language.conversions import ConversionError, convert
from hythe.state.encryption.target import Method, Target
from hythe.value import NUMBER, STRING, Type, Unknown, Value, is_null, list_of, unmark_deep

if TYPE_CHECKING:
    from hythe.modules.config import Config
    from hythe.modules.language.scope import Scope
    from hythe.state.encryption.keys import KeySource

Made = TypeVar("Made", int, str)


@dataclass(frozen=True, slots=True)
class Encryption:
    """What seals states (and their journals) and plans; None where the settings have no such block."""

    state: Target | None = None
    plan: Target | None = None


def open_encryption(cli: Cli, config: Config | None, scope: Scope) -> Encryption | None:
    """What the settings in the configuration and the environment say; None where there are none.

    ``scope`` is what they are evaluated in (see :func:`hythe.modules.settings.static_scope`); variables without a
    value are unknown in it. No key is derived or asked for before it is needed. Raises DiagnosticError.
    """
    block = config.settings.encryption if config is not None else None
    settings, found = read_settings(block, cli.environment.get(ENVIRONMENT, ""))
    raise_errors(found)
    if settings is None:
        return None
    cli.report(found)
    return _Opening(cli, settings, scope).encryption()


class _Opening:
    """One reading of the settings: a key provider that two methods use is one source of keys."""

    def __init__(self, cli: Cli, settings: EncryptionSettings, scope: Scope) -> None:
        self.cli, self.settings, self.scope = cli, settings, scope
        self.sources: dict[str, KeySource] = {}

    def encryption(self) -> Encryption:
        found: list[Diagnostic] = []
        made: dict[str, Target] = {}
        for purpose in sorted(self.settings.purposes):
            methods = [self._method(declared, found) for declared in self.settings.chain(purpose)]
            if all(m is not None for m in methods):
                made[purpose] = Target([m for m in methods if m is not None])
        raise_errors(list(dict.fromkeys(found)))
        return Encryption(made.get("state"), made.get("plan"))

    def _method(self, declared: Declared, found: list[Diagnostic]) -> Method | None:
        provider = self.settings.provider_of(declared)
        if provider is None:
            return Method(declared.address, None)
        if provider.address not in self.sources:
            arguments = _Arguments(self.cli, provider, self.scope, found)
            source = _SOURCES[provider.type](arguments)
            if source is None:
                return None
            self.sources[provider.address] = source
        return Method(declared.address, self.sources[provider.address])


class _Arguments:
    """The values of a key provider's arguments; what is wrong with them goes to ``found``.

    Messages point at the block, not at the argument: its line may spell a secret out.
    """

    def __init__(self, cli: Cli, declared: Declared, scope: Scope, found: list[Diagnostic]) -> None:
        self.cli, self.declared, self.found = cli, declared, found
        self._scope = scope

    @property
    def range(self) -> Range:
        return self.declared.range

    def wrong(self, text: str) -> None:
        """Note what is wrong with the block."""
        self.found.append(error("Invalid encryption settings", f"{self.declared.address}: {text}", self.range))

    def get(self, name: str, type: Type) -> Any:
        """The value without marks; None when it is not given, or wrong."""
        located = self.declared.arguments.get(name)
        if located is None:
            return None
        compiled = compile_expression(located.expression, located.source)
        scope = self._scope.captured()
        value: Value = compiled.evaluate(scope)
        problems = [replace(d, range=self.range) for d in scope.diagnostics]
        self.found += problems
        if has_errors(problems):
            return None
        try:
            value = unmark_deep(convert(value, type))[0]
        except ConversionError as failure:
            self.wrong(f"the argument {name} is not suitable: {failure}.")
            return None
        if _has_unknown(value):
            names = sorted({f"{t.root}.{t.steps[0]}" for t in compiled.references if t.steps and t.root == "var"})
            on = f" It depends on {', '.join(names)}: give a value" if names else " Give a value to what it depends on"
            first = names[0].removeprefix("var.") if names else "name"
            text = (
                f"The argument {name} of {self.declared.address} has no value here, and without it nothing encrypted "
                f"can be read or written.{on} as HYTHE_VAR_{first} in the environment or in hythe.hclvars."
            )
            self.found.append(error("Encryption key not known", text, self.range))
            return None
        return None if is_null(value) else value

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number within bounds."""
        value = self.get(name, NUMBER)
        if value is None:
            return default
        if isinstance(value, Decimal) or not low <= value <= high:
            self.wrong(f"{name} must be a whole number between {low:,} and {high:,}.")
            return default
        return int(value)

    def one_of(self, name: str, default: Made, allowed: tuple[Made, ...]) -> Made:
        """One of some values."""
        value = self.get(name, NUMBER if isinstance(default, int) else STRING)
        if value is None or value in allowed:
            return default if value is None else value
        self.wrong(f"{name} must be one of {', '.join(map(str, allowed))}.")
        return default


def _has_unknown(value: Value) -> bool:
    return any(map(_has_unknown, value)) if isinstance(value, list) else isinstance(value, Unknown)


def _passphrase(given: _Arguments) -> KeySource | None:
    from hythe.state.encryption import keys

    before = len(given.found)
    passphrase = given.get("passphrase", STRING)
    if passphrase is not None:
        remember_secrets([passphrase])
        if len(passphrase) < keys.MIN_PASSPHRASE:
            given.wrong(f"the passphrase must have at least {keys.MIN_PASSPHRASE} characters. Take a long one.")
    elif len(given.found) == before:
        given.wrong("the passphrase is null.")
    default = keys.Derivation()
    derivation = keys.Derivation(
        given.one_of("key_length", default.key_length, keys.KEY_LENGTHS),
        given.whole("iterations", default.iterations, keys.MIN_ITERATIONS, keys.MAX_ITERATIONS),
        given.whole("salt_length", default.salt_length, 1, keys.MAX_SALT_LENGTH),
        given.one_of("hash_function", default.hash_function, keys.HASHES),
    )
    if len(given.found) > before:
        return None
    return keys.PassphraseSource(given.declared.address, passphrase, derivation)


def _file(given: _Arguments) -> KeySource | None:
    from hythe.cli.key_providers import read_key_file
    from hythe.state.encryption.keys import FixedSource

    path = given.get("path", STRING)
    if path is None:
        return None
    cli, place = given.cli, given.range
    return FixedSource(given.declared.address, "file", lambda: read_key_file(cli, path, place))


def _external(given: _Arguments) -> KeySource | None:
    from hythe.cli.key_providers import ask_program
    from hythe.state.encryption.keys import ProgramSource

    before = len(given.found)
    command = given.get("command", list_of(STRING))
    if not command and len(given.found) == before:
        given.wrong('command must name a program and its arguments, like ["/usr/local/bin/key", "--of", "shop"].')
    if not command:
        return None
    cli, place = given.cli, given.range
    return ProgramSource(given.declared.address, lambda stored: ask_program(cli, list(command), stored, place))


_SOURCES: Mapping[str, Callable[[_Arguments], KeySource | None]] = {
    "external": _external,
    "file": _file,
    "pbkdf2": _passphrase,
}
