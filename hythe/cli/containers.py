"""Finding the containers that addresses name, for ``logs`` and ``exec``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from hythe.address import Address, AddressError, format_path, parse_address, parse_target, sort_key
from hythe.cli.context import fail
from hythe.diagnostic import DiagnosticError, did_you_mean

if TYPE_CHECKING:
    from hythe.provider.hosts import Hosts
    from hythe.state.model import InstanceState, State


class Target(NamedTuple):
    """A container: its address, the engine it is on, and what that engine calls it."""

    address: str
    engine: Any
    container: str


def select(state: State, texts: Sequence[str]) -> list[InstanceState]:
    """The containers that addresses name: instances, all of a block, all of a module; all without any.

    Raises DiagnosticError.
    """
    containers = [i for i in state.instances.values() if i.kind == "container"]
    containers.sort(key=lambda i: sort_key(parse_address(i.address)))
    if not texts:
        if not containers:
            raise fail("No containers", "The state has no containers: nothing was applied yet.")
        return containers
    found: dict[str, InstanceState] = {}
    for text in texts:
        matching = [i for i in containers if _matches(i.address, text)]
        if not matching:
            hint = did_you_mean(text, [i.address for i in containers])
            raise fail("Container not found", f"The state has no container at {text}.{hint}")
        found.update((i.address, i) for i in matching)
    return list(found.values())


def _matches(address: str, text: str) -> bool:
    try:
        wanted = parse_target(text)
    except AddressError as failure:
        raise fail("Invalid address", f"{failure}.") from None
    at = parse_address(address)
    if not isinstance(wanted, Address):
        prefix = format_path(wanted)
        return format_path(at.module) == prefix or format_path(at.module).startswith(prefix + ".")
    return at == wanted or (wanted.key is None and at.block == wanted.block)


def locate(hosts: Hosts, state: State, instances: Sequence[InstanceState]) -> list[Target]:
    """Where the containers are. Raises ProviderError where an engine cannot be reached."""
    out: list[Target] = []
    for instance in instances:
        owner = state.instances.get(instance.host) if instance.host is not None else None
        host = hosts.get(instance.host, owner.attributes if owner is not None else None)
        name = instance.attributes.get("container_id") or instance.attributes.get("name")
        if not isinstance(name, str):
            raise fail("Container not found", f"The state does not say what {instance.address} is called.")
        out.append(Target(instance.address, host.engine(), name))
    return out


@contextmanager
def engine_failures(addresses: str) -> Iterator[None]:
    """Turn what an engine refuses or cannot be asked into diagnostics. Raises DiagnosticError."""
    from hythe.provider.container.errors import EngineError
    from hythe.provider.protocol import ProviderError

    try:
        yield
    except ProviderError as failure:
        raise DiagnosticError(*failure.diagnostics) from None
    except EngineError as failure:
        gone = " It is not there any more: hythe plan shows what changed." if failure.status == 404 else ""
        raise fail("Engine refused", f"{addresses}: {failure.message}.{gone}") from None
