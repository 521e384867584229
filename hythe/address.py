"""Addresses: how blocks and their instances are named everywhere.

``container.web`` is a block, ``container.web["a"]`` an instance of it, ``module.shop[0].vm.node`` a
block inside a module instance, ``data.image.base`` a data source, ``ephemeral.random.pin`` an ephemeral block.
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias

Key: TypeAlias = str | int | None
"""Instance key: a string under ``for_each``, a number under ``count``, None for a single instance."""

ModulePath: TypeAlias = tuple[tuple[str, Key], ...]
"""Module calls from the root down, each with its instance key; () is the root module."""


_PREFIXES = {"data": "data.", "ephemeral": "ephemeral."}
"""What addresses of blocks that are no managed resources begin with, by mode."""


class AddressError(ValueError):
    """The text is not an address."""


_SPECIAL = re.compile(r"[\\\"\n\r\t]|[$%]\{")


def format_key(key: Key) -> str:
    """The key as written in an address: ``["a"]``, ``[0]`` or ''."""
    if key is None:
        return ""
    if isinstance(key, int):
        return f"[{key}]"
    if not _SPECIAL.search(key):
        return f'["{key}"]'
    escaped = key.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    escaped = escaped.replace("\r", "\\r").replace("\t", "\\t").replace("${", "$${").replace("%{", "%%{")
    return f'["{escaped}"]'


def format_path(path: ModulePath) -> str:
    """``module.a["x"].module.b`` for a module path, '' for the root."""
    return ".".join(f"module.{name}{format_key(key)}" for name, key in path)


class BlockAddress(NamedTuple):
    """A resource, data or ephemeral block in a module instance. ``mode`` is ``managed``, ``data`` or ``ephemeral``."""

    module: ModulePath
    mode: str
    kind: str
    name: str

    def __str__(self) -> str:
        prefix = format_path(self.module) + "." if self.module else ""
        return f"{prefix}{_PREFIXES.get(self.mode, '')}{self.kind}.{self.name}"

    def instance(self, key: Key = None) -> Address:
        """The address of one instance of this block."""
        return Address(self.module, self.mode, self.kind, self.name, key)


class Address(NamedTuple):
    """One instance of a resource, data or ephemeral block."""

    module: ModulePath
    mode: str
    kind: str
    name: str
    key: Key

    def __str__(self) -> str:
        prefix = format_path(self.module) + "." if self.module else ""
        return f"{prefix}{_PREFIXES.get(self.mode, '')}{self.kind}.{self.name}{format_key(self.key)}"

    @property
    def block(self) -> BlockAddress:
        """The block this is an instance of."""
        return BlockAddress(self.module, self.mode, self.kind, self.name)


def _key_order(key: Key) -> tuple[int, int, str]:
    if key is None:
        return (0, 0, "")
    if isinstance(key, int):
        return (1, key, "")
    return (2, 0, key)


def sort_key(address: Address) -> tuple[object, ...]:
    """Natural order: module, kind, name, then numeric keys by value and string keys by text."""
    return (
        tuple((name, _key_order(key)) for name, key in address.module),
        address.mode,
        address.kind,
        address.name,
        _key_order(address.key),
    )


_NAME = r"[^\W\d][\w-]*"
_STEP = re.compile(rf'\.?(?P<name>{_NAME})(?P<key>\[(?:\d+|"(?:[^"\\]|\\.)*")\])?')
_PLAIN = re.compile(rf'({_NAME})\.({_NAME})(?:\[(?:(\d+)|"([^"\\${{%]*)")\])?')
"""An address in the root module whose key has nothing escaped: nearly all of them, so read at once."""
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}


def _parse_key(text: str | None) -> Key:
    if text is None:
        return None
    inner = text[1:-1]
    if inner[0] != '"':
        return int(inner)
    plain = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m.group(1), m.group(1)), inner[1:-1])
    return plain.replace("$${", "${").replace("%%{", "%{")


def _unquoted(text: str) -> str:
    """What to say of ``a.b[x]``, which is what a shell makes of ``a.b["x"]``."""
    mended, found = re.subn(r'\[([^\]"]*[^\]"\d][^\]"]*)\]', r'["\1"]', text)
    if not found:
        return ""
    return f": a key is in quotes, and the shell takes them away unless all of it is within single ones: '{mended}'"


def _parse_steps(text: str) -> list[tuple[str, Key]]:
    steps: list[tuple[str, Key]] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None or (text[at] == ".") != bool(steps):
            raise AddressError(f"{text!r} is not a resource address{_unquoted(text)}")
        steps.append((match["name"], _parse_key(match["key"])))
        at = match.end()
    return steps


def parse_target(text: str) -> ModulePath | Address:
    """Parse what ``--target`` takes: a module path, or a block or instance address.

    A block address comes back as an :class:`Address` with key None. Raises :class:`AddressError`.
    """
    plain = _PLAIN.fullmatch(text)
    if plain is not None and plain[1] not in ("module", "data"):
        key: Key = int(plain[3]) if plain[3] is not None else plain[4]
        return Address((), "managed", plain[1], plain[2], key)
    steps = _parse_steps(text.strip())
    path: list[tuple[str, Key]] = []
    while len(steps) >= 2 and steps[0] == ("module", None):
        path.append(steps[1])
        del steps[:2]
    if not steps and path:
        return tuple(path)
    mode = "managed"
    if len(steps) == 3 and steps[0][0] in _PREFIXES and steps[0][1] is None:
        mode = steps[0][0]
        del steps[0]
    if len(steps) != 2 or steps[0][1] is not None:
        raise AddressError(
            f"{text!r} is not a resource address: it must read like container.web, "
            'container.web["a"] or module.shop.container.web'
        )
    return Address(tuple(path), mode, steps[0][0], steps[1][0], steps[1][1])


def parse_address(text: str) -> Address:
    """Parse an instance address. Raises :class:`AddressError` with a sentence for the user."""
    target = parse_target(text)
    if not isinstance(target, Address):
        raise AddressError(f"{text!r} names a module; an address of a resource is needed")
    return target
