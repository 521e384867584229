"""What seals and opens one sort of thing: states with their journals, or plans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hythe.diagnostic import DiagnosticError, error
from hythe.state.encryption.keys import Key, KeyRefused, KeySource
from hythe.state.encryption.sealing import BadSeal, Document, Seal, read_document, seal_document

NOUNS = {"state": "state", "plan": "plan", "journal": "journal"}


@dataclass(frozen=True, slots=True)
class Method:
    """A way to seal; ``source`` is None for the method ``unencrypted``. ``name`` is the one in the configuration."""

    name: str
    source: KeySource | None


@dataclass(frozen=True, slots=True)
class Opened:
    """What was in a document. ``outdated``: it would be sealed in another way now."""

    plain: bytes
    seal: Seal
    key: Key
    provider: str
    outdated: bool


class Target:
    """The methods for one sort of thing: the first seals, all of them open.

    Methods raise DiagnosticError; ``where`` is what the user knows the data by.
    """

    def __init__(self, methods: Sequence[Method]) -> None:
        self.methods = tuple(methods)

    @property
    def seals(self) -> bool:
        """Whether what is written is sealed."""
        return self.methods[0].source is not None

    @property
    def takes_plain(self) -> bool:
        """Whether what is not sealed may be read: only where a method says so."""
        return any(m.source is None for m in self.methods)

    def prepare(self) -> None:
        """Have the key to seal with, so that no later step fails for want of it."""
        if self.methods[0].source is not None:
            self.methods[0].source.writing()

    def close(self, plain: bytes, content: str, about: Sequence[tuple[str, Any]] = ()) -> tuple[bytes, Seal]:
        """Seal with the first method, which must be one that seals."""
        source = self.methods[0].source
        assert source is not None
        return seal_document(plain, content, about, source.writing(), source.provider)

    def read(self, data: bytes, content: str, where: str) -> Document:
        """The sealed document in ``data``. Raises :class:`BadSeal` for what is damaged."""
        document = read_document(data)
        if document.content != content:
            known = NOUNS.get(document.content, "something else")
            text = f"{where} is an encrypted {known}, and an encrypted {content} is wanted here."
            raise DiagnosticError(error(f"Not a {content} file", text))
        return document

    def open(self, document: Document, where: str) -> Opened:
        """What was sealed, by whichever method fits. Raises :class:`BadSeal` for what was tampered with."""
        provider = document.key["provider"]
        stored = {k: v for k, v in document.key.items() if k != "provider"}
        refused: KeyRefused | None = None
        tried: list[str] = []
        for number, method in enumerate(self.methods):
            source = method.source
            if source is None or source.provider != provider:
                continue
            try:
                key = source.reading(stored)
            except KeyRefused as failure:
                refused = failure
                continue
            tried.append(source.name)
            seal = document.seal(key)
            if seal is not None:
                plain = document.open(seal)
                fresh = source.confirm(key)
                return Opened(plain, seal, key, provider, number > 0 or not fresh)
        raise DiagnosticError(self._no_key(where, provider, tried, refused))

    def refuse_plain(self, what: str, where: str) -> None:
        """Refuse what is not sealed, unless a method takes it."""
        if self.takes_plain:
            return
        text = (
            f"{where} is not encrypted, and the encryption settings ({self.methods[0].name}) take only what is: it "
            "could have been put there by anybody. If it is yours, declare "
            'method "unencrypted" "migrate" {}, name it in a fallback block while it is read once more, and take both '
            "away after the next apply."
        )
        raise DiagnosticError(error(f"{what} is not encrypted", text))

    def _no_key(self, where: str, provider: str, tried: list[str], refused: KeyRefused | None) -> Any:
        if refused is not None and not tried:
            text = (
                f"{where} asks for a key that is not made: {refused}. Hythe writes no such file; it was changed, or "
                "written by another version."
            )
            return error("Encryption key refused", text)
        if not tried:
            names = ", ".join(m.source.name for m in self.methods if m.source is not None) or "none"
            text = (
                f"{where} is encrypted with a key of a key_provider of type {provider}, and the encryption settings "
                f"have none of that type in use here (they use: {names}). Add the one that it was encrypted with, in a "
                "fallback block if it is not used any more."
            )
            return error("Encryption key missing", text)
        text = (
            f"{where} was encrypted with another key than that of {' or '.join(tried)}. Check the passphrase or key. "
            "If the key was changed, name the one before in a fallback block, so that it can still be read. Nothing "
            "was changed."
        )
        return error("Wrong encryption key", text)


def unreadable_plan(failure: BadSeal, where: str) -> DiagnosticError:
    """What a plan file that cannot be opened means for the user."""
    if failure.sort == "newer":
        text = f"{where} was written by a newer Hythe: {failure}. Use that version, or make a new plan."
        return DiagnosticError(error("Plan from a newer version", text))
    if failure.sort == "tampered":
        text = (
            f"{where} was encrypted with this key, but not as it is now: it was tampered with or damaged. Make a new "
            "plan."
        )
        return DiagnosticError(error("Encrypted plan tampered with", text))
    return DiagnosticError(error("Invalid plan file", f"{where} cannot be used: {failure}. Make a new plan."))
