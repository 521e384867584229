"""Keys from files and from programs."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
from typing import Any

import orjson

from hythe.cli.context import Cli
from hythe.cli.logs_setup import masked, remember_secrets
from hythe.diagnostic import DiagnosticError, Range, error, warning
from hythe.state.encryption.keys import KEY_LENGTHS, Answer, KeyRefused, parse_key

_PATIENCE = 60.0
"""How long a program may take, in seconds."""
_MAGIC = "OpenTofu-External-Key-Provider"
_LARGEST = 1 << 20


def read_key_file(cli: Cli, path: str, place: Range) -> bytes:
    """The key in a file, whose path is relative to the configuration. Raises DiagnosticError."""
    full = os.path.join(cli.root, os.path.expanduser(path))
    try:
        with open(full, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_LARGEST)
    except OSError as failure:
        text = f"The key file {path} cannot be read: {failure.strerror}. Nothing encrypted can be read without it."
        raise DiagnosticError(error("Key file not readable", text, place)) from None
    if stat.S_ISREG(mode) and mode & 0o077:
        text = (
            f"Others than its owner may read {path} (mode {stat.S_IMODE(mode):04o}). Make it private: chmod 600 {path}"
        )
        cli.report([warning("Key file not private", f"{text}.", place)])
    try:
        return parse_key(data)
    except KeyRefused as failure:
        text = f"{path} holds no key: {failure}. `openssl rand -base64 32` makes one."
        raise DiagnosticError(error("Invalid key file", text, place)) from None


def ask_program(cli: Cli, command: list[str], stored: Any, place: Range) -> Answer:
    """The key that a program gives, by OpenTofu's protocol or as text alone. Raises DiagnosticError.

    On its standard input is ``null`` for a new key, else what it asked to store: ``{"external_data": ...}``.
    """
    given = orjson.dumps(None if stored is None else {"external_data": stored})
    try:
        done = subprocess.run(command, input=given, capture_output=True, cwd=cli.root, timeout=_PATIENCE, check=False)
    except OSError as failure:
        raise _failed(command, f"it cannot be run: {failure.strerror}", place) from None
    except subprocess.TimeoutExpired:
        raise _failed(command, f"it did not end within {_PATIENCE:.0f} seconds", place) from None
    if done.returncode != 0:
        said = masked(done.stderr.decode(errors="replace")).strip()[-500:]
        raise _failed(command, f"it ended with exit code {done.returncode}" + (f" ({said})" if said else ""), place)
    try:
        return _answer(done.stdout, stored)
    except KeyRefused as failure:
        raise _failed(command, f"what it printed is of no use: {failure}", place) from None


def _answer(output: bytes, stored: Any) -> Answer:
    first, _, rest = output.partition(b"\n")
    if not first.lstrip().startswith(b"{"):
        return Answer(_kept(parse_key(output)))
    try:
        head, body = orjson.loads(first), orjson.loads(rest or b"null")
        magic, version = head["magic"], head["version"]
    except (ValueError, KeyError, TypeError):
        raise KeyRefused("it is not two JSON objects, the first with magic and version") from None
    if (magic, version) != (_MAGIC, 1):
        raise KeyRefused(f"its first line must say magic {_MAGIC} and version 1")
    try:
        keys, meta = body["keys"], body.get("meta") or {}
        encryption = _key(keys["encryption_key"], "encryption_key")
        given = keys.get("decryption_key")
        decryption = _key(given, "decryption_key") if given else None
        kept = meta.get("external_data")
    except (KeyError, TypeError, AttributeError):
        raise KeyRefused('there is no {"keys": {"encryption_key": ...}, "meta": {...}} after the first line') from None
    if stored is not None and decryption is None:
        raise KeyRefused("it was given what it had stored, and gave no decryption_key for it")
    return Answer(encryption, kept, decryption)


def _key(text: Any, name: str) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except (ValueError, TypeError):
        raise KeyRefused(f"{name} is not base64") from None
    if len(found) not in KEY_LENGTHS:
        raise KeyRefused(f"{name} has {len(found)} bytes, and a key has 16, 24 or 32")
    return _kept(found)


def _kept(key: bytes) -> bytes:
    remember_secrets([base64.b64encode(key).decode(), key.hex()])
    return key


def _failed(command: list[str], what: str, place: Range) -> DiagnosticError:
    text = f"The program {command[0]}, which gives the encryption key, failed: {what}. Nothing was read or written."
    return DiagnosticError(error("Key program failed", text, place))
