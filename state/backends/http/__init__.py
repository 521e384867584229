"""State on a server that speaks the protocol of OpenTofu's http backend.

The protocol reads and writes whole states, and locks without a lease: so the journal is a local file, and the state on
the server notes where it is while it is open (see :mod:`hythe.state.backends.http.note`).
"""

from __future__ import annotations

from hythe.state.backends.http.backend import HttpBackend
from hythe.state.backends.http.settings import Settings, place
from hythe.state.backends.http.storage import HttpStorage, open_storage

__all__ = ["HttpBackend", "HttpStorage", "Settings", "open_storage", "place"]
