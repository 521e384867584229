"""What a connection with TLS needs. Light: whoever only describes a connection imports no network code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files for TLS: the authority that signed the engine's certificate, and ours with its key."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    verify: bool = True
