"""Hashes, identifiers and decryption."""

from __future__ import annotations

import base64
import binascii
import hashlib
import uuid
from decimal import Decimal

from hythe.modules.language.functions import text
from hythe.modules.language.functions.arguments import whole
from hythe.modules.language.functions.registry import Environment, FunctionError, Param, function
from hythe.value import NUMBER, STRING, Unknown, Value

_STR = Param("str", STRING)

MAX_COST = 18
"""Cost of bcrypt beyond which one hash takes minutes."""

_BCRYPT_ALPHABET = str.maketrans(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
)

_NAMESPACES = {
    "dns": uuid.NAMESPACE_DNS,
    "url": uuid.NAMESPACE_URL,
    "oid": uuid.NAMESPACE_OID,
    "x500": uuid.NAMESPACE_X500,
}


def _declare_hash(algorithm: str) -> None:
    @function(
        algorithm,
        [_STR],
        returns=STRING,
        description=f"The {algorithm.upper()} hash of the string's UTF-8 bytes, in hexadecimal.",
        examples=[f'{algorithm}("hello") == "{hashlib.new(algorithm, b"hello", usedforsecurity=False).hexdigest()}"'],
    )
    def hexadecimal(value: str) -> Value:
        return hashlib.new(algorithm, value.encode(), usedforsecurity=False).hexdigest()


for _algorithm in ("md5", "sha1", "sha256", "sha512"):
    _declare_hash(_algorithm)


@function(
    "base64sha256",
    [_STR],
    returns=STRING,
    description="The SHA256 hash of the string, in Base64.",
    examples=['base64sha256("hello") == "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="'],
)
def base64sha256(value: str) -> Value:
    return base64.b64encode(hashlib.sha256(value.encode()).digest()).decode()


@function(
    "base64sha512",
    [_STR],
    returns=STRING,
    description="The SHA512 hash of the string, in Base64.",
    examples=['base64sha512("hello") == base64sha512(base64decode("aGVsbG8="))'],
)
def base64sha512(value: str) -> Value:
    return base64.b64encode(hashlib.sha512(value.encode()).digest()).decode()


@function(
    "bcrypt",
    [_STR],
    variadic=Param("cost", NUMBER),
    returns=STRING,
    description="A hash for passwords, another one at each call; the cost is 10 unless given.",
    examples=['startswith(bcrypt("hello", 4), "$2a$04$")'],
)
def bcrypt_(value: str, *cost: int | Decimal, env: Environment) -> Value:
    if len(cost) > 1:
        raise FunctionError("bcrypt() takes no more than two arguments", 2)
    rounds = whole(cost[0], 1) if cost else 10
    if not 4 <= rounds <= MAX_COST:
        raise FunctionError(f"the cost must be between 4 and {MAX_COST}", 1)
    secret = value.encode()
    if len(secret) > 72:
        raise FunctionError("the string must not be longer than 72 bytes", 0)
    if env.unknown_impure:
        return Unknown(STRING)
    import bcrypt

    salt = base64.b64encode(env.random.bytes(16)).decode()[:22].translate(_BCRYPT_ALPHABET)
    return bcrypt.hashpw(secret, f"$2a${rounds:02d}${salt}".encode()).decode()


@function(
    "uuid",
    [],
    returns=STRING,
    description="A random UUID, another one at each call.",
    examples=["length(uuid()) == 36"],
)
def uuid_(*, env: Environment) -> Value:
    return Unknown(STRING) if env.unknown_impure else str(uuid.UUID(bytes=env.random.bytes(16), version=4))


@function(
    "uuidv5",
    [Param("namespace", STRING), Param("name", STRING)],
    returns=STRING,
    description="The UUID of a name in a namespace: dns, url, oid, x500 or a UUID.",
    examples=['uuidv5("dns", "tada") == "faa898db-9b9d-5b75-86a9-149e7bb8e3b8"'],
)
def uuidv5(namespace: str, name: str) -> Value:
    known = _NAMESPACES.get(namespace)
    if known is None:
        try:
            known = uuid.UUID(namespace)
        except ValueError:
            raise FunctionError("uuidv5() doesn't support namespace {}", 0, shown=(namespace,)) from None
    return str(uuid.uuid5(known, name))


@function(
    "rsadecrypt",
    [Param("ciphertext", STRING), Param("privatekey", STRING)],
    returns=STRING,
    description="Decrypts a Base64 ciphertext with an RSA private key in PEM form (PKCS #1 v1.5).",
    examples=['rsadecrypt(filebase64("secret.bin"), file("key.pem")) == "hello"'],
)
def rsadecrypt(ciphertext: str, private_key: str) -> Value:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    try:
        encrypted = base64.b64decode(ciphertext, validate=True)
    except (binascii.Error, ValueError):
        raise FunctionError("the ciphertext is not valid Base64", 0) from None
    pem = private_key.encode()
    load = load_ssh_private_key if b"OPENSSH PRIVATE KEY" in pem else load_pem_private_key
    try:
        key = load(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise FunctionError("the private key is not an unencrypted RSA key in PEM form", 1) from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise FunctionError("the private key is not an RSA key", 1)
    try:
        plain = key.decrypt(encrypted, padding.PKCS1v15())
    except ValueError:
        raise FunctionError("failed to decrypt: the key does not fit the ciphertext", 0) from None
    return text.decoded(plain, FunctionError("the decrypted content is no UTF-8 text", 0))
