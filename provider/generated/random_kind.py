"""The ``random`` kind: passwords, ids and names, made once and kept in the state."""

from __future__ import annotations

import random
import secrets
import string
import uuid
from base64 import standard_b64encode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from pydantic import model_validator

from hythe.diagnostic import error
from hythe.provider.generated.random_taken import fits, taken
from hythe.provider.generated.words import ADJECTIVES, ADVERBS, NAMES
from hythe.provider.protocol import (
    Attributes,
    Context,
    Found,
    Kind,
    Observed,
    Owned,
    ProviderError,
    ReadContext,
    ReadRequest,
)
from hythe.provider.schema import Model, attr

SPECIAL = "!@#$%&*()-_=+[]{}<>:?"
_CLASSES = ("lower", "upper", "numeric", "special")
_MOST = 100_000
_BCRYPT_BYTES = 72
"""bcrypt reads no more of a password (https://en.wikipedia.org/wiki/Bcrypt#Maximum_password_length)."""
SECRET = ("password",)
_OF_TEXT = ("password", "string")
_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(_OF_TEXT, ("length", *_CLASSES, *(f"min_{name}" for name in _CLASSES), "override_special")),
    "id": ("byte_length", "prefix"),
    "integer": ("min", "max", "seed"),
    "pet": ("length", "prefix", "separator"),
    "shuffle": ("input", "result_count", "seed"),
    "uuid": (),
}
"""Which arguments belong to which type, besides ``type`` and ``keepers``."""
_NEEDED = {"password": ("length",), "string": ("length",), "id": ("byte_length",), "integer": ("min", "max")}
_NEEDED["shuffle"] = ("input",)


def _minimum(letters: str) -> Any:
    return attr(description=f"At least so many {letters}. For passwords and strings.", ge=0, le=_MOST)


class RandomValue(Model):
    """A random value."""

    type: Literal["password", "string", "id", "integer", "pet", "shuffle", "uuid"] = attr(
        ..., description="What is made: password, string, id, integer, pet (a name of words), shuffle, uuid."
    )
    length: int | None = attr(
        description="Characters of a password or string; words of a pet name, by default 2.", ge=1, le=_MOST
    )
    lower: bool | None = attr(description="Whether there are small letters. By default true.")
    upper: bool | None = attr(description="Whether there are capital letters. By default true.")
    numeric: bool | None = attr(description="Whether there are digits. By default true.")
    special: bool | None = attr(description=f"Whether there are other characters ({SPECIAL}). By default true.")
    min_lower: int | None = _minimum("small letters")
    min_upper: int | None = _minimum("capital letters")
    min_numeric: int | None = _minimum("digits")
    min_special: int | None = _minimum("other characters")
    override_special: str | None = attr(description="The other characters, in place of the usual ones.", min_length=1)
    byte_length: int | None = attr(description="Random bytes of an id.", ge=1, le=_MOST)
    prefix: str | None = attr(description="What an id or a pet name begins with.")
    separator: str | None = attr(description='Between the words of a pet name. By default "-".')
    min: int | None = attr(description="The smallest integer there can be.")
    max: int | None = attr(description="The largest integer there can be.")
    input: list[str] | None = attr(description="What is shuffled.")
    result_count: int | None = attr(
        description="How many of the input; more than it has repeats them. By default all.",
        ge=0,
        le=_MOST,
    )
    seed: str | None = attr(description="Makes an integer or a shuffle the same for the same seed.")
    result: Any = attr(description="The value. Sensitive where it is a password.", computed=True, secret_types=SECRET)
    password: str | None = attr(description="The password.", computed=True, sensitive=True, types=SECRET)
    bcrypt_hash: str | None = attr(
        description="The password's bcrypt hash.", computed=True, sensitive=True, types=SECRET
    )
    hex: str | None = attr(description="The id in hexadecimal digits.", computed=True, types=("id",))
    dec: str | None = attr(description="The id as a decimal number.", computed=True, types=("id",))
    b64_std: str | None = attr(description="The id in base64.", computed=True, types=("id",))
    b64_url: str | None = attr(
        description="The id in base64 for URLs, without padding; `result`, too.", computed=True, types=("id",)
    )

    @model_validator(mode="after")
    def _fits(self) -> RandomValue:
        for name in _NEEDED.get(self.type, ()):
            if getattr(self, name) is None:
                raise ValueError(f'a random value of type "{self.type}" needs `{name}`')
        foreign = {name for names in _ARGUMENTS.values() for name in names} - set(_ARGUMENTS[self.type])
        for name in sorted(foreign):
            if getattr(self, name) is not None:
                fits = " or ".join(kind for kind, names in _ARGUMENTS.items() if name in names)
                raise ValueError(f'`{name}` is for type {fits}, and this is of type "{self.type}"')
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"`min` ({self.min}) is larger than `max` ({self.max})")
        if self.type in _OF_TEXT:
            self._check_text()
        if self.type == "shuffle" and not self.input and self.result_count:
            raise ValueError("there is nothing in `input` to take from")
        return self

    def _check_text(self) -> None:
        if all(getattr(self, name) is False for name in _CLASSES):
            raise ValueError("one of `lower`, `upper`, `numeric` and `special` has to be true")
        for name in _CLASSES:
            if getattr(self, name) is False and getattr(self, f"min_{name}"):
                raise ValueError(f"`min_{name}` asks for what `{name} = false` rules out")
        least = sum(getattr(self, f"min_{name}") or 0 for name in _CLASSES)
        if self.length is not None and least > self.length:
            raise ValueError(f"the least numbers of characters add up to {least}, more than `length` ({self.length})")


class RandomModel(RandomValue):
    """A random value that is kept."""

    keepers: dict[str, str] | None = attr(description="Any values; when one changes, another value is made.")


class Random(Kind):
    """A random value that is made once and then kept: a password, an id, a number, a name, an order.

    It stays the same until an argument or one of the ``keepers`` changes. Passwords and ids come from the system's
    source of randomness for cryptography. Passwords are sensitive; they are in the state, so keep that to yourself.
    An ``ephemeral`` block makes one that is not kept.
    """

    name = "random"
    rebuild_note = (
        "It was in the state alone, so another value is made, and what uses it changes. Take the value that is in "
        "use in with `hythe import` first, where somebody knows it."
    )
    version = 2
    model = RandomModel
    ephemeral_model = RandomValue
    on_host = False
    unique_name = False
    observed = False
    concurrency = 1000

    def upgrade(self, attributes: Attributes, from_version: int) -> Attributes:
        """Version 1 had passwords in ``password`` alone."""
        if from_version < 2 and attributes.get("password") is not None:
            return {**attributes, "result": attributes["password"]}
        return attributes

    def fitted(self, seen: Attributes, wanted: Mapping[str, Any]) -> Attributes:
        """Any value that could have been made with the arguments was made with them."""
        if not fits(seen, wanted, _alphabets(wanted)):
            return seen
        schema = self.schema.attributes
        given = {n: v for n, v in wanted.items() if not schema[n].computed}
        return given | {n: v for n, v in seen.items() if schema[n].computed}

    def create(self, context: Context, desired: Attributes) -> Attributes:
        """Make the value."""
        return {**desired, **_MAKERS[desired["type"]](desired)}

    def update(self, context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
        """Nothing can change without another value."""
        return {**before, **desired}

    def delete(self, context: Context, before: Attributes) -> None:
        """Nothing to do: it goes with its record in the state."""

    def read_many(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Observed]:
        """What the state has is all there is."""
        return {request.id: dict(request.attributes) for request in requests}

    def open(self, context: ReadContext, desired: Attributes) -> Attributes:
        """A value made anew, which is not kept."""
        return {**desired, **_MAKERS[desired["type"]](desired)}

    def find(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Found]:
        """Nothing outlives a killed run: what was intended is done anew."""
        return {}

    def find_owned(self, context: ReadContext) -> list[Owned]:
        """Nothing is found on any host: values live in the state alone."""
        return []

    def import_object(self, context: Context, object_id: str) -> Attributes:
        """A value as ``TYPE/VALUE``, like ``password/hunter2`` or ``uuid/...``."""
        kind, slash, value = object_id.partition("/")
        found = taken(kind, value, _secret, _forms) if slash and value else None
        if found is None:
            raise ProviderError(
                error(
                    "Not a random value",
                    f'"{kind}" is not what a value to import begins with: write its type, a slash and the value, like '
                    "password/hunter2, string/abc, uuid/UUID, id/BASE64URL, id/PREFIX,BASE64URL, integer/5, pet/NAME "
                    'or shuffle/["b","a"].',
                )
            )
        return {"type": kind, **found}


# -- making ---------------------------------------------------------------------------------------


def _alphabets(desired: Mapping[str, Any]) -> dict[str, str]:
    return {
        "lower": string.ascii_lowercase,
        "upper": string.ascii_uppercase,
        "numeric": string.digits,
        "special": desired.get("override_special") or SPECIAL,
    }


def _text(desired: Attributes) -> str:
    alphabets = _alphabets(desired)
    used = {name: letters for name, letters in alphabets.items() if desired.get(name) is not False}
    out = [secrets.choice(letters) for name, letters in used.items() for _ in range(desired.get(f"min_{name}") or 0)]
    every = "".join(used.values())
    out += [secrets.choice(every) for _ in range(desired["length"] - len(out))]
    # those that there must be do not stand in front
    secrets.SystemRandom().shuffle(out)
    return "".join(out)


def _password(desired: Attributes) -> Attributes:
    return _secret(_text(desired))


def _secret(text: str) -> Attributes:
    import bcrypt

    hashed = bcrypt.hashpw(text.encode()[:_BCRYPT_BYTES], bcrypt.gensalt(10))
    return {"result": text, "password": text, "bcrypt_hash": hashed.decode()}


def _string(desired: Attributes) -> Attributes:
    return {"result": _text(desired)}


def _id(desired: Attributes) -> Attributes:
    return _forms(secrets.token_bytes(desired["byte_length"]), desired.get("prefix") or "")


def _forms(data: bytes, prefix: str) -> Attributes:
    url = prefix + urlsafe_b64encode(data).decode().rstrip("=")
    return {
        "result": url,
        "b64_url": url,
        "b64_std": prefix + standard_b64encode(data).decode(),
        "hex": prefix + data.hex(),
        "dec": prefix + str(int.from_bytes(data)),
    }


def _source(desired: Attributes) -> random.Random:
    seed = desired.get("seed")
    # a seed is given for what is not secret, and has to give the same again
    return random.Random(seed) if seed is not None else secrets.SystemRandom()  # noqa: S311


def _integer(desired: Attributes) -> Attributes:
    return {"result": _source(desired).randint(desired["min"], desired["max"])}


def _pet(desired: Attributes) -> Attributes:
    length = desired.get("length") or 2
    words = [secrets.choice(ADVERBS) for _ in range(length - 2)]
    words += [secrets.choice(ADJECTIVES)] if length > 1 else []
    prefix = [desired["prefix"]] if desired.get("prefix") else []
    separator = desired.get("separator")
    return {"result": ("-" if separator is None else separator).join([*prefix, *words, secrets.choice(NAMES)])}


def _shuffle(desired: Attributes) -> Attributes:
    given, count = list(desired["input"]), desired.get("result_count")
    source, out = _source(desired), list[str]()
    count = len(given) if count is None else count
    while len(out) < count:
        out += source.sample(given, len(given))
    return {"result": out[:count]}


def _uuid(desired: Attributes) -> Attributes:
    return {"result": str(uuid.uuid4())}


_MAKERS: Mapping[str, Callable[[Attributes], Attributes]] = {
    "password": _password,
    "string": _string,
    "id": _id,
    "integer": _integer,
    "pet": _pet,
    "shuffle": _shuffle,
    "uuid": _uuid,
}
