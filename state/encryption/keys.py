"""Keys: where they come from, and what must be stored to have the same one again. Pure but for what is injected.

A key is not used itself: each file has a random salt, and the keys that seal it are made of both.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

KEY_LENGTHS = (16, 24, 32)
"""Lengths of keys, in bytes."""

HASHES = ("sha256", "sha512")
MIN_ITERATIONS, MAX_ITERATIONS = 200_000, 20_000_000
"""Fewer make a passphrase easy to guess; more keep a command busy for minutes."""
MAX_SALT_LENGTH = 1024
MIN_PASSPHRASE = 16

Entropy = Callable[[int], bytes]
"""So many random bytes."""


class KeyRefused(ValueError):
    """What a file says of its key cannot be used; the message is a sentence part."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key, and the ``parameters`` that are stored with what it seals."""

    secret: bytes = field(repr=False)
    parameters: Mapping[str, Any] = field(default_factory=dict)


class KeySource(Protocol):
    """A key provider. Methods raise DiagnosticError for what the user must mend.

    ``name`` is the one in the configuration, ``provider`` its type.
    """

    name: str
    provider: str

    def writing(self) -> Key:
        """The key to seal with."""
        ...

    def reading(self, parameters: Mapping[str, Any]) -> Key:
        """The key that sealed what has these parameters. Raises :class:`KeyRefused`."""
        ...

    def confirm(self, key: Key) -> bool:
        """Take note that ``key`` opened something: it may seal again. False where another one should by now."""
        ...


@dataclass(frozen=True, slots=True)
class Derivation:
    """How a passphrase becomes a key: PBKDF2 with these settings, by default OpenTofu's."""

    key_length: int = 32
    iterations: int = 600_000
    salt_length: int = 32
    hash_function: str = "sha512"

    def parameters(self, salt: bytes) -> dict[str, Any]:
        """What is stored."""
        return {
            "salt": base64.b64encode(salt).decode(),
            "iterations": self.iterations,
            "hash_function": self.hash_function,
            "key_length": self.key_length,
        }


class PassphraseSource:
    """``key_provider "pbkdf2"``. A key is derived once for each salt."""

    provider = "pbkdf2"

    def __init__(
        self, name: str, passphrase: str, derivation: Derivation, *, entropy: Entropy = secrets.token_bytes
    ) -> None:
        self.name = name
        self._passphrase = passphrase.encode()
        self._derivation = derivation
        self._entropy = entropy
        self._known: dict[tuple[bytes, Derivation], Key] = {}
        self._current: Key | None = None

    def writing(self) -> Key:
        """The key that opened something before, or one with a new salt."""
        if self._current is None:
            self._current = self._derive(self._entropy(self._derivation.salt_length), self._derivation)
        return self._current

    def reading(self, parameters: Mapping[str, Any]) -> Key:
        """The key with a stored salt and stored settings, within bounds: a file may be anybody's."""
        try:
            salt = base64.b64decode(parameters["salt"], validate=True)
            settings = [parameters[n] for n in ("key_length", "iterations", "hash_function")]
        except (KeyError, TypeError, ValueError, binascii.Error):
            raise KeyRefused("its settings are not complete") from None
        key_length, iterations, hash_function = settings
        if type(key_length) is not int or key_length not in KEY_LENGTHS:
            raise KeyRefused("its key_length is none of 16, 24 and 32")
        if type(iterations) is not int or not MIN_ITERATIONS <= iterations <= MAX_ITERATIONS:
            raise KeyRefused(f"its iterations are not between {MIN_ITERATIONS:,} and {MAX_ITERATIONS:,}")
        if hash_function not in HASHES:
            raise KeyRefused("its hash_function is none of sha256 and sha512")
        if not 1 <= len(salt) <= MAX_SALT_LENGTH:
            raise KeyRefused(f"its salt has {len(salt):,} bytes")
        return self._derive(salt, Derivation(key_length, iterations, len(salt), hash_function))

    def confirm(self, key: Key) -> bool:
        """Go on with that salt, where the settings are still those of the configuration."""
        salt = base64.b64decode(key.parameters["salt"])
        if key.parameters != self._derivation.parameters(salt) or len(salt) != self._derivation.salt_length:
            return False
        self._current = self._current or key
        return True

    def _derive(self, salt: bytes, how: Derivation) -> Key:
        found = self._known.get((salt, how))
        if found is None:
            made = hashlib.pbkdf2_hmac(how.hash_function, self._passphrase, salt, how.iterations, how.key_length)
            found = self._known[salt, how] = Key(made, how.parameters(salt))
        return found


class FixedSource:
    """A key that is what it is: ``key_provider "file"``. ``load`` is called once, when the key is needed."""

    def __init__(self, name: str, provider: str, load: Callable[[], bytes]) -> None:
        self.name, self.provider = name, provider
        self._load = load
        self._key: Key | None = None

    def writing(self) -> Key:
        """The key."""
        if self._key is None:
            self._key = Key(self._load())
        return self._key

    def reading(self, parameters: Mapping[str, Any]) -> Key:
        """The key."""
        return self.writing()

    def confirm(self, key: Key) -> bool:
        """There is no other."""
        return True


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program says: the key to seal with and what to store with it; and the key that sealed before."""

    encryption: bytes = field(repr=False)
    stored: Any = None
    decryption: bytes | None = field(default=None, repr=False)


class ProgramSource:
    """``key_provider "external"``. ``run`` asks the program; its argument is what was stored, None for a new key."""

    provider = "external"

    def __init__(self, name: str, run: Callable[[Any], Answer]) -> None:
        self.name = name
        self._run = run
        self._answers: dict[bytes, Answer] = {}
        self._current: Key | None = None
        self._next: Key | None = None

    def writing(self) -> Key:
        """The key that the last answer gave, or a new one."""
        self._current = self._current or _sealing(self._ask(None))
        return self._current

    def reading(self, parameters: Mapping[str, Any]) -> Key:
        """The key for what was stored."""
        answer = self._ask(parameters.get("external_data"))
        self._next = _sealing(answer)
        return Key(answer.decryption or answer.encryption, parameters)

    def confirm(self, key: Key) -> bool:
        """Seal with what came in the same answer."""
        self._current = self._current or self._next
        return True

    def _ask(self, stored: Any) -> Answer:
        import orjson

        name = orjson.dumps(stored)
        if name not in self._answers:
            self._answers[name] = self._run(stored)
        return self._answers[name]


def _sealing(answer: Answer) -> Key:
    return Key(answer.encryption, {} if answer.stored is None else {"external_data": answer.stored})


def parse_key(data: bytes) -> bytes:
    """A key of 32 bytes as files and programs give it: the bytes themselves, or hexadecimal or base64 text.

    Raises :class:`KeyRefused`; the message tells nothing of the key.
    """
    if len(data) == 32:
        return data
    text = data.strip()
    for decode, length in ((bytes.fromhex, 64), (lambda t: base64.b64decode(t, validate=True), 44)):
        if len(text) == length:
            try:
                found = decode(text.decode("ascii"))
            except ValueError:
                continue
            if len(found) == 32:
                return found
    raise KeyRefused("it must be 32 bytes, as they are or written in hexadecimal or base64")
