"""The ``host`` argument, which every kind that lives on an engine has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from hythe.provider.schema import Effect, Ref, attr

if TYPE_CHECKING:
    HostReference: TypeAlias = Any
else:
    HostReference = Ref("host", "vm")
"""Field type: the machine that an object is on."""


def host_argument() -> Any:
    """The declaration of ``host``."""
    return attr(
        description="The machine it is made on: host.NAME. By default the one Hythe runs on.", effect=Effect.REPLACE
    )
