"""What sealed data looks like. Pure.

One JSON document in one line::

    {"hythe_encrypted":1,"checksum":"sha256:...","size":N,"content":"state","lineage":...,"serial":...,
     "key":{"provider":"pbkdf2","salt":...,...},"salt":"...","check":"...","data":"..."}

The checksum covers the format version and what follows ``size``, which is N bytes: it tells damage from everything
else, and needs no key. ``salt`` is this document's own: the key that seals it, and the one that ``check`` is made
with, come of the configuration's key and this salt (HKDF-SHA256). ``check`` tells a wrong key. ``data`` is a nonce
and what AES-256-GCM makes of the content; all that stands before it in the document is authenticated with it.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from hythe.state.codec import SEALED
from hythe.state.encryption.keys import Entropy, Key

FORMAT_VERSION = 1
_HEAD = re.compile(rb'\{"hythe_encrypted":(\d{1,9}),"checksum":"sha256:([0-9a-f]{64})","size":(\d{1,15}),')
_DATA = b',"data":"'
_NONCE = 12


class BadSeal(ValueError):
    """Sealed data that cannot be opened.

    ``sort`` is newer, truncated, damaged or tampered; the message is a sentence part.
    """

    def __init__(self, sort: str, text: str) -> None:
        super().__init__(text)
        self.sort = sort


def is_sealed(data: bytes) -> bool:
    """Whether the data says of itself that it is sealed."""
    return data.startswith(SEALED)


class Seal:
    """The keys of one document."""

    __slots__ = ("_entropy", "_gcm", "check")

    def __init__(self, key: Key, salt: bytes, *, entropy: Entropy = secrets.token_bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        both = HKDF(SHA256(), 64, salt, b"hythe encryption 1").derive(key.secret)
        self._gcm = AESGCM(both[:32])
        self._entropy = entropy
        self.check = hmac.new(both[32:], b"hythe key check 1", "sha256").hexdigest()[:32]

    def close(self, plain: bytes, bound: bytes) -> bytes:
        """What is written of ``plain``, in base64; it opens only together with ``bound``."""
        nonce = self._entropy(_NONCE)
        return base64.b64encode(nonce + self._gcm.encrypt(nonce, plain, bound))

    def open(self, text: bytes, bound: bytes) -> bytes:
        """What :meth:`close` was given. Raises :class:`BadSeal` when either is not what it was."""
        from cryptography.exceptions import InvalidTag

        try:
            data = base64.b64decode(text, validate=True)
            # the last character has bits to spare
            if len(data) > _NONCE and base64.b64encode(data) == text:
                return self._gcm.decrypt(data[:_NONCE], data[_NONCE:], bound)
        except (ValueError, InvalidTag):
            pass
        raise BadSeal("tampered", "it is not what was sealed with this key")


@dataclass(frozen=True, slots=True)
class Document:
    """A sealed document as it stands in a file. ``about`` is what it says in clear."""

    about: Mapping[str, Any]
    bound: bytes
    data: bytes

    @property
    def content(self) -> str:
        """What it holds: ``state``, ``journal`` or ``plan``."""
        return str(self.about["content"])

    @property
    def key(self) -> Mapping[str, Any]:
        """What is needed to have its key, ``provider`` among it."""
        found = self.about["key"]
        assert isinstance(found, dict)
        return found

    def seal(self, key: Key) -> Seal | None:
        """Its keys; None when ``key`` is not the one that it was sealed with."""
        seal = Seal(key, base64.b64decode(self.about["salt"]))
        return seal if hmac.compare_digest(seal.check, self.about["check"]) else None

    def open(self, seal: Seal) -> bytes:
        """What was sealed. Raises :class:`BadSeal`."""
        return seal.open(self.data, self.bound)


def seal_document(
    plain: bytes,
    content: str,
    about: Sequence[tuple[str, Any]],
    key: Key,
    provider: str,
    *,
    entropy: Entropy = secrets.token_bytes,
) -> tuple[bytes, Seal]:
    """A sealed document, without an end of line, and the keys that were made for it."""
    salt = entropy(32)
    seal = Seal(key, salt, entropy=entropy)
    said = {
        "content": content,
        **dict(about),
        "key": {"provider": provider, **key.parameters},
        "salt": base64.b64encode(salt).decode(),
        "check": seal.check,
    }
    clear = orjson.dumps(said)[1:-1]
    rest = b"".join((clear, _DATA, seal.close(plain, _bound(FORMAT_VERSION, clear)), b'"}'))
    head = b'%s%d,"checksum":"sha256:%s","size":%d,' % (
        SEALED,
        FORMAT_VERSION,
        _checksum(FORMAT_VERSION, rest).encode(),
        len(rest),
    )
    return head + rest, seal


def read_document(data: bytes) -> Document:
    """The sealed document in ``data``. Raises :class:`BadSeal`."""
    data = data.removesuffix(b"\n")
    head = _HEAD.match(data)
    if head is None:
        sort = "truncated" if len(data) < 120 else "damaged"
        raise BadSeal(sort, "it ends in the middle" if sort == "truncated" else "its first bytes are damaged")
    version, size, rest = int(head[1]), int(head[3]), data[head.end() :]
    if len(rest) < size:
        raise BadSeal("truncated", f"it ends in the middle ({len(rest)} of {size} bytes are there)")
    if len(rest) != size or _checksum(version, rest) != head[2].decode():
        raise BadSeal("damaged", "its content does not match its checksum, so it was damaged or edited")
    if version > FORMAT_VERSION:
        text = f"it has encryption format {version}, and this Hythe reads up to format {FORMAT_VERSION}"
        raise BadSeal("newer", text)
    clear, mark, sealed = rest.rpartition(_DATA)
    try:
        about = orjson.loads(b"{" + clear + b"}")
        sound = mark and sealed.endswith(b'"}') and isinstance(about["key"]["provider"], str)
        sound = sound and len(base64.b64decode(about["salt"], validate=True)) == 32
        sound = sound and all(type(about[n]) is str and about[n].isascii() for n in ("content", "check"))
    except (ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise BadSeal("damaged", "what it says of itself makes no sense")
    return Document(about, _bound(version, clear), sealed[:-2])


def _bound(version: int, clear: bytes) -> bytes:
    return b"hythe_encrypted %d\n%s" % (version, clear)


def _checksum(version: int, rest: bytes) -> str:
    hashed = sha256(b"%d\n" % version)
    hashed.update(rest)
    return hashed.hexdigest()
