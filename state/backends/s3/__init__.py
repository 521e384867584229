"""State in a bucket of an S3-compatible server: snapshots, journal and lock as objects, written conditionally.

Nothing of botocore or pydantic is loaded before it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hythe.state.backends.s3.backend import open_storage
    from hythe.state.backends.s3.settings import Settings, place

__all__ = ["Settings", "open_storage", "place"]


def __getattr__(name: str) -> Any:
    if name in ("Settings", "place"):
        from hythe.state.backends.s3 import settings

        return getattr(settings, name)
    if name == "open_storage":
        from hythe.state.backends.s3.backend import open_storage

        return open_storage
    raise AttributeError(name)
