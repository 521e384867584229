"""The ``encryption`` block of the settings as declared: where keys come from, methods, and what they are for.

It stands in the configuration, in an environment variable, or in both, where the environment's wins as in OpenTofu.
Nothing is evaluated here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hythe.diagnostic import Diagnostic, Range, did_you_mean, error
from hythe.modules.blocks import check_shape, flag, header, located, static_text, traversal_path
from hythe.modules.config import Config, Located, SettingsBlock
from hythe.modules.language.references import references
from hythe.modules.syntax.tree import Block, Body, TemplateWrap

ENVIRONMENT = "HYTHE_ENCRYPTION"
"""The environment variable that holds the inside of an encryption block."""

KEY_PROVIDERS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "external": (("command",), ()),
    "file": (("path",), ()),
    "pbkdf2": (("passphrase",), ("key_length", "iterations", "salt_length", "hash_function")),
}
"""Arguments that a key provider needs, and those that it may have."""

METHODS: Mapping[str, tuple[str, ...]] = {"aes_gcm": ("keys",), "unencrypted": ()}
"""Arguments that a method needs."""

_REFERENCE = re.compile(r"\w[\w-]*(\.\w[\w-]*){2}")


@dataclass(frozen=True, slots=True)
class Declared:
    """A ``key_provider`` or ``method`` block. ``range`` is its header's: arguments may spell secrets out."""

    block: str
    type: str
    name: str
    arguments: Mapping[str, Located]
    range: Range

    @property
    def address(self) -> str:
        """``key_provider.pbkdf2.main``."""
        return f"{self.block}.{self.type}.{self.name}"


@dataclass(frozen=True, slots=True)
class Purpose:
    """A ``state``, ``plan`` or ``fallback`` block."""

    method: Located | None
    enforced: bool
    fallback: Purpose | None
    range: Range


@dataclass(frozen=True, slots=True)
class EncryptionSettings:
    """The whole block. ``methods`` and ``providers`` are by address, ``purposes`` by what they are for."""

    providers: Mapping[str, Declared] = field(default_factory=dict)
    methods: Mapping[str, Declared] = field(default_factory=dict)
    purposes: Mapping[str, Purpose] = field(default_factory=dict)

    def chain(self, purpose: str) -> list[Declared]:
        """The methods for a purpose: the one that writes, then the fallbacks. Only of settings without errors."""
        found = []
        at = self.purposes.get(purpose)
        while at is not None:
            address = _reference(at.method)
            assert address is not None
            found.append(self.methods[address])
            at = at.fallback
        return found

    def provider_of(self, method: Declared) -> Declared | None:
        """Where a method's key comes from; None for one without."""
        address = _reference(method.arguments.get("keys"))
        return self.providers[address] if address is not None else None


def read_settings(block: SettingsBlock | None, environment: str) -> tuple[EncryptionSettings | None, list[Diagnostic]]:
    """The settings of a configuration's block and the environment variable's text; None when there are none at all."""
    found: list[Diagnostic] = []
    settings = _read(block.body, found) if block is not None else None
    if environment.strip():
        over = _read(_environment_body(environment, found), found)
        settings = over if settings is None else _merged(settings, over)
    if settings is not None:
        _check(settings, found)
    return settings, found


def withheld(config: Config, environment: str) -> frozenset[str]:
    """The variables that encryption settings are made of, directly or by locals: no plan may carry them."""
    settings, _ = read_settings(config.settings.encryption, environment)
    names: set[str] = set()
    seen: set[str] = set()
    pending = list(_expressions(settings)) if settings is not None else []
    while pending:
        at = pending.pop()
        for name, steps, _ in references(at.expression, at.source):
            first = str(steps[0]) if steps and steps[0] is not None else None
            if name == "var":
                names |= set(config.module.variables) if first is None else {first}
            elif name == "local":
                for local in config.module.locals if first is None else (first,):
                    if local not in seen and local in config.module.locals:
                        seen.add(local)
                        pending.append(config.module.locals[local])
    return frozenset(names)


def _expressions(settings: EncryptionSettings) -> Iterator[Located]:
    for declared in settings.providers.values():
        yield from declared.arguments.values()


# -- reading ----------------------------------------------------------------------------------------


def _environment_body(text: str, found: list[Diagnostic]) -> Body:
    from hythe.modules import syntax

    if not text.lstrip().startswith("{"):
        body, problems = syntax.parse(text, ENVIRONMENT)
    else:
        body, problems = syntax.parse_json(f'{{"hythe":{{"encryption":{text}}}}}', ENVIRONMENT)
        for name in ("hythe", "encryption"):
            body = next((b.body for b in body.blocks if b.type == name), body)
    found += problems
    return body


def _read(body: Body, found: list[Diagnostic]) -> EncryptionSettings:
    check_shape(body, "The encryption block", (), ("key_provider", "method", "state", "plan"), found)
    declared: dict[str, dict[str, Declared]] = {"key_provider": {}, "method": {}}
    purposes: dict[str, Purpose] = {}
    for block in body.blocks:
        place = header(body, block)
        if block.type in ("state", "plan"):
            if block.labels:
                found.append(error("Invalid block labels", f"A block {block.type} has no labels.", place))
            elif block.type in purposes:
                text = f"There is a block {block.type} at {purposes[block.type].range} already."
                found.append(error(f"Duplicate block {block.type}", text, place))
            else:
                purposes[block.type] = _purpose(body, block, found)
        elif block.type in declared:
            made = _declared(body, block, found)
            if made is None:
                continue
            before = declared[block.type].get(made.address)
            if before is not None:
                text = f"{made.address} is declared at {before.range} already. Give one of them another name."
                found.append(error(f"Duplicate block {block.type}", text, place))
                continue
            declared[block.type][made.address] = made
    return EncryptionSettings(declared["key_provider"], declared["method"], purposes)


def _declared(body: Body, block: Block, found: list[Diagnostic]) -> Declared | None:
    place = header(body, block)
    if len(block.labels) != 2:
        text = f"A block {block.type} has two labels, its type and its name."
        found.append(error("Invalid block labels", text, place))
        return None
    kind, name = (label.text for label in block.labels)
    known = KEY_PROVIDERS if block.type == "key_provider" else METHODS
    if kind not in known:
        there = ", ".join(known)
        hint = did_you_mean(kind, known) or f" There are: {there}."
        what = "key provider" if block.type == "key_provider" else "encryption method"
        found.append(error(f"Unsupported {what}", f'There is no {what} "{kind}".{hint}', place))
        return None
    arguments = {n: located(block.body, n) for n in block.body.attributes}
    made = Declared(block.type, kind, name, {n: at for n, at in arguments.items() if at is not None}, place)
    names = METHODS[kind] if block.type == "method" else (*KEY_PROVIDERS[kind][0], *KEY_PROVIDERS[kind][1])
    check_shape(block.body, f'The {block.type} "{kind}"', names, (), found)
    return made


def _purpose(body: Body, block: Block, found: list[Diagnostic]) -> Purpose:
    inner = block.body
    arguments = ("method",) if block.type == "fallback" else ("method", "enforced")
    check_shape(inner, f"A block {block.type}", arguments, ("fallback",), found)
    fallbacks = [b for b in inner.blocks if b.type == "fallback"]
    for extra in fallbacks[1:]:
        text = "A further fallback stands inside of the one before, and there can be one here only."
        found.append(error("Duplicate block fallback", text, header(inner, extra)))
    fallback = _purpose(inner, fallbacks[0], found) if fallbacks else None
    return Purpose(located(inner, "method"), flag(inner, "enforced", found), fallback, header(body, block))


def _merged(base: EncryptionSettings, over: EncryptionSettings) -> EncryptionSettings:
    purposes = dict(base.purposes)
    for name, purpose in over.purposes.items():
        before = purposes.get(name)
        purposes[name] = (
            purpose
            if before is None
            else Purpose(
                purpose.method or before.method,
                purpose.enforced or before.enforced,
                purpose.fallback or before.fallback,
                purpose.range,
            )
        )
    return EncryptionSettings(_over(base.providers, over.providers), _over(base.methods, over.methods), purposes)


def _over(base: Mapping[str, Declared], over: Mapping[str, Declared]) -> dict[str, Declared]:
    out = dict(base)
    for address, declared in over.items():
        before = out.get(address)
        arguments = {**before.arguments, **declared.arguments} if before is not None else declared.arguments
        out[address] = Declared(declared.block, declared.type, declared.name, arguments, declared.range)
    return out


# -- checks -----------------------------------------------------------------------------------------


def _check(settings: EncryptionSettings, found: list[Diagnostic]) -> None:
    """What only the whole can tell: missing arguments, and references to what is not there."""
    for declared in (*settings.providers.values(), *settings.methods.values()):
        needed = METHODS[declared.type] if declared.block == "method" else KEY_PROVIDERS[declared.type][0]
        for name in needed:
            if name not in declared.arguments:
                text = f'The {declared.block} "{declared.type}" needs the argument "{name}".'
                found.append(error("Missing required argument", text, declared.range))
    for method in settings.methods.values():
        if "keys" in method.arguments:
            _refer(method.arguments["keys"], "keys", "key_provider.pbkdf2.main", settings.providers, found)
    for name, purpose in settings.purposes.items():
        at: Purpose | None = purpose
        while at is not None:
            _check_purpose(settings, name, purpose, at, found)
            at = at.fallback


def _check_purpose(
    settings: EncryptionSettings, name: str, purpose: Purpose, at: Purpose, found: list[Diagnostic]
) -> None:
    if at.method is None:
        if purpose.enforced and at is purpose:
            text = (
                f"The encryption settings say that the {name} must be encrypted, and name no method for it. Add the "
                f"argument method here, or what is missing in the environment variable {ENVIRONMENT}."
            )
            found.append(error("Encryption enforced", text, at.range))
        else:
            text = 'The block needs the argument "method".'
            found.append(error("Missing required argument", text, at.range))
        return
    address = _refer(at.method, "method", "method.aes_gcm.main", settings.methods, found)
    if address is not None and purpose.enforced and settings.methods[address].type == "unencrypted":
        text = (
            f"{address} does not encrypt, and enforced = true forbids that for the {name}, in its fallbacks too. Take "
            "enforced away until everything is encrypted."
        )
        found.append(error("Encryption enforced", text, at.range))


def _refer(
    at: Located, argument: str, example: str, known: Mapping[str, Declared], found: list[Diagnostic]
) -> str | None:
    address = _reference(at)
    if address is None:
        text = f'The argument "{argument}" names a block of the encryption settings, like {example}.'
        found.append(error("Invalid reference", text, at.range))
    elif address not in known:
        hint = did_you_mean(address, known)
        text = f"{address} is not declared in the encryption settings.{hint}"
        found.append(error("Reference to undeclared block", text, at.range))
        return None
    return address


def _reference(at: Located | None) -> str | None:
    """The block that an argument names: ``method.aes_gcm.main``."""
    if at is None:
        return None
    expression = at.expression
    if isinstance(expression, TemplateWrap):
        expression = expression.wrapped
    written = static_text(expression)
    if written is None:
        path = traversal_path(expression)
        written = ".".join(map(str, path)) if path is not None else None
    return written if written is not None and _REFERENCE.fullmatch(written) else None
